import { afterAll, beforeAll, expect, it } from "vitest";
import { AppendConflict } from "../../src/storage/errors.ts";
import { postgresStorage } from "../../src/storage/postgres.ts";
import type { ChainStore, Head } from "../../src/storage/types.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";
import { startProxy } from "./proxy.ts";

const genesis: Head = { size: 0, hash: null };
const text = (value: string) => new TextEncoder().encode(value);

async function appendMany(chains: ChainStore, label: string, count: number): Promise<void> {
  let head = await chains.head("a");
  for (let done = 0; done < count;) {
    try {
      head = await chains.append("a", head, [text(`${label} ${done}`)]);
      done++;
    } catch (error) {
      if (!(error instanceof AppendConflict)) throw error;
      head = error.head;
    }
  }
}

/** Reads so many records with tail, which must come in order and once. */
async function follow(chains: ChainStore, count: number, from = 0): Promise<void> {
  let next = from;
  for await (const { index } of chains.tail!("a", { from })) {
    expect(index).toBe(next++);
    if (next === from + count) return;
  }
}

/** Longer than any test: what is seen was notified. */
const NEVER = 10_000_000;

describePostgres("tail over LISTEN", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster?.remove());

  const listeners = () =>
    cluster.sql(
      "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND pid <> pg_backend_pid()",
    );

  it("misses nothing of four writers, though its connection is ended again and again", async () => {
    const open = () =>
      postgresStorage({ pool: cluster.pool(), schema: "tail", pollInterval: NEVER });
    const reading = await open();
    const writing = await Promise.all([open(), open(), open(), open()]);
    const following = Promise.all([
      follow(reading.chains, 400),
      follow(reading.chains, 380, 20),
      follow(writing[0]!.chains, 400),
    ]);
    let ended = 0;
    let writes: Promise<unknown> | undefined;
    const writers = writing.map(({ chains }, i) => appendMany(chains, `writer ${i}`, 100));
    writes = Promise.all(writers).finally(() => (writes = undefined));
    while (writes !== undefined) {
      const rows = await cluster.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND pid <> pg_backend_pid()",
      );
      ended += rows.length;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await following;
    expect(ended).toBeGreaterThan(2);
    expect(await reading.chains.head("a")).toMatchObject({ size: 400 });
    for (const storage of [reading, ...writing]) await storage.close();
    await expect.poll(listeners).toEqual([]);
  });

  it("wakes for its own chain only, and lets its connection go with the last iteration", async () => {
    await using storage = await postgresStorage({
      pool: cluster.pool(),
      schema: "tail own",
      pollInterval: NEVER,
    });
    const stop = new AbortController();
    const seen: number[] = [];
    const following = (async () => {
      for await (const { index } of storage.chains.tail!("a", { from: 0, signal: stop.signal })) {
        seen.push(index);
      }
    })();
    await expect.poll(listeners).toHaveLength(1);
    await storage.chains.append("b", genesis, [text("other")]);
    await storage.chains.append("a", genesis, [text("one")]);
    await expect.poll(() => seen).toEqual([0]);
    stop.abort(new Error("enough"));
    await expect(following).rejects.toThrow("enough");
    await expect.poll(listeners).toEqual([]);
  });

  it("looks by itself where notifications do not get through", async () => {
    // One connection in all: none to listen on.
    const single = await postgresStorage({
      pool: cluster.pool({ max: 1 }),
      schema: "tail single",
      pollInterval: 10,
    });
    const following = follow(single.chains, 20);
    await appendMany(single.chains, "single", 20);
    await following;
    expect(await listeners()).toEqual([]);
    await single.close();

    const proxy = await startProxy(cluster.port);
    const deaf = await postgresStorage({
      pool: cluster.pool({ port: proxy.port }),
      schema: "tail deaf",
      pollInterval: 10,
    });
    proxy.ambush = { when: "LISTEN", delivered: false };
    const again = follow(deaf.chains, 20);
    await appendMany(deaf.chains, "deaf", 20);
    await again;
    expect(proxy.sprung).toBe(1);
    await deaf.close();
    await proxy.close();
  });
});
