import { toHex } from "../../bytes/hex.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";

/** Whether an entry joins two persons, or parts them again. */
export const isLink = ({ manifest: { op } }: Pick<CatalogueItem, "manifest">): boolean =>
  op === "merge" || op === "unmerge";

/** Who is joined with whom after some entries that join and part persons. */
export interface JoinedPersons {
  /** The merges in effect, in ledger order. */
  readonly merges: readonly CatalogueItem[];
  /** Merges that never had an effect: their persons were joined already. */
  readonly idle: readonly CatalogueItem[];
  /** Everybody whom these entries ever joined or parted. */
  readonly everybody: readonly Uint8Array[];
  /** The persons joined with a person, whose own local id comes first. */
  personsWith(local: Uint8Array): readonly Uint8Array[];
}

/**
 * Folds entries that join and part persons. A merge of two persons who are joined already has no effect,
 * not even once they are parted: of two merges filed at once, the first on the ledger counts. An `unmerge`
 * ends the effect of the merge that it names.
 *
 * @param links - every such entry about these persons and those ever joined with them, in ledger order;
 *   others are skipped
 */
export function foldLinks(links: readonly CatalogueItem[]): JoinedPersons {
  const merges = new Map<EntryId, CatalogueItem>();
  const idle: CatalogueItem[] = [];
  const everybody = new Map<string, Uint8Array>();
  for (const item of links) {
    const { op, local, other, replaces } = item.manifest;
    for (const one of other === undefined ? [] : [local, other]) everybody.set(toHex(one), one);
    if (op === "unmerge" && replaces !== undefined) merges.delete(replaces);
    if (op !== "merge" || other === undefined) continue;
    const hex = toHex(other);
    if (personsIn(merges.values(), local).some((one) => toHex(one) === hex)) idle.push(item);
    else merges.set(toEntryId(item.id), item);
  }
  return {
    merges: [...merges.values()],
    idle,
    everybody: [...everybody.values()],
    personsWith: (local) => personsIn(merges.values(), local),
  };
}

/** The persons whom merges in effect join with a person, who comes first. */
export function personsIn(merges: Iterable<CatalogueItem>, local: Uint8Array): Uint8Array[] {
  const neighbours = new Map<string, Uint8Array[]>();
  const add = (one: Uint8Array, other: Uint8Array): void => {
    const hex = toHex(one);
    const known = neighbours.get(hex);
    if (known === undefined) neighbours.set(hex, [other]);
    else known.push(other);
  };
  for (const { manifest } of merges) {
    add(manifest.local, manifest.other!);
    add(manifest.other!, manifest.local);
  }
  const found = new Map([[toHex(local), local]]);
  // A map yields what is added to it while it is read.
  for (const [hex] of found) {
    for (const one of neighbours.get(hex) ?? []) {
      if (!found.has(toHex(one))) found.set(toHex(one), one);
    }
  }
  return [...found.values()];
}
