import type {
  Authorisation,
  Benefit,
  Claim,
  ClaimFacts,
  ClaimLine,
  NetworkTerms,
  PlanDocument,
  PriorAdjustment,
  PriorPayer,
} from "../../../src/contract/claims/index.ts";

/** Where a random family's plan and claims come from: a seed, or fast-check. */
export interface Draw {
  int(least: number, most: number): number;
}

export interface Scene {
  readonly plan: PlanDocument;
  readonly claims: readonly {
    readonly claim: Claim;
    readonly facts: Omit<ClaimFacts, "standing">;
  }[];
}

/** @see https://gist.github.com/tommyettinger/46a874533244883189143505d203312c (mulberry32) */
export function seeded(seed: number): Draw {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { int: (least, most) => least + Math.floor(next() * (most - least + 1)) };
}

const chance = (draw: Draw, oneIn: number): boolean => draw.int(1, oneIn) === 1;
const pick = <T>(draw: Draw, of: readonly T[]): T => of[draw.int(0, of.length - 1)]!;
const maybe = <K extends string, V>(draw: Draw, oneIn: number, key: K, make: () => V) =>
  (chance(draw, oneIn) ? { [key]: make() } : {}) as { [P in K]?: V };

const CODES = ["v", "t", "m", "a", "b", "x", "o"];
const DAYS = ["2025-12-30", "2025-12-31", "2026-01-01", "2026-01-02", "2026-02-28"];
export const YEARS = ["2025-01-01", "2026-01-01"];

function networkTerms(draw: Draw, contracted: boolean): NetworkTerms {
  return {
    contracted,
    coinsurance: pick(draw, [0, 1_000, 1_250, 2_000, 5_000, 10_000]),
    unlisted: pick(draw, [10_000, 6_000, 3_333]),
    ...maybe(draw, 2, "fees", () => ({ v: draw.int(0, 90), t: draw.int(0, 60), a: 40 })),
    ...maybe(draw, 2, "deductible", () =>
      chance(draw, 3)
        ? ({ kind: "aggregate", family: draw.int(0, 150) } as const)
        : ({
            kind: "embedded",
            individual: draw.int(0, 100),
            ...maybe(draw, 2, "family", () => draw.int(0, 150)),
          } as const),
    ),
    ...maybe(draw, 2, "cap", () => ({
      ...maybe(draw, 2, "individual", () => draw.int(0, 120)),
      ...maybe(draw, 2, "family", () => draw.int(0, 160)),
    })),
  };
}

function benefits(draw: Draw): readonly Benefit[] {
  const terms = () => ({
    in: {
      ...maybe(draw, 2, "copay", () => draw.int(0, 60)),
      ...maybe(draw, 3, "coinsurance", () => 3_000),
      ...maybe(draw, 3, "noDeductible", () => true as const),
    },
  });
  const per = pick(draw, ["year", "lifetime"] as const);
  return [
    { name: "visit", codes: ["v"], ...maybe(draw, 2, "terms", terms) },
    {
      name: "therapy",
      codes: ["t"],
      ...maybe(draw, 2, "terms", terms),
      ...maybe(draw, 2, "limit", () =>
        chance(draw, 2) ? { per, units: draw.int(0, 5) } : { per, paid: draw.int(0, 90) },
      ),
    },
    { name: "imaging", codes: ["m"], authorisation: true },
    { name: "cosmetic", codes: ["x"], ...maybe(draw, 2, "excluded", () => true as const) },
  ];
}

function planOf(draw: Draw): PlanDocument {
  return {
    v: 1,
    currency: "USD",
    yearStarts: "01-01",
    ...maybe(draw, 3, "filingDays", () => draw.int(0, 80)),
    networks: { in: networkTerms(draw, true), out: networkTerms(draw, false) },
    benefits: benefits(draw),
    otherServices: chance(draw, 6) ? "excluded" : "covered",
    protectedAs: "in",
    ...maybe(draw, 3, "pairs", () => [{ first: "a", second: "b", unless: ["59"] }]),
    ...maybe(draw, 2, "ranks", () => ({ order: ["b", "v", "a", "o"], shares: [10_000, 5_000] })),
    coordination: pick(draw, [
      "standard",
      "non-duplication",
      "maintenance-of-benefits",
      "medicare-secondary",
    ] as const),
  };
}

function lineOf(draw: Draw, i: number): ClaimLine {
  const from = draw.int(0, DAYS.length - 1);
  return {
    sequence: i + 1,
    code: pick(draw, CODES),
    modifiers: chance(draw, 5) ? ["59"] : [],
    from: DAYS[from]!,
    to: chance(draw, 6) ? DAYS[Math.min(from + 1, DAYS.length - 1)]! : DAYS[from]!,
    units: draw.int(1, 3),
    charge: chance(draw, 4) ? pick(draw, [0, 1, 40, 99]) : draw.int(0, 140),
  };
}

function payerOf(draw: Draw, lines: readonly ClaimLine[], name: string): PriorPayer {
  return {
    payer: name,
    lines: lines.map(({ sequence, charge }) => {
      const paid = draw.int(0, charge);
      const adjustments: PriorAdjustment[] = [];
      let left = charge - paid;
      for (const [group, carc] of [
        ["CO", "45"],
        ["PI", "97"],
        ["PR", "1"],
        ["OA", "18"],
      ] as const) {
        const amount = draw.int(0, left);
        if (amount > 0 && chance(draw, 2)) {
          adjustments.push({ group, carc, amount });
          left -= amount;
        }
      }
      if (left > 0) adjustments.push({ group: "PR", carc: pick(draw, ["2", "96"]), amount: left });
      return { sequence, paid, adjustments };
    }),
  };
}

function authorisationOf(draw: Draw): Authorisation {
  return {
    codes: ["m"],
    status: pick(draw, ["approved", "approved", "pended", "denied"] as const),
    from: "2025-12-31",
    to: pick(draw, ["2026-01-01", "2026-12-31"]),
    ...maybe(draw, 2, "units", () => draw.int(0, 4)),
  };
}

function factsOf(draw: Draw, claim: Claim): Omit<ClaimFacts, "standing"> {
  const coverage = pick(draw, [
    [{ from: "2020-01-01" }],
    [{ from: "2020-01-01" }],
    [{ from: "2025-12-31" }],
    [{ from: "2020-01-01", to: "2026-01-01" }],
    [{ from: "2020-01-01", to: "2025-12-31" }, { from: "2026-01-02" }],
    [{ from: "2020-01-01", to: "2025-12-31" }, { from: "2026-01-01" }],
    [],
  ]);
  return {
    received: pick(draw, ["2026-03-01", "2026-03-15"]),
    coverage,
    network: pick(draw, ["in", "in", "out"]),
    lines: claim.lines
      .filter(() => chance(draw, 4))
      .map(({ sequence }) => ({
        sequence,
        ...maybe(draw, 2, "allowed", () => draw.int(0, 120)),
        ...maybe(draw, 3, "protected", () => true as const),
        ...maybe(draw, 4, "network", () => "out"),
      })),
    authorisations: Array.from({ length: draw.int(0, 2) }, () => authorisationOf(draw)),
    prior: chance(draw, 3)
      ? Array.from({ length: draw.int(1, 2) }, (_, i) => payerOf(draw, claim.lines, `p${i}`))
      : [],
  };
}

/** A plan, and a family's claims under it; amounts of some cents, so that each can be counted. */
export function drawScene(draw: Draw): Scene {
  const plan = planOf(draw);
  const billed: ClaimLine[] = [];
  const claims = Array.from({ length: draw.int(1, 4) }, (_, i) => {
    const lines = Array.from({ length: draw.int(1, 3) }, (_, line) =>
      // Some are billed twice.
      billed.length > 0 && chance(draw, 6)
        ? { ...pick(draw, billed), sequence: line + 1 }
        : lineOf(draw, line),
    );
    billed.push(...lines);
    const claim: Claim = {
      v: 1,
      id: `c${i}`,
      member: pick(draw, ["ann", "bob"]),
      provider: pick(draw, ["dr-a", "dr-b"]),
      currency: "USD",
      lines,
    };
    return { claim, facts: factsOf(draw, claim) };
  });
  return { plan, claims };
}
