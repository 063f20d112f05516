// @ts-check
import { readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
/** Run before each round, so that none pays for the garbage of another side. */
export const collectGarbage = runInNewContext("gc");

/**
 * One side of a comparison.
 * @typedef {object} Side
 * @property {string} name
 * @property {() => unknown} [prepare] - makes what the next round works on; not timed
 * @property {(prepared: any) => Promise<number> | number} round - works and returns how much it did
 */

/**
 * Runs the sides in turns, each round in another order, so that whatever else the machine does
 * weighs on all of them alike.
 *
 * @param {readonly Side[]} sides
 * @param {{ rounds: number, warmups?: number }} options
 * @returns {Promise<Record<string, number>>} median rate of each side, in units of work a second
 */
export async function rates(sides, { rounds, warmups = 1 }) {
  return collect(sides, { rounds, warmups }, async ({ round }, prepared) => {
    const start = performance.now();
    const done = await round(prepared);
    return (done * 1000) / (performance.now() - start);
  });
}

/**
 * What a unit of work costs, in µs. Threads of a pool count in `total` alone.
 * @typedef {{ wall: number, main: number, total: number }} Cost
 */

/**
 * As {@link rates}, with the CPU time beside the time on the clock. On a machine that others use, too, only
 * CPU times can be compared.
 *
 * @param {readonly Side[]} sides
 * @param {{ rounds: number, warmups?: number }} options
 * @returns {Promise<{ rates: Record<string, number>, cost: Record<string, Cost>, less: (than: string, by: string, of: keyof Cost) => number }>}
 *   `less`: how many times less a side costs than another, as the median over the rounds
 */
export async function costs(sides, { rounds, warmups = 1 }) {
  /** @type {Record<string, Cost[]>} */
  const measured = Object.fromEntries(sides.map(({ name }) => [name, []]));
  const rates = await collect(sides, { rounds, warmups }, async ({ name, round }, prepared) => {
    const [main, all, start] = [mainThread(), process.cpuUsage(), performance.now()];
    const done = await round(prepared);
    const wall = ((performance.now() - start) * 1000) / done;
    const { user, system } = process.cpuUsage(all);
    measured[name]?.push({
      wall,
      main: (mainThread() - main) / done,
      total: (user + system) / done,
    });
    return 1_000_000 / wall;
  });
  const after = (/** @type {string} */ name) => (measured[name] ?? []).slice(warmups);
  const cost = Object.fromEntries(
    sides.map(({ name }) => {
      const middle = (/** @type {keyof Cost} */ of) => median(after(name).map((one) => one[of]));
      return [name, { wall: middle("wall"), main: middle("main"), total: middle("total") }];
    }),
  );
  return {
    rates,
    cost,
    less: (than, by, of) =>
      median(after(by).map((one, i) => Number(after(than)[i]?.[of]) / one[of])),
  };
}

/** CPU time of the main thread in µs; NaN where the system does not tell. */
function mainThread() {
  try {
    return (
      Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[0]) / 1000
    );
  } catch {
    return NaN;
  }
}

/**
 * Says what sides cost, in one line each.
 *
 * @param {Awaited<ReturnType<typeof costs>>} measured
 * @param {(text: string) => void} note
 */
export function noteCosts({ cost }, note) {
  for (const [name, { wall, main, total }] of Object.entries(cost)) {
    const [w, m, t] = [wall, main, total].map((value) => value.toFixed(0));
    note(`${name}: ${w} µs each, of CPU ${m} in the main thread and ${t} in all`);
  }
}

/**
 * As {@link rates} for sides whose `round` returns the measured value itself.
 *
 * @param {readonly Side[]} sides
 * @param {{ rounds: number, warmups?: number }} options
 * @returns {Promise<Record<string, number>>}
 */
export function values(sides, { rounds, warmups = 1 }) {
  return collect(sides, { rounds, warmups }, async ({ round }, prepared) => round(prepared));
}

/**
 * @param {readonly Side[]} sides
 * @param {{ rounds: number, warmups: number }} options
 * @param {(side: Side, prepared: unknown) => Promise<number>} measure
 */
async function collect(sides, { rounds, warmups }, measure) {
  /** @type {Map<string, number[]>} */
  const all = new Map(sides.map(({ name }) => [name, []]));
  for (let round = -warmups; round < rounds; round++) {
    for (let i = 0; i < sides.length; i++) {
      const side = sides[(i + Math.max(round, 0)) % sides.length];
      if (side === undefined) continue;
      const prepared = await side.prepare?.();
      collectGarbage();
      const value = await measure(side, prepared);
      if (round >= 0) all.get(side.name)?.push(value);
    }
  }
  return Object.fromEntries([...all].map(([name, measured]) => [name, median(measured)]));
}

/** @param {readonly number[]} numbers */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (/** @type {number} */ place) => Number(sorted[Math.floor(place)]);
  return (at((sorted.length - 1) / 2) + at(sorted.length / 2)) / 2;
}

/**
 * Runs calls with at most `window` of them under way, in order of their start.
 *
 * @param {number} count
 * @param {number} window
 * @param {(index: number) => Promise<unknown>} call
 */
export async function pipelined(count, window, call) {
  /** @type {Promise<unknown>[]} */
  const under = [];
  for (let i = 0; i < count; i++) {
    if (under.length >= window) await under.shift();
    const one = call(i);
    one.catch(() => undefined);
    under.push(one);
  }
  await Promise.all(under);
}

/** Watches how much memory is in use at most. */
export function peakMemory() {
  const peak = { heapUsed: 0, arrayBuffers: 0, rss: 0 };
  return {
    look() {
      const now = process.memoryUsage();
      for (const part of /** @type {const} */ (["heapUsed", "arrayBuffers", "rss"])) {
        peak[part] = Math.max(peak[part], now[part]);
      }
    },
    megabytes: () => (peak.heapUsed + peak.arrayBuffers) / 1e6,
    text: () =>
      `heap at most ${mega(peak.heapUsed)}, array buffers ${mega(peak.arrayBuffers)}, ` +
      `resident with LMDB's map ${mega(peak.rss)}`,
  };
}

/** @param {number} bytes */
const mega = (bytes) => `${Math.round(bytes / 1e6)} MB`;
