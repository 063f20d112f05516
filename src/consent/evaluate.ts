import type { CID } from "../codec/cid.ts";
import { ConsentError } from "../errors.ts";
import { EVALUATOR, type Decision, type Layer, type Outcome, type Reason } from "./decision.ts";
import {
  compileLayer,
  planLineage,
  type CompiledDirective,
  type CompiledLayer,
  type LineagePlan,
  type SetAside,
} from "./lineage.ts";
import { NO, UNKNOWN, YES, type MatchContext } from "./match.ts";
import { compileOverlays, satisfies, type CompiledOverlay } from "./overlay.ts";
import type { ConsentRequest } from "./request.ts";
import { indexMemberships, viewRequest } from "./request-view.ts";
import type { ConsentResource } from "./resource.ts";
import { snapshotCid, type ConsentSnapshot } from "./snapshot.ts";
import { BTG, canonicalPurpose, defaultTerminology, type Terminology } from "./terminology.ts";
import { collectBoundaries, nextBoundary } from "./boundaries.ts";
import {
  breakGlassOf,
  collect,
  DENY,
  evaluateRule,
  INDETERMINATE,
  NOT_APPLICABLE,
  PERMIT,
  soften,
  type Collected,
  type CompiledRule,
  type Result,
} from "./tree.ts";

/** What evaluation needs besides its subject matter. */
export interface EvaluateOptions {
  /** Codes of the obligations that the enforcing side can carry out. Default none. */
  readonly understood?: readonly string[];
}

/** A request ready to be decided on one resource after another. */
export interface PreparedRequest {
  decide(resource: ConsentResource): Decision;
}

/** A snapshot made ready for many evaluations. Pure: it remembers nothing between them. */
export interface CompiledConsent {
  readonly snapshot: ConsentSnapshot;
  readonly snapshotCid: CID;
  /**
   * Decides whether a request may have a resource.
   *
   * @param asOf - legal time, in milliseconds since 1970
   */
  evaluate(
    request: ConsentRequest,
    resource: ConsentResource,
    asOf: number,
    options?: EvaluateOptions,
  ): Decision;
  /** Does once what does not depend on the resource; the request must not change afterwards. */
  prepare(request: ConsentRequest, asOf: number, options?: EvaluateOptions): PreparedRequest;
}

/**
 * Makes a snapshot ready for evaluation, in time linear in its size.
 *
 * @param options - `terminology` must be the one that the snapshot pins; default the shipped one
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when the terminology is another one
 */
export function compileDirectives(
  snapshot: ConsentSnapshot,
  options: { readonly terminology?: Terminology } = {},
): CompiledConsent {
  const terminology = options.terminology ?? defaultTerminology();
  if (!terminology.cid.equals(snapshot.terminology)) {
    throw new ConsentError("ERR_CONSENT_TERMINOLOGY", "the snapshot pins another terminology");
  }
  const compiled: Compiled = {
    snapshot,
    cid: snapshotCid(snapshot),
    patient: compileLayer(snapshot.directives, snapshot, terminology),
    organisation: compileLayer(snapshot.organisation, snapshot, terminology),
    overlays: compileOverlays(snapshot.overlays, terminology),
    boundaries: [],
    terminology,
  };
  compiled.boundaries = collectBoundaries(
    snapshot,
    [compiled.patient, compiled.organisation],
    compiled.overlays,
  );
  const members = new Set(snapshot.members);
  const memberships = indexMemberships(snapshot);
  const prepare = (
    request: ConsentRequest,
    asOf: number,
    evaluateOptions: EvaluateOptions = {},
  ): PreparedRequest => {
    if (!Number.isSafeInteger(asOf)) throw new TypeError("asOf must be an instant in milliseconds");
    const view = viewRequest(request, snapshot, memberships, members, asOf);
    return prepareRequest(compiled, request, asOf, evaluateOptions, {
      request: view,
      asOf,
      purpose: "",
      resource: NOTHING,
      labels: undefined,
    });
  };
  return {
    snapshot,
    snapshotCid: compiled.cid,
    prepare,
    evaluate: (request, resource, asOf, evaluateOptions) =>
      prepare(request, asOf, evaluateOptions).decide(resource),
  };
}

const ready = new WeakMap<ConsentSnapshot, CompiledConsent>();

/**
 * Decides whether a request may have a resource, by what a snapshot of the ledger knows, at a legal
 * time. Pure: no clock, no I/O; a snapshot is compiled on first use.
 *
 * @param asOf - milliseconds since 1970
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when the snapshot pins a terminology other than
 *   the shipped one; use {@link compileDirectives} then
 */
export function evaluate(
  request: ConsentRequest,
  resource: ConsentResource,
  snapshot: ConsentSnapshot,
  asOf: number,
  options: EvaluateOptions = {},
): Decision {
  let compiled = ready.get(snapshot);
  if (compiled === undefined) ready.set(snapshot, (compiled = compileDirectives(snapshot)));
  return compiled.evaluate(request, resource, asOf, options);
}

interface Compiled {
  readonly snapshot: ConsentSnapshot;
  readonly cid: CID;
  readonly patient: CompiledLayer;
  readonly organisation: CompiledLayer;
  readonly overlays: readonly CompiledOverlay[];
  boundaries: readonly number[];
  readonly terminology: Terminology;
}

const NOTHING: ConsentResource = { type: "", codes: [], labels: null };
const NO_CODES: readonly string[] = [];

/** What one purpose comes to, and what it rests on. */
interface Answer extends Collected {
  outcome: Result;
  readonly reasons: Reason[];
  readonly basedOn: CID[];
  breakGlass: "allowed" | "never" | null;
}

type BreakGlass = Decision["breakGlass"];

function prepareRequest(
  compiled: Compiled,
  request: ConsentRequest,
  asOf: number,
  options: EvaluateOptions,
  context: MatchContext,
): PreparedRequest {
  const { snapshot } = compiled;
  const setAside: SetAside[] = [...compiled.patient.setAside, ...compiled.organisation.setAside];
  const plan = (layer: CompiledLayer): LineagePlan[] =>
    layer.lineages
      .map((lineage) => planLineage(lineage, snapshot, asOf, setAside))
      .filter((item) => item !== undefined);
  const patient = plan(compiled.patient);
  const organisation = plan(compiled.organisation);
  const overlays = compiled.overlays.filter(({ start, end }) => asOf >= start && asOf <= end);
  const purposes = [...new Set(request.purposes.map(canonicalPurpose))];
  const understood = new Set(options.understood);
  const boundary = nextBoundary(compiled.boundaries, asOf);
  const expires = request.expires;
  const expiresAt =
    expires !== undefined && expires >= asOf && (boundary === null || expires < boundary)
      ? expires
      : boundary;

  function decidePurpose(answer: Answer): void {
    const lawful = evaluateOverlays(overlays, context, answer);
    if (lawful.outcome !== NOT_APPLICABLE) {
      answer.outcome = lawful.outcome;
      return;
    }
    const own = evaluateLayer(patient, "patient", context, answer);
    answer.breakGlass ??= own.breakGlass;
    let outcome = own.result;
    if (lawful.demands.length > 0) {
      const unmet =
        outcome === PERMIT
          ? lawful.demands.filter(
              ({ overlay }) => !satisfies(own.permitting, overlay, compiled.terminology),
            )
          : outcome === NOT_APPLICABLE
            ? lawful.demands
            : [];
      for (const { cid } of unmet) {
        answer.reasons.push(reason("requirement", "law", context.purpose, cid, "deny"));
        answer.basedOn.push(cid);
      }
      if (unmet.length > 0) {
        answer.outcome = DENY;
        return;
      }
      if (outcome === PERMIT) {
        for (const { cid, overlay } of lawful.demands) {
          for (const code of overlay.root.obligations ?? []) answer.obligations.add(code);
          for (const code of overlay.root.refrains ?? []) answer.refrains.add(code);
          answer.basedOn.push(cid);
        }
      }
    }
    if (outcome === NOT_APPLICABLE) {
      const theirs = evaluateLayer(organisation, "organisation", context, answer);
      answer.breakGlass ??= theirs.breakGlass;
      outcome = theirs.result;
    }
    if (outcome === NOT_APPLICABLE) {
      answer.reasons.push(reason("silence", null, context.purpose, null, null));
    }
    answer.outcome = outcome;
  }

  function decide(resource: ConsentResource): Decision {
    context.resource = resource;
    context.labels = undefined;
    const answer: Answer = {
      outcome: NOT_APPLICABLE,
      reasons: [],
      basedOn: [],
      breakGlass: null,
      deciding: [],
      obligations: new Set(),
      refrains: new Set(),
    };
    let outcome: Result = purposes.length === 0 ? INDETERMINATE : PERMIT;
    let breakGlass: BreakGlass = null;
    for (const purpose of purposes) {
      context.purpose = purpose;
      answer.breakGlass = null;
      decidePurpose(answer);
      outcome = worse(outcome, answer.outcome);
      if (answer.breakGlass === "never" || breakGlass === null) breakGlass = answer.breakGlass;
    }
    if (purposes.length === 0) answer.reasons.push(reason("silence", null, null, null, null));
    const obligations = [...answer.obligations].sort();
    if (outcome === PERMIT) {
      const strange = obligations.filter((code) => !understood.has(code));
      if (strange.length > 0) {
        outcome = DENY;
        answer.reasons.push({ ...reason("obligation", null, null, null, "deny"), codes: strange });
      }
    }
    return {
      outcome: OUTCOMES[outcome],
      obligations,
      refrains: [...answer.refrains].sort(),
      breakGlass,
      reasons: answer.reasons,
      setAside,
      basedOn: distinct(answer.basedOn),
      snapshot: compiled.cid,
      asOf,
      expiresAt,
      evaluator: EVALUATOR,
    };
  }
  return { decide };
}

const OUTCOMES: readonly [Outcome, Outcome, Outcome, Outcome] = [
  "not-applicable",
  "permit",
  "indeterminate",
  "deny",
];

/** All purposes must be permitted: deny, then indeterminate, then not applicable weigh more. */
function worse(a: Result, b: Result): Result {
  if (a === DENY || b === DENY) return DENY;
  if (a === INDETERMINATE || b === INDETERMINATE) return INDETERMINATE;
  return a === NOT_APPLICABLE || b === NOT_APPLICABLE ? NOT_APPLICABLE : PERMIT;
}

/** What a lineage, or a directive in it, contributes to an outcome. */
interface Contribution {
  readonly directive: CompiledDirective;
  readonly result: Result;
  readonly kind: Reason["kind"];
}

interface LayerResult {
  readonly result: Result;
  readonly breakGlass: BreakGlass;
  /** The permitting rules with their directives, for what the law demands of them. */
  readonly permitting: readonly {
    readonly node: CompiledRule;
    readonly directive: CompiledDirective;
  }[];
}

function evaluateLayer(
  plans: readonly LineagePlan[],
  layer: Layer,
  context: MatchContext,
  answer: Answer,
): LayerResult {
  const explicit: Contribution[] = [];
  const fallback: Contribution[] = [];
  let best: Result = NOT_APPLICABLE;
  let breakGlass: BreakGlass = null;
  for (const plan of plans) {
    const said = evaluateLineage(plan, context, explicit, fallback);
    if (breakGlass !== "never" && said !== null) breakGlass = said;
  }
  for (const item of explicit) if (item.result > best) best = item.result;
  const relevant = best === NOT_APPLICABLE ? fallback : explicit;
  if (best === NOT_APPLICABLE) {
    for (const item of fallback) if (item.result > best) best = item.result;
  }
  const permitting: { node: CompiledRule; directive: CompiledDirective }[] = [];
  if (best === NOT_APPLICABLE) return { result: best, breakGlass, permitting };
  for (const { directive, result, kind } of relevant) {
    if (result !== best) continue;
    const { cid } = directive.source;
    answer.basedOn.push(cid);
    const root = directive.tree?.root;
    if (kind !== "rule" || root === undefined) {
      const effect = result === PERMIT ? "permit" : "deny";
      answer.reasons.push(reason(kind, layer, context.purpose, cid, effect));
      continue;
    }
    answer.deciding.length = 0;
    collect(root, result, answer);
    for (const { node, effect, unknown } of answer.deciding) {
      if (result === PERMIT) permitting.push({ node, directive });
      answer.reasons.push({
        kind,
        layer,
        purpose: context.purpose,
        directive: cid,
        path: node.path,
        effect,
        matchedOn: node.matchedOn,
        unknown,
        codes: NO_CODES,
      });
    }
  }
  return { result: best, breakGlass, permitting };
}

/** Newest to oldest: what the lineage says, or its default, into the two lists. */
function evaluateLineage(
  plan: LineagePlan,
  context: MatchContext,
  explicit: Contribution[],
  fallback: Contribution[],
): BreakGlass {
  let breakGlass: BreakGlass = null;
  let decided = false;
  for (const { directive, ended } of plan.steps) {
    const scope = directive.scope === undefined ? YES : directive.scope(context);
    const { mode } = directive.source.directive;
    if (scope === NO) {
      if (mode === "replace") break;
      continue;
    }
    if (mode === "suspend" || mode === "revoke") {
      if (decided) break;
      if (scope === UNKNOWN) explicit.push({ directive, result: INDETERMINATE, kind: "scope" });
      else if (mode === "suspend") explicit.push({ directive, result: DENY, kind: "suspended" });
      break;
    }
    const tree = directive.tree!;
    if (!ended && tree.saysBreakGlass) breakGlass ??= breakGlassOf(tree.root, context);
    if (decided) continue;
    let result: Result = ended ? NOT_APPLICABLE : evaluateRule(tree.root, context);
    if (scope === UNKNOWN) result = soften(result);
    if (result !== NOT_APPLICABLE) {
      explicit.push({ directive, result, kind: "rule" });
      decided = true;
      continue;
    }
    const held = defaultOf(directive, context, ended || scope === UNKNOWN);
    if (held !== NOT_APPLICABLE) {
      fallback.push({ directive, result: held, kind: ended ? "ended" : "default" });
    }
  }
  if (plan.contested.length === 0) return breakGlass;
  let floor = -1;
  for (const stop of plan.stops) {
    if (stop.scope === undefined || stop.scope(context) === YES) {
      floor = stop.position;
      break;
    }
  }
  for (const directive of plan.contested) {
    if (directive.position < floor) continue;
    const scope = directive.scope === undefined ? YES : directive.scope(context);
    if (scope === NO) continue;
    const tree = directive.tree;
    if (tree === undefined) continue;
    if (tree.saysBreakGlass && breakGlassOf(tree.root, context) === "never") breakGlass = "never";
    let result = evaluateRule(tree.root, context);
    if (scope === UNKNOWN) result = soften(result);
    if (result >= INDETERMINATE) explicit.push({ directive, result, kind: "rule" });
    else if (result === NOT_APPLICABLE && defaultOf(directive, context, true) === DENY) {
      fallback.push({ directive, result: DENY, kind: "default" });
    }
  }
  return breakGlass;
}

/** A default that permits never reaches break-the-glass, which only a rule can name. */
function defaultOf(directive: CompiledDirective, context: MatchContext, denyOnly: boolean): Result {
  const held = directive.source.directive.default;
  if (held === "deny") return DENY;
  return held === "permit" && !denyOnly && context.purpose !== BTG ? PERMIT : NOT_APPLICABLE;
}

function evaluateOverlays(
  overlays: readonly CompiledOverlay[],
  context: MatchContext,
  answer: Answer,
): { readonly outcome: Result; readonly demands: readonly CompiledOverlay[] } {
  const demands: CompiledOverlay[] = [];
  const speaking: { readonly overlay: CompiledOverlay; readonly result: Result }[] = [];
  let outcome: Result = NOT_APPLICABLE;
  for (const overlay of overlays) {
    const scope = overlay.scope === undefined ? YES : overlay.scope(context);
    if (scope === NO) continue;
    let result = evaluateRule(overlay.tree.root, context);
    if (scope === UNKNOWN) result = soften(result);
    if (overlay.overlay.require !== undefined) {
      if (result >= INDETERMINATE) demands.push(overlay);
    } else if (result !== NOT_APPLICABLE) {
      speaking.push({ overlay, result });
      if (result > outcome) outcome = result;
    }
    if (overlay.tree.saysBreakGlass) {
      const said = breakGlassOf(overlay.tree.root, context);
      if (answer.breakGlass !== "never" && said !== null) answer.breakGlass = said;
    }
  }
  for (const { overlay, result } of speaking) {
    if (result !== outcome) continue;
    answer.basedOn.push(overlay.cid);
    answer.deciding.length = 0;
    collect(overlay.tree.root, result, answer);
    for (const { node, effect, unknown } of answer.deciding) {
      answer.reasons.push({
        ...reason("rule", "law", context.purpose, overlay.cid, effect),
        path: node.path,
        matchedOn: node.matchedOn,
        unknown,
      });
    }
  }
  return { outcome, demands };
}

function reason(
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

function distinct(cids: readonly CID[]): readonly CID[] {
  if (cids.length < 2) return cids;
  const seen = new Map<string, CID>();
  for (const cid of cids) {
    const name = cid.toString();
    if (!seen.has(name)) seen.set(name, cid);
  }
  return [...seen.values()];
}
