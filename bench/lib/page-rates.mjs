// @ts-check
// What measure.mjs does, for a page.

/**
 * @typedef {object} PageSide
 * @property {string} name
 * @property {() => unknown} [prepare] - not timed
 * @property {(prepared: any) => Promise<number> | number} round - returns how much it did
 */

/**
 * Runs the sides in turns, after one round to warm up.
 *
 * @param {readonly PageSide[]} sides
 * @param {number} rounds
 * @returns {Promise<Record<string, number>>} median rate of each side, in units of work a second
 */
export async function pageRates(sides, rounds) {
  const all = new Map(sides.map(({ name }) => [name, /** @type {number[]} */ ([])]));
  for (let round = -1; round < rounds; round++) {
    for (let i = 0; i < sides.length; i++) {
      const side = sides[(i + Math.max(round, 0)) % sides.length];
      if (side === undefined) continue;
      const prepared = await side.prepare?.();
      /** @type {{ gc?: () => void }} */ (globalThis).gc?.();
      const start = performance.now();
      const done = await side.round(prepared);
      const rate = (done * 1000) / (performance.now() - start);
      if (round >= 0) all.get(side.name)?.push(rate);
    }
  }
  return Object.fromEntries(
    [...all].map(([name, rates]) => {
      const sorted = rates.sort((a, b) => a - b);
      const at = (/** @type {number} */ place) => Number(sorted[Math.floor(place)]);
      return [name, (at((sorted.length - 1) / 2) + at(sorted.length / 2)) / 2];
    }),
  );
}

/** @param {number} length */
export function strongRandom(length) {
  const bytes = new Uint8Array(length);
  // the most that one call gives
  for (let at = 0; at < length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  return bytes;
}
