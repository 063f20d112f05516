import { ledgerId } from "../../src/block/genesis.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { ledgerHandler } from "../../src/network/ledger-handler.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { httpPeer } from "../../src/transport/http.ts";
import { httpsFetch } from "./https-fetch.ts";
import * as party from "./party.ts";

/** A member elsewhere: it writes through the home, and its copy is a peer of the other member. */
const { told, note } = party;
const storage = await lmdbStorage({ path: `${told.folder}/store` });
const genesis = await party.genesisBytes();
const keys = await party.ownKeys();
const session = { ledger: ledgerId(genesis), signer: keys.signer("sign") };
const [home, ...peers] = told.peers.map(({ name, url, certificate }) =>
  httpPeer({
    ...{ url, did: name, session, deadline: party.DEADLINE },
    ...(certificate && { fetch: httpsFetch(certificate) }),
  }),
);
let forks = 0;
const hl = await party.tries(() =>
  openLedger({
    ...{ storage, keys, genesis, home: home!, peers },
    onFault: ({ error }) => note(error),
    onFork: () => forks++,
  }),
);
const copy = hl.copy!;
const handler = { source: copy, path: "/ledger", sessions: { did: hl.member }, onError: note };
party.serve(ledgerHandler(handler));
const load = party.recordOn(hl, { writers: 4, every: 20, bundles: true });
party.obey({
  rest: load.rest,
  opened: load.opened,
  status: async () => ({
    ...{ size: copy.newest?.size ?? 0, root: toHex(copy.newest?.root ?? new Uint8Array()) },
    ...{ behind: (copy.newest?.size ?? 0) - hl.chain.size, waiting: (await hl.outbox()).length },
    forked: forks > 0 || (await hl.fork()) !== undefined,
  }),
  async close() {
    await hl.close();
    await storage.close();
    setImmediate(() => process.exit(0));
  },
});
