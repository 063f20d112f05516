import type { Decision } from "../model/decision.ts";
import type { MatchContext } from "./match.ts";
import { NO, UNKNOWN } from "./truth.ts";
import type { CompiledRule } from "./tree.ts";

/** What is said about breaking the glass. Ordered, so that the greatest of several is theirs all. */
export type Glass = 0 | 1 | 2 | 3;
export const GLASS_SILENT = 0;
/** It is unknown whether a rule that allows it applies: it says so, and overrules nothing. */
export const GLASS_PERHAPS = 1;
export const GLASS_ALLOWED = 2;
/** Said, or perhaps said, by a rule that nothing is sure to overrule. */
export const GLASS_NEVER = 3;

/** What remains of a word where it is unknown whether it is about this. */
export function doubtGlass(said: Glass): Glass {
  return said === GLASS_ALLOWED ? GLASS_PERHAPS : said;
}

/** Hears one word after another: the first that is sure ends it. */
export function hearGlass(first: Glass, later: Glass): Glass {
  return first >= GLASS_ALLOWED || first > later ? first : later;
}

/**
 * What matching rules say about breaking the glass: the innermost statement of a branch holds where
 * it surely applies, and `never` outweighs `allowed`.
 */
export function glassOfRule(node: CompiledRule, context: MatchContext): Glass {
  let doubtful = false;
  for (const test of node.tests) {
    const one = test.run(context);
    if (one === NO) return GLASS_SILENT;
    if (one === UNKNOWN) doubtful = true;
  }
  let said: Glass = GLASS_SILENT;
  for (const child of node.children) {
    const one = glassOfRule(child, context);
    if (one > said) said = one;
    if (said === GLASS_NEVER) return said;
  }
  const own = node.rule.breakGlass;
  if (own !== undefined) said = hearGlass(said, own === "never" ? GLASS_NEVER : GLASS_ALLOWED);
  return doubtful ? doubtGlass(said) : said;
}

/** As a decision says it. */
export function glassInWords(said: Glass): Decision["breakGlass"] {
  return said === GLASS_SILENT ? null : said === GLASS_NEVER ? "never" : "allowed";
}
