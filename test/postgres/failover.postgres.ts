import { afterAll, beforeAll, expect, it } from "vitest";
import { postgresStorage } from "../../src/storage/postgres.ts";
import { effort } from "../support/effort.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";
import { startProxy, type Proxy } from "./proxy.ts";
import {
  follow,
  followed,
  promoteBest,
  rejoin,
  REPLICATED,
  startStandby,
  until,
} from "./standby.ts";
import { inspect, startWriter, type Writer } from "./written.ts";

/** `HEALTHLEDGER_FAILOVER_ROUNDS`: how often the primary is killed. */
const ROUNDS = effort("HEALTHLEDGER_FAILOVER_ROUNDS", { full: 10, short: 2 });

describePostgres("a cluster that loses its primary", () => {
  let servers: Cluster[] = [];
  let proxy: Proxy;
  let writers: Writer[] = [];
  const nameOf = (server: Cluster) => `n${servers.indexOf(server)}`;

  beforeAll(async () => {
    const primary = await startCluster({ settings: REPLICATED });
    servers = [primary];
    servers.push(await startStandby(primary, "n1"), await startStandby(primary, "n2"));
    // On all three, so that whichever leads waits for one of the others.
    for (const server of servers) {
      await server.set({ synchronous_standby_names: "ANY 1 (n0, n1, n2)" });
    }
    await followed(primary, 2);
    proxy = await startProxy(primary.port);
  }, 120_000);
  afterAll(async () => {
    await Promise.all(writers.map((writer) => writer.kill()));
    await proxy?.close();
    for (const server of servers) await server.remove();
  });

  it(`goes on with all that it acknowledged, ${ROUNDS} times`, async () => {
    let lastAck = 0;
    const start = (proposer: string, lane: number) =>
      startWriter(proxy.port, "ledger", proposer, lane, () => (lastAck = performance.now()));
    writers = [start("a", 1), start("b", 2), start("a", 3), start("b", 4)];
    const count = () => writers.reduce((sum, { acks }) => sum + acks.length, 0);
    let primary = servers[0]!;
    const gaps: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const before = count();
      const wanted = before + 40 + Math.floor(Math.random() * 80);
      await until(async () => count() >= wanted, "acknowledgements");
      const old = primary;
      const standbys = servers.filter((server) => server !== old);
      await old.crash();
      const killed = performance.now();
      primary = await promoteBest(standbys);
      proxy.target = primary.port;
      proxy.cut();
      const other = standbys.find((server) => server !== primary)!;
      await follow(other, primary, nameOf(other));
      lastAck = 0;
      await until(async () => lastAck > killed, "an acknowledgement of the new primary");
      gaps.push(Math.round(lastAck - killed));
      await rejoin(old, primary, nameOf(old));
      await followed(primary, 2);
    }
    await until(async () => writers.every(({ acks }) => acks.length > 10), "every writer");
    await Promise.all(writers.map((writer) => writer.stop()));
    await using storage = await postgresStorage({
      pool: primary.pool(),
      schema: "ledger",
      durability: "quorum",
    });
    const found = await inspect(storage, writers);
    const sorted = [...gaps].sort((a, b) => a - b);
    console.log(
      `${ROUNDS} failovers:`,
      found,
      `without service ${sorted[0]} to ${sorted.at(-1)} ms, median ${sorted[sorted.length >> 1]} ms`,
    );
    expect(found.transactions, "every transaction was acknowledged in the end").toBe(found.acks);
    expect(found.acks).toBeGreaterThan(40 * ROUNDS);
  });
});
