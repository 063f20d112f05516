import { equalBytes } from "../../bytes/compare.ts";
import type { LmdbDatabase } from "./client.ts";
import { putUint, readUint32, readUint64, uint64 } from "./keys.ts";
import {
  decodeManifest,
  EMPTY_MANIFEST,
  encodeManifest,
  RUNS,
  type Manifest,
  type RunInfo,
} from "./manifest.ts";
import { DELETED, readSlot, SLOT_BYTES, slotCount, type Slot } from "./packs.ts";
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

/** Entries not yet in a run before they are made into one. */
const RECENT = 16_384;
/** Runs of one level that are merged into one of the next. */
const FAN = 8;
/** Runs of this level, of a million entries, are not merged further. */
const TOP = 3;
const FILTER = 0xffffffff;

export interface Place extends Slot {
  readonly pack: number;
  readonly slot: number;
}

/** The databases that the index reads and writes. */
export interface IndexDatabases {
  readonly meta: LmdbDatabase;
  readonly tables: LmdbDatabase;
  readonly runs: LmdbDatabase;
}

/**
 * Finds blobs by digest. What is in the runs is looked up there; packs put since are kept in a
 * map in memory, which is bounded and rebuilt from their tables when a store is opened.
 * A place found is checked against the table of its pack, so a stale entry does no harm.
 */
export interface BlobIndex {
  /** Takes in what other processes and handles wrote; in a write transaction nothing is missed. */
  refresh(): void;
  /** Forgets everything, for when a transaction that was taken in came to nothing. */
  reset(): void;
  /** Where a blob lies. */
  find(codec: number, digest: Uint8Array): Place | undefined;
  /** Number of the newest pack. */
  lastPack(): number;
  /** Whether {@link plan} has something to do. */
  due(): boolean;
  /** Reads what the next piece of upkeep needs and prepares it; `undefined` when there is none. */
  plan(): Upkeep | undefined;
}

/** A run to be added and others to be removed, if the manifest is still what it was. */
export interface Upkeep {
  /** To be called in a write transaction. */
  apply(): void;
}

export function blobIndex({ meta, tables, runs }: IndexDatabases): BlobIndex {
  let stored: Uint8Array | undefined;
  let manifest: Manifest = EMPTY_MANIFEST;
  let seen = 0;
  const recent = new Map<number, number | number[]>();
  let recentCount = 0;
  const filters = new Map<number, Uint32Array>();

  function reset(): void {
    stored = undefined;
    manifest = EMPTY_MANIFEST;
    seen = 0;
    recent.clear();
    recentCount = 0;
  }

  function refresh(): void {
    const bytes = meta.get(RUNS);
    if (bytes !== undefined && (stored === undefined || !equalBytes(bytes, stored))) {
      stored = bytes;
      manifest = decodeManifest(bytes);
      const ids = new Set(manifest.runs.map(({ id }) => id));
      for (const id of filters.keys()) if (!ids.has(id)) filters.delete(id);
      // Those in a run now are dropped; the few after it are read again.
      recent.clear();
      recentCount = 0;
      seen = manifest.indexed;
    }
    for (const { key, value } of tables.getRange({ start: uint64(seen + 1) })) {
      takeIn(readUint64(key), value);
    }
  }

  function takeIn(pack: number, table: Uint8Array): void {
    for (let slot = 0; slot < slotCount(table); slot++) {
      const at = slot * SLOT_BYTES;
      if (readUint32(table, at) === DELETED) continue;
      const key = recentKey(readUint32(table, at + 4), readUint32(table, at + 8));
      const place = pack * 65_536 + slot;
      const before = recent.get(key);
      if (before === undefined) recent.set(key, place);
      else recent.set(key, Array.isArray(before) ? [...before, place] : [before, place]);
      recentCount++;
    }
    seen = pack;
  }

  function check(pack: number, slot: number, codec: number, digest: Uint8Array): Place | undefined {
    const table = tables.get(uint64(pack));
    const found = table && readSlot(table, slot);
    if (found === undefined || found.codec !== codec || !equalBytes(found.digest, digest)) {
      return undefined;
    }
    return { ...found, pack, slot };
  }

  function filterOf(run: RunInfo): Uint32Array {
    let filter = filters.get(run.id);
    if (filter === undefined) {
      filter = readFilter(runs.get(runKey(run.id, FILTER)) ?? new Uint8Array(8).fill(255));
      filters.set(run.id, filter);
    }
    return filter;
  }

  function find(codec: number, digest: Uint8Array): Place | undefined {
    const high = readUint32(digest, 0);
    const low = readUint32(digest, 4);
    const places = recent.get(recentKey(high, low));
    if (places !== undefined) {
      for (const place of Array.isArray(places) ? places : [places]) {
        const found = check(Math.floor(place / 65_536), place % 65_536, codec, digest);
        if (found) return found;
      }
    }
    for (const run of manifest.runs) {
      if (!mayHold(filterOf(run), high, low)) continue;
      const entries = runs.get(runKey(run.id, bucketOf(high, run.bits)));
      if (entries === undefined) continue;
      for (const { pack, slot } of findInBucket(entries, high, low)) {
        const found = check(pack, slot, codec, digest);
        if (found) return found;
      }
    }
    return undefined;
  }

  /** The runs to be merged next, if there are enough of one level. */
  function crowded(): readonly RunInfo[] | undefined {
    for (let level = 1; level < TOP; level++) {
      const same = manifest.runs.filter((run) => run.level === level);
      if (same.length >= FAN) return same;
    }
    return undefined;
  }

  function plan(): Upkeep | undefined {
    refresh();
    const base = stored;
    const merged = crowded();
    let entries: Uint8Array;
    let next: Omit<Manifest, "nextRun">;
    let level: number;
    if (merged !== undefined) {
      entries = joined(merged.flatMap((run) => [...bucketsOf(runs, run.id)]));
      level = merged[0]!.level + 1;
      next = {
        indexed: manifest.indexed,
        runs: manifest.runs.filter((run) => !merged.includes(run)),
      };
    } else if (recentCount >= RECENT) {
      const found = readTables(tables, manifest.indexed + 1);
      entries = found.entries;
      level = levelOf(entries.length / ENTRY_BYTES);
      next = { indexed: found.last, runs: manifest.runs };
    } else {
      return undefined;
    }
    const run = buildRun(entries);
    const id = manifest.nextRun;
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
          for (const key of [...runs.getKeys(runRange(old))]) runs.remove(key);
        }
        meta.put(
          RUNS,
          encodeManifest({
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
    find,
    plan,
    lastPack: () => seen,
    due: () => recentCount >= RECENT || crowded() !== undefined,
  };
}

/** 53 bits of a digest. */
function recentKey(high: number, low: number): number {
  return high * 0x20_0000 + (low >>> 11);
}

function levelOf(entries: number): number {
  return entries >= RECENT * FAN * FAN ? 3 : entries >= RECENT * FAN ? 2 : 1;
}

function runKey(run: number, bucket: number): Uint8Array {
  const key = new Uint8Array(8);
  putUint(key, 0, 4, run);
  putUint(key, 4, 4, bucket);
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
  for (const { bucket, entries } of buckets) runs.put(runKey(id, bucket), entries);
  runs.put(runKey(id, FILTER), filter);
}

/** Makes entries of the blobs in the packs from one on, up to `limit` of them. */
function readTables(
  tables: LmdbDatabase,
  from: number,
  limit: number = Infinity,
): { entries: Uint8Array; last: number } {
  const parts: Uint8Array[] = [];
  let count = 0;
  let last = from - 1;
  for (const { key, value } of tables.getRange({ start: uint64(from) })) {
    const pack = readUint64(key);
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

/** Builds the whole index anew from the tables, in the caller's write transactions. */
export function* rebuildIndex({ meta, tables, runs }: IndexDatabases): Iterable<() => void> {
  let manifest = EMPTY_MANIFEST;
  for (;;) {
    const { entries, last } = readTables(tables, manifest.indexed + 1, RECENT * FAN * FAN);
    const count = entries.length / ENTRY_BYTES;
    if (count < RECENT) return;
    const run = buildRun(entries);
    const { bits } = run;
    const id = manifest.nextRun;
    manifest = {
      indexed: last,
      nextRun: id + 1,
      runs: [{ id, level: levelOf(count), bits, entries: count }, ...manifest.runs],
    };
    const bytes = encodeManifest(manifest);
    yield () => {
      writeRun(runs, id, run);
      meta.put(RUNS, bytes);
    };
  }
}
