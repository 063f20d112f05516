import { afterAll, beforeAll, expect, it } from "vitest";
import { postgresStorage } from "../../src/storage/postgres.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";
import { until } from "./standby.ts";
import { inspect, startWriter } from "./written.ts";

describePostgres("several sequencers of one ledger in PostgreSQL", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster?.remove());

  it("write one history from four processes, two of which are killed: nothing lost, nothing twice", async () => {
    const start = (proposer: string, lane: number) =>
      startWriter(cluster.port, "ledger", proposer, lane);
    const writers = [start("a", 1), start("b", 2), start("a", 3), start("b", 4)];
    const acked = (count: number) =>
      until(async () => writers.every(({ acks }) => acks.length >= count), `${count} each`);
    await acked(9);
    await Promise.all([writers[0]!.kill(), writers[1]!.kill()]);
    writers.push(start("a", 5), start("b", 6));
    await until(async () => writers.slice(2).every(({ acks }) => acks.length >= 15), "15 each");
    await Promise.all(writers.slice(2).map((writer) => writer.stop()));
    await using storage = await postgresStorage({ pool: cluster.pool(), schema: "ledger" });
    const found = await inspect(storage, writers);
    console.log("four sequencers:", found);
    expect(found.acks).toBeGreaterThanOrEqual(4 * 15 + 2 * 9);
    // Of the two that were killed up to three each may be there without their acknowledgement.
    expect(found.transactions - found.acks).toBeLessThanOrEqual(6);
  });
});
