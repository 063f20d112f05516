import type { Segment } from "./segment.ts";

/** Most segments kept in memory, however small. */
const MOST_KEPT = 512;

/** Segments by key; they never change. */
export interface SegmentCache {
  get(key: string): Segment | undefined;
  set(key: string, segment: Segment): void;
  /** First record of the cached segment in a folder that contains an index. */
  holding(folder: string, index: number): number | undefined;
}

/**
 * Keeps the most recently used segments.
 *
 * @param capacity - most bytes
 */
export function segmentCache(capacity: number): SegmentCache {
  const kept = new Map<string, Segment>();
  let bytes = 0;
  return {
    get(key) {
      const segment = kept.get(key);
      if (segment !== undefined) {
        kept.delete(key);
        kept.set(key, segment);
      }
      return segment;
    },
    set(key, segment) {
      if (kept.has(key) || segment.bytes.length > capacity) return;
      kept.set(key, segment);
      bytes += segment.bytes.length;
      for (const [oldest, { bytes: old }] of kept) {
        if (bytes <= capacity && kept.size <= MOST_KEPT) break;
        kept.delete(oldest);
        bytes -= old.length;
      }
    },
    holding(folder, index) {
      for (const [key, { first, head }] of kept) {
        if (first <= index && index < head.size && key.startsWith(folder)) return first;
      }
      return undefined;
    },
  };
}
