import type { CID } from "multiformats/cid";
import { toHex } from "../../bytes/hex.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import type { StateChange } from "../../storage/types.ts";
import type { Directory } from "./directory.ts";
import type { IndexNames } from "./names.ts";
import type { IndexRecord } from "./record.ts";
import type { IdRow, IndexItem, Lacking, PageEntry } from "./rows.ts";

/** An entry about a person, and the page that holds it; no page while it is in memory only. */
export interface Held {
  item: IndexItem;
  page?: number;
  /** The manifest's bytes, if they were made in this process and are in no page yet. */
  encoded?: Uint8Array;
}

/** Everything that is about one person, in ledger order. */
export interface Person {
  readonly local: Uint8Array;
  readonly held: Held[];
  readonly byId: Map<string, Held>;
}

/** Entries taken in since the record. */
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

const CACHED_PEOPLE = 256;
const CACHED_ITEMS = 100_000;

/** People read recently; the oldest are dropped first. */
export interface PeopleCache {
  get(hex: string): Person | undefined;
  put(person: Person): void;
  /** Counts one more entry of a cached person. */
  grew(hex: string): void;
  clear(): void;
}

function peopleCache(): PeopleCache {
  const people = new Map<string, Person>();
  let items = 0;
  return {
    get: (hex) => people.get(hex),
    put(person) {
      while (people.size > 0 && (people.size >= CACHED_PEOPLE || items > CACHED_ITEMS)) {
        const [hex, oldest] = people.entries().next().value!;
        people.delete(hex);
        items -= oldest.held.length;
      }
      people.set(toHex(person.local), person);
      items += person.held.length;
    },
    grew(hex) {
      if (people.has(hex)) items++;
    },
    clear() {
      people.clear();
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
  const hex = toHex(id);
  let name = idNames.get(hex);
  if (name === undefined) idNames.set(hex, (name = stored!.names.id(id)));
  return name;
}

/** A person who is completely in memory. */
export function knownPerson({ overlay, people }: IndexMemory, hex: string): Person | undefined {
  return overlay.dirty.get(hex)?.person ?? people.get(hex);
}

/** Changes a row of the directory; `null` removes it. */
export function stage({ overlay }: IndexMemory, name: Uint8Array, value: Uint8Array | null): void {
  overlay.rows.set(toHex(name), { name, value });
}

/** Adds to the entries that could not be decrypted. */
export function lack(memory: IndexMemory, one: Lacking): void {
  memory.isLackingChanged = true;
  memory.lacking!.set(toHex(one.id), one);
}

/** Takes in an entry about a person. */
export function take(memory: IndexMemory, local: Uint8Array, entry: PageEntry): void {
  addTo(memory, local, entry);
  const { id, place } = entry.item;
  memory.overlay.ids.set(toHex(id), { id, row: { local, height: place.height } });
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
  memory.overlay.ids.set(toHex(id), { id, row });
  lack(memory, one);
}

/** Adds an entry to a list of entries, without a row of its id. */
export function addTo(memory: IndexMemory, local: Uint8Array, { item, encoded }: PageEntry): void {
  const { overlay, people } = memory;
  const hex = toHex(local);
  const held: Held = encoded === undefined ? { item } : { item, encoded };
  const fresh = overlay.fresh.get(hex);
  if (fresh === undefined) overlay.fresh.set(hex, { local, held: [held] });
  else fresh.held.push(held);
  const known = knownPerson(memory, hex);
  if (known === undefined) return;
  known.held.push(held);
  known.byId.set(toHex(item.id), held);
  people.grew(hex);
}

/** Strips an entry about a person of everything but its place and what erased it. */
export function tombstone(
  { overlay }: IndexMemory,
  of: Person,
  id: Uint8Array,
  by: Uint8Array,
): void {
  const held = of.byId.get(toHex(id));
  if (held === undefined || held.item.erasedBy !== undefined) return;
  const { manifest: _, ...rest } = held.item;
  held.item = { ...rest, erasedBy: by };
  delete held.encoded;
  overlay.mustFlush = true;
  if (held.page === undefined) return;
  const hex = toHex(of.local);
  const dirty = overlay.dirty.get(hex) ?? { person: of, pages: new Set<number>(), erased: 0 };
  dirty.pages.add(held.page);
  dirty.erased++;
  overlay.dirty.set(hex, dirty);
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
  const hex = toHex(id);
  const before = overlay.ids.has(hex) ? overlay.ids.get(hex)!.before : known;
  const next = { id, row: { ...known, erasedBy: by } };
  overlay.ids.set(hex, before === undefined ? next : { ...next, before });
  overlay.mustFlush = true;
  memory.isLackingChanged = true;
  memory.lacking!.delete(hex);
}
