import type { CID } from "multiformats/cid";
import { equalBytes } from "../../bytes/compare.ts";
import { fromHex, toHex } from "../../bytes/hex.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { LedgerError, StorageError } from "../../errors.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import { leafHash } from "../../merkle/hash.ts";
import { EMPTY_MAP } from "../../merkle/sparse-map.ts";
import type { StateChange } from "../../storage/types.ts";
import type { LedgerContext } from "../context.ts";
import { openDirectory, type Directory } from "./directory.ts";
import { GENERATION_BYTES, generationOf, indexNames, isIdName, type IndexNames } from "./names.ts";
import { decodeIndexRecord, encodeIndexRecord, isSameRecord, type IndexRecord } from "./record.ts";
import {
  decodeHead,
  decodeIdRow,
  decodeIdSums,
  decodeLacking,
  decodePage,
  decodeSubject,
  encodeHead,
  encodeIdRow,
  encodeIdSums,
  encodeLacking,
  encodePage,
  encodeSubject,
  nextDigest,
  NO_ENTRIES,
  noIds,
  PAGE_ITEMS,
  sumId,
  type IdRow,
  type IndexItem,
  type Lacking,
  type PageEntry,
  type PersonIdentifier,
  type StoredSubject,
} from "./rows.ts";

/** Thrown where another process moved the index: what is in memory is not of its record any more. */
export class IndexMoved extends Error {}

/** Whether an error says that something is gone or damaged, rather than that a store did not answer. */
export const isLoss = (error: unknown): error is LedgerError =>
  error instanceof LedgerError &&
  (!(error instanceof StorageError) || LOSSES.includes(error.code as string));

const LOSSES: readonly string[] = [
  "ERR_STORAGE_CORRUPT",
  "ERR_STORAGE_ERASED",
  "ERR_STORAGE_MISSING",
];

/** An entry about a person, and the page it stands in; none while it is in memory only. */
export interface Held {
  item: IndexItem;
  page?: number;
  /** The manifest's bytes, where they were made in this process and stand in no page yet. */
  encoded?: Uint8Array;
}

/** Everything that is about one person, in ledger order. */
export interface Person {
  readonly local: Uint8Array;
  readonly held: Held[];
  readonly byId: Map<string, Held>;
}

/** What was taken in since the record. */
interface Overlay {
  readonly fresh: Map<string, { readonly local: Uint8Array; readonly held: Held[] }>;
  readonly ids: Map<
    string,
    { readonly id: Uint8Array; readonly row: IdRow; readonly before?: IdRow }
  >;
  /** Rows of the directory; `null` for those to be removed. */
  readonly rows: Map<string, { readonly name: Uint8Array; readonly value: Uint8Array | null }>;
  /** Pages in the store of which something was erased. */
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

const CACHED_PEOPLE = 256;
const CACHED_ITEMS = 100_000;
/** Changes and bytes that go into one step; what may stand in the store before is written before. */
const TOGETHER = 8000;
const BYTES_TOGETHER: number = 8 * 1024 * 1024;
const PAGES_TOGETHER = 64;

/**
 * The index as the store holds it under one root, and in memory what came since. Not for use by
 * several callers at once: the catalogue gives turns.
 */
export interface Index {
  /** Reads the record, or begins from nothing where there is none of this ledger. */
  open(): Promise<void>;
  isOpen(): boolean;
  /** Forgets what is in memory, since another process moved the index. */
  reset(): void;
  /** Begins from nothing, whatever is there. */
  beginAnew(): Promise<void>;
  /** Rejects, saying what is lost, or with {@link IndexMoved}. */
  lost(what: string, cause?: unknown): Promise<never>;
  /** Writes what is in memory only, in one step with the record. */
  flush(): Promise<void>;
  /** The next block to take in. */
  mark(): number;
  /** The first block that the record does not cover. */
  height(): number;
  /** Goes on behind a block whose header has this hash as a leaf. */
  moveOn(leaf: Uint8Array): void;
  /** Entries in memory only. */
  waiting(): number;
  /** Whether something was erased that is to be gone from the store. */
  mustFlush(): boolean;
  /** Which entries stand in the store's index already. */
  knows(ids: readonly Uint8Array[]): Promise<boolean[]>;
  hasTaken(hex: string): boolean;
  /** Everything about one person. */
  person(local: Uint8Array): Promise<Person>;
  /** What is in memory about a person, where nothing stands against giving it out. */
  cached(local: Uint8Array): Person | undefined;
  /** What is known under an id; `undefined` where it provably is none of this member's. */
  idRow(id: Uint8Array): Promise<IdRow | undefined>;
  /** Takes in an entry about a person. */
  take(local: Uint8Array, entry: PageEntry): void;
  /** Adds an entry to another list of entries beside its person's. */
  addTo(local: Uint8Array, entry: PageEntry): void;
  /** Takes in an entry that does not open. */
  takeUnknown(one: Lacking, envelope: CID, place: EntryPlace): void;
  lack(one: Lacking): void;
  /** Entries that did not open, though nothing erased them. */
  lacking(): Promise<readonly Lacking[]>;
  identify(local: Uint8Array, identity: StoredSubject): Promise<void>;
  personWith(identifier: PersonIdentifier): Promise<Uint8Array | undefined>;
  subject(local: Uint8Array): Promise<StoredSubject | undefined>;
  forget(local: Uint8Array): Promise<void>;
  tombstone(of: Person, id: Uint8Array, by: Uint8Array): void;
  tombstoneUnknown(id: Uint8Array, known: IdRow, by: Uint8Array): void;
  /** Changes of the vault that go with the next step, or before it. */
  alsoRemove(changes: readonly StateChange[]): void;
}

/** Opens the index; nothing is read before {@link Index.open}. */
export function openIndex(context: LedgerContext): Index {
  const { chain, vault, storage, random } = context;
  const people = new Map<string, Person>();
  let cachedItems = 0;
  let base: IndexRecord | undefined;
  let names: IndexNames;
  let directory: Directory;
  let isSwept = false;
  let mark = 0;
  let header: Uint8Array | null = null;
  let overlay = emptyOverlay();
  let lacking: Map<string, Lacking> | undefined;
  let isLackingChanged = false;
  /** Names of rows of ids, from when an entry is looked for until its row is written. */
  const idNames = new Map<string, Uint8Array>();

  function idName(id: Uint8Array): Uint8Array {
    const hex = toHex(id);
    let name = idNames.get(hex);
    if (name === undefined) idNames.set(hex, (name = names.id(id)));
    return name;
  }

  async function readRecord(): Promise<IndexRecord | undefined> {
    const stored = await storage.state.get(vault.indexRecordKey);
    return stored === undefined ? undefined : decodeIndexRecord(vault, stored);
  }

  /** A record beyond the end, or over other blocks, is of another history. */
  async function isOfThisLedger(record: IndexRecord): Promise<boolean> {
    if (record.height === 0) return record.header === null;
    await chain.refresh();
    if (record.height > chain.size || record.header === null) return false;
    const { block } = await chain.readBlock(record.height - 1);
    return equalBytes(leafHash(block.header), record.header);
  }

  function reset(): void {
    base = undefined;
    overlay = emptyOverlay();
    lacking = undefined;
    isLackingChanged = false;
    people.clear();
    cachedItems = 0;
    idNames.clear();
  }

  function adopt(record: IndexRecord): void {
    reset();
    base = record;
    isSwept = record.swept;
    mark = record.height;
    header = record.header;
    names = indexNames(vault, record.generation);
    directory = openDirectory(storage.state, (hash) => vault.indexNodeKey(record.generation, hash));
  }

  async function open(): Promise<void> {
    if (base === undefined) {
      const record = await readRecord();
      if (record === undefined || !(await isOfThisLedger(record))) await beginAnew(record);
      else adopt(record);
    }
    if (!isSwept) await sweep();
    await knowLacking();
  }

  /** Begins from nothing, unless another process did meanwhile. */
  async function beginAnew(instead?: IndexRecord): Promise<void> {
    const given = instead ?? base;
    const record = await vault.exclusively(async () => {
      const now = await readRecord();
      const isOther = now !== undefined && (given === undefined || !isSameRecord(now, given));
      if (isOther && (await isOfThisLedger(now))) return { result: now, changes: [] };
      const fresh: IndexRecord = {
        generation: random(GENERATION_BYTES),
        swept: false,
        height: 0,
        header: null,
        root: EMPTY_MAP,
      };
      const value = encodeIndexRecord(vault, fresh);
      return { result: fresh, changes: [{ key: vault.indexRecordKey, value }] };
    });
    adopt(record);
  }

  /** Removes what earlier buildings left, of which no erasure would know. */
  async function sweep(): Promise<void> {
    await vault.discardOtherIndexes(base!.generation);
    isSwept = true;
  }

  /** Says what is lost, unless the index was moved by another process. */
  async function lost(what: string, cause?: unknown): Promise<never> {
    const now = await readRecord();
    if (now === undefined || !isSameRecord(now, base!)) throw new IndexMoved();
    throw new StorageError(
      "ERR_STORAGE_CORRUPT",
      `the store has lost or damaged ${what} of this member's index: restore it, or open with repair.index`,
      { cause },
    );
  }

  /** Rows of the directory; `undefined` where there provably is none. */
  async function rows(
    wanted: readonly Uint8Array[],
    what: string,
  ): Promise<(Uint8Array | undefined)[]> {
    try {
      const leaves = await directory.read(base!.root, wanted);
      const values = await vault.getMany(wanted);
      for (const [i, leaf] of leaves.entries()) {
        if (leaf === undefined) continue;
        const value = values[i];
        if (value === undefined || !equalBytes(vault.mac("row", wanted[i]!, value), leaf)) {
          return await lost(what);
        }
      }
      return values.map((value, i) => (leaves[i] === undefined ? undefined : value));
    } catch (error) {
      if (!isLoss(error)) throw error;
      return lost(what, error);
    }
  }

  async function row(name: Uint8Array, what: string): Promise<Uint8Array | undefined> {
    const staged = overlay.rows.get(toHex(name));
    if (staged !== undefined) return staged.value ?? undefined;
    return (await rows([name], what))[0];
  }

  const stage = (name: Uint8Array, value: Uint8Array | null): void =>
    void overlay.rows.set(toHex(name), { name, value });

  async function knowLacking(): Promise<Map<string, Lacking>> {
    if (lacking === undefined) {
      const stored = await row(names.lacking, "the list of what does not open");
      const all = stored === undefined ? [] : decodeLacking(stored);
      lacking = new Map(all.map((one) => [toHex(one.id), one]));
    }
    return lacking;
  }

  function lack(one: Lacking): void {
    isLackingChanged = true;
    lacking!.set(toHex(one.id), one);
  }

  function cache(person: Person): void {
    while (people.size > 0 && (people.size >= CACHED_PEOPLE || cachedItems > CACHED_ITEMS)) {
      const [hex, oldest] = people.entries().next().value!;
      people.delete(hex);
      cachedItems -= oldest.held.length;
    }
    people.set(toHex(person.local), person);
    cachedItems += person.held.length;
  }

  async function person(local: Uint8Array): Promise<Person> {
    const hex = toHex(local);
    const cached = overlay.dirty.get(hex)?.person ?? people.get(hex);
    if (cached !== undefined) return cached;
    const what = `entries about a person (${hex})`;
    const stored = await row(names.head(local), what);
    const head = stored === undefined ? NO_ENTRIES : decodeHead(stored);
    const held: Held[] = [];
    let { digest } = NO_ENTRIES;
    try {
      for (let page = 0; page < head.pages; page += PAGES_TOGETHER) {
        const length = Math.min(PAGES_TOGETHER, head.pages - page);
        const pages = Array.from({ length }, (_, i) => names.page(local, page + i));
        for (const [i, value] of (await vault.getMany(pages)).entries()) {
          if (value === undefined) return await lost(what);
          for (const item of decodePage(value)) {
            digest = nextDigest(digest, item);
            held.push({ item, page: page + i });
          }
        }
      }
    } catch (error) {
      if (!isLoss(error)) throw error;
      return lost(what, error);
    }
    const erased = held.filter(({ item }) => item.erasedBy !== undefined).length;
    const isWhole =
      held.length === head.count && erased === head.erased && equalBytes(digest, head.digest);
    if (!isWhole) return lost(what);
    for (const one of overlay.fresh.get(hex)?.held ?? []) held.push(one);
    const byId = new Map(held.map((one) => [toHex(one.item.id), one]));
    const found: Person = { local, held, byId };
    cache(found);
    return found;
  }

  function addTo(local: Uint8Array, { item, encoded }: PageEntry): void {
    const hex = toHex(local);
    const held: Held = encoded === undefined ? { item } : { item, encoded };
    const fresh = overlay.fresh.get(hex);
    if (fresh === undefined) overlay.fresh.set(hex, { local, held: [held] });
    else fresh.held.push(held);
    const known = overlay.dirty.get(hex)?.person ?? people.get(hex);
    if (known === undefined) return;
    known.held.push(held);
    known.byId.set(toHex(item.id), held);
    if (people.has(hex)) cachedItems++;
  }

  async function storedIdRow(id: Uint8Array): Promise<IdRow | undefined> {
    const value = await vault.get(names.id(id));
    const found = value === undefined ? undefined : decodeIdRow(value);
    // Beyond the record it was left by a step that did not come to its end.
    return found !== undefined && found.height < base!.height ? found : undefined;
  }

  async function idRow(id: Uint8Array): Promise<IdRow | undefined> {
    const taken = overlay.ids.get(toHex(id));
    if (taken !== undefined) return taken.row;
    const what = `the row of entry ${toHex(id)}, or one beside it,`;
    try {
      const found = await storedIdRow(id);
      if (found !== undefined) return found;
      await assertNoSuchId(id, what);
      return undefined;
    } catch (error) {
      if (!isLoss(error)) throw error;
      return lost(what, error);
    }
  }

  /** Sums up the rows among which an id would be: when none of them is lost, it is not there. */
  async function assertNoSuchId(id: Uint8Array, what: string): Promise<void> {
    const part = names.id(id)[0]!;
    const stored = await row(names.ids, "the sums over its ids");
    const expected = stored === undefined ? noIds() : decodeIdSums(stored);
    const { generation, height } = base!;
    const found = noIds();
    const rowsOfIds = vault.scan(
      Uint8Array.of(part),
      (name) => isIdName(name) && equalBytes(generationOf(name)!, generation),
    );
    for await (const { name, value } of rowsOfIds) {
      if (decodeIdRow(value).height < height) sumId(found, part, vault.mac("id", name, value), 1);
    }
    const sumOf = ({ sums }: typeof found): Uint8Array => sums.subarray(32 * part, 32 * (part + 1));
    if (
      found.counts[part] !== expected.counts[part] ||
      !equalBytes(sumOf(found), sumOf(expected))
    ) {
      await lost(what);
    }
  }

  /**
   * Heads of persons. Where one is lost, the person is refused until the index is built again, and
   * what came is not added to what is unknown; nobody else suffers for it.
   */
  async function headsOf(
    concerned: readonly string[],
  ): Promise<(Uint8Array | "lost" | undefined)[]> {
    const headNames = concerned.map((hex) => names.head(fromHex(hex)));
    try {
      return await rows(headNames, "heads of persons");
    } catch (error) {
      if (!isLoss(error)) throw error;
    }
    const found: (Uint8Array | "lost" | undefined)[] = [];
    for (const [i, name] of headNames.entries()) {
      try {
        found.push((await rows([name], "the head of a person"))[0]);
      } catch (error) {
        if (!isLoss(error)) throw error;
        const hex = concerned[i]!;
        const one = overlay.fresh.get(hex)?.held[0] ?? overlay.dirty.get(hex)?.person.held[0];
        if (one === undefined) throw error;
        lack({ id: one.item.id, kind: one.item.kind, local: fromHex(hex) });
        found.push("lost");
      }
    }
    return found;
  }

  /** What the store must hold after this step, and what may stand there before. */
  async function buildStep() {
    const before: StateChange[] = [];
    const erasing: StateChange[] = [];
    const step: StateChange[] = [];
    const leaves = new Map(overlay.rows);
    const leaf = (name: Uint8Array, value: Uint8Array | null): void =>
      void leaves.set(toHex(name), { name, value });
    if (overlay.ids.size > 0) {
      const stored = await row(names.ids, "the sums over its ids");
      const sums = stored === undefined ? noIds() : decodeIdSums(stored);
      for (const { id, row: known, before: former } of overlay.ids.values()) {
        const name = idName(id);
        const value = encodeIdRow(known);
        before.push(vault.put(name, value));
        const macOf = (bytes: Uint8Array): Uint8Array => vault.mac("id", name, bytes);
        sumId(sums, name[0]!, macOf(value), former === undefined ? 1 : 0);
        if (former !== undefined) sumId(sums, name[0]!, macOf(encodeIdRow(former)), 0);
        await giveTurn();
      }
      leaf(names.ids, encodeIdSums(sums));
    }
    const concerned = [...new Set([...overlay.fresh.keys(), ...overlay.dirty.keys()])];
    const heads = await headsOf(concerned);
    const paged: (readonly [Held, number])[] = [];
    for (const [i, hex] of concerned.entries()) {
      const local = fromHex(hex);
      const stored = heads[i];
      if (stored === "lost") continue;
      let { count, digest, pages, erased } = stored === undefined ? NO_ENTRIES : decodeHead(stored);
      const dirty = overlay.dirty.get(hex);
      for (const page of dirty?.pages ?? []) {
        const items = dirty!.person.held.filter((held) => held.page === page);
        erasing.push(vault.put(names.page(local, page), encodePage(items)));
      }
      erased += dirty?.erased ?? 0;
      const fresh = overlay.fresh.get(hex)?.held ?? [];
      for (let at = 0; at < fresh.length; at += PAGE_ITEMS) {
        const some = fresh.slice(at, at + PAGE_ITEMS);
        for (const held of some) {
          digest = nextDigest(digest, held.item);
          if (held.item.erasedBy !== undefined) erased++;
          paged.push([held, pages]);
        }
        count += some.length;
        before.push(vault.put(names.page(local, pages++), encodePage(some)));
        await giveTurn();
      }
      leaf(names.head(local), encodeHead({ count, digest, pages, erased }));
      await giveTurn();
    }
    if (isLackingChanged) {
      const all = [...(await knowLacking()).values()];
      leaf(names.lacking, all.length === 0 ? null : encodeLacking(all));
    }
    const changed = [...leaves.values()];
    for (const { name, value } of changed) {
      if (value === null) erasing.push(vault.remove(name));
      else step.push(vault.put(name, value));
    }
    const updated = await directory
      .update(
        base!.root,
        changed.map(({ name, value }) => [
          name,
          value === null ? null : vault.mac("row", name, value),
        ]),
      )
      .catch((error: unknown) => {
        if (!isLoss(error)) throw error;
        return lost("nodes", error);
      });
    const next: IndexRecord = {
      generation: base!.generation,
      swept: isSwept,
      height: mark,
      header,
      root: updated.root,
    };
    const record = { key: vault.indexRecordKey, value: encodeIndexRecord(vault, next) };
    const { removed } = overlay;
    const gone = [...removed, ...erasing];
    return {
      next,
      paged,
      before: [
        ...(gone.length === 0 ? [] : vault.outdate(gone)),
        ...removed,
        ...before,
        ...updated.added,
      ],
      step: [...erasing, ...step, ...updated.removed, record],
    };
  }

  async function flush(): Promise<void> {
    if (base === undefined) return;
    const nothing =
      mark === base.height &&
      isSwept === base.swept &&
      overlay.rows.size + overlay.ids.size + overlay.dirty.size + overlay.removed.length === 0 &&
      !isLackingChanged;
    if (nothing) return;
    const { next, paged } = await vault.exclusively(async () => {
      const now = await readRecord();
      if (now === undefined || !isSameRecord(now, base!)) throw new IndexMoved();
      const built = await buildStep();
      const first = await inAdvance(built.before, built.step.length);
      return { result: built, changes: [...first, ...built.step] };
    });
    for (const [held, page] of paged) {
      held.page = page;
      delete held.encoded;
    }
    base = next;
    overlay = emptyOverlay();
    isLackingChanged = false;
    idNames.clear();
  }

  /** Writes ahead what is too much for one step; returns what is not. */
  async function inAdvance(
    changes: readonly StateChange[],
    others: number,
  ): Promise<readonly StateChange[]> {
    const limit = Math.min(TOGETHER, storage.state.caps.maxBatch - 1);
    const bytes = changes.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
    if (changes.length + others < limit && bytes < BYTES_TOGETHER) return changes;
    const most = Math.max(1, Math.min(500, limit));
    for (let at = 0; at < changes.length; at += most) {
      await storage.state.batch(changes.slice(at, at + most), { sync: false });
    }
    return [];
  }

  return {
    open,
    reset,
    lost,
    flush,
    person,
    idRow,
    addTo,
    lack,
    /** Begins from nothing, whatever is there. */
    async beginAnew(): Promise<void> {
      await beginAnew(await readRecord());
    },
    isOpen: (): boolean => base !== undefined,
    /** The next block to take in. */
    mark: (): number => mark,
    /** The first block that the record does not cover. */
    height: (): number => base!.height,
    /** Entries in memory only. */
    waiting: (): number => overlay.ids.size,
    /** Whether something was erased that is to be gone from the store. */
    mustFlush: (): boolean => overlay.mustFlush,
    /** Goes on behind a block with this header. */
    moveOn(leaf: Uint8Array): void {
      mark++;
      header = leaf;
    },
    hasTaken: (hex: string): boolean => overlay.ids.has(hex),
    /** Which entries stand in the store's index already. */
    async knows(ids: readonly Uint8Array[]): Promise<boolean[]> {
      try {
        const found = await vault.getMany(ids.map(idName));
        return found.map(
          (value) => value !== undefined && decodeIdRow(value).height < base!.height,
        );
      } catch (error) {
        if (!isLoss(error)) throw error;
        return ids.map(() => false);
      }
    },
    take(local: Uint8Array, entry: PageEntry): void {
      addTo(local, entry);
      const { id, place } = entry.item;
      overlay.ids.set(toHex(id), { id, row: { local, height: place.height } });
    },
    /** Takes in an entry that does not open. */
    takeUnknown(one: Lacking, envelope: CID, place: EntryPlace): void {
      const { id, kind } = one;
      overlay.ids.set(toHex(id), { id, row: { kind, envelope, place, height: place.height } });
      lack(one);
    },
    /** Entries that did not open, though nothing erased them. */
    lacking: async (): Promise<readonly Lacking[]> => [...(await knowLacking()).values()],
    async identify(local: Uint8Array, { identifiers, key }: StoredSubject): Promise<void> {
      for (const { system, value } of identifiers) {
        const name = names.identifier(system, value);
        // Of two processes that met a person at once, the one that filed first made him known.
        if ((await row(name, "the row of an identifier")) === undefined) stage(name, local);
      }
      const name = names.subject(local);
      const stored = await row(name, `the row of a person (${toHex(local)})`);
      const known = stored === undefined ? { identifiers: [], key } : decodeSubject(stored);
      const all = [...known.identifiers, ...identifiers];
      const distinct = new Map(all.map((one) => [JSON.stringify([one.system, one.value]), one]));
      stage(name, encodeSubject({ identifiers: [...distinct.values()], key: known.key }));
    },
    async personWith({ system, value }: PersonIdentifier): Promise<Uint8Array | undefined> {
      return row(names.identifier(system, value), "the row of an identifier");
    },
    async subject(local: Uint8Array): Promise<StoredSubject | undefined> {
      const stored = await row(names.subject(local), `the row of a person (${toHex(local)})`);
      return stored === undefined ? undefined : decodeSubject(stored);
    },
    async forget(local: Uint8Array): Promise<void> {
      const name = names.subject(local);
      const stored = await row(name, `the row of a person (${toHex(local)})`);
      if (stored === undefined) return;
      for (const { system, value } of decodeSubject(stored).identifiers) {
        const identifier = names.identifier(system, value);
        const holder = await row(identifier, "the row of an identifier");
        if (holder !== undefined && equalBytes(holder, local)) stage(identifier, null);
      }
      stage(name, null);
      overlay.mustFlush = true;
    },
    tombstone(of: Person, id: Uint8Array, by: Uint8Array): void {
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
    },
    tombstoneUnknown(id: Uint8Array, known: IdRow, by: Uint8Array): void {
      if (known.local !== undefined || known.erasedBy !== undefined) return;
      const hex = toHex(id);
      const before = overlay.ids.has(hex) ? overlay.ids.get(hex)!.before : known;
      const next = { id, row: { ...known, erasedBy: by } };
      overlay.ids.set(hex, before === undefined ? next : { ...next, before });
      overlay.mustFlush = true;
      isLackingChanged = true;
      lacking!.delete(hex);
    },
    alsoRemove(changes: readonly StateChange[]): void {
      for (const change of changes) overlay.removed.push(change);
      overlay.mustFlush = true;
    },
    /** What is in memory about a person, where nothing stands against giving it out. */
    cached(local: Uint8Array): Person | undefined {
      if (lacking === undefined || lacking.size > 0 || base === undefined) return undefined;
      return people.get(toHex(local));
    },
  };
}
