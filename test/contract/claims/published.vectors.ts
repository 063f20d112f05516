import { expect, it } from "vitest";
import {
  adjudicate,
  createPlan,
  emptyAccumulators,
  type MemberAmounts,
} from "../../../src/contract/claims/index.ts";
import { describeVectors, readVector } from "../../support/vectors.ts";
import { claimOf, factsOf, planOf, written, YEAR } from "./row.ts";

interface PublishedCase {
  readonly id: string;
  readonly plan: Readonly<Record<"dedInd" | "dedFam" | "oopInd" | "oopFam", number>> & {
    readonly coins: string;
  };
  readonly claims: readonly {
    readonly member: string;
    readonly lines: readonly { readonly billed: number; readonly allowed: number }[];
  }[];
  readonly expected: readonly {
    readonly lines: readonly {
      readonly billed: number;
      readonly allowed: number;
      readonly adjustments: readonly (readonly [code: string, amount: number])[];
      readonly paid: number;
      readonly patientResponsibility: number;
    }[];
    readonly totals: { readonly billed: number; readonly paid: number; readonly patient: number };
  }[];
  readonly accumulatorsAfter: Readonly<Record<"deductible" | "oop", Record<string, number>>>;
}

describeVectors("claims with published amounts", "claims", () => {
  const { cases } = JSON.parse(readVector("claims/claims.json")) as { cases: PublishedCase[] };

  it("are two at least", () => expect(cases.length).toBeGreaterThanOrEqual(2));

  it.each(cases)("$id", ({ plan: terms, claims, expected, accumulatorsAfter }) => {
    const plan = createPlan(
      planOf(
        {},
        {
          coinsurance: Math.round(Number(terms.coins) * 10_000),
          deductible: { kind: "embedded", individual: terms.dedInd, family: terms.dedFam },
          cap: { individual: terms.oopInd, family: terms.oopFam },
        },
      ),
    );
    let accumulators = emptyAccumulators([YEAR]);
    for (const [i, { member, lines }] of claims.entries()) {
      const billed = lines.map(({ billed: charge }) => ({ charge }));
      const facts = factsOf({
        lines: lines.map(({ allowed }, at) => ({ sequence: at + 1, allowed })),
      });
      const claim = claimOf(billed, { id: `c${i}`, member });
      const adjudicated = adjudicate(plan, claim, accumulators, facts);
      ({ accumulators } = adjudicated);
      const { lines: decided, total } = adjudicated.decision;
      const sorted = (list: readonly string[]): string[] => [...list].sort();
      expect(
        decided.map((line) => ({
          billed: line.charge,
          allowed: line.allowed,
          adjustments: sorted(written(line)),
          paid: line.paid,
          patientResponsibility: line.patient,
        })),
      ).toEqual(
        expected[i]!.lines.map((line) => ({
          ...line,
          adjustments: sorted(line.adjustments.map(([code, amount]) => `${code} ${amount}`)),
        })),
      );
      expect({ billed: total.charge, paid: total.paid, patient: total.patient }).toEqual(
        expected[i]!.totals,
      );
    }
    const members = Object.entries(accumulators.years[YEAR]!.networks["in"]!);
    const by = (kind: keyof MemberAmounts) =>
      Object.fromEntries(members.map(([member, amounts]) => [member, amounts[kind]]));
    expect(by("deductible")).toEqual(accumulatorsAfter.deductible);
    expect(by("outOfPocket")).toEqual(accumulatorsAfter.oop);
  });
});
