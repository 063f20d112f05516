import { simulatedRandom } from "../../../src/testing/simulation-random.ts";
import type { NetworkFaults } from "../../../src/testing/simulation-faults.ts";

/** What a seed is about. */
export interface Plan {
  readonly seed: number;
  /**
   * `fork`: the home's keys sign a second history. `hidden`: blocks of a second one exist, which its
   * checkpoint key never signed, and a liar hands them out.
   */
  readonly kind: "plain" | "hidden" | "fork";
  readonly replicas: number;
  readonly witnesses: number;
  readonly required: number;
  /** Whether another organisation writes through the home. */
  readonly hasMember: boolean;
  /** Whether the home's storage writes a block with all that belongs to it in one step. */
  readonly isAtomic: boolean;
  /** Writes that the home makes itself. */
  readonly writes: number;
  /** Milliseconds for which a signed transaction may wait for its block. */
  readonly maxTxAge: number;
  /** Whether the member also writes what the home's rules refuse. */
  readonly isRefused: boolean;
  readonly faults: Partial<NetworkFaults>;
}

/** Three to seven nodes, and what goes wrong between them. */
export function planOf(seed: number): Plan {
  const random = simulatedRandom(`plan ${seed}`);
  const kind = random.pick(["plain", "plain", "hidden", "fork"] as const);
  const witnesses = random.pick([0, 1, 3]);
  const hasMember = kind !== "fork" && random.chance(0.3);
  const others = (kind === "plain" ? 0 : 1) + (hasMember ? 1 : 0);
  const replicas = random.between(
    Math.max(1, 2 - witnesses - others),
    6 - witnesses - others > 3 ? 3 : 6 - witnesses - others,
  );
  const upTo = (most: number): number => random.between(0, 100) * (most / 100);
  return {
    ...{ seed, kind, replicas, witnesses, hasMember },
    required: witnesses === 0 || random.chance(0.3) ? 0 : (witnesses + 1) / 2,
    isAtomic: random.chance(0.7),
    writes: random.between(4, 12),
    faults: {
      ...{ delay: [1, random.pick([20, 500, 4000])], disk: [0, random.pick([2, 50, 400])] },
      ...{ lose: upTo(0.2), reset: upTo(0.1), duplicate: upTo(0.2), flip: upTo(0.2) },
      ...{ cut: upTo(0.1), stall: upTo(0.05), repeat: upTo(0.15), swap: upTo(0.3) },
      ...{
        crashInWrite: upTo(random.pick([0.05, 0.25])),
        down: [100, random.pick([1000, 20_000])],
      },
    },
    maxTxAge: random.pick([600_000, 20_000]),
    isRefused: hasMember && random.chance(0.5),
  };
}
