import { encodeGenesis } from "../../src/block/genesis.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { memoryKeys, type KeyStore } from "../../src/identity/key-store.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { publishHeads } from "../../src/network/publish-heads.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { policyEntry } from "./forge.ts";
import { custodianOf, LABELLER } from "./hospital.ts";
import { bytesFor, signerFor, START } from "./ledger.ts";
import { never } from "./network.ts";

export const ORIGIN = "history.example/rotation";
const now = (): number => START;

/** A home, opened as applications open it, whose member `a` holds three checkpoint keys. */
export async function rotatingHome() {
  const nonce = bytesFor("rotation");
  const keysOf = async (member: string, checkpoint: readonly string[]): Promise<KeyStore> => {
    const keys = memoryKeys();
    await keys.add({ use: "sign", secret: bytesFor(`${member} sign`) });
    await keys.add({ use: "agree", secret: bytesFor(`${member} agree`) });
    for (const name of checkpoint) await keys.add({ use: "checkpoint", secret: bytesFor(name) });
    return keys;
  };
  const [a, b] = [await keysOf("a", ["k1", "k2", "k3"]), await keysOf("b", [])];
  const genesis = encodeGenesis({
    ...{ v: 1, origin: ORIGIN, nonce, threshold: 2, maxDrift: 60_000, maxTxAge: 600_000 },
    members: [await custodianOf(a, nonce), await custodianOf(b, nonce)],
    checkpointKeys: [signerFor("k1").publicKey],
    cosignaturePolicy: {
      validators: { required: 0, keys: [] },
      witnesses: { required: 0, keys: [] },
    },
    ...{ kinds: [], contracts: [] },
  });
  const storage = memoryStorage();
  const hl = await openLedger({ storage, keys: a, genesis, policy: { labeller: LABELLER }, now });
  const source = publishHeads({ ledger: hl, chains: storage.chains, sleep: never });
  let seq = 0;
  let persons = 0;
  return {
    ...{ genesis, hl, source },
    grow: () => hl.ensureSubject({ system: "urn:oid:1.2.3", value: `rotation-${persons++}` }),
    /** Lets another key sign checkpoints, approved by both members. */
    async rotate(name: string): Promise<void> {
      const chain = await openChain({ storage, genesis, now });
      const changes = { checkpointKeys: [signerFor(name).publicKey] };
      const entry = await policyEntry(chain.ledger, changes, [a.signer(), b.signer()]);
      const sequencer = createSequencer({ chain, storage, signer: a.signer(), now });
      const unsigned = {
        ledger: chain.ledger,
        lane: 50,
        seq: seq++,
        time: START,
        entries: [entry],
      };
      await sequencer.submit(await signTransaction(a.signer(), unsigned)).durable;
      await sequencer.close();
      await chain.close();
      await hl.chain.refresh();
    },
  };
}
