import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { postgresStorage } from "../../src/storage/postgres.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";
import { startProxy, type Proxy } from "./proxy.ts";

const genesis = { size: 0, hash: null };
const text = (value: string) => new TextEncoder().encode(value);
/** The statement as it is sent; `READ COMMITTED` is another one. */
const COMMIT = "COMMIT\0";
const blob = { cid: cidOf(text("blob"), RAW), bytes: text("blob") };
const commit = {
  append: { chain: "a", expected: genesis, records: [text("one"), text("two")] },
  blobs: [blob],
  state: [{ key: text("k"), value: text("v") }],
};

describePostgres("a connection that breaks", () => {
  let cluster: Cluster;
  let proxy: Proxy;
  let storage: FullStorage;
  let schemas = 0;
  beforeAll(async () => {
    cluster = await startCluster();
    proxy = await startProxy(cluster.port);
  });
  beforeEach(async () => {
    const pool = cluster.pool({ port: proxy.port });
    storage = await postgresStorage({ pool, schema: `lost${schemas++}` });
  });
  afterAll(async () => {
    await proxy?.close();
    await cluster?.remove();
  });

  it("after COMMIT leaves the outcome unknown, and a repeated call gives the first answer", async () => {
    proxy.ambush = { when: COMMIT, delivered: true };
    await expect(storage.commit(commit)).rejects.toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS" });
    expect(proxy.sprung).toBeGreaterThan(0);
    expect((await storage.chains.head("a")).size).toBe(2);
    await storage.blobs.delete([blob.cid]);
    await storage.state.batch([{ key: text("k"), value: text("newer") }]);
    const head = await storage.commit(commit);
    expect(head).toEqual(await storage.chains.head("a"));
    expect(await storage.blobs.has(blob.cid), "what was deleted since").toBe(false);
    expect(await storage.state.get(text("k"))).toEqual(text("newer"));
  });

  it("before COMMIT arrives leaves the outcome unknown too, and calling again writes it", async () => {
    proxy.ambush = { when: COMMIT, delivered: false };
    await expect(storage.commit(commit)).rejects.toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS" });
    expect(await storage.chains.head("a")).toEqual(genesis);
    expect((await storage.commit(commit))!.size).toBe(2);
    expect(await storage.blobs.get(blob.cid)).toEqual(blob.bytes);
  });

  it("before COMMIT was sent means that nothing was written", async () => {
    for (const delivered of [true, false]) {
      proxy.ambush = { when: "apply_batch", delivered };
      await expect(storage.commit(commit)).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
      expect(await storage.chains.head("a")).toEqual(genesis);
      expect(await storage.blobs.count()).toBe(0);
    }
    expect((await storage.commit(commit))!.size).toBe(2);
  });

  it("settles each of many appends by calling again, whatever became of them", async () => {
    let head = await storage.chains.head("a");
    const written: Uint8Array[] = [];
    let doubts = 0;
    for (let i = 0; i < 60; i++) {
      const record = text(`record ${i}`);
      if (i % 3 < 2) proxy.ambush = { when: COMMIT, delivered: i % 3 === 0 };
      for (;;) {
        try {
          head = await storage.chains.append("a", head, [record]);
          written.push(record);
          break;
        } catch (error) {
          expect(error).toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS" });
          doubts++;
        }
      }
    }
    expect(doubts).toBe(40);
    const stored: Uint8Array[] = [];
    for await (const { record } of storage.chains.read("a", { from: 0 })) stored.push(record);
    expect(stored).toEqual(written);
  });

  it("while nothing is asked does no harm", async () => {
    await storage.chains.append("a", genesis, [text("one")]);
    proxy.cut();
    await expect
      .poll(() =>
        storage.chains.head("a").then(
          ({ size }) => size,
          () => undefined,
        ),
      )
      .toBe(1);
  });

  it("because the server ended it is told apart in the same way", async () => {
    const head = await storage.chains.append("a", genesis, [text("one")]);
    const other = await cluster.pool().connect();
    await other.query("BEGIN");
    await other.query(`SELECT * FROM lost${schemas - 1}.chain FOR UPDATE`);
    const append = storage.chains.append("a", head, [text("two")]);
    append.catch(() => {});
    await expect
      .poll(() =>
        cluster.sql(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
        ),
      )
      .toHaveLength(1);
    await expect(append).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    await other.query("COMMIT");
    other.release();
    expect(await storage.chains.append("a", head, [text("two")])).toMatchObject({ size: 2 });
  });

  it("is not lent again", async () => {
    proxy.ambush = { when: COMMIT, delivered: true };
    await storage.commit(commit).catch(() => {});
    for (let i = 0; i < 5; i++) expect((await storage.chains.head("a")).size).toBe(2);
  });
});
