import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { sqliteStorage, type SqliteStorageOptions } from "../../src/storage/sqlite.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { smallVolume, spawnStorage, spawnTraced } from "../../src/testing/node.ts";
import type { MakeStorage, StorageFeature } from "../../src/testing/storage-kit.ts";
import { connect, type Connection } from "./client.ts";

/** A process that serves a store in a file, for the kit; `EXEC_ARGV` starts it. */
export const SERVE: string = fileURLToPath(new URL("./serve.ts", import.meta.url));
export const EXEC_ARGV: readonly string[] = [
  "--conditions=healthledger-source",
  "--import",
  "tsx",
  "--no-warnings",
];

/** A folder of its own for a test, removed by `remove`. */
export async function folder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "healthledger-sqlite-"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** What these subjects offer. */
export const FEATURES: readonly StorageFeature[] = [
  ...(["chains", "blobs", "state", "commit", "compact", "tail", "reopen"] as const),
  ...(["kill", "processes", "small", "traced"] as const),
];

/** Opens a store in a file; closing it closes its connection too. */
export async function openAt(
  path: string,
  options: Omit<SqliteStorageOptions, "database"> = {},
  wrap: (connection: Connection) => Connection = (connection) => connection,
): Promise<FullStorage> {
  const database = wrap(await connect(path));
  const storage = await sqliteStorage({ database, pollInterval: 10, ...options });
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= storage.close().then(() => void database.close());
    return closed;
  };
  return { ...storage, close, [Symbol.asyncDispose]: close };
}

/** Makes stores in files for the kit. */
export const sqliteSubjects: MakeStorage = () => makeSqlite();

/** With processes whose connections were told not to sync. */
export const unsyncedSqliteSubjects: MakeStorage = () => makeSqlite("unsynced");

async function makeSqlite(...mode: readonly string[]): ReturnType<MakeStorage> {
  const { path, remove } = await folder();
  const file = join(path, "store.db");
  const ends: (() => Promise<unknown>)[] = [remove];
  const open: typeof openAt = async (at, limits) => {
    const storage = await openAt(at, limits);
    ends.push(() => storage.close());
    return storage;
  };
  const spawned = { args: [file, ...mode], execArgv: EXEC_ARGV };
  return {
    open: (limits) => open(file, limits),
    async startProcess() {
      const process = spawnStorage(SERVE, spawned);
      ends.push(() => process.kill());
      return process;
    },
    async startTraced() {
      // The index of the log is made anew by whoever opens it first.
      const transient = (name: string): boolean => name.endsWith("-shm");
      const process = await spawnTraced(SERVE, { ...spawned, store: file, transient });
      ends.push(() => process.kill());
      return process;
    },
    async small() {
      const volume = await smallVolume(4 << 20);
      ends.push(() => volume.remove());
      return {
        open: () => open(join(volume.path, "store.db")),
        makeRoom: () => volume.grow(),
      };
    },
    async dispose() {
      for (const end of ends.reverse()) await end();
    },
  };
}
