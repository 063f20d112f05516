import { equalBytes } from "../../bytes/compare.ts";
import { bytesKey } from "../../bytes/bytes-key.ts";
import { toHex } from "../../bytes/hex.ts";
import { StorageError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import { IndexMoved, isLoss } from "./loss.ts";
import { heldFrom, IN_HEAD, type Held } from "./held.ts";
import { idName, knownPerson, type IndexMemory, type Person } from "./memory.ts";
import { generationOf, isIdName } from "./names.ts";
import { decodeIndexRecord, isSameRecord, type IndexRecord } from "./record.ts";
import {
  decodeHead,
  decodeIdRow,
  decodeIdSums,
  decodeLacking,
  decodePage,
  nextDigest,
  NO_ENTRIES,
  noIds,
  sumId,
  type IdRow,
  type Lacking,
} from "./rows.ts";

/** Reads the index: from memory, or else from the store under the record's root. */
export interface IndexReader {
  /** The record currently in the store. */
  record(): Promise<IndexRecord | undefined>;
  /** Rejects, saying what is lost, or with {@link IndexMoved}. */
  lost(what: string, cause?: unknown): Promise<never>;
  /** Rows of the directory in the store; `undefined` if a row provably does not exist. */
  storedRows(wanted: readonly Uint8Array[], what: string): Promise<(Uint8Array | undefined)[]>;
  /** A row of the directory. */
  row(name: Uint8Array, what: string): Promise<Uint8Array | undefined>;
  /** Entries that could not be decrypted although nothing erased them, by their ids. */
  lacking(): Promise<Map<string, Lacking>>;
  /** Everything about one person. */
  person(local: Uint8Array): Promise<Person>;
  /** The entries of several short lists; they do not stay in memory. */
  lists(locals: readonly Uint8Array[]): Promise<readonly (readonly Held[])[]>;
  /** The row under an id; `undefined` if the id is provably not one of this member's. */
  idRow(id: Uint8Array): Promise<IdRow | undefined>;
  /** Which entries are in the store's index already. */
  knows(ids: readonly Uint8Array[]): Promise<boolean[]>;
}

/** Pages of entries read in one call. */
const PAGES_TOGETHER = 64;

/** @param memory - that of an index which is open whenever anything but `record` is called */
export function indexReader({ vault, storage }: LedgerContext, memory: IndexMemory): IndexReader {
  async function record(): Promise<IndexRecord | undefined> {
    const stored = await storage.state.get(vault.indexRecordKey);
    return stored === undefined ? undefined : decodeIndexRecord(vault, stored);
  }

  async function lost(what: string, cause?: unknown): Promise<never> {
    const now = await record();
    if (now === undefined || !isSameRecord(now, memory.stored!.record)) throw new IndexMoved();
    throw new StorageError(
      "ERR_STORAGE_CORRUPT",
      `the store has lost or damaged ${what} of this member's index: restore it, or open with repair.index`,
      { cause },
    );
  }

  async function storedRows(
    wanted: readonly Uint8Array[],
    what: string,
  ): Promise<(Uint8Array | undefined)[]> {
    const { directory, record: base } = memory.stored!;
    try {
      const leaves = await directory.read(base.root, wanted);
      // Most names of a feed are new: what provably does not exist is not looked for.
      const present = wanted.filter((_, i) => leaves[i] !== undefined);
      const values = (await vault.getMany(present)).values();
      const rows: (Uint8Array | undefined)[] = [];
      for (const [i, leaf] of leaves.entries()) {
        const value = leaf === undefined ? undefined : values.next().value;
        rows.push(value);
        if (leaf === undefined) continue;
        if (value === undefined || !equalBytes(vault.mac("row", wanted[i]!, value), leaf)) {
          return await lost(what);
        }
      }
      return rows;
    } catch (error) {
      if (!isLoss(error)) throw error;
      return lost(what, error);
    }
  }

  async function row(name: Uint8Array, what: string): Promise<Uint8Array | undefined> {
    const staged = memory.overlay.rows.get(bytesKey(name));
    if (staged !== undefined) return staged.value ?? undefined;
    return (await storedRows([name], what))[0];
  }

  async function lacking(): Promise<Map<string, Lacking>> {
    if (memory.lacking === undefined) {
      const stored = await row(
        memory.stored!.names.lacking,
        "the list of entries that cannot be decrypted",
      );
      const all = stored === undefined ? [] : decodeLacking(stored);
      memory.lacking = new Map(all.map((one) => [bytesKey(one.id), one]));
    }
    return memory.lacking;
  }

  /** The entries in the pages of a list, which its head vouches for. */
  async function pagesOf(
    local: Uint8Array,
    stored: Uint8Array | undefined,
    what: string,
  ): Promise<Held[]> {
    const { names } = memory.stored!;
    const head = stored === undefined ? NO_ENTRIES : decodeHead(stored);
    // The directory vouches for what is in the head itself.
    if (head.pages === 0) return head.items.map((item) => heldFrom(item, IN_HEAD));
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
            held.push(heldFrom(item, page + i));
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
    return held;
  }

  async function lists(locals: readonly Uint8Array[]): Promise<readonly (readonly Held[])[]> {
    const { names } = memory.stored!;
    const found: (readonly Held[])[] = [];
    const heads = await storedRows(locals.map(names.head), "the heads of lists of entries");
    for (const [i, local] of locals.entries()) {
      const key = bytesKey(local);
      const changed = knownPerson(memory, key);
      if (changed !== undefined) {
        found.push(changed.held);
        continue;
      }
      const fresh = memory.overlay.fresh.get(key)?.held ?? [];
      const older = await pagesOf(local, heads[i], `entries of a list (${toHex(local)})`);
      found.push([...older, ...fresh]);
    }
    return found;
  }

  async function person(local: Uint8Array): Promise<Person> {
    const key = bytesKey(local);
    const cached = knownPerson(memory, key);
    if (cached !== undefined) return cached;
    const what = `entries about a person (${toHex(local)})`;
    const stored = await row(memory.stored!.names.head(local), what);
    const held = await pagesOf(local, stored, what);
    for (const one of memory.overlay.fresh.get(key)?.held ?? []) held.push(one);
    const byId = new Map(held.map((one) => [bytesKey(one.item.id), one]));
    const found: Person = { local, held, byId, erased: 0 };
    memory.people.put(found);
    return found;
  }

  async function storedIdRow(id: Uint8Array): Promise<IdRow | undefined> {
    const value = await vault.get(memory.stored!.names.id(id));
    const found = value === undefined ? undefined : decodeIdRow(value);
    // A row beyond the record was left by a step that did not complete.
    return found !== undefined && found.height < memory.stored!.record.height ? found : undefined;
  }

  async function idRow(id: Uint8Array): Promise<IdRow | undefined> {
    const taken = memory.overlay.ids.get(bytesKey(id));
    if (taken !== undefined) return taken.row;
    const what = `the row of entry ${toHex(id)}, or an adjacent row,`;
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

  /** Sums the rows among which an id would be: if none of them is lost, the id does not exist. */
  async function assertNoSuchId(id: Uint8Array, what: string): Promise<void> {
    const { names, record: base } = memory.stored!;
    const part = names.id(id)[0]!;
    const stored = await row(names.ids, "the sums over its ids");
    const expected = stored === undefined ? noIds() : decodeIdSums(stored);
    const { generation, height } = base;
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

  async function knows(ids: readonly Uint8Array[]): Promise<boolean[]> {
    try {
      const found = await vault.getMany(ids.map((id) => idName(memory, id)));
      const { height } = memory.stored!.record;
      return found.map((value) => value !== undefined && decodeIdRow(value).height < height);
    } catch (error) {
      if (!isLoss(error)) throw error;
      return ids.map(() => false);
    }
  }

  return { record, lost, storedRows, row, lacking, person, lists, idRow, knows };
}
