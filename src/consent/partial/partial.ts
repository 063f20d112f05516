import type { CID } from "../../codec/cid.ts";
import type { Decision, Reason } from "../model/decision.ts";
import type { Residual } from "../model/residual.ts";
import { bareReason } from "../rules/layer.ts";
import type { LineagePlan } from "../rules/lineage.ts";
import type { MatchContext } from "../rules/match-context.ts";
import { satisfiedBy, type CompiledOverlay } from "../rules/overlay.ts";
import type { Terminology } from "../terminology/terminology.ts";
import { createFormulas, FALSE, type Formula, type Formulas } from "./formula.ts";
import { partialDuties, wherePermits } from "./partial-duties.ts";
import { heardGlass, unitedGlass, type GlassSaid, type Ground } from "./partial-grounds.ts";
import { groundsOf, layerOf } from "./partial-layer.ts";
import type { Contribution } from "./partial-lineage.ts";
import { partialRules } from "./partial-rules.ts";

/** The facts about a request without a record. */
export interface PartialInput {
  readonly overlays: readonly CompiledOverlay[];
  readonly patient: readonly LineagePlan[];
  readonly organisation: readonly LineagePlan[];
  readonly purposes: readonly string[];
  readonly supportedObligations: ReadonlySet<string>;
  readonly context: MatchContext;
  readonly terminology: Terminology;
}

/** A decision made without a record. */
export interface PartialDecision {
  /** Holds for exactly the records that are permitted. */
  readonly filter: Residual;
  /** Every ground that may be a reason, once there is a record. */
  readonly reasons: readonly Reason[];
  /** The strictest statement that any record may meet. */
  readonly breakGlass: Decision["breakGlass"];
}

/** The result for one purpose. */
interface ForPurpose {
  readonly permit: Formula;
  readonly grounds: readonly Ground[];
  readonly glass: GlassSaid;
}

/**
 * Evaluates everything but the record. The result is a predicate that holds for the records that
 * the evaluator permits. Follows `layer.ts` and `tree.ts` step by step.
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

/**
 * Removes duplicates: a directive in dispute counts for some records as settled, for others as
 * contested.
 */
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
  const { context } = input;
  const rules = partialRules(formulas, context);
  const { scopeOf, held, ruleOf, withinGlass } = rules;
  const { feared, strange, burdened, maybeBurdened } = partialDuties(
    rules,
    input.supportedObligations,
  );

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

  const own = layerOf(input.patient, "patient", rules);
  const met = demands.map(({ overlay, active }) => {
    const satisfied = own.explicit.map((one) =>
      wherePermits(
        rules,
        one,
        (node) => satisfiedBy(node, one.directive!, overlay.overlay, input.terminology),
        { decidingOnly: true },
      ),
    );
    return any([not(active), ...satisfied]);
  });
  const byPatient = all([not(lawful), own.permit, ...met]);
  const undemanded = all([not(lawful), own.silent, ...demands.map(({ active }) => not(active))]);
  const theirs = layerOf(input.organisation, "organisation", rules);
  const byDefault = all([undemanded, theirs.permit]);

  // Obligations come with a permit, and cancel it if the enforcing side cannot carry them out.
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
      ...speaking.flatMap((one) => groundsOf(one, "law", lawfully, rules)),
      ...within(own.grounds, not(lawful)),
      ...demands.map(({ overlay, active }, at) => ({
        reason: bareReason("requirement", "law", context.purpose, overlay.cid, "deny"),
        where: all([not(lawful), active, any([own.silent, all([own.permit, not(met[at]!)])])]),
      })),
      ...within(theirs.grounds, undemanded),
      {
        reason: {
          ...bareReason("obligation", null, null, null, "deny"),
          codes: [...feared].sort(),
        },
        where: burden,
      },
      {
        reason: bareReason("silence", null, context.purpose, null, null),
        where: all([undemanded, theirs.silent]),
      },
    ],
  };

  function within(grounds: readonly Ground[], on: Formula): readonly Ground[] {
    return grounds.map((one) => ({ reason: one.reason, where: all([on, one.where]) }));
  }
}
