import { expect } from "vitest";
import { compileDirectives, type Decision } from "../../src/consent/index.ts";
import { depthOf, tripleOf } from "./random.ts";
import { SPECIFICATION, type Specified } from "./reference.ts";

/** How often what came up, and how deep rules went. */
export interface Seen {
  readonly outcomes: Map<Decision["outcome"], number>;
  readonly glass: Map<Decision["breakGlass"], number>;
  readonly depth: number;
}

const specified = (decision: Decision): Specified => {
  const { outcome, obligations, refrains, breakGlass, expiresAt } = decision;
  return { outcome, obligations, refrains, breakGlass, expiresAt };
};

/** Whether a decision is not what the page lays down. */
export const differs = (decision: Decision, expected: Specified): boolean =>
  decision.outcome !== expected.outcome ||
  decision.breakGlass !== expected.breakGlass ||
  decision.expiresAt !== expected.expiresAt ||
  decision.obligations.join() !== expected.obligations.join() ||
  decision.refrains.join() !== expected.refrains.join();

/**
 * Holds the evaluator against the reference on the triples of a range of seeds, and says how often
 * each outcome and depth came up.
 */
export function agreeOn(seeds: number, first = 0): Seen {
  const outcomes = new Map<Decision["outcome"], number>();
  const glass = new Map<Decision["breakGlass"], number>();
  let depth = 0;
  for (let seed = first; seed < first + seeds; seed++) {
    const { snapshot, request, resource, asOf, supportedObligations } = tripleOf(seed);
    const decision = compileDirectives(snapshot).evaluate(request, resource, asOf, {
      supportedObligations,
    });
    const expected = SPECIFICATION.decide(snapshot, request, resource, asOf, supportedObligations);
    const { outcome, breakGlass } = decision;
    if (differs(decision, expected)) {
      expect(specified(decision), `seed ${seed}`).toEqual(expected);
    }
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    glass.set(breakGlass, (glass.get(breakGlass) ?? 0) + 1);
    depth = Math.max(depth, depthOf(snapshot));
  }
  return { outcomes, glass, depth };
}
