import type { ErasureClass } from "../../block/entry.ts";
import { toHex } from "../../bytes/hex.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { currentRecords } from "../records/current-record.ts";

export const BELONGS: Readonly<Record<ErasureClass, (item: CatalogueItem) => boolean>> = {
  clinical: ({ kind }) => kind === "record",
  // Keys that persons signed with, and deliveries that are held, are erased with the directives.
  directive: ({ kind, manifest: { op } }) =>
    kind === "consent" || (kind === "link" && (op === "attest" || op === "held")),
  audit: ({ kind }) => kind === "access",
};

export const CLASS_OF: Readonly<Record<string, ErasureClass>> = {
  record: "clinical",
  consent: "directive",
  link: "directive",
};

/** The rule of the hold on a person, if there is one: the latest entry counts. */
export function holdOf(items: readonly CatalogueItem[]): string | undefined {
  const said = items.findLast(
    ({ kind, manifest: { op } }) => kind === "link" && (op === "hold" || op === "release"),
  );
  return said?.manifest.op === "hold" ? (said.manifest.reason ?? "") : undefined;
}

/** Entries about records whose versions were erased before these entries were. */
export function orphansOf(
  items: readonly CatalogueItem[],
  erased: ReadonlySet<string>,
): readonly CatalogueItem[] {
  const living = new Set(
    [...currentRecords(items).values()].flatMap(({ history }) =>
      history.map(({ id }) => toHex(id)),
    ),
  );
  const gone = new Set(erased);
  return items.filter(({ id, kind, manifest: { replaces } }) => {
    if (kind !== "record" || living.has(toHex(id))) return false;
    if (replaces === undefined || !gone.has(replaces)) return false;
    gone.add(toHex(id));
    return true;
  });
}

/** Every entry of the records that the given ids belong to; all the records must exist. */
export function versionsOf(
  items: readonly CatalogueItem[],
  ids: readonly Uint8Array[],
): readonly CatalogueItem[] {
  const rootOf = rootsOf(items);
  const wanted = new Set<string>();
  for (const id of ids) {
    wanted.add(rootOf.get(toHex(id))!);
  }
  return items.filter(({ id }) => wanted.has(rootOf.get(toHex(id))!));
}

/** For each entry, the entry that created the record it is about. */
export function rootsOf(items: readonly CatalogueItem[]): ReadonlyMap<string, string> {
  const rootOf = new Map<string, string>();
  for (const { id, manifest } of items) {
    const parent = manifest.replaces;
    rootOf.set(toHex(id), parent === undefined ? toHex(id) : (rootOf.get(parent) ?? toHex(id)));
  }
  return rootOf;
}
