import { describe, expect, it } from "vitest";
import { fileCases } from "../../src/testing/storage-files.ts";
import { processCases } from "../../src/testing/storage-processes.ts";
import { effort } from "../support/effort.ts";
import { staged } from "../support/host-features.ts";
import { lmdbSubjects, unsyncedLmdbSubjects } from "./lmdb-subject.ts";

/** `HEALTHLEDGER_CRASH_ROUNDS`: how often a process is killed; 40, with little effort 10. */
const rounds = effort("HEALTHLEDGER_CRASH_ROUNDS", { full: 40, short: 4 });
const cases = await staged(processCases({ rounds }));

describe("lmdbStorage beside other processes", () => {
  it.each([...cases, ...fileCases])("$name", ({ run }) => run(lmdbSubjects));
});

describe("LMDB that was told not to flush", () => {
  const probe = cases.filter(({ requires = [] }) => requires.includes("traced"));
  it.each(probe)("fails: $name", async ({ run }) => {
    await expect(run(unsyncedLmdbSubjects)).rejects.toThrow("acknowledged without a sync");
  });
});
