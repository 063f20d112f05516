import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { sqliteStorage } from "../../src/storage/sqlite.ts";
import { migrate } from "../../src/storage/sqlite/schema.ts";
import type { FullStorage, Head } from "../../src/storage/types.ts";
import { connect, type Connection } from "./client.ts";
import { canTrace, spawnStorage, spawnTraced } from "../../src/testing/node.ts";
import type { StorageProcess } from "../../src/testing/storage-kit.ts";
import { syncsOfTrace } from "../../src/testing/sync-probe.ts";
import { EXEC_ARGV, folder, openAt, SERVE } from "./subject.ts";

const genesis: Head = { size: 0, hash: null };
const text = (value: string) => new TextEncoder().encode(value);
const blobOf = (bytes: Uint8Array) => ({ cid: cidOf(bytes, RAW), bytes });

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function newPath(): Promise<string> {
  const { path, remove } = await folder();
  ends.push(remove);
  return join(path, "store.db");
}

async function connected(path: string): Promise<Connection> {
  const connection = await connect(path);
  ends.push(() => connection.close());
  return connection;
}

/** Answers some statements otherwise than SQLite does. */
function instead(connection: Connection, sql: string, answer: () => unknown): Connection {
  const { prepare } = connection;
  return Object.assign(connection, {
    prepare: (wanted: string) => {
      const statement = prepare.call(connection, wanted);
      if (wanted !== sql) return statement;
      const through = (name: "get" | "run") => {
        const call = statement[name].bind(statement);
        return (...values: []) => answer() ?? call(...values);
      };
      return { all: statement.all.bind(statement), get: through("get"), run: through("run") };
    },
  });
}

/** The bytes of the database and of all that SQLite puts beside it, as another process sees them. */
function bytesOf(path: string): Buffer {
  const files = ["", "-wal", "-shm", "-journal"].map((end) => path + end).filter(existsSync);
  // To open and close the file here would release the locks of the connection.
  return execFileSync("cat", files, { maxBuffer: 1 << 30 });
}

describe("sqliteStorage", () => {
  it("promises durability through a loss of power, for several processes, in a file", async () => {
    const database = await connected(await newPath());
    const { chains } = await sqliteStorage({ database });
    expect(chains.caps).toMatchObject({ durability: "power", multiProcess: true, tail: true });
    const value = (name: string) => Object.values(database.prepare(`PRAGMA ${name}`).get() as {});
    expect([value("journal_mode"), value("synchronous")]).toEqual([["wal"], [2]]);
    expect(value("page_size")).toEqual([16_384]);
  });

  it("leaves synchronous = EXTRA and the page size of a file that is there", async () => {
    const database = await connected(await newPath());
    database.exec("PRAGMA page_size = 8192; CREATE TABLE own (a); PRAGMA synchronous = EXTRA");
    await sqliteStorage({ database });
    expect(database.prepare("PRAGMA synchronous").get()).toEqual({ synchronous: 3 });
    expect(database.prepare("PRAGMA page_size").get()).toEqual({ page_size: 8192 });
    expect(database.prepare("SELECT count(*) AS n FROM own").get()).toEqual({ n: 0 });
  });

  it.each([":memory:", ""])("promises nothing for a database without a file: %j", async (name) => {
    const { chains } = await sqliteStorage({ database: await connected(name) });
    expect(chains.caps).toMatchObject({ durability: "none", multiProcess: false });
    expect(await chains.append("a", genesis, [text("r")])).toMatchObject({ size: 1 });
  });

  it("does not promise several processes to a connection that shuts others out", async () => {
    const database = await connected(await newPath());
    database.prepare("PRAGMA locking_mode = EXCLUSIVE").get();
    const { chains } = await sqliteStorage({ database });
    expect(chains.caps).toMatchObject({ durability: "power", multiProcess: false });
  });

  it("refuses a file without a write-ahead log", async () => {
    const database = instead(await connected(await newPath()), "PRAGMA journal_mode", () => ({
      journal_mode: "delete",
    }));
    await expect(sqliteStorage({ database })).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
  });

  it("refuses values that are not open connections, and read-only databases", async () => {
    await expect(sqliteStorage({ database: {} as Connection })).rejects.toThrow(TypeError);
    const database = await connected(await newPath());
    database.exec("CREATE TABLE own (a); PRAGMA query_only = ON");
    await expect(sqliteStorage({ database })).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
  });

  it("reports a file that is not a database, and a database in UTF-16", async () => {
    const path = await newPath();
    await writeFile(path, "x".repeat(20_000));
    const none = await connected(path);
    await expect(sqliteStorage({ database: none })).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
    });
    const other = await connected(await newPath());
    other.exec("PRAGMA encoding = 'UTF-16'; CREATE TABLE own (a)");
    await expect(sqliteStorage({ database: other })).rejects.toMatchObject({
      code: "ERR_INPUT_UNSUPPORTED",
    });
  });

  it("refuses tables of a newer version and leaves them as they are", async () => {
    const database = await connected(await newPath());
    await (await sqliteStorage({ database })).close();
    database.exec("UPDATE hl_format SET version = 2");
    await expect(sqliteStorage({ database })).rejects.toMatchObject({
      code: "ERR_INPUT_UNSUPPORTED",
    });
    expect(database.prepare("SELECT version FROM hl_format").all()).toEqual([{ version: 2 }]);
  });

  it("brings older tables to its version in one step, or not at all", async () => {
    const database = await connected(await newPath());
    const one = "CREATE TABLE t (a)";
    migrate(database, [one]);
    expect(() => migrate(database, [one, "ALTER TABLE t ADD COLUMN b; SELECT nonsense"])).toThrow();
    expect(database.prepare("SELECT * FROM pragma_table_info('t')").all()).toHaveLength(1);
    migrate(database, [one, "ALTER TABLE t ADD COLUMN b"]);
    expect(database.prepare("SELECT * FROM pragma_table_info('t')").all()).toHaveLength(2);
    expect(database.prepare("SELECT version FROM hl_format").all()).toEqual([{ version: 2 }]);
  });

  it("refuses foreign tables under its names, and a database that lacks some of its tables", async () => {
    const foreign = await connected(await newPath());
    foreign.exec("CREATE TABLE hl_blobs (mine TEXT); INSERT INTO hl_blobs VALUES ('kept')");
    await expect(sqliteStorage({ database: foreign })).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
    });
    expect(foreign.prepare("SELECT mine FROM hl_blobs").all()).toEqual([{ mine: "kept" }]);
    expect(foreign.prepare("SELECT name FROM sqlite_master").all()).toEqual([{ name: "hl_blobs" }]);

    const torn = await connected(await newPath());
    await (await sqliteStorage({ database: torn })).close();
    torn.exec("DROP VIEW hl_show_state; DROP TABLE hl_state");
    await expect(sqliteStorage({ database: torn })).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
    });
  });

  it("leaves a transaction alone that its owner has open, and writes nothing into it", async () => {
    const database = await connected(await newPath());
    const storage = await sqliteStorage({ database });
    database.exec("CREATE TABLE own (n INTEGER); BEGIN; INSERT INTO own VALUES (1)");
    const append = () => storage.chains.append("a", genesis, [text("r")]);
    await expect(append()).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    await expect(storage.state.getMany([text("k")])).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
    });
    await expect(sqliteStorage({ database })).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
    });
    database.exec("COMMIT");
    expect(database.prepare("SELECT n FROM own").all()).toEqual([{ n: 1 }]);
    expect(await append()).toMatchObject({ size: 1 });
  });

  it.skipIf(!canTrace())("syncs the log of a killed process before it shows it", async () => {
    const path = await newPath();
    const spawned = { args: [path], execArgv: EXEC_ARGV };
    const said = (process: StorageProcess, wanted: string) =>
      new Promise<void>((resolve) => {
        process.onLine((line) => {
          if (line.startsWith(wanted)) resolve();
          if (line === "ready") process.send(JSON.stringify(write));
        });
      });
    const write = { do: "write", kinds: ["append"], writer: "w", from: 0, count: 1 };
    const writer = spawnStorage(SERVE, spawned);
    await said(writer, "ack");
    await writer.kill();
    const reader = await spawnTraced(SERVE, { ...spawned, store: path });
    reader.onLine((line) => {
      if (line === "ready") reader.send(JSON.stringify({ do: "close" }));
    });
    const trace = { ...reader, text: await reader.trace() };
    const marks = { acknowledged: "ready", begin: "opening" };
    const [opened] = syncsOfTrace(trace, marks);
    expect(opened!.syncs).toBeGreaterThan(0);
  });

  it("leaves the connection to its owner", async () => {
    const database = await connected(await newPath());
    await (await sqliteStorage({ database })).close();
    expect(database.prepare("SELECT 1 AS one").get()).toEqual({ one: 1 });
  });

  it("serves several stores on one connection", async () => {
    const database = await connected(await newPath());
    const [one, two] = [await sqliteStorage({ database }), await sqliteStorage({ database })];
    const [head] = await Promise.all([
      one.chains.append("a", genesis, [text("r")]),
      two.chains.append("b", genesis, [text("r")]),
    ]);
    expect(await two.chains.head("a")).toEqual(head);
  });

  it("gives numbers from a connection that prefers bigints", async () => {
    const database = await connected(await newPath());
    (database as { defaultSafeIntegers?(on: boolean): void }).defaultSafeIntegers?.(true);
    const { chains, blobs } = await sqliteStorage({ database });
    expect(await chains.append("a", genesis, [text("r")])).toMatchObject({ size: 1 });
    expect(await chains.head("a")).toMatchObject({ size: 1 });
    expect(await blobs.count()).toBe(0);
  });

  it("can be read in SQL", async () => {
    const path = await newPath();
    const storage = await openAt(path);
    const blob = blobOf(text("hello"));
    await storage.commit({
      append: { chain: "ledger ä", expected: genesis, records: [text("one"), text("two")] },
      blobs: [blob],
      state: [{ key: text("k"), value: text("v") }],
    });
    await storage.close();
    const shown = {
      hl_show_chains: [{ name: "ledger ä", size: 2, bytes: 6, newest: 1 }],
      hl_show_records: [
        { name: "ledger ä", position: 0, bytes: 3, record: "6f6e65" },
        { name: "ledger ä", position: 1, bytes: 3, record: "74776f" },
      ],
      hl_show_blobs: [
        {
          arrival: 1,
          // SHA-256 of "hello"
          sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
          codec: "0x55",
          bytes: 5,
        },
      ],
      hl_show_state: [{ key: "6b", bytes: 1, value: "76" }],
    };
    const database = await connected(path);
    for (const [view, rows] of Object.entries(shown)) {
      expect(database.prepare(`SELECT * FROM ${view}`).all()).toEqual(rows);
      const shell = spawnSync("sqlite3", ["-json", path, `SELECT * FROM ${view}`]);
      if (shell.error === undefined) expect(JSON.parse(String(shell.stdout))).toEqual(rows);
    }
  });

  it("is laid out as the specification says", async () => {
    const spec = await readFile(new URL("../../docs/spec/storage.md", import.meta.url), "utf8");
    const section = spec.split("## SQLite\n")[1]!.split("\n## ")[0]!;
    const blocks = [...section.matchAll(/^```(sql|text)\n(.*?)^```/gms)].map((found) => found[2]!);
    const database = await connected(await newPath());
    const storage = await sqliteStorage({ database });
    const [hello, world] = [blobOf(text("hello")), blobOf(text("world"))];
    await storage.commit({
      append: { chain: "ledger", expected: genesis, records: [text("record 0")] },
      blobs: [hello, world],
      state: [{ key: text("k"), value: text("v") }],
    });
    await storage.blobs.delete([hello.cid]);
    const plain = (sql: string) => sql.replaceAll(/\s+/g, " ").trim();
    const tables = database
      .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
      .all() as { sql: string }[];
    const written = plain(blocks[0]!).split(/; ?/).filter(Boolean);
    expect(tables.map(({ sql }) => plain(sql)).sort()).toEqual(written.sort());
    const show = (value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString("hex") : JSON.stringify(value);
    const lines = ["hl_format", "hl_chains", "hl_records", "hl_blobs", "hl_state"].flatMap(
      (table) =>
        database
          .prepare(`SELECT * FROM ${table}`)
          .all()
          .map(
            (row) =>
              `${table}: ${Object.values(row as object)
                .map(show)
                .join(", ")}\n`,
          ),
    );
    expect(lines.join("")).toBe(blocks[1]);
  });

  it("shares one sync among commits made at a time", async () => {
    const database = await connected(await newPath());
    let commits = 0;
    instead(database, "COMMIT", () => void commits++);
    const storage = await sqliteStorage({ database });
    await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        storage.commit({
          append: { chain: `chain ${i}`, expected: genesis, records: [text(`${i}`)] },
          blobs: [blobOf(text(`${i}`))],
        }),
      ),
    );
    expect(commits).toBe(1);
    expect(await storage.blobs.count()).toBe(50);
  });

  it("waits for another connection's transaction, and says when that took too long", async () => {
    const path = await newPath();
    const other = await connected(path);
    const storage = await sqliteStorage({ database: await connected(path), busyTimeout: 100 });
    other.exec("BEGIN IMMEDIATE");
    const append = () => storage.chains.append("a", genesis, [text("r")]);
    await expect(append()).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    await expect(storage.compact()).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    expect(await storage.chains.head("a")).toEqual(genesis);
    // To open what is there needs no lock.
    const patient = await sqliteStorage({ database: await connected(path), busyTimeout: 0 });
    expect(await patient.chains.head("a")).toEqual(genesis);
    const waiting = storage.chains.append("a", genesis, [text("r")]);
    setTimeout(() => other.exec("ROLLBACK"), 30);
    expect(await waiting).toMatchObject({ size: 1 });
  });
});

describe("sqliteStorage when SQLite fails", () => {
  const error = (code: string) => Object.assign(new Error(code), { code });

  async function failing(): Promise<{ storage: FullStorage; fail(...codes: string[]): void }> {
    const failures: string[] = [];
    const database = instead(await connected(await newPath()), "COMMIT", () => {
      const code = failures.shift();
      if (code !== undefined) throw error(code);
    });
    const storage = await sqliteStorage({ database });
    return { storage, fail: (...codes) => void failures.push(...codes) };
  }

  it.each([
    ["SQLITE_FULL", "ERR_STORAGE_FAILED"],
    ["SQLITE_IOERR_FSYNC", "ERR_STORAGE_AMBIGUOUS"],
    ["SQLITE_IOERR_WRITE", "ERR_STORAGE_AMBIGUOUS"],
    ["SQLITE_NOMEM", "ERR_STORAGE_AMBIGUOUS"],
  ])("calls %s at the commit %s, and can be called again", async (code, expected) => {
    const { storage, fail } = await failing();
    fail(code);
    const append = () => storage.chains.append("a", genesis, [text("r")]);
    await expect(append()).rejects.toMatchObject({ code: expected });
    expect(await append()).toMatchObject({ size: 1 });
  });

  it("leaves all in doubt that shared a commit of unknown outcome", async () => {
    const { storage, fail } = await failing();
    fail("SQLITE_IOERR_FSYNC");
    const both = () => [
      storage.chains.append("a", genesis, [text("r")]),
      storage.chains.append("b", genesis, [text("r")]),
    ];
    const doubt = { reason: { code: "ERR_STORAGE_AMBIGUOUS" } };
    expect(await Promise.allSettled(both())).toMatchObject([doubt, doubt]);
    expect(await Promise.all(both())).toMatchObject([{ size: 1 }, { size: 1 }]);
  });

  it("knows the codes that node:sqlite gives as numbers", async () => {
    const database = instead(await connected(await newPath()), "COMMIT", () => {
      // SQLITE_IOERR_FSYNC
      throw Object.assign(new Error("disk I/O error"), { code: "ERR_SQLITE_ERROR", errcode: 1034 });
    });
    const { chains } = await sqliteStorage({ database });
    await expect(chains.append("a", genesis, [text("r")])).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
    });
  });

  it("tells a conflict only with what is durable", async () => {
    const { storage, fail } = await failing();
    // The transaction of both fails, then that of the first alone.
    fail("SQLITE_FULL", "SQLITE_FULL");
    const [one, two] = await Promise.allSettled([
      storage.chains.append("a", genesis, [text("one")]),
      storage.chains.append("a", genesis, [text("two")]),
    ]);
    expect(one).toMatchObject({ reason: { code: "ERR_STORAGE_FAILED" } });
    expect(two).toMatchObject({ value: { size: 1 } });
  });

  it("does not let one call's failure hit those beside it", async () => {
    const database = await connected(await newPath());
    const storage = await sqliteStorage({ database });
    database.exec(`PRAGMA max_page_count = ${pages(database) + 4}`);
    const [small, large, other] = await Promise.allSettled([
      storage.chains.append("a", genesis, [text("small")]),
      storage.chains.append("b", genesis, [new Uint8Array(200_000)]),
      storage.state.batch([{ key: text("k"), value: text("v") }]),
    ]);
    expect(small).toMatchObject({ value: { size: 1 } });
    expect(large).toMatchObject({ reason: { code: "ERR_STORAGE_FAILED" } });
    expect(other.status).toBe("fulfilled");
    expect(await storage.chains.head("b")).toEqual(genesis);
    database.exec("PRAGMA max_page_count = 1000000");
    expect(await storage.chains.append("b", genesis, [new Uint8Array(200_000)])).toMatchObject({
      size: 1,
    });
  });

  function pages(database: Connection): number {
    return (database.prepare("PRAGMA page_count").get() as { page_count: number }).page_count;
  }

  it("undoes what a call wrote that failed in the middle, and only that", async () => {
    const remove = "DELETE FROM hl_blobs WHERE sha256 = ? AND codec = ?";
    const database = instead(await connected(await newPath()), remove, () => {
      throw error("SQLITE_ERROR");
    });
    const storage = await sqliteStorage({ database });
    const [before, failed, after] = await Promise.allSettled([
      storage.chains.append("a", genesis, [text("r")]),
      storage.blobs.delete([blobOf(text("b")).cid]),
      storage.state.batch([{ key: text("k"), value: text("v") }]),
    ]);
    expect([before!.status, after!.status]).toEqual(["fulfilled", "fulfilled"]);
    expect(failed).toMatchObject({ reason: { code: "ERR_STORAGE_FAILED" } });
    expect(await storage.chains.head("a")).toMatchObject({ size: 1 });
    expect(await storage.state.get(text("k"))).toEqual(text("v"));
  });

  it("says that a connection was closed under it", async () => {
    const database = await connect(await newPath());
    const { chains, state } = await sqliteStorage({ database });
    database.close();
    await expect(chains.head("a")).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    await expect(chains.append("a", genesis, [text("r")])).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
    });
    await expect(state.get(text("k"))).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
  });

  it("names what does not make sense", async () => {
    const database = await connected(await newPath());
    const { chains, state, blobs } = await sqliteStorage({ database });
    await chains.append("a", genesis, [text("0"), text("1"), text("2")]);
    await state.batch([{ key: text("k"), value: text("value") }]);
    await blobs.put([blobOf(text("b"))]);
    database.exec(`
      DELETE FROM hl_records WHERE position = 1;
      UPDATE hl_state SET value = CAST('valve' AS BLOB);
      UPDATE hl_blobs SET bytes = 'text'`);
    const corrupt = { code: "ERR_STORAGE_CORRUPT" };
    const all = async (source: AsyncIterable<unknown>) => {
      for await (const _ of source);
    };
    await expect(all(chains.read("a", { from: 0 }))).rejects.toMatchObject(corrupt);
    await expect(state.get(text("k"))).rejects.toMatchObject(corrupt);
    await expect(all(state.scan({ gte: text("a"), lt: text("z") }))).rejects.toMatchObject(corrupt);
    await expect(blobs.get(blobOf(text("b")).cid)).rejects.toMatchObject(corrupt);
  });
});

describe("compact", () => {
  const secret = (i: number) => text(`secret ${i} ${"s".repeat(i % 50)} ends`);

  function secretsIn(path: string): number {
    const content = bytesOf(path);
    return Array.from({ length: 300 }, (_, i) => content.includes(Buffer.from(secret(i)))).filter(
      Boolean,
    ).length;
  }

  it("leaves no byte of what was deleted in any file", async () => {
    const path = await newPath();
    await using storage = await openAt(path);
    // Another connection keeps the log alive.
    await using other = await openAt(path);
    const pad = new Uint8Array(700).fill(46);
    const blobs = Array.from({ length: 300 }, (_, i) =>
      blobOf(i % 2 === 0 ? secret(i) : new Uint8Array([...pad, ...secret(i), ...pad])),
    );
    const large = blobOf(new Uint8Array([...new Uint8Array(60_000), ...secret(0)]));
    const others = Array.from({ length: 300 }, (_, i) => blobOf(text(`kept ${i}`)));
    await storage.blobs.put([large]);
    for (let i = 0; i < 300; i += 30) {
      await storage.blobs.put([...blobs.slice(i, i + 30), ...others.slice(i, i + 30)]);
      await storage.state.batch(
        blobs.slice(i, i + 30).map((_, j) => ({ key: text(`key ${i + j}`), value: secret(i + j) })),
      );
    }
    expect(secretsIn(path)).toBe(300);
    await storage.blobs.delete([large, ...blobs].map(({ cid }) => cid));
    await storage.state.batch(
      blobs.map((_, i) => ({ key: text(`key ${i}`), value: i % 2 === 0 ? null : text("new") })),
    );
    expect(secretsIn(path), "SQLite keeps freed pages, and the log").toBeGreaterThan(200);
    await storage.compact();
    expect(secretsIn(path)).toBe(0);
    expect(await other.blobs.count()).toBe(300);
    expect(await other.state.get(text("key 1"))).toEqual(text("new"));
  });

  it.skipIf(!canTrace())(
    "syncs the log that it cut short before it says that it is done",
    async () => {
      const path = await newPath();
      const traced = await spawnTraced(SERVE, { args: [path], execArgv: EXEC_ARGV, store: path });
      const write = { do: "write", kinds: ["append"], writer: "w", from: 0, count: 3 };
      traced.onLine((line) => {
        if (line === "ready") traced.send(JSON.stringify(write));
        if (line === "done w") traced.send(JSON.stringify({ do: "compact" }));
        if (line === "ack own compact") traced.send(JSON.stringify({ do: "close" }));
      });
      const text = await traced.trace();
      const calls = text.slice(text.indexOf("begin own compact"), text.indexOf("ack own compact"));
      const cut = calls.lastIndexOf("-wal>, 0)");
      expect(cut).toBeGreaterThan(0);
      expect(calls.slice(cut)).toMatch(/f(data)?sync\(\d+<[^>]*-wal>/);
    },
  );

  it("does not say that it is done while a reader keeps the log", async () => {
    const path = await newPath();
    const reader = await connected(path);
    const storage = await sqliteStorage({ database: await connected(path), busyTimeout: 100 });
    await storage.blobs.put([blobOf(secret(1))]);
    reader.exec("BEGIN");
    reader.prepare("SELECT count(*) FROM hl_blobs").get();
    await storage.blobs.delete([blobOf(secret(1)).cid]);
    await expect(storage.compact()).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    reader.exec("ROLLBACK");
    await storage.compact();
    expect(bytesOf(path).includes(Buffer.from(secret(1)))).toBe(false);
  });
});

describe("a backup of SQLite made while it is written", () => {
  type Back = (database: Connection, to: string) => unknown;
  const ways: [string, Back][] = [
    ["VACUUM INTO", (database, to) => database.exec(`VACUUM INTO '${to}'`)],
    [
      "the client's backup",
      async (database, to) => {
        const own = database as { backup?(to: string): unknown };
        if (own.backup !== undefined) return own.backup(to);
        const { backup } = (await import("node:sqlite" as string)) as {
          backup(from: Connection, to: string): unknown;
        };
        return backup(database, to);
      },
    ],
  ];
  it.each(ways)("by %s holds whole commits and can be gone on with", async (_, back) => {
    const path = await newPath();
    const storage = await openAt(path);
    let head = genesis;
    const write = async (i: number) => {
      const records = [text(`${i}`), text(`${i} second`)];
      head = (await storage.commit({
        append: { chain: "a", expected: head, records },
        blobs: [blobOf(text(`blob ${i}`))],
        state: [{ key: text("last"), value: text(`${i}`) }],
      }))!;
    };
    for (let i = 0; i < 200; i++) await write(i);
    const to = `${path}.backup`;
    // A connection of its own, as a backup job has.
    const backing = Promise.resolve(back(await connected(path), to));
    for (let i = 200; i < 220; i++) await write(i);
    await backing;
    const copy = await openAt(to);
    const { size } = await copy.chains.head("a");
    expect(size).toBeGreaterThanOrEqual(400);
    expect(await copy.state.get(text("last"))).toEqual(text(`${size / 2 - 1}`));
    expect(await copy.blobs.count()).toBe(size / 2);
    await copy.chains.append("a", await copy.chains.head("a"), [text("on")]);
    await copy.close();
    await storage.close();
    expect((await readFile(to)).subarray(0, 15).toString()).toBe("SQLite format 3");
  });
});
