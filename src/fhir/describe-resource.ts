import { appendTo } from "../bytes/lists.ts";
import { atOnce, createWalk, type Steps, type Walk } from "../bytes/steps.ts";
import { type ManifestElements, manifestElements } from "./manifest-elements.ts";
import { collectOtherCodes, type OtherCodeCollector } from "./other-codes.ts";
import { dateAt, type DescribedPeriod } from "./period.ts";
import {
  codingsOf,
  type FhirCoding,
  type FhirReference,
  type FhirResource,
  isObject,
  type JsonObject,
  list,
  referenceOf,
  text,
  valuesAt,
  visitAt,
} from "./resource.ts";
import { wholePeriodSteps } from "./whole-period.ts";

/** A code of a resource, and the element that contains it. */
export interface DescribedCode extends FhirCoding {
  /** Path of the element: `code`, `category`, `component.code`, `value[x]`, … */
  readonly element: string;
}

/** The facts about a resource that consent and search need, taken from its elements. */
export interface ResourceDescription {
  readonly type: string;
  readonly id?: string;
  readonly versionId?: string;
  /** `meta.lastUpdated`, the first millisecond that it names. */
  readonly lastUpdated?: number;
  readonly status?: string;
  /** Codes that say what the resource is and what it is about. */
  readonly codes: readonly DescribedCode[];
  /** Codes in any other element; absent in old manifests: they are unknown. */
  readonly otherCodes?: readonly FhirCoding[];
  /** `meta.security`: labels that another system put on it. */
  readonly labels: readonly FhirCoding[];
  readonly profiles: readonly string[];
  /** When the events in it and in its contained resources happened; absent if not fully known. */
  readonly period?: DescribedPeriod;
  readonly authors: readonly FhirReference[];
  readonly encounter?: FhirReference;
  /** Every literal reference to another resource, in any element. */
  readonly references: readonly string[];
  /** Whether it holds prose or attachments, whose meaning no code states. */
  readonly freeText: boolean;
  /** Whether an element lacks a code, or has only text, or has more codes than are listed here. */
  readonly uncoded: boolean;
  /** Paths of elements that should hold a date and do not. */
  readonly malformed: readonly string[];
}

/**
 * Describes a resource of any clinical FHIR type, R4 or R5, for its manifest.
 *
 * Leaves out what cannot be read and names it in `malformed`; guesses nothing.
 *
 * @param resource - as parsed; borrowed
 * @example
 * const { codes, period, freeText } = describeResource(readResource(json).resource);
 */
export function describeResource(resource: FhirResource): ResourceDescription {
  return atOnce(describeSteps(resource));
}

/** As {@link describeResource}, by steps; the resource must not change meanwhile. */
export function* describeSteps(resource: FhirResource): Steps<ResourceDescription> {
  const elements = manifestElements(resource.resourceType);
  const meta = isObject(resource["meta"]) ? resource["meta"] : {};
  const malformed: string[] = [];
  const walk = createWalk();
  const id = text(resource["id"]);
  const versionId = text(meta["versionId"]);
  const status = statusOf(resource, elements.status);
  const lastUpdated = dateAt(meta["lastUpdated"], "meta.lastUpdated", malformed)?.from;
  const period = yield* wholePeriodSteps(resource, malformed);
  const encounter = elements.encounter
    .flatMap((path) => valuesAt(resource, path))
    .map(referenceOf)
    .find((reference) => reference !== undefined && pointsToEncounter(reference));
  const coded: Coded = { codes: [], textOnly: false, more: false };
  collectCodes(resource, elements, coded, walk);
  if (walk.isUnfinished()) yield* walk.finish();
  const { codes } = coded;
  const main = codes.some(({ element }) => element !== "category");
  const references = new Set<string>();
  const others = collectOtherCodes(codes, walk);
  const all: Everything = { references, others, freeText: false };
  const labels: FhirCoding[] = [];
  const authors = new Map<string, FhirReference>();
  walk.after(() => {
    lookThrough(resource, all, walk);
    visitAt(meta, "security", (one) => appendTo(labels, codingsOf(one)), walk);
    collectAuthors(resource, elements.authors, authors, walk);
  });
  if (walk.isUnfinished()) yield* walk.finish();
  const { codes: otherCodes, more } = others.found();
  return {
    type: resource.resourceType,
    ...(id !== undefined && { id }),
    ...(versionId !== undefined && { versionId }),
    ...(lastUpdated !== undefined && { lastUpdated }),
    ...(status !== undefined && { status }),
    codes,
    otherCodes,
    labels,
    profiles: list(meta["profile"]).filter((profile) => typeof profile === "string"),
    ...(period && { period }),
    authors: [...authors.values()],
    ...(encounter && { encounter }),
    references: [...references],
    freeText: all.freeText,
    uncoded: coded.textOnly || coded.more || more || (elements.coded && !main),
    malformed: [...new Set(malformed)],
  };
}

/** Most codes in a description: more could not be encoded. */
const MAX_CODES = 140_000;

/** The codes of a resource. */
interface Coded {
  readonly codes: DescribedCode[];
  /** Whether an element has only text. */
  textOnly: boolean;
  /** Whether there are more codes than are listed. */
  more: boolean;
}

/** Collects the codes of a resource and of its contained resources, which travel with it. */
function collectCodes(
  resource: FhirResource,
  elements: ManifestElements,
  into: Coded,
  walk: Walk,
): void {
  const seen = new Set<string>();
  const collect = (from: unknown, path: string, element: string): void => {
    const add = (coding: FhirCoding): void => {
      const key = JSON.stringify([coding.system, coding.code, element]);
      if (seen.has(key)) return;
      if (into.codes.length === MAX_CODES) {
        into.more = true;
        return;
      }
      seen.add(key);
      into.codes.push({ ...coding, element });
    };
    const addAll = (value: unknown): void => {
      if (!isCoded(value)) return;
      const codings = codingsOf(value);
      if (codings.length === 0) into.textOnly = true;
      if (codings.length === 1) add(codings[0]!);
      else walk.each(codings, add);
    };
    visitAt(from, path, addAll, walk);
  };
  walk.each(elements.codes, (path) => collect(resource, path, path));
  walk.each(list(resource["contained"]), (contained) => {
    const type = isObject(contained) ? text(contained["resourceType"]) : undefined;
    for (const path of manifestElements(type ?? "").codes) {
      collect(contained, path, `contained.${path}`);
    }
  });
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

function collectAuthors(
  resource: FhirResource,
  paths: readonly string[],
  into: Map<string, FhirReference>,
  walk: Walk,
): void {
  const add = (value: unknown): void => {
    const reference = referenceOf(value);
    if (reference !== undefined) into.set(JSON.stringify(reference), reference);
  };
  walk.each(paths, (path) => visitAt(resource, path, add, walk));
}

/** `context` may also be an EpisodeOfCare; a bare `urn:` does not rule out an encounter. */
function pointsToEncounter({ reference, type }: FhirReference): boolean {
  if (type !== undefined) return type === "Encounter";
  return reference === undefined || !reference.includes("EpisodeOfCare/");
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

/** Deepest nesting of resources; `readBundle` refuses deeper ones. */
const MAX_DEPTH = 1000;

/** Results of visiting every value of a resource. */
interface Everything {
  readonly references: Set<string>;
  readonly others: OtherCodeCollector;
  freeText: boolean;
}

/** Visits every value of a resource. */
function lookThrough(resource: FhirResource, into: Everything, walk: Walk): void {
  const { references, others } = into;

  /** @param asProse - whether prose counts: not in extensions, whose names say what they are */
  const visit = (value: unknown, depth: number, asProse: boolean): void => {
    if (depth > MAX_DEPTH) {
      others.addUnknown();
      into.freeText ||= asProse;
    } else if (typeof value !== "object" || value === null) {
      return;
    } else if (Array.isArray(value)) {
      visitItems(value, 0, depth + 1, asProse);
    } else {
      const object = value as JsonObject;
      const literal = object["reference"];
      if (typeof literal === "string" && literal !== "" && !literal.startsWith("#")) {
        references.add(literal);
      }
      others.look(object);
      visitMembers(object, Object.keys(object), 0, depth + 1, asProse);
    }
  };

  const visitItems = (
    items: readonly unknown[],
    start: number,
    depth: number,
    asProse: boolean,
  ): void => {
    for (let at = start; at < items.length; at++) {
      if (walk.left-- <= 0) return walk.later(() => visitItems(items, at, depth, asProse));
      visit(items[at], depth, asProse);
    }
  };

  const visitMembers = (
    object: JsonObject,
    names: readonly string[],
    start: number,
    depth: number,
    asProse: boolean,
  ): void => {
    for (let at = start; at < names.length; at++) {
      if (walk.left-- <= 0) {
        return walk.later(() => visitMembers(object, names, at, depth, asProse));
      }
      const name = names[at]!;
      const child = object[name];
      const counts = asProse && !into.freeText && !NO_PROSE.has(name);
      if (counts && isProse(name, child)) into.freeText = true;
      visit(child, depth, counts);
    }
  };

  visit(resource, 0, true);
}

const NO_PROSE: ReadonlySet<string> = new Set(["extension", "modifierExtension", "meta"]);

function isProse(name: string, value: unknown): boolean {
  if (PROSE.has(name)) return !isCoded(value);
  // a generated narrative repeats the elements; any other may say more
  return name === "text" && isObject(value) && "div" in value && value["status"] !== "generated";
}
