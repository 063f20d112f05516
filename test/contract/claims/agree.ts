import { expect } from "vitest";
import {
  type Accumulators,
  adjudicate,
  type ClaimDecision,
  type ClaimFacts,
  type ClaimRecord,
  createPlan,
  emptyAccumulators,
  foldDecisions,
  reverseClaim,
  standingDecisions,
  standingLines,
} from "../../../src/contract/claims/index.ts";
import { type Literal, literally } from "./literal.ts";
import { type Draw, drawScene, YEARS } from "./scene.ts";

/** What a family's sequence of claims went through, for counting that it is not always the same. */
export const seen = new Map<string, number>();

const amountsBy = (adjustments: ClaimDecision["lines"][number]["adjustments"]) => {
  const sums: Record<string, number> = {};
  for (const { group, carc, amount } of adjustments) {
    const code = `${group}-${carc}`;
    sums[code] = (sums[code] ?? 0) + amount;
  }
  return sums;
};

/** What accumulators hold, as the literal model counts it. */
function countsOf({ years, lifetime }: Accumulators): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [year, { networks, limits }] of Object.entries(years)) {
    for (const [network, members] of Object.entries(networks)) {
      for (const [member, { deductible, outOfPocket }] of Object.entries(members)) {
        if (deductible !== undefined) counts[`ded ${year} ${network} ${member}`] = deductible;
        if (outOfPocket !== undefined) counts[`oop ${year} ${network} ${member}`] = outOfPocket;
      }
    }
    countLimits(limits, year, counts);
  }
  countLimits(lifetime, "ever", counts);
  return counts;
}

function countLimits(
  limits: Accumulators["lifetime"],
  year: string,
  counts: Record<string, number>,
): void {
  for (const [member, used] of Object.entries(limits)) {
    for (const [benefit, amount] of Object.entries(used)) {
      counts[`limit ${year} ${member} ${benefit}`] = amount;
    }
  }
}

/** Decides a random family's claims, some of them reversed and decided again, by both. */
export function agreeOn(draw: Draw): void {
  const { plan: document, claims } = drawScene(draw);
  const plan = createPlan(document);
  const start = emptyAccumulators(YEARS);
  const records: ClaimRecord[] = [];
  const literals = new Map<string, Literal["counted"]>();
  const decide = (at: number): void => {
    const { claim, facts: given } = claims[at]!;
    const facts: ClaimFacts = { ...given, standing: standingLines(records) };
    const known = standingDecisions(records).flatMap((one) => literals.get(one.claim)!);
    const accumulators = foldDecisions(start, records);
    const { decision, accumulators: after } = adjudicate(plan, claim, accumulators, facts);
    const literal = literally(document, claim, known, facts);
    const lines = decision.lines.map(({ adjustments, paid }) => ({
      adjust: amountsBy(adjustments),
      paid,
    }));
    expect(lines).toEqual(literal.lines);
    for (const { adjust } of lines) {
      for (const code of Object.keys(adjust)) seen.set(code, (seen.get(code) ?? 0) + 1);
    }
    literals.set(claim.id, literal.counted);
    records.push(decision);
    const counts: Record<string, number> = {};
    for (const { what } of [...known, ...literal.counted]) counts[what] = (counts[what] ?? 0) + 1;
    expect(countsOf(after)).toEqual(counts);
    expect(foldDecisions(start, records)).toEqual(after);
  };
  for (let at = 0; at < claims.length; at++) decide(at);
  if (draw.int(1, 2) === 1) {
    const at = draw.int(0, claims.length - 1);
    records.push(reverseClaim(records[at] as ClaimDecision));
    decide(at);
  }
}
