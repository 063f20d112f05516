import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { bytesToUtf8, utf8ToBytes } from "../../src/bytes/utf8.ts";
import { combineStorage } from "../../src/storage/combine.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { s3Storage } from "../../src/storage/s3.ts";
import type { StorageAdapter } from "../../src/storage/types.ts";
import { fakeBucket, fakeClient } from "./s3-fake.ts";

const EMPTY = { size: 0, hash: null };
const folder = mkdtempSync(join(tmpdir(), "healthledger-arguments-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const STORES: Readonly<Record<string, () => Promise<StorageAdapter>>> = {
  memory: async () => memoryStorage(),
  lmdb: () => lmdbStorage({ path: join(folder, "lmdb") }),
  s3: () => s3Storage({ client: fakeClient(fakeBucket()), bucket: "b", probe: false }),
  combine: () => {
    const memory = memoryStorage();
    return combineStorage({ chains: memory, blobs: memory, state: memory });
  },
};

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

describe.each(Object.entries(STORES))("%s", (_, open) => {
  it("gives back every chain's name unchanged, or refuses it", async () => {
    const { chains } = await open();
    const names = [
      "\ufeffa",
      "a",
      "\ufeff",
      "a\ufeff",
      "\0",
      "e\u0301",
      "\u00e9",
      "x".repeat(256),
      "\u00e9".repeat(128),
      "\u{1f600}".repeat(64),
    ];
    for (const [i, name] of names.entries()) {
      await chains!.append(name, EMPTY, [utf8ToBytes(`record ${i}`)]);
    }
    expect((await all(chains!.list())).sort()).toEqual([...names].sort());
    for (const [i, name] of names.entries()) {
      const [first] = await all(chains!.read(name, { from: 0 }));
      expect(bytesToUtf8(first!.record)).toBe(`record ${i}`);
    }
    for (const name of ["", "x".repeat(257), "\u00e9".repeat(128) + "x", "\ud800", "a\udc00b"]) {
      await expect(chains!.append(name, EMPTY, [utf8ToBytes("r")])).rejects.toThrow(RangeError);
      await expect(chains!.head(name)).rejects.toThrow(RangeError);
      await expect(all(chains!.read(name, { from: 0 }))).rejects.toThrow(RangeError);
    }
  });

  it("reads its arguments when it is called, though an iterator begins later", async () => {
    const { chains, state } = await open();
    await chains!.append("begins later", EMPTY, ["0", "1", "2", "3"].map(utf8ToBytes));
    const how = { from: 1, limit: 2 };
    const records = chains!.read("begins later", how);
    Object.assign(how, { from: 9, limit: 0 });
    expect((await all(records)).map(({ index }) => index)).toEqual([1, 2]);
    if (state === undefined) return;
    const [gte, lt] = [utf8ToBytes("begins/a"), utf8ToBytes("begins/z")];
    await state.batch([{ key: utf8ToBytes("begins/k"), value: utf8ToBytes("v") }]);
    const range = { gte, lt, limit: 5 };
    const entries = state.scan(range);
    range.limit = 0;
    gte.fill(255);
    lt.fill(0);
    expect(await all(entries)).toHaveLength(1);
    await expect(all(state.scan({ gte: "a", lt } as never))).rejects.toThrow(TypeError);
  });
});
