import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { effort } from "../support/effort.ts";
import { attack, hostileBytes, hostileTargets } from "../support/hostile.ts";

/**
 * `HEALTHLEDGER_FUZZ_SECONDS`: how long in all; 60, with little effort 20. `HEALTHLEDGER_FUZZ_SEED`: the seed of
 * the first round; random, and printed, when absent.
 */
const SECONDS = effort("HEALTHLEDGER_FUZZ_SECONDS", { full: 60, short: 20 });
const SEED = Number(process.env["HEALTHLEDGER_FUZZ_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
/** Growth of the heap that fuzzing may leave behind, in bytes. */
const HEAP = 256 * 1024 * 1024;

describe(`hostile bytes for ${SECONDS} s from seed ${SEED}`, () => {
  const targets = hostileTargets();
  const perTarget = (SECONDS * 1000) / targets.length;

  it.each(targets.map((target) => [target.name, target] as const))(
    "%s throws nothing but typed errors, in bounded time and memory",
    async (_, target) => {
      const until = Date.now() + perTarget;
      const before = process.memoryUsage().heapUsed;
      let runs = 0;
      for (let seed = SEED; Date.now() < until; seed++) {
        await fc.assert(
          fc.asyncProperty(hostileBytes(target), async (bytes) => {
            runs++;
            await attack(target, bytes);
          }),
          { numRuns: 500, seed, interruptAfterTimeLimit: perTarget, markInterruptAsFailure: false },
        );
      }
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(HEAP);
      console.log(`${target.name}: ${runs} runs`);
    },
  );
});
