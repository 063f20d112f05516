import type { Authorisation, Benefit, StandingLine } from "../../../src/contract/claims/index.ts";
import { type Row, spent } from "./row.ts";

const therapy = (limit?: Benefit["limit"]): Benefit => ({
  name: "therapy",
  codes: ["t"],
  ...(limit && { limit }),
});
const needsLeave: Benefit = { name: "imaging", codes: ["m"], authorisation: true };
const leave = (more: Partial<Authorisation> = {}): Authorisation => ({
  codes: ["m"],
  status: "approved",
  from: "2026-01-01",
  to: "2026-12-31",
  ...more,
});
const earlier = (more: Partial<StandingLine> = {}): StandingLine => ({
  ...{ claim: "c0", member: "ann", provider: "dr-a", code: "s1", modifiers: [] },
  ...{ from: "2026-03-02", to: "2026-03-02", units: 1, charge: 10_000 },
  ...more,
});
const pay = { adjust: ["PR-2 2000"], paid: 8_000, because: "20 % of 100" };
const denied = (adjust: string, because: string) => ({ adjust: [adjust], paid: 0, because });

/** Everything before the allowed amount. */
export const SCREENS: readonly Row[] = [
  {
    name: "coverage ends between two lines",
    given: {},
    when: {
      lines: [{ from: "2026-03-31" }, { from: "2026-04-01" }],
      facts: { coverage: [{ from: "2025-01-01", to: "2026-03-31" }], received: "2026-04-02" },
    },
    then: [
      { ...pay, because: "the last day is covered" },
      denied("PR-27 10000", "the day after is not"),
    ],
  },
  {
    name: "a service before the first day",
    given: {},
    when: { lines: [{}], facts: { coverage: [{ from: "2026-03-03" }] } },
    then: [denied("PR-26 10000", "covered from the next day on")],
  },
  {
    name: "a service in a gap, and one that ends in it",
    given: {},
    when: {
      lines: [{ from: "2026-02-10" }, { from: "2026-01-31", to: "2026-02-01" }],
      facts: {
        coverage: [{ from: "2026-03-01" }, { from: "2025-01-01", to: "2026-01-31" }],
      },
    },
    then: [
      denied("PR-200 10000", "between the periods"),
      denied("PR-200 10000", "its second day is not covered"),
    ],
  },
  {
    name: "two periods without a gap, and nobody who is insured",
    given: {},
    when: {
      lines: [{ from: "2026-01-30", to: "2026-02-02" }],
      facts: { coverage: [{ from: "2025-01-01", to: "2026-01-31" }, { from: "2026-02-01" }] },
    },
    then: [{ ...pay, because: "every day is in one of them" }],
  },
  {
    name: "no coverage at all",
    given: {},
    when: { lines: [{}], facts: { coverage: [] } },
    then: [denied("PR-31 10000", "not a member")],
  },
  {
    name: "the last filing day",
    given: { plan: { filingDays: 90 } },
    when: { lines: [{ from: "2026-01-01" }], facts: { received: "2026-04-01" } },
    then: [{ ...pay, because: "30 of January, 28, 31, and the first of April: 90 days" }],
  },
  {
    name: "the day after the last filing day",
    given: { plan: { filingDays: 90 } },
    when: {
      lines: [{ from: "2026-01-01" }, { from: "2026-01-02" }],
      facts: { received: "2026-04-02" },
    },
    then: [
      denied("CO-29 10000", "91 days: the provider's loss, not the patient's"),
      { ...pay, because: "90 days" },
    ],
  },
  {
    name: "the filing days of a leap year",
    given: {
      plan: { filingDays: 60 },
      accumulators: { v: 1, years: { "2028-01-01": { networks: {}, limits: {} } }, lifetime: {} },
    },
    when: {
      lines: [{ from: "2028-01-01" }, { from: "2028-01-02" }],
      facts: { received: "2028-03-02" },
    },
    then: [denied("CO-29 10000", "30 + 29 + 2 are 61"), { ...pay, because: "60" }],
  },
  {
    name: "filed too late by a provider without contract",
    given: { plan: { filingDays: 5 } },
    when: { lines: [{}], facts: { network: "out" } },
    then: [denied("PI-29 10000", "8 days, and no contract that the provider broke")],
  },
  {
    name: "a duplicate of a decided line, and a repeat that says so",
    given: {},
    when: {
      lines: [{ code: "s1" }, { code: "s1", modifiers: ["76"] }],
      facts: { standing: [earlier()] },
    },
    then: [
      denied("OA-18 10000", "same member, provider, code, day, units and charge"),
      { ...pay, because: "the modifier makes it another service" },
    ],
  },
  {
    name: "what is no duplicate",
    given: {},
    when: {
      lines: [{ code: "s1" }],
      facts: {
        standing: [
          earlier({ member: "bob" }),
          earlier({ provider: "dr-b" }),
          earlier({ charge: 10_001 }),
          earlier({ from: "2026-03-01", to: "2026-03-01" }),
          // The claim itself, which is decided anew.
          earlier({ claim: "c1" }),
        ],
      },
    },
    then: [{ ...pay, because: "each differs in one thing" }],
  },
  {
    name: "a line twice on one claim",
    given: {},
    when: {
      lines: [
        { code: "s", modifiers: ["a", "b"] },
        { code: "s", modifiers: ["b", "a"] },
      ],
    },
    then: [pay, denied("OA-18 10000", "the order of modifiers makes no other service")],
  },
  {
    name: "no authorisation, a denied one, a pended one, one of another time",
    given: {
      plan: {
        benefits: [
          needsLeave,
          { name: "b", codes: ["n"], authorisation: true },
          { name: "c", codes: ["p"], authorisation: true },
          { name: "d", codes: ["q"], authorisation: true },
        ],
      },
    },
    when: {
      lines: [{ code: "m" }, { code: "n" }, { code: "p" }, { code: "q" }],
      facts: {
        authorisations: [
          leave({ codes: ["n"], status: "denied" }),
          leave({ codes: ["p"], status: "pended" }),
          leave({ codes: ["q"], to: "2026-03-01" }),
        ],
      },
    },
    then: [
      denied("CO-197 10000", "none was asked for"),
      denied("CO-39 10000", "it was denied"),
      denied("OA-133 10000", "it waits; nobody owes anything yet"),
      denied("CO-197 10000", "it ended the day before"),
    ],
    after: spent({}),
  },
  {
    name: "fewer units authorised than billed",
    given: { plan: { benefits: [needsLeave] }, terms: { fees: { m: 800 } } },
    when: {
      lines: [{ code: "m", units: 4, charge: 4_000 }],
      facts: { authorisations: [leave({ units: 3 })] },
    },
    then: [
      {
        adjust: ["CO-198 1000", "PR-2 480", "CO-45 600"],
        paid: 1_920,
        because: "a fourth of 40 is cut; 3 × 8 are 24, 20 % of it 4.80; 30 − 24 are 6",
      },
    ],
  },
  {
    name: "units of an authorisation that an earlier line used",
    given: { plan: { benefits: [needsLeave] } },
    when: {
      lines: [
        { code: "m", units: 2, charge: 2_000 },
        { code: "m", units: 2, charge: 2_000, modifiers: ["76"] },
        { code: "m", units: 1, charge: 2_000, modifiers: ["77"] },
      ],
      facts: { authorisations: [leave({ units: 3 })] },
    },
    then: [
      { adjust: ["PR-2 400"], paid: 1_600, because: "two of three" },
      { adjust: ["CO-198 1000", "PR-2 200"], paid: 800, because: "one is left" },
      denied("CO-198 2000", "none is left"),
    ],
  },
  {
    name: "an excluded benefit",
    given: { plan: { benefits: [{ name: "cosmetic", codes: ["x"], excluded: true }] } },
    when: { lines: [{ code: "x" }, { code: "y" }] },
    then: [
      { adjust: ["PR-96 N130 10000"], paid: 0, because: "the patient chose it" },
      { ...pay, because: "other services are covered" },
    ],
  },
  {
    name: "a code that no benefit of a closed plan lists",
    given: { plan: { otherServices: "excluded", benefits: [therapy()] } },
    when: { lines: [{ code: "t" }, { code: "y" }] },
    then: [
      pay,
      { adjust: ["PR-96 N130 10000"], paid: 0, because: "only listed codes are covered" },
    ],
  },
  {
    name: "a limit of units used up inside a line",
    given: {
      plan: { benefits: [therapy({ units: 20, per: "year" })] },
      accumulators: spent({}, { ann: { therapy: 18 }, bob: { therapy: 20 } }),
    },
    when: {
      lines: [
        { code: "t", units: 3, charge: 10_000 },
        { code: "t", charge: 5_000 },
      ],
    },
    then: [
      {
        adjust: ["PR-119 3333", "PR-2 1333"],
        paid: 5_334,
        because: "two thirds of 100 are 66.67; 20 % of that are 13.334",
      },
      denied("PR-119 5000", "none is left"),
    ],
    after: spent({ ann: [0, 1_333] }, { ann: { therapy: 20 }, bob: { therapy: 20 } }),
  },
  {
    name: "a limit of money used up inside a line",
    given: {
      plan: { benefits: [therapy({ paid: 100_000, per: "year" })] },
      accumulators: spent({}, { ann: { therapy: 97_000 } }),
    },
    when: { lines: [{ code: "t", charge: 10_000 }] },
    then: [
      {
        adjust: ["PR-2 2000", "PR-119 5000"],
        paid: 3_000,
        because: "80 would be paid, and 30 are left of 1,000",
      },
    ],
    // What is beyond the benefit counts towards no cap.
    after: spent({ ann: [0, 2_000] }, { ann: { therapy: 100_000 } }),
  },
  {
    name: "a lifetime's limit outlives the year",
    given: {
      plan: { benefits: [therapy({ paid: 100_000, per: "lifetime" })] },
      accumulators: { ...spent({}), lifetime: { ann: { therapy: 100_000 } } },
    },
    when: { lines: [{ code: "t", charge: 10_000 }] },
    then: [{ adjust: ["PR-2 2000", "PR-35 8000"], paid: 0, because: "nothing is left of 1,000" }],
  },
  {
    name: "a claim across two plan years",
    given: {
      terms: { deductible: { kind: "embedded", individual: 10_000 } },
      accumulators: {
        v: 1,
        lifetime: {},
        years: {
          "2025-01-01": { networks: { in: { ann: { deductible: 10_000 } } }, limits: {} },
          "2026-01-01": { networks: {}, limits: {} },
        },
      },
    },
    when: { lines: [{ from: "2025-12-31" }, { from: "2026-01-01" }] },
    then: [
      { ...pay, because: "the deductible of 2025 was met" },
      { adjust: ["PR-1 10000"], paid: 0, because: "that of 2026 begins" },
    ],
  },
  {
    name: "a plan year that begins in July",
    given: {
      plan: { yearStarts: "07-01" },
      terms: { deductible: { kind: "embedded", individual: 5_000 } },
      accumulators: {
        v: 1,
        lifetime: {},
        years: {
          "2025-07-01": { networks: { in: { ann: { deductible: 5_000 } } }, limits: {} },
          "2026-07-01": { networks: {}, limits: {} },
        },
      },
    },
    when: {
      lines: [{ from: "2026-06-30" }, { from: "2026-07-01" }],
      facts: { received: "2026-07-02" },
    },
    then: [
      { ...pay, because: "met since July 2025" },
      { adjust: ["PR-1 5000", "PR-2 1000"], paid: 4_000, because: "50 anew; 20 % of 50" },
    ],
  },
  {
    name: "a pair without and with a modifier",
    given: { plan: { pairs: [{ first: "a", second: "b", unless: ["59", "XS"] }] } },
    when: {
      lines: [
        { code: "b" },
        { code: "a" },
        { code: "b", modifiers: ["XS"] },
        { code: "b", from: "2026-03-03" },
      ],
    },
    then: [
      denied("CO-97 10000", "part of the other, though billed before it"),
      { ...pay, because: "the first of the pair" },
      { ...pay, because: "a service of its own" },
      { ...pay, because: "another day" },
    ],
  },
  {
    name: "a pair with a line of an earlier claim, and with one that is denied",
    given: {
      plan: {
        pairs: [
          { first: "a", second: "b" },
          { first: "x", second: "c" },
        ],
        benefits: [{ name: "cosmetic", codes: ["x"], excluded: true }],
      },
    },
    when: {
      lines: [{ code: "b" }, { code: "x" }, { code: "c" }],
      facts: { standing: [earlier({ code: "a", charge: 77 })] },
    },
    then: [
      denied("CO-97 10000", "its other half stands"),
      { adjust: ["PR-96 N130 10000"], paid: 0, because: "excluded" },
      { ...pay, because: "it is part of nothing that is covered" },
    ],
  },
  {
    name: "a bundled line uses nothing of a limit",
    given: {
      plan: {
        pairs: [{ first: "a", second: "t" }],
        benefits: [therapy({ units: 1, per: "year" })],
      },
      accumulators: spent({}),
    },
    when: { lines: [{ code: "t" }, { code: "a" }, { code: "t", from: "2026-03-04" }] },
    then: [
      denied("CO-97 10000", "part of a"),
      pay,
      { ...pay, because: "the one unit of the year" },
    ],
    after: spent({ ann: [0, 4_000] }, { ann: { therapy: 1 } }),
  },
  {
    name: "ranks against the order of billing",
    given: {
      plan: { ranks: { order: ["major", "minor", "least"], shares: [10_000, 5_000, 2_500] } },
    },
    when: {
      lines: [
        { code: "least", charge: 4_001 },
        { code: "minor", charge: 10_000 },
        { code: "major", charge: 20_000 },
        { code: "other", charge: 1_000 },
      ],
    },
    then: [
      {
        adjust: ["CO-59 3001", "PR-2 200"],
        paid: 800,
        because: "third: a quarter of 40.01 is 10.0025; 20 % of 10 are 2",
      },
      { adjust: ["CO-59 5000", "PR-2 1000"], paid: 4_000, because: "second: half of 100" },
      { adjust: ["PR-2 4000"], paid: 16_000, because: "first: all of 200" },
      { adjust: ["PR-2 200"], paid: 800, because: "not ranked" },
    ],
  },
  {
    name: "each day has a first procedure; a denied line takes no place",
    given: {
      plan: {
        ranks: { order: ["major", "minor"], shares: [10_000, 5_000] },
        benefits: [{ name: "imaging", codes: ["major"], authorisation: true }],
      },
    },
    when: { lines: [{ code: "major" }, { code: "minor" }, { code: "minor", from: "2026-03-03" }] },
    then: [
      denied("CO-197 10000", "not authorised"),
      { ...pay, because: "so this is the day's first" },
      { ...pay, because: "and this the next day's" },
    ],
  },
];
