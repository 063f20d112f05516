import { atOnce, type Steps } from "../bytes/steps.ts";
import { isCurrentIdentifier } from "./identifier.ts";
import { isPlaceholder } from "./placeholder.ts";
import {
  type FhirReference,
  type FhirResource,
  isObject,
  list,
  text,
  trimmed,
} from "./resource.ts";
import { type Token, tokenOf } from "./search-token.ts";

/** A resource and its names for references. */
export interface Addressable {
  readonly resource: FhirResource;
  readonly fullUrl?: string;
  readonly request?: { readonly method: string };
}

/** The result of resolving a reference. */
export type Resolved =
  /** It names this resource of the bundle: its last version, and all versions in the bundle. */
  | {
      readonly kind: "entry";
      readonly index: number;
      readonly versions: readonly number[];
      /** Set if the bundle creates it, and the reference has the id that it has in the bundle only. */
      readonly isAssumed?: true;
    }
  /** It names several of them, or names one in conflicting ways. */
  | { readonly kind: "ambiguous" }
  /** It names a contained resource of the referring one. */
  | { readonly kind: "contained"; readonly resource: FhirResource }
  /** It names something outside the bundle; `type` is known if the reference states it. */
  | {
      readonly kind: "external";
      readonly type: string | undefined;
      readonly reference: string | undefined;
      readonly identifier: { readonly system: string; readonly value: string } | undefined;
    };

const RESTFUL = /^(?:(.*\/))?([A-Z][A-Za-z]{1,63})\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/[^/]+)?$/;
/** Most literal references that are kept taken apart. */
const MOST_KNOWN = 256;
const CONDITIONAL = /^([A-Z][A-Za-z]{1,63})\?(.+)$/;

/**
 * Indexes a bundle's resources and returns the function that resolves references between them.
 *
 * A relative reference means a resource of the referring entry's server. Entries without a server
 * (no `fullUrl`, or a `urn:`) refer to each other by type and id, if only one resource has them;
 * they refer to no entry of a server, since nothing says of which. An entry to be created under a
 * new id (`POST`) is meant by the id that it has in the bundle if no other entry is. Business
 * identifiers are tried last.
 *
 * @param now - the current time, in ms since 1970; without it, identifiers with a stated end count
 *   as expired
 * @see FHIR R4 §2.36.4.1, R5 §2.36.3.1 (resolving references in bundles)
 */
export function referenceResolver(
  entries: readonly Addressable[],
  now: number | undefined,
): ResolveIn {
  return atOnce(resolverSteps(entries, now));
}

/** Resolves a reference of one of a bundle's resources. */
export type ResolveIn = (reference: FhirReference, from: Addressable) => Resolved;

/** Entries or identifiers between two points at which indexing can be interrupted. */
const PIECE = 1024;

/** As {@link referenceResolver}, by steps. */
export function* resolverSteps(
  entries: readonly Addressable[],
  now: number | undefined,
): Steps<ResolveIn> {
  const byUrl = new Map<string, number[]>();
  const homeless = new Map<string, number[]>();
  const created = new Map<string, number[]>();
  const onServers = new Set<string>();
  const byIdentifier = new Map<string, number[]>();
  const expired = new Set<string>();
  let count = 0;
  for (const [index, { resource, fullUrl, request }] of entries.entries()) {
    if (++count % PIECE === 0) yield;
    if (fullUrl !== undefined) add(byUrl, withoutVersion(fullUrl), index);
    const home = fullUrl === undefined ? null : RESTFUL.exec(fullUrl);
    const id = text(resource["id"]);
    if (home?.[1] !== undefined) onServers.add(`${home[2]}/${home[3]}`);
    else if (id !== undefined) {
      const names = request?.method === "POST" ? created : homeless;
      add(names, `${resource.resourceType}/${id}`, index);
    }
    for (const identifier of list(resource["identifier"])) {
      if (++count % PIECE === 0) yield;
      const token = tokenFrom(identifier);
      if (token === undefined) continue;
      const key = identifierKey(resource.resourceType, token);
      if (isCurrentIdentifier(identifier, now)) add(byIdentifier, key, index);
      else expired.add(key);
    }
  }
  return resolverBy(entries, { byUrl, homeless, created, onServers, byIdentifier, expired });
}

/** The names of a bundle's resources. */
interface Names {
  readonly byUrl: ReadonlyMap<string, readonly number[]>;
  readonly homeless: ReadonlyMap<string, readonly number[]>;
  /** Those without a server that the bundle creates. */
  readonly created: ReadonlyMap<string, readonly number[]>;
  readonly onServers: ReadonlySet<string>;
  readonly byIdentifier: ReadonlyMap<string, readonly number[]>;
  readonly expired: ReadonlySet<string>;
}

function resolverBy(
  entries: readonly Addressable[],
  { byUrl, homeless, created, onServers, byIdentifier, expired }: Names,
): ResolveIn {
  const contained = containedFinder();
  /** Literal references taken apart: a bundle repeats a few. */
  const known = new Map<string, RegExpExecArray | null>();
  const partsOf = (literal: string): RegExpExecArray | null => {
    let parts = known.get(literal);
    if (parts === undefined) {
      parts = RESTFUL.exec(literal);
      if (known.size < MOST_KNOWN) known.set(literal, parts);
    }
    return parts;
  };

  const found = (indexes: readonly number[] | undefined): Resolved | undefined => {
    if (indexes === undefined) return undefined;
    if (indexes.length === 1) return { kind: "entry", index: indexes[0]!, versions: indexes };
    const names = new Set(
      indexes.map((index) => {
        const { fullUrl, resource } = entries[index]!;
        return fullUrl === undefined ? (resource["id"] ?? index) : withoutVersion(fullUrl);
      }),
    );
    // several versions of one resource are one resource
    if (names.size > 1) return { kind: "ambiguous" };
    return { kind: "entry", index: indexes.at(-1)!, versions: indexes };
  };

  const byBusinessIdentifier = (
    type: string | undefined,
    token: Token | undefined,
  ): Resolved | undefined => {
    if (token === undefined) return undefined;
    const key = identifierKey(type ?? "Patient", token);
    // the number was this resource's, and may be another's by now
    return expired.has(key) ? { kind: "ambiguous" } : found(byIdentifier.get(key));
  };

  const relativeTo = (base: string | undefined, name: string): Resolved | undefined => {
    if (base !== undefined) return found(byUrl.get(`${base}${name}`));
    if (onServers.has(name)) return { kind: "ambiguous" };
    const known = found(homeless.get(name));
    if (known !== undefined) return known;
    const [index, ...others] = created.get(name) ?? [];
    if (index === undefined) return undefined;
    if (others.length > 0) return { kind: "ambiguous" };
    return { kind: "entry", index, versions: [index], isAssumed: true };
  };

  return (reference, from) => {
    const identifier = tokenFrom(reference.identifier);
    const literal = reference.reference;
    if (literal === undefined) {
      return (
        byBusinessIdentifier(reference.type, identifier) ?? {
          kind: "external",
          type: reference.type,
          reference: undefined,
          identifier,
        }
      );
    }
    if (literal.startsWith("#")) {
      if (literal === "#") return { kind: "contained", resource: from.resource };
      const [resource, ...others] = contained(from.resource, literal.slice(1));
      if (others.length > 0) return { kind: "ambiguous" };
      if (resource !== undefined) return { kind: "contained", resource };
      return { kind: "external", type: reference.type, reference: undefined, identifier };
    }
    const conditional = literal.includes("?") ? CONDITIONAL.exec(literal) : null;
    if (conditional !== null) {
      const token = tokenOf(conditional[2]!);
      if (token === undefined || isPlaceholder(token.value)) return { kind: "ambiguous" };
      return (
        byBusinessIdentifier(conditional[1], token) ?? {
          kind: "external",
          type: conditional[1],
          reference: undefined,
          identifier: token,
        }
      );
    }
    const parts = partsOf(literal);
    const relative = parts !== null && parts[1] === undefined;
    const base = relative && from.fullUrl ? RESTFUL.exec(from.fullUrl)?.[1] : undefined;
    const name = relative ? `${parts[2]}/${parts[3]}` : withoutVersion(literal);
    return (
      // an absolute URL of another server is another resource, even if type and id agree
      (relative ? relativeTo(base, name) : found(byUrl.get(name))) ??
      byBusinessIdentifier(reference.type ?? parts?.[2], identifier) ?? {
        kind: "external",
        type: parts?.[2] ?? reference.type,
        reference: `${base ?? ""}${name}`,
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

/** An address without its version. */
export function withoutVersion(url: string): string {
  const at = url.indexOf("/_history/");
  return at < 0 ? url : url.slice(0, at);
}

/** Makes the function that finds a contained resource by its id. */
function containedFinder(): (container: FhirResource, id: string) => readonly FhirResource[] {
  const within = new WeakMap<readonly unknown[], ReadonlyMap<unknown, readonly FhirResource[]>>();
  return (container, id) => {
    const all = container["contained"];
    if (!Array.isArray(all)) return [];
    let byId = within.get(all);
    if (byId === undefined) within.set(all, (byId = containedById(all)));
    return byId.get(id) ?? [];
  };
}

function containedById(all: readonly unknown[]): ReadonlyMap<unknown, readonly FhirResource[]> {
  const byId = new Map<unknown, FhirResource[]>();
  for (const item of all) {
    if (!isObject(item) || typeof item["resourceType"] !== "string") continue;
    const same = byId.get(item["id"]);
    if (same === undefined) byId.set(item["id"], [item as FhirResource]);
    else same.push(item as FhirResource);
  }
  return byId;
}

/** The system and value of an identifier, if it can identify somebody. */
function tokenFrom(identifier: unknown): Token | undefined {
  if (!isObject(identifier)) return undefined;
  const system = trimmed(identifier["system"]);
  const value = trimmed(identifier["value"]);
  if (system === undefined || value === undefined || isPlaceholder(value)) return undefined;
  return { system, value };
}

function identifierKey(type: string, { system, value }: Token): string {
  // The lengths keep the three apart.
  return `${type.length} ${system.length} ${type}${system}${value}`;
}
