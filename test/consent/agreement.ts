import { expect } from "vitest";
import { compileDirectives, type Decision } from "../../src/consent/index.ts";
import { depthOf, tripleOf } from "./random.ts";
import { SPECIFICATION } from "./reference.ts";

/**
 * Holds the evaluator against the reference on the triples of a range of seeds, and says how often
 * each outcome and depth came up.
 */
export function agreeOn(
  seeds: number,
  first = 0,
): { readonly outcomes: Map<Decision["outcome"], number>; readonly depth: number } {
  const outcomes = new Map<Decision["outcome"], number>();
  let depth = 0;
  for (let seed = first; seed < first + seeds; seed++) {
    const { snapshot, request, resource, asOf, understood } = tripleOf(seed);
    const { outcome } = compileDirectives(snapshot).evaluate(request, resource, asOf, {
      understood,
    });
    const expected = SPECIFICATION.decide(snapshot, request, resource, asOf, understood);
    if (outcome !== expected) expect({ seed, outcome }).toEqual({ seed, outcome: expected });
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    depth = Math.max(depth, depthOf(snapshot));
  }
  return { outcomes, depth };
}
