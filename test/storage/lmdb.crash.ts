import { describe, it } from "vitest";
import { canMount, canTrace } from "../../src/testing/node.ts";
import { processCases } from "../../src/testing/storage-processes.ts";
import { effort } from "../support/effort.ts";
import { lmdbSubjects } from "./lmdb-subject.ts";

const rounds = effort("HEALTHLEDGER_CRASH_ROUNDS", { full: 40, short: 8 });

describe("lmdbStorage in several processes", () => {
  it.each(processCases({ rounds }))("$name", ({ run }) => run(lmdbSubjects));
});
void canMount;
void canTrace;
