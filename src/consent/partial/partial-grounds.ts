import type { CID } from "../../codec/cid.ts";
import type { Layer, Reason } from "../model/decision.ts";
import { FALSE, TRUE, type Formula, type Formulas } from "./formula.ts";
import { bareReason } from "../rules/layer.ts";
import type { MatchContext } from "../rules/match-context.ts";
import { UNKNOWN } from "../rules/truth.ts";
import { DENY, type CompiledRule } from "../rules/tree.ts";

/** For each outcome of a rule or directive, the records that it applies to. */
export interface Outcomes {
  readonly permit: Formula;
  readonly deny: Formula;
  /** Any outcome but not applicable. */
  readonly applies: Formula;
}

/** A reason that may decide, and the records that it decides about. */
export interface Ground {
  readonly reason: Reason;
  readonly where: Formula;
}

/** Tools of {@link ruleGrounds}. */
export interface GroundTools {
  readonly formulas: Formulas;
  readonly context: MatchContext;
  outcomesOf(node: CompiledRule): Outcomes;
}

/**
 * The rules of a tree that may decide, as `collect` finds them for one record.
 *
 * @param permit - the records for which the tree's permit counts
 * @param refuse - the records for which its refusal or its doubt counts
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
          ...bareReason("rule", layer, context.purpose, directive, denies ? "deny" : "permit"),
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

/** Unknown facts about the request; an open question about a record is not a doubt yet. */
function doubtsOf(node: CompiledRule, context: MatchContext): readonly string[] {
  return node.tests
    .filter(({ question, run }) => question === undefined && run(context) === UNKNOWN)
    .map(({ attribute }) => attribute);
}

/** For each statement about breaking the glass, the records that it applies to. */
export interface GlassSaid {
  readonly never: Formula;
  /** Where a rule that allows it certainly applies, and so overrides later statements. */
  readonly surely: Formula;
  readonly allowed: Formula;
}

/** No statement about breaking the glass. */
export const GLASS_UNSAID: GlassSaid = { never: FALSE, surely: FALSE, allowed: FALSE };

/** The statement of a tree about breaking the glass, as `glassOfRule` finds it for one record. */
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

/** Combines statements in order: a later one counts where no earlier one is certain. */
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

/** Combines simultaneous statements: `never` outweighs the others. */
export function unitedGlass({ all, any, not }: Formulas, said: readonly GlassSaid[]): GlassSaid {
  const never = any(said.map((one) => one.never));
  const open = not(never);
  return {
    never,
    surely: all([open, any(said.map((one) => one.surely))]),
    allowed: all([open, any(said.map((one) => one.allowed))]),
  };
}
