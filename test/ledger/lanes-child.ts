import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { foundWorld, MRN, observation } from "../support/hospital.ts";

/** One process of several of one member: records as much as it is told, and prints each as it stands. */
const [path, name, count] = process.argv.slice(2);
const storage = await lmdbStorage({ path: path! });
const world = await foundWorld(storage);
const hl = await world.open({ now: Date.now });
const patient = await hl.ensureSubject(MRN);
await Promise.all(
  ["a", "b", "c", "d"].map(async (line) => {
    for (let i = 0; i < Number(count) / 4; i++) {
      const { id } = await hl.record(patient, observation(`o-${name}-${line}-${i}`));
      process.stdout.write(`${Buffer.from(id).toString("hex")}\n`);
    }
  }),
);
await hl.close();
await storage.close();
