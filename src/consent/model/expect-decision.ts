import type { Steps } from "../../bytes/steps.ts";
import {
  expectArray,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
} from "../../codec/shape.ts";
import type {
  Decision,
  Layer,
  Outcome,
  Reason,
  ReasonKind,
  SetAside,
  SetAsideReason,
  Witnessed,
} from "./decision.ts";
import { WITNESS_FORMS } from "./witness.ts";

/** The outcomes of a decision that leaves nothing open. */
const DECIDED: readonly Outcome[] = ["permit", "deny", "not-applicable", "indeterminate"];
const LAYERS: readonly Layer[] = ["law", "patient", "organisation"];
const REASON_KINDS: readonly ReasonKind[] = [
  ...(["rule", "default", "suspended", "scope", "ended", "requirement", "obligation"] as const),
  "silence",
];
const SET_ASIDE: readonly SetAsideReason[] = [
  ...(["void", "capacity-lacking", "capacity-lost", "not-yet-valid", "expired"] as const),
  ...(["contested", "unconfirmed", "zone-unknown"] as const),
];
/** Most reasons, directives set aside or grounds of one decision that is read. */
const MOST = 65_536;

/**
 * Reads a decision of somebody else's, which is held against this shape alone: nothing proves that it
 * is what was decided. Its lists may be long, so it is read in steps.
 *
 * @param value - decoded DAG-CBOR
 * @throws {EncodingError} when it is not a decision, or one with a residual filter
 */
export function* expectDecision(value: unknown): Steps<Decision> {
  const map = expectMap(value, "decision", [
    ...["outcome", "obligations", "refrains", "breakGlass", "reasons", "setAside", "basedOn"],
    ...["snapshot", "asOf", "expiresAt", "evaluator"],
  ]);
  const { breakGlass, expiresAt } = map;
  return {
    outcome: expectOneOf(map["outcome"], "decision.outcome", DECIDED),
    obligations: expectTexts(map["obligations"], "decision.obligations"),
    refrains: expectTexts(map["refrains"], "decision.refrains"),
    breakGlass:
      breakGlass === null
        ? null
        : expectOneOf(breakGlass, "decision.breakGlass", ["allowed", "never"] as const),
    reasons: yield* expectEach(map["reasons"], "decision.reasons", expectReason),
    setAside: yield* expectEach(map["setAside"], "decision.setAside", expectSetAside),
    basedOn: yield* expectEach(map["basedOn"], "decision.basedOn", (cid) =>
      expectCid(cid, "decision.basedOn"),
    ),
    snapshot: expectCid(map["snapshot"], "decision.snapshot"),
    asOf: expectUint(map["asOf"], "decision.asOf"),
    expiresAt: expiresAt === null ? null : expectUint(expiresAt, "decision.expiresAt"),
    evaluator: expectString(map["evaluator"], "decision.evaluator"),
  };
}

function* expectEach<T>(
  value: unknown,
  what: string,
  expectOne: (item: unknown) => T,
): Steps<readonly T[]> {
  const found: T[] = [];
  for (const item of expectArray(value, what, MOST)) {
    found.push(expectOne(item));
    yield;
  }
  return found;
}

function expectReason(value: unknown): Reason {
  const fields = ["kind", "layer", "purpose", "directive", "path", "effect", "matchedOn"];
  const map = expectMap(value, "reason", [...fields, "unknown", "codes"], ["witnessed"]);
  const { layer, purpose, directive, effect, witnessed } = map;
  return {
    kind: expectOneOf(map["kind"], "reason.kind", REASON_KINDS),
    layer: layer === null ? null : expectOneOf(layer, "reason.layer", LAYERS),
    purpose: purpose === null ? null : expectString(purpose, "reason.purpose"),
    directive: directive === null ? null : expectCid(directive, "reason.directive"),
    path: expectTexts(map["path"], "reason.path"),
    effect:
      effect === null ? null : expectOneOf(effect, "reason.effect", ["permit", "deny"] as const),
    matchedOn: expectTexts(map["matchedOn"], "reason.matchedOn"),
    unknown: expectTexts(map["unknown"], "reason.unknown"),
    codes: expectTexts(map["codes"], "reason.codes"),
    ...(witnessed === undefined ? {} : { witnessed: expectWitnessed(witnessed) }),
  };
}

function expectWitnessed(value: unknown): Witnessed {
  const { by, form } = expectMap(value, "witnessed", ["by", "form"]);
  return {
    by: expectString(by, "witnessed.by", 128),
    form: expectOneOf(form, "witnessed.form", WITNESS_FORMS),
  };
}

function expectSetAside(value: unknown): SetAside {
  const { directive, why } = expectMap(value, "set aside", ["directive", "why"]);
  return {
    directive: expectCid(directive, "set aside.directive"),
    why: expectOneOf(why, "set aside.why", SET_ASIDE),
  };
}

function expectTexts(value: unknown, what: string): readonly string[] {
  return expectArray(value, what, 4096).map((item) => expectString(item, what));
}
