import type { Benefit, PriorPayer } from "../../../src/contract/claims/index.ts";
import { type Row, spent } from "./row.ts";

const visit = (copay: number): readonly Benefit[] => [
  { name: "visit", codes: ["v"], terms: { in: { copay } } },
];

const payer = (name: string, lines: PriorPayer["lines"][number]): PriorPayer => ({
  payer: name,
  lines: [lines],
});

/** Several steps that meet in one line. */
export const TOGETHER: readonly Row[] = [
  {
    name: "the cap takes coinsurance first, then the deductible, and the copay last",
    given: {
      plan: { benefits: visit(2_000) },
      terms: { deductible: { kind: "embedded", individual: 10_000 }, cap: { individual: 9_000 } },
    },
    when: { lines: [{ code: "v", charge: 30_000 }] },
    then: [
      {
        adjust: ["PR-3 2000", "PR-1 7000"],
        paid: 21_000,
        because: "20 + 100 + 20 % of 180 are 156, 66 above 90: all 36, and 30 of the 100",
      },
    ],
    after: spent({ ann: [7_000, 9_000] }),
  },
  {
    name: "ranks go by the plan's order, the deductible by the claim's",
    given: {
      plan: { ranks: { order: ["b", "a"], shares: [10_000, 5_000] } },
      terms: {
        fees: { a: 10_000, b: 8_000 },
        deductible: { kind: "embedded", individual: 6_000 },
      },
    },
    when: {
      lines: [
        { code: "a", charge: 12_000 },
        { code: "b", charge: 9_000 },
      ],
    },
    then: [
      {
        adjust: ["CO-59 5000", "PR-1 5000", "CO-45 2000"],
        paid: 0,
        because: "120 − 20 are 100, half of it as the second; all 50 go to the deductible",
      },
      {
        adjust: ["PR-1 1000", "PR-2 1400", "CO-45 1000"],
        paid: 5_600,
        because: "90 − 10 are 80; 10 are left of the deductible; 20 % of 70 are 14",
      },
    ],
    after: spent({ ann: [6_000, 7_400] }),
  },
  {
    name: "the family's cap ends an aggregate deductible before it is met",
    given: {
      terms: { deductible: { kind: "aggregate", family: 15_000 }, cap: { family: 14_000 } },
      accumulators: spent({ ann: [12_000, 12_000] }),
    },
    when: { claim: { member: "bob" }, lines: [{ charge: 10_000 }] },
    then: [
      {
        adjust: ["PR-1 2000"],
        paid: 8_000,
        because: "30 and 20 % of 70 are 44; 20 are left of the cap",
      },
    ],
    after: spent({ ann: [12_000, 12_000], bob: [2_000, 2_000] }),
  },
  {
    name: "the member's cap holds within a larger aggregate deductible",
    given: {
      terms: {
        deductible: { kind: "aggregate", family: 15_000 },
        cap: { individual: 8_000, family: 20_000 },
      },
    },
    when: { lines: [{ charge: 20_000 }] },
    then: [
      { adjust: ["PR-1 8000"], paid: 12_000, because: "150 + 10, of which the cap leaves 80" },
    ],
    after: spent({ ann: [8_000, 8_000] }),
  },
  {
    name: "a lifetime's limit of money after another payer",
    given: {
      plan: {
        coordination: "non-duplication",
        benefits: [{ name: "dental", codes: ["d"], limit: { per: "lifetime", paid: 5_000 } }],
      },
    },
    when: {
      lines: [{ code: "d" }],
      facts: {
        prior: [
          payer("first", {
            sequence: 1,
            paid: 4_000,
            adjustments: [{ group: "PR", carc: "2", amount: 6_000 }],
          }),
        ],
      },
    },
    then: [
      {
        adjust: ["OA-23 4000", "PR-2 2000", "PR-35 3000"],
        paid: 1_000,
        because: "alone 80, at most 50, less 40; it uses 10 of the limit",
      },
    ],
    after: { ...spent({ ann: [0, 2_000] }), lifetime: { ann: { dental: 1_000 } } },
  },
  {
    name: "maintenance of benefits with a copay",
    given: {
      plan: { coordination: "maintenance-of-benefits", benefits: visit(1_000) },
      terms: { fees: { v: 14_000 } },
    },
    when: {
      lines: [{ code: "v", charge: 20_000 }],
      facts: {
        prior: [
          payer("first", {
            sequence: 1,
            paid: 12_000,
            adjustments: [
              { group: "CO", carc: "45", amount: 5_000 },
              { group: "PR", carc: "2", amount: 3_000 },
            ],
          }),
        ],
      },
    },
    then: [
      {
        adjust: ["OA-23 17000", "PR-3 1000", "PR-2 200", "CO-45 1000"],
        paid: 800,
        because:
          "140 − 120 are 20; 10, and 20 % of 10; of the open 30, 10 are above what it allows",
      },
    ],
  },
  {
    name: "a third payer pays no more than two before it left open",
    given: {},
    when: {
      lines: [{ charge: 20_000 }],
      facts: {
        prior: [
          payer("first", {
            sequence: 1,
            paid: 10_000,
            adjustments: [
              { group: "CO", carc: "45", amount: 4_000 },
              { group: "PR", carc: "2", amount: 6_000 },
            ],
          }),
          payer("second", {
            sequence: 1,
            paid: 3_000,
            adjustments: [
              { group: "OA", carc: "23", amount: 14_000 },
              { group: "PR", carc: "2", amount: 3_000 },
            ],
          }),
        ],
      },
    },
    then: [{ adjust: ["OA-23 17000"], paid: 3_000, because: "200 − 100 − 40 − 30 are 30" }],
  },
];
