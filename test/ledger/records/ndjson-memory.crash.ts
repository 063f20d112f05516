import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { effort } from "../../support/effort.ts";
import { MEMORY_CHILD } from "./ndjson-memory-child.ts";

const MIB = 1024 * 1024;
const LARGE = effort("HEALTHLEDGER_NDJSON_MIB", { full: 1024, short: 64 });
// Enough to fill what is kept in memory: rows and nodes of the index, and entries not yet in it.
const SMALL = Math.min(50, LARGE / 2);

/** Records so many MiB in a process of its own. */
function record(mebibytes: number): { readonly recorded: number; readonly most: number } {
  const path = mkdtempSync(join(tmpdir(), "healthledger-memory-"));
  const flags = ["--expose-gc", "--conditions=healthledger-source", "--import", "tsx"];
  try {
    const args = [...flags, MEMORY_CHILD, path, String(Math.round(mebibytes * MIB))];
    const said = execFileSync(process.execPath, args, { encoding: "utf8" });
    return JSON.parse(said) as { recorded: number; most: number };
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

describe("recordNdjson", () => {
  it(`needs for ${LARGE} MiB at most 64 MiB more memory than for ${SMALL} MiB`, () => {
    const small = record(SMALL);
    const large = record(LARGE);
    const inMib = [small.most, large.most].map((bytes) => Math.round(bytes / MIB));
    console.log(`${small.recorded} records: ${inMib[0]} MiB; ${large.recorded}: ${inMib[1]} MiB`);
    expect(large.recorded / small.recorded).toBeCloseTo(LARGE / SMALL, 0);
    expect(large.most - small.most).toBeLessThan(64 * MIB);
  });
});
