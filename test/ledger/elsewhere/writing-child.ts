import { readFile } from "node:fs/promises";
import { httpPeer } from "../../../src/transport/http.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { organisation } from "../../support/founders.ts";
import { LABELLER, MRN, observation } from "../../support/hospital.ts";

/**
 * A member elsewhere that records until it is killed, and prints each record once it is acknowledged.
 *
 * Arguments: folder, address of the home, name of the round, number of records.
 */
const [folder, url, round, count] = process.argv.slice(2) as [string, string, string, string];
const storage = await lmdbStorage({ path: `${folder}/away` });
const hl = await openLedger({
  ...{ storage, keys: await organisation("away"), signedHeads: "store" },
  genesis: new Uint8Array(await readFile(`${folder}/genesis.cbor`)),
  home: httpPeer({ url: `${url}/ledger`, did: "did:key:home" }),
  policy: { labeller: LABELLER },
});
const patient = await hl.ensureSubject(MRN);
process.stdout.write("ready\n");
let next = 0;
await Promise.all(
  Array.from({ length: 4 }, async () => {
    while (next < Number(count)) {
      const id = `o-${round}-${next++}`;
      const { id: record } = await hl.record(patient, observation(id)).catch(() => ({ id: "" }));
      if (record !== "") process.stdout.write(`acknowledged ${record}\n`);
    }
  }),
);
await hl.close();
process.exit(0);
