import type { NetworkFaults } from "../../../../src/testing/simulation-faults.ts";
import { simulatedRandom } from "../../../../src/testing/simulation-random.ts";

/** What a seed with custodians is about. */
export interface CustodiansPlan {
  readonly seed: number;
  /** Organisations that keep records and write through the home, beside it. */
  readonly elsewhere: readonly string[];
  /** Whether the policy requires the cosignature of a witness. */
  readonly isCosigned: boolean;
  /** Whether asks go through somebody who alters answers now and then. */
  readonly hasProxy: boolean;
  /**
   * What somebody in between does to the first answer with records: nothing; hold it back while the person
   * withdraws; or hold it back while its custodian is cut off from the home, for longer than `maxAge`.
   */
  readonly holdBack: "never" | "withdrawal" | "cut";
  /** `policy.maxAge` of all, in ms. */
  readonly maxAge: number;
  /** Whether the clinic delivers a directive under the name of another of its entries. */
  readonly isForged: boolean;
  /** Whether the last of those elsewhere is removed by the others. */
  readonly isRemoved: boolean;
  /** What each of them does. */
  readonly steps: number;
  readonly faults: Partial<NetworkFaults>;
}

export function custodiansPlanOf(seed: number): CustodiansPlan {
  const random = simulatedRandom(`custodians ${seed}`);
  const upTo = (most: number): number => random.between(0, 100) * (most / 100);
  const elsewhere = random.chance(0.3) ? ["clinic", "lab"] : ["clinic"];
  const hasProxy = random.chance(0.7);
  const holdBack = hasProxy ? random.pick(["never", "withdrawal", "cut"] as const) : "never";
  return {
    ...{ seed, elsewhere, hasProxy, holdBack },
    isCosigned: random.chance(0.2),
    maxAge: holdBack === "never" ? random.pick([6000, 20_000, 300_000]) : 6000,
    isRemoved: elsewhere.length > 1 && random.chance(0.5),
    isForged: random.chance(0.25),
    steps: random.between(4, 7),
    faults: {
      ...{ delay: [1, random.pick([20, 300, 1500])], disk: [0, random.pick([2, 50])] },
      ...{ lose: upTo(0.15), reset: upTo(0.1), duplicate: upTo(0.3), flip: upTo(0.1) },
      ...{ cut: upTo(0.15), stall: upTo(0.05), repeat: upTo(0.1), swap: upTo(0.2) },
      ...{ crashInWrite: upTo(0.05), down: [100, random.pick([1000, 10_000])] },
    },
  };
}
