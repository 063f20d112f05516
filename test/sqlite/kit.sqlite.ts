import { describe, expect, it } from "vitest";
import { runKit } from "../../src/testing/kit.ts";
import { processCases } from "../../src/testing/storage-processes.ts";
import { storageCases, type StorageCase } from "../../src/testing/storage-kit.ts";
import { effort } from "../support/effort.ts";
import { features, sqliteSubjects, unsyncedSqliteSubjects } from "./subject.ts";

const rounds = effort("HEALTHLEDGER_CRASH_ROUNDS", { full: 40, short: 8 });
const offered = await features();
const applies = ({ requires = [] }: StorageCase): boolean =>
  requires.every((feature) => offered.includes(feature));

describe("sqliteStorage", () => {
  it.each(storageCases.filter(applies))("$name", ({ run }) => run(sqliteSubjects));
  it.each(processCases({ rounds }).filter(applies))("$name", ({ run }) => run(sqliteSubjects));

  it.skipIf(!offered.includes("traced"))("fails the kit when it was told not to sync", async () => {
    const cases = processCases().filter(({ name }) => name.startsWith("sync:"));
    const [result] = await runKit(cases, unsyncedSqliteSubjects, { features: offered });
    expect(result).toMatchObject({ outcome: "failed" });
    expect(String(result?.outcome === "failed" && result.error)).toMatch(/without a sync/);
  });
});
