import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encode } from "../../../src/codec/dag-cbor.ts";
import {
  type Accumulators,
  adjudicate,
  type Claim,
  type ClaimDecision,
  type ClaimFacts,
  type ClaimRecord,
  createPlan,
  emptyAccumulators,
  foldDecisions,
  type PlanDocument,
  reverseClaim,
  standingLines,
} from "../../../src/contract/claims/index.ts";
import { drawScene, type Scene, YEARS } from "./scene.ts";

const scenes = fc
  .gen()
  .map((g): Scene => drawScene({ int: (least, most) => g(fc.integer, { min: least, max: most }) }));
const start = emptyAccumulators(YEARS);

/** Decides a family's claims one after the other, and shows each decision. */
function decideAll(
  { plan: document, claims }: Scene,
  show: (decision: ClaimDecision, claim: Claim, facts: ClaimFacts) => void = () => {},
): { readonly records: ClaimRecord[]; readonly accumulators: Accumulators } {
  const plan = createPlan(document);
  const records: ClaimRecord[] = [];
  let accumulators = start;
  for (const { claim, facts } of claims) {
    const known = { ...facts, standing: standingLines(records) };
    const adjudicated = adjudicate(plan, claim, accumulators, known);
    ({ accumulators } = adjudicated);
    show(adjudicated.decision, claim, known);
    records.push(adjudicated.decision);
  }
  return { records, accumulators };
}

const always = (holds: (scene: Scene) => void): void =>
  fc.assert(fc.property(scenes, holds), { numRuns: 80 });
const sum = (amounts: readonly number[]): number => amounts.reduce((all, one) => all + one, 0);

/** What members have paid out of pocket, by year and network, with the network's cap. */
const outOfPocket = (
  { years }: Accumulators,
  { networks }: PlanDocument,
): { cap: NonNullable<PlanDocument["networks"][string]["cap"]>; paid: number[] }[] =>
  Object.values(years).flatMap((year) =>
    Object.entries(year.networks).map(([name, members]) => ({
      cap: networks[name]!.cap ?? {},
      paid: Object.values(members).map((amounts) => amounts.outOfPocket ?? 0),
    })),
  );

describe("adjudicate, whatever the plan and the claims", () => {
  it("explains every cent: charge less adjustments is paid, and what is PR is the patient's", () => {
    always((scene) => {
      decideAll(scene, ({ lines, total }, claim) => {
        for (const [i, { charge, adjustments, paid, patient }] of lines.entries()) {
          expect(charge).toBe(claim.lines[i]!.charge);
          expect(charge - sum(adjustments.map(({ amount }) => amount))).toBe(paid);
          expect(paid).toBeGreaterThanOrEqual(0);
          expect(adjustments.every(({ amount }) => amount > 0)).toBe(true);
          const owed = adjustments.filter(({ group }) => group === "PR");
          expect(patient).toBe(sum(owed.map(({ amount }) => amount)));
        }
        expect(total.paid).toBe(sum(lines.map(({ paid }) => paid)));
        expect(total.patient).toBe(sum(lines.map(({ patient }) => patient)));
      });
    });
  });

  it("keeps the caps of each member and of the family", () => {
    always((scene) => {
      const { accumulators } = decideAll(scene);
      for (const { cap, paid } of outOfPocket(accumulators, scene.plan)) {
        for (const one of paid) expect(one).toBeLessThanOrEqual(cap.individual ?? Infinity);
        expect(sum(paid)).toBeLessThanOrEqual(cap.family ?? Infinity);
      }
    });
  });

  it("never pays more, together with the payers before, than was charged", () => {
    always((scene) => {
      decideAll(scene, ({ lines }, _, { prior }) => {
        for (const { sequence, paid, charge } of lines) {
          const before = prior.map(
            (payer) => payer.lines.find((one) => one.sequence === sequence)!.paid,
          );
          // Payers that did not coordinate may have paid more than was charged before this one.
          if (sum(before) <= charge) expect(sum(before) + paid).toBeLessThanOrEqual(charge);
          else expect(paid).toBe(0);
        }
      });
    });
  });

  it("restores the bytes of the accumulators when the newest is reversed", () => {
    always((scene) => {
      const { records } = decideAll(scene);
      const newest = records.at(-1) as ClaimDecision;
      const before = encode(foldDecisions(start, records.slice(0, -1)));
      expect(encode(foldDecisions(start, [...records, reverseClaim(newest)]))).toEqual(before);
    });
  });

  it("decides claims of two families in either order alike", () => {
    always((scene) => {
      const [first, second] = [scene.claims[0]!, scene.claims.at(-1)!];
      const plan = createPlan(scene.plan);
      // Another year for all lines: neither shares an accumulator with the other.
      const a = {
        ...first.claim,
        lines: first.claim.lines.map((line) => ({ ...line, from: "2025-12-31", to: "2025-12-31" })),
      };
      const b = {
        ...second.claim,
        id: "other",
        member: "eve",
        lines: second.claim.lines.map((line) => ({
          ...line,
          from: "2026-01-02",
          to: "2026-01-02",
        })),
      };
      const decide = (claim: Claim, facts: Scene["claims"][number]["facts"], on: Accumulators) =>
        adjudicate(plan, claim, on, { ...facts, standing: [] });
      const one = decide(a, first.facts, start);
      const two = decide(b, second.facts, one.accumulators);
      const other = decide(b, second.facts, start);
      const last = decide(a, first.facts, other.accumulators);
      expect(other.decision).toEqual(two.decision);
      expect(last.decision).toEqual(one.decision);
      expect(encode(last.accumulators)).toEqual(encode(two.accumulators));
    });
  });

  it("depends on its arguments only, and changes none", () => {
    always((scene) => {
      const frozen = freeze(structuredClone(scene));
      const first = decideAll(frozen);
      expect(encode(decideAll(structuredClone(scene)).records)).toEqual(encode(first.records));
    });
  });
});

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null) Object.values(value).forEach(freeze);
  return Object.freeze(value);
}
