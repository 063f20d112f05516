import {
  type Accumulators,
  adjudicate,
  type Claim,
  type ClaimFacts,
  type ClaimLine,
  createPlan,
  emptyAccumulators,
  type LineDecision,
  type NetworkTerms,
  type PlanDocument,
} from "../../../src/contract/claims/index.ts";

/** One claim worked by hand: amounts in cents, adjustments as `GROUP-CARC amount`. */
export interface Row {
  readonly name: string;
  readonly given: {
    readonly plan?: Partial<PlanDocument>;
    /** Of the network `in`. */
    readonly terms?: Partial<NetworkTerms>;
    readonly accumulators?: Accumulators;
  };
  readonly when: {
    readonly claim?: Partial<Claim>;
    readonly lines: readonly Partial<ClaimLine>[];
    readonly facts?: Partial<ClaimFacts>;
  };
  /** Line by line: the adjustments, what is paid, and the arithmetic. */
  readonly then: readonly {
    readonly adjust: readonly string[];
    readonly paid: number;
    readonly because: string;
  }[];
  /** What the accumulators are afterwards, where the row is about that. */
  readonly after?: Accumulators;
}

export const YEAR = "2026-01-01";

export const planOf = (
  plan: Partial<PlanDocument> = {},
  terms: Partial<NetworkTerms> = {},
): PlanDocument => ({
  v: 1,
  currency: "USD",
  yearStarts: "01-01",
  networks: {
    in: { contracted: true, coinsurance: 2000, unlisted: 10_000, ...terms },
    out: { contracted: false, coinsurance: 4000, unlisted: 10_000 },
  },
  benefits: [],
  otherServices: "covered",
  coordination: "standard",
  ...plan,
});

export const lineOf = (line: Partial<ClaimLine>, i = 0): ClaimLine => ({
  sequence: i + 1,
  code: `s${i + 1}`,
  modifiers: [],
  from: "2026-03-02",
  to: line.from ?? "2026-03-02",
  units: 1,
  charge: 10_000,
  ...line,
});

export const claimOf = (
  lines: readonly Partial<ClaimLine>[],
  claim: Partial<Claim> = {},
): Claim => ({
  v: 1,
  id: "c1",
  member: "ann",
  provider: "dr-a",
  currency: "USD",
  lines: lines.map(lineOf),
  ...claim,
});

export const factsOf = (facts: Partial<ClaimFacts> = {}): ClaimFacts => ({
  received: "2026-03-10",
  coverage: [{ from: "2020-01-01" }],
  network: "in",
  authorisations: [],
  standing: [],
  prior: [],
  ...facts,
});

/** Accumulators of the year and network `in`, by member: deductible, then out of pocket. */
export const spent = (
  members: Readonly<Record<string, readonly [deductible: number, outOfPocket: number]>>,
  limits: Accumulators["years"][string]["limits"] = {},
): Accumulators => {
  const amounts = Object.entries(members).map(([member, [deductible, outOfPocket]]) => [
    member,
    { ...(deductible > 0 && { deductible }), ...(outOfPocket > 0 && { outOfPocket }) },
  ]);
  const networks = amounts.length === 0 ? {} : { in: Object.fromEntries(amounts) };
  return { v: 1, years: { [YEAR]: { networks, limits } }, lifetime: {} };
};

export const run = ({ given, when }: Row): ReturnType<typeof adjudicate> =>
  adjudicate(
    createPlan(planOf(given.plan, given.terms)),
    claimOf(when.lines, when.claim),
    given.accumulators ?? emptyAccumulators([YEAR]),
    factsOf(when.facts),
  );

export const written = ({ adjustments }: LineDecision): string[] =>
  adjustments.map(({ group, carc, rarc, amount }) =>
    [`${group}-${carc}`, rarc, amount].filter((part) => part !== undefined).join(" "),
  );
