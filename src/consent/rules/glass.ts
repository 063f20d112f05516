import type { Decision } from "../model/decision.ts";
import type { MatchContext } from "./match-context.ts";
import { NO, UNKNOWN } from "./truth.ts";
import type { CompiledRule } from "./tree.ts";

/** A statement on breaking the glass. Ordered, so that of several statements the greatest holds. */
export type Glass = 0 | 1 | 2 | 3;
export const GLASS_SILENT = 0;
/** A rule that allows it may apply: it counts as a statement, but overrides none. */
export const GLASS_PERHAPS = 1;
export const GLASS_ALLOWED = 2;
/** Said, perhaps by a rule that only may apply; no other statement certainly overrides it. */
export const GLASS_NEVER = 3;

/** Weakens a statement of which it is unknown whether it applies. */
export function doubtGlass(said: Glass): Glass {
  return said === GLASS_ALLOWED ? GLASS_PERHAPS : said;
}

/** Combines statements in order of precedence: the first certain one prevails. */
export function hearGlass(first: Glass, later: Glass): Glass {
  return first >= GLASS_ALLOWED || first > later ? first : later;
}

/**
 * The statement of the matching rules on breaking the glass: the innermost statement of a branch
 * prevails where it certainly applies, and `never` outweighs `allowed`.
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

/** A statement as a decision gives it. */
export function glassInWords(said: Glass): Decision["breakGlass"] {
  return said === GLASS_SILENT ? null : said === GLASS_NEVER ? "never" : "allowed";
}
