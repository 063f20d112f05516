import { bytesKey } from "../../bytes/bytes-key.ts";
import { fromHex } from "../../bytes/hex.ts";
import { toEntryId, type EntryId } from "../../codec/ids.ts";
import { briefOfHeld, type HeldManifest } from "../index/held.ts";
import { comparePlaces, createsRecord } from "./catalogue-item.ts";
import type { ManifestBrief } from "./manifest.ts";

/** A person's entries, of which none is ever removed; one may be replaced by its tombstone. */
interface Growing<H extends HeldManifest> {
  readonly held: readonly H[];
  readonly byId: ReadonlyMap<string, H>;
}

/**
 * Makes the function that finds the entries about one record, given any of them, in ledger order.
 * It finds what folding all the person's entries into records would find. Each entry is read once,
 * so that a repeated call costs only the entries of the record and those added since the last call.
 */
export function recordBook<H extends HeldManifest>(): (
  person: Growing<H>,
  id: Uint8Array,
) => readonly H[] {
  const known = new WeakMap<Growing<H>, { readonly followers: Map<EntryId, H[]>; upTo: number }>();

  function followersOf(person: Growing<H>): ReadonlyMap<EntryId, readonly H[]> {
    const book = known.get(person) ?? { followers: new Map<EntryId, H[]>(), upTo: 0 };
    known.set(person, book);
    const { held } = person;
    for (; book.upTo < held.length; book.upTo++) {
      const one = held[book.upTo]!;
      const replaces = following(one)?.replaces;
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
      for (const one of followers.get(toEntryId(before.item.id)) ?? []) {
        if (following(one) !== undefined && isBefore(before, one)) found.push(one);
      }
    }
    return found.sort((a, b) => comparePlaces(a.item.place, b.item.place));
  };
}

/** The entry that created the record which an entry belongs to. */
function firstOf<H extends HeldManifest>({ byId }: Growing<H>, id: Uint8Array): H | undefined {
  let one = byId.get(bytesKey(id));
  for (;;) {
    const brief = one === undefined ? undefined : following(one);
    if (one === undefined || brief === undefined) break;
    const { replaces } = brief;
    const before = replaces === undefined ? undefined : byId.get(bytesKey(fromHex(replaces)));
    if (before === undefined || !isBefore(before, one)) return undefined;
    one = before;
  }
  const brief = one === undefined ? undefined : briefOfHeld(one);
  return one !== undefined && brief !== undefined && createsRecord(one.item.kind, brief)
    ? one
    : undefined;
}

/** What an entry about a record says that an earlier entry created; `undefined` for others. */
function following(held: HeldManifest): ManifestBrief | undefined {
  const brief = briefOfHeld(held);
  const { kind } = held.item;
  return brief === undefined || kind !== "record" || createsRecord(kind, brief) ? undefined : brief;
}

const isBefore = ({ item: a }: HeldManifest, { item: b }: HeldManifest): boolean =>
  comparePlaces(a.place, b.place) < 0;
