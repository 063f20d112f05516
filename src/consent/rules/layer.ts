import { appendTo } from "../../bytes/lists.ts";
import type { CID } from "../../codec/cid.ts";
import type { Layer, Reason } from "../model/decision.ts";
import {
  doubtGlass,
  GLASS_NEVER,
  GLASS_SILENT,
  glassOfRule,
  hearGlass,
  type Glass,
} from "./glass.ts";
import type { CompiledDirective, LineagePlan } from "./lineage.ts";
import type { MatchContext } from "./match-context.ts";
import { NO, UNKNOWN, YES } from "./truth.ts";
import type { CompiledOverlay } from "./overlay.ts";
import { matchScope } from "./scope.ts";
import { BTG } from "../terminology/terminology.ts";
import { witnessedBy } from "../model/witness.ts";
import { OWN } from "../model/trust.ts";
import {
  collectDoubted,
  DENY,
  evaluateRule,
  INDETERMINATE,
  NOT_APPLICABLE,
  PERMIT,
  weaken,
  unknownOf,
  type Duties,
  type CompiledRule,
  type Result,
} from "./tree.ts";
import { NOTHING_OPEN, openDisputes, isSettled, isWithheld, disputedResult } from "./disputes.ts";

/** Part of many decisions, so nobody may change it. */
const NO_CODES: readonly string[] = Object.freeze([]);

/** The result for one purpose, and its grounds. */
export interface Answer extends Duties {
  outcome: Result;
  /** Duties of permits that may apply: they bind if another rule permits. Absent: none. */
  doubted: Duties | undefined;
  /** The rules that decided; present only while they are being collected. */
  deciding: CompiledRule[] | undefined;
  readonly reasons: Reason[];
  readonly basedOn: CID[];
  glass: Glass;
}

/** The contribution of a lineage, or of a directive in it, to an outcome. */
interface Contribution {
  readonly directive: CompiledDirective;
  readonly result: Result;
  readonly kind: Reason["kind"];
}

/** A rule that permits, and its directive. */
export interface PermittingRule {
  readonly node: CompiledRule;
  readonly directive: CompiledDirective;
}

/** The result of a layer. */
export interface LayerResult {
  readonly result: Result;
  readonly glass: Glass;
}

const SILENT: LayerResult = { result: NOT_APPLICABLE, glass: GLASS_SILENT };

/**
 * Evaluates a layer; its reasons are added to the answer.
 *
 * @param permitting - collects the permitting rules, to check the requirements of the law on them
 */
export function evaluateLayer(
  plans: readonly LineagePlan[],
  layer: Layer,
  context: MatchContext,
  answer: Answer,
  permitting?: PermittingRule[],
): LayerResult {
  if (plans.length === 0) return SILENT;
  const explicit: Contribution[] = [];
  const fallback: Contribution[] = [];
  let best: Result = NOT_APPLICABLE;
  let glass: Glass = GLASS_SILENT;
  for (const plan of plans) {
    const said = evaluateLineage(plan, context, explicit, fallback, answer);
    if (said > glass) glass = said;
  }
  for (const item of explicit) if (item.result > best) best = item.result;
  const overruled = best === PERMIT && isOverruled(explicit, fallback);
  const relevant = best === NOT_APPLICABLE || overruled ? fallback : explicit;
  if (relevant === fallback) {
    for (const item of fallback) if (item.result > best) best = item.result;
  }
  if (best === NOT_APPLICABLE) return { result: best, glass };
  for (const { directive, result, kind } of relevant) {
    if (result !== best) continue;
    if (overruled && !isOwnRefusal({ directive, result })) continue;
    const { cid } = directive;
    answer.basedOn.push(cid);
    const root = directive.tree?.root;
    const first = answer.reasons.length;
    const wanted = result === PERMIT ? permitting : undefined;
    if (wanted !== undefined) answer.deciding = [];
    if (kind !== "rule" || root === undefined) {
      const effect = result === PERMIT ? "permit" : "deny";
      answer.reasons.push(bareReason(kind, layer, context.purpose, cid, effect));
    } else {
      giveReasons(root, result, layer, cid, context.purpose, answer);
    }
    tellWitness(directive, answer.reasons, first);
    if (wanted === undefined) continue;
    for (const node of answer.deciding ?? []) wanted.push({ node, directive });
    answer.deciding = undefined;
  }
  return { result: best, glass };
}

/**
 * Whether the only permits are a third party's word against the custodian's own refusal: a permit
 * outweighs a default that refuses, but not a permit that another organisation witnessed.
 */
function isOverruled(
  explicit: readonly Contribution[],
  fallback: readonly Contribution[],
): boolean {
  const own = explicit.some(
    ({ directive, result }) => result === PERMIT && directive.trust === OWN,
  );
  return !own && fallback.some(isOwnRefusal);
}

const isOwnRefusal = ({ directive, result }: Pick<Contribution, "directive" | "result">): boolean =>
  result === DENY && directive.trust === OWN;

/** Adds the witness to the reasons of an unsigned directive. */
function tellWitness({ source: { witness } }: CompiledDirective, reasons: Reason[], from: number) {
  if (witness === undefined) return;
  for (let at = from; at < reasons.length; at++) {
    reasons[at] = { ...reasons[at]!, witnessed: witnessedBy(witness) };
  }
}

/** Adds what a lineage says, from newest to oldest, or its default to the two lists. */
function evaluateLineage(
  plan: LineagePlan,
  context: MatchContext,
  explicit: Contribution[],
  fallback: Contribution[],
  answer: Answer,
): Glass {
  const open = plan.contested.length === 0 ? NOTHING_OPEN : openDisputes(plan, context);
  let glass: Glass = GLASS_SILENT;
  let decided = false;
  // Below a suspension or revocation, certain or possible, only `never` about the glass still
  // counts.
  let stopped = false;
  // Whether a revocation waits that these came before: they permit nothing.
  let revoked = false;
  // Whether a newer statement may have ended these: its grantor may have lacked authority here.
  let uncertain = false;
  for (const step of plan.steps) {
    const { directive, ended } = step;
    if (step.settledBy !== undefined && !isSettled(step, context)) continue;
    const authority = matchScope(step.authority, context);
    if (authority === NO) continue;
    let scope = matchScope(directive.scope, context);
    const { mode } = directive.source.directive;
    if (scope === NO) {
      if (mode !== "replace") continue;
      if (authority === YES) break;
      uncertain = true;
      continue;
    }
    if (authority < scope) scope = authority;
    if (mode === "suspend" || mode === "revoke") {
      if (mode === "revoke" && directive.source.waits === true) {
        revoked = true;
        continue;
      }
      const doubtful = scope === UNKNOWN || directive.unreadable || directive.doubtful;
      if (!doubtful && mode === "revoke") break;
      if (!decided && !stopped) {
        if (doubtful || uncertain) {
          explicit.push({ directive, result: INDETERMINATE, kind: "scope" });
        } else explicit.push({ directive, result: DENY, kind: "suspended" });
      }
      stopped = true;
      continue;
    }
    const tree = directive.tree!;
    if (!ended && tree.saysBreakGlass) {
      const said = glassOfRule(tree.root, context);
      if (!stopped && !revoked)
        glass = hearGlass(glass, scope === UNKNOWN ? doubtGlass(said) : said);
      else if (said === GLASS_NEVER) glass = hearGlass(glass, said);
    }
    if (!decided && !stopped) {
      const doubtful = uncertain || scope === UNKNOWN;
      const withheld = revoked || isWithheld(directive, open);
      let result: Result = ended ? NOT_APPLICABLE : evaluateRule(tree.root, context);
      if (!ended && tree.binds) collectDoubted(tree.root, doubtful, doubtedOf(answer));
      if (doubtful) result = weaken(result);
      if (withheld && result === PERMIT) result = NOT_APPLICABLE;
      if (result !== NOT_APPLICABLE) {
        explicit.push({ directive, result, kind: "rule" });
        decided = true;
      } else {
        const held = defaultOf(directive, context, ended || doubtful || withheld);
        if (held !== NOT_APPLICABLE) {
          fallback.push({ directive, result: held, kind: ended ? "ended" : "default" });
        }
      }
    }
    if (mode !== "replace") continue;
    if (authority === YES) break;
    uncertain = true;
  }
  if (open.length === 0) return glass;
  for (const dispute of open) {
    const { directive, ended, suspended } = dispute;
    const tree = directive.tree!;
    if (!ended && tree.saysBreakGlass && glassOfRule(tree.root, context) === GLASS_NEVER) {
      glass = GLASS_NEVER;
    }
    if (suspended) continue;
    const result = disputedResult(dispute, context);
    if (result >= INDETERMINATE) explicit.push({ directive, result, kind: "rule" });
    else if (result === NOT_APPLICABLE && defaultOf(directive, context, true) === DENY) {
      fallback.push({ directive, result: DENY, kind: ended ? "ended" : "default" });
    }
  }
  return glass;
}

const doubtedOf = (answer: Answer): Duties =>
  (answer.doubted ??= { obligations: [], refrains: [] });

/** A default that permits never covers break-the-glass, which only a rule can name. */
function defaultOf(directive: CompiledDirective, context: MatchContext, denyOnly: boolean): Result {
  const held = directive.source.directive.default;
  if (held === "deny") return DENY;
  return held === "permit" && !denyOnly && context.purpose !== BTG ? PERMIT : NOT_APPLICABLE;
}

/** The law's own outcome, and its requirements on the patient's directives. */
export interface LawResult {
  readonly outcome: Result;
  readonly demands: readonly CompiledOverlay[];
}

const LAWLESS: LawResult = { outcome: NOT_APPLICABLE, demands: [] };

/** Evaluates the overlays; their reasons are added to the answer. */
export function evaluateOverlays(
  overlays: readonly CompiledOverlay[],
  context: MatchContext,
  answer: Answer,
): LawResult {
  if (overlays.length === 0) return LAWLESS;
  const demands: CompiledOverlay[] = [];
  const speaking: { readonly overlay: CompiledOverlay; readonly result: Result }[] = [];
  let outcome: Result = NOT_APPLICABLE;
  for (const overlay of overlays) {
    const scope = matchScope(overlay.scope, context);
    if (scope === NO) continue;
    let result = evaluateRule(overlay.tree.root, context);
    const doubtful = scope === UNKNOWN || overlay.unreadable;
    if (doubtful) result = weaken(result);
    if (overlay.tree.binds && overlay.overlay.require === undefined) {
      collectDoubted(overlay.tree.root, doubtful, doubtedOf(answer));
    }
    if (overlay.overlay.require !== undefined) {
      if (result >= INDETERMINATE) demands.push(overlay);
    } else if (result !== NOT_APPLICABLE) {
      speaking.push({ overlay, result });
      if (result > outcome) outcome = result;
    }
    if (overlay.tree.saysBreakGlass) {
      const said = glassOfRule(overlay.tree.root, context);
      const heard = doubtful ? doubtGlass(said) : said;
      if (heard > answer.glass) answer.glass = heard;
    }
  }
  for (const { overlay, result } of speaking) {
    if (result !== outcome) continue;
    answer.basedOn.push(overlay.cid);
    giveReasons(overlay.tree.root, result, "law", overlay.cid, context.purpose, answer);
  }
  return { outcome, demands };
}

/**
 * After an evaluation, adds a reason for each rule whose effect became the outcome, and merges
 * their obligations and refrains.
 */
function giveReasons(
  node: CompiledRule,
  outcome: Result,
  layer: Layer,
  directive: CID,
  purpose: string,
  answer: Answer,
): void {
  if (node.effect === outcome) {
    const { obligations, refrains } = node.rule;
    if (obligations !== undefined) appendTo(answer.obligations, obligations);
    if (refrains !== undefined) appendTo(answer.refrains, refrains);
  }
  let decided = false;
  for (const child of node.children) {
    if (child.result === NOT_APPLICABLE) continue;
    decided = true;
    const counts =
      outcome === INDETERMINATE ? child.result >= INDETERMINATE : child.result === outcome;
    if (counts) giveReasons(child, outcome, layer, directive, purpose, answer);
  }
  if (decided) return;
  answer.deciding?.push(node);
  answer.reasons.push({
    kind: "rule",
    layer,
    purpose,
    directive,
    path: node.path,
    effect: node.rule.effect,
    matchedOn: node.matchedOn,
    unknown: unknownOf(node),
    codes: NO_CODES,
  });
}

/** A reason with only its kind, directive and effect. */
export function bareReason(
  kind: Reason["kind"],
  layer: Layer | null,
  purpose: string | null,
  directive: CID | null,
  effect: Reason["effect"],
): Reason {
  return {
    kind,
    layer,
    purpose,
    directive,
    path: NO_CODES,
    effect,
    matchedOn: NO_CODES,
    unknown: NO_CODES,
    codes: NO_CODES,
  };
}
