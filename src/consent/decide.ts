import { appendTo } from "../bytes/lists.ts";
import type { CID } from "../codec/cid.ts";
import { type SetAside, type Decision, EVALUATOR, type Outcome } from "./model/decision.ts";
import type { ConsentRequest } from "./model/request.ts";
import type { ConsentResource } from "./model/resource.ts";
import type { ConsentSnapshot } from "./model/snapshot.ts";
import { decidePartially } from "./partial/partial.ts";
import { nextBoundaryIndex } from "./rules/boundaries.ts";
import { GLASS_SILENT, hearGlass, type Glass, glassInWords } from "./rules/glass.ts";
import {
  type Answer,
  evaluateOverlays,
  type PermittingRule,
  evaluateLayer,
  bareReason,
} from "./rules/layer.ts";
import { type CompiledLayer, planLineage } from "./rules/lineage.ts";
import type { MatchContext } from "./rules/match-context.ts";
import { type CompiledOverlay, anyRuleSatisfies } from "./rules/overlay.ts";
import { type PlanIndex, indexPlans } from "./rules/plan-index.ts";
import type { RequestView } from "./rules/request-view.ts";
import { NOT_APPLICABLE, PERMIT, DENY, type Result, INDETERMINATE } from "./rules/tree.ts";
import { type Terminology, canonicalPurpose } from "./terminology/terminology.ts";

/** A snapshot with its directives and overlays compiled. */
export interface CompiledSnapshot {
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

function inForceAt(compiled: CompiledSnapshot, asOf: number): InForce {
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
export interface TimedRequest {
  readonly compiled: CompiledSnapshot;
  readonly force: InForce;
  readonly purposes: readonly string[];
  readonly supportedObligations: readonly string[];
  readonly expiresAt: number | null;
  readonly context: MatchContext;
}

/** Prepares a request for a moment, with the directives in force then. */
export function makeTimedRequest(
  compiled: CompiledSnapshot,
  request: ConsentRequest,
  view: RequestView,
  asOf: number,
  supportedObligations: readonly string[] = NO_CODES,
): TimedRequest {
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

function decidePurpose({ force, compiled, context }: TimedRequest, answer: Answer): void {
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

/** Sets the resource that the tests of rules look at. */
export function setResource(context: MatchContext, resource: ConsentResource): void {
  context.resource = resource;
  context.labels = undefined;
  context.periodZone = undefined;
}

/** Decides whether a request may have a resource. */
export function decideOne(asked: TimedRequest, resource: ConsentResource): Decision {
  const { compiled, force, purposes, supportedObligations, expiresAt, context } = asked;
  setResource(context, resource);
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

/** Decides a request as far as possible without a record. */
export function decideRequest(asked: TimedRequest): Decision {
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

/** The result of a purpose, and its duties. */
interface Duties {
  readonly of: Result;
  readonly obligations: readonly string[];
  readonly refrains: readonly string[];
}

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
