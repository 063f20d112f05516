import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { effort } from "../../support/effort.ts";
import { LONG_LINE_CHILD } from "./long-line-child.ts";
import { MEMORY_CHILD } from "./ndjson-memory-child.ts";

const MIB = 1024 * 1024;
const LARGE = effort("HEALTHLEDGER_NDJSON_MIB", { full: 1024, short: 64 });
// Enough to fill what is kept in memory: rows and nodes of the index, and entries not yet in it.
const SMALL = Math.min(50, LARGE / 2);

/** Runs a child that is told a folder of its own and a number of MiB, and gives what it says. */
function run<Said>(child: string, mebibytes: number): Said {
  const path = mkdtempSync(join(tmpdir(), "healthledger-memory-"));
  const flags = ["--expose-gc", "--conditions=healthledger-source", "--import", "tsx"];
  try {
    const args = [...flags, child, path, String(Math.round(mebibytes * MIB))];
    return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as Said;
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

const record = (mebibytes: number) =>
  run<{ readonly recorded: number; readonly most: number }>(MEMORY_CHILD, mebibytes);

describe("recordNdjson", () => {
  it(`needs for ${LARGE} MiB at most 64 MiB more memory than for ${SMALL} MiB`, () => {
    const small = record(SMALL);
    const large = record(LARGE);
    const inMib = [small.most, large.most].map((bytes) => Math.round(bytes / MIB));
    console.log(`${small.recorded} records: ${inMib[0]} MiB; ${large.recorded}: ${inMib[1]} MiB`);
    expect(large.recorded / small.recorded).toBeCloseTo(LARGE / SMALL, 0);
    expect(large.most - small.most).toBeLessThan(64 * MIB);
  });

  it(`refuses a line of ${LARGE} MiB by number and reason, within three times what a line may have`, () => {
    const said = run<{
      readonly problems: readonly unknown[];
      readonly used: number;
      readonly resident: number;
      readonly kept: number;
    }>(LONG_LINE_CHILD, LARGE);
    const { used, resident, kept, ...rest } = said;
    const inMib = [used, resident, kept].map((bytes) => Math.round(bytes / MIB));
    console.log(
      `a line of ${LARGE} MiB: ${inMib[0]} MiB in use, ${inMib[1]} resident, ${inMib[2]} kept`,
    );
    // 32 MiB is the default of `maxLineBytes`. The last line, without an end, has an eighth.
    const tooLong = { code: "too-long", why: `it has more than ${32 * MIB} bytes` };
    const malformed = { code: "malformed", why: "it is not a FHIR resource in JSON" };
    expect(rest).toEqual({
      ...{ recorded: 21, skipped: 2, lines: 23, records: 22 },
      problems: [
        { line: 2, ...tooLong },
        { line: 23, ...(LARGE / 8 > 32 ? tooLong : malformed) },
      ],
    });
    expect(used).toBeLessThan(96 * MIB);
    expect(resident).toBeLessThan(128 * MIB);
    expect(kept).toBeLessThan(16 * MIB);
  });
});
