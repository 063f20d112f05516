// The published suites of interface-blockstore and interface-datastore over every local adapter.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { connect } from "../sqlite/client.ts";
import { openAt } from "../sqlite/subject.ts";
import { blockstoreOver, datastoreOver } from "./facades.ts";

type Suite<Store> = (test: {
  setup(): Promise<Store>;
  teardown(store: Store): Promise<void>;
}) => void;

// Packages of this folder alone, which is not installed where only types are checked.
const { interfaceBlockstoreTests } = (await import("interface-blockstore-tests" as string)) as {
  interfaceBlockstoreTests: Suite<ReturnType<typeof blockstoreOver>>;
};
const { interfaceDatastoreTests } = (await import("interface-datastore-tests" as string)) as {
  interfaceDatastoreTests: Suite<ReturnType<typeof datastoreOver>>;
};
const { Key } = (await import("interface-datastore" as string)) as {
  Key: new (bytes: Uint8Array) => { uint8Array(): Uint8Array };
};
declare function describe(name: string, body: () => void): void;

const adapters: [string, (path: string) => Promise<FullStorage>][] = [
  ["memory", async () => memoryStorage()],
  ["LMDB", (path) => lmdbStorage({ path })],
];
try {
  (await connect(":memory:")).close();
  adapters.push(["SQLite", (path) => openAt(join(path, "store.db"))]);
} catch (error) {
  if (process.env["CI"] !== undefined) throw error;
  console.warn("skipped: SQLite: npm install --prefix test/sqlite brings its client");
}

for (const [name, open] of adapters) {
  /** Opens a store of its own for each test, and makes a facade of it. */
  function staged<Store extends object>(facade: (storage: FullStorage) => Store) {
    const ends = new Map<Store, () => Promise<void>>();
    return {
      async setup(): Promise<Store> {
        const path = await mkdtemp(join(tmpdir(), "healthledger-stores-"));
        const storage = await open(path);
        const store = facade(storage);
        ends.set(store, async () => {
          await storage.close();
          await rm(path, { recursive: true });
        });
        return store;
      },
      async teardown(store: Store): Promise<void> {
        await ends.get(store)!();
      },
    };
  }
  describe(`blobs in ${name}, by interface-blockstore-tests`, () => {
    interfaceBlockstoreTests(staged(({ blobs }) => blockstoreOver(blobs)));
  });
  describe(`state in ${name}, by interface-datastore-tests`, () => {
    interfaceDatastoreTests(staged(({ state }) => datastoreOver(state, (bytes) => new Key(bytes))));
  });
}
