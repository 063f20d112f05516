import { describe, it } from "vitest";
import { processCases } from "../../src/testing/storage-processes.ts";
import { effort } from "../support/effort.ts";
import { staged } from "../support/host-features.ts";
import { lmdbSubjects } from "./lmdb-subject.ts";

/** `HEALTHLEDGER_CRASH_ROUNDS`: how often a process is killed; 40, with little effort 10. */
const rounds = effort("HEALTHLEDGER_CRASH_ROUNDS", { full: 40, short: 10 });
const cases = await staged(processCases({ rounds }));

describe("lmdbStorage beside other processes", () => {
  it.each(cases)("$name", ({ run }) => run(lmdbSubjects));
});
