import { type FhirReference, type FhirResource, isObject, text } from "./resource.ts";

/** A resource and how others may name it. */
export interface Addressable {
  readonly resource: FhirResource;
  readonly fullUrl?: string;
}

/** What a reference turned out to mean. */
export type Resolved =
  /** It names this resource of the bundle. */
  | { readonly kind: "entry"; readonly index: number }
  /** It names several of them, and nothing tells which. */
  | { readonly kind: "ambiguous" }
  /** It names a resource inside the referring one. */
  | { readonly kind: "contained"; readonly resource: FhirResource }
  /** It names something that is not in the bundle; `type` is known where the reference says it. */
  | {
      readonly kind: "external";
      readonly type: string | undefined;
      readonly reference: string | undefined;
      readonly identifier: { readonly system: string; readonly value: string } | undefined;
    };

const RESTFUL = /^(?:(.*\/))?([A-Z][A-Za-z]{1,63})\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/[^/]+)?$/;
const CONDITIONAL = /^([A-Z][A-Za-z]{1,63})\?(.+)$/;

/**
 * Indexes a bundle's resources and returns the function that resolves references between them.
 *
 * By `fullUrl` first (a relative reference against the referring entry's server), then by type and
 * id where only one resource has them, then by business identifier.
 *
 * @see FHIR R4 §2.36.4.1 (resolving references in bundles)
 */
export function referenceResolver(
  entries: readonly Addressable[],
): (reference: FhirReference, from: Addressable) => Resolved {
  const byUrl = new Map<string, number[]>();
  const byTypeAndId = new Map<string, number[]>();
  const byIdentifier = new Map<string, number[]>();
  entries.forEach(({ resource, fullUrl }, index) => {
    if (fullUrl !== undefined) add(byUrl, withoutVersion(fullUrl), index);
    const id = text(resource["id"]);
    if (id !== undefined) add(byTypeAndId, `${resource.resourceType}/${id}`, index);
    for (const { system, value } of identifiersOf(resource)) {
      add(byIdentifier, identifierKey(resource.resourceType, system, value), index);
    }
  });

  const found = (indexes: readonly number[] | undefined): Resolved | undefined => {
    if (indexes === undefined) return undefined;
    if (indexes.length === 1) return { kind: "entry", index: indexes[0]! };
    // several versions of one resource are one resource
    const names = new Set(
      indexes.map((index) => entries[index]!.fullUrl ?? entries[index]!.resource["id"]),
    );
    return names.size === 1 ? { kind: "entry", index: indexes.at(-1)! } : { kind: "ambiguous" };
  };

  const byBusinessIdentifier = (
    type: string | undefined,
    system: string | undefined,
    value: string | undefined,
  ): Resolved | undefined => {
    if (system === undefined || value === undefined) return undefined;
    return found(byIdentifier.get(identifierKey(type ?? "Patient", system, value)));
  };

  return (reference, from) => {
    const { system, value } = reference.identifier ?? {};
    const identifier = system !== undefined && value !== undefined ? { system, value } : undefined;
    const literal = reference.reference;
    if (literal === undefined) {
      return (
        byBusinessIdentifier(reference.type, system, value) ?? {
          kind: "external",
          type: reference.type,
          reference: undefined,
          identifier,
        }
      );
    }
    if (literal.startsWith("#")) {
      if (literal === "#") return { kind: "contained", resource: from.resource };
      const resource = contained(from.resource, literal.slice(1));
      if (resource !== undefined) return { kind: "contained", resource };
      return { kind: "external", type: reference.type, reference: undefined, identifier };
    }
    const conditional = CONDITIONAL.exec(literal);
    if (conditional !== null) {
      const named = searchIdentifier(conditional[2]!);
      return (
        byBusinessIdentifier(conditional[1], named?.system, named?.value) ?? {
          kind: "external",
          type: conditional[1],
          reference: literal,
          identifier: named ?? identifier,
        }
      );
    }
    const parts = RESTFUL.exec(literal);
    const relative = parts !== null && parts[1] === undefined;
    const base = relative ? RESTFUL.exec(from.fullUrl ?? "")?.[1] : undefined;
    const tail = parts === null ? undefined : `${parts[2]}/${parts[3]}`;
    return (
      found(byUrl.get(withoutVersion(relative ? `${base ?? ""}${tail}` : literal))) ??
      // an absolute URL of another server is another resource, even where type and id agree
      (relative ? found(byTypeAndId.get(tail!)) : undefined) ??
      byBusinessIdentifier(reference.type ?? parts?.[2], system, value) ?? {
        kind: "external",
        type: parts?.[2] ?? reference.type,
        reference: relative ? `${base ?? ""}${tail}` : withoutVersion(literal),
        identifier,
      }
    );
  };
}

function add(map: Map<string, number[]>, key: string, index: number): void {
  const indexes = map.get(key);
  if (indexes === undefined) map.set(key, [index]);
  else indexes.push(index);
}

function withoutVersion(url: string): string {
  const at = url.indexOf("/_history/");
  return at < 0 ? url : url.slice(0, at);
}

function contained(resource: FhirResource, id: string): FhirResource | undefined {
  const all = resource["contained"];
  if (!Array.isArray(all)) return undefined;
  return all.find(
    (item): item is FhirResource =>
      isObject(item) && item["id"] === id && typeof item["resourceType"] === "string",
  );
}

function identifiersOf(
  resource: FhirResource,
): readonly { readonly system: string; readonly value: string }[] {
  const identifiers = resource["identifier"];
  const found: { system: string; value: string }[] = [];
  for (const identifier of Array.isArray(identifiers) ? identifiers : [identifiers]) {
    if (!isObject(identifier)) continue;
    const system = text(identifier["system"]);
    const value = text(identifier["value"]);
    if (system !== undefined && value !== undefined) found.push({ system, value });
  }
  return found;
}

function identifierKey(type: string, system: string, value: string): string {
  return JSON.stringify([type, system, value]);
}

/** The identifier of a conditional reference such as `Patient?identifier=urn:x|12`. */
function searchIdentifier(query: string): { system: string; value: string } | undefined {
  const token = new URLSearchParams(query).get("identifier");
  const bar = token?.indexOf("|") ?? -1;
  if (token === null || bar <= 0 || bar === token.length - 1) return undefined;
  return { system: token.slice(0, bar), value: token.slice(bar + 1) };
}
