import { encodeEntry } from "../../src/block/entry.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { verifyLedger, type VerifyLedgerOptions } from "../../src/chain/verify-ledger.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { salt } from "../support/forge.ts";
import { bytesFor, foundLedger, START } from "../support/ledger.ts";

/**
 * Writes a ledger on which one member files and retires many keys, and verifies it; says by how much
 * memory grew, in bytes, from the moment a third of the keys is there.
 *
 * Arguments: folder of the ledger, folder of the scratch store, number of keys in thousands.
 */
const [path, scratchPath, thousands] = process.argv.slice(2) as [string, string, string];
const PER_BLOCK = 1000;
const blocks = Number(thousands);
const third = Math.floor(blocks / 3);

function inUse(): number {
  globalThis.gc!();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Bytes by which memory grew from a third of the blocks to the end. */
function meter() {
  let before = 0;
  let grown = NaN;
  return {
    at(done: number) {
      if (done === third) before = inUse();
      if (done === blocks) grown = inUse() - before;
    },
    get grown() {
      return grown;
    },
  };
}

const { genesis, signers } = await foundLedger({ a: ["custodian", "sequencer"] }, { threshold: 1 });
const signer = signers["a"]!;
const storage = await lmdbStorage({ path });
const chain = await openChain({ storage, genesis });
const sequencer = createSequencer({ chain, storage, signer, now: () => START });

/** A key that is filed and retired at once: it stays in the state for ever. */
function keyOnceUsed(n: number): Uint8Array[] {
  const publicKey = bytesFor(`key ${n}`);
  publicKey[31]! &= 0x7f;
  const key = { actor: signer.actor, use: "agree", alg: "X25519", publicKey } as const;
  return (["add", "retire"] as const).map((op) =>
    encodeEntry({ v: 1, kind: "key", salt: salt(), op, ...key }),
  );
}

const running = meter();
for (let seq = 0; seq < blocks; seq++) {
  const entries = Array.from({ length: PER_BLOCK }, (_, i) => keyOnceUsed(seq * PER_BLOCK + i));
  const what = { ledger: chain.ledger, lane: 0, seq, time: START, entries: entries.flat() };
  await sequencer.submit(await signTransaction(signer, what)).durable;
  running.at(seq + 1);
}
await sequencer.close();
await chain.close();

async function verify(options: Partial<VerifyLedgerOptions>): Promise<number> {
  const meant = meter();
  const onProgress = ({ done }: { readonly done: number }) => meant.at(done);
  const result = await verifyLedger(storage.chains, { genesis, onProgress, ...options });
  if (!result.ok) throw new Error(result.reason);
  return meant.grown;
}

const scratch = await lmdbStorage({ path: scratchPath });
const withScratch = await verify({ scratch: scratch.state });
const without = await verify({});
const refused = await verify({ maxState: (blocks * PER_BLOCK) / 2 }).catch(
  (error: { readonly code: string }) => error.code,
);
console.log(JSON.stringify({ running: running.grown, withScratch, without, refused }));
await scratch.close();
await storage.close();
