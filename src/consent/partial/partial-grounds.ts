import type { CID } from "../../codec/cid.ts";
import type { Layer, Reason } from "../model/decision.ts";
import { FALSE, TRUE, type Formula, type Formulas } from "./formula.ts";
import { reason } from "../rules/layer.ts";
import type { MatchContext } from "../rules/match.ts";
import { UNKNOWN } from "../rules/truth.ts";
import { DENY, type CompiledRule } from "../rules/tree.ts";

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
  /** Where what allows it surely applies, and overrules what is heard later. */
  readonly surely: Formula;
  readonly allowed: Formula;
}

/** Nothing said about breaking the glass. */
export const GLASS_UNSAID: GlassSaid = { never: FALSE, surely: FALSE, allowed: FALSE };

/** What a tree says about breaking the glass, as `glassOfRule` finds it for one record. */
export function glassOf(
  node: CompiledRule,
  { all, any, not }: Formulas,
  matchOf: (node: CompiledRule) => { readonly certain: Formula; readonly possible: Formula },
): GlassSaid {
  const visit = (at: CompiledRule): GlassSaid => {
    const here = matchOf(at);
    if (here.possible === FALSE) return GLASS_UNSAID;
    const inner = at.children.map(visit);
    const said = at.rule.breakGlass;
    const nevers = any(inner.map((one) => one.never));
    const sure = any(inner.map((one) => one.surely));
    const never = all([here.possible, said === "never" ? any([nevers, not(sure)]) : nevers]);
    const open = not(never);
    return {
      never,
      surely: all([here.certain, open, said === "allowed" ? TRUE : sure]),
      allowed: all([
        here.possible,
        open,
        said === "allowed" ? TRUE : any(inner.map((one) => one.allowed)),
      ]),
    };
  };
  return visit(node);
}

/** Heard one after another: what comes later counts where none before is sure. */
export function heardGlass({ all, any, not }: Formulas, said: readonly GlassSaid[]): GlassSaid {
  let never: Formula = FALSE;
  let surely: Formula = FALSE;
  let allowed: Formula = FALSE;
  for (const one of said) {
    const open = not(any([never, surely]));
    never = any([never, all([open, one.never])]);
    surely = any([surely, all([open, one.surely])]);
    allowed = any([allowed, all([open, one.allowed])]);
  }
  return { never, surely, allowed: all([not(never), allowed]) };
}

/** All that is said at once, where `never` outweighs. */
export function unitedGlass({ all, any, not }: Formulas, said: readonly GlassSaid[]): GlassSaid {
  const never = any(said.map((one) => one.never));
  const open = not(never);
  return {
    never,
    surely: all([open, any(said.map((one) => one.surely))]),
    allowed: all([open, any(said.map((one) => one.allowed))]),
  };
}
