import type { Layer } from "../model/decision.ts";
import type { Effect } from "../model/model.ts";
import { OWN } from "../model/trust.ts";
import type { LineagePlan } from "../rules/lineage.ts";
import { FALSE, TRUE, type Formula } from "./formula.ts";
import { ruleGrounds, unitedGlass, type GlassSaid, type Ground } from "./partial-grounds.ts";
import { lineageOf, witnessOf, type Contribution, type Default } from "./partial-lineage.ts";
import type { PartialRules } from "./partial-rules.ts";

const isOwn = ({ directive }: Pick<Contribution, "directive">): boolean =>
  directive === undefined || directive.trust === OWN;
const isOwnRefusal = ({ reason: { effect }, directive }: Default): boolean =>
  effect === "deny" && directive.trust === OWN;

/** The result of the directives of one layer. */
export interface PartialLayer {
  readonly explicit: readonly Contribution[];
  readonly permit: Formula;
  /** Where the layer has no outcome. */
  readonly silent: Formula;
  readonly glass: GlassSaid;
  readonly grounds: readonly Ground[];
}

/** Combines the directives of one layer, as `layer.ts` does. */
export function layerOf(
  plans: readonly LineagePlan[],
  layer: Layer,
  rules: PartialRules,
): PartialLayer {
  const { formulas } = rules;
  const { all, any, not } = formulas;
  const explicit: Contribution[] = [];
  const defaults: Default[] = [];
  const glass = plans.map((plan) => lineageOf(plan, layer, rules, { explicit, defaults }));
  const held = (effect: Effect): Formula =>
    any(defaults.filter((one) => one.reason.effect === effect).map(({ where }) => where));
  const spoken = any(explicit.map((one) => one.applies));
  const clean = all(explicit.map((one) => any([not(one.applies), one.permit])));
  const refused = held("deny");
  // As `isOverruled`: permits on another organisation's word alone, against the custodian's own
  // refusal.
  const overruled = explicit.every(isOwn)
    ? FALSE
    : all([
        spoken,
        clean,
        not(any(explicit.filter(isOwn).map((one) => one.permit))),
        any(defaults.filter(isOwnRefusal).map(({ where }) => where)),
      ]);
  const stands = all([clean, not(overruled)]);
  const silent = all([not(spoken), not(refused), not(held("permit"))]);
  return {
    explicit,
    permit: any([all([spoken, stands]), all([not(spoken), not(refused), held("permit")])]),
    silent,
    glass: unitedGlass(formulas, glass),
    grounds: [
      ...explicit.flatMap((one) => groundsOf(one, layer, stands, rules)),
      ...defaults.map((one) => ({
        reason: one.reason,
        where: all([
          one.where,
          isOwnRefusal(one) ? any([not(spoken), overruled]) : not(spoken),
          one.reason.effect === "deny" ? TRUE : not(refused),
        ]),
      })),
    ],
  };
}

/** @param clean - where nothing else of the layer refuses */
export function groundsOf(
  one: Contribution,
  layer: Layer,
  clean: Formula,
  { formulas, context, ruleOf }: PartialRules,
): readonly Ground[] {
  const { all, not } = formulas;
  const { tree, cid, permit, applies } = one;
  if (tree === undefined) return one.grounds;
  const heard = { permit: all([permit, clean]), refuse: all([applies, not(permit)]) };
  const told = one.directive === undefined ? {} : witnessOf(one.directive);
  return ruleGrounds(tree, layer, cid, heard, { formulas, context, outcomesOf: ruleOf }).map(
    ({ reason: ground, where }) => ({
      reason: { ...ground, ...told },
      where,
    }),
  );
}
