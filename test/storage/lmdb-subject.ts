import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import type { MakeStorage } from "../../src/testing/storage-kit.ts";

/** A folder of its own for a test, removed by `remove`. */
export async function folder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), "healthledger-lmdb-"));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Makes LMDB stores for the kit. */
export const lmdbSubjects: MakeStorage = async () => {
  const { path, remove } = await folder();
  const opened: FullStorage[] = [];
  return {
    async open(limits) {
      const storage = await lmdbStorage({ path, pollInterval: 10, ...limits });
      opened.push(storage);
      return storage;
    },
    async dispose() {
      for (const storage of opened) await storage.close();
      await remove();
    },
  };
};
