import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { LedgerError } from "../../../src/errors.ts";
import type { EntryId } from "../../../src/codec/ids.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { foundWorld, observation } from "../../support/hospital.ts";

/**
 * Joins and parts four persons at random until it is killed, beside another such process. What was
 * acknowledged goes to a file before the next step: `merged <link>`, `parted <link>`.
 *
 * Arguments: folder, number of the process, seed.
 */
const [folder, number, seed] = process.argv.slice(2) as [string, string, string];
const acks = openSync(join(folder, `acks-${number}`), "a");
const say = (line: string): void => void writeSync(acks, `${line}\n`);
let state = Number(seed);
const random = (below: number): number => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * below);
};

const storage = await lmdbStorage({ path: join(folder, "store") });
const world = await foundWorld(storage);
const hl = await world.open({ signedHeads: "store", lane: Number(number) });
const people = [];
for (let n = 0; n < 4; n++) {
  const subject = await hl.ensureSubject({ system: "urn:oid:1.1", value: String(n) });
  people.push(subject);
  const records = await hl.records(subject);
  const isThere = records.some(({ head }) => head.manifest.resource!.id === `person-${n}`);
  // one of the two processes records, so that each record is there once
  if (!isThere && number === "1") await hl.record(subject, observation(`person-${n}`));
}
for (;;) {
  const found = await Promise.all(people.map((one) => hl.records(one)));
  if (found.every((records) => records.length > 0)) break;
}
console.log("ready");
const links: EntryId[] = [];
for (;;) {
  try {
    if (links.length > 0 && random(2) === 0) {
      const [link] = links.splice(random(links.length), 1);
      await hl.unmerge(link!, { reason: "apart" });
      say(`parted ${link}`);
    } else {
      const from = random(4);
      const into = (from + 1 + random(3)) % 4;
      const link = await hl.merge(people[from]!, people[into]!, { reason: "one" });
      links.push(link);
      say(`merged ${link}`);
    }
  } catch (error) {
    // joined already, or the other process was faster
    if (!(error instanceof LedgerError)) throw error;
  }
}
