import { briefOfHeld, type HeldManifest } from "../index/held.ts";
import type { ManifestBrief } from "./manifest.ts";

/** Names by which resources are recognised: their ids, and their full URLs. */
export interface RecordNames {
  /** `""` stands for a resource without an id. */
  readonly ids: ReadonlySet<string>;
  readonly urls: ReadonlySet<string>;
}

type Named = Pick<ManifestBrief, "resource" | "fullUrl">;

/** The names of some resources. */
export function namesOf(resources: readonly Named[]): RecordNames {
  const names = { ids: new Set<string>(), urls: new Set<string>() };
  for (const resource of resources) addName(names, resource);
  return names;
}

/** Whether a resource has one of these names. */
export const isNamed = ({ resource, fullUrl }: Named, { ids, urls }: RecordNames): boolean =>
  ids.has(resource?.id ?? "") || (fullUrl !== undefined && urls.has(fullUrl));

function addName(
  { ids, urls }: { readonly ids: Set<string>; readonly urls: Set<string> },
  { resource, fullUrl }: Named,
): void {
  ids.add(resource?.id ?? "");
  if (fullUrl !== undefined) urls.add(fullUrl);
}

/** A list of entries that only grows; an entry may be replaced by its tombstone. */
interface Growing {
  readonly held: readonly HeldManifest[];
}

/**
 * Makes the function that tells whether a record in a list may have one of these names; `false` means that
 * none has. Each entry is read once, so a repeated call costs only the entries added since the last one.
 */
export function nameBook(): (list: Growing, names: RecordNames) => boolean {
  const known = new WeakMap<Growing, { ids: Set<string>; urls: Set<string>; upTo: number }>();
  return (list, wanted) => {
    const names = known.get(list) ?? { ids: new Set(), urls: new Set(), upTo: 0 };
    known.set(list, names);
    const { held } = list;
    for (; names.upTo < held.length; names.upTo++) {
      const one = held[names.upTo]!;
      const brief = briefOfHeld(one);
      if (one.item.kind === "record" && brief !== undefined) addName(names, brief);
    }
    return haveCommon(names.ids, wanted.ids) || haveCommon(names.urls, wanted.urls);
  };
}

function haveCommon(many: ReadonlySet<string>, few: ReadonlySet<string>): boolean {
  for (const one of few) if (many.has(one)) return true;
  return false;
}
