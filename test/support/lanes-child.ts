import type { StorageAdapter } from "../../src/storage/types.ts";
import { foundWorld, MRN, observation } from "./hospital.ts";

/**
 * One process of several of one member: records as much as it is told, and prints each as it stands.
 *
 * Arguments: kind of the store, where it is, name of the process, number of records.
 */
const [kind, at, name, count] = process.argv.slice(2) as [string, string, string, string];

async function open(): Promise<StorageAdapter> {
  if (kind === "lmdb") {
    return (await import("../../src/storage/lmdb.ts")).lmdbStorage({ path: at });
  }
  if (kind === "sqlite") return (await import("../sqlite/subject.ts")).openAt(at);
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({
    host: "127.0.0.1",
    port: Number(at),
    user: "postgres",
    database: "postgres",
    max: 3,
  });
  return (await import("../../src/storage/postgres.ts")).postgresStorage({ pool, schema: "lanes" });
}

const storage = await open();
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
process.exit(0);
