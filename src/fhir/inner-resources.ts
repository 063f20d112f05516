import type { Steps } from "../bytes/steps.ts";
import { type FhirResource, isObject, type JsonObject, list, text } from "./resource.ts";

/** A resource inside another one that is a resource of its own, such as one of a document. */
export interface InnerResource {
  readonly resource: FhirResource;
  readonly fullUrl?: string;
}

/** The resources inside a resource. */
export interface InnerResources {
  /** Those of a Bundle or of Parameters, at any depth. */
  readonly parts: readonly InnerResource[];
  /** Whether there are more than are listed, or nested too deep to be looked at. */
  readonly more: boolean;
  /** Types of resources that are `contained`, by the resource that contains them. */
  readonly contained: ReadonlyMap<object, readonly string[]>;
}

/** The resources of a Bundle, as its entries name them. */
export function entriesOf(bundle: FhirResource): readonly InnerResource[] {
  return list(bundle["entry"]).flatMap((entry) => {
    const inner = isObject(entry) ? entry["resource"] : undefined;
    if (!isObject(entry) || !isObject(inner) || typeof inner["resourceType"] !== "string") {
      return [];
    }
    const fullUrl = text(entry["fullUrl"]);
    return [{ resource: inner as FhirResource, ...(fullUrl !== undefined && { fullUrl }) }];
  });
}

/** Most parts that are looked at one by one. */
const MAX_PARTS = 4096;
/** Deepest nesting of values; `readBundle` refuses deeper ones. */
const MAX_DEPTH = 1000;
/** Deepest nesting of parts in parts: each is described with everything in it. */
const MAX_LEVELS = 8;
/** Values between two points at which the search can be interrupted. */
const STEP = 2048;

/** A value that is still to be looked at. */
interface Waiting {
  readonly value: unknown;
  readonly depth: number;
  /** The part that it is in. */
  readonly owner: object;
  readonly level: number;
  readonly isContained: boolean;
  readonly fullUrl?: string | undefined;
}

/** Finds the resources inside a resource. */
export function* innerSteps(root: FhirResource): Steps<InnerResources> {
  const parts: InnerResource[] = [];
  const contained = new Map<object, string[]>();
  let more = false;
  let count = 0;
  const waiting: Waiting[] = [{ value: root, depth: 0, owner: root, level: 0, isContained: false }];
  for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
    if (++count % STEP === 0) yield;
    const { value, depth, isContained } = one;
    if (typeof value !== "object" || value === null) continue;
    if (depth > MAX_DEPTH) {
      more = true;
      continue;
    }
    if (Array.isArray(value)) {
      for (let at = value.length - 1; at >= 0; at--) {
        const item = value[at] as unknown;
        if (typeof item !== "object") continue;
        waiting.push({ ...one, value: item, depth: depth + 1, fullUrl: undefined });
      }
      continue;
    }
    let { owner, level } = one;
    const object = value as JsonObject;
    if (object !== root && typeof object["resourceType"] === "string") {
      if (isContained) {
        const types = contained.get(owner) ?? [];
        contained.set(owner, types);
        if (!types.includes(object["resourceType"])) types.push(object["resourceType"]);
      } else if (parts.length === MAX_PARTS || level === MAX_LEVELS) {
        more = true;
        continue;
      } else {
        const { fullUrl } = one;
        parts.push({ resource: object as FhirResource, ...(fullUrl !== undefined && { fullUrl }) });
        [owner, level] = [object, level + 1];
      }
    }
    const fullUrl = isObject(object["resource"]) ? text(object["fullUrl"]) : undefined;
    for (const name of Object.keys(object).reverse()) {
      const value = object[name];
      if (typeof value !== "object") continue;
      waiting.push({
        value,
        depth: depth + 1,
        ...{ owner, level },
        isContained: isContained || name === "contained",
        fullUrl: name === "resource" ? fullUrl : undefined,
      });
    }
  }
  return { parts, more, contained };
}
