import { afterAll, beforeAll, expect, it } from "vitest";
import { postgresStorage } from "../../src/storage/postgres.ts";
import { expectNothingLost } from "../support/lanes.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";

describePostgres("several processes of one member, on one PostgreSQL server", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster?.remove());

  it("lose no write", async () => {
    expect.hasAssertions();
    const open = () => postgresStorage({ pool: cluster.pool(), schema: "lanes" });
    await expectNothingLost("postgres", String(cluster.port), open, 40);
  });
});
