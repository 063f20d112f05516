import { withoutVersion } from "./references.ts";
import { type FhirResource, text } from "./resource.ts";
import {
  compareVersions,
  inVersionOrder,
  statedVersion,
  type StatedVersion,
} from "./version-order.ts";

/** The parts of a bundle entry that decide which version is current. */
export interface VersionEntry {
  /** Its position in `Bundle.entry`. */
  readonly index: number;
  readonly fullUrl?: string;
  readonly resource?: FhirResource;
  readonly request?: { readonly method: string; readonly url: string };
  /** What is said of the version; default what the resource says. */
  readonly stated?: StatedVersion;
}

/** Why a resource of a bundle is not current: a newer version exists, or it was deleted. */
export type PastVersion = "superseded" | "deleted";

/**
 * Finds the resources of a bundle that are no longer current, by position.
 *
 * Of several versions at one address the newest is current, see {@link compareVersions}; in a history,
 * whose order tells more, see {@link inVersionOrder}. Where it cannot be told, all are current. In a
 * history, a resource that was deleted after its last version is not current.
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
  const deletions = type === "history" ? deletionsIn(entries) : new Map<string, VersionEntry[]>();
  for (const [address, all] of versions) {
    const gone = deletions.get(address) ?? deletions.get(relativeOf(address)) ?? [];
    const newest = newestOf(type, [...all, ...gone]);
    if (newest === undefined) continue;
    for (const one of all) {
      if (newest.resource === undefined) past.set(one.index, "deleted");
      else if (one !== newest) past.set(one.index, "superseded");
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

/** The deletions of each address. */
function deletionsIn(entries: readonly VersionEntry[]): ReadonlyMap<string, VersionEntry[]> {
  const found = new Map<string, VersionEntry[]>();
  for (const entry of entries) {
    const { fullUrl, request } = entry;
    if (request?.method !== "DELETE") continue;
    const addresses = [fullUrl, request.url, relativeOf(request.url)].map((address) =>
      address === undefined ? "" : withoutVersion(address),
    );
    for (const name of new Set(addresses)) {
      if (name === "") continue;
      const all = found.get(name);
      if (all === undefined) found.set(name, [entry]);
      else all.push(entry);
    }
  }
  return found;
}

/** Type and id, which suffice in a history of one server. */
const relativeOf = (address: string): string => address.split("/").slice(-2).join("/");

/** The newest of some versions and deletions; `undefined` if that cannot be told. */
function newestOf(type: string, all: readonly VersionEntry[]): VersionEntry | undefined {
  const versions = [...all]
    .sort((one, other) => one.index - other.index)
    .map((entry) => ({ entry, stated: entry.stated ?? statedVersion(entry.resource!) }));
  if (type === "history") return inVersionOrder(versions, type).at(-1)!.entry;
  return versions.find(({ entry, stated }) =>
    versions.every(
      (other) => other.entry === entry || compareVersions(stated, other.stated) === "newer",
    ),
  )?.entry;
}
