import { appendTo } from "../bytes/lists.ts";
import type { CID } from "../codec/cid.ts";
import { ConsentError } from "../errors.ts";
import { EVALUATOR, type Decision, type Outcome, type SetAside } from "./model/decision.ts";
import { compileLayer, planLineage, type CompiledLayer } from "./rules/lineage.ts";
import { GLASS_SILENT, glassInWords, hearGlass, type Glass } from "./rules/glass.ts";
import {
  evaluateLayer,
  evaluateOverlays,
  bareReason,
  type Answer,
  type PermittingRule,
} from "./rules/layer.ts";
import type { AttributeTest, MatchContext } from "./rules/match.ts";
import { indexPlans, questionsOf, type PlanIndex } from "./rules/plan-index.ts";
import { decidePartially } from "./partial/partial.ts";
import { compileOverlays, anyRuleSatisfies, type CompiledOverlay } from "./rules/overlay.ts";
import type { ConsentRequest } from "./model/request.ts";
import { indexMemberships, viewRequest, type RequestView } from "./rules/request-view.ts";
import type { ConsentResource } from "./model/resource.ts";
import { snapshotCid, type ConsentSnapshot } from "./model/snapshot.ts";
import {
  canonicalPurpose,
  defaultTerminology,
  type Terminology,
} from "./terminology/terminology.ts";
import { collectBoundaries, nextBoundaryIndex } from "./rules/boundaries.ts";
import { DENY, INDETERMINATE, NOT_APPLICABLE, PERMIT, type Result } from "./rules/tree.ts";

/** Options of {@link evaluate}. */
export interface EvaluateOptions {
  /** Codes of the obligations that the enforcing side can carry out. Default: none. */
  readonly supportedObligations?: readonly string[];
}

/** A request that is ready to be decided on many resources. */
export interface PreparedRequest {
  decide(resource: ConsentResource): Decision;
  /** Decides as far as possible without a record; see {@link evaluateRequest}. */
  decideRequest(): Decision;
}

/** A snapshot prepared for many evaluations. Its caches never change an answer. */
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
  /** Decides a request before any record is known; see {@link evaluateRequest}. */
  evaluateRequest(request: ConsentRequest, asOf: number, options?: EvaluateOptions): Decision;
  /**
   * Does the work that is the same for every resource once; the request must not change afterwards.
   */
  prepare(request: ConsentRequest, asOf: number, options?: EvaluateOptions): PreparedRequest;
}

/**
 * Prepares a snapshot for evaluation, in time linear in its size.
 *
 * @param options - `terminology` must be the one that the snapshot pins; default: the shipped one
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when the snapshot pins another terminology
 * @example
 * const compiled = compileDirectives(snapshot);
 * const decisions = resources.map((resource) => compiled.evaluate(request, resource, asOf));
 */
export function compileDirectives(
  snapshot: ConsentSnapshot,
  options: { readonly terminology?: Terminology } = {},
): CompiledConsent {
  const terminology = options.terminology ?? defaultTerminology();
  if (!terminology.cid.equals(snapshot.terminology)) {
    throw new ConsentError("ERR_CONSENT_TERMINOLOGY", "the snapshot pins another terminology");
  }
  const names = new Map<string, CID>();
  // Makes equal names the same object, so that comparing them costs nothing in each decision.
  const oneObject = (cid: CID): CID => {
    const name = cid.toString();
    const known = names.get(name) ?? cid;
    names.set(name, known);
    return known;
  };
  const compiled: Compiled = {
    snapshot,
    cid: snapshotCid(snapshot),
    patient: compileLayer(snapshot.directives, snapshot, terminology, oneObject),
    organisation: compileLayer(snapshot.organisation, snapshot, terminology, oneObject),
    overlays: compileOverlays(snapshot.overlays, terminology, oneObject),
    boundaries: [],
    terminology,
    force: undefined,
  };
  compiled.boundaries = collectBoundaries(
    snapshot,
    [compiled.patient, compiled.organisation],
    compiled.overlays,
  );
  const members = new Set(snapshot.members);
  const memberships = indexMemberships(snapshot);
  const ask = (
    request: ConsentRequest,
    asOf: number,
    evaluateOptions: EvaluateOptions = {},
  ): Asked => {
    if (!Number.isSafeInteger(asOf))
      throw new TypeError("asOf must be an instant in integer milliseconds");
    const view = viewRequest(request, snapshot, memberships, members, asOf);
    return makeAsked(compiled, request, view, asOf, evaluateOptions);
  };
  return {
    snapshot,
    snapshotCid: compiled.cid,
    prepare: (request, asOf, evaluateOptions) =>
      prepareRequest(ask(request, asOf, evaluateOptions)),
    evaluate: (request, resource, asOf, evaluateOptions) =>
      decideOne(ask(request, asOf, evaluateOptions), resource),
    evaluateRequest: (request, asOf, evaluateOptions) =>
      decideRequest(ask(request, asOf, evaluateOptions)),
  };
}

const ready = new WeakMap<ConsentSnapshot, CompiledConsent>();

/**
 * Decides whether a request may have a resource, at a legal time, by the facts in a snapshot of the
 * ledger. Pure: no clock, no I/O. Compiles the snapshot on first use.
 *
 * @param asOf - milliseconds since 1970
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when the snapshot pins a terminology other than
 *   the shipped one; use {@link compileDirectives} then
 * @example
 * const decision = evaluate(request, resource, snapshot, Date.now());
 * if (decision.outcome === "permit") release(resource, decision.obligations);
 */
export function evaluate(
  request: ConsentRequest,
  resource: ConsentResource,
  snapshot: ConsentSnapshot,
  asOf: number,
  options: EvaluateOptions = {},
): Decision {
  return readyFor(snapshot).evaluate(request, resource, asOf, options);
}

/**
 * Decides a request as far as possible without a record. If the record makes a difference, the
 * outcome is `partial`, and `filter` is a predicate that holds for exactly the records that
 * {@link evaluate} permits. `reasons` then lists every ground that may decide about a record, and
 * `breakGlass` is the strictest statement that a record may meet. Obligations are known only per
 * record.
 *
 * @param asOf - milliseconds since 1970
 * @throws {ConsentError} as {@link evaluate}
 * @example
 * const decision = evaluateRequest(request, snapshot, Date.now());
 * const mayHave =
 *   decision.outcome === "partial" ? records.filter(compileResidual(decision.filter!)) : [];
 */
export function evaluateRequest(
  request: ConsentRequest,
  snapshot: ConsentSnapshot,
  asOf: number,
  options: EvaluateOptions = {},
): Decision {
  return readyFor(snapshot).evaluateRequest(request, asOf, options);
}

function readyFor(snapshot: ConsentSnapshot): CompiledConsent {
  let compiled = ready.get(snapshot);
  if (compiled === undefined) ready.set(snapshot, (compiled = compileDirectives(snapshot)));
  return compiled;
}

interface Compiled {
  readonly snapshot: ConsentSnapshot;
  readonly cid: CID;
  readonly patient: CompiledLayer;
  readonly organisation: CompiledLayer;
  readonly overlays: readonly CompiledOverlay[];
  boundaries: readonly number[];
  readonly terminology: Terminology;
  /** Directives in force between two boundaries, for the time last asked about. */
  force: InForce | undefined;
}

/** Directives in force at a moment; they are the same at every moment between two boundaries. */
interface InForce {
  /** First and last instant, both inclusive. */
  readonly since: number;
  readonly until: number;
  readonly patient: PlanIndex;
  readonly organisation: PlanIndex;
  readonly overlays: readonly CompiledOverlay[];
  readonly setAside: readonly SetAside[];
}

function inForceAt(compiled: Compiled, asOf: number): InForce {
  const { force, snapshot, boundaries, terminology } = compiled;
  if (force !== undefined && asOf >= force.since && asOf <= force.until) return force;
  const setAside: SetAside[] = [...compiled.patient.setAside, ...compiled.organisation.setAside];
  const plan = (layer: CompiledLayer): PlanIndex =>
    indexPlans(
      layer.lineages
        .map((lineage) => planLineage(lineage, snapshot, asOf, setAside, terminology))
        .filter((item) => item !== undefined),
    );
  const next = nextBoundaryIndex(boundaries, asOf);
  return (compiled.force = {
    since: next === 0 ? -Infinity : boundaries[next - 1]! + 1,
    until: boundaries[next] ?? Infinity,
    patient: plan(compiled.patient),
    organisation: plan(compiled.organisation),
    overlays: compiled.overlays.filter(({ start, end }) => asOf >= start && asOf <= end),
    // Part of every decision until the next boundary.
    setAside: Object.freeze(setAside.map((one) => Object.freeze(one))),
  });
}

const NO_CODES: readonly string[] = Object.freeze([]);
const NOTHING: ConsentResource = { type: "", codes: [], labels: null };

/** A request at a moment, with the directives in force then: the same for each resource. */
interface Asked {
  readonly compiled: Compiled;
  readonly force: InForce;
  readonly purposes: readonly string[];
  readonly supportedObligations: readonly string[];
  readonly expiresAt: number | null;
  readonly context: MatchContext;
}

function makeAsked(
  compiled: Compiled,
  request: ConsentRequest,
  view: RequestView,
  asOf: number,
  { supportedObligations = NO_CODES }: EvaluateOptions,
): Asked {
  const force = inForceAt(compiled, asOf);
  const boundary = force.until === Infinity ? null : force.until;
  const { expires } = request;
  return {
    compiled,
    force,
    purposes: distinct(request.purposes.map(canonicalPurpose)),
    supportedObligations,
    expiresAt:
      expires !== undefined && expires >= asOf && (boundary === null || expires < boundary)
        ? expires
        : boundary,
    context: {
      request: view,
      asOf,
      purpose: "",
      resource: NOTHING,
      labels: undefined,
      period: undefined,
      periodZone: undefined,
    },
  };
}

/** An answer before anything was evaluated. */
function emptyAnswer(): Answer {
  return {
    outcome: NOT_APPLICABLE,
    reasons: [],
    basedOn: [],
    glass: GLASS_SILENT,
    doubted: undefined,
    deciding: undefined,
    obligations: [],
    refrains: [],
  };
}

function decidePurpose({ force, compiled, context }: Asked, answer: Answer): void {
  const { patient, organisation, overlays } = force;
  const lawful = evaluateOverlays(overlays, context, answer);
  if (lawful.outcome !== NOT_APPLICABLE) {
    const heard = hearGlass(glassOf(patient, context), glassOf(organisation, context));
    answer.outcome = lawful.outcome;
    answer.glass = hearGlass(answer.glass, heard);
    return;
  }
  const { demands } = lawful;
  const permitting: PermittingRule[] | undefined = demands.length > 0 ? [] : undefined;
  const own = evaluateLayer(patient.candidates(context), "patient", context, answer, permitting);
  answer.glass = hearGlass(answer.glass, hearGlass(own.glass, glassOf(organisation, context)));
  let outcome = own.result;
  if (permitting !== undefined) {
    const unmet =
      outcome === PERMIT
        ? demands.filter(
            ({ overlay }) => !anyRuleSatisfies(permitting, overlay, compiled.terminology),
          )
        : outcome === NOT_APPLICABLE
          ? demands
          : [];
    for (const { cid } of unmet) {
      answer.reasons.push(bareReason("requirement", "law", context.purpose, cid, "deny"));
      answer.basedOn.push(cid);
    }
    if (unmet.length > 0) {
      answer.outcome = DENY;
      // Drops the duties of a permit that does not hold.
      answer.obligations.length = 0;
      answer.refrains.length = 0;
      return;
    }
    if (outcome === PERMIT) {
      for (const { cid, overlay } of demands) {
        appendTo(answer.obligations, overlay.root.obligations ?? []);
        appendTo(answer.refrains, overlay.root.refrains ?? []);
        answer.basedOn.push(cid);
      }
    }
  }
  if (outcome === NOT_APPLICABLE) {
    const plans = organisation.candidates(context);
    outcome = evaluateLayer(plans, "organisation", context, answer).result;
  }
  if (outcome === NOT_APPLICABLE) {
    answer.reasons.push(bareReason("silence", null, context.purpose, null, null));
  }
  answer.outcome = outcome;
}

/** A layer's statement on breaking the glass, even if another layer has decided. */
function glassOf(index: PlanIndex, context: MatchContext): Glass {
  if (!index.saysBreakGlass) return GLASS_SILENT;
  return evaluateLayer(index.candidates(context), "patient", context, emptyAnswer()).glass;
}

function turnTo(context: MatchContext, resource: ConsentResource): void {
  context.resource = resource;
  context.labels = undefined;
  context.periodZone = undefined;
}

function decideOne(asked: Asked, resource: ConsentResource): Decision {
  const { compiled, force, purposes, supportedObligations, expiresAt, context } = asked;
  turnTo(context, resource);
  const answer = emptyAnswer();
  let outcome: Result = purposes.length === 0 ? INDETERMINATE : PERMIT;
  let glass: Glass = GLASS_SILENT;
  // Duties come with the result of a purpose, and bind if that result is the outcome.
  let duties: Duties[] | undefined;
  for (const purpose of purposes) {
    context.purpose = purpose;
    answer.glass = GLASS_SILENT;
    decidePurpose(asked, answer);
    const { doubted } = answer;
    if (doubted !== undefined) {
      if (answer.outcome === PERMIT) {
        appendTo(answer.obligations, doubted.obligations);
        appendTo(answer.refrains, doubted.refrains);
      }
      answer.doubted = undefined;
    }
    outcome = worse(outcome, answer.outcome);
    if (purposes.length > 1) {
      const { outcome: of, obligations, refrains } = answer;
      (duties ??= []).push({ of, obligations, refrains });
      answer.obligations = [];
      answer.refrains = [];
    }
    if (answer.glass > glass) glass = answer.glass;
  }
  if (purposes.length === 0) answer.reasons.push(bareReason("silence", null, null, null, null));
  const binding = duties?.filter((one) => one.of === outcome);
  let obligations = inOrder(
    binding === undefined ? answer.obligations : binding.flatMap((one) => one.obligations),
  );
  let refrains = inOrder(
    binding === undefined ? answer.refrains : binding.flatMap((one) => one.refrains),
  );
  if (outcome === PERMIT && obligations.length > 0) {
    const strange = obligations.filter((code) => !supportedObligations.includes(code));
    if (strange.length > 0) {
      outcome = DENY;
      answer.reasons.push({
        ...bareReason("obligation", null, null, null, "deny"),
        codes: strange,
      });
      obligations = [];
      refrains = [];
    }
  }
  return {
    outcome: OUTCOMES[outcome],
    obligations,
    refrains,
    breakGlass: glassInWords(glass),
    reasons: answer.reasons,
    setAside: force.setAside,
    basedOn: distinct(answer.basedOn),
    snapshot: compiled.cid,
    asOf: context.asOf,
    expiresAt,
    evaluator: EVALUATOR,
  };
}

function decideRequest(asked: Asked): Decision {
  const { compiled, force, purposes, supportedObligations, expiresAt, context } = asked;
  const { overlays } = force;
  const patient = force.patient.plans;
  const organisation = force.organisation.plans;
  const { filter, reasons, breakGlass } = decidePartially({
    overlays,
    patient,
    organisation,
    purposes,
    supportedObligations: new Set(supportedObligations),
    context,
    terminology: compiled.terminology,
  });
  const root = filter.nodes[filter.root]!;
  const constant = "of" in root && typeof root.of !== "number" && root.of.length === 0;
  // No record changes the outcome, so decide as for an unknown record.
  if (constant) return { ...decideOne(asked, NOTHING), breakGlass };
  const spoken = [...patient, ...organisation].flatMap(({ steps, contested }) =>
    [...steps, ...contested].map(({ directive }) => directive.cid),
  );
  return {
    outcome: "partial",
    filter,
    obligations: [],
    refrains: [],
    breakGlass,
    reasons,
    setAside: force.setAside,
    basedOn: distinct([...overlays.map(({ cid }) => cid), ...spoken]),
    snapshot: compiled.cid,
    asOf: context.asOf,
    expiresAt,
    evaluator: EVALUATOR,
  };
}

/** Makes a decision that several records share unchangeable. */
function frozen(decision: Decision): Decision {
  for (const one of decision.reasons) {
    Object.freeze(one.unknown);
    Object.freeze(one.codes);
    Object.freeze(one);
  }
  for (const list of [
    decision.obligations,
    decision.refrains,
    decision.reasons,
    decision.basedOn,
  ]) {
    Object.freeze(list);
  }
  return Object.freeze(decision);
}

function prepareRequest(asked: Asked): PreparedRequest {
  const { force, purposes, context } = asked;
  const decisions = new Map<number, Decision>();
  let singly = 0;
  let questions: readonly AttributeTest[] | undefined;

  /** Records that answer all questions alike share one decision, made for the first of them. */
  function decide(resource: ConsentResource): Decision {
    if (singly < FEW) {
      singly++;
      return decideOne(asked, resource);
    }
    if (singly === FEW) {
      singly++;
      const plans = [...force.patient.plans, ...force.organisation.plans];
      questions = questionsOf(plans, force.overlays, purposes, context);
    }
    if (questions === undefined) return decideOne(asked, resource);
    turnTo(context, resource);
    let key = 0;
    for (const question of questions) key = key * 3 + question.run(context);
    let decision = decisions.get(key);
    if (decision === undefined) {
      decision = decideOne(asked, resource);
      if (decisions.size < MAX_SHARED) decisions.set(key, frozen(decision));
    }
    return decision;
  }

  return { decide, decideRequest: () => decideRequest(asked) };
}

/** The result of a purpose, and its duties. */
interface Duties {
  readonly of: Result;
  readonly obligations: readonly string[];
  readonly refrains: readonly string[];
}

/**
 * Up to this many records are decided one by one: grouping records by their answers would not pay.
 */
const FEW = 8;
/** Most shared decisions that are kept. */
const MAX_SHARED = 4096;

const OUTCOMES: readonly [Outcome, Outcome, Outcome, Outcome] = [
  "not-applicable",
  "permit",
  "indeterminate",
  "deny",
];

/**
 * Every purpose must be permitted: deny outweighs indeterminate, which outweighs not applicable.
 */
function worse(a: Result, b: Result): Result {
  if (a === DENY || b === DENY) return DENY;
  if (a === INDETERMINATE || b === INDETERMINATE) return INDETERMINATE;
  return a === NOT_APPLICABLE || b === NOT_APPLICABLE ? NOT_APPLICABLE : PERMIT;
}

function distinct<T>(items: readonly T[]): readonly T[] {
  if (items.length < 2) return items;
  if (items.length > MANY) return [...new Set(items)];
  const kept: T[] = [];
  for (const item of items) if (!kept.includes(item)) kept.push(item);
  return kept;
}

/** Up to this length, searching a list is quicker than making a set. */
const MANY = 16;

function inOrder(codes: readonly string[]): readonly string[] {
  return codes.length === 0 ? codes : [...new Set(codes)].sort();
}
