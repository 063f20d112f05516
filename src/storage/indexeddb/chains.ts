import { sha256 } from "#crypto";
import { equalBytes } from "../../bytes/compare.ts";
import { StorageError } from "../../errors.ts";
import { AppendConflict } from "../errors.ts";
import { EMPTY_HEAD, sameHead } from "../guards.ts";
import type { Head } from "../types.ts";
import type { IndexeddbKeyRange, IndexeddbObjectStore } from "./client.ts";
import { answer } from "./transact.ts";

/** Most bytes of a row of several records; Chromium puts values of 64 KiB into files of their own. */
const ROW_BYTES = 57_344;

/** The row under a chain's name. */
interface HeadRow extends Head {
  /** Number of the chain, from 1; keys of records begin with it. */
  readonly id: number;
}

/** An append with everything copied. */
export interface Append {
  readonly chain: string;
  readonly expected: Head;
  readonly records: readonly Uint8Array[];
}

/** The object stores of chains in a transaction. */
export interface ChainStores {
  readonly heads: IndexeddbObjectStore;
  readonly records: IndexeddbObjectStore;
  readonly range: IndexeddbKeyRange;
}

/** Reads a chain's row; `undefined` for an empty chain. */
export async function readHead(
  heads: IndexeddbObjectStore,
  chain: string,
): Promise<HeadRow | undefined> {
  const row = await answer<HeadRow | undefined>(heads.get(chain));
  if (row === undefined) return undefined;
  const { id, size, hash } = Object(row) as Partial<HeadRow>;
  if (
    !Number.isSafeInteger(id) ||
    !Number.isSafeInteger(size) ||
    !(hash instanceof Uint8Array) ||
    hash.length !== 32
  ) {
    throw new StorageError("ERR_STORAGE_CORRUPT", "the head of a chain is damaged");
  }
  return row;
}

/**
 * Compares and appends in one transaction.
 *
 * @returns whether something was written: `false` for an exact replay
 * @throws {AppendConflict}
 */
export async function appendRecords(stores: ChainStores, append: Append): Promise<boolean> {
  const { chain, expected, records } = append;
  const row = await readHead(stores.heads, chain);
  const head: Head = row ?? EMPTY_HEAD;
  if (!sameHead(head, expected)) {
    if (row !== undefined && (await isReplay(stores, row, append))) return false;
    throw new AppendConflict({ size: head.size, hash: head.hash });
  }
  // Chains are never removed, so a number is never reused.
  const id = row?.id ?? (await answer<number>(stores.heads.count())) + 1;
  let index = expected.size;
  for (const row of rowsOf(records)) {
    stores.records.put(row, [id, index]);
    index += row.length;
  }
  stores.heads.put({ id, ...headAfter(append) }, chain);
  return true;
}

/** The head right after an append. */
export function headAfter({ expected, records }: Append): { size: number; hash: Uint8Array } {
  return { size: expected.size + records.length, hash: sha256(records.at(-1)!) };
}

async function isReplay(stores: ChainStores, row: HeadRow, append: Append): Promise<boolean> {
  const { expected, records } = append;
  const end = expected.size + records.length;
  if (end > row.size) return false;
  const from = Math.max(0, expected.size - 1);
  const stored = await readRecords(stores, row.id, { from, to: end, rows: end - from });
  const before = expected.size === 0 ? undefined : stored.shift();
  const hash = before === undefined ? null : sha256(before);
  return (
    sameHead(expected, { size: expected.size, hash }) &&
    records.every((record, i) => equalBytes(record, stored[i]!))
  );
}

/** The records to read: those of `[from, to)`, and in how many rows they are. */
interface RecordRange {
  readonly from: number;
  readonly to: number;
  readonly rows: number;
}

/**
 * Reads records that exist according to the head of their chain; at least one.
 *
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when a record is missing
 */
export async function readRecords(
  { records, range }: Pick<ChainStores, "records" | "range">,
  id: number,
  { from, to, rows }: RecordRange,
): Promise<Uint8Array[]> {
  const before = records.openKeyCursor(range.bound([id, 0], [id, from], false, false), "prev");
  const cursor = await answer<{ readonly key: readonly number[] } | null>(before);
  const first = cursor?.key[1] ?? from;
  const keys = range.bound([id, first], [id, to], false, true);
  const [places, values] = await Promise.all([
    answer<readonly (readonly number[])[]>(records.getAllKeys(keys, rows)),
    answer<readonly unknown[]>(records.getAll(keys, rows)),
  ]);
  const found: Uint8Array[] = [];
  for (const [i, row] of values.entries()) {
    const bytes = Array.isArray(row) && row.every((record) => record instanceof Uint8Array);
    if (!bytes || places[i]![1] !== first + found.length) throw missing(from);
    for (const record of row as readonly Uint8Array[]) found.push(record);
  }
  const wanted = found.slice(from - first, to - first);
  if (wanted.length === 0 || (values.length < rows && wanted.length < to - from)) {
    throw missing(from);
  }
  return wanted;
}

function missing(from: number): StorageError {
  return new StorageError("ERR_STORAGE_CORRUPT", `the chain lacks records from ${from} on`);
}

/**
 * Groups the records of an append, as many per row as fit: a request per record would cost more
 * than the writing. A record larger than a row has a row of its own.
 */
function rowsOf(records: readonly Uint8Array[]): Uint8Array[][] {
  const rows: Uint8Array[][] = [];
  let free = 0;
  for (const record of records) {
    if (record.length <= free) rows.at(-1)!.push(record);
    else {
      rows.push([record]);
      free = ROW_BYTES;
    }
    free -= record.length;
  }
  return rows;
}
