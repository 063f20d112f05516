import type { CID } from "../codec/cid.ts";
import type { Layer, Reason } from "./decision.ts";
import { FALSE, type Formula, type Formulas } from "./formula.ts";
import { reason } from "./layer.ts";
import type { MatchContext } from "./match.ts";
import { UNKNOWN } from "./truth.ts";
import { DENY, type CompiledRule } from "./tree.ts";

/** For which records a rule, or a directive, comes to what. */
export interface Outcomes {
  readonly permit: Formula;
  readonly deny: Formula;
  /** Anything but not applicable. */
  readonly applies: Formula;
}

/** Something that may decide, and for which records it does. */
export interface Ground {
  readonly reason: Reason;
  readonly where: Formula;
}

/** What {@link ruleGrounds} works with. */
export interface GroundTools {
  readonly formulas: Formulas;
  readonly context: MatchContext;
  outcomesOf(node: CompiledRule): Outcomes;
}

/**
 * The rules of a tree that may have the last word: as `collect` finds them for one record.
 *
 * @param permit - where the tree's permit is heard
 * @param refuse - where its refusal, or its doubt, is
 */
export function ruleGrounds(
  root: CompiledRule,
  layer: Layer,
  directive: CID,
  { permit, refuse }: { readonly permit: Formula; readonly refuse: Formula },
  { formulas, context, outcomesOf }: GroundTools,
): readonly Ground[] {
  const { all, not } = formulas;
  const found: Ground[] = [];
  const visit = (
    node: CompiledRule,
    permitted: Formula,
    refused: Formula,
    doubts: readonly string[],
  ): void => {
    if (permitted === FALSE && refused === FALSE) return;
    const unknown = [...doubts, ...doubtsOf(node, context)];
    const children = node.children.map(outcomesOf);
    const denies = node.effect === DENY;
    const where = all([
      denies ? refused : permitted,
      ...children.map(({ applies }) => not(applies)),
    ]);
    if (where !== FALSE) {
      found.push({
        where,
        reason: {
          ...reason("rule", layer, context.purpose, directive, denies ? "deny" : "permit"),
          path: node.path,
          matchedOn: node.matchedOn,
          unknown: [...new Set(unknown)],
        },
      });
    }
    node.children.forEach((child, at) => {
      const { permit: own, applies } = children[at]!;
      visit(child, all([permitted, own]), all([refused, applies, not(own)]), unknown);
    });
  };
  visit(root, permit, refuse, []);
  return found;
}

/** What cannot be told of the request; what is open about a record is no doubt yet. */
function doubtsOf(node: CompiledRule, context: MatchContext): readonly string[] {
  return node.tests
    .filter(({ question, run }) => question === undefined && run(context) === UNKNOWN)
    .map(({ attribute }) => attribute);
}

/** For which records something is said about breaking the glass. */
export interface GlassSaid {
  readonly never: Formula;
  readonly allowed: Formula;
}

/** Nothing said about breaking the glass. */
export const GLASS_SILENT: GlassSaid = { never: FALSE, allowed: FALSE };

/** What a tree says about breaking the glass, as `breakGlassOf` finds it for one record. */
export function glassOf(
  node: CompiledRule,
  formulas: Formulas,
  possible: (node: CompiledRule) => Formula,
): GlassSaid {
  const here = possible(node);
  if (here === FALSE) return GLASS_SILENT;
  const inner = node.children.map((child) => glassOf(child, formulas, possible));
  const never = formulas.any(inner.map((one) => one.never));
  const allowed = formulas.any(inner.map((one) => one.allowed));
  const own = formulas.not(formulas.any([never, allowed]));
  const said = node.rule.breakGlass;
  return {
    never: formulas.all([here, said === "never" ? formulas.any([never, own]) : never]),
    allowed: formulas.all([
      here,
      formulas.not(never),
      said === "allowed" ? formulas.any([allowed, own]) : allowed,
    ]),
  };
}

/** The first that says anything: what comes later counts only where all before are silent. */
export function firstGlass(formulas: Formulas, said: readonly GlassSaid[]): GlassSaid {
  const { all, any, not } = formulas;
  let never: Formula = FALSE;
  let allowed: Formula = FALSE;
  for (const one of said) {
    const silent = not(any([never, allowed]));
    never = any([never, all([silent, one.never])]);
    allowed = any([allowed, all([silent, one.allowed])]);
  }
  return { never, allowed };
}

/** All that is said at once, where `never` outweighs. */
export function unitedGlass(formulas: Formulas, said: readonly GlassSaid[]): GlassSaid {
  const never = formulas.any(said.map((one) => one.never));
  return {
    never,
    allowed: formulas.all([formulas.not(never), formulas.any(said.map((one) => one.allowed))]),
  };
}
