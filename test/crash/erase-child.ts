import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileShardKeys } from "../../src/identity/file-shards.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { foundWorld, MRN, observation } from "../support/hospital.ts";

/**
 * Records and erases until it is killed. What was acknowledged goes to a file before the next step:
 * `kept <id> <n>`, `erasing <id>`, `erased <id>`.
 *
 * Arguments: folder, number of the first record.
 */
const [folder, first] = process.argv.slice(2) as [string, string];
const acks = openSync(join(folder, "acks"), "a");
const say = (line: string): void => void writeSync(acks, `${line}\n`);

const storage = await lmdbStorage({ path: join(folder, "store") });
const shardKeys = await fileShardKeys(join(folder, "shards"));
const world = await foundWorld(storage);
console.log("opening");
const hl = await world.open({ shardKeys, signedHeads: "store" });
const me = await hl.ensureSubject(MRN);
console.log("ready");
for (let n = Number(first); ; n++) {
  const [gone, kept] = await Promise.all([
    hl.record(me, observation(`gone-${n}`)),
    hl.record(me, observation(`kept-${n}`)),
  ]);
  say(`kept ${kept.id} ${n}`);
  say(`erasing ${gone.id}`);
  await hl.erase(me, { records: [gone.id], reason: "withdrawn" });
  say(`erased ${gone.id}`);
  console.log("erased");
}
