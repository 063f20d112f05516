import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { sqliteStorage } from "../../src/storage/sqlite.ts";
import type { FullStorage, Head } from "../../src/storage/types.ts";
import { connect, type Connection } from "./client.ts";
import { folder } from "./subject.ts";

const EMPTY: Head = { size: 0, hash: null };
const text = (value: string) => new TextEncoder().encode(value);
const corrupt = { code: "ERR_STORAGE_CORRUPT" };

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function opened(): Promise<{ storage: FullStorage; database: Connection }> {
  const { path, remove } = await folder();
  const database = await connect(join(path, "store.db"));
  ends.push(remove, () => database.close());
  return { storage: await sqliteStorage({ database }), database };
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

describe("rows that were changed", () => {
  it("are named where records belong to no chain, and a chain has no records", async () => {
    const { storage, database } = await opened();
    expect(await all(storage.chains.list())).toEqual([]);
    for (const name of ["a", "b", "c"]) await storage.chains.append(name, EMPTY, [text("r")]);
    expect((await all(storage.chains.list())).sort()).toEqual(["a", "b", "c"]);
    database.exec("PRAGMA foreign_keys = OFF; UPDATE hl_chains SET id = 77 WHERE name = 'b'");
    await expect(all(storage.chains.list())).rejects.toMatchObject(corrupt);
    await expect(storage.chains.head("b")).rejects.toMatchObject(corrupt);
    expect(await storage.chains.head("a")).toMatchObject({ size: 1 });
  });

  it("are reported when a stored name is not valid", async () => {
    const { storage, database } = await opened();
    await storage.chains.append("a", EMPTY, [text("r")]);
    database.exec("UPDATE hl_chains SET name = CAST(x'ff' AS TEXT)");
    await expect(all(storage.chains.list())).rejects.toMatchObject(corrupt);
    database.exec("INSERT INTO hl_blobs (sha256, codec, bytes) VALUES (x'00', 85, x'00')");
    await expect(all(storage.blobs.list())).rejects.toMatchObject(corrupt);
  });

  it("end a list that repeats itself, as where an index is damaged", async () => {
    const { storage, database } = await opened();
    const { prepare } = database;
    await storage.state.batch([{ key: text("k"), value: text("v") }]);
    database.exec(`INSERT INTO hl_blobs (sha256, codec, bytes) VALUES (zeroblob(32), 85, x'00')`);
    // Whatever is asked for, the same rows come.
    Object.assign(database, {
      prepare: (sql: string) =>
        prepare.call(
          database,
          sql
            .replace(/WHERE \(sha256, codec\) > \(\?, \?\)/, "WHERE ? < ? OR 1")
            .replace(/WHERE key (>=?) \? AND key < \?/, "WHERE ? < ? OR 1"),
        ),
    });
    const again = await sqliteStorage({ database });
    await expect(all(again.blobs.list())).rejects.toMatchObject(corrupt);
    const range = { gte: text("a"), lt: text("z") };
    await expect(all(again.state.scan(range))).rejects.toMatchObject(corrupt);
    await expect(all(again.state.scan({ ...range, reverse: true }))).rejects.toMatchObject(corrupt);
  });

  it("keep a byte order mark in a chain's name", async () => {
    const { storage } = await opened();
    const names = ["\ufeffa", "a", "\ufeff", "a\ufeff", "\0", "e\u0301", "\u00e9"];
    for (const name of names) await storage.chains.append(name, EMPTY, [text(name)]);
    expect((await all(storage.chains.list())).sort()).toEqual([...names].sort());
  });
});
