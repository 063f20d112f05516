import { appendTo } from "../../bytes/lists.ts";
import { ATTRIBUTES, compileTests, type AttributeTest } from "./match.ts";
import type { MatchContext } from "./match-context.ts";
import { NO, UNKNOWN, YES, type Match } from "./truth.ts";
import type { Rule } from "../model/model.ts";
import { BTG, canonicalPurpose, type Terminology } from "../terminology/terminology.ts";
import type { Zone } from "../model/zone.ts";

/** The result of a rule. Ordered, so that deny-overrides is the greatest. */
export type Result = 0 | 1 | 2 | 3;
export const NOT_APPLICABLE = 0;
export const PERMIT = 1;
export const INDETERMINATE = 2;
export const DENY = 3;

/** A rule ready to be evaluated. */
export interface CompiledRule {
  readonly rule: Rule;
  readonly effect: Result;
  readonly tests: readonly AttributeTest[];
  /** Whether it, or a rule around it, names break the glass. */
  readonly namesBtg: boolean;
  readonly path: readonly string[];
  readonly matchedOn: readonly string[];
  readonly children: readonly CompiledRule[];
  readonly parent: CompiledRule | undefined;
  /** State of the last evaluation: read it before the next one. */
  match: Match;
  result: Result;
  unknown: number;
}

/** A tree of rules ready for evaluation. */
export interface CompiledTree {
  readonly root: CompiledRule;
  readonly saysBreakGlass: boolean;
  /** Whether a permit in it has obligations or refrains. */
  readonly binds: boolean;
}

/** Compiles a tree of rules; linear in its size. */
export function compileTree(
  root: Rule,
  zone: Zone | undefined,
  terminology: Terminology,
): CompiledTree {
  let saysBreakGlass = false;
  let binds = false;
  const visit = (rule: Rule, parent: CompiledRule | undefined): CompiledRule => {
    if (rule.breakGlass !== undefined) saysBreakGlass = true;
    if (rule.effect === "permit" && (rule.obligations ?? rule.refrains) !== undefined) binds = true;
    const named = rule.when.purposes?.some((name) => canonicalPurpose(name) === BTG) === true;
    const tests = compileTests(rule, zone, terminology);
    const children: CompiledRule[] = [];
    const compiled: CompiledRule = {
      rule,
      effect: rule.effect === "permit" ? PERMIT : DENY,
      tests,
      namesBtg: named || parent?.namesBtg === true,
      path: Object.freeze([...(parent?.path ?? []), rule.id]),
      matchedOn: Object.freeze(tests.map((test) => test.attribute)),
      children,
      parent,
      match: NO,
      result: NOT_APPLICABLE,
      unknown: 0,
    };
    for (const child of rule.rules ?? []) children.push(visit(child, compiled));
    return compiled;
  };
  return { root: visit(root, undefined), saysBreakGlass, binds };
}

/** Weakens the result of a rule of which it is unknown whether it matches. */
export function weaken(result: Result): Result {
  return result >= INDETERMINATE ? INDETERMINATE : NOT_APPLICABLE;
}

/** Evaluates a tree; each rule keeps its result until the next evaluation. */
export function evaluateRule(node: CompiledRule, context: MatchContext): Result {
  let match: Match = YES;
  let unknown = 0;
  for (const test of node.tests) {
    const one = test.run(context);
    if (one === NO) {
      node.unknown = 0;
      node.match = NO;
      return (node.result = NOT_APPLICABLE);
    }
    if (one === UNKNOWN) {
      match = UNKNOWN;
      unknown |= test.bit;
    }
  }
  node.unknown = unknown;
  node.match = match;
  let result: Result = NOT_APPLICABLE;
  if (node.children.length > 0) {
    const denyOverrides = node.rule.combine === "deny-overrides";
    for (const child of node.children) {
      const one = evaluateRule(child, context);
      if (one === NOT_APPLICABLE) continue;
      if (result === NOT_APPLICABLE || (denyOverrides ? one > result : one < result)) result = one;
    }
  }
  if (result === NOT_APPLICABLE) {
    // A permit covers break-the-glass only if it, or a rule around it, names it.
    const reaches = node.effect === DENY || node.namesBtg || context.purpose !== BTG;
    if (reaches) result = node.effect;
  }
  return (node.result = match === YES ? result : weaken(result));
}

/** Attributes, of a rule and of those around it, that were unknown in its last evaluation. */
export function unknownOf(node: CompiledRule): readonly string[] {
  let unknown = 0;
  for (let at: CompiledRule | undefined = node; at !== undefined; at = at.parent) {
    unknown |= at.unknown;
  }
  return namesOf(unknown);
}

const NONE: readonly string[] = Object.freeze([]);

function namesOf(bits: number): readonly string[] {
  return bits === 0 ? NONE : ATTRIBUTES.filter((_, bit) => (bits & (1 << bit)) !== 0);
}

/** Obligations and refrains of permits, with repetitions. */
export interface Duties {
  obligations: string[];
  refrains: string[];
}

/**
 * After an evaluation, collects the duties of permits that may apply: they also bind a permit by
 * another rule.
 *
 * @param doubtful - whether it is unknown that the tree covers the record at all
 */
export function collectDoubted(node: CompiledRule, doubtful: boolean, into: Duties): void {
  if (node.match === NO) return;
  const doubted = doubtful || node.match === UNKNOWN;
  if (doubted && node.effect === PERMIT) {
    const { obligations, refrains } = node.rule;
    if (obligations !== undefined) appendTo(into.obligations, obligations);
    if (refrains !== undefined) appendTo(into.refrains, refrains);
  }
  for (const child of node.children) collectDoubted(child, doubted, into);
}
