import { afterAll, beforeAll, it } from "vitest";
import { processCases } from "../../src/testing/storage-processes.ts";
import { storageCases } from "../../src/testing/storage-kit.ts";
import { describePostgres, startCluster, type Cluster } from "./cluster.ts";
import { postgresSubjects } from "./subject.ts";

describePostgres("postgresStorage and the conformance kit", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster?.remove());

  it.each(storageCases)("$name", ({ run }) => run(postgresSubjects(() => cluster)));
  it.each(
    processCases({ rounds: 8 }).filter(({ requires }) => !/small|traced/.test(String(requires))),
  )("$name", ({ run }) => run(postgresSubjects(() => cluster)));
});
