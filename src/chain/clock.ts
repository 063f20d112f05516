import { MAX_TIME } from "../block/limits.ts";
import { ChainError } from "../errors.ts";

/** Difference of clocks in ms that is always tolerated, whatever `maxDrift` is. */
const LEAST_DRIFT = 1000;

/**
 * Wraps a clock in checks.
 *
 * @returns a clock that returns whole ms from 1970 to the end of the year 9999, or throws
 *   `ERR_CHAIN_CLOCK`
 */
export function checkedClock(now: () => number): () => number {
  return () => {
    let time: number;
    try {
      time = now();
    } catch (cause) {
      throw new ChainError("ERR_CHAIN_CLOCK", "the clock could not be read", { cause });
    }
    if (typeof time === "number" && Number.isInteger(time) && time >= 0 && time <= MAX_TIME) {
      return time;
    }
    throw new ChainError(
      "ERR_CHAIN_CLOCK",
      "the clock did not return whole milliseconds since 1970",
    );
  };
}

/**
 * How far a header's time is ahead of a clock, in ms, beyond the tolerated difference; 0 if it is
 * not ahead.
 */
export function aheadOf(now: number, time: number, maxDrift: number): number {
  const ahead = time - now;
  return ahead > Math.max(maxDrift, LEAST_DRIFT) ? ahead : 0;
}
