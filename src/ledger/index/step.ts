import { bytesKey } from "../../bytes/bytes-key.ts";
import { appendTo } from "../../bytes/lists.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import type { StateChange } from "../../storage/types.ts";
import type { LedgerContext } from "../context.ts";
import { isLoss } from "./loss.ts";
import type { Held } from "./held.ts";
import { buildList } from "./list-step.ts";
import { idName, lack, type IndexMemory } from "./memory.ts";
import type { IndexReader } from "./reader.ts";
import { encodeIndexRecord, type IndexRecord } from "./record.ts";
import { decodeIdSums, encodeIdRow, encodeIdSums, encodeLacking, noIds, sumId } from "./rows.ts";

/** A row of the directory; `null` removes it. */
interface Leaf {
  readonly name: Uint8Array;
  readonly value: Uint8Array | null;
  /** Whether the row that it replaces may hold what was erased. */
  readonly erases?: boolean;
}

/** The in-memory part of the index, as changes of the store. */
export interface IndexStep {
  readonly next: IndexRecord;
  /** Entries in memory, and the page that each is written to. */
  readonly paged: readonly (readonly [Held, number])[];
  /** Changes that may be in the store before the step. */
  readonly before: readonly StateChange[];
  /** Changes that must be written at once. */
  readonly step: readonly StateChange[];
}

/** Most changes, and most bytes, in one step; changes that may be written ahead of it then are. */
const TOGETHER = 8000;
const BYTES_TOGETHER: number = 8 * 1024 * 1024;

/** Makes the changes that bring the store up to date with memory. */
export async function buildStep(
  { vault }: LedgerContext,
  memory: IndexMemory,
  reader: IndexReader,
): Promise<IndexStep> {
  const { overlay, isSwept, mark, header } = memory;
  const { record: base, names, directory } = memory.stored!;
  const before: StateChange[] = [];
  const erasing: StateChange[] = [];
  const step: StateChange[] = [];
  const leaves = new Map<string, Leaf>(overlay.rows);
  const leaf = (name: Uint8Array, value: Uint8Array | null, erases = false): void =>
    void leaves.set(bytesKey(name), { name, value, erases });
  if (overlay.ids.size > 0) {
    const stored = await reader.row(names.ids, "the sums over its ids");
    const sums = stored === undefined ? noIds() : decodeIdSums(stored);
    for (const { id, row: known, before: former } of overlay.ids.values()) {
      const name = idName(memory, id);
      const value = encodeIdRow(known);
      before.push(vault.put(name, value));
      const macOf = (bytes: Uint8Array): Uint8Array => vault.mac("id", name, bytes);
      sumId(sums, name[0]!, macOf(value), former === undefined ? 1 : 0);
      if (former !== undefined) sumId(sums, name[0]!, macOf(encodeIdRow(former)), 0);
      await giveTurn();
    }
    leaf(names.ids, encodeIdSums(sums));
  }
  const concerned = new Map<string, Uint8Array>();
  for (const [key, { local }] of overlay.fresh) concerned.set(key, local);
  for (const [key, { person }] of overlay.dirty) concerned.set(key, person.local);
  const heads = await headsOf(concerned, memory, reader);
  const paged: (readonly [Held, number])[] = [];
  for (const [key, local] of concerned) {
    const stored = heads.get(key);
    if (stored === "lost") continue;
    const list = await buildList({ local, key, stored }, memory, vault);
    appendTo(erasing, list.erasing);
    appendTo(before, list.added);
    appendTo(paged, list.paged);
    leaf(names.head(local), list.head, list.isErasing);
    await giveTurn();
  }
  if (memory.isLackingChanged) {
    const all = [...(await reader.lacking()).values()];
    leaf(names.lacking, all.length === 0 ? null : encodeLacking(all));
  }
  const changed = [...leaves.values()];
  for (const { name, value, erases = false } of changed) {
    if (value === null) erasing.push(vault.remove(name));
    else (erases ? erasing : step).push(vault.put(name, value));
  }
  const updated = await directory
    .update(
      base.root,
      changed.map(({ name, value }) => [
        name,
        value === null ? null : vault.mac("row", name, value),
      ]),
    )
    .catch((error: unknown) => {
      if (!isLoss(error)) throw error;
      return reader.lost("nodes", error);
    });
  const next: IndexRecord = {
    generation: base.generation,
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
    before: [...(gone.length === 0 ? [] : vault.markForRotation(gone)), ...removed, ...before],
    step: [...erasing, ...step, ...updated.nodes, record],
  };
}

/**
 * Writes ahead the changes that do not fit into one step.
 *
 * @param others - number of other changes in the step
 * @returns the changes that were not written
 */
export async function writeAhead(
  { storage }: LedgerContext,
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

/**
 * Heads of persons. If one is lost, requests about that person are refused until the index is
 * rebuilt, and new entries are not added to an unknown head; nobody else is affected.
 */
async function headsOf(
  concerned: ReadonlyMap<string, Uint8Array>,
  memory: IndexMemory,
  reader: IndexReader,
): Promise<ReadonlyMap<string, Uint8Array | "lost" | undefined>> {
  const { overlay, stored } = memory;
  const headNames = Array.from(concerned.values(), (local) => stored!.names.head(local));
  const keys = [...concerned.keys()];
  try {
    const rows = await reader.storedRows(headNames, "heads of persons");
    return new Map(rows.map((row, i) => [keys[i]!, row]));
  } catch (error) {
    if (!isLoss(error)) throw error;
  }
  const found = new Map<string, Uint8Array | "lost" | undefined>();
  for (const [i, key] of keys.entries()) {
    try {
      found.set(key, (await reader.storedRows([headNames[i]!], "the head of a person"))[0]);
    } catch (error) {
      if (!isLoss(error)) throw error;
      const one = overlay.fresh.get(key)?.held[0] ?? overlay.dirty.get(key)?.person.held[0];
      if (one === undefined) throw error;
      lack(memory, { id: one.item.id, kind: one.item.kind, local: concerned.get(key)! });
      found.set(key, "lost");
    }
  }
  return found;
}
