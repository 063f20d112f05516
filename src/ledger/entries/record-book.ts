import { bytesKey } from "../../bytes/bytes-key.ts";
import { fromHex } from "../../bytes/hex.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import type { Held } from "../index/memory.ts";
import {
  byPlace,
  comparePlaces,
  createsRecord,
  isPresent,
  type CatalogueItem,
} from "./catalogue-item.ts";

/** A person's entries, of which none is ever removed; one may be replaced by its tombstone. */
interface Growing {
  readonly held: readonly Pick<Held, "item">[];
  readonly byId: ReadonlyMap<string, Pick<Held, "item">>;
}

/**
 * Makes the function that finds the entries about one record, given any of them, in ledger order.
 * It finds what folding all the person's entries into records would find. Each entry is read once,
 * so that a repeated call costs only the entries of the record and those added since the last call.
 */
export function recordBook(): (person: Growing, id: Uint8Array) => readonly CatalogueItem[] {
  const known = new WeakMap<
    Growing,
    { readonly followers: Map<EntryId, Pick<Held, "item">[]>; upTo: number }
  >();

  function followersOf(person: Growing): ReadonlyMap<EntryId, readonly Pick<Held, "item">[]> {
    const book = known.get(person) ?? { followers: new Map(), upTo: 0 };
    known.set(person, book);
    const { held } = person;
    for (; book.upTo < held.length; book.upTo++) {
      const one = held[book.upTo]!;
      const replaces = isFollower(one.item) ? one.item.manifest.replaces : undefined;
      if (replaces === undefined) continue;
      const others = book.followers.get(replaces);
      if (others === undefined) book.followers.set(replaces, [one]);
      else others.push(one);
    }
    return book.followers;
  }

  return (person, id) => {
    const first = firstOf(person, id);
    if (first === undefined) return [];
    const followers = followersOf(person);
    const found = [first];
    // The list grows while it is read.
    for (const before of found) {
      for (const { item } of followers.get(toEntryId(before.id)) ?? []) {
        if (isFollower(item) && comparePlaces(before.place, item.place) < 0) found.push(item);
      }
    }
    return found.sort(byPlace);
  };
}

/** The entry that created the record which an entry belongs to. */
function firstOf({ byId }: Growing, id: Uint8Array): CatalogueItem | undefined {
  let item = byId.get(bytesKey(id))?.item;
  while (item !== undefined && isFollower(item)) {
    const { replaces } = item.manifest;
    const before = replaces === undefined ? undefined : byId.get(bytesKey(fromHex(replaces)))?.item;
    if (before === undefined || comparePlaces(before.place, item.place) >= 0) return undefined;
    item = before;
  }
  return item !== undefined && isPresent(item) && createsRecord(item) ? item : undefined;
}

/** Whether it is an entry about a record that an earlier entry created. */
const isFollower = (item: Held["item"]): item is CatalogueItem =>
  item.kind === "record" && isPresent(item) && !createsRecord(item);
