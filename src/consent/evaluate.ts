import type { CID } from "../codec/cid.ts";
import { ConsentError } from "../errors.ts";
import { EVALUATOR, type Decision, type Outcome } from "./decision.ts";
import {
  compileLayer,
  planLineage,
  type CompiledLayer,
  type LineagePlan,
  type SetAside,
} from "./lineage.ts";
import { evaluateLayer, evaluateOverlays, reason, type Answer, type BreakGlass } from "./layer.ts";
import type { MatchContext } from "./match.ts";
import { compileOverlays, satisfies, type CompiledOverlay } from "./overlay.ts";
import type { ConsentRequest } from "./request.ts";
import { indexMemberships, viewRequest } from "./request-view.ts";
import type { ConsentResource } from "./resource.ts";
import { snapshotCid, type ConsentSnapshot } from "./snapshot.ts";
import { canonicalPurpose, defaultTerminology, type Terminology } from "./terminology.ts";
import { collectBoundaries, nextBoundary } from "./boundaries.ts";
import { DENY, INDETERMINATE, NOT_APPLICABLE, PERMIT, type Result } from "./tree.ts";

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
      period: undefined,
      periodZone: undefined,
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
      .map((lineage) => planLineage(lineage, snapshot, asOf, setAside, compiled.terminology))
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
    context.periodZone = undefined;
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

function distinct(cids: readonly CID[]): readonly CID[] {
  if (cids.length < 2) return cids;
  const seen = new Map<string, CID>();
  for (const cid of cids) {
    const name = cid.toString();
    if (!seen.has(name)) seen.set(name, cid);
  }
  return [...seen.values()];
}
