import { assertOptions, type OptionsOf } from "../bytes/options.ts";

/** What goes wrong in a simulated network, and how often: probabilities from 0 to 1. */
export interface NetworkFaults {
  /** Milliseconds that a request or an answer is under way; different ones change the order. Default 1 to 20. */
  readonly delay: readonly [least: number, most: number];
  /** A request or an answer is lost, and nobody is told. */
  readonly lose: number;
  /** A request or an answer is lost, and the requester's connection breaks. */
  readonly reset: number;
  /** A request arrives twice; one answer counts. */
  readonly duplicate: number;
  /** One to three bits of a body are another. */
  readonly flip: number;
  /** A body ends too soon, with or without an error. */
  readonly cut: number;
  /** A body stops in the middle and does not end. */
  readonly stall: number;
  /** An older answer to the same machine comes again in place of this one. */
  readonly repeat: number;
  /** Two answers that are under way to the same machine are given to each other's request. */
  readonly swap: number;
  /**
   * Milliseconds until a write of a storage is done. Those that are under way at once may overtake one
   * another. Default 0 to 2.
   */
  readonly disk: readonly [least: number, most: number];
  /** A machine crashes during a write, which is then done or not. */
  readonly crashInWrite: number;
  /** Milliseconds for which a machine that crashed is down. Default 100 to 5,000. */
  readonly down: readonly [least: number, most: number];
}

const CALM: NetworkFaults = {
  ...{ lose: 0, reset: 0, duplicate: 0, flip: 0, cut: 0, stall: 0, repeat: 0, swap: 0 },
  ...{ delay: [1, 20], disk: [0, 2], crashInWrite: 0, down: [100, 5000] },
};
const FAULTS: OptionsOf<NetworkFaults> = {
  ...{ delay: true, lose: true, reset: true, duplicate: true, flip: true, cut: true, stall: true },
  ...{ repeat: true, swap: true, disk: true, crashInWrite: true, down: true },
};

/** @throws {RangeError} for what is no probability or no range */
export function checkedFaults(given: Partial<NetworkFaults>): NetworkFaults {
  assertOptions(given, FAULTS, "faults");
  const faults = { ...CALM, ...given };
  for (const [name, value] of Object.entries(faults) as [
    string,
    NetworkFaults[keyof NetworkFaults],
  ][]) {
    const isGood =
      typeof value === "number"
        ? value >= 0 && value <= 1
        : value.length === 2 &&
          value.every(Number.isSafeInteger) &&
          value[0] >= 0 &&
          value[0] <= value[1];
    if (!isGood) throw new RangeError(`${name} must be a probability, or a range of whole numbers`);
  }
  return faults;
}
