import { appendTo } from "../bytes/lists.ts";
import type { Period } from "../consent/time.ts";
import { type DatePrecision, type DateSpan, parseDate } from "./date.ts";
import { type ManifestElements, manifestElements } from "./manifest-elements.ts";
import {
  codingsOf,
  type FhirCoding,
  type FhirReference,
  type FhirResource,
  isObject,
  list,
  referenceOf,
  text,
  valuesAt,
} from "./resource.ts";

/** A code of a resource, and the element that it stands in. */
export interface DescribedCode extends FhirCoding {
  /** Path of the element: `code`, `category`, `component.code`, `value[x]`, … */
  readonly element: string;
}

/**
 * When what a resource tells was so, both ends inclusive; an open end is absent.
 *
 * An end is an instant in milliseconds, or the date as written (`2024`, `2024-02`, `2024-02-29`),
 * which means the whole of it in a time zone that is for the reader to choose.
 */
export interface DescribedPeriod extends Period {
  /** The coarser precision of the two ends. */
  readonly precision: DatePrecision;
}

/** What consent and search need to know of a resource, taken from its elements. */
export interface ResourceDescription {
  readonly type: string;
  readonly id?: string;
  readonly versionId?: string;
  /** `meta.lastUpdated`, first millisecond of what it names. */
  readonly lastUpdated?: number;
  readonly status?: string;
  readonly codes: readonly DescribedCode[];
  /** `meta.security`: labels that somebody else put on it. */
  readonly labels: readonly FhirCoding[];
  readonly profiles: readonly string[];
  readonly period?: DescribedPeriod;
  readonly authors: readonly FhirReference[];
  readonly encounter?: FhirReference;
  /** Every literal reference to another resource, wherever it stands. */
  readonly references: readonly string[];
  /** Whether it holds prose or attachments, whose meaning no code tells. */
  readonly freeText: boolean;
  /** Whether something that should have a code has none, or only a text. */
  readonly uncoded: boolean;
  /** Paths of elements that hold no date where one belongs. */
  readonly malformed: readonly string[];
}

/**
 * Describes a resource of any clinical FHIR type, R4 or R5, for its manifest.
 *
 * What cannot be read is left out and named in `malformed`; nothing is guessed.
 *
 * @param resource - as parsed; borrowed
 */
export function describeResource(resource: FhirResource): ResourceDescription {
  const elements = manifestElements(resource.resourceType);
  const meta = isObject(resource["meta"]) ? resource["meta"] : {};
  const malformed: string[] = [];
  const id = text(resource["id"]);
  const versionId = text(meta["versionId"]);
  const status = statusOf(resource, elements.status);
  const lastUpdated = dateAt(meta["lastUpdated"], "meta.lastUpdated", malformed)?.from;
  const period = periodOf(resource, elements.dates, malformed);
  const encounter = elements.encounter
    .flatMap((path) => valuesAt(resource, path))
    .map(referenceOf)
    .find((reference) => reference !== undefined && pointsToEncounter(reference));
  const { codes, uncoded } = codesOf(resource, elements);
  return {
    type: resource.resourceType,
    ...(id !== undefined && { id }),
    ...(versionId !== undefined && { versionId }),
    ...(lastUpdated !== undefined && { lastUpdated }),
    ...(status !== undefined && { status }),
    codes,
    labels: valuesAt(meta, "security").flatMap(codingsOf),
    profiles: list(meta["profile"]).filter((profile) => typeof profile === "string"),
    ...(period && { period }),
    authors: authorsOf(resource, elements.authors),
    ...(encounter && { encounter }),
    references: [...collectReferences(resource, new Set(), 0)],
    freeText: hasFreeText(resource, 0),
    uncoded,
    malformed: [...new Set(malformed)],
  };
}

/** A resource's codes and those of the resources contained in it, which travel with it. */
function codesOf(
  resource: FhirResource,
  elements: ManifestElements,
): { readonly codes: readonly DescribedCode[]; readonly uncoded: boolean } {
  const codes: DescribedCode[] = [];
  const seen = new Set<string>();
  let textOnly = false;
  const collect = (from: unknown, path: string, element: string): void => {
    for (const value of valuesAt(from, path)) {
      if (!isCoded(value)) continue;
      const codings = codingsOf(value);
      if (codings.length === 0) textOnly = true;
      for (const coding of codings) {
        const key = JSON.stringify([coding.system, coding.code, element]);
        if (!seen.has(key)) codes.push({ ...coding, element });
        seen.add(key);
      }
    }
  };
  for (const path of elements.codes) collect(resource, path, path);
  for (const contained of list(resource["contained"])) {
    const type = isObject(contained) ? text(contained["resourceType"]) : undefined;
    for (const path of manifestElements(type ?? "").codes) {
      collect(contained, path, `contained.${path}`);
    }
  }
  const main = codes.some(({ element }) => element !== "category");
  return { codes, uncoded: textOnly || (elements.coded && !main) };
}

/** Whether a value is of a coded type: a Quantity or Period of `value[x]` is not. */
function isCoded(value: unknown): boolean {
  if (!isObject(value)) return false;
  if ("coding" in value || "concept" in value) return true;
  if ("code" in value) return !("value" in value || "unit" in value);
  return "text" in value && !("status" in value);
}

function statusOf(resource: FhirResource, path: string): string | undefined {
  const value = resource[path];
  if (typeof value === "boolean") return value ? "active" : "inactive";
  if (typeof value === "string") return text(value);
  for (const concept of [value, resource["verificationStatus"]]) {
    const [coding] = codingsOf(concept);
    if (coding !== undefined) return coding.code;
  }
  return undefined;
}

function authorsOf(resource: FhirResource, paths: readonly string[]): readonly FhirReference[] {
  const authors = new Map<string, FhirReference>();
  for (const path of paths) {
    for (const value of valuesAt(resource, path)) {
      const reference = referenceOf(value);
      if (reference !== undefined) authors.set(JSON.stringify(reference), reference);
    }
  }
  return [...authors.values()];
}

/** `context` may also be an EpisodeOfCare; a bare `urn:` says nothing against an encounter. */
function pointsToEncounter({ reference, type }: FhirReference): boolean {
  if (type !== undefined) return type === "Encounter";
  return reference === undefined || !reference.includes("EpisodeOfCare/");
}

function periodOf(
  resource: FhirResource,
  dates: ManifestElements["dates"],
  malformed: string[],
): DescribedPeriod | undefined {
  for (const way of dates) {
    const [startPath, endPath] = typeof way === "string" ? [way, undefined] : way;
    const starts = spansAt(resource, startPath, malformed);
    const ends = endPath === undefined ? [] : spansAt(resource, endPath, malformed);
    const period = union(starts, endPath === undefined ? starts : ends);
    if (period !== undefined) return period;
  }
  return undefined;
}

/** A date as written and as read. */
interface Written extends DateSpan {
  readonly text: string;
}

/** One or both ends of a time. */
interface Ends {
  readonly start?: Written;
  readonly end?: Written;
}

/** From the first start to the last end; what any of them leaves open, or none tells, is open. */
function union(starts: readonly Ends[], ends: readonly Ends[]): DescribedPeriod | undefined {
  const dates: Written[] = [];
  for (const { start, end } of [...starts, ...ends]) {
    if (start !== undefined) dates.push(start);
    if (end !== undefined) dates.push(end);
  }
  if (dates.length === 0) return undefined;
  let precision: DatePrecision = "millisecond";
  for (const date of dates) {
    if (COARSE.indexOf(date.precision) < COARSE.indexOf(precision)) precision = date.precision;
  }
  const first = extreme(
    starts.map(({ start }) => start),
    (a, b) => a.from < b.from,
  );
  const last = extreme(
    ends.map(({ end }) => end),
    (a, b) => a.to > b.to,
  );
  return {
    ...(first && { from: first.zoned ? first.from : first.text }),
    ...(last && { to: last.zoned ? last.to : last.text }),
    precision,
  };
}

/** The date furthest out, or `undefined` when one of them, or all, are missing. */
function extreme(
  dates: readonly (Written | undefined)[],
  beyond: (a: Written, b: Written) => boolean,
): Written | undefined {
  let furthest = dates[0];
  for (const date of dates) {
    if (date === undefined) return undefined;
    if (beyond(date, furthest!)) furthest = date;
  }
  return furthest;
}

/** Resources nest no deeper than this; `readBundle` refuses what does. */
const MAX_DEPTH = 1000;

const COARSE: readonly DatePrecision[] = ["year", "month", "day", "second", "millisecond"];

function spansAt(resource: FhirResource, path: string, malformed: string[]): readonly Ends[] {
  const found: Ends[] = [];
  for (const value of valuesAt(resource, path)) {
    if (typeof value === "string") {
      // `onsetString` and the like are prose, not malformed dates
      const date = dateAt(value, path, path.endsWith("[x]") ? [] : malformed);
      if (date !== undefined) found.push({ start: date, end: date });
    } else if (isObject(value)) {
      appendTo(found, endsOf(value, path, malformed));
    }
  }
  return found;
}

/** The ends of a Period, or those of a Timing's events and bounds. */
function endsOf(
  value: Readonly<Record<string, unknown>>,
  path: string,
  malformed: string[],
): readonly Ends[] {
  const start = dateAt(value["start"], `${path}.start`, malformed);
  const end = dateAt(value["end"], `${path}.end`, malformed);
  if (start !== undefined || end !== undefined)
    return [{ ...(start && { start }), ...(end && { end }) }];
  const found: Ends[] = [];
  for (const event of list(value["event"])) {
    const date = dateAt(event, `${path}.event`, malformed);
    if (date !== undefined) found.push({ start: date, end: date });
  }
  const bounds = isObject(value["repeat"]) ? value["repeat"]["boundsPeriod"] : undefined;
  if (isObject(bounds)) appendTo(found, endsOf(bounds, `${path}.repeat.boundsPeriod`, malformed));
  return found;
}

function dateAt(value: unknown, path: string, malformed: string[]): Written | undefined {
  if (value === undefined) return undefined;
  const span = typeof value === "string" ? parseDate(value) : undefined;
  if (span === undefined) malformed.push(path);
  return span && { ...span, text: value as string };
}

function collectReferences(value: unknown, into: Set<string>, depth: number): Set<string> {
  if (depth > MAX_DEPTH) return into;
  if (Array.isArray(value)) {
    for (const item of value) collectReferences(item, into, depth + 1);
  } else if (isObject(value)) {
    const literal = text(value["reference"]);
    if (literal !== undefined && !literal.startsWith("#")) into.add(literal);
    for (const name of Object.keys(value)) collectReferences(value[name], into, depth + 1);
  }
  return into;
}

/** Elements that hold prose or attachments. */
const PROSE: ReadonlySet<string> = new Set([
  "note",
  "comment",
  "comments",
  "conclusion",
  "description",
  "valueString",
  "valueAttachment",
  "presentedForm",
  "attachment",
  "payload",
  "patientInstruction",
  "summary",
  "clinicalNotes",
  "data",
]);

function hasFreeText(value: unknown, depth: number): boolean {
  if (depth > MAX_DEPTH) return true;
  if (Array.isArray(value)) return value.some((item) => hasFreeText(item, depth + 1));
  if (!isObject(value)) return false;
  for (const [name, child] of Object.entries(value)) {
    if (name === "extension" || name === "modifierExtension" || name === "meta") continue;
    if (PROSE.has(name) && !isCoded(child)) return true;
    // a narrative that software generated repeats the elements; any other may say more
    if (name === "text" && isObject(child) && "div" in child && child["status"] !== "generated") {
      return true;
    }
    if (hasFreeText(child, depth + 1)) return true;
  }
  return false;
}
