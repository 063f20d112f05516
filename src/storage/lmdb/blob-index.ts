import { equalBytes } from "../../bytes/compare.ts";
import { peek, type LmdbDatabase } from "./client.ts";
import { corrupt } from "./errors.ts";
import { packNumber, putUint32, readUint32, readUint64, uint64 } from "./keys.ts";
import {
  decodeRunList,
  EMPTY_RUN_LIST,
  encodeRunList,
  RUNS,
  type RunList,
  type RunInfo,
} from "./run-list.ts";
import { DELETED, readSlot, SLOT_BYTES, slotCount } from "./packs.ts";
import { recentPlaces } from "./recent.ts";
import {
  bucketOf,
  buildRun,
  ENTRY_BYTES,
  findInBucket,
  mayHold,
  putEntry,
  readFilter,
  type Run,
} from "./runs.ts";

/** Most entries outside runs; then they are made into a run. */
const RECENT = 16_384;
/** Runs of one level that are merged into one of the next. */
const FAN = 8;
/** Runs of this level, of a million entries, are not merged further. */
const TOP = 3;
const FILTER = 0xffffffff;
/** A key after every pack. */
const NEWEST: Uint8Array = /* @__PURE__ */ new Uint8Array(8).fill(255);

/** The location of a blob. */
export interface Place {
  readonly pack: number;
  readonly slot: number;
  /** Within the bytes of the pack. */
  readonly offset: number;
  readonly length: number;
}

/** The databases that the index reads and writes. */
export interface IndexDatabases {
  readonly meta: LmdbDatabase;
  readonly tables: LmdbDatabase;
  readonly runs: LmdbDatabase;
}

/**
 * Finds blobs by digest. Runs hold most locations; those in later packs are kept in memory,
 * bounded, and read from the tables of these packs when a store is opened. Each location found is
 * checked against the table of its pack, so a stale entry does no harm.
 */
export interface BlobIndex {
  /** Loads what other processes and handles wrote; within a write transaction nothing is missed. */
  refresh(): void;
  /** Drops everything, after a loaded transaction failed. */
  reset(): void;
  /** Adds a pack that the caller's write transaction wrote. */
  add(pack: number, table: Uint8Array): void;
  /**
   * The location of a blob, as far as the index is loaded.
   *
   * @param bytes - contains the 32 bytes of the digest at `at`
   */
  find(codec: number, bytes: Uint8Array, at?: number): Place | undefined;
  /** Number of the newest pack. */
  lastPack(): number;
  /** Whether {@link plan} has work to do. */
  due(): boolean;
  /** Reads and prepares the next piece of upkeep; `undefined` if there is none. */
  plan(): Upkeep | undefined;
}

/** A run to add and others to remove, if the run list has not changed meanwhile. */
export interface Upkeep {
  /** Must be called in a write transaction. */
  apply(): void;
}

export function blobIndex({ meta, tables, runs }: IndexDatabases): BlobIndex {
  let stored: Uint8Array | undefined;
  let runList: RunList = EMPTY_RUN_LIST;
  let seen = 0;
  const recent = recentPlaces();
  const filters = new Map<number, Uint32Array>();

  function reset(): void {
    stored = undefined;
    runList = EMPTY_RUN_LIST;
    seen = 0;
    recent.clear();
  }

  function refresh(): void {
    const bytes = meta.get(RUNS);
    if (bytes !== undefined && (stored === undefined || !equalBytes(bytes, stored))) {
      stored = bytes;
      runList = decodeRunList(bytes);
      // The table of the newest pack is always kept.
      for (const key of tables.getKeys({
        start: NEWEST,
        end: uint64(0),
        reverse: true,
        limit: 1,
      })) {
        if (readUint64(key) < runList.indexed) throw corrupt("the index of blobs is damaged");
      }
      const ids = new Set(runList.runs.map(({ id }) => id));
      for (const id of filters.keys()) if (!ids.has(id)) filters.delete(id);
      // Drops the entries that are in a run now; the few later ones are read again.
      recent.clear();
      seen = runList.indexed;
    }
    for (const { key, value } of tables.getRange({ start: uint64(seen + 1) })) {
      add(packNumber(key, seen), value);
    }
  }

  function add(pack: number, table: Uint8Array): void {
    for (let slot = 0; slot < slotCount(table); slot++) {
      const at = slot * SLOT_BYTES;
      if (readUint32(table, at) === DELETED) continue;
      recent.add(readUint32(table, at + 4), readUint32(table, at + 8), pack, slot);
    }
    seen = pack;
  }

  function check(
    pack: number,
    slot: number,
    codec: number,
    bytes: Uint8Array,
    at: number,
  ): Place | undefined {
    const table = peek(tables, uint64(pack));
    const from = slot * SLOT_BYTES;
    if (table === undefined || from + SLOT_BYTES > table.length) return undefined;
    if (readUint32(table, from) !== codec || codec === DELETED) return undefined;
    for (let i = 0; i < 32; i++) if (table[from + 4 + i] !== bytes[at + i]) return undefined;
    const offset = readUint32(table, from + 36);
    return { pack, slot, offset, length: readUint32(table, from + 40) };
  }

  function filterOf(run: RunInfo): Uint32Array {
    let filter = filters.get(run.id);
    if (filter === undefined) {
      filter = readFilter(runs.get(runKey(run.id, FILTER)) ?? new Uint8Array(8).fill(255));
      filters.set(run.id, filter);
    }
    return filter;
  }

  function find(codec: number, bytes: Uint8Array, at = 0): Place | undefined {
    const high = readUint32(bytes, at);
    const low = readUint32(bytes, at + 4);
    for (let i = recent.first(high, low); i >= 0; i = recent.next(i)) {
      const found = check(recent.pack(i), recent.slot(i), codec, bytes, at);
      if (found) return found;
    }
    for (const run of runList.runs) {
      if (!mayHold(filterOf(run), high, low)) continue;
      const entries = peek(runs, runKey(run.id, bucketOf(high, run.bits)));
      if (entries === undefined) continue;
      for (const { pack, slot } of findInBucket(entries, high, low)) {
        const found = check(pack, slot, codec, bytes, at);
        if (found) return found;
      }
    }
    return undefined;
  }

  /** The runs to merge next, if one level has enough of them. */
  function crowded(): readonly RunInfo[] | undefined {
    for (let level = 1; level < TOP; level++) {
      const same = runList.runs.filter((run) => run.level === level);
      if (same.length >= FAN) return same;
    }
    return undefined;
  }

  function plan(): Upkeep | undefined {
    refresh();
    const base = stored;
    const merged = crowded();
    let entries: Uint8Array;
    let next: Omit<RunList, "nextRun">;
    let level: number;
    if (merged !== undefined) {
      entries = joined(merged.flatMap((run) => [...bucketsOf(runs, run.id)]));
      level = merged[0]!.level + 1;
      next = {
        indexed: runList.indexed,
        runs: runList.runs.filter((run) => !merged.includes(run)),
      };
    } else if (recent.size >= RECENT) {
      const found = readTables(tables, runList.indexed + 1);
      entries = found.entries;
      level = levelOf(entries.length / ENTRY_BYTES);
      next = { indexed: found.last, runs: runList.runs };
    } else {
      return undefined;
    }
    const run = buildRun(entries);
    const id = runList.nextRun;
    const info: RunInfo = {
      id,
      level,
      bits: run.bits,
      entries: entries.length / ENTRY_BYTES,
    };
    return {
      apply() {
        const bytes = meta.get(RUNS);
        if (bytes === undefined ? base !== undefined : !base || !equalBytes(bytes, base)) return;
        writeRun(runs, id, run);
        for (const { id: old } of merged ?? []) {
          for (const key of [...runs.getKeys(runRange(old))]) runs.removeSync(key);
        }
        meta.putSync(
          RUNS,
          encodeRunList({
            indexed: next.indexed,
            nextRun: id + 1,
            runs: [info, ...next.runs],
          }),
        );
      },
    };
  }

  return {
    refresh,
    reset,
    add,
    find,
    plan,
    lastPack: () => seen,
    due: () => recent.size >= RECENT || crowded() !== undefined,
  };
}

function levelOf(entries: number): number {
  return entries >= RECENT * FAN * FAN ? 3 : entries >= RECENT * FAN ? 2 : 1;
}

function runKey(run: number, bucket: number): Uint8Array {
  const key = new Uint8Array(8);
  putUint32(key, 0, run);
  putUint32(key, 4, bucket);
  return key;
}

function runRange(run: number): { start: Uint8Array; end: Uint8Array } {
  return { start: runKey(run, 0), end: runKey(run + 1, 0) };
}

function* bucketsOf(runs: LmdbDatabase, run: number): Iterable<Uint8Array> {
  const end = runKey(run, FILTER);
  for (const { value } of runs.getRange({ start: runKey(run, 0), end })) yield value;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function writeRun(runs: LmdbDatabase, id: number, { buckets, filter }: Run): void {
  for (const { bucket, entries } of buckets) runs.putSync(runKey(id, bucket), entries);
  runs.putSync(runKey(id, FILTER), filter);
}

/** Makes entries for the blobs in the packs from a given one on, up to `limit` of them. */
function readTables(
  tables: LmdbDatabase,
  from: number,
  limit: number = Infinity,
): { entries: Uint8Array; last: number } {
  const parts: Uint8Array[] = [];
  let count = 0;
  let last = from - 1;
  for (const { key, value } of tables.getRange({ start: uint64(from) })) {
    const pack = packNumber(key, last);
    const slots = slotCount(value);
    if (count > 0 && count + slots > limit) break;
    const entries = new Uint8Array(slots * ENTRY_BYTES);
    let filled = 0;
    for (let slot = 0; slot < slots; slot++) {
      const found = readSlot(value, slot);
      if (found) putEntry(entries, filled++, found.digest, pack, slot);
    }
    parts.push(entries.subarray(0, filled * ENTRY_BYTES));
    count += filled;
    last = pack;
  }
  return { entries: joined(parts), last };
}

/** Rebuilds the whole index from the tables, in the caller's write transactions. */
export function* rebuildIndex({ meta, tables, runs }: IndexDatabases): Iterable<() => void> {
  let runList = EMPTY_RUN_LIST;
  for (;;) {
    const { entries, last } = readTables(tables, runList.indexed + 1, RECENT * FAN * FAN);
    const count = entries.length / ENTRY_BYTES;
    if (count < RECENT) return;
    const run = buildRun(entries);
    const { bits } = run;
    const id = runList.nextRun;
    runList = {
      indexed: last,
      nextRun: id + 1,
      runs: [{ id, level: levelOf(count), bits, entries: count }, ...runList.runs],
    };
    const bytes = encodeRunList(runList);
    yield () => {
      writeRun(runs, id, run);
      meta.putSync(RUNS, bytes);
    };
  }
}
