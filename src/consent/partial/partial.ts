import type { CID } from "../../codec/cid.ts";
import type { Decision, Layer, Reason } from "../model/decision.ts";
import { createFormulas, FALSE, TRUE, type Formula, type Formulas } from "./formula.ts";
import { reason } from "../rules/layer.ts";
import {
  refusesTheRest,
  withholds,
  type CompiledDirective,
  type LineagePlan,
  type Step,
} from "../rules/lineage.ts";
import type { Effect } from "../model/model.ts";
import type { AttributeTest, MatchContext } from "../rules/match.ts";
import { NO, YES } from "../rules/truth.ts";
import { satisfiedBy, type CompiledOverlay } from "../rules/overlay.ts";
import {
  GLASS_UNSAID,
  glassOf,
  heardGlass,
  ruleGrounds,
  unitedGlass,
  type GlassSaid,
  type Ground,
  type GroundTools,
  type Outcomes,
} from "./partial-grounds.ts";
import type { Residual } from "../model/residual.ts";
import type { Scope } from "../rules/scope.ts";
import { BTG, type Terminology } from "../terminology/terminology.ts";
import { DENY, type CompiledRule, type CompiledTree } from "../rules/tree.ts";
import { witnessedBy } from "../model/witness.ts";
import { OWN } from "../model/trust.ts";

/** What is known of a request when no record is given. */
export interface PartialInput {
  readonly overlays: readonly CompiledOverlay[];
  readonly patient: readonly LineagePlan[];
  readonly organisation: readonly LineagePlan[];
  readonly purposes: readonly string[];
  readonly supportedObligations: ReadonlySet<string>;
  readonly context: MatchContext;
  readonly terminology: Terminology;
}

/** What is decided without a record. */
export interface PartialDecision {
  /** Holds for exactly the records that are permitted. */
  readonly filter: Residual;
  /** Everything that can be a reason, once there is a record. */
  readonly reasons: readonly Reason[];
  /** The strictest that any record may meet. */
  readonly breakGlass: Decision["breakGlass"];
}

interface Match3 {
  readonly certain: Formula;
  readonly possible: Formula;
}

interface Contribution extends Outcomes {
  readonly tree: CompiledRule | undefined;
  /** Whether its permits count. */
  readonly binds: boolean;
  /** Where its tree is asked, and where it surely speaks of the record. */
  readonly asked: Match3;
  readonly directive: CompiledDirective | undefined;
  readonly cid: CID;
  /** What it rests on where there is no tree. */
  readonly grounds: readonly Ground[];
}

/** What a directive's default would say, where no rule does. */
interface Default extends Ground {
  readonly directive: CompiledDirective;
}

const isOwn = ({ directive }: Pick<Contribution, "directive">): boolean =>
  directive === undefined || directive.trust === OWN;
const isOwnRefusal = ({ reason: { effect }, directive }: Default): boolean =>
  effect === "deny" && directive.trust === OWN;
const witnessOf = ({ source: { witness } }: CompiledDirective): Pick<Reason, "witnessed"> =>
  witness === undefined ? {} : { witnessed: witnessedBy(witness) };

const UNASKED: Match3 = { certain: FALSE, possible: FALSE };
const SILENT: Outcomes = { permit: FALSE, deny: FALSE, applies: FALSE };

/** What one purpose comes to. */
interface ForPurpose {
  readonly permit: Formula;
  readonly grounds: readonly Ground[];
  readonly glass: GlassSaid;
}

/**
 * Evaluates everything but the record: what is left is a predicate about records that holds where
 * the evaluator permits. It follows `layer.ts` and `tree.ts` step by step.
 */
export function decidePartially(input: PartialInput): PartialDecision {
  const formulas = createFormulas();
  const parts = input.purposes.map((purpose) => {
    input.context.purpose = purpose;
    return decidePurpose(input, formulas);
  });
  const root = parts.length === 0 ? FALSE : formulas.all(parts.map(({ permit }) => permit));
  const grounds = parts.flatMap((part) => part.grounds);
  const said = (pick: (glass: GlassSaid) => Formula): boolean =>
    parts.some(({ glass }) => pick(glass) !== FALSE);
  return {
    filter: formulas.finish(root, input.terminology.cid as CID),
    reasons: distinct(grounds.filter(({ where }) => where !== FALSE).map(({ reason }) => reason)),
    breakGlass: said(({ never }) => never)
      ? "never"
      : said(({ allowed }) => allowed)
        ? "allowed"
        : null,
  };
}

/** A directive in dispute speaks for some records as settled, for others as contested. */
function distinct(reasons: readonly Reason[]): readonly Reason[] {
  const known = new Map<string, Reason>();
  for (const one of reasons) {
    const { directive, unknown: _, ...rest } = one;
    const key = JSON.stringify([directive?.toString(), rest]);
    if (!known.has(key)) known.set(key, one);
  }
  return [...known.values()];
}

function decidePurpose(input: PartialInput, formulas: Formulas): ForPurpose {
  const { all, any, not } = formulas;
  const { context, supportedObligations } = input;
  const rules = new Map<CompiledRule, Outcomes>();

  const matchOf = (tests: readonly AttributeTest[]): Match3 => {
    const certain: Formula[] = [];
    const possible: Formula[] = [];
    for (const test of tests) {
      if (test.question === undefined) {
        const match = test.run(context);
        if (match === NO) return { certain: FALSE, possible: FALSE };
        if (match !== YES) certain.push(FALSE);
      } else {
        certain.push(formulas.certain(test.question));
        possible.push(formulas.possible(test.question));
      }
    }
    return { certain: all(certain), possible: all(possible) };
  };
  const scopeOf = (scope: Scope | undefined): Match3 => {
    if (scope === undefined) return { certain: TRUE, possible: TRUE };
    const each = scope.map(matchOf);
    return {
      certain: any(each.map((one) => one.certain)),
      possible: any(each.map((one) => one.possible)),
    };
  };
  const both = (a: Match3, b: Match3): Match3 => ({
    certain: all([a.certain, b.certain]),
    possible: all([a.possible, b.possible]),
  });
  /** As `soften`: what is left where it is only possible that it counts. */
  const held = (on: Formula, firm: Formula, { permit, deny, applies }: Outcomes): Outcomes => ({
    permit: all([on, firm, permit]),
    deny: all([on, firm, deny]),
    applies: all([on, applies, any([firm, not(permit)])]),
  });

  function ruleOf(node: CompiledRule): Outcomes {
    const known = rules.get(node);
    if (known !== undefined) return known;
    const match = matchOf(node.tests);
    let outcomes = SILENT;
    if (match.possible !== FALSE) {
      const children = node.children.map(ruleOf);
      const decided = any(children.map((child) => child.applies));
      const onlyOf = (pick: (child: Outcomes) => Formula): Formula =>
        all([decided, ...children.map((child) => any([not(child.applies), pick(child)]))]);
      const someOf = (pick: (child: Outcomes) => Formula): Formula => any(children.map(pick));
      const denyOverrides = node.rule.combine === "deny-overrides";
      const permit = denyOverrides ? onlyOf((c) => c.permit) : someOf((c) => c.permit);
      const deny = denyOverrides ? someOf((c) => c.deny) : onlyOf((c) => c.deny);
      const own = not(decided);
      const denies = node.effect === DENY;
      const permits = !denies && (node.namesBtg || context.purpose !== BTG);
      outcomes = held(match.possible, match.certain, {
        permit: permits ? any([permit, own]) : permit,
        deny: denies ? any([deny, own]) : deny,
        applies: denies || permits ? TRUE : decided,
      });
    }
    rules.set(node, outcomes);
    return outcomes;
  }

  const tools: GroundTools = { formulas, context, outcomesOf: ruleOf };
  const bare = (
    kind: Reason["kind"],
    layer: Layer,
    directive: CompiledDirective,
    effect: Effect,
  ): Reason => ({
    ...reason(kind, layer, context.purpose, directive.cid, effect),
    ...witnessOf(directive),
  });

  function layerOf(plans: readonly LineagePlan[], layer: Layer) {
    const explicit: Contribution[] = [];
    const defaults: Default[] = [];
    const glass = plans.map((plan) => lineageOf(plan, layer, explicit, defaults));
    const held = (effect: Effect): Formula =>
      any(defaults.filter((one) => one.reason.effect === effect).map(({ where }) => where));
    const spoken = any(explicit.map((one) => one.applies));
    const clean = all(explicit.map((one) => any([not(one.applies), one.permit])));
    const refused = held("deny");
    // As `isOverruled`: permits of another's word alone, against a refusal that is our own.
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
        ...explicit.flatMap((one) => groundsOf(one, layer, stands)),
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
  function groundsOf(one: Contribution, layer: Layer, clean: Formula): readonly Ground[] {
    const { tree, cid, permit, applies } = one;
    if (tree === undefined) return one.grounds;
    const heard = { permit: all([permit, clean]), refuse: all([applies, not(permit)]) };
    const told = one.directive === undefined ? {} : witnessOf(one.directive);
    return ruleGrounds(tree, layer, cid, heard, tools).map(({ reason: ground, where }) => ({
      reason: { ...ground, ...told },
      where,
    }));
  }

  function lineageOf(
    plan: LineagePlan,
    layer: Layer,
    explicit: Contribution[],
    defaults: Default[],
  ): GlassSaid {
    const glass: GlassSaid[] = [];
    let alive: Formula = TRUE;
    let undecided: Formula = TRUE;
    let sure: Formula = TRUE;
    // Beneath what stops the lineage, or may, it is still heard that the glass is never broken.
    let audible: Formula = TRUE;
    const stopsAbove = (step: Step, mode?: "revoke"): Formula[] =>
      plan.stops
        .filter(({ directive }) => directive.position > step.directive.position)
        .filter(({ directive }) => mode === undefined || directive.source.directive.mode === mode)
        .map((stop) => not(reachOf(stop).certain));
    const unsettled = (step: Step): Formula => all([reachOf(step).possible, not(settledOf(step))]);
    const openOf = (step: Step): Formula => all([unsettled(step), ...stopsAbove(step)]);
    const withheldBy = (step: Step): Formula => {
      if (withholds(step)) return openOf(step);
      if (!refusesTheRest(step)) return FALSE;
      const { permit } = ruleOf(step.directive.tree!.root);
      return all([openOf(step), not(all([permit, reachOf(step).certain]))]);
    };
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
            { reason: bare("suspended", layer, directive, "deny"), where: suspended },
            { reason: bare("scope", layer, directive, "deny"), where: doubtful },
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
        defaults.push({ reason: bare(kind, layer, directive, "deny"), where: quiet, directive });
      }
      if (fallback === "permit" && !ended && context.purpose !== BTG) {
        const where = all([quiet, firm, not(withheld)]);
        defaults.push({ reason: bare("default", layer, directive, "permit"), where, directive });
      }
      undecided = all([undecided, not(contribution.applies)]);
      if (mode !== "replace") continue;
      const ends = not(all([here, given.certain]));
      alive = all([alive, ends]);
      audible = all([audible, ends]);
      sure = all([sure, not(all([here, given.possible]))]);
    }
    const nevers = [heardGlass(formulas, glass)];
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
        defaults.push({ reason: bare(kind, layer, directive, "deny"), where, directive });
      }
    }
    return unitedGlass(formulas, nevers);
  }
  /** @param on - where it is heard; `open` where it is heard in full, `surely` where in no doubt */
  function withinGlass(
    on: Formula,
    { root, saysBreakGlass }: CompiledTree,
    open: Formula = on,
    surely: Formula = TRUE,
  ): GlassSaid {
    if (!saysBreakGlass) return GLASS_UNSAID;
    const said = glassOf(root, formulas, (node) => matchOf(node.tests));
    return {
      never: all([on, said.never]),
      surely: all([open, surely, said.surely]),
      allowed: all([open, said.allowed]),
    };
  }
  const reachOf = ({ directive, authority }: Step): Match3 => {
    const reach = both(scopeOf(directive.scope), scopeOf(authority));
    const unsure = directive.unreadable && directive.tree === undefined;
    return unsure ? { certain: FALSE, possible: reach.possible } : reach;
  };
  const settledOf = ({ settledBy = [] }: Step): Formula =>
    any(settledBy.map((one) => reachOf(one).certain));

  /** Where one of the rules that led to a permit passes a test; as `collect` finds them. */
  function where(
    contribution: Contribution,
    test: (node: CompiledRule) => boolean,
    decidingOnly: boolean,
  ): Formula {
    const { tree, binds } = contribution;
    if (tree === undefined || !binds) return FALSE;
    const found: Formula[] = [];
    const visit = (node: CompiledRule, here: Formula): void => {
      if (here === FALSE) return;
      if (test(node)) {
        const last = all(node.children.map((child) => not(ruleOf(child).applies)));
        found.push(decidingOnly ? all([here, last]) : here);
      }
      for (const child of node.children) visit(child, all([here, ruleOf(child).permit]));
    };
    visit(tree, contribution.permit);
    return any(found);
  }
  /** Duties that nobody here can carry out. */
  const feared = new Set<string>();
  const strange = (codes: readonly string[] | undefined): boolean => {
    const found = codes?.filter((code) => !supportedObligations.has(code)) ?? [];
    for (const code of found) feared.add(code);
    return found.length > 0;
  };
  const bindsStrangely = (node: CompiledRule): boolean =>
    node.effect !== DENY && strange(node.rule.obligations);
  const burdened = (list: readonly Contribution[]): Formula =>
    any(list.map((one) => where(one, bindsStrangely, false)));
  /** Where a permit may apply that obliges to what nobody here can do; as `collectDoubted`. */
  const maybeBurdened = (list: readonly Contribution[]): Formula => {
    const found: Formula[] = [];
    const visit = (node: CompiledRule, { possible, certain }: Match3): void => {
      if (possible === FALSE) return;
      const here = both({ possible, certain }, matchOf(node.tests));
      if (bindsStrangely(node)) found.push(all([here.possible, not(here.certain)]));
      for (const child of node.children) visit(child, here);
    };
    for (const { tree, binds, asked } of list) {
      if (binds && tree !== undefined) visit(tree, asked);
    }
    return any(found);
  };

  const speaking: Contribution[] = [];
  const demands: { readonly overlay: CompiledOverlay; readonly active: Formula }[] = [];
  const lawGlass: GlassSaid[] = [];
  for (const overlay of input.overlays) {
    const scope = scopeOf(overlay.scope);
    const tree = overlay.tree.root;
    const surely = overlay.unreadable ? FALSE : scope.certain;
    const outcomes = held(scope.possible, surely, ruleOf(tree));
    lawGlass.push(withinGlass(scope.possible, overlay.tree, scope.possible, surely));
    if (overlay.overlay.require === undefined) {
      const { cid } = overlay;
      const asked = { possible: scope.possible, certain: surely };
      const rest = { binds: true, directive: undefined, cid, grounds: [] };
      speaking.push({ ...outcomes, ...rest, tree, asked });
    } else {
      demands.push({ overlay, active: all([outcomes.applies, not(outcomes.permit)]) });
    }
  }
  const lawful = any(speaking.map((one) => one.applies));
  const lawfully = all(speaking.map((one) => any([not(one.applies), one.permit])));
  const byLaw = all([lawful, lawfully]);

  const own = layerOf(input.patient, "patient");
  const met = demands.map(({ overlay, active }) => {
    const satisfied = own.explicit.map((one) =>
      where(
        one,
        (node) => satisfiedBy(node, one.directive!, overlay.overlay, input.terminology),
        true,
      ),
    );
    return any([not(active), ...satisfied]);
  });
  const byPatient = all([not(lawful), own.permit, ...met]);
  const undemanded = all([not(lawful), own.silent, ...demands.map(({ active }) => not(active))]);
  const theirs = layerOf(input.organisation, "organisation");
  const byDefault = all([undemanded, theirs.permit]);

  // Duties come with a permit, and take it away from who cannot carry them out.
  const byAny = any([byLaw, byPatient, byDefault]);
  const burden = any([
    all([byAny, maybeBurdened(speaking)]),
    all([any([byPatient, byDefault]), maybeBurdened(own.explicit)]),
    all([byDefault, maybeBurdened(theirs.explicit)]),
    all([byLaw, burdened(speaking)]),
    all([byPatient, burdened(own.explicit)]),
    all([byDefault, burdened(theirs.explicit)]),
    ...demands.map(({ overlay, active }) =>
      strange(overlay.overlay.root.obligations) ? all([byPatient, active]) : FALSE,
    ),
  ]);

  const lawNever = unitedGlass(formulas, lawGlass);
  return {
    permit: all([byAny, not(burden)]),
    glass: heardGlass(formulas, [lawNever, own.glass, theirs.glass]),
    grounds: [
      ...speaking.flatMap((one) => groundsOf(one, "law", lawfully)),
      ...within(own.grounds, not(lawful)),
      ...demands.map(({ overlay, active }, at) => ({
        reason: reason("requirement", "law", context.purpose, overlay.cid, "deny"),
        where: all([not(lawful), active, any([own.silent, all([own.permit, not(met[at]!)])])]),
      })),
      ...within(theirs.grounds, undemanded),
      {
        reason: { ...reason("obligation", null, null, null, "deny"), codes: [...feared].sort() },
        where: burden,
      },
      {
        reason: reason("silence", null, context.purpose, null, null),
        where: all([undemanded, theirs.silent]),
      },
    ],
  };

  function within(grounds: readonly Ground[], on: Formula): readonly Ground[] {
    return grounds.map((one) => ({ reason: one.reason, where: all([on, one.where]) }));
  }
}
