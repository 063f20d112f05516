import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { postgresStorage } from "../../src/storage/postgres.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";
import { followed, REPLICATED, startStandby, until } from "./standby.ts";

const genesis = { size: 0, hash: null };
const text = (value: string) => new TextEncoder().encode(value);
const append = (storage: FullStorage) => storage.chains.append("a", genesis, [text("one")]);

describePostgres("a server with a synchronous standby", () => {
  let primary: Cluster;
  let standby: Cluster;
  let schemas = 0;
  let schema = "";
  beforeAll(async () => {
    primary = await startCluster({ settings: REPLICATED });
    standby = await startStandby(primary, "s1");
    await primary.set({ synchronous_standby_names: "ANY 1 (s1, s2)" });
    await followed(primary, 1);
  });
  beforeEach(() => {
    schema = `standby${schemas++}`;
  });
  afterAll(async () => {
    await standby?.remove();
    await primary?.remove();
  });

  const open = (on = primary, options: object = {}) =>
    postgresStorage({ pool: on.pool(options), schema });
  /** Backends whose COMMIT waits for the standby. */
  const waiting = () =>
    primary.sql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
  const backAgain = async () => {
    await standby.start();
    await followed(primary, 1);
  };
  /** What anybody sees who asks the server itself. */
  const plainSize = async () => {
    const rows = await primary.sql(`SELECT size FROM ${schema}.chain`);
    return (rows[0] as { size?: string } | undefined)?.size;
  };

  it("promises to survive the loss of one machine", async () => {
    await using storage = await postgresStorage({
      pool: primary.pool(),
      schema,
      durability: "quorum",
    });
    expect(storage.chains.caps.durability).toBe("quorum");
    await append(storage);
    const rows = await standby.sql("SELECT pg_last_wal_receive_lsn() AS lsn");
    const [row] = await primary.sql(
      "SELECT pg_current_wal_flush_lsn() <= $1::pg_lsn OR EXISTS (SELECT FROM pg_stat_replication WHERE flush_lsn >= $1::pg_lsn) AS there",
      [(rows[0] as { lsn: string }).lsn],
    );
    expect(row).toEqual({ there: true });
  });

  it("promises less to a role that does not wait for it", async () => {
    await primary.sql("CREATE ROLE local SUPERUSER LOGIN");
    await primary.sql("ALTER ROLE local SET synchronous_commit = local");
    await using storage = await open(primary, { user: "local" });
    expect(storage.chains.caps.durability).toBe("power");
    await expect(
      postgresStorage({ pool: primary.pool({ user: "local" }), schema, durability: "quorum" }),
    ).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    await standby.stop();
    expect(await append(storage)).toMatchObject({ size: 1 });
    await backAgain();
  });

  it("is not replaced by the standby itself", async () => {
    await (await open()).close();
    await until(
      async () => (await standby.sql(`SELECT to_regnamespace('${schema}') AS s`))[0].s,
      "replay",
    );
    await expect(open(standby)).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
      message: expect.stringContaining("standby") as string,
    });
  });

  it("has an append wait until the standby is back, whatever the role's limits", async () => {
    await primary.sql("DROP ROLE IF EXISTS brief");
    await primary.sql("CREATE ROLE brief SUPERUSER LOGIN");
    await primary.sql("ALTER ROLE brief SET statement_timeout = '50ms'");
    await primary.sql("ALTER ROLE brief SET idle_in_transaction_session_timeout = '50ms'");
    await using storage = await open(primary, { user: "brief" });
    await standby.stop();
    const stop = new AbortController();
    const waits = storage.chains.append("a", genesis, [text("one")], { signal: stop.signal });
    let done = false;
    void waits.then(() => (done = true));
    await until(async () => (await waiting()).length > 0, "an append that waits");
    stop.abort(new Error("ignored once it began"));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect([done, await plainSize()], "acknowledged or seen").toEqual([false, undefined]);
    await backAgain();
    expect(await waits).toMatchObject({ size: 1 });
  });

  it.each(["pg_cancel_backend", "pg_terminate_backend"])(
    "does not show, nor confirm by a replay, what %s made visible too soon",
    async (end) => {
      const [writer, reader, late] = [await open(), await open(), await open()];
      await standby.stop();
      const first = append(writer);
      first.catch(() => {});
      await until(async () => (await waiting()).length > 0, "an append that waits");
      await primary.sql(`SELECT ${end}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`);
      await expect(first).rejects.toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS" });
      await until(async () => (await plainSize()) === "1", "what the server itself shows");

      let settled = 0;
      const calls = [
        append(writer),
        reader.chains.head("a"),
        late.chains.append("a", genesis, [text("other")]).catch((error: unknown) => error),
        (async () => {
          for await (const item of reader.chains.read("a", { from: 0 })) return item;
          return undefined;
        })(),
      ];
      for (const call of calls) void call.then(() => settled++);
      // Or that do not: then the next line says so.
      await until(async () => (await waiting()).length + settled >= calls.length, "all calls");
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(settled).toBe(0);
      await backAgain();
      const [again, head, conflict, item] = await Promise.all(calls);
      expect(again).toEqual(head);
      expect(conflict).toMatchObject({ code: "ERR_STORAGE_CONFLICT", head });
      expect(item).toEqual({ index: 0, record: text("one") });
      for (const storage of [writer, reader, late]) await storage.close();
    },
  );

  it("does not call blobs put, or erased, or state changed, that are so here only", async () => {
    const [writer, other] = [await open(), await open()];
    const [old, fresh] = [text("old"), text("fresh")].map((bytes) => ({
      cid: cidOf(bytes, RAW),
      bytes,
    }));
    const gone = text("gone");
    await writer.commit({ blobs: [old!], state: [{ key: gone, value: gone }] });
    await standby.stop();
    const changes = (storage: FullStorage) => [
      storage.blobs.put([fresh!]),
      storage.blobs.delete([old!.cid]),
      storage.state.batch([{ key: gone, value: null }]),
    ];
    const first = changes(writer);
    for (const call of first) call.catch(() => {});
    await until(async () => (await waiting()).length === first.length, "calls that wait");
    await primary.sql(
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
    );
    for (const call of first) {
      await expect(call).rejects.toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS" });
    }
    // Everything is as it is to be already: there is nothing that they would write.
    let settled = 0;
    const again = changes(other);
    for (const call of again) void call.then(() => settled++);
    await until(async () => (await waiting()).length + settled >= again.length, "all calls");
    expect(settled, "called done with no standby that has it").toBe(0);
    await backAgain();
    await Promise.all(again);
    for (const storage of [writer, other]) await storage.close();
  });

  it("does not show what only a crashed primary has", async () => {
    const writer = await open();
    await standby.stop();
    const first = append(writer);
    first.catch(() => {});
    await until(async () => (await waiting()).length > 0, "an append that waits");
    await primary.crash();
    await expect(first).rejects.toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS" });
    await primary.start();
    expect(await plainSize(), "PostgreSQL itself shows it").toBe("1");
    let shown = false;
    const head = writer.chains.head("a");
    void head.then(() => (shown = true));
    await until(async () => (await waiting()).length > 0, "a read that waits");
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(shown).toBe(false);
    await backAgain();
    expect(await head).toMatchObject({ size: 1 });
    await writer.close();
  });

  it("is no longer written to when it stops waiting for standbys", async () => {
    await using storage = await open();
    await primary.set({ synchronous_standby_names: "" });
    await expect(append(storage)).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    expect(await plainSize()).toBeUndefined();
    await primary.set({ synchronous_standby_names: "ANY 1 (s1, s2)" });
    await followed(primary, 1);
    expect(await append(storage)).toMatchObject({ size: 1 });
  });
});
