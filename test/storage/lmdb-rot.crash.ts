import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { effort } from "../support/effort.ts";
import { folder } from "./lmdb-subject.ts";

/** `HEALTHLEDGER_ROT_FLIPS`: how many damaged copies are read; 300, with little effort 16. */
const FLIPS = effort("HEALTHLEDGER_ROT_FLIPS", { full: 300, short: 16 });
/** Most bits flipped in a copy. */
const BITS = 8;
const CHILD = fileURLToPath(new URL("./rot-child.ts", import.meta.url));

interface Ended {
  readonly line: string;
  readonly signal: string | null;
  readonly code: number | null;
  readonly errors: string;
}

async function child(...args: readonly string[]): Promise<Ended> {
  const flags = ["--conditions=healthledger-source", "--import", "tsx"];
  const started = spawn(process.execPath, [...flags, CHILD, ...args]);
  let [line, errors] = ["", ""];
  started.stdout.on("data", (chunk) => (line += String(chunk)));
  started.stderr.on("data", (chunk) => (errors += String(chunk)));
  // One that LMDB sends round in a circle has named nothing and shown nothing.
  const timer = setTimeout(() => started.kill("SIGALRM"), 60_000);
  const [code, signal] = (await once(started, "close")) as [number | null, string | null];
  clearTimeout(timer);
  return { line: line.trim(), code, signal, errors };
}

/** Numbers below a bound, the same every time. */
function numbers(seed: number): (below: number) => number {
  let x = seed;
  return (below) => {
    x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((x / 2 ** 32) * below);
  };
}

describe("lmdbStorage on a disk that rots", () => {
  it(`never shows wrong bytes as right, in ${FLIPS} damaged copies`, async () => {
    const { path, remove } = await folder();
    const made = await child("make", join(path, "whole"));
    expect(made, made.errors).toMatchObject({ code: 0, line: expect.stringMatching(/^whole 12 /) });
    const again = await child("read", join(path, "whole"));
    expect(again.line).toBe(made.line);
    const tally = { whole: 0, named: 0, crashed: 0 };
    const reasons = new Map<string, number>();
    const next = numbers(7);
    for (let copy = 0; copy < FLIPS; copy++) {
      const damaged = join(path, `damaged-${copy}`);
      await cp(join(path, "whole"), damaged, { recursive: true });
      const file = await open(join(damaged, "env-00000001", "data.mdb"), "r+");
      const { size } = await file.stat();
      for (let i = 0; i <= copy % BITS; i++) {
        // The two meta pages of each environment weigh more than their size: one flip in eight.
        const at = next(i === 0 && copy % 8 === 0 ? 8192 : size);
        const byte = new Uint8Array(1);
        await file.read(byte, 0, 1, at);
        await file.write(Uint8Array.of(byte[0]! ^ (1 << next(8))), 0, 1, at);
      }
      await file.close();
      const { line, signal, code, errors } = await child("read", damaged);
      if (line === made.line) tally.whole++;
      else if (line.startsWith("named ")) {
        tally.named++;
        const reason = line.slice(0, 60).replace(/\d+/g, "N");
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      } else if (signal !== null || code !== 0) tally.crashed++;
      else expect.fail(`copy ${copy}: ${line} ${errors}`);
      await rm(damaged, { recursive: true });
    }
    console.log(`of ${FLIPS} damaged copies:`, tally, reasons);
    expect(tally.named).toBeGreaterThan(0);
    expect((await readdir(path)).sort()).toEqual(["whole"]);
    await remove();
  });
});
