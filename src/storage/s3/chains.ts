import { equalBytes } from "../../bytes/compare.ts";
import { StorageError } from "../../errors.ts";
import { sha256 } from "#crypto";
import { AmbiguousAppend, AppendConflict } from "../errors.ts";
import {
  chainNameBytes,
  chainNameOf,
  checkRead,
  copyBytes,
  copyHead,
  EMPTY_HEAD,
  sameHead,
} from "../guards.ts";
import type { ChainRecord, Head, ChainReadOptions } from "../types.ts";
import { openHead, type HeadObject } from "./head.ts";
import type { Requests } from "./requests.ts";
import { segmentCache } from "./segment-cache.ts";
import {
  decodeName,
  decodeSegment,
  encodeName,
  firstOf,
  segmentName,
  type Segment,
} from "./segment.ts";

/** Chains as objects: one segment per append, under the index of its first record. */
export interface SegmentChains {
  head(chain: string): Promise<Head>;
  /** @param segment - the encoded records to follow `expected` */
  append(chain: string, expected: Head, segment: Segment): Promise<Head>;
  read(chain: string, options: ChainReadOptions): AsyncGenerator<ChainRecord>;
  list(): AsyncIterable<string>;
  /** Moves the head objects up to the appends of this handle. */
  settle(): Promise<void>;
}

export interface SegmentChainsOptions {
  readonly requests: Requests;
  readonly prefix: string;
  /** Formats an ETag as the store accepts it in `If-Match`. */
  readonly quote: (etag: string) => string;
  /** Bytes of segments kept in memory. */
  readonly cacheBytes: number;
}

/** Segments fetched ahead of a reader. */
const AHEAD = 8;
/** Keys of a listing. */
const PAGE = 1000;
/** Segments that a handle walks one by one before it asks for the newest. */
const STEPS = 3;
/** Appends of this handle between two moves of a chain's head object. */
const HEAD_EVERY = 64;

interface Known {
  /** Known end of the last segment; only ever moves forward. */
  head: Head;
  /** Appends since the head object was last moved. */
  since: number;
  readonly object: HeadObject;
}

export function segmentChains(options: SegmentChainsOptions): SegmentChains {
  const { requests, prefix, quote } = options;
  const known = new Map<string, Known>();
  const cache = segmentCache(options.cacheBytes);

  const folderOf = (chain: string): string =>
    `${prefix}chains/${encodeName(chainNameBytes(chain))}/`;
  const keyOf = (chain: string, first: number): string => folderOf(chain) + segmentName(first);

  function entryOf(chain: string): Known {
    let entry = known.get(chain);
    if (entry === undefined) {
      const key = `${prefix}heads/${encodeName(chainNameBytes(chain))}`;
      entry = { head: EMPTY_HEAD, since: 0, object: openHead(requests, key, quote) };
      known.set(chain, entry);
    }
    return entry;
  }

  function advance(chain: string, head: Head): void {
    const entry = entryOf(chain);
    if (head.size > entry.head.size) entry.head = head;
  }

  async function fetch(chain: string, first: number): Promise<Segment | undefined> {
    const key = keyOf(chain, first);
    const cached = cache.get(key);
    if (cached !== undefined) return cached;
    const found = await requests.get(key);
    if (found === undefined) return undefined;
    const segment = decodeSegment(found.bytes, first);
    cache.set(key, segment);
    return segment;
  }

  /** The index of the first record of the newest segment that begins at or before an index. */
  async function startAtOrBefore(chain: string, index: number): Promise<number | undefined> {
    const folder = folderOf(chain);
    // Newest first, and `after` is exclusive.
    const after = index < Number.MAX_SAFE_INTEGER ? segmentName(index + 1) : "";
    for await (const { Key } of requests.list(folder, { after: folder + after, limit: 1 })) {
      const first = firstOf(Key?.slice(folder.length) ?? "");
      if (first === undefined) throw corrupt("a chain has an object that is not a segment");
      return first;
    }
    return undefined;
  }

  async function newestEnd(chain: string): Promise<Head> {
    const first = await startAtOrBefore(chain, Number.MAX_SAFE_INTEGER);
    return first === undefined ? EMPTY_HEAD : (await present(chain, first)).head;
  }

  async function present(chain: string, first: number): Promise<Segment> {
    const segment = await fetch(chain, first);
    if (segment === undefined) throw corrupt(`the chain lacks record ${first}`);
    return segment;
  }

  /** The current end of the chain. */
  async function refresh(chain: string): Promise<Head> {
    const entry = known.get(chain);
    if (entry !== undefined) return walk(chain, entry);
    const first = entryOf(chain);
    try {
      // Reads the head object before the segments: it never refers to one that does not exist yet.
      const told = await first.object.read();
      advance(chain, await newestEnd(chain));
      const end = await walk(chain, first);
      if (
        told !== undefined &&
        (told.size > end.size || (told.size === end.size && !sameHead(told, end)))
      ) {
        throw corrupt(
          `the chain had ${told.size} records, but those from ${end.size} on are missing`,
        );
      }
      return end;
    } catch (error) {
      known.delete(chain);
      throw error;
    }
  }

  /** Asks for the next segment by its name, whatever a listing said. */
  async function walk(chain: string, entry: Known): Promise<Head> {
    for (let steps = 0; ; steps++) {
      if (steps === STEPS) advance(chain, await newestEnd(chain));
      const end = entry.head;
      const next = await fetch(chain, end.size);
      if (next === undefined) return end;
      assertFollows(next, end.hash);
      advance(chain, next.head);
    }
  }

  /** Answers a late append: with its head if its records are present, otherwise with a conflict. */
  async function replayed(
    chain: string,
    expected: Head,
    segment: Segment,
    current: Head,
  ): Promise<Head> {
    const { size, hash } = expected;
    const conflict = new AppendConflict(copyHead(current));
    if (segment.head.size > current.size) throw conflict;
    const from = Math.max(0, size - 1);
    const limit = segment.head.size - from;
    for await (const { index, record } of readUpTo(chain, { from, limit }, current.size)) {
      const same =
        index < size
          ? hash !== null && equalBytes(sha256(record), hash)
          : equalBytes(record, segment.records[index - size]!);
      if (!same) throw conflict;
    }
    return segment.head;
  }

  async function append(chain: string, expected: Head, segment: Segment): Promise<Head> {
    // An append may create a segment only where the chain is known to have ended once: an object in
    // the middle of another's records would be taken for the chain.
    let { head: end } = known.get(chain) ?? { head: undefined };
    if (end === undefined || !sameHead(end, expected)) end = await refresh(chain);
    if (!sameHead(end, expected)) return replayed(chain, expected, segment, end);
    const key = keyOf(chain, expected.size);
    if ((await requests.create(key, segment.bytes)) === "refused") {
      const there = await requests.get(key).catch((error: unknown) => {
        // The object may be from an earlier attempt of this call.
        throw new AmbiguousAppend(error);
      });
      // Refused and yet absent: the store is not consistent yet.
      if (there === undefined) throw new AmbiguousAppend();
      if (!equalBytes(there.bytes, segment.bytes)) {
        return replayed(chain, expected, segment, await refresh(chain));
      }
    }
    cache.set(key, segment);
    advance(chain, segment.head);
    const entry = entryOf(chain);
    if (expected.size === 0 || ++entry.since >= HEAD_EVERY) moveHead(entry);
    return segment.head;
  }

  const moving = new Set<Promise<void>>();

  function moveHead(entry: Known): void {
    entry.since = 0;
    const moved = entry.object.advance(entry.head).finally(() => moving.delete(moved));
    moving.add(moved);
  }

  /** Reads records below a known size of the chain. */
  async function* readUpTo(
    chain: string,
    { from, limit, signal }: { from: number; limit: number; signal?: AbortSignal },
    size: number,
  ): AsyncGenerator<ChainRecord> {
    const end = Math.min(size, from + limit);
    if (from >= end) return;
    let previous: Segment | undefined;
    for await (const segment of segmentsOf(chain, from, end)) {
      if (previous !== undefined) assertFollows(segment, previous.head.hash);
      previous = segment;
      for (let index = Math.max(from, segment.first); index < segment.head.size; index++) {
        if (index >= end) return;
        signal?.throwIfAborted();
        yield { index, record: copyBytes(segment.records[index - segment.first]!) };
      }
    }
  }

  /** The segments with records `from` to `end`, in order, some of them fetched ahead. */
  async function* segmentsOf(chain: string, from: number, end: number): AsyncGenerator<Segment> {
    const start =
      from === 0
        ? 0
        : (cache.holding(folderOf(chain), from) ?? (await startAtOrBefore(chain, from)));
    if (start === undefined) throw corrupt(`the chain lacks record ${from}`);
    let segment = await present(chain, start);
    if (segment.head.size <= from) throw corrupt(`the chain lacks record ${segment.head.size}`);
    yield segment;
    while (segment.head.size < end) {
      const next = segment.head.size;
      const starts = await startsFrom(chain, next, end, segment.head.size - segment.first);
      const fetched: Promise<Segment | undefined>[] = [];
      for (let i = 0; i < starts.length; i++) {
        for (let j = fetched.length; j < Math.min(i + AHEAD, starts.length); j++) {
          const ahead = fetch(chain, starts[j]!);
          // The error is reported when the reader gets that far.
          ahead.catch(() => undefined);
          fetched.push(ahead);
        }
        const following = await fetched[i]!;
        if (following === undefined || following.first !== segment.head.size) {
          throw corrupt(`the chain lacks record ${segment.head.size}`);
        }
        segment = following;
        yield segment;
        if (segment.head.size >= end) return;
      }
    }
  }

  /** The starts of the following segments, as far as one listing reaches; never empty. */
  async function startsFrom(
    chain: string,
    next: number,
    end: number,
    usual: number,
  ): Promise<number[]> {
    if (end - next <= usual) return [next];
    const folder = folderOf(chain);
    for (let width = usual * AHEAD * 8; ; width = Math.ceil(width / 8)) {
      const after = folder + segmentName(Math.min(end, next + width));
      const starts: number[] = [];
      const most = Math.min(PAGE, width);
      for await (const { Key } of requests.list(folder, { after, limit: most })) {
        const first = firstOf(Key?.slice(folder.length) ?? "");
        if (first === undefined || first < next) break;
        starts.push(first);
      }
      if (starts.at(-1) === next) return starts.reverse();
      if (starts.length < PAGE) throw corrupt(`the chain lacks record ${next}`);
    }
  }

  async function* read(chain: string, readOptions: ChainReadOptions): AsyncGenerator<ChainRecord> {
    chainNameBytes(chain);
    const { from, limit } = checkRead(readOptions);
    const { signal } = readOptions;
    signal?.throwIfAborted();
    const far = known.get(chain)?.head.size ?? 0;
    const size = from + limit <= far ? far : (await refresh(chain)).size;
    yield* readUpTo(chain, { from, limit, ...(signal && { signal }) }, size);
  }

  async function* list(): AsyncGenerator<string> {
    for await (const folder of requests.folders(`${prefix}chains/`)) {
      const name = decodeName(folder);
      if (name === undefined) throw corrupt("a folder among the chains is not a chain");
      yield chainNameOf(name);
    }
  }

  return {
    head: refresh,
    append,
    read,
    list,
    async settle() {
      for (const entry of known.values()) if (entry.since > 0) moveHead(entry);
      await Promise.all(moving);
    },
  };
}

function assertFollows(segment: Segment, hash: Uint8Array | null): void {
  const { previous, first } = segment;
  if (previous === null || hash === null ? previous === hash : equalBytes(previous, hash)) return;
  throw corrupt(`record ${first} does not follow the one before it`);
}

function corrupt(message: string): StorageError {
  return new StorageError("ERR_STORAGE_CORRUPT", message);
}
