import type { CID } from "../codec/cid.ts";
import { createFormulas, FALSE, TRUE, type Formula, type Formulas } from "./formula.ts";
import type { CompiledDirective, LineagePlan, Step } from "./lineage.ts";
import { NO, YES, type AttributeTest, type MatchContext } from "./match.ts";
import { satisfiedBy, type CompiledOverlay } from "./overlay.ts";
import type { Residual } from "./residual.ts";
import type { Scope } from "./scope.ts";
import { BTG, type Terminology } from "./terminology.ts";
import { DENY, type CompiledRule } from "./tree.ts";

/** What is known of a request when no record is given. */
export interface PartialInput {
  readonly overlays: readonly CompiledOverlay[];
  readonly patient: readonly LineagePlan[];
  readonly organisation: readonly LineagePlan[];
  readonly purposes: readonly string[];
  readonly understood: ReadonlySet<string>;
  readonly context: MatchContext;
  readonly terminology: Terminology;
}

/** For which records a rule, or a directive, comes to what. */
interface Outcomes {
  readonly permit: Formula;
  readonly deny: Formula;
  /** Anything but not applicable. */
  readonly applies: Formula;
}

interface Match3 {
  readonly certain: Formula;
  readonly possible: Formula;
}

interface Contribution extends Outcomes {
  readonly root: CompiledRule | undefined;
  readonly directive: CompiledDirective | undefined;
}

/**
 * Evaluates everything but the record: what is left is a predicate about records that holds where
 * the evaluator permits. It follows `layer.ts` and `tree.ts` step by step.
 */
export function residualOf(input: PartialInput): Residual {
  const formulas = createFormulas();
  const parts = input.purposes.map((purpose) => {
    input.context.purpose = purpose;
    return permitOf(input, formulas);
  });
  const root = parts.length === 0 ? FALSE : formulas.all(...parts);
  return formulas.finish(root, input.terminology.cid as CID);
}

function permitOf(input: PartialInput, formulas: Formulas): Formula {
  const { all, any, not } = formulas;
  const { context, understood } = input;
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
    return { certain: all(...certain), possible: all(...possible) };
  };
  const scopeOf = (scope: Scope | undefined): Match3 => {
    if (scope === undefined) return { certain: TRUE, possible: TRUE };
    const each = scope.map(matchOf);
    return {
      certain: any(...each.map((one) => one.certain)),
      possible: any(...each.map((one) => one.possible)),
    };
  };
  const both = (a: Match3, b: Match3): Match3 => ({
    certain: all(a.certain, b.certain),
    possible: all(a.possible, b.possible),
  });
  /** As `soften`: what is left where it is only possible that it counts. */
  const held = (on: Formula, firm: Formula, { permit, deny, applies }: Outcomes): Outcomes => ({
    permit: all(on, firm, permit),
    deny: all(on, firm, deny),
    applies: all(on, applies, any(firm, not(permit))),
  });

  function ruleOf(node: CompiledRule): Outcomes {
    const known = rules.get(node);
    if (known !== undefined) return known;
    const match = matchOf(node.tests);
    let outcomes: Outcomes = { permit: FALSE, deny: FALSE, applies: FALSE };
    if (match.possible !== FALSE) {
      const children = node.children.map(ruleOf);
      const decided = any(...children.map((child) => child.applies));
      const onlyOf = (pick: (child: Outcomes) => Formula): Formula =>
        all(decided, ...children.map((child) => any(not(child.applies), pick(child))));
      const someOf = (pick: (child: Outcomes) => Formula): Formula => any(...children.map(pick));
      const denyOverrides = node.rule.combine === "deny-overrides";
      const permit = denyOverrides ? onlyOf((c) => c.permit) : someOf((c) => c.permit);
      const deny = denyOverrides ? someOf((c) => c.deny) : onlyOf((c) => c.deny);
      const own = not(decided);
      const denies = node.effect === DENY;
      const permits = !denies && (node.namesBtg || context.purpose !== BTG);
      outcomes = held(match.possible, match.certain, {
        permit: permits ? any(permit, own) : permit,
        deny: denies ? any(deny, own) : deny,
        applies: denies || permits ? TRUE : decided,
      });
    }
    rules.set(node, outcomes);
    return outcomes;
  }

  function layerOf(plans: readonly LineagePlan[]) {
    const explicit: Contribution[] = [];
    const fallbackDeny: Formula[] = [];
    const fallbackPermit: Formula[] = [];
    for (const plan of plans) lineageOf(plan, explicit, fallbackDeny, fallbackPermit);
    const spoken = any(...explicit.map((one) => one.applies));
    const clean = all(...explicit.map((one) => any(not(one.applies), one.permit)));
    const refusedByDefault = any(...fallbackDeny);
    const permittedByDefault = any(...fallbackPermit);
    return {
      explicit,
      permit: any(all(spoken, clean), all(not(spoken), not(refusedByDefault), permittedByDefault)),
      silent: all(not(spoken), not(refusedByDefault), not(permittedByDefault)),
    };
  }

  function lineageOf(
    plan: LineagePlan,
    explicit: Contribution[],
    fallbackDeny: Formula[],
    fallbackPermit: Formula[],
  ): void {
    let alive: Formula = TRUE;
    let undecided: Formula = TRUE;
    let sure: Formula = TRUE;
    for (const { directive, ended, authority } of plan.steps) {
      const given = scopeOf(authority);
      const scope = scopeOf(directive.scope);
      const { mode, default: fallback } = directive.source.directive;
      const on = all(alive, given.possible, scope.possible);
      const acting = all(on, undecided);
      if (mode === "suspend" || mode === "revoke") {
        const certain = all(given.certain, scope.certain);
        explicit.push({
          permit: FALSE,
          deny: mode === "suspend" ? all(acting, certain) : FALSE,
          applies: mode === "suspend" ? acting : all(acting, not(certain)),
          root: undefined,
          directive,
        });
        alive = all(alive, not(all(given.possible, scope.possible)));
        continue;
      }
      const firm = all(given.certain, scope.certain, sure);
      const root = ended ? undefined : directive.tree!.root;
      const outcomes: Outcomes =
        root === undefined ? { permit: FALSE, deny: FALSE, applies: FALSE } : ruleOf(root);
      const contribution = held(acting, firm, outcomes);
      explicit.push({ ...contribution, root, directive });
      const quiet = all(acting, not(contribution.applies));
      if (fallback === "deny") fallbackDeny.push(quiet);
      if (fallback === "permit" && !ended && context.purpose !== BTG) {
        fallbackPermit.push(all(quiet, firm));
      }
      undecided = all(undecided, not(contribution.applies));
      if (mode !== "replace") continue;
      alive = all(alive, not(given.certain));
      sure = all(sure, not(given.possible));
    }
    for (const step of plan.contested) {
      const { directive } = step;
      if (directive.tree === undefined) continue;
      const reach = reachOf(step);
      const standing = plan.stops
        .filter((stop) => stop.directive.position > directive.position)
        .map((stop) => not(reachOf(stop).certain));
      const on = all(reach.possible, ...standing);
      const { permit, deny, applies } = ruleOf(directive.tree.root);
      explicit.push({
        permit: FALSE,
        deny: all(on, reach.certain, deny),
        applies: all(on, applies, not(permit)),
        root: undefined,
        directive,
      });
      if (directive.source.directive.default === "deny") {
        fallbackDeny.push(all(on, any(not(applies), all(permit, not(reach.certain)))));
      }
    }
  }
  const reachOf = ({ directive, authority }: Step): Match3 =>
    both(scopeOf(directive.scope), scopeOf(authority));

  /** Where one of the rules that led to a permit passes a test; as `collect` finds them. */
  function where(
    contribution: Contribution,
    test: (node: CompiledRule) => boolean,
    decidingOnly: boolean,
  ): Formula {
    const { root } = contribution;
    if (root === undefined) return FALSE;
    const found: Formula[] = [];
    const visit = (node: CompiledRule, here: Formula): void => {
      if (here === FALSE) return;
      if (test(node)) {
        const last = all(...node.children.map((child) => not(ruleOf(child).applies)));
        found.push(decidingOnly ? all(here, last) : here);
      }
      for (const child of node.children) visit(child, all(here, ruleOf(child).permit));
    };
    visit(root, contribution.permit);
    return any(...found);
  }
  const strange = (codes: readonly string[] | undefined): boolean =>
    codes?.some((code) => !understood.has(code)) === true;
  const bindsStrangely = (node: CompiledRule): boolean =>
    node.effect !== DENY && strange(node.rule.obligations);
  const burdened = (list: readonly Contribution[]): Formula =>
    any(...list.map((one) => where(one, bindsStrangely, false)));

  const speaking: Contribution[] = [];
  const demands: { readonly overlay: CompiledOverlay; readonly active: Formula }[] = [];
  for (const overlay of input.overlays) {
    const scope = scopeOf(overlay.scope);
    const outcomes = held(scope.possible, scope.certain, ruleOf(overlay.tree.root));
    if (overlay.overlay.require === undefined) {
      speaking.push({ ...outcomes, root: overlay.tree.root, directive: undefined });
    } else {
      demands.push({ overlay, active: all(outcomes.applies, not(outcomes.permit)) });
    }
  }
  const lawful = any(...speaking.map((one) => one.applies));
  const byLaw = all(
    lawful,
    ...speaking.map((one) => any(not(one.applies), one.permit)),
    not(burdened(speaking)),
  );

  const own = layerOf(input.patient);
  const ownBurden = burdened(own.explicit);
  const met = demands.map(({ overlay, active }) => {
    const satisfied = own.explicit.map((one) =>
      where(
        one,
        (node) => satisfiedBy(node, one.directive!, overlay.overlay, input.terminology),
        true,
      ),
    );
    const bearable = strange(overlay.overlay.root.obligations) ? FALSE : TRUE;
    return any(not(active), all(any(...satisfied), bearable));
  });
  const byPatient = all(own.permit, ...met, not(ownBurden));

  const theirs = layerOf(input.organisation);
  const byDefault = all(
    own.silent,
    ...demands.map(({ active }) => not(active)),
    theirs.permit,
    not(burdened(theirs.explicit)),
  );
  return any(byLaw, all(not(lawful), any(byPatient, byDefault)));
}
