import type {
  ClaimFacts,
  Coordination,
  PriorAdjustment,
} from "../../../src/contract/claims/index.ts";
import { type Row, spent } from "./row.ts";

/** One payer that decided the only line: what it paid, and its adjustments as `GROUP-CARC amount`. */
const payer = (paid: number, ...adjust: string[]): ClaimFacts["prior"][number] => ({
  payer: "first",
  lines: [
    {
      sequence: 1,
      paid,
      adjustments: adjust.map((text): PriorAdjustment => {
        const [, group, carc, amount] = /^(..)-(\w+) (\d+)$/.exec(text)!;
        return { group: group as PriorAdjustment["group"], carc: carc!, amount: Number(amount) };
      }),
    },
  ],
});

/** $200 charged, $150 allowed by a first payer that pays 80 % of it. */
const FIRST = payer(12_000, "CO-45 5000", "PR-2 3000");

const after = (
  name: string,
  coordination: Coordination,
  terms: Row["given"]["terms"],
  then: Row["then"][number],
): Row => ({
  name,
  given: { plan: { coordination }, terms: terms ?? {} },
  when: { lines: [{ charge: 20_000 }], facts: { prior: [FIRST] } },
  then: [then],
});

/** Plans that come after others. */
export const COORDINATION: readonly Row[] = [
  after(
    "standard: as if it came first, up to what is open",
    "standard",
    { fees: { s1: 14_000 } },
    {
      adjust: ["OA-23 17000"],
      paid: 3_000,
      because: "alone 80 % of 140 are 112; 200 − 120 − 50 are open: 30",
    },
  ),
  after(
    "standard: its own payment is less than what is open",
    "standard",
    { fees: { s1: 2_500 } },
    {
      adjust: ["OA-23 17000", "CO-45 1000"],
      paid: 2_000,
      because: "alone 80 % of 25; 30 − 20 are above what it allows, as the provider got 120",
    },
  ),
  after(
    "non-duplication: what the first paid is taken off",
    "non-duplication",
    { fees: { s1: 16_000 } },
    {
      adjust: ["OA-23 17000", "PR-2 2200"],
      paid: 800,
      because: "alone 128, less 120; of 30 − 8 the patient's 20 % of 160 would be 32",
    },
  ),
  after(
    "non-duplication: nothing where the first paid more",
    "non-duplication",
    { fees: { s1: 14_000 } },
    {
      adjust: ["OA-23 17000", "PR-2 2000", "CO-45 1000"],
      paid: 0,
      because: "alone 112 is less than 120; 140 − 120 may be asked of the patient, 10 not",
    },
  ),
  after(
    "maintenance of benefits: terms on what the first left",
    "maintenance-of-benefits",
    { fees: { s1: 14_000 } },
    {
      adjust: ["OA-23 17000", "PR-2 400", "CO-45 1000"],
      paid: 1_600,
      because: "140 − 120 are 20; 20 % of it are 4; of 30, 16 and 4 make 20",
    },
  ),
  {
    name: "maintenance of benefits with a deductible",
    given: {
      plan: { coordination: "maintenance-of-benefits" },
      terms: { fees: { s1: 14_000 }, deductible: { kind: "embedded", individual: 1_500 } },
    },
    when: { lines: [{ charge: 20_000 }], facts: { prior: [FIRST] } },
    then: [
      {
        adjust: ["OA-23 17000", "PR-1 1500", "PR-2 100", "CO-45 1000"],
        paid: 400,
        because: "of 20, 15 deductible, 20 % of 5 are 1",
      },
    ],
  },
  {
    name: "42 CFR 411.33(b): Medicare pays $30",
    given: { plan: { coordination: "medicare-secondary" }, terms: { fees: { s1: 12_500 } } },
    when: {
      lines: [{ charge: 17_500 }],
      // The primary payer allowed $150 and paid $120; the physician has no contract with it.
      facts: { prior: [payer(12_000, "PR-2 3000", "PR-45 2500")] },
    },
    then: [
      {
        adjust: ["OA-23 12000", "CO-45 2500"],
        paid: 3_000,
        because: "the lowest of 175 − 120 = 55, 80 % of 125 = 100, and 150 − 120 = 30",
      },
    ],
  },
  {
    name: "Medicare secondary: no more than it would pay alone",
    given: { plan: { coordination: "medicare-secondary" }, terms: { fees: { s1: 12_500 } } },
    when: {
      lines: [{ charge: 17_500 }],
      facts: { prior: [payer(1_000, "PR-1 14000", "PR-45 2500")] },
    },
    then: [
      {
        adjust: ["OA-23 1000", "PR-2 1500", "CO-45 5000"],
        paid: 10_000,
        because: "the lowest of 165, 100, 150 − 10; 125 − 10 − 100 are 15 of its own 25",
      },
    ],
  },
  {
    name: "Medicare secondary: the charge that the provider must accept",
    given: { plan: { coordination: "medicare-secondary" }, terms: { fees: { s1: 18_000 } } },
    when: {
      lines: [{ charge: 20_000 }],
      facts: { prior: [payer(12_000, "CO-45 5000", "PR-1 3000")] },
    },
    then: [
      {
        adjust: ["OA-23 17000"],
        paid: 3_000,
        because: "the lowest of 150 − 120 = 30, 80 % of 180 = 144, 180 − 120 = 60",
      },
    ],
  },
  {
    name: "X12 RFI 1696: Medicaid pays $65, OA-23 $425, CO-45 $10",
    // Medicaid's fee of $365, less what Medicare paid.
    given: {
      plan: { coordination: "maintenance-of-benefits" },
      terms: { coinsurance: 0, fees: { s1: 36_500 } },
    },
    when: {
      lines: [{ charge: 50_000 }],
      facts: { prior: [payer(30_000, "PR-1 7500", "CO-45 12500")] },
    },
    then: [
      {
        adjust: ["OA-23 42500", "CO-45 1000"],
        paid: 6_500,
        because: "500 − 300 − 125 are open, 365 − 300 are paid, 10 are left",
      },
    ],
  },
  {
    name: "X12 RFI 2548: what the second pays is not reported as the patient's again",
    given: { terms: { coinsurance: 0 } },
    when: {
      lines: [{ charge: 10_000 }],
      facts: { prior: [payer(6_000, "CO-45 1500", "PR-1 2500")] },
    },
    then: [{ adjust: ["OA-23 7500"], paid: 2_500, because: "25 of PR-1 are paid; none is PR" }],
  },
  {
    name: "X12 RFI 1028: $125 of an account, OA-23 $200, PR-1 $175",
    given: {
      terms: { coinsurance: 0, deductible: { kind: "embedded", individual: 17_500 } },
    },
    when: {
      lines: [{ charge: 50_000 }],
      facts: {
        prior: [payer(0, "PR-1 30000", "CO-45 20000")],
        lines: [{ sequence: 1, allowed: 30_000 }],
      },
    },
    then: [{ adjust: ["OA-23 20000", "PR-1 17500"], paid: 12_500, because: "500 − 200 − 125" }],
  },
  {
    name: "835 example 3, second claim: $166.50, OA-23 $136.50, paid $30",
    given: { terms: { coinsurance: 0, fees: { s1: 15_000 } } },
    when: {
      lines: [{ charge: 16_650 }],
      facts: { prior: [payer(12_000, "CO-45 1650", "PR-2 3000")] },
    },
    then: [{ adjust: ["OA-23 13650"], paid: 3_000, because: "166.50 − 136.50" }],
  },
  {
    name: "X12 RFI 495: a line that the first had bundled is its impact, not CO-97 again",
    given: { plan: { pairs: [{ first: "a", second: "s1" }] } },
    when: {
      lines: [{ charge: 10_000 }],
      facts: {
        prior: [payer(0, "PI-97 10000")],
        standing: [
          {
            ...{ claim: "c0", member: "ann", provider: "dr-a", code: "a", modifiers: [] },
            ...{ from: "2026-03-02", to: "2026-03-02", units: 1, charge: 1 },
          },
        ],
      },
    },
    then: [{ adjust: ["OA-23 10000"], paid: 0, because: "the provider has booked it" }],
  },
  {
    name: "the first payer denies: this one pays as if it were the first",
    given: { terms: { fees: { s1: 8_000 } } },
    when: { lines: [{ charge: 10_000 }], facts: { prior: [payer(0, "PR-27 10000")] } },
    then: [{ adjust: ["PR-2 1600", "CO-45 2000"], paid: 6_400, because: "nothing was booked" }],
  },
  {
    name: "the first payer denies for the provider's fault",
    given: {},
    when: { lines: [{ charge: 10_000 }], facts: { prior: [payer(0, "CO-29 10000")] } },
    then: [{ adjust: ["OA-23 10000"], paid: 0, because: "nothing is open with the provider" }],
  },
  {
    name: "this plan denies after another has paid",
    given: { plan: { otherServices: "excluded" } },
    when: { lines: [{ charge: 20_000 }], facts: { prior: [FIRST] } },
    then: [{ adjust: ["OA-23 17000", "PR-96 N130 3000"], paid: 0, because: "200 − 120 − 50" }],
  },
  {
    name: "a third payer",
    given: { terms: { coinsurance: 0, fees: { s1: 30_000 } } },
    when: {
      lines: [{ charge: 50_000 }],
      facts: {
        prior: [
          payer(30_000, "PR-1 7500", "CO-45 12500"),
          payer(5_000, "OA-23 42500", "PR-2 2500"),
        ],
      },
    },
    then: [
      {
        adjust: ["OA-23 47500"],
        paid: 2_500,
        because: "300 + 125 + 50 are booked, OA-23 not twice",
      },
    ],
  },
  {
    name: "a second plan credits its deductible as if it came first",
    given: { terms: { deductible: { kind: "embedded", individual: 10_000 } } },
    when: { lines: [{ charge: 20_000 }], facts: { prior: [FIRST] } },
    then: [
      {
        adjust: ["OA-23 17000"],
        paid: 3_000,
        because: "alone 200 − 100 − 20 = 80, and 30 are open; NAIC model regulation, section 7",
      },
    ],
    after: spent({ ann: [10_000, 0] }),
  },
  {
    name: "FAQ of 2015 on caps: of $10,000 the plan bears $3,150",
    given: {
      terms: {
        coinsurance: 10_000,
        cap: { individual: 685_000, family: 1_300_000 },
      },
    },
    when: { lines: [{ charge: 1_000_000 }] },
    then: [{ adjust: ["PR-2 685000"], paid: 315_000, because: "10,000 − 6,850" }],
  },
  {
    name: "FAQ of 2015 on caps: of the family's $15,850 the plan bears $2,850",
    given: {
      terms: {
        coinsurance: 10_000,
        cap: { individual: 685_000, family: 1_300_000 },
      },
      accumulators: spent({ bob: [0, 685_000], cat: [0, 300_000], dan: [0, 300_000] }),
    },
    when: { lines: [{ charge: 300_000 }] },
    then: [
      {
        adjust: ["PR-2 15000"],
        paid: 285_000,
        because: "13,000 − 6,850 − 2 × 3,000 are 150; 3,000 − 150",
      },
    ],
  },
];
