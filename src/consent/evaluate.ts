import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import type { CID } from "../codec/cid.ts";
import { ConsentError } from "../errors.ts";
import type { Decision } from "./model/decision.ts";
import { compileLayer } from "./rules/lineage.ts";
import type { AttributeTest } from "./rules/match.ts";
import { questionsOf } from "./rules/plan-index.ts";
import { compileOverlays } from "./rules/overlay.ts";
import type { ConsentRequest } from "./model/request.ts";
import { indexMemberships, viewRequest } from "./rules/request-view.ts";
import type { ConsentResource } from "./model/resource.ts";
import { snapshotCid, type ConsentSnapshot } from "./model/snapshot.ts";
import { defaultTerminology, type Terminology } from "./terminology/terminology.ts";
import { collectBoundaries } from "./rules/boundaries.ts";
import { decideWhole } from "./decide-whole.ts";
import {
  type CompiledSnapshot,
  type TimedRequest,
  makeTimedRequest,
  decideOne,
  decideRequest,
  setResource,
} from "./decide.ts";

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

const COMPILE_DIRECTIVES_OPTIONS: OptionsOf<NonNullable<Parameters<typeof compileDirectives>[1]>> =
  { terminology: true };

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
  assertOptions(options, COMPILE_DIRECTIVES_OPTIONS, "compileDirectives");
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
  const compiled: CompiledSnapshot = {
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
    { supportedObligations }: EvaluateOptions = {},
  ): TimedRequest => {
    if (!Number.isSafeInteger(asOf))
      throw new TypeError("asOf must be an instant in integer milliseconds");
    const view = viewRequest(request, snapshot, memberships, members, asOf);
    return makeTimedRequest(compiled, request, view, asOf, supportedObligations);
  };
  return {
    snapshot,
    snapshotCid: compiled.cid,
    prepare: (request, asOf, evaluateOptions) =>
      prepareRequest(ask(request, asOf, evaluateOptions)),
    evaluate(request, resource, asOf, evaluateOptions) {
      const asked = ask(request, asOf, evaluateOptions);
      return decideWhole(resource, (one) => decideOne(asked, one));
    },
    evaluateRequest: (request, asOf, evaluateOptions) =>
      decideRequest(ask(request, asOf, evaluateOptions)),
  };
}

const ready = new WeakMap<ConsentSnapshot, CompiledConsent>();

const EVALUATE_OPTIONS: OptionsOf<EvaluateOptions> = { supportedObligations: true };

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
  assertOptions(options, EVALUATE_OPTIONS, "evaluate");
  return readyFor(snapshot).evaluate(request, resource, asOf, options);
}

const EVALUATE_REQUEST_OPTIONS: OptionsOf<EvaluateOptions> = { supportedObligations: true };

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
  assertOptions(options, EVALUATE_REQUEST_OPTIONS, "evaluateRequest");
  return readyFor(snapshot).evaluateRequest(request, asOf, options);
}

function readyFor(snapshot: ConsentSnapshot): CompiledConsent {
  let compiled = ready.get(snapshot);
  if (compiled === undefined) ready.set(snapshot, (compiled = compileDirectives(snapshot)));
  return compiled;
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

function prepareRequest(asked: TimedRequest): PreparedRequest {
  const { force, purposes, context } = asked;
  const decisions = new Map<number, Decision>();
  let singly = 0;
  let questions: readonly AttributeTest[] | undefined;

  /** Records that answer all questions alike share one decision, made for the first of them. */
  function decideAlone(resource: ConsentResource): Decision {
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
    setResource(context, resource);
    let key = 0;
    for (const question of questions) key = key * 3 + question.run(context);
    let decision = decisions.get(key);
    if (decision === undefined) {
      decision = decideOne(asked, resource);
      if (decisions.size < MAX_SHARED) decisions.set(key, frozen(decision));
    }
    return decision;
  }

  return {
    decide: (resource) => decideWhole(resource, decideAlone),
    decideRequest: () => decideRequest(asked),
  };
}

/**
 * Up to this many records are decided one by one: grouping records by their answers would not pay.
 */
const FEW = 8;
/** Most shared decisions that are kept. */
const MAX_SHARED = 4096;
