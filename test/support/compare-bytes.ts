import { expect } from "vitest";

const set = globalThis as { bytesCompared?: boolean };

/**
 * Vitest walks two byte arrays like objects, a key at a time: megabytes take seconds. A worker runs
 * many files, and keeps what the first one added.
 */
if (set.bytesCompared !== true) {
  set.bytesCompared = true;
  expect.addEqualityTesters([
    (a: unknown, b: unknown) =>
      a instanceof Uint8Array && b instanceof Uint8Array && a.constructor === b.constructor
        ? Buffer.compare(a, b) === 0
        : undefined,
  ]);
}
