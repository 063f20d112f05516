import { FALSE, TRUE, type Formula, type Formulas } from "./formula.ts";
import { BTG } from "../terminology/terminology.ts";
import type { AttributeTest } from "../rules/match.ts";
import type { MatchContext } from "../rules/match-context.ts";
import type { Scope } from "../rules/scope.ts";
import { DENY, type CompiledRule, type CompiledTree } from "../rules/tree.ts";
import { NO, YES } from "../rules/truth.ts";
import { GLASS_UNSAID, glassOf, type GlassSaid, type Outcomes } from "./partial-grounds.ts";

/** The records for which something certainly holds, and those for which it may. */
export interface Match3 {
  readonly certain: Formula;
  readonly possible: Formula;
}

/** Outcomes of a rule that never applies. */
export const SILENT: Outcomes = { permit: FALSE, deny: FALSE, applies: FALSE };

/** Matches tests, scopes and rules for one purpose; each holds for some records. */
export interface PartialRules {
  readonly formulas: Formulas;
  readonly context: MatchContext;
  matchOf(tests: readonly AttributeTest[]): Match3;
  scopeOf(scope: Scope | undefined): Match3;
  both(a: Match3, b: Match3): Match3;
  /** As `soften`: the outcomes if it is only possible that the contribution counts. */
  held(on: Formula, firm: Formula, outcomes: Outcomes): Outcomes;
  /** As `tree.ts`; computed once per rule. */
  ruleOf(node: CompiledRule): Outcomes;
  /**
   * A tree's statement on breaking the glass.
   *
   * @param on - where it counts
   * @param open - where it counts in full; default `on`
   * @param surely - where it counts without doubt; default everywhere
   */
  withinGlass(on: Formula, tree: CompiledTree, open?: Formula, surely?: Formula): GlassSaid;
}

/** @param context - gives the purpose, which must not change while the result is used */
export function partialRules(formulas: Formulas, context: MatchContext): PartialRules {
  const { all, any, not } = formulas;
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

  return { formulas, context, matchOf, scopeOf, both, held, ruleOf, withinGlass };
}
