import type { Steps } from "../bytes/steps.ts";
import { mayBeAboutNobody, namesPerson, saysWhat } from "./nobody.ts";
import { resolverSteps, withoutVersion, type Addressable, type Resolved } from "./references.ts";
import { isObject, type FhirReference, type FhirResource } from "./resource.ts";
import { nameAtServer, serverNameIn } from "./source-name.ts";
import { tokenOf } from "./search-token.ts";

/** A resource among others, and how many patients it is about. */
export interface LinkedResource extends Addressable {
  readonly request?: { readonly method: string; readonly url: string };
  readonly patients: readonly number[];
}

/** What a resource refers to that may be about nobody. */
export interface ResourceLinks {
  /** Whether it refers to a patient or another person who is not its author or performer. */
  readonly namesPerson: boolean;
  /** Positions of the resources among the others, each version of them. */
  readonly entries: readonly number[];
  /**
   * Their names, and those of resources elsewhere: `Type/id` or a URL without its version,
   * `Type?identifier=system|value`, or what is written where nothing tells what it names.
   */
  readonly names: readonly string[];
}

/** Most names of what one resource refers to; if there are as many, there may be more. */
export const MAX_REFERS = 1000;
/** Longest name, in UTF-16 units. */
const MAX_NAME = 4096;
/** Stands for the name of something that nothing names, or whose name is too long. */
const UNNAMED = "?";
/** Deepest nesting that is looked into; `readBundle` refuses deeper input. */
const MAX_DEPTH = 1000;
/** Values between two points at which the work can be interrupted. */
const PIECE = 2048;

/** A reference, and the name of the element that it is in. */
interface Pointer {
  readonly element: string;
  readonly reference: FhirReference;
}

/**
 * Finds what each of some resources refers to, among them and elsewhere, as far as it may be about nobody.
 *
 * @param type - `Bundle.type`
 * @param now - the current time, in ms since 1970
 */
export function* linkSteps(
  resources: readonly LinkedResource[],
  type: string,
  now: number | undefined,
): Steps<readonly ResourceLinks[]> {
  const resolve = yield* resolverSteps(resources, now);
  const all: ResourceLinks[] = [];
  for (const one of resources) {
    const entries = new Set<number>();
    const names = new Set<string>();
    let isPersonNamed = false;
    for (const { element, reference } of yield* pointersIn(one.resource)) {
      const to = resolve(reference, one);
      const named = typeOf(to, resources);
      isPersonNamed ||= namesPerson(named) || (to.kind === "entry" && isAboutSomebody(to));
      for (const name of namesOf(to, { element, reference })) {
        if (names.size < MAX_REFERS) names.add(name.length <= MAX_NAME ? name : UNNAMED);
      }
      if (to.kind !== "entry") continue;
      for (const at of to.versions) if (isCandidate(at)) entries.add(at);
    }
    all.push({ namesPerson: isPersonNamed, entries: [...entries], names: [...names] });
    // A resource alone is in one piece, so that what is recorded at once is filed in one transaction.
    if (all.length < resources.length) yield;
  }
  return all;

  function isCandidate(at: number): boolean {
    const { resource, patients } = resources[at]!;
    return patients.length === 0 && mayBeAboutNobody(resource.resourceType);
  }

  function isAboutSomebody({ versions }: Resolved & { readonly kind: "entry" }): boolean {
    return versions.some((at) => resources[at]!.patients.length > 0);
  }

  function namesOf(to: Resolved, { element, reference }: Pointer): readonly string[] {
    if (to.kind === "entry") {
      return to.versions.flatMap((at) =>
        isCandidate(at) ? (nameOf(resources[at]!, type) ?? []) : [],
      );
    }
    if (to.kind === "contained") return [];
    const outside = to.kind === "external" ? to : undefined;
    if (outside?.reference !== undefined && serverNameIn(outside.reference) !== undefined) {
      return mayBeAboutNobody(outside.type!) ? [outside.reference] : [];
    }
    const token = conditional(reference) ?? outside?.identifier;
    const of = typeOf(to, resources) ?? reference.type ?? typeAsked(reference);
    if (of !== undefined && !mayBeAboutNobody(of)) return [];
    if (of !== undefined && token !== undefined) return [identifierName(of, token)];
    // It may be what the resource is about: nothing tells what it is.
    return NAMES_WHAT.test(element) && saysWhat(of) ? [reference.reference ?? UNNAMED] : [];
  }
}

/** Elements that refer to a product, such as `medicationReference`. */
const NAMES_WHAT = /^(?:medication|item|code|product|device|substance|ingredient)/i;

/** The name of a resource as others refer to it; `undefined` if it has none. */
export function nameOf(one: LinkedResource, type: string): string | undefined {
  const name = nameAtServer(one, type);
  if (name === undefined || name === "unclear") {
    return one.fullUrl === undefined ? undefined : withoutVersion(one.fullUrl);
  }
  return `${name.base ?? ""}${name.type}/${name.id}`;
}

/** The name of the resource of a type that has an identifier. */
export const identifierName = (
  type: string,
  { system, value }: { readonly system: string; readonly value: string },
): string => `${type}?identifier=${system}|${value}`;

const typeAsked = ({ reference }: FhirReference): string | undefined =>
  /^([A-Z][A-Za-z]{1,63})\?/.exec(reference ?? "")?.[1];

function conditional({ reference = "" }: FhirReference) {
  const at = reference.indexOf("?");
  return at < 0 ? undefined : tokenOf(reference.slice(at + 1));
}

function typeOf(to: Resolved, resources: readonly LinkedResource[]): string | undefined {
  if (to.kind === "entry") return resources[to.index]!.resource.resourceType;
  if (to.kind === "contained") return to.resource.resourceType;
  return to.kind === "external" ? to.type : undefined;
}

/** The references in a resource, in any element, and the URLs of its attachments. */
function* pointersIn(resource: FhirResource): Steps<readonly Pointer[]> {
  const found: Pointer[] = [];
  const waiting: (readonly [value: unknown, element: string, depth: number])[] = [
    [resource, "", 0],
  ];
  for (let count = 1; waiting.length > 0; count++) {
    if (count % PIECE === 0) yield;
    const [value, element, depth] = waiting.pop()!;
    if (typeof value !== "object" || value === null || depth > MAX_DEPTH) continue;
    if (Array.isArray(value)) {
      for (const item of value) {
        if (typeof item === "object") waiting.push([item, element, depth + 1]);
      }
      continue;
    }
    const object = value as Record<string, unknown>;
    const pointer = pointerAt(object, element);
    if (pointer !== undefined) found.push({ element, reference: pointer });
    for (const name of Object.keys(object)) {
      const child = object[name];
      // R5 puts a Reference into `reference` of a CodeableReference.
      const of = name === "reference" ? element : name;
      if (typeof child === "object") waiting.push([child, of, depth + 1]);
      if (typeof child === "string" && name.endsWith("Reference") && NAMES_WHAT.test(name)) {
        found.push({ element: name, reference: { reference: child } });
      }
      if (CANONICAL.test(name)) {
        for (const url of [child].flat()) {
          if (typeof url !== "string") continue;
          found.push({ element: name, reference: { reference: url.split("|")[0]! } });
        }
      }
    }
  }
  return found;
}

/** Elements that name a definition by its canonical URL. */
const CANONICAL = /^(?:questionnaire|instantiatesCanonical)$/;

function pointerAt(
  object: Readonly<Record<string, unknown>>,
  element: string,
): FhirReference | undefined {
  const { reference, url, identifier, type } = object;
  const isTyped = typeof type === "string" && /^[A-Z][A-Za-z]{1,63}$/.test(type);
  if (typeof reference === "string" && reference !== "") {
    return { reference, ...(isTyped && { type }), ...tokenAt(identifier) };
  }
  const token = tokenAt(identifier);
  if (isTyped && token !== undefined && reference === undefined) return { type, ...token };
  const isUrl = typeof url === "string" && !element.endsWith("xtension");
  if (isUrl && serverNameIn(url) !== undefined) return { reference: url };
  // A product that is named by text only, or by what cannot be read, is a product nevertheless.
  return NAMES_WHAT.test(element) && isReference(object) ? { ...(isTyped && { type }) } : undefined;
}

const REFERENCE = new Set(["id", "extension", "reference", "type", "identifier", "display"]);

/** Whether an object can be nothing but a Reference, by the names of its elements. */
const isReference = (object: Readonly<Record<string, unknown>>): boolean =>
  Object.keys(object).every((name) => REFERENCE.has(name.replace(/^_/, "")));

function tokenAt(identifier: unknown): Pick<FhirReference, "identifier"> | undefined {
  if (!isObject(identifier)) return undefined;
  const { system, value } = identifier;
  if (typeof system !== "string" || typeof value !== "string") return undefined;
  return { identifier: { system, value } };
}
