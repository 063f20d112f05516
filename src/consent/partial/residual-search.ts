import { appendTo, greatest } from "../../bytes/lists.ts";
import { ConsentError } from "../../errors.ts";
import type { RecordQuestion } from "../model/record-question.ts";
import type { Coding } from "../model/model.ts";
import type { Residual } from "../model/residual.ts";
import {
  alternativesOf,
  isLevel,
  labelsMeant,
  type ResidualExport,
  type ResidualTerm,
} from "./residual-terms.ts";
import { defaultTerminology, systemNames, type Terminology } from "../terminology/terminology.ts";
import { isoInstant, resolvePeriod } from "../model/time.ts";
import { findZone } from "../model/zone.ts";

/** One search; the results of all searches together include everything that is permitted. */
export interface ResidualSearch {
  /** FHIR resource types; empty: every type. */
  readonly types: readonly string[];
  /** Search parameters as name and value, not yet percent-encoded. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
  /**
   * Conditions that the parameters do not express: the results may include more than is permitted.
   */
  readonly inexact: readonly string[];
}

/**
 * Writes a residual as FHIR searches, for a server that knows records by the names, labels, dates
 * and types of their manifests. Together they find everything that is permitted. If `inexact` is
 * not empty they may find more, so check each result with `matches`. An empty list of searches
 * means that nothing is permitted.
 *
 * @throws {ConsentError} `ERR_CONSENT_TERMINOLOGY` when the residual names a terminology other than
 *   `terminology`
 * @example
 * const { value: searches, inexact } = toSearchParameters(decision.filter!);
 * const urls = searches.flatMap(({ types, parameters }) =>
 *   types.map((type) => `${type}?${new URLSearchParams(parameters.map((pair) => [...pair]))}`),
 * );
 */
export function toSearchParameters(
  residual: Residual,
  terminology: Terminology = defaultTerminology(),
): ResidualExport<readonly ResidualSearch[]> {
  const terms = alternativesOf(requireTerminology(residual, terminology));
  if (terms === undefined) {
    const inexact = ["too many rules to write as searches"];
    return { value: [{ types: [], parameters: [], inexact }], inexact };
  }
  const value = terms.flatMap((term) => searchesOf(term, terminology));
  return { value, inexact: [...new Set(value.flatMap((one) => one.inexact))] };
}

/** Throws unless a residual names the given terminology. */
export function requireTerminology(residual: Residual, terminology: Terminology): Residual {
  if (terminology.cid.equals(residual.terminology)) return residual;
  throw new ConsentError(
    "ERR_CONSENT_TERMINOLOGY",
    "the residual names another terminology: pass the one that it names",
  );
}

type Parameter = readonly [name: string, value: string];

function searchesOf(term: ResidualTerm, terminology: Terminology): readonly ResidualSearch[] {
  const parameters: Parameter[] = [];
  const dates: Parameter[] = [];
  const inexact = new Set<string>();
  let types: readonly string[] | undefined;
  const excluded: string[] = [];
  const narrow = (own: readonly string[]): void => {
    types = types === undefined ? own : types.filter((one) => own.includes(one));
  };
  for (const literal of term) {
    const { question, answer } = literal;
    const { data } = question;
    if (data?.types !== undefined) {
      if (answer === "yes") narrow(data.types);
      else if (answer === "maybe") inexact.add("records of unknown type");
      else appendTo(excluded, data.types);
    } else if (data?.labels !== undefined) {
      if (answer === "yes")
        parameters.push(["_security", anyOf(labelsMeant(question, terminology))]);
      if (answer === "no") appendTo(parameters, withoutLabels(question, terminology));
      inexact.add(
        answer === "yes"
          ? "labels may come from an untrusted labeller"
          : "records without labels cannot be told from harmless ones",
      );
    } else if (data?.codes !== undefined) {
      // A record can have codes outside the elements that a search by code covers.
      if (answer === "no") parameters.push(["code:not", tokens(data.codes)]);
      inexact.add("the codes in a record");
    } else if (data?.period !== undefined) {
      if (answer === "yes") appendTo(dates, dateBounds(question));
      inexact.add("the exact period, and records of unknown date");
    } else if (data?.refs !== undefined) {
      const named = answer === "yes" ? instancesOf(data.refs) : undefined;
      if (named === undefined) inexact.add("which record it is, or is related to");
      else {
        parameters.push(["_id", named.ids.join(",")]);
        narrow(named.types);
        if (named.types.length > 1) inexact.add("records of another type with the same id");
      }
    } else if (data?.parts !== undefined) inexact.add("parts of a record");
    else if (question.controller !== undefined) inexact.add("whose record it is");
    else inexact.add("the law that the record is under");
  }
  types = types?.filter((one) => !excluded.includes(one));
  if (types?.length === 0) return [];
  if (types === undefined && excluded.length > 0) {
    inexact.add(`not of type ${[...new Set(excluded)].join(", ")}`);
  }
  const search = (more: readonly Parameter[]): ResidualSearch => ({
    types: types ?? [],
    parameters: [...parameters, ...more],
    inexact: [...inexact],
  });
  if (dates.length === 0 || types?.every((one) => DATED.has(one)) !== true) return [search([])];
  // A record without this date may have another one that counts.
  return [search(dates), search([["date:missing", "true"]])];
}

/** Types whose search parameter `date` is the date that a manifest prefers. */
const DATED: ReadonlySet<string> = new Set([
  "CarePlan",
  "CareTeam",
  "DiagnosticReport",
  "Encounter",
  "EpisodeOfCare",
  "FamilyMemberHistory",
  "Immunization",
  "List",
  "Observation",
  "Procedure",
]);

/** The widest gap between zones: a server reads dates in its own zone, a directive in another. */
const WIDEST_ZONES = 26 * 3_600_000;

/** A period that touches every record within it, whatever zone its date is read in. */
function dateBounds({ data, zone: name }: RecordQuestion): readonly Parameter[] {
  const zone = name === null ? undefined : findZone(name);
  const period = data!.period!;
  const interval = zone === undefined ? undefined : resolvePeriod(period, zone);
  if (interval === undefined) return [];
  const { start, end } = interval;
  return [
    ...(period.from === undefined
      ? []
      : [["date", `ge${isoInstant(start - WIDEST_ZONES)}`] as const]),
    ...(period.to === undefined ? [] : [["date", `le${isoInstant(end + WIDEST_ZONES)}`] as const]),
  ];
}

/** Labels whose absence means that a record certainly does not match. */
function withoutLabels(question: RecordQuestion, terminology: Terminology): readonly Parameter[] {
  const labels = question.data!.labels!;
  const leveled = labels.filter((one) => isLevel(one, terminology));
  if (question.effect === "deny" || leveled.length === 0) {
    return [["_security:not", tokens(labelsMeant(question, terminology))]];
  }
  // The highest level counts: a record above the permitted level may have a lower label as well.
  const { confidentiality } = terminology.data;
  const bound = greatest(leveled.map(({ code }) => terminology.confidentialityLevel(code)!));
  const { system } = leveled[0]!;
  const above = confidentiality.slice(bound + 1).map((code) => ({ system, code }));
  const others = labels.filter((one) => !leveled.includes(one));
  const meant = labelsMeant({ ...question, data: { labels: others } }, terminology);
  return [
    ...(above.length === 0 ? [] : [["_security", anyOf(above)] as const]),
    ...(meant.length === 0 ? [] : [["_security:not", tokens(meant)] as const]),
  ];
}

const NAMED = /(?:^|\/)([A-Z][A-Za-z]{0,63})\/([A-Za-z0-9\-.]{1,64})$/;

/** Ids and types of records, if the question names only records by reference. */
function instancesOf(
  refs: readonly { readonly meaning: string; readonly reference: string }[],
): { readonly ids: readonly string[]; readonly types: readonly string[] } | undefined {
  const ids = new Set<string>();
  const types = new Set<string>();
  for (const { meaning, reference } of refs) {
    const [, type, id] = NAMED.exec(reference) ?? [];
    if (meaning !== "instance" || type === undefined || id === undefined) return undefined;
    ids.add(id);
    types.add(type);
  }
  return { ids: [...ids], types: [...types] };
}

const escaped = (text: string): string => text.replace(/[\\,$|]/g, "\\$&");
const tokens = (codes: readonly Coding[]): string =>
  codes.map(({ system, code }) => `${escaped(system)}|${escaped(code)}`).join(",");

/** Matches any of these codes, under every name of their systems. */
const anyOf = (codes: readonly Coding[]): string =>
  tokens(
    codes.flatMap(({ system, code }) =>
      systemNames(system).map((name) => ({ system: name, code })),
    ),
  );
