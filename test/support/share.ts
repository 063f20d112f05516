/**
 * What a test file does of many cases: one in so many among the unit tests, and all of them where a
 * `.fuzz.ts` beside it runs it again, or thrice the share where `HEALTHLEDGER_EFFORT=short`.
 */
const divisor = (oneIn: number): number => {
  const { HEALTHLEDGER_WHOLE: whole, HEALTHLEDGER_EFFORT: all } = process.env;
  if (whole === undefined) return oneIn;
  return all === "short" ? Math.ceil(oneIn / 3) : 1;
};

/** How many of so many random cases. */
export const cases = (whole: number, oneIn: number): number => Math.ceil(whole / divisor(oneIn));

/** The step of a loop that would go through everything. */
export const stride = (oneIn: number): number => divisor(oneIn);
