import { type Row, spent } from "./row.ts";

const embedded = (individual: number, family: number) =>
  ({ kind: "embedded", individual, family }) as const;

/** Allowed amounts, copay, deductible, coinsurance and cap. */
export const SHARES: readonly Row[] = [
  {
    name: "the deductible is met inside a line",
    given: {
      terms: { deductible: embedded(100_000, 200_000) },
      accumulators: spent({ ann: [80_000, 80_000] }),
    },
    when: { lines: [{ charge: 50_000 }] },
    then: [
      {
        adjust: ["PR-1 20000", "PR-2 6000"],
        paid: 24_000,
        because: "200 of 1,000 are left; 20 % of the other 300 are 60; 500 − 200 − 60",
      },
    ],
    after: spent({ ann: [100_000, 106_000] }),
  },
  {
    name: "a copay stands beside the deductible",
    given: {
      terms: { deductible: embedded(10_000, 20_000) },
      plan: { benefits: [{ name: "visit", codes: ["v"], terms: { in: { copay: 2_500 } } }] },
    },
    when: { lines: [{ code: "v", charge: 15_000 }] },
    then: [
      {
        adjust: ["PR-3 2500", "PR-1 10000", "PR-2 500"],
        paid: 2_000,
        because: "25 copay; 100 deductible of the other 125; 20 % of 25 are 5; 150 − 130",
      },
    ],
    after: spent({ ann: [10_000, 13_000] }),
  },
  {
    name: "a copay without deductible and coinsurance",
    given: {
      terms: { deductible: embedded(10_000, 20_000) },
      plan: {
        benefits: [
          {
            name: "visit",
            codes: ["v"],
            terms: { in: { copay: 2_500, coinsurance: 0, noDeductible: true } },
          },
        ],
      },
    },
    when: { lines: [{ code: "v", charge: 15_000 }] },
    then: [{ adjust: ["PR-3 2500"], paid: 12_500, because: "150 − 25" }],
    after: spent({ ann: [0, 2_500] }),
  },
  {
    name: "a copay is at most the allowed amount",
    given: {
      terms: { fees: { v: 1_800 } },
      plan: { benefits: [{ name: "visit", codes: ["v"], terms: { in: { copay: 2_500 } } }] },
    },
    when: { lines: [{ code: "v", charge: 4_000 }] },
    then: [
      { adjust: ["PR-3 1800", "CO-45 2200"], paid: 0, because: "18 allowed, all copay; 40 − 18" },
    ],
  },
  {
    name: "fees are by unit, and the rest is written off",
    given: { terms: { fees: { s1: 3_000 } } },
    when: { lines: [{ units: 3, charge: 12_000 }] },
    then: [
      {
        adjust: ["PR-2 1800", "CO-45 3000"],
        paid: 7_200,
        because: "3 × 30 are 90; 20 % are 18; 120 − 90 are 30",
      },
    ],
  },
  {
    name: "the plan allows no more than the charge",
    given: { terms: { fees: { s1: 30_000 } } },
    when: { lines: [{ charge: 12_000 }] },
    then: [{ adjust: ["PR-2 2400"], paid: 9_600, because: "120 of 300; 20 % are 24" }],
  },
  {
    name: "the pricer's amount outweighs the fee",
    given: { terms: { fees: { s1: 3_000 } } },
    when: {
      lines: [{ charge: 12_000 }],
      facts: { lines: [{ sequence: 1, allowed: 5_000 }] },
    },
    then: [
      { adjust: ["PR-2 1000", "CO-45 7000"], paid: 4_000, because: "50 allowed; 20 % are 10" },
    ],
  },
  {
    name: "a share of the charge is allowed where there is no fee",
    given: { terms: { unlisted: 6_000 } },
    when: { lines: [{ charge: 12_345 }] },
    then: [
      {
        adjust: ["PR-2 1481", "CO-45 4938"],
        paid: 5_926,
        because:
          "60 % of 123.45 are 74.07; 20 % of that 14.814, so 14.81; 123.45 − 74.07 are 49.38",
      },
    ],
  },
  {
    name: "half a cent is rounded up once a line",
    given: { terms: { coinsurance: 5_000 } },
    when: { lines: [{ charge: 101 }, { charge: 101 }, { charge: 99 }] },
    then: [
      { adjust: ["PR-2 51"], paid: 50, because: "half of 1.01 is 0.505" },
      { adjust: ["PR-2 51"], paid: 50, because: "each line by itself: 1.02 in all, not 1.01" },
      { adjust: ["PR-2 50"], paid: 49, because: "half of 0.99 is 0.495" },
    ],
  },
  {
    name: "half a cent at a rate in basis points",
    given: { terms: { coinsurance: 1_250 } },
    when: { lines: [{ charge: 1_004 }, { charge: 1_003 }] },
    then: [
      { adjust: ["PR-2 126"], paid: 878, because: "12.5 % of 10.04 are 1.255" },
      { adjust: ["PR-2 125"], paid: 878, because: "12.5 % of 10.03 are 1.25375" },
    ],
  },
  {
    name: "the family's deductible stops a second member's",
    given: {
      terms: { deductible: embedded(50_000, 100_000) },
      accumulators: spent({ bob: [50_000, 50_000], cat: [45_000, 45_000] }),
    },
    when: { lines: [{ charge: 40_000 }] },
    then: [
      {
        adjust: ["PR-1 5000", "PR-2 7000"],
        paid: 28_000,
        because: "the family has paid 950 of 1,000; 20 % of 350 are 70",
      },
    ],
  },
  {
    name: "one member meets an aggregate deductible",
    given: { terms: { deductible: { kind: "aggregate", family: 300_000 } } },
    when: { lines: [{ charge: 320_000 }] },
    then: [
      {
        adjust: ["PR-1 300000", "PR-2 4000"],
        paid: 16_000,
        because: "no individual deductible ends it earlier; 20 % of 200 are 40",
      },
    ],
    after: spent({ ann: [300_000, 304_000] }),
  },
  {
    name: "two members share an aggregate deductible",
    given: {
      terms: { deductible: { kind: "aggregate", family: 300_000 } },
      accumulators: spent({ bob: [290_000, 290_000] }),
    },
    when: { lines: [{ charge: 20_000 }] },
    then: [{ adjust: ["PR-1 10000", "PR-2 2000"], paid: 8_000, because: "100 are left of 3,000" }],
  },
  {
    name: "the member's cap without the family's",
    given: {
      terms: { cap: { individual: 100_000 } },
      accumulators: spent({ ann: [0, 99_000], bob: [0, 500_000] }),
    },
    when: { lines: [{ charge: 10_000 }] },
    then: [{ adjust: ["PR-2 1000"], paid: 9_000, because: "20 % are 20, and 10 are left" }],
    after: spent({ ann: [0, 100_000], bob: [0, 500_000] }),
  },
  {
    name: "the family's cap without the member's",
    given: {
      terms: { cap: { family: 200_000 } },
      accumulators: spent({ ann: [0, 50_000], bob: [0, 149_500] }),
    },
    when: { lines: [{ charge: 10_000 }] },
    then: [{ adjust: ["PR-2 500"], paid: 9_500, because: "2,000 − 1,995 are 5 of the 20 %" }],
  },
  {
    name: "the cap ends a deductible and a copay, too",
    given: {
      terms: { deductible: embedded(100_000, 200_000), cap: { individual: 30_000 } },
      accumulators: spent({ ann: [20_000, 29_000] }),
      plan: { benefits: [{ name: "visit", codes: ["v"], terms: { in: { copay: 4_000 } } }] },
    },
    when: { lines: [{ code: "v", charge: 10_000 }] },
    then: [
      {
        adjust: ["PR-3 1000"],
        paid: 9_000,
        because:
          "copay 40 and deductible 60 would be 100, and 10 are left; the copay is last to go",
      },
    ],
    after: spent({ ann: [20_000, 30_000] }),
  },
  {
    name: "nothing is left of the cap",
    given: {
      terms: { cap: { individual: 30_000 } },
      accumulators: spent({ ann: [0, 30_000] }),
    },
    when: { lines: [{ charge: 10_000 }] },
    then: [{ adjust: [], paid: 10_000, because: "the plan bears everything" }],
    after: spent({ ann: [0, 30_000] }),
  },
  {
    name: "the second line goes on where the first ended",
    given: { terms: { deductible: embedded(15_000, 30_000) } },
    when: { lines: [{ charge: 10_000 }, { charge: 10_000 }] },
    then: [
      { adjust: ["PR-1 10000"], paid: 0, because: "100 of 150" },
      { adjust: ["PR-1 5000", "PR-2 1000"], paid: 4_000, because: "50 are left; 20 % of 50" },
    ],
  },
  {
    name: "out of network, the balance is the patient's",
    given: {
      plan: {
        networks: {
          in: { contracted: true, coinsurance: 2_000 },
          out: {
            contracted: false,
            coinsurance: 4_000,
            deductible: { kind: "embedded", individual: 5_000 },
            fees: { s1: 20_000 },
          },
        },
      },
      accumulators: spent({ ann: [90_000, 90_000] }),
    },
    when: { lines: [{ charge: 30_000 }], facts: { network: "out" } },
    then: [
      {
        adjust: ["PR-1 5000", "PR-2 6000", "PR-45 10000"],
        paid: 9_000,
        because: "networks count apart: 50 deductible; 40 % of 150 are 60; 300 − 200 is billed",
      },
    ],
    after: {
      v: 1,
      lifetime: {},
      years: {
        "2026-01-01": {
          networks: {
            in: { ann: { deductible: 90_000, outOfPocket: 90_000 } },
            // The balance above the allowed amount never counts towards a cap.
            out: { ann: { deductible: 5_000, outOfPocket: 11_000 } },
          },
          limits: {},
        },
      },
    },
  },
  {
    name: "out of network, protected from a surprise bill",
    given: {
      plan: { protectedAs: "in" },
      terms: { fees: { s1: 20_000 } },
    },
    when: {
      lines: [{ charge: 30_000 }],
      facts: { network: "out", lines: [{ sequence: 1, protected: true }] },
    },
    then: [
      {
        adjust: ["PR-2 4000", "CO-45 10000"],
        paid: 16_000,
        because: "20 % as in the network, and law forbids to bill 300 − 200 (45 CFR 149.410)",
      },
    ],
    after: spent({ ann: [0, 4_000] }),
  },
  {
    name: "lines of one claim in two networks",
    given: {},
    when: {
      lines: [{ charge: 10_000 }, { charge: 10_000 }],
      facts: { lines: [{ sequence: 2, network: "out" }] },
    },
    then: [
      { adjust: ["PR-2 2000"], paid: 8_000, because: "20 %" },
      { adjust: ["PR-2 4000"], paid: 6_000, because: "40 %" },
    ],
  },
];
