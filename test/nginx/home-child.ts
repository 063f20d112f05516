import { toHex } from "../../src/bytes/hex.ts";
import { NOTE_COSIGNATURE, noteKey } from "../../src/chain/note-key.ts";
import { polledCosigners } from "../../src/chain/polled-cosigners.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { ledgerHandler } from "../../src/network/ledger-handler.ts";
import { publishHeads } from "../../src/network/publish-heads.ts";
import { witnessPeer } from "../../src/network/witness-peer.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { signerFor } from "../support/ledger.ts";
import { DEADLINE, genesisBytes, note, obey, ownKeys, recordOn, serve, told } from "./party.ts";

/** The home: its store orders the ledger, and its checkpoints need both cosigners: one that it asks, one that asks it. */
const storage = await lmdbStorage({ path: `${told.folder}/store` });
const genesis = await genesisBytes();
const polled = polledCosigners();
const hl = await openLedger({
  // A witness whose answer was lost is asked again only for the next checkpoint.
  ...{ storage, keys: await ownKeys(), genesis, cosignWithin: 1500 },
  cosigners: [
    polled,
    ...told.peers.map(({ name, url }) =>
      witnessPeer({
        ...{ url, deadline: DEADLINE },
        key: noteKey(name, NOTE_COSIGNATURE, signerFor(name).publicKey),
      }),
    ),
  ],
});
const source = publishHeads({ ledger: hl, chains: storage.chains!, every: 100, onError: note });
serve(
  ledgerHandler({
    ...{ source, polled, path: "/ledger", sessions: { did: hl.member }, sequencer: hl.sequencer },
    onError: note,
  }),
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
