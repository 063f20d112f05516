import { readFile } from "node:fs/promises";
import { httpPeer } from "../../../src/transport/http.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { organisation } from "../../support/founders.ts";
import { LABELLER, MRN, observation } from "../../support/hospital.ts";

/**
 * A home that was restored from a backup: it opens with its copies, and records once.
 *
 * Arguments: folder, address of the copy, name of the round.
 */
const [folder, url, round] = process.argv.slice(2) as [string, string, string];
const storage = await lmdbStorage({ path: `${folder}/restored` });
process.stdout.write("opening\n");
const hl = await openLedger({
  ...{ storage, keys: await organisation("home"), signedHeads: "store" },
  genesis: new Uint8Array(await readFile(`${folder}/genesis.cbor`)),
  peers: [httpPeer({ url: `${url}/ledger`, did: "did:key:copy" })],
  policy: { labeller: LABELLER },
});
process.stdout.write(`opened ${hl.chain.size}\n`);
const patient = await hl.ensureSubject({ ...MRN, value: "after" });
await hl.record(patient, observation(`after-${round}`));
process.stdout.write("recorded\n");
await hl.close();
process.exit(0);
