import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { postgresStorage, type PostgresStorageOptions } from "../../src/storage/postgres.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { storageCases } from "../../src/testing/storage-kit.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";

const genesis = { size: 0, hash: null };
const text = (value: string) => new TextEncoder().encode(value);
const failed = { code: "ERR_STORAGE_FAILED" };

let cluster: Cluster;
let schemas = 0;
let schema = "";
beforeEach(() => {
  schema = `server${schemas++}`;
});

/** Opens a store in a schema of the test's own. */
const open = (options: Partial<PostgresStorageOptions> = {}, on = cluster): Promise<FullStorage> =>
  postgresStorage({ pool: on.pool(), schema, ...options });

describePostgres("what a server promises", () => {
  beforeAll(async () => {
    cluster = await startCluster({ settings: { wal_writer_delay: "10s" } });
  });
  afterAll(() => cluster?.remove());

  it("is reported as found", async () => {
    await using storage = await open();
    expect(storage.chains.caps).toMatchObject({ durability: "power", multiProcess: true });
    await expect(open({ durability: "quorum" })).rejects.toMatchObject(failed);
  });

  it.each(["fsync", "full_page_writes"])("without %s is refused or reported", async (setting) => {
    const weak = await startCluster({ settings: { [setting]: "off" } });
    await expect(open({}, weak)).rejects.toMatchObject({
      ...failed,
      message: expect.stringContaining("fsync or full_page_writes") as string,
    });
    expect(await weak.sql("SELECT 1 FROM pg_namespace WHERE nspname = $1", [schema])).toEqual([]);
    await using storage = await open({ durability: "process" }, weak);
    expect(storage.chains.caps.durability).toBe("process");
    expect(await storage.chains.append("a", genesis, [text("r")])).toMatchObject({ size: 1 });
    await storage.close();
    await weak.remove();
  });

  it("does not depend on the role's synchronous_commit", async () => {
    await cluster.sql("CREATE ROLE hasty SUPERUSER LOGIN");
    await cluster.sql("ALTER ROLE hasty SET synchronous_commit = off");
    const pool = cluster.pool({ user: "hasty" });
    await using storage = await postgresStorage({ pool, schema });
    expect(storage.chains.caps.durability).toBe("power");
    const unflushed = async () => {
      const [row] = await cluster.sql(
        "SELECT (pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn())::int AS bytes",
      );
      return (row as { bytes: number }).bytes;
    };
    await pool.query("CREATE TABLE plain (id int)");
    await pool.query("INSERT INTO plain VALUES (1)");
    expect(await unflushed(), "what a plain write of this role leaves").toBeGreaterThan(0);
    await storage.chains.append("a", genesis, [text("r")]);
    expect(await unflushed()).toBe(0);
    await storage.state.batch([{ key: text("k"), value: text("v") }], { sync: false });
    expect(await unflushed(), "what was not to be synced").toBeGreaterThan(0);
    await storage.state.batch([{ key: text("k"), value: null }]);
    expect(await unflushed()).toBe(0);
  });

  it("is asked for again with every write", async () => {
    await using storage = await open();
    const head = await storage.chains.append("a", genesis, [text("one")]);
    await cluster.set({ full_page_writes: "off" });
    const append = () => storage.chains.append("a", head, [text("two")]);
    await expect(append()).rejects.toMatchObject(failed);
    await expect(storage.blobs.put([])).rejects.toMatchObject(failed);
    expect(await storage.chains.head("a")).toEqual(head);
    await cluster.set({ full_page_writes: "on" });
    expect(await append()).toMatchObject({ size: 2 });
  });

  it("is asked for again on every new connection", async () => {
    const pool = cluster.pool({ idleTimeoutMillis: 1, max: 1 });
    await using storage = await postgresStorage({ pool, schema });
    await cluster.set({ full_page_writes: "off" });
    await expect.poll(() => pool.totalCount).toBe(0);
    await expect(storage.state.get(text("k"))).rejects.toMatchObject(failed);
    await cluster.set({ full_page_writes: "on" });
    expect(await storage.state.get(text("k"))).toBeUndefined();
  });

  it("is nothing where a table is not logged", async () => {
    await (await open()).close();
    await cluster.sql(`ALTER TABLE ${schema}.blob SET UNLOGGED`);
    await expect(open()).rejects.toMatchObject({
      ...failed,
      message: expect.stringContaining("UNLOGGED") as string,
    });
  });

  it("needs a standby that is there, where commits wait for one", async () => {
    const alone = await startCluster({ settings: { synchronous_standby_names: "nobody" } });
    await expect(open({}, alone)).rejects.toMatchObject({
      ...failed,
      message: expect.stringContaining("none is connected") as string,
    });
    await alone.remove();
  });
});

describePostgres("a role whose defaults are hostile", () => {
  beforeAll(async () => {
    cluster = await startCluster();
    await cluster.sql("CREATE ROLE hostile LOGIN");
    await cluster.sql("GRANT CREATE ON DATABASE postgres TO hostile");
    const settings = {
      bytea_output: "escape",
      client_min_messages: "error",
      default_transaction_isolation: "serializable",
      default_transaction_read_only: "on",
      idle_in_transaction_session_timeout: "1ms",
      synchronous_commit: "off",
      lock_timeout: "1ms",
      search_path: "nowhere",
      datestyle: "German",
    };
    for (const [name, value] of Object.entries(settings)) {
      await cluster.sql(`ALTER ROLE hostile SET ${name} = '${value}'`);
    }
  });
  afterAll(() => cluster?.remove());

  it.each(storageCases)("$name", ({ run }) =>
    run(async () => {
      const opened: FullStorage[] = [];
      const pool = cluster.pool({ user: "hostile", max: 20 });
      return {
        // The kit's own file tries these; here it is the role that differs.
        notTried: ["reopen", "kill", "processes", "traced"],
        async open(limits) {
          const storage = await postgresStorage({ pool, schema, ...limits });
          opened.push(storage);
          return storage;
        },
        async dispose() {
          for (const storage of opened) await storage.close();
          await pool.end();
          await cluster.sql(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
        },
      };
    }),
  );

  describe("with a statement_timeout", () => {
    beforeAll(async () => {
      await cluster.sql("ALTER ROLE hostile SET statement_timeout = '100ms'");
    });

    it("has its appends wait for others all the same", async () => {
      await using storage = await open({ pool: cluster.pool({ user: "hostile" }) });
      const head = await storage.chains.append("a", genesis, [text("one")]);
      const other = await cluster.pool().connect();
      await other.query("BEGIN");
      await other.query(`SELECT * FROM ${schema}.chain FOR UPDATE`);
      const append = storage.chains.append("a", head, [text("two")]);
      const slow = cluster.pool({ user: "hostile" }).query("SELECT pg_sleep(1)");
      await expect(slow).rejects.toMatchObject({ code: "57014" });
      await other.query("COMMIT");
      other.release();
      expect(await append).toMatchObject({ size: 2 });
    });
  });
});

describePostgres("a server that cannot be worked with", () => {
  it("is reported as failed", async () => {
    const gone = await startCluster();
    await using storage = await open({}, gone);
    await gone.crash();
    await expect(storage.chains.head("a")).rejects.toMatchObject(failed);
    await expect(storage.chains.append("a", genesis, [text("r")])).rejects.toMatchObject(failed);
    await expect(open({}, gone)).rejects.toMatchObject(failed);
    await gone.start();
    expect(await storage.chains.append("a", genesis, [text("r")])).toMatchObject({ size: 1 });
    await gone.remove();
    await expect(storage.chains.head("a")).rejects.toMatchObject(failed);
  });

  it("is refused while it is read-only", async () => {
    const server = await startCluster();
    await (await open({}, server)).close();
    await server.sql("ALTER ROLE postgres SET default_transaction_read_only = on");
    // This is a default only, which the adapter overrides; a database in recovery it cannot.
    await using storage = await open({}, server);
    expect(await storage.chains.append("a", genesis, [text("r")])).toMatchObject({ size: 1 });
    await storage.close();
    await server.remove();
  });
});
