import { toHex } from "../../src/bytes/hex.ts";
import { NOTE_COSIGNATURE, noteKey } from "../../src/chain/note-key.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { ledgerHandler } from "../../src/network/ledger-handler.ts";
import { publishHeads } from "../../src/network/publish-heads.ts";
import { witnessPeer } from "../../src/network/witness-peer.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { signerFor } from "../support/ledger.ts";
import { DEADLINE, genesisBytes, note, obey, ownKeys, recordOn, serve, told } from "./party.ts";

/** The home: its store orders the ledger, and its checkpoints need both cosigners. */
const storage = await lmdbStorage({ path: `${told.folder}/store` });
const genesis = await genesisBytes();
const hl = await openLedger({
  ...{ storage, keys: await ownKeys(), genesis },
  cosigners: told.peers.map(({ name, url }) =>
    witnessPeer({
      ...{ url, deadline: DEADLINE },
      key: noteKey(name, NOTE_COSIGNATURE, signerFor(name).publicKey),
    }),
  ),
});
const source = publishHeads({ ledger: hl, chains: storage.chains!, every: 100, onError: note });
const ahead = {
  chain: hl.chain,
  get newest() {
    const { size, root } = hl.chain;
    return size === 0 ? undefined : { note: new Uint8Array(), size, root };
  },
  grown: source.grown,
  policy: source.policy,
};
const handler = ledgerHandler({
  ...{ source, path: "/ledger", sessions: { did: hl.member }, sequencer: hl.sequencer },
  onError: note,
});
// What no cosigner has seen yet, for the one that checks every block before it cosigns.
const aheadHandler = ledgerHandler({
  ...{ source: ahead, path: "/ledger/ahead", authorize: () => true, onError: note },
});
serve((request) =>
  new URL(request.url).pathname.startsWith("/ledger/ahead/")
    ? aheadHandler(request)
    : handler(request),
);
const load = recordOn(hl, { writers: 1, every: 50, bundles: false });
obey({
  rest: load.rest,
  opened: load.opened,
  status: async () => ({
    ...{ size: source.newest?.size ?? 0, root: toHex(source.newest?.root ?? new Uint8Array()) },
    ...{ behind: hl.chain.size - (source.newest?.size ?? 0), waiting: 0 },
    forked: (await hl.fork()) !== undefined,
    note: Buffer.from(source.newest?.note ?? []).toString(),
  }),
  async close() {
    await source.close();
    await hl.close();
    await storage.close();
    setImmediate(() => process.exit(0));
  },
});
