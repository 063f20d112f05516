import { describe } from "vitest";

/**
 * A `describe` that is skipped, saying so, where something is missing; in CI that fails.
 *
 * @param missing - what is not there and how to get it; `undefined` where nothing is
 */
export function describeWith(name: string, missing: string | undefined, body: () => void): void {
  if (missing === undefined) {
    describe(name, body);
    return;
  }
  if (process.env["CI"] !== undefined) throw new Error(`${name}: ${missing}`);
  console.warn(`skipped: ${name}: ${missing}`);
  describe.skip(name, () => {});
}
