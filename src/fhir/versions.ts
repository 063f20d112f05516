import { parseDate } from "./date.ts";
import { withoutVersion } from "./references.ts";
import { type FhirResource, isObject, text } from "./resource.ts";

/** The parts of a bundle entry that decide which version is current. */
export interface VersionEntry {
  /** Its position in `Bundle.entry`. */
  readonly index: number;
  readonly fullUrl?: string;
  readonly resource?: FhirResource;
  readonly request?: { readonly method: string; readonly url: string };
}

/** Why a resource of a bundle is not current: a newer version exists, or it was deleted. */
export type PastVersion = "superseded" | "deleted";

/**
 * Finds the resources of a bundle that are no longer current, by position.
 *
 * Of several versions at one address the newest is current: by `meta.lastUpdated`, otherwise by
 * `meta.versionId`, otherwise, in a history, the first. If none of these decides, all are current.
 * In a history, a resource that was deleted after its last version is not current.
 *
 * @param type - `Bundle.type`
 * @see FHIR R4 §3.1.0.13.2 (history: the oldest versions come last)
 */
export function pastVersions(
  type: string,
  entries: readonly VersionEntry[],
): ReadonlyMap<number, PastVersion> {
  const versions = new Map<string, VersionEntry[]>();
  for (const entry of entries) {
    if (entry.resource === undefined) continue;
    const address = addressIn(type, entry.resource, entry.fullUrl);
    if (address === undefined) continue;
    const all = versions.get(address);
    if (all === undefined) versions.set(address, [entry]);
    else all.push(entry);
  }
  const past = new Map<number, PastVersion>();
  const deletions = type === "history" ? deletionsIn(entries) : new Map<string, number>();
  for (const [address, all] of versions) {
    const newest = newestOf(type, all);
    if (newest === undefined) continue;
    const deleted = deletions.get(address) ?? deletions.get(relativeOf(address));
    const isGone = deleted !== undefined && deleted < newest.index;
    for (const { index } of all) {
      if (isGone) past.set(index, "deleted");
      else if (index !== newest.index) past.set(index, "superseded");
    }
  }
  return past;
}

/** The address of a resource; in a history, which is of one server, type and id suffice. */
function addressIn(type: string, resource: FhirResource, url: string | undefined) {
  if (url !== undefined) return withoutVersion(url);
  const id = text(resource["id"]);
  return type === "history" && id !== undefined ? `${resource.resourceType}/${id}` : undefined;
}

/** The first in the list, which is the latest, deletion of each address. */
function deletionsIn(entries: readonly VersionEntry[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const { index, fullUrl, request } of entries) {
    if (request?.method !== "DELETE") continue;
    for (const address of [fullUrl, request.url, relativeOf(request.url)]) {
      const name = address === undefined ? "" : withoutVersion(address);
      if (name !== "" && !found.has(name)) found.set(name, index);
    }
  }
  return found;
}

/** Type and id, which suffice in a history of one server. */
const relativeOf = (address: string): string => address.split("/").slice(-2).join("/");

function newestOf(type: string, versions: readonly VersionEntry[]): VersionEntry | undefined {
  if (versions.length === 1) return versions[0];
  for (const order of [updatedAt, versionOf]) {
    const places = versions.map(order).filter((place) => place !== undefined);
    if (new Set(places).size < versions.length) continue;
    return versions[places.indexOf(places.reduce((a, b) => Math.max(a, b)))];
  }
  return type === "history" ? versions[0] : undefined;
}

function updatedAt({ resource }: VersionEntry): number | undefined {
  const at = text(metaOf(resource)["lastUpdated"]);
  const span = at === undefined ? undefined : parseDate(at);
  return span?.zoned === true ? span.from : undefined;
}

function versionOf({ resource }: VersionEntry): number | undefined {
  const version = text(metaOf(resource)["versionId"]);
  return version !== undefined && /^\d{1,15}$/.test(version) ? Number(version) : undefined;
}

const metaOf = (resource: FhirResource | undefined): Readonly<Record<string, unknown>> =>
  isObject(resource?.["meta"]) ? resource["meta"] : {};
