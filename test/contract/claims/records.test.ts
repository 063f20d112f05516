import { describe, expect, it } from "vitest";
import { encode } from "../../../src/codec/dag-cbor.ts";
import {
  type Accumulators,
  adjudicate,
  type Claim,
  type ClaimDecision,
  type ClaimFacts,
  type ClaimRecord,
  claimsToReadjudicate,
  createPlan,
  emptyAccumulators,
  explainClaim,
  foldDecisions,
  reverseClaim,
  standingDecisions,
  standingLines,
} from "../../../src/contract/claims/index.ts";
import { claimOf, factsOf, planOf, spent, written } from "./row.ts";

const plan = createPlan(
  planOf({}, { deductible: { kind: "embedded", individual: 10_000, family: 20_000 } }),
);
const start = emptyAccumulators(["2025-01-01", "2026-01-01"]);

/** A family's claims, decided one after the other on what stands. */
function family(): {
  readonly records: ClaimRecord[];
  decide(claim: Claim, facts?: Partial<ClaimFacts>): ClaimDecision;
  accumulators(): Accumulators;
} {
  const records: ClaimRecord[] = [];
  const accumulators = (): Accumulators => foldDecisions(start, records);
  return {
    records,
    accumulators,
    decide(claim, facts) {
      const known = factsOf({ standing: standingLines(records), ...facts });
      const { decision, accumulators: after } = adjudicate(plan, claim, accumulators(), known);
      records.push(decision);
      expect(after).toEqual(accumulators());
      return decision;
    },
  };
}

const claim = (id: string, member: string, charge: number, more: Partial<Claim> = {}): Claim =>
  claimOf([{ code: id, charge }], { id, member, ...more });
const paid = (decision: ClaimDecision): number => decision.total.paid;

describe("reverseClaim", () => {
  it("negates each adjustment under its own group", () => {
    const { decide, records, accumulators } = family();
    const decision = decide(claim("a", "ann", 15_000));
    const before = encode(start);
    const reversal = reverseClaim(decision);
    records.push(reversal);
    expect(reversal.lines.map(written)).toEqual([["PR-1 -10000", "PR-2 -1000"]]);
    expect(reversal.total).toEqual({ charge: -15_000, paid: -4_000, patient: -11_000 });
    expect(encode(accumulators())).toEqual(before);
    expect(encode(reverseClaim(decide(claim("b", "bob", 0))))).toBeInstanceOf(Uint8Array);
  });

  it("takes the middle of three back, which is then replaced into another year", () => {
    const { decide, records, accumulators } = family();
    // 60 of the deductible's 100; then 40 and 20 % of 60; then 20 % of 100.
    expect(paid(decide(claim("a", "ann", 6_000)))).toBe(0);
    const middle = decide(claim("b", "ann", 10_000));
    expect(written(middle.lines[0]!)).toEqual(["PR-1 4000", "PR-2 1200"]);
    expect(paid(decide(claim("c", "ann", 10_000)))).toBe(8_000);
    records.push(reverseClaim(middle));
    expect(accumulators().years["2026-01-01"]!.networks).toEqual({
      in: { ann: { deductible: 6_000, outOfPocket: 8_000 } },
    });
    // The third would now pay 40 of its own; the first was decided before.
    expect(claimsToReadjudicate(records, "b")).toEqual(["c"]);

    const moved = claimOf([{ code: "b", charge: 10_000, from: "2025-12-30" }], {
      id: "b2",
      replaces: "b",
    });
    expect(written(decide(moved).lines[0]!)).toEqual(["PR-1 10000"]);
    expect(accumulators().years).toEqual({
      "2025-01-01": {
        networks: { in: { ann: { deductible: 10_000, outOfPocket: 10_000 } } },
        limits: {},
      },
      "2026-01-01": {
        networks: { in: { ann: { deductible: 6_000, outOfPocket: 8_000 } } },
        limits: {},
      },
    });
    // Decided anew, the third pays 100 − 40 − 12.
    records.push(reverseClaim(standingDecisions(records).find((one) => one.claim === "c")!));
    expect(paid(decide(claim("c", "ann", 10_000)))).toBe(4_800);
  });

  it("is needed before a claim is replaced", () => {
    const { decide } = family();
    decide(claim("a", "ann", 6_000));
    expect(() => decide(claim("b", "ann", 6_000, { replaces: "a" }))).toThrow(
      expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
    );
  });

  it("lets a line be billed again, which would have been a duplicate", () => {
    const { decide, records } = family();
    const first = decide(claim("a", "ann", 12_000));
    const again = claimOf([{ code: "a", charge: 12_000 }], { id: "a2" });
    expect(written(decide(again).lines[0]!)).toEqual(["OA-18 12000"]);
    records.push(reverseClaim(first));
    expect(claimsToReadjudicate(records, "a")).toEqual(["a2"]);
    records.push(reverseClaim(records[1] as ClaimDecision));
    expect(written(decide(again).lines[0]!)).toEqual(["PR-1 10000", "PR-2 400"]);
  });
});

describe("two payers that race for one deductible", () => {
  const medical = claim("medical", "ann", 8_000);
  const pharmacy = claim("pharmacy", "ann", 5_000);

  it.each([
    // 80 first: 20 of 50 are left to the deductible, and 20 % of 30.
    [
      [medical, pharmacy],
      [["PR-1 8000"], ["PR-1 2000", "PR-2 600"]],
    ],
    // 50 first: then 50 of 80, and 20 % of 30.
    [
      [pharmacy, medical],
      [["PR-1 5000"], ["PR-1 5000", "PR-2 600"]],
    ],
  ])("is decided in either order, to the same accumulators", (order, expected) => {
    const { decide, accumulators } = family();
    const decisions = order.map((one) => decide(one));
    expect(decisions.map(({ lines }) => written(lines[0]!))).toEqual(expected);
    expect(accumulators().years["2026-01-01"]).toEqual(
      spent({ ann: [10_000, 10_600] }).years["2026-01-01"],
    );
  });
});

describe("claimsToReadjudicate", () => {
  it("lists what shares a member, or the family's accumulators of a year and network", () => {
    const { decide, records } = family();
    decide(claim("before", "ann", 1_000));
    const first = decide(claim("first", "ann", 1_000));
    decide(claim("sibling", "bob", 1_000));
    decide(claim("apart", "bob", 1_000), { network: "out" });
    decide(claimOf([{ code: "x", from: "2025-05-05" }], { id: "last year", member: "bob" }));
    decide(claim("own", "ann", 1_000), { network: "out" });
    records.push(reverseClaim(first));
    expect(claimsToReadjudicate(records, "first")).toEqual(["sibling", "own"]);
  });

  it("refuses a claim that was not reversed, or never decided", () => {
    const { decide, records } = family();
    decide(claim("a", "ann", 1_000));
    for (const id of ["a", "b"]) {
      expect(() => claimsToReadjudicate(records, id)).toThrow(
        expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
      );
    }
  });
});

describe("foldDecisions", () => {
  it("refuses two decisions on one claim, and a reversal of none", () => {
    const { decide, records } = family();
    const decision = decide(claim("a", "ann", 1_000));
    const reversal = reverseClaim(decision);
    for (const wrong of [[decision, decision], [reversal], [decision, reversal, reversal]]) {
      expect(() => foldDecisions(start, wrong)).toThrow(
        expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
      );
    }
    expect(foldDecisions(start, [...records, reversal, decision])).toEqual(
      foldDecisions(start, [decision]),
    );
  });
});

describe("explainClaim", () => {
  it("says how each amount came about", () => {
    const { decide } = family();
    const explained = explainClaim(decide(claim("a", "ann", 15_000)));
    expect(explained).toEqual({
      summary: "Of 150.00 USD charged, the plan pays 40.00 USD and the patient owes 110.00 USD.",
      lines: [
        {
          sequence: 1,
          summary:
            "Line 1 is allowed: 150.00 USD charged, 40.00 USD paid, 110.00 USD owed by the patient.",
          reasons: [
            "100.00 USD (PR-1): deductible, of which 100.00 USD were left for the member.",
            "10.00 USD (PR-2): coinsurance of 20.00 % of 50.00 USD.",
          ],
        },
      ],
    });
  });
});
