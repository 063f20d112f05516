import type { CosigningTimes } from "../chain/cosigning.ts";

const REQUIRED = 10_000;
const OPTIONAL = 2000;

/**
 * How long a checkpoint waits for cosigners, by the options of `openLedger`.
 *
 * @throws {RangeError} when one is not a number of milliseconds that a timer takes
 */
export function cosigningTimes(
  options: { readonly cosignWithin?: number; readonly optionalCosignWithin?: number },
  sleep: (ms: number, signal: AbortSignal) => Promise<void>,
): CosigningTimes {
  const { cosignWithin = REQUIRED } = options;
  const { optionalCosignWithin = Math.min(OPTIONAL, cosignWithin) } = options;
  for (const [name, ms] of Object.entries({ cosignWithin, optionalCosignWithin })) {
    if (!(Number.isInteger(ms) && ms > 0 && ms < 2 ** 31)) {
      throw new RangeError(`${name} must be milliseconds, an integer from 1 to 2^31 - 1`);
    }
  }
  return {
    required: (signal) => sleep(cosignWithin, signal),
    optional: (signal) => sleep(optionalCosignWithin, signal),
  };
}
