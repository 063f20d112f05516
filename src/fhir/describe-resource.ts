import { appendTo } from "../bytes/lists.ts";
import { atOnce, createWalk, type Steps, type Walk } from "../bytes/steps.ts";
import { type Distinct, distinct } from "./distinct.ts";
import { innerSteps } from "./inner-resources.ts";
import { type ManifestElements, manifestElements } from "./manifest-elements.ts";
import { collectOtherCodes, distinctCodings, type OtherCodeCollector } from "./other-codes.ts";
import { collectAt, compilePaths, type PathTree, type PathValues } from "./path-tree.ts";
import { dateAt, type DescribedPeriod } from "./period.ts";
import { isCoded, isProse, NAMINGS } from "./prose.ts";
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
} from "./resource.ts";
import { wholePeriodSteps } from "./whole-period.ts";

/** A code of a resource, and the element that contains it. */
export interface DescribedCode extends FhirCoding {
  /** Path of the element: `code`, `category`, `component.code`, `value[x]`, … */
  readonly element: string;
}

/** The description of a resource inside another one, and the name that it has there. */
export interface PartDescription extends Omit<ResourceDescription, "parts" | "moreParts"> {
  /** `Bundle.entry.fullUrl` */
  readonly fullUrl?: string;
}

/** The facts about a resource that consent and search need, taken from its elements. */
export interface ResourceDescription {
  readonly type: string;
  /** Types of its contained resources; absent: it contains none. */
  readonly otherTypes?: readonly string[];
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
  /**
   * The resources inside a Bundle or Parameters, at any depth, each described by itself. The other members
   * say of all of them together what they say of one resource.
   */
  readonly parts?: readonly PartDescription[];
  /** Whether there are more of these than are described. */
  readonly moreParts?: true;
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
  const { description, hasInner } = yield* describeAlone(resource);
  if (!hasInner) return description;
  const { parts: inner, more, contained } = yield* innerSteps(resource);
  const withTypes = <T extends object>(one: T, of: object): T => {
    const otherTypes = contained.get(of);
    return otherTypes === undefined ? one : { ...one, otherTypes };
  };
  const whole: Mutable<ResourceDescription> = withTypes(description, resource);
  const parts: PartDescription[] = [];
  for (const { resource: part, fullUrl } of inner) {
    const { description: own } = yield* describeAlone(part);
    parts.push({ ...withTypes(own, part), ...(fullUrl !== undefined && { fullUrl }) });
    yield;
  }
  if (parts.length > 0) whole.parts = parts;
  if (more) whole.moreParts = true;
  return whole;
}

/** Describes a resource with everything in it as one; tells whether there are other resources in it. */
function* describeAlone(
  resource: FhirResource,
): Steps<{ readonly description: Mutable<ResourceDescription>; readonly hasInner: boolean }> {
  const plan = planOf(resource.resourceType);
  const meta = isObject(resource["meta"]) ? resource["meta"] : {};
  const malformed: string[] = [];
  const walk = createWalk();
  const id = text(resource["id"]);
  const versionId = text(meta["versionId"]);
  const status = statusOf(resource, plan.elements.status);
  const lastUpdated = dateAt(meta["lastUpdated"], "meta.lastUpdated", malformed)?.from;
  const period = yield* wholePeriodSteps(resource, malformed);
  const values: PathValues = [];
  collectAt(resource, plan.tree, values, walk);
  if (walk.isUnfinished()) yield* walk.finish();
  const encounter = encounterAmong(values, plan);
  const coded: Coded = { codes: [], textOnly: false, more: false };
  collectCodes(plan, values, coded, walk);
  if (resource["contained"] !== undefined) collectContained(resource, coded, walk);
  if (walk.isUnfinished()) yield* walk.finish();
  const { codes } = coded;
  const main = codes.some(({ element }) => element !== "category");
  const references = new Set<string>();
  const others = collectOtherCodes(codes, walk);
  const all: Everything = { references, others, freeText: false, resources: 0, walk };
  const labels: FhirCoding[] = [];
  const authors = distinct(isSameReference, (one: FhirReference) => JSON.stringify(one));
  walk.after(() => {
    lookAt(resource, 0, true, all);
    walk.each(list(meta["security"]), (one) => appendTo(labels, codingsOf(one)));
    for (let at = plan.authors; at < plan.encounter; at++) {
      walk.each(values[at] ?? [], (value) => {
        const reference = referenceOf(value);
        if (reference !== undefined) authors.add(reference);
      });
    }
  });
  if (walk.isUnfinished()) yield* walk.finish();
  const { codes: otherCodes, more } = others.found();
  // One by one: to spread optional members is slow.
  const description: Mutable<ResourceDescription> = {
    type: resource.resourceType,
    codes,
    otherCodes,
    labels,
    profiles: list(meta["profile"]).filter((profile) => typeof profile === "string"),
    authors: authors.all,
    references: [...references],
    freeText: all.freeText,
    uncoded: coded.textOnly || coded.more || more || (plan.elements.coded && !main),
    malformed: malformed.length === 0 ? malformed : [...new Set(malformed)],
  };
  if (id !== undefined) description.id = id;
  if (versionId !== undefined) description.versionId = versionId;
  if (lastUpdated !== undefined) description.lastUpdated = lastUpdated;
  if (status !== undefined) description.status = status;
  if (period !== undefined) description.period = period;
  if (encounter !== undefined) description.encounter = encounter;
  return { description, hasInner: all.resources > 1 };
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/** The elements of a resource type, compiled: one list of paths for codes, authors and encounter. */
interface Plan {
  readonly elements: ManifestElements;
  readonly tree: PathTree;
  /** Position of the first path of an author in the list, after those of codes. */
  readonly authors: number;
  /** Position of the first path of an encounter. */
  readonly encounter: number;
  /** Length of the list. */
  readonly end: number;
}

const plans = /* @__PURE__ */ new Map<ManifestElements, Plan>();

function planOf(resourceType: string): Plan {
  const elements = manifestElements(resourceType);
  let plan = plans.get(elements);
  if (plan === undefined) {
    const { codes, authors, encounter } = elements;
    const paths = [...codes, ...authors, ...encounter];
    plan = {
      elements,
      tree: compilePaths(paths),
      authors: codes.length,
      encounter: codes.length + authors.length,
      end: paths.length,
    };
    plans.set(elements, plan);
  }
  return plan;
}

function encounterAmong(values: PathValues, plan: Plan): FhirReference | undefined {
  for (let at = plan.encounter; at < plan.end; at++) {
    for (const value of values[at] ?? []) {
      const reference = referenceOf(value);
      if (reference !== undefined && pointsToEncounter(reference)) return reference;
    }
  }
  return undefined;
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

/**
 * Collects the codes of a resource.
 *
 * @param within - for a contained resource: the codes of others, by element
 */
function collectCodes(
  plan: Plan,
  values: PathValues,
  into: Coded,
  walk: Walk,
  within?: Map<string, Distinct<FhirCoding>>,
): void {
  const own = within ?? new Map<string, Distinct<FhirCoding>>();
  for (let at = 0; at < plan.authors; at++) {
    const found = values[at];
    if (found === undefined) continue;
    const path = plan.elements.codes[at]!;
    const element = within === undefined ? path : `contained.${path}`;
    const seen = own.get(element) ?? distinctCodings();
    own.set(element, seen);
    const add = (coding: FhirCoding): void => {
      if (into.codes.length === MAX_CODES) into.more ||= !seen.has(coding);
      else if (seen.add(coding)) into.codes.push({ ...coding, element });
    };
    walk.each(found, (value) => {
      if (!isCoded(value)) return;
      const codings = codingsOf(value);
      if (codings.length === 0) into.textOnly = true;
      if (codings.length === 1) add(codings[0]!);
      else walk.each(codings, add);
    });
  }
}

/** Collects the codes of contained resources, which travel with their container. */
function collectContained(resource: FhirResource, into: Coded, walk: Walk): void {
  const within = new Map<string, Distinct<FhirCoding>>();
  walk.each(list(resource["contained"]), (contained) => {
    if (!isObject(contained)) return;
    const plan = planOf(text(contained["resourceType"]) ?? "");
    const values: PathValues = [];
    collectAt(contained, plan.tree, values, walk);
    walk.after(() => collectCodes(plan, values, into, walk, within));
  });
}

const isSameReference = (one: FhirReference, other: FhirReference): boolean =>
  one.reference === other.reference &&
  one.type === other.type &&
  (one.identifier === undefined) === (other.identifier === undefined) &&
  one.identifier?.system === other.identifier?.system &&
  one.identifier?.value === other.identifier?.value;

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

/** `context` may also be an EpisodeOfCare; a bare `urn:` does not rule out an encounter. */
function pointsToEncounter({ reference, type }: FhirReference): boolean {
  if (type !== undefined) return type === "Encounter";
  return reference === undefined || !reference.includes("EpisodeOfCare/");
}

/** Deepest nesting of resources; `readBundle` refuses deeper ones. */
const MAX_DEPTH = 1000;

/** Results of visiting every value of a resource. */
interface Everything {
  readonly references: Set<string>;
  readonly others: OtherCodeCollector;
  freeText: boolean;
  /** How many of the values are resources; more than one if some are too deep to be looked at. */
  resources: number;
  readonly walk: Walk;
}

/**
 * Visits a value and every value in it.
 *
 * @param asProse - whether prose in it counts
 */
function lookAt(value: unknown, depth: number, asProse: boolean, into: Everything): void {
  if (depth > MAX_DEPTH) {
    into.others.addUnknown();
    into.freeText ||= asProse;
    into.resources += 2;
  } else if (typeof value !== "object" || value === null) {
    return;
  } else if (Array.isArray(value)) {
    lookAtItems(value, 0, depth + 1, asProse, into);
  } else {
    const object = value as JsonObject;
    if (typeof object["resourceType"] === "string") into.resources++;
    const literal = object["reference"];
    if (typeof literal === "string" && literal !== "" && !literal.startsWith("#")) {
      into.references.add(literal);
    }
    into.others.look(object);
    lookAtMembers(object, Object.keys(object), 0, depth + 1, asProse, into);
  }
}

function lookAtItems(
  items: readonly unknown[],
  start: number,
  depth: number,
  asProse: boolean,
  into: Everything,
): void {
  const { walk } = into;
  for (let at = start; at < items.length; at++) {
    if (walk.left-- <= 0) return walk.later(() => lookAtItems(items, at, depth, asProse, into));
    lookAt(items[at], depth, asProse, into);
  }
}

function lookAtMembers(
  object: JsonObject,
  names: readonly string[],
  start: number,
  depth: number,
  asProse: boolean,
  into: Everything,
): void {
  const { walk } = into;
  for (let at = start; at < names.length; at++) {
    if (walk.left-- <= 0) {
      return walk.later(() => lookAtMembers(object, names, at, depth, asProse, into));
    }
    const name = names[at]!;
    const child = object[name];
    let counts = asProse && !into.freeText;
    if (counts) {
      const naming = NAMINGS.get(name);
      if (naming === "aside") counts = false;
      else if (naming !== undefined && isProse(naming, child)) into.freeText = true;
    }
    if (typeof child === "object" || depth > MAX_DEPTH) lookAt(child, depth, counts, into);
  }
}
