// A validator over LMDB that only polls: cosign-child.ts <path> <url> <did> <genesis in hexadecimal>.
import { decodeGenesis, ledgerId } from "../../src/block/genesis.ts";
import { fromHex } from "../../src/bytes/hex.ts";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { createWitness } from "../../src/chain/witness.ts";
import { cosignPending } from "../../src/network/cosign-pending.ts";
import { openReplica } from "../../src/network/open-replica.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { httpPeer } from "../../src/transport/http.ts";
import { signerFor } from "../support/ledger.ts";

const [path, url, did, hex] = process.argv.slice(2) as [string, string, string, string];
const genesis = fromHex(hex);
const { origin, checkpointKeys } = decodeGenesis(genesis);
const signer = signerFor("v");
const storage = await lmdbStorage({ path });
const home = httpPeer({ url, did, session: { ledger: ledgerId(genesis), signer } });
const copy = await openReplica({ genesis, storage, peers: [home] });
const witness = createWitness({
  ...{ chains: storage.chains, signer, name: "v", origin, now: Date.now },
  keys: checkpointKeys.map((key) => noteKey(origin, NOTE_ED25519, key)),
});
const say = (text: string): void => void process.stdout.write(`${text}\n`);
void copy.follow();
await cosignPending({
  ...{ home, witness, copy },
  onRefused: ({ reason, size }) => say(`refused ${size}: ${reason}`),
});
