import { afterAll, beforeAll, expect, it } from "vitest";
import { canMount, canTrace } from "../../src/testing/node.ts";
import { processCases } from "../../src/testing/storage-processes.ts";
import { storageCases } from "../../src/testing/storage-kit.ts";
import { effort } from "../support/effort.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";
import { postgresSubjects } from "./subject.ts";

const rounds = effort("HEALTHLEDGER_CRASH_ROUNDS", { full: 40, short: 3 });

describePostgres("postgresStorage and the conformance kit", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster?.remove());

  it.each(storageCases)("$name", ({ run }) => run(postgresSubjects(() => cluster)));

  it.each(processCases({ rounds }))("$name", async ({ requires = [], run, name }) => {
    const lacking = [
      requires.includes("small") && !(await canMount()) && "the right to mount a file system",
      requires.includes("traced") && !canTrace() && "strace",
    ].filter(Boolean);
    if (lacking.length > 0) {
      // As root on Linux, as CI is, both work.
      expect(process.env["CI"], `${name}: needs ${lacking.join(", ")}`).toBeUndefined();
      console.warn(`skipped: ${name}: needs ${lacking.join(", ")}`);
      return;
    }
    await run(postgresSubjects(() => cluster));
  });
});

describePostgres("postgresStorage when its server dies", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({ settings: { synchronous_commit: "off" } });
  });
  afterAll(() => cluster?.remove());

  const afterKill = async () => {
    await cluster.crash();
    await cluster.start();
  };
  const crash = processCases({ rounds, seed: 2 }).filter(({ name }) => name.startsWith("crash"));
  it.each(crash)("the server and the client: $name", ({ run }) =>
    run(postgresSubjects(() => cluster, { afterKill })),
  );
});
