import { connect, createServer } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { postgresStorage } from "../../src/storage/postgres.ts";
import type { FullStorage, Head } from "../../src/storage/types.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";

const EMPTY: Head = { size: 0, hash: null };
const text = (value: string) => new TextEncoder().encode(value);
const corrupt = { code: "ERR_STORAGE_CORRUPT" };

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

describePostgres("rows that were changed", () => {
  let cluster: Cluster;
  let storage: FullStorage;
  let schema: string;
  let schemas = 0;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  beforeEach(async () => {
    schema = `damaged${schemas++}`;
    storage = await postgresStorage({ pool: cluster.pool(), schema });
    let head = EMPTY;
    for (const record of ["one", "two", "three"]) {
      head = await storage.chains.append("a", head, [text(record)]);
    }
  });
  afterAll(() => cluster?.remove());

  it.each([
    "hash = set_byte(hash, 3, get_byte(hash, 3) # 1)",
    "hash = '\\x00'",
    "hash = ''",
    "size = size + 1",
    "size = size - 1",
    "size = 0",
    "size = -1",
    "size = 9007199254740993",
  ])("in a head are an error for who asks where the chain ends: %s", async (change) => {
    await cluster.sql(`UPDATE ${schema}.chain SET ${change}`);
    await expect(storage.chains.head("a")).rejects.toMatchObject(corrupt);
  });

  it("in the last record, or without it, too", async () => {
    await cluster.sql(`UPDATE ${schema}.record SET bytes = 'x' WHERE index = 2`);
    await expect(storage.chains.head("a")).rejects.toMatchObject(corrupt);
    await cluster.sql(`DELETE FROM ${schema}.record WHERE index = 2`);
    await expect(storage.chains.head("a")).rejects.toMatchObject(corrupt);
  });

  it("in a blob's name are named, whatever it is now", async () => {
    for (const cid of ["\\x6301", "\\x", "\\x00", `\\x${"ff".repeat(40)}`, `\\x0155122001`]) {
      await cluster.sql(`TRUNCATE ${schema}.blob`);
      await cluster.sql(`INSERT INTO ${schema}.blob VALUES ('${cid}', '\\x00')`);
      // The shortest of all lies before what a list begins behind; it is counted all the same.
      if (cid === "\\x") continue;
      await expect(all(storage.blobs.list()), cid).rejects.toMatchObject(corrupt);
    }
  });

  it("in a chain's name, or that belong to no chain any more, are named by the list", async () => {
    await cluster.sql(`UPDATE ${schema}.chain SET name = '\\xff'`);
    await expect(all(storage.chains.list())).rejects.toMatchObject(corrupt);
    await cluster.sql(`DELETE FROM ${schema}.chain`);
    await expect(all(storage.chains.list())).rejects.toMatchObject(corrupt);
    const other = await storage.chains.append("b", EMPTY, [text("one")]);
    expect(other.size).toBe(1);
    await expect(all(storage.chains.list())).rejects.toMatchObject(corrupt);
    await cluster.sql(`DELETE FROM ${schema}.record WHERE chain = 1`);
    expect(await all(storage.chains.list())).toEqual(["b"]);
  });

  it("ends no process where a connection breaks between being lent and being listened to", async () => {
    const farewell = Buffer.from(
      "SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0",
    );
    const frame = Buffer.alloc(5);
    frame.write("E");
    frame.writeInt32BE(4 + farewell.length, 1);
    const ready = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);
    let breaks = false;
    // A greeting and a farewell in one packet, as who is busy receives them.
    const proxy = createServer((client) => {
      const upstream = connect(cluster.port, "127.0.0.1");
      let greeted = false;
      client.on("data", (bytes) => void upstream.write(bytes));
      upstream.on("data", (bytes) => {
        if (!breaks || greeted || !bytes.includes(ready)) return void client.write(bytes);
        greeted = true;
        client.end(Buffer.concat([bytes, frame, farewell]));
        return void upstream.destroy();
      });
      for (const socket of [client, upstream]) {
        socket.on("error", () => {});
        socket.on("close", () => (client.destroy(), upstream.destroy()));
      }
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const { port } = proxy.address() as { port: number };
    const pool = cluster.pool({ port });
    const over = await postgresStorage({ pool, schema });
    breaks = true;
    const heads = await Promise.allSettled([1, 2, 3, 4].map(() => over.chains.head("a")));
    for (const head of heads) {
      if (head.status === "rejected") {
        expect(head.reason).toMatchObject({ code: "ERR_STORAGE_FAILED" });
      }
    }
    expect(heads.some(({ status }) => status === "rejected")).toBe(true);
    breaks = false;
    await expect
      .poll(() => over.chains.head("a").catch(() => undefined))
      .toMatchObject({ size: 3 });
    await pool.end();
    proxy.close();
  });
});
