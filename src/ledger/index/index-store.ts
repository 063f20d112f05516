import type { CID } from "multiformats/cid";
import { bytesKey } from "../../bytes/bytes-key.ts";
import { equalBytes } from "../../bytes/compare.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { leafHash } from "../../merkle/hash.ts";
import type { StateChange } from "../../storage/types.ts";
import type { LedgerContext } from "../context.ts";
import { EMPTY_DIRECTORY } from "./directory-node.ts";
import { openDirectory } from "./directory.ts";
import type { Held } from "./held.ts";
import { IndexMoved } from "./loss.ts";
import {
  addTo,
  emptyMemory,
  lack,
  resetMemory,
  clearOverlay,
  take,
  takeUnknown,
  tombstone,
  tombstoneUnknown,
  type Person,
} from "./memory.ts";
import { GENERATION_BYTES, indexNames } from "./names.ts";
import { indexedPersons, type IndexedPersons } from "./persons.ts";
import { indexReader } from "./reader.ts";
import { encodeIndexRecord, isSameRecord, type IndexRecord } from "./record.ts";
import type { IdRow, Lacking } from "./rows.ts";
import { buildStep, writeAhead } from "./step.ts";

/**
 * The index as the store holds it under one root, and later entries in memory. It must not be used
 * by several callers at once: the catalogue gives turns.
 */
export interface Index extends IndexedPersons {
  /** Reads the record, or starts from nothing if there is none for this ledger. */
  open(): Promise<void>;
  isOpen(): boolean;
  /** Discards the contents of memory, since another process moved the index. */
  reset(): void;
  /** Starts from nothing, whatever exists already. */
  beginAnew(): Promise<void>;
  /** Rejects, saying what is lost, or with {@link IndexMoved}. */
  lost(what: string, cause?: unknown): Promise<never>;
  /** Writes everything that is in memory only, in one step with the record. */
  flush(): Promise<void>;
  /** The next block to take in. */
  mark(): number;
  /** The first block that the record does not cover. */
  height(): number;
  /** Continues after a block whose header has this hash as a leaf. */
  moveOn(leaf: Uint8Array): void;
  /** Entries in memory only. */
  waiting(): number;
  /** Whether there are erased data that have yet to be removed from the store. */
  mustFlush(): boolean;
  /** Which entries are in the store's index already. */
  knows(ids: readonly Uint8Array[]): Promise<boolean[]>;
  /** Whether an entry is in memory, by the key of its id. */
  hasTaken(key: string): boolean;
  /** Everything about one person. */
  person(local: Uint8Array): Promise<Person>;
  /** The entries of several short lists; they do not stay in memory. */
  lists(locals: readonly Uint8Array[]): Promise<readonly (readonly Held[])[]>;
  /** A person from memory, if nothing prevents using it. */
  cached(local: Uint8Array): Person | undefined;
  /** The row under an id; `undefined` if the id is provably not one of this member's. */
  idRow(id: Uint8Array): Promise<IdRow | undefined>;
  /** Takes in an entry about a person. */
  take(local: Uint8Array, held: Held): void;
  /** Adds an entry to another list of entries besides that of its person. */
  addTo(local: Uint8Array, held: Held): void;
  /** Takes in an entry that cannot be decrypted. */
  takeUnknown(one: Lacking, envelope: CID, place: EntryPlace): void;
  lack(one: Lacking): void;
  /** Entries that could not be decrypted, although nothing erased them. */
  lacking(): Promise<readonly Lacking[]>;
  tombstone(of: Person, id: Uint8Array, by: Uint8Array): void;
  tombstoneUnknown(id: Uint8Array, known: IdRow, by: Uint8Array): void;
  /** Changes of the vault to commit with the next step, or before it. */
  alsoRemove(changes: readonly StateChange[]): void;
}

/** Opens the index; nothing is read before {@link Index.open}. */
export function openIndex(context: LedgerContext): Index {
  const { chain, vault, storage, random } = context;
  const memory = emptyMemory();
  const reader = indexReader(context, memory);

  /** A record beyond the end, or over different blocks, belongs to another history. */
  async function isOfThisLedger(record: IndexRecord): Promise<boolean> {
    if (record.height === 0) return record.header === null;
    await chain.refresh();
    if (record.height > chain.size || record.header === null) return false;
    const { block } = await chain.readBlock(record.height - 1);
    return equalBytes(leafHash(block.header), record.header);
  }

  function adopt(record: IndexRecord): void {
    resetMemory(memory);
    const { generation } = record;
    memory.stored = {
      record,
      names: indexNames(vault, generation),
      directory: openDirectory(storage.state, (place) => vault.indexNodeKey(generation, place)),
    };
    memory.isSwept = record.swept;
    memory.mark = record.height;
    memory.header = record.header;
  }

  async function open(): Promise<void> {
    if (memory.stored === undefined) {
      const record = await reader.record();
      if (record === undefined || !(await isOfThisLedger(record))) await beginAnew(record);
      else adopt(record);
    }
    if (!memory.isSwept) {
      // Left by earlier generations: no erasure would know of these rows.
      await vault.discardOtherIndexes(memory.stored!.record.generation);
      memory.isSwept = true;
    }
    await reader.lacking();
  }

  /** Starts from nothing, unless another process did so meanwhile. */
  async function beginAnew(instead?: IndexRecord): Promise<void> {
    const given = instead ?? memory.stored?.record;
    const record = await vault.exclusively(async () => {
      const now = await reader.record();
      const isOther = now !== undefined && (given === undefined || !isSameRecord(now, given));
      if (isOther && (await isOfThisLedger(now))) return { result: now, changes: [] };
      const fresh: IndexRecord = {
        generation: random(GENERATION_BYTES),
        swept: false,
        height: 0,
        header: null,
        root: EMPTY_DIRECTORY,
      };
      const value = encodeIndexRecord(vault, fresh);
      return { result: fresh, changes: [{ key: vault.indexRecordKey, value }] };
    });
    adopt(record);
  }

  async function flush(): Promise<void> {
    const { stored, overlay, mark, isSwept } = memory;
    if (stored === undefined) return;
    const { record } = stored;
    const nothing =
      mark === record.height &&
      isSwept === record.swept &&
      overlay.rows.size + overlay.ids.size + overlay.dirty.size + overlay.removed.length === 0 &&
      !memory.isLackingChanged;
    if (nothing) return;
    const { next, paged } = await vault.exclusively(async () => {
      const now = await reader.record();
      if (now === undefined || !isSameRecord(now, record)) throw new IndexMoved();
      const built = await buildStep(context, memory, reader);
      const first = await writeAhead(context, built.before, built.step.length);
      return { result: built, changes: [...first, ...built.step] };
    });
    for (const [held, page] of paged) {
      held.page = page;
      if (held.brief === undefined) held.encoded = undefined;
    }
    stored.record = next;
    clearOverlay(memory);
  }

  return {
    open,
    flush,
    ...indexedPersons(memory, reader),
    lost: reader.lost,
    person: reader.person,
    lists: reader.lists,
    idRow: reader.idRow,
    knows: reader.knows,
    reset: () => resetMemory(memory),
    async beginAnew() {
      await beginAnew(await reader.record());
    },
    isOpen: () => memory.stored !== undefined,
    mark: () => memory.mark,
    height: () => memory.stored!.record.height,
    waiting: () => memory.overlay.ids.size,
    mustFlush: () => memory.overlay.mustFlush,
    moveOn(leaf) {
      memory.mark++;
      memory.header = leaf;
    },
    hasTaken: (key) => memory.overlay.ids.has(key),
    cached(local) {
      const { lacking, stored, people } = memory;
      if (lacking === undefined || lacking.size > 0 || stored === undefined) return undefined;
      return people.get(bytesKey(local));
    },
    take: (local, held) => take(memory, local, held),
    addTo: (local, held) => addTo(memory, local, held),
    takeUnknown: (one, envelope, place) => takeUnknown(memory, one, envelope, place),
    lack: (one) => lack(memory, one),
    lacking: async () => [...(await reader.lacking()).values()],
    tombstone: (of, id, by) => tombstone(memory, of, id, by),
    tombstoneUnknown: (id, known, by) => tombstoneUnknown(memory, id, known, by),
    alsoRemove(changes) {
      for (const change of changes) memory.overlay.removed.push(change);
      memory.overlay.mustFlush = true;
    },
  };
}
