import type { ErasureClass } from "../../block/entry.ts";
import { toHex } from "../../bytes/hex.ts";
import { appendTo } from "../../bytes/lists.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { Operation } from "../entries/operations.ts";
import { currentRecords } from "../records/current-record.ts";
import { containsSome, partFinder } from "../records/wholes.ts";

const WITH_DIRECTIVES: readonly Operation[] = ["attest", "held", "deliver", "delivered"];

export const BELONGS: Readonly<Record<ErasureClass, (item: CatalogueItem) => boolean>> = {
  clinical: ({ kind }) => kind === "record",
  // Keys that persons signed with, and deliveries, are erased with the directives.
  directive: ({ kind, manifest: { op } }) =>
    kind === "consent" || (kind === "link" && WITH_DIRECTIVES.includes(op)),
  audit: ({ kind }) => kind === "access",
};

export const CLASS_OF: Readonly<Record<string, ErasureClass>> = {
  record: "clinical",
  consent: "directive",
  link: "directive",
};

/**
 * The rules of the holds on a person and on those joined with them, each with its place and the person whom it was
 * placed on: of the entries about one person, the latest counts.
 */
export function holdsOf(items: readonly CatalogueItem[]): readonly {
  readonly local: Uint8Array;
  readonly rule: string;
  readonly place: EntryPlace;
}[] {
  const said = new Map<string, CatalogueItem>();
  for (const item of items) {
    const { op, local } = item.manifest;
    if (item.kind === "link" && (op === "hold" || op === "release")) said.set(toHex(local), item);
  }
  return [...said.values()].flatMap(({ place, manifest: { op, local, reason = "" } }) =>
    op === "hold" ? [{ local, rule: reason, place }] : [],
  );
}

/** Some of a person's entries. */
export interface PersonItems {
  readonly local: Uint8Array;
  readonly items: CatalogueItem[];
}

/**
 * Groups entries by the person whom each is filed about.
 *
 * @param keeper - the person to whose entries those that name two persons are added
 */
export function groupByPerson(items: readonly CatalogueItem[], keeper?: Uint8Array): PersonItems[] {
  const groups = new Map<string, PersonItems>();
  for (const item of items) {
    const namesTwo = item.manifest.other !== undefined;
    const local = keeper !== undefined && namesTwo ? keeper : item.manifest.local;
    const hex = toHex(local);
    const known = groups.get(hex);
    if (known === undefined) groups.set(hex, { local, items: [item] });
    else known.items.push(item);
  }
  return [...groups.values()];
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

/**
 * The entries of documents and other Bundles that contain some of the erased records, which hold the same data.
 *
 * @param targets - the entries of the erased records
 */
export function containersOf(
  items: readonly CatalogueItem[],
  targets: readonly CatalogueItem[],
): readonly CatalogueItem[] {
  if (!items.some(({ manifest }) => manifest.resource?.parts !== undefined)) return [];
  const ids = new Set(targets.map(({ id }) => toHex(id)));
  const records = [...currentRecords(items).values()];
  const parts = partFinder(records);
  const gone = new Set(records.filter(({ history }) => ids.has(toHex(history[0]!.id))));
  const found: CatalogueItem[] = [];
  // A document may be part of another one.
  for (let before = -1; before < gone.size;) {
    before = gone.size;
    for (const record of records) {
      if (gone.has(record) || !containsSome(record, parts, gone)) continue;
      gone.add(record);
      appendTo(found, record.history);
    }
  }
  return found;
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
    // The access of a person who is joined with another one is no version of that person's access.
    const parent = manifest.op === "access" ? undefined : manifest.replaces;
    rootOf.set(toHex(id), parent === undefined ? toHex(id) : (rootOf.get(parent) ?? toHex(id)));
  }
  return rootOf;
}
