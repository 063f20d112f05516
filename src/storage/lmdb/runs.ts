import { putUint32, readUint32 } from "./keys.ts";

/**
 * The index from digests to locations consists of immutable *runs*: a B-tree of random keys would
 * dirty a page per blob, four times the size of a blob. A run spreads its entries over buckets by
 * the leading bits of the digest, and has a Bloom filter. Eight runs of a level are merged into one
 * of the next, so that each entry is written three times at most.
 */
export interface Run {
  /** Buckets are numbered by this many leading bits. */
  readonly bits: number;
  readonly buckets: readonly { readonly bucket: number; readonly entries: Uint8Array }[];
  readonly filter: Uint8Array;
}

/** Bytes of an entry: leading bytes of the digest (8), pack (6), slot (2). */
export const ENTRY_BYTES = 16;

const BUCKET_ENTRIES = 48;
const FILTER_BITS = 12;

/** Writes an entry of a run. */
export function putEntry(
  entries: Uint8Array,
  index: number,
  digest: Uint8Array,
  pack: number,
  slot: number,
): void {
  const at = index * ENTRY_BYTES;
  entries.set(digest.subarray(0, 8), at);
  // Six bytes of the pack's number, two of the slot.
  putUint32(entries, at + 8, Math.floor(pack / 65_536));
  putUint32(entries, at + 12, (pack % 65_536) * 65_536 + slot);
}

/** The bucket of a digest whose first four bytes are `high`. */
export function bucketOf(high: number, bits: number): number {
  return bits === 0 ? 0 : high >>> (32 - bits);
}

/** Builds a run of at least one entry, in time linear in their number. */
export function buildRun(entries: Uint8Array): Run {
  const count = Math.floor(entries.length / ENTRY_BYTES);
  const bits = Math.max(0, Math.floor(Math.log2(count / BUCKET_ENTRIES)));
  const ends = new Uint32Array((1 << bits) + 1);
  for (let i = 0; i < count; i++) {
    const bucket = bucketOf(readUint32(entries, i * ENTRY_BYTES), bits);
    ends[bucket + 1] = ends[bucket + 1]! + 1;
  }
  for (let bucket = 0; bucket < 1 << bits; bucket++) {
    ends[bucket + 1] = ends[bucket + 1]! + ends[bucket]!;
  }
  const starts = ends.slice();
  const sorted = new Uint8Array(count * ENTRY_BYTES);
  const filter = new Uint32Array(2 * Math.max(1, Math.ceil((count * FILTER_BITS) / 64)));
  for (let i = 0; i < count; i++) {
    const at = i * ENTRY_BYTES;
    const high = readUint32(entries, at);
    const bucket = bucketOf(high, bits);
    const to = ends[bucket]! * ENTRY_BYTES;
    ends[bucket] = ends[bucket]! + 1;
    for (let j = 0; j < ENTRY_BYTES; j++) sorted[to + j] = entries[at + j]!;
    addToFilter(filter, high, readUint32(entries, at + 4));
  }
  const buckets = [];
  for (let bucket = 0; bucket < 1 << bits; bucket++) {
    const [from, to] = [starts[bucket]!, ends[bucket]!];
    if (from === to) continue;
    buckets.push({ bucket, entries: sorted.subarray(from * ENTRY_BYTES, to * ENTRY_BYTES) });
  }
  return { bits, buckets, filter: filterBytes(filter) };
}

/** Locations in a bucket whose digests have these leading eight bytes. */
export function findInBucket(
  entries: Uint8Array,
  high: number,
  low: number,
): { pack: number; slot: number }[] {
  const found = [];
  for (let at = 0; at + ENTRY_BYTES <= entries.length; at += ENTRY_BYTES) {
    if (readUint32(entries, at) === high && readUint32(entries, at + 4) === low) {
      const last = readUint32(entries, at + 12);
      const pack = readUint32(entries, at + 8) * 65_536 + (last >>> 16);
      found.push({ pack, slot: last & 65_535 });
    }
  }
  return found;
}

/*
 * The filter is blocked: a block of 64 bits by the second four bytes of the digest, in it two bits
 * of each half by the first four. Digests are uniform, so nothing is hashed again. About one
 * absent digest in a hundred passes.
 */

function blockOf(filter: Uint32Array, low: number): number {
  return 2 * Math.floor((low * (filter.length / 2)) / 0x1_0000_0000);
}

function addToFilter(filter: Uint32Array, high: number, low: number): void {
  const block = blockOf(filter, low);
  filter[block] = filter[block]! | (1 << (high & 31)) | (1 << ((high >>> 5) & 31));
  filter[block + 1] =
    filter[block + 1]! | (1 << ((high >>> 10) & 31)) | (1 << ((high >>> 15) & 31));
}

/** Whether a run may contain a digest with these leading eight bytes. */
export function mayHold(filter: Uint32Array, high: number, low: number): boolean {
  const block = blockOf(filter, low);
  const first = filter[block]!;
  const second = filter[block + 1]!;
  return (
    ((first >>> (high & 31)) &
      (first >>> ((high >>> 5) & 31)) &
      (second >>> ((high >>> 10) & 31)) &
      (second >>> ((high >>> 15) & 31)) &
      1) ===
    1
  );
}

function filterBytes(filter: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(filter.length * 4);
  const view = new DataView(bytes.buffer);
  filter.forEach((word, i) => view.setUint32(4 * i, word));
  return bytes;
}

/** Reads a stored filter. */
export function readFilter(bytes: Uint8Array): Uint32Array {
  const filter = new Uint32Array(Math.floor(bytes.length / 4));
  for (let i = 0; i < filter.length; i++) filter[i] = readUint32(bytes, 4 * i);
  return filter;
}
