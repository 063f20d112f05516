import {
  type CompiledDirective,
  type LineagePlan,
  withholdsOlderPermits,
  refusesTheRest,
  type Step,
} from "./lineage.ts";
import type { MatchContext } from "./match-context.ts";
import { matchScope } from "./scope.ts";
import { PERMIT, type Result, NOT_APPLICABLE, evaluateRule, weaken } from "./tree.ts";
import { type Match, YES, NO, UNKNOWN } from "./truth.ts";

/** A contested directive that may cover a record, and that nothing has settled or revoked there. */
export interface OpenDispute {
  readonly directive: CompiledDirective;
  readonly ended: boolean;
  readonly scope: Match;
  /** It withholds the permits of older directives, which it may have been meant to end. */
  readonly withholds: boolean;
  /** A suspension stopped it: only its `never` about the glass still counts. */
  readonly suspended: boolean;
}

/** Whether a dispute about a newer directive cancels the permits of an older one. */
export function isWithheld({ position }: CompiledDirective, open: readonly OpenDispute[]): boolean {
  for (const one of open) if (one.withholds && one.directive.position > position) return true;
  return false;
}

export const NOTHING_OPEN: readonly OpenDispute[] = [];

/** The disputes of a lineage that are open for a record. */
export function openDisputes(plan: LineagePlan, context: MatchContext): readonly OpenDispute[] {
  const stops = plan.stops.filter((one) => coverOf(one, context) === YES);
  const open: OpenDispute[] = [];
  for (const step of plan.contested) {
    const { directive, ended } = step;
    if (directive.tree === undefined) continue;
    const later = stops.filter((one) => one.directive.position > directive.position);
    if (later.some((one) => one.directive.source.directive.mode === "revoke")) continue;
    const scope = coverOf(step, context);
    if (scope === NO || isSettled(step, context)) continue;
    const suspended = later.length > 0;
    const dispute = { directive, ended, scope, suspended };
    const withheld =
      !suspended &&
      (withholdsOlderPermits(step) ||
        (refusesTheRest(step) && disputedResult(dispute, context) !== PERMIT));
    open.push({ ...dispute, withholds: withheld });
  }
  return open;
}

/** The result of a contested directive's rules. */
export function disputedResult(
  { directive, ended, scope }: Pick<OpenDispute, "directive" | "ended" | "scope">,
  context: MatchContext,
): Result {
  const result = ended ? NOT_APPLICABLE : evaluateRule(directive.tree!.root, context);
  return scope === UNKNOWN ? weaken(result) : result;
}

/** Whether a statement that names both sides of a dispute certainly covers a record. */
export function isSettled({ settledBy }: Step, context: MatchContext): boolean {
  return settledBy?.some((one) => coverOf(one, context) === YES) === true;
}

/** Whether a statement covers a record: within its own bounds and its grantor's. */
function coverOf({ directive, authority }: Step, context: MatchContext): Match {
  const own = matchScope(directive.scope, context);
  const given = own === NO ? YES : matchScope(authority, context);
  const match = given < own ? given : own;
  // It is unknown whether this suspension or revocation has begun.
  return directive.unreadable && directive.tree === undefined && match === YES ? UNKNOWN : match;
}
