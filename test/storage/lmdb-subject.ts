import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { smallVolume, spawnStorage, spawnTraced } from "../../src/testing/node.ts";
import type { MakeStorage } from "../../src/testing/storage-kit.ts";

const SERVE = fileURLToPath(new URL("./lmdb-serve.ts", import.meta.url));
const execArgv = ["--conditions=healthledger-source", "--import", "tsx"];

/** A folder of its own for a test, removed by `remove`. */
export async function folder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "healthledger-lmdb-"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Makes LMDB stores for the kit. */
export const lmdbSubjects: MakeStorage = () => makeLmdb();

/** LMDB told not to flush in the processes that are started. */
export const unsyncedLmdbSubjects: MakeStorage = () => makeLmdb("unsynced");

const makeLmdb = async (...mode: readonly string[]): ReturnType<MakeStorage> => {
  const { path, remove } = await folder();
  const ends: (() => Promise<unknown>)[] = [remove];
  const open = async (
    limits: { path: string } & Parameters<typeof lmdbStorage>[0],
  ): Promise<FullStorage> => {
    const storage = await lmdbStorage({ pollInterval: 10, ...limits });
    ends.push(() => storage.close());
    return storage;
  };
  // Two folders that are not there yet.
  const store = join(path, "new", "store");
  const spawned = { args: [store, ...mode], execArgv };
  return {
    open: (limits) => open({ path: store, ...limits }),
    async startProcess() {
      const process = spawnStorage(SERVE, spawned);
      ends.push(() => process.kill());
      return process;
    },
    async startTraced() {
      const transient = (name: string): boolean => name.endsWith("/lock.mdb");
      const process = await spawnTraced(SERVE, { ...spawned, store, transient });
      ends.push(() => process.kill());
      return process;
    },
    async small() {
      const volume = await smallVolume(4 << 20);
      ends.push(() => volume.remove());
      return {
        open: () => open({ path: join(volume.path, "store") }),
        makeRoom: () => volume.grow(),
      };
    },
    async dispose() {
      for (const end of ends.reverse()) await end();
    },
  };
};
