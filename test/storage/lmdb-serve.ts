// A process of its own for the process cases: lmdb-serve.ts <path> [unsynced]
import { lmdbStorage, type LmdbClient } from "../../src/storage/lmdb.ts";
import { serveOnStdio } from "../../src/testing/node.ts";

const [path, mode] = process.argv.slice(2) as [string, string?];

/** LMDB told not to flush: what the sync probe must notice. */
async function unsynced(): Promise<LmdbClient> {
  const lmdb = (await import("lmdb")) as unknown as LmdbClient;
  return { open: (options) => lmdb.open(Object.assign({ ...options }, { noSync: true })) };
}

const lmdb = mode === "unsynced" ? { lmdb: await unsynced() } : {};
await serveOnStdio(() => lmdbStorage({ path, pollInterval: 10, ...lmdb }));
