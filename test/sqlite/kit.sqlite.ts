import { describe, expect, it } from "vitest";
import { runKit } from "../../src/testing/kit.ts";
import { fileCases } from "../../src/testing/storage-files.ts";
import { processCases } from "../../src/testing/storage-processes.ts";
import { storageCases } from "../../src/testing/storage-kit.ts";
import { effort } from "../support/effort.ts";
import { staged } from "../support/host-features.ts";
import { FEATURES, sqliteSubjects, unsyncedSqliteSubjects } from "./subject.ts";

/** `HEALTHLEDGER_CRASH_ROUNDS`: how often a process is killed; 40, with little effort 10. */
const rounds = effort("HEALTHLEDGER_CRASH_ROUNDS", { full: 40, short: 4 });
const cases = await staged([...storageCases, ...processCases({ rounds }), ...fileCases]);
const traced = cases.filter(({ requires }) => requires?.includes("traced"));

describe("sqliteStorage", () => {
  it.each(cases)("$name", ({ run }) => run(sqliteSubjects));

  it.each(traced)("fails when it was told not to sync: $name", async (unsynced) => {
    const [result] = await runKit([unsynced], unsyncedSqliteSubjects, { features: FEATURES });
    expect(String(result?.outcome === "failed" && result.error)).toMatch(/without a sync/);
  });
});
