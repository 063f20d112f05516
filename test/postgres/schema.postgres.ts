import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { postgresStorage } from "../../src/storage/postgres.ts";
import { MIGRATIONS, prepareSchema } from "../../src/storage/postgres/schema.ts";
import { openSessions } from "../../src/storage/postgres/session.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";

const genesis = { size: 0, hash: null };
const text = (value: string) => new TextEncoder().encode(value);
const blobOf = (bytes: Uint8Array) => ({ cid: cidOf(bytes, RAW), bytes });

let cluster: Cluster;

describePostgres("the schema", () => {
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster?.remove());

  it("is made once by many that start at a time", async () => {
    const opened = await Promise.all(
      Array.from({ length: 20 }, () =>
        postgresStorage({ pool: cluster.pool({ max: 2 }), schema: "many" }),
      ),
    );
    expect(await cluster.sql("SELECT * FROM many.format")).toEqual([{ version: 1 }]);
    for (const storage of opened) await storage.close();
  });

  it("can be read by a person", async () => {
    await using storage = await postgresStorage({ pool: cluster.pool(), schema: "readable" });
    const head = await storage.chains.append("ward 3/blocks", genesis, [text("one"), text("two")]);
    await storage.chains.append("ä\0\\", genesis, [text("one")]);
    expect(await cluster.sql("SELECT * FROM readable.overview ORDER BY size DESC")).toEqual([
      { name: "ward 3/blocks", size: "2", hash: Buffer.from(head.hash!).toString("hex") },
      { name: "\\303\\244\\000\\\\", size: "1", hash: expect.any(String) as string },
    ]);
    const columns = await cluster.sql(
      `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
        WHERE table_schema = 'readable' AND table_name <> 'overview' ORDER BY 1`,
    );
    expect(columns.map(({ name }: { name: string }) => name)).toEqual([
      ..."blob.bytes blob.cid chain.hash chain.id chain.name chain.size format.version".split(" "),
      ..."probe.id record.bytes record.chain record.index state.key state.value".split(" "),
    ]);
  });

  it("of a newer version is refused", async () => {
    await (await postgresStorage({ pool: cluster.pool(), schema: "newer" })).close();
    await cluster.sql("UPDATE newer.format SET version = 2");
    await expect(postgresStorage({ pool: cluster.pool(), schema: "newer" })).rejects.toMatchObject({
      code: "ERR_INPUT_UNSUPPORTED",
      message: expect.stringContaining("version 2") as string,
    });
  });

  it("of an older version is brought up, by one of many, and keeps what it holds", async () => {
    const storage = await postgresStorage({ pool: cluster.pool(), schema: "older" });
    const head = await storage.chains.append("a", genesis, [text("one")]);
    await storage.close();
    const next = [
      ...MIGRATIONS,
      (schema: string) => `ALTER TABLE ${schema}.chain ADD note text; SELECT pg_sleep(0.1)`,
      (schema: string) => `ALTER TABLE ${schema}.chain ADD more text`,
    ];
    const migrate = () =>
      openSessions(cluster.pool(), "power").use((session) => prepareSchema(session, "older", next));
    await Promise.all([migrate(), migrate(), migrate()]);
    await migrate();
    expect(await cluster.sql("SELECT * FROM older.format")).toEqual([{ version: 3 }]);
    expect(await cluster.sql("SELECT size, note, more FROM older.chain")).toEqual([
      { size: String(head.size), note: null, more: null },
    ]);
  });

  it("is unchanged by a migration that fails", async () => {
    await (await postgresStorage({ pool: cluster.pool(), schema: "failing" })).close();
    const next = [
      ...MIGRATIONS,
      (schema: string) => `ALTER TABLE ${schema}.chain ADD note text`,
      () => "SELECT 1 / 0",
    ];
    await expect(
      openSessions(cluster.pool(), "power").use((session) =>
        prepareSchema(session, "failing", next),
      ),
    ).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    await (await postgresStorage({ pool: cluster.pool(), schema: "failing" })).close();
  });

  it("takes any name, and no other schema for it", async () => {
    for (const schema of ['a "quoted" one', "Groß, mit Leerzeichen", "x".repeat(63), "select"]) {
      await using storage = await postgresStorage({ pool: cluster.pool(), schema });
      await storage.chains.append("a", genesis, [text(schema)]);
      await storage.compact();
      const found = await cluster.sql("SELECT 1 FROM pg_namespace WHERE nspname = $1", [schema]);
      expect(found).toHaveLength(1);
    }
    for (const schema of ["", "x".repeat(64), "ß".repeat(32), "a\0b", "pg_own"]) {
      await expect(postgresStorage({ pool: cluster.pool(), schema })).rejects.toThrow(RangeError);
    }
    await expect(
      postgresStorage({ pool: cluster.pool(), schema: 1 as unknown as string }),
    ).rejects.toThrow(TypeError);
  });

  it("serves a role that may read and write its tables and nothing else", async () => {
    await (await postgresStorage({ pool: cluster.pool(), schema: "shared" })).close();
    await cluster.sql(`
      CREATE ROLE app LOGIN;
      GRANT USAGE ON SCHEMA shared TO app;
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shared TO app;`);
    const pool = cluster.pool({ user: "app" });
    await using storage = await postgresStorage({ pool, schema: "shared" });
    const blob = blobOf(text("blob"));
    await storage.commit({
      append: { chain: "a", expected: genesis, records: [text("one")] },
      blobs: [blob],
      state: [{ key: text("k"), value: text("v") }],
    });
    await storage.blobs.delete([blob.cid]);
    expect(await storage.blobs.count()).toBe(0);
    await expect(storage.compact(), "for the owner only").rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
      message: expect.stringContaining("own") as string,
    });
    await expect(postgresStorage({ pool, schema: "not there" })).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
    });
  });

  it("works in a database of another encoding", async () => {
    await cluster.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    await cluster.sql("CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0");
    for (const database of ["latin", "ascii"]) {
      await using storage = await postgresStorage({ pool: cluster.pool({ database }) });
      const names = ["ward", "病棟 ₃", "a\0b", "\\x41", "x".repeat(256)];
      for (const name of names) await storage.chains.append(name, genesis, [text(name)]);
      const listed: string[] = [];
      for await (const name of storage.chains.list()) listed.push(name);
      expect(listed.sort()).toEqual([...names].sort());
    }
  });
});

describePostgres("compact", () => {
  beforeAll(async () => {
    cluster = await startCluster({ settings: { autovacuum: "off" } });
  });
  afterAll(() => cluster?.remove());

  const secrets = Array.from({ length: 60 }, (_, i) => text(`secret ${i} ${"s".repeat(i)} ends`));

  /** Which parts of the data folder hold any of the secrets, and how many. */
  async function found(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    const entries = await readdir(cluster.data, { recursive: true, withFileTypes: true });
    const contents = new Map<string, Buffer[]>();
    for (const entry of entries.filter((one) => one.isFile())) {
      const path = join(entry.parentPath ?? entry.path, entry.name);
      const part = path.slice(cluster.data.length + 1).split("/")[0]!;
      const content = await readFile(path).catch(() => Buffer.alloc(0));
      contents.set(part, [...(contents.get(part) ?? []), content]);
    }
    for (const [part, files] of contents) {
      const count = secrets.filter((secret) =>
        files.some((file) => file.includes(Buffer.from(secret))),
      ).length;
      if (count > 0) counts[part] = count;
    }
    return counts;
  }

  it("leaves nothing deleted in any table; the log keeps what went through it", async () => {
    await using storage = await postgresStorage({ pool: cluster.pool() });
    const pad = new Uint8Array(3000).fill(46);
    const blobs = secrets.map((secret, i) =>
      blobOf(i % 2 === 0 ? secret : new Uint8Array([...secret, ...pad])),
    );
    const kept = Array.from({ length: 60 }, (_, i) => blobOf(text(`kept ${i}`)));
    await storage.blobs.put([...blobs, ...kept]);
    await storage.state.batch(
      secrets.map((secret, i) => ({ key: new Uint8Array([i + 1, ...secret]), value: secret })),
    );
    await cluster.sql("CHECKPOINT");
    await cluster.sql("ANALYZE");
    await cluster.sql("CHECKPOINT");
    expect(await found()).toMatchObject({ base: 60, pg_wal: 60 });
    await storage.blobs.delete(blobs.map(({ cid }) => cid));
    await storage.state.batch(
      secrets.map((secret, i) => ({ key: new Uint8Array([i + 1, ...secret]), value: null })),
    );
    await cluster.sql("CHECKPOINT");
    expect((await found())["base"], "deleted rows stay in their pages").toBe(60);
    const { before, after } = await storage.compact();
    expect(after).toBeLessThan(before);
    expect(await found(), "as the documentation says").toEqual({ pg_wal: 60 });
    expect(await storage.blobs.count()).toBe(60);
    expect(await storage.blobs.get(kept[7]!.cid)).toEqual(kept[7]!.bytes);
  });

  it("does not say that it is done while an open transaction keeps deleted rows", async () => {
    await using storage = await postgresStorage({ pool: cluster.pool() });
    const blob = blobOf(text("kept for somebody else"));
    await storage.blobs.put([blob]);
    const dump = new pg.Client({ port: cluster.port, host: "127.0.0.1", user: "postgres" });
    await dump.connect();
    await dump.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await dump.query("SELECT 1 FROM pg_class LIMIT 1");
    await storage.blobs.delete([blob.cid]);
    const inBase = async () => {
      await cluster.sql("CHECKPOINT");
      const files = await readdir(join(cluster.data, "base"), {
        recursive: true,
        withFileTypes: true,
      });
      const contents = await Promise.all(
        files
          .filter((file) => file.isFile())
          .map((file) => readFile(join(file.parentPath ?? file.path, file.name))),
      );
      return contents.some((content) => content.includes("kept for somebody else"));
    };
    await cluster.sql("VACUUM (FULL) healthledger.blob");
    expect(await inBase(), "what VACUUM FULL leaves without a word").toBe(true);
    await expect(storage.compact()).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
      message: expect.stringContaining("not compacted") as string,
    });
    await dump.query("COMMIT");
    await dump.end();
    await storage.compact();
    expect(await inBase()).toBe(false);
  });
});
