import type { EnvelopePart } from "./header.ts";
import { blockCount } from "./header.ts";
import { decryptFailed } from "./keys.ts";
import type { Suite } from "./suite.ts";
import { SEGMENT_BYTES, SEGMENTS_PER_BLOCK } from "./suite.ts";

/** How many segments a part of this plaintext length has; an empty part has one. */
export function segmentCount(size: number): number {
  return Math.max(1, Math.ceil(size / SEGMENT_BYTES));
}

/**
 * Seals one ciphertext block of a part.
 *
 * @param plaintext - the whole part; borrowed
 * @param block - number of the block within the part, from 0
 */
export function sealBlock(
  suite: Suite,
  key: Uint8Array,
  plaintext: Uint8Array,
  block: number,
): Uint8Array {
  const bytes = new Uint8Array(blockBytes(suite, plaintext.length, block));
  let at = 0;
  for (const { counter, final, start, end } of segmentsOf(plaintext.length, block)) {
    const sealed = suite.sealSegment(key, counter, final, plaintext.subarray(start, end));
    bytes.set(sealed, at);
    at += sealed.length;
  }
  return bytes;
}

/**
 * Opens one ciphertext block of a part, on its own.
 *
 * @param sealed - the block; borrowed
 * @returns the plaintext of its segments, in order
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT`
 */
export function openBlock(
  suite: Suite,
  key: Uint8Array,
  part: Pick<EnvelopePart, "size">,
  block: number,
  sealed: Uint8Array,
): readonly Uint8Array[] {
  if (sealed.length !== blockBytes(suite, part.size, block)) throw decryptFailed();
  let at = 0;
  const opened: Uint8Array[] = [];
  for (const { counter, final, start, end } of segmentsOf(part.size, block)) {
    const next = at + (end - start) + suite.tagBytes;
    const segment = suite.openSegment(key, counter, final, sealed.subarray(at, next));
    if (segment === undefined) throw decryptFailed();
    opened.push(segment);
    at = next;
  }
  return opened;
}

/** The length of a part's ciphertext block. */
function blockBytes(suite: Suite, size: number, block: number): number {
  const first = block * SEGMENTS_PER_BLOCK;
  const segments = Math.min(SEGMENTS_PER_BLOCK, segmentCount(size) - first);
  const end = Math.min(size, (first + segments) * SEGMENT_BYTES);
  return end - first * SEGMENT_BYTES + segments * suite.tagBytes;
}

interface Segment {
  readonly counter: number;
  readonly final: boolean;
  /** Where its plaintext stands in the part. */
  readonly start: number;
  readonly end: number;
}

function segmentsOf(size: number, block: number): readonly Segment[] {
  if (block >= blockCount(size)) throw new RangeError("no such block");
  const last = segmentCount(size) - 1;
  const segments: Segment[] = [];
  for (let i = 0; i < SEGMENTS_PER_BLOCK; i++) {
    const counter = block * SEGMENTS_PER_BLOCK + i;
    if (counter > last) break;
    const start = counter * SEGMENT_BYTES;
    const end = Math.min(size, start + SEGMENT_BYTES);
    segments.push({ counter, final: counter === last, start, end });
  }
  return segments;
}
