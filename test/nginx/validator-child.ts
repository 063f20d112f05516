import { decodeGenesis, ledgerId } from "../../src/block/genesis.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { createWitness } from "../../src/chain/witness.ts";
import { cosignPending } from "../../src/network/cosign-pending.ts";
import { openReplica } from "../../src/network/open-replica.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { httpPeer } from "../../src/transport/http.ts";
import { signerFor } from "../support/ledger.ts";
import { httpsFetch } from "./https-fetch.ts";
import { DEADLINE, genesisBytes, note, obey, say, told, tries } from "./party.ts";

/** A validator that nobody can reach: it follows the home into a copy, and asks for what waits. */
const storage = await lmdbStorage({ path: `${told.folder}/store` });
const genesis = await genesisBytes();
const { origin, checkpointKeys } = decodeGenesis(genesis);
const signer = signerFor(told.name);
const [{ url, name: did, certificate }] = told.peers as [(typeof told.peers)[0]];
const send = certificate === undefined ? fetch : httpsFetch(certificate);
const peer = {
  ...{ url, did, deadline: DEADLINE, session: { ledger: ledgerId(genesis), signer } },
  fetch: marked,
};

/** Size that was sent last. */
let last: number | undefined;

/**
 * Marks what is asked and sent, for the trace: the line itself is encrypted. Only of a first size it is not
 * known whether it was kept before, by a process that was killed.
 */
async function marked(to: string, init: RequestInit): Promise<Response> {
  if (to.endsWith("/cosignature")) {
    const size = Number(
      Buffer.from(init.body as Uint8Array)
        .toString()
        .split("\n", 2)[1],
    );
    say(`sends ${last !== undefined && size > last ? "new" : "again"}`);
    last = size;
  }
  const response = await send(to, init);
  if (to.includes("/pending?")) say("asked");
  return response;
}

let forks = 0;
const onFault = ({ error }: { readonly error: Error }): void => note(error);
const copy = await tries(() =>
  openReplica({
    ...{ genesis, storage, trustStore: true, peers: [httpPeer(peer)] },
    ...{ onFault, onFork: () => forks++ },
  }),
);
const ending = new AbortController();
const { signal } = ending;
// In a store of its own, so that no write of the copy is taken for one of the memory.
const { chains } = await lmdbStorage({ path: `${told.folder}/signed` });
const witness = createWitness({
  ...{ chains: chains!, signer, name: told.name, now: Date.now, origin },
  keys: checkpointKeys.map((key) => noteKey(origin, NOTE_ED25519, key)),
});
const cosigning = cosignPending({
  ...{ home: httpPeer(peer), witness, copy, signal, onFault },
  onRefused: ({ reason }) => note(new Error(`refused: ${reason}`)),
});
const following = copy.follow({ signal });
for (const one of [cosigning, following]) one.catch((error: unknown) => say(`failed ${error}`));
obey({
  status: async () => ({
    ...{ size: copy.newest?.size ?? 0, root: toHex(copy.newest?.root ?? new Uint8Array()) },
    ...{ behind: (copy.newest?.size ?? 0) - copy.chain.size, waiting: 0 },
    forked: forks > 0 || copy.fork !== undefined,
  }),
  async close() {
    ending.abort();
    await Promise.all([cosigning, following]);
    await copy.close();
    await storage.close();
    setImmediate(() => process.exit(0));
  },
});
