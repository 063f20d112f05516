import type { Coding, DataRef } from "../model/model.ts";
import type { Residual } from "../model/residual.ts";
import { requireTerminology } from "./residual-search.ts";
import {
  alternativesOf,
  isLevel,
  isPositive,
  isUnderstood,
  labelsMeant,
  withoutImplied,
  type ResidualExport,
  type ResidualLiteral,
  type ResidualTerm,
} from "./residual-terms.ts";
import { defaultTerminology, type Terminology } from "../terminology/terminology.ts";
import { isoInstant, type DateValue, type Period } from "../model/time.ts";

/** One rule of an IHE PCF residual, as in its `ihe_pcf` token extension. */
export interface PcfResidualRule {
  readonly type: "forbid" | "permit";
  readonly securityLabel?: readonly Coding[];
  readonly dataPeriod?: { readonly start?: string; readonly end?: string };
  readonly data?: readonly {
    readonly meaning: string;
    readonly reference: { readonly reference: string };
  }[];
}

/**
 * Writes a residual in the form that IHE PCF puts into tokens. PCF releases a record if a
 * permitting rule names it, or no forbidding rule does; a rule cannot state what a record must not
 * be. What PCF cannot express is written more strictly, with one exception: PCF has no third truth
 * value, so that unknown attributes of a record do not prevent its release.
 *
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when the residual names a terminology other than
 *   `terminology`
 * @see IHE ITI PCF 1.1.0, update to ITI-71, 3.71.4.2.2.1.4
 * @example
 * const { value, inexact } = toPcfResidual(decision.filter!);
 * const extension = inexact.length === 0 ? { ihe_pcf: value } : undefined;
 */
export function toPcfResidual(
  residual: Residual,
  terminology: Terminology = defaultTerminology(),
): ResidualExport<readonly PcfResidualRule[]> {
  const terms = alternativesOf(requireTerminology(residual, terminology));
  if (terms === undefined) {
    return { value: [{ type: "forbid" }], inexact: ["too many rules: everything is refused"] };
  }
  const inexact = new Set<string>();
  const permits: PcfResidualRule[] = [];
  const exceptions: ResidualTerm[] = [];
  for (const term of terms.map((one) => withoutImplied(one, terminology))) {
    if (term.some(isPositive)) {
      const rule = term.every(isPositive) ? joined(term, terminology) : undefined;
      if (rule === undefined) inexact.add("an alternative that PCF cannot express is left out");
      else permits.push({ type: "permit", ...rule });
    } else exceptions.push(term);
  }
  const forbids: PcfResidualRule[] = [];
  if (exceptions.length === 0) forbids.push({ type: "forbid" });
  if (exceptions.length > 1) inexact.add("an exception from one alternative applies to all");
  for (const one of exceptions.flat()) {
    const rule = attributesOf(one, terminology);
    if (rule === undefined)
      inexact.add("a condition that PCF cannot express: everything is refused");
    forbids.push({ type: "forbid", ...rule });
  }
  for (const one of terms.flat())
    for (const what of lostPrecision(one, terminology)) inexact.add(what);
  return { value: [...distinct(forbids), ...permits], inexact: [...inexact] };
}

/** The attributes that a literal contributes to a rule or permission. */
export type WrittenAttributes = Omit<PcfResidualRule, "type">;

/** A literal's question in PCF's terms; `undefined` if PCF has no term for it. */
export function attributesOf(
  { question }: ResidualLiteral,
  terminology: Terminology,
): WrittenAttributes | undefined {
  const { data } = question;
  if (!isUnderstood(question, terminology)) return undefined;
  if (data?.labels !== undefined) return { securityLabel: labelsMeant(question, terminology) };
  if (data?.period !== undefined) return { dataPeriod: writtenPeriod(data.period) };
  if (data?.refs === undefined) return undefined;
  const refs = data.refs.map(writtenRef);
  return refs.every((one) => one !== undefined) ? { data: refs } : undefined;
}

/** A period as FHIR writes it. */
export function writtenPeriod({ from, to }: Period): NonNullable<PcfResidualRule["dataPeriod"]> {
  const date = (value: DateValue): string =>
    typeof value === "number" ? isoInstant(value) : value;
  return {
    ...(from === undefined ? {} : { start: date(from) }),
    ...(to === undefined ? {} : { end: date(to) }),
  };
}

/** PCF's `related` means the parts of a record: FHIR's `dependents`. */
function writtenRef({ meaning, reference }: DataRef) {
  if (meaning === "related") return undefined;
  return { meaning: meaning === "dependents" ? "related" : meaning, reference: { reference } };
}

/** Several literals as the attributes of one rule, each attribute at most once. */
function joined(term: ResidualTerm, terminology: Terminology): WrittenAttributes | undefined {
  let sum: WrittenAttributes = {};
  for (const one of term) {
    const found = attributesOf(one, terminology);
    if (found === undefined || Object.keys(found).some((key) => key in sum)) return undefined;
    sum = { ...sum, ...found };
  }
  return sum;
}

/** The precision that a literal loses to two truth values and to PCF's vague terms. */
export function lostPrecision(
  literal: ResidualLiteral,
  terminology: Terminology,
): readonly string[] {
  const { question, answer } = literal;
  const { data, effect } = question;
  const lost: string[] = [];
  if (data?.labels !== undefined) {
    lost.push(
      isPositive(literal)
        ? "labels may come from an untrusted labeller"
        : "records without labels, which are treated as harmless",
    );
    const leveled = data.labels.some((one) => isLevel(one, terminology));
    if (leveled && effect === "permit") lost.push("records with several levels of confidentiality");
  }
  if (data?.period !== undefined)
    lost.push("the time zone, and records that a period only touches");
  if (answer === "no")
    lost.push("records for which the answer is unknown, which are treated as harmless");
  if (answer === "maybe") lost.push("records for which the answer is unknown, which are left out");
  return lost;
}

function distinct(rules: readonly PcfResidualRule[]): readonly PcfResidualRule[] {
  return [...new Map(rules.map((rule) => [JSON.stringify(rule), rule])).values()];
}
