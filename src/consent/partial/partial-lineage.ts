import type { CID } from "../../codec/cid.ts";
import type { Layer, Reason } from "../model/decision.ts";
import type { Effect } from "../model/model.ts";
import { witnessedBy } from "../model/witness.ts";
import { bareReason } from "../rules/layer.ts";
import {
  refusesTheRest,
  withholdsOlderPermits,
  type CompiledDirective,
  type LineagePlan,
  type Step,
} from "../rules/lineage.ts";
import type { CompiledRule } from "../rules/tree.ts";
import { BTG } from "../terminology/terminology.ts";
import { FALSE, TRUE, type Formula } from "./formula.ts";
import {
  GLASS_UNSAID,
  heardGlass,
  unitedGlass,
  type GlassSaid,
  type Ground,
  type Outcomes,
} from "./partial-grounds.ts";
import { SILENT, type Match3, type PartialRules } from "./partial-rules.ts";

/** The outcomes of a directive or an overlay, and where each applies. */
export interface Contribution extends Outcomes {
  readonly tree: CompiledRule | undefined;
  /** Whether its permits count. */
  readonly binds: boolean;
  /** Where its tree is evaluated, and where it certainly covers the record. */
  readonly asked: Match3;
  readonly directive: CompiledDirective | undefined;
  readonly cid: CID;
  /** Its grounds if there is no tree. */
  readonly grounds: readonly Ground[];
}

/** The default of a directive, which applies if no rule does. */
export interface Default extends Ground {
  readonly directive: CompiledDirective;
}

/** The contributions of the lineages of a layer; each lineage adds to them. */
export interface LayerSays {
  readonly explicit: Contribution[];
  readonly defaults: Default[];
}

const UNASKED: Match3 = { certain: FALSE, possible: FALSE };

/** The witness of a directive, as a reason gives it. */
export const witnessOf = ({ source: { witness } }: CompiledDirective): Pick<Reason, "witnessed"> =>
  witness === undefined ? {} : { witnessed: witnessedBy(witness) };

/**
 * Adds what a lineage says to its layer, as `lineage.ts` does.
 *
 * @returns its statement on breaking the glass
 */
export function lineageOf(
  plan: LineagePlan,
  layer: Layer,
  rules: PartialRules,
  says: LayerSays,
): GlassSaid {
  const settled = settledSteps(plan, layer, rules, says);
  const contested = contestedSteps(plan, layer, rules, says);
  return unitedGlass(rules.formulas, [settled, ...contested]);
}

function settledSteps(
  plan: LineagePlan,
  layer: Layer,
  rules: PartialRules,
  { explicit, defaults }: LayerSays,
): GlassSaid {
  const { formulas, scopeOf, held, ruleOf, withinGlass } = rules;
  const { purpose } = rules.context;
  const { all, any, not } = formulas;
  const { settledOf, withheldBy } = reaches(plan, rules);
  const glass: GlassSaid[] = [];
  let alive: Formula = TRUE;
  let undecided: Formula = TRUE;
  let sure: Formula = TRUE;
  // Below a suspension or revocation, certain or possible, `never` about the glass still counts.
  let audible: Formula = TRUE;
  for (const step of plan.steps) {
    const { directive, ended, authority } = step;
    const given = scopeOf(authority);
    const scope = scopeOf(directive.scope);
    const { mode, default: fallback } = directive.source.directive;
    const here = step.settledBy === undefined ? TRUE : settledOf(step);
    const on = all([alive, here, given.possible, scope.possible]);
    const acting = all([on, undecided]);
    if (mode === "suspend" || mode === "revoke") {
      const unsure = directive.unreadable || directive.doubtful;
      const certain = unsure ? FALSE : all([given.certain, scope.certain]);
      const suspended = mode === "suspend" ? all([acting, certain, sure]) : FALSE;
      const doubtful = all([acting, not(mode === "suspend" ? all([certain, sure]) : certain)]);
      explicit.push({
        permit: FALSE,
        deny: suspended,
        applies: any([suspended, doubtful]),
        tree: undefined,
        binds: false,
        asked: UNASKED,
        directive,
        cid: directive.cid,
        grounds: [
          {
            reason: bare("suspended", layer, { purpose, directive, effect: "deny" }),
            where: suspended,
          },
          { reason: bare("scope", layer, { purpose, directive, effect: "deny" }), where: doubtful },
        ],
      });
      alive = all([alive, not(all([given.possible, scope.possible]))]);
      if (mode === "revoke") audible = all([audible, not(certain)]);
      continue;
    }
    const firm = all([given.certain, scope.certain, sure]);
    const tree = ended ? undefined : directive.tree!.root;
    const said = held(acting, firm, tree === undefined ? SILENT : ruleOf(tree));
    const withheld = any(
      plan.contested.filter((one) => one.directive.position > directive.position).map(withheldBy),
    );
    const contribution = {
      permit: all([said.permit, not(withheld)]),
      deny: said.deny,
      applies: all([said.applies, not(all([said.permit, withheld]))]),
    };
    const cid = directive.cid;
    const asked = { possible: acting, certain: firm };
    explicit.push({ ...contribution, tree, binds: true, asked, directive, cid, grounds: [] });
    if (!ended) {
      const within = all([here, given.possible, scope.possible]);
      const surely = all([given.certain, scope.certain]);
      glass.push(withinGlass(all([audible, within]), directive.tree!, on, surely));
    }
    const quiet = all([acting, not(contribution.applies)]);
    if (fallback === "deny") {
      const kind = ended ? "ended" : "default";
      defaults.push({
        reason: bare(kind, layer, { purpose, directive, effect: "deny" }),
        where: quiet,
        directive,
      });
    }
    if (fallback === "permit" && !ended && purpose !== BTG) {
      const where = all([quiet, firm, not(withheld)]);
      defaults.push({
        reason: bare("default", layer, { purpose, directive, effect: "permit" }),
        where,
        directive,
      });
    }
    undecided = all([undecided, not(contribution.applies)]);
    if (mode !== "replace") continue;
    const ends = not(all([here, given.certain]));
    alive = all([alive, ends]);
    audible = all([audible, ends]);
    sure = all([sure, not(all([here, given.possible]))]);
  }
  return heardGlass(formulas, glass);
}

function contestedSteps(
  plan: LineagePlan,
  layer: Layer,
  rules: PartialRules,
  { explicit, defaults }: LayerSays,
): readonly GlassSaid[] {
  const { formulas, ruleOf, withinGlass } = rules;
  const { purpose } = rules.context;
  const { all, any, not } = formulas;
  const { reachOf, unsettled, stopsAbove, openOf } = reaches(plan, rules);
  const nevers: GlassSaid[] = [];
  for (const step of plan.contested) {
    const { directive, ended } = step;
    if (directive.tree === undefined) continue;
    const tree = directive.tree.root;
    const { certain } = reachOf(step);
    const on = openOf(step);
    const { permit, deny, applies } = ended ? SILENT : ruleOf(tree);
    if (!ended) {
      const heard = all([unsettled(step), ...stopsAbove(step, "revoke")]);
      nevers.push({ ...GLASS_UNSAID, never: withinGlass(heard, directive.tree).never });
    }
    explicit.push({
      permit: FALSE,
      deny: all([on, certain, deny]),
      applies: all([on, applies, not(permit)]),
      tree: ended ? undefined : tree,
      binds: false,
      asked: UNASKED,
      directive,
      cid: directive.cid,
      grounds: [],
    });
    if (directive.source.directive.default === "deny") {
      const where = all([on, any([not(applies), all([permit, not(certain)])])]);
      const kind = ended ? "ended" : "default";
      defaults.push({
        reason: bare(kind, layer, { purpose, directive, effect: "deny" }),
        where,
        directive,
      });
    }
  }
  return nevers;
}

/** Where the steps of a lineage reach, stop each other and stay open. */
function reaches(plan: LineagePlan, { formulas, scopeOf, both, ruleOf }: PartialRules) {
  const { all, any, not } = formulas;
  const reachOf = ({ directive, authority }: Step): Match3 => {
    const reach = both(scopeOf(directive.scope), scopeOf(authority));
    const unsure = directive.unreadable && directive.tree === undefined;
    return unsure ? { certain: FALSE, possible: reach.possible } : reach;
  };
  const settledOf = ({ settledBy = [] }: Step): Formula =>
    any(settledBy.map((one) => reachOf(one).certain));

  const stopsAbove = (step: Step, mode?: "revoke"): Formula[] =>
    plan.stops
      .filter(({ directive }) => directive.position > step.directive.position)
      .filter(({ directive }) => mode === undefined || directive.source.directive.mode === mode)
      .map((stop) => not(reachOf(stop).certain));
  const unsettled = (step: Step): Formula => all([reachOf(step).possible, not(settledOf(step))]);
  const openOf = (step: Step): Formula => all([unsettled(step), ...stopsAbove(step)]);
  const withheldBy = (step: Step): Formula => {
    if (withholdsOlderPermits(step)) return openOf(step);
    if (!refusesTheRest(step)) return FALSE;
    const { permit } = ruleOf(step.directive.tree!.root);
    return all([openOf(step), not(all([permit, reachOf(step).certain]))]);
  };
  return { reachOf, settledOf, unsettled, stopsAbove, openOf, withheldBy };
}

/** A reason that names no rule. */
function bare(
  kind: Reason["kind"],
  layer: Layer,
  {
    purpose,
    directive,
    effect,
  }: { readonly purpose: string; readonly directive: CompiledDirective; readonly effect: Effect },
): Reason {
  return { ...bareReason(kind, layer, purpose, directive.cid, effect), ...witnessOf(directive) };
}
