import { type ManifestElements, manifestElements } from "./manifest-elements.ts";
import { otherCodesOf } from "./other-codes.ts";
import { dateAt, type DescribedPeriod } from "./period.ts";
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
import { wholePeriodOf } from "./whole-period.ts";

/** A code of a resource, and the element that it stands in. */
export interface DescribedCode extends FhirCoding {
  /** Path of the element: `code`, `category`, `component.code`, `value[x]`, … */
  readonly element: string;
}

/** What consent and search need to know of a resource, taken from its elements. */
export interface ResourceDescription {
  readonly type: string;
  readonly id?: string;
  readonly versionId?: string;
  /** `meta.lastUpdated`, first millisecond of what it names. */
  readonly lastUpdated?: number;
  readonly status?: string;
  /** Codes that tell what it is and what it is about. */
  readonly codes: readonly DescribedCode[];
  /** Codes that stand anywhere else in it; absent in old manifests: nobody looked for them. */
  readonly otherCodes?: readonly FhirCoding[];
  /** `meta.security`: labels that somebody else put on it. */
  readonly labels: readonly FhirCoding[];
  readonly profiles: readonly string[];
  /** When it was so, and what is contained in it; absent where that is not known in full. */
  readonly period?: DescribedPeriod;
  readonly authors: readonly FhirReference[];
  readonly encounter?: FhirReference;
  /** Every literal reference to another resource, wherever it stands. */
  readonly references: readonly string[];
  /** Whether it holds prose or attachments, whose meaning no code tells. */
  readonly freeText: boolean;
  /** Whether something has no code that should, or only a text, or more codes than are told here. */
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
  const period = wholePeriodOf(resource, malformed);
  const encounter = elements.encounter
    .flatMap((path) => valuesAt(resource, path))
    .map(referenceOf)
    .find((reference) => reference !== undefined && pointsToEncounter(reference));
  const { codes, uncoded } = codesOf(resource, elements);
  const others = otherCodesOf(resource, codes);
  return {
    type: resource.resourceType,
    ...(id !== undefined && { id }),
    ...(versionId !== undefined && { versionId }),
    ...(lastUpdated !== undefined && { lastUpdated }),
    ...(status !== undefined && { status }),
    codes,
    otherCodes: others.codes,
    labels: valuesAt(meta, "security").flatMap(codingsOf),
    profiles: list(meta["profile"]).filter((profile) => typeof profile === "string"),
    ...(period && { period }),
    authors: authorsOf(resource, elements.authors),
    ...(encounter && { encounter }),
    references: [...collectReferences(resource, new Set(), 0)],
    freeText: hasFreeText(resource, 0),
    uncoded: uncoded || others.more,
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

/** Resources nest no deeper than this; `readBundle` refuses what does. */
const MAX_DEPTH = 1000;

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
