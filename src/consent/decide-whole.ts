import type { Decision, Outcome, Reason } from "./model/decision.ts";
import type { ConsentResource } from "./model/resource.ts";

/**
 * Decides about a resource and about every resource inside it: the whole is permitted only if all are.
 *
 * @param decideAlone - decides about a resource without those inside it
 */
export function decideWhole(
  resource: ConsentResource,
  decideAlone: (resource: ConsentResource) => Decision,
): Decision {
  const { contains = [] } = resource;
  if (contains.length === 0) return decideAlone(resource);
  // Many of them are decided alike, by one decision.
  const decisions = new Set([decideAlone(resource)]);
  for (const part of contains) decisions.add(decideWhole(part, decideAlone));
  return decisionForAll([...decisions]);
}

/** From the outcome that weighs most to the one that every other outweighs. */
const BY_WEIGHT: readonly Outcome[] = [
  "deny",
  "indeterminate",
  "partial",
  "not-applicable",
  "permit",
];

/** The decision that holds for all of some resources together, of at least one. */
export function decisionForAll(decisions: readonly Decision[]): Decision {
  if (decisions.length === 1) return decisions[0]!;
  const outcome = BY_WEIGHT.find((one) => decisions.some((own) => own.outcome === one))!;
  // The duties and reasons of a result bind if that result is the outcome.
  const binding = decisions.filter((own) => own.outcome === outcome);
  const glass = decisions.map(({ breakGlass }) => breakGlass);
  return {
    ...binding[0]!,
    obligations: distinct(binding.flatMap(({ obligations }) => obligations)).sort(),
    refrains: distinct(binding.flatMap(({ refrains }) => refrains)).sort(),
    breakGlass: glass.includes("never") ? "never" : glass.includes("allowed") ? "allowed" : null,
    reasons: distinctReasons(binding.flatMap(({ reasons }) => reasons)),
    basedOn: distinct(binding.flatMap(({ basedOn }) => basedOn)),
  };
}

const distinct = <T>(items: readonly T[]): T[] => [...new Set(items)];

function distinctReasons(reasons: readonly Reason[]): readonly Reason[] {
  const byKey = new Map<string, Reason>();
  for (const reason of reasons) byKey.set(JSON.stringify(reason), reason);
  return [...byKey.values()];
}
