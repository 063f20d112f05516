import type { CID } from "multiformats/cid";
import { bytesKey } from "../../bytes/bytes-key.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import type { StateChange } from "../../storage/types.ts";
import type { Directory } from "./directory.ts";
import type { Held } from "./held.ts";
import type { IndexNames } from "./names.ts";
import type { IndexRecord } from "./record.ts";
import type { IdRow, Lacking } from "./rows.ts";

/** Everything that is about one person, in ledger order. */
export interface Person {
  readonly local: Uint8Array;
  readonly held: Held[];
  readonly byId: Map<string, Held>;
  /** How many of them were erased since they are in memory. */
  erased: number;
}

/** Entries taken in since the record. The keys of the maps are those of `bytesKey`. */
export interface Overlay {
  readonly fresh: Map<string, { readonly local: Uint8Array; readonly held: Held[] }>;
  readonly ids: Map<
    string,
    { readonly id: Uint8Array; readonly row: IdRow; readonly before?: IdRow }
  >;
  /** Rows of the directory; `null` for rows to be removed. */
  readonly rows: Map<string, { readonly name: Uint8Array; readonly value: Uint8Array | null }>;
  /** Pages in the store that contain erased data. */
  readonly dirty: Map<
    string,
    { readonly person: Person; readonly pages: Set<number>; erased: number }
  >;
  readonly removed: StateChange[];
  mustFlush: boolean;
}

const emptyOverlay = (): Overlay => ({
  fresh: new Map(),
  ids: new Map(),
  rows: new Map(),
  dirty: new Map(),
  removed: [],
  mustFlush: false,
});

/** The index under the record that the store holds. */
export interface StoredIndex {
  record: IndexRecord;
  readonly names: IndexNames;
  readonly directory: Directory;
}

/** The in-memory part of the index; one per index, changed in place. */
export interface IndexMemory {
  /** `undefined` before the record is read. */
  stored: StoredIndex | undefined;
  /** Whether all rows of earlier generations are gone. */
  isSwept: boolean;
  /** The next block to take in. */
  mark: number;
  /** Hash of the last header taken in, as a leaf. */
  header: Uint8Array | null;
  overlay: Overlay;
  /** Entries that could not be decrypted although nothing erased them, once they were read. */
  lacking: Map<string, Lacking> | undefined;
  isLackingChanged: boolean;
  readonly people: PeopleCache;
  /** Names of rows of ids, from the time an entry is looked up until its row is written. */
  readonly idNames: Map<string, Uint8Array>;
}

/** Most persons in memory, and most of their entries, of about 4 KB each. */
const CACHED_PEOPLE = 256;
const CACHED_ITEMS = 32_768;

/**
 * Persons in memory, of whom those that were not used for longest are dropped first. One person may have more entries
 * than the cache may hold: they stay beside the others, since whoever asks about them needs other lists, too, and
 * reading theirs anew takes longest.
 */
export interface PeopleCache {
  get(key: string): Person | undefined;
  put(person: Person): void;
  /** Counts one more entry of a person, if cached. */
  grew(key: string): void;
  clear(): void;
}

export function peopleCache(maxItems: number = CACHED_ITEMS): PeopleCache {
  const people = new Map<string, Person>();
  let newest: string | undefined;
  let items = 0;

  function drop(key: string, person: Person): void {
    people.delete(key);
    items -= person.held.length;
  }

  function makeRoom(): void {
    if (people.size > CACHED_PEOPLE) {
      const [key, oldest] = people.entries().next().value!;
      drop(key, oldest);
    }
    if (items <= maxItems) return;
    const largest = [...people.values()].findLast(({ held }) => held.length > maxItems);
    for (const [key, person] of people) {
      if (people.size === 1 || items - (largest?.held.length ?? 0) <= maxItems) break;
      if (person !== largest) drop(key, person);
    }
  }

  function get(key: string): Person | undefined {
    const person = people.get(key);
    if (person === undefined || key === newest) return person;
    people.delete(key);
    people.set(key, person);
    newest = key;
    return person;
  }

  return {
    get,
    put(person) {
      newest = bytesKey(person.local);
      people.set(newest, person);
      items += person.held.length;
      makeRoom();
    },
    grew(key) {
      if (get(key) === undefined) return;
      items++;
      makeRoom();
    },
    clear() {
      people.clear();
      newest = undefined;
      items = 0;
    },
  };
}

/** Nothing read yet. */
export function emptyMemory(): IndexMemory {
  return {
    stored: undefined,
    isSwept: false,
    mark: 0,
    header: null,
    overlay: emptyOverlay(),
    lacking: undefined,
    isLackingChanged: false,
    people: peopleCache(),
    idNames: new Map(),
  };
}

/** Discards everything that depends on the record. */
export function resetMemory(memory: IndexMemory): void {
  memory.stored = undefined;
  memory.lacking = undefined;
  memory.people.clear();
  clearOverlay(memory);
}

/** Discards the entries taken in since the record. */
export function clearOverlay(memory: IndexMemory): void {
  memory.overlay = emptyOverlay();
  memory.isLackingChanged = false;
  memory.idNames.clear();
}

/** The name of an id's row. */
export function idName({ stored, idNames }: IndexMemory, id: Uint8Array): Uint8Array {
  const key = bytesKey(id);
  let name = idNames.get(key);
  if (name === undefined) idNames.set(key, (name = stored!.names.id(id)));
  return name;
}

/** A person who is completely in memory. */
export function knownPerson({ overlay, people }: IndexMemory, key: string): Person | undefined {
  return overlay.dirty.get(key)?.person ?? people.get(key);
}

/** Changes a row of the directory; `null` removes it. */
export function stage({ overlay }: IndexMemory, name: Uint8Array, value: Uint8Array | null): void {
  overlay.rows.set(bytesKey(name), { name, value });
}

/** Adds to the entries that could not be decrypted. */
export function lack(memory: IndexMemory, one: Lacking): void {
  memory.isLackingChanged = true;
  memory.lacking!.set(bytesKey(one.id), one);
}

/** Takes in an entry about a person. */
export function take(memory: IndexMemory, local: Uint8Array, held: Held): void {
  addTo(memory, local, held);
  const { id, place } = held.item;
  memory.overlay.ids.set(bytesKey(id), { id, row: { local, height: place.height } });
}

/** Takes in an entry that cannot be decrypted. */
export function takeUnknown(
  memory: IndexMemory,
  one: Lacking,
  envelope: CID,
  place: EntryPlace,
): void {
  const { id, kind } = one;
  const row = { kind, envelope, place, height: place.height };
  memory.overlay.ids.set(bytesKey(id), { id, row });
  lack(memory, one);
}

/** Adds an entry to a list of entries, without a row of its id. */
export function addTo(memory: IndexMemory, local: Uint8Array, held: Held): void {
  const { overlay, people } = memory;
  const key = bytesKey(local);
  const fresh = overlay.fresh.get(key);
  if (fresh === undefined) overlay.fresh.set(key, { local, held: [held] });
  else fresh.held.push(held);
  const known = knownPerson(memory, key);
  if (known === undefined) return;
  known.held.push(held);
  known.byId.set(bytesKey(held.item.id), held);
  people.grew(key);
}

/** Strips an entry about a person of everything but its place and what erased it. */
export function tombstone(
  { overlay }: IndexMemory,
  of: Person,
  id: Uint8Array,
  by: Uint8Array,
): void {
  const held = of.byId.get(bytesKey(id));
  if (held === undefined || held.item.erasedBy !== undefined) return;
  const { manifest: _, ...rest } = held.item;
  held.item = { ...rest, erasedBy: by };
  of.erased++;
  held.encoded = undefined;
  held.brief = undefined;
  overlay.mustFlush = true;
  if (held.page === undefined) return;
  const key = bytesKey(of.local);
  const dirty = overlay.dirty.get(key) ?? { person: of, pages: new Set<number>(), erased: 0 };
  dirty.pages.add(held.page);
  dirty.erased++;
  overlay.dirty.set(key, dirty);
}

/** The same for an entry that cannot be decrypted. */
export function tombstoneUnknown(
  memory: IndexMemory,
  id: Uint8Array,
  known: IdRow,
  by: Uint8Array,
): void {
  const { overlay } = memory;
  if (known.local !== undefined || known.erasedBy !== undefined) return;
  const key = bytesKey(id);
  const before = overlay.ids.has(key) ? overlay.ids.get(key)!.before : known;
  const next = { id, row: { ...known, erasedBy: by } };
  overlay.ids.set(key, before === undefined ? next : { ...next, before });
  overlay.mustFlush = true;
  memory.isLackingChanged = true;
  memory.lacking!.delete(key);
}
