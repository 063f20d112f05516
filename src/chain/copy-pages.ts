import type { StorageCaps } from "../storage/types.ts";

/** Bytes of blobs or values that are read before writing. */
export const PAGE_BYTES: number = 8 * 1024 * 1024;
/** Blobs, values or records that are read before writing. */
export const PAGE_ITEMS = 512;

/**
 * Splits a sequence into pages of at most a number of items, requested before each page, or of
 * bytes.
 */
export async function* inPages<T>(
  items: AsyncIterable<T>,
  size: () => number,
  signal: AbortSignal | undefined,
  sizeOf: (item: T) => number = () => 0,
): AsyncGenerator<T[]> {
  let page: T[] = [];
  let bytes = 0;
  for await (const item of items) {
    page.push(item);
    bytes += sizeOf(item);
    if (page.length < size() && bytes < PAGE_BYTES) continue;
    signal?.throwIfAborted();
    yield page;
    page = [];
    bytes = 0;
  }
  signal?.throwIfAborted();
  if (page.length > 0) yield page;
}

/**
 * Splits items into batches that a store accepts; for an item too large by itself, the store
 * throws.
 */
export function* inBatches<T>(
  items: readonly T[],
  sizeOf: (item: T) => number,
  { maxBatch, maxAppendBytes }: StorageCaps,
): Generator<T[]> {
  let batch: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = sizeOf(item);
    if (batch.length > 0 && (batch.length >= maxBatch || bytes + size > maxAppendBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

/** The number in a range that is nearest to a value. */
export function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
