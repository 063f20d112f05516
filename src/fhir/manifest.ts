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

/** When what a resource tells was so; an open end is absent. */
export interface DescribedPeriod {
  /** First millisecond, inclusive. */
  readonly from?: number;
  /** Last millisecond, inclusive. */
  readonly to?: number;
  /** The coarser precision of the two ends. */
  readonly precision: DatePrecision;
  /** Whether both ends name their time zone; where not, UTC was assumed for dates. */
  readonly zoned: boolean;
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

/** One or both ends of a time. */
interface Ends {
  readonly start?: DateSpan;
  readonly end?: DateSpan;
}

/** From the first start to the last end; what any of them leaves open, or none tells, is open. */
function union(starts: readonly Ends[], ends: readonly Ends[]): DescribedPeriod | undefined {
  const spans: DateSpan[] = [];
  for (const { start, end } of [...starts, ...ends]) {
    if (start !== undefined) spans.push(start);
    if (end !== undefined) spans.push(end);
  }
  if (spans.length === 0) return undefined;
  const openStart = starts.length === 0 || starts.some(({ start }) => start === undefined);
  const openEnd = ends.length === 0 || ends.some(({ end }) => end === undefined);
  let precision: DatePrecision = "millisecond";
  for (const span of spans) {
    if (COARSE.indexOf(span.precision) < COARSE.indexOf(precision)) precision = span.precision;
  }
  return {
    ...(!openStart && { from: Math.min(...starts.map(({ start }) => start!.from)) }),
    ...(!openEnd && { to: Math.max(...ends.map(({ end }) => end!.to)) }),
    precision,
    zoned: spans.every(({ zoned }) => zoned),
  };
}

const COARSE: readonly DatePrecision[] = ["year", "month", "day", "second", "millisecond"];

function spansAt(resource: FhirResource, path: string, malformed: string[]): readonly Ends[] {
  const found: Ends[] = [];
  for (const value of valuesAt(resource, path)) {
    if (typeof value === "string") {
      // `onsetString` and the like are prose, not malformed dates
      const span = path.endsWith("[x]") ? parseDate(value) : dateAt(value, path, malformed);
      if (span !== undefined) found.push({ start: span, end: span });
    } else if (isObject(value)) {
      found.push(...endsOf(value, path, malformed));
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
    const span = dateAt(event, `${path}.event`, malformed);
    if (span !== undefined) found.push({ start: span, end: span });
  }
  const bounds = isObject(value["repeat"]) ? value["repeat"]["boundsPeriod"] : undefined;
  if (isObject(bounds)) found.push(...endsOf(bounds, `${path}.repeat.boundsPeriod`, malformed));
  return found;
}

function dateAt(value: unknown, path: string, malformed: string[]): DateSpan | undefined {
  if (value === undefined) return undefined;
  const span = typeof value === "string" ? parseDate(value) : undefined;
  if (span === undefined) malformed.push(path);
  return span;
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
  if (depth > 100) return true;
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
