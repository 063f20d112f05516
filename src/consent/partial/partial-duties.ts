import { DENY, type CompiledRule } from "../rules/tree.ts";
import { FALSE, type Formula } from "./formula.ts";
import type { Contribution } from "./partial-lineage.ts";
import type { Match3, PartialRules } from "./partial-rules.ts";

/** Where permits carry duties that the enforcing side cannot carry out. */
export interface PartialDuties {
  /** The duties found so far that the enforcing side cannot carry out. */
  readonly feared: ReadonlySet<string>;
  /** Whether one of the codes is such a duty; adds it to those found. */
  strange(codes: readonly string[] | undefined): boolean;
  /** Where a permit carries a duty that cannot be carried out. */
  burdened(list: readonly Contribution[]): Formula;
  /** Where a permit may apply whose obligations cannot be carried out, as `collectDoubted`. */
  maybeBurdened(list: readonly Contribution[]): Formula;
}

/** @param supported - codes of the duties that can be carried out */
export function partialDuties(rules: PartialRules, supported: ReadonlySet<string>): PartialDuties {
  const { both, matchOf } = rules;
  const { all, any, not } = rules.formulas;
  const feared = new Set<string>();
  const strange = (codes: readonly string[] | undefined): boolean => {
    const found = codes?.filter((code) => !supported.has(code)) ?? [];
    for (const code of found) feared.add(code);
    return found.length > 0;
  };
  const bindsStrangely = (node: CompiledRule): boolean =>
    node.effect !== DENY && strange(node.rule.obligations);
  const burdened = (list: readonly Contribution[]): Formula =>
    any(list.map((one) => wherePermits(rules, one, bindsStrangely, { decidingOnly: false })));
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
  return { feared, strange, burdened, maybeBurdened };
}

/** Where one of the rules that led to a permit passes a test, as `collect` finds them. */
export function wherePermits(
  { formulas, ruleOf }: PartialRules,
  contribution: Contribution,
  test: (node: CompiledRule) => boolean,
  { decidingOnly }: { readonly decidingOnly: boolean },
): Formula {
  const { all, any, not } = formulas;
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
