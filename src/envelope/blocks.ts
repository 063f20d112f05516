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
    const into = bytes.subarray(at, (at += end - start + suite.tagBytes));
    suite.sealSegment(key, counter, final, plaintext.subarray(start, end), into);
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
  const opened: Uint8Array[] = [];
  const first = block * SEGMENTS_PER_BLOCK;
  const beyond = Math.min(first + SEGMENTS_PER_BLOCK, segmentCount(part.size));
  for (let counter = first; counter < beyond; counter++) {
    opened.push(openSegmentAt(suite, key, part, counter, sealed));
  }
  return opened;
}

/**
 * Opens one segment of a part.
 *
 * @param counter - number of the segment within the part, from 0
 * @param sealed - the whole ciphertext block that holds it; borrowed
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT`
 */
export function openSegmentAt(
  suite: Suite,
  key: Uint8Array,
  { size }: Pick<EnvelopePart, "size">,
  counter: number,
  sealed: Uint8Array,
): Uint8Array {
  const block = Math.floor(counter / SEGMENTS_PER_BLOCK);
  if (sealed.length !== blockBytes(suite, size, block)) throw decryptFailed();
  const at = (counter - block * SEGMENTS_PER_BLOCK) * (SEGMENT_BYTES + suite.tagBytes);
  const length = Math.min(SEGMENT_BYTES, size - counter * SEGMENT_BYTES);
  const final = counter === segmentCount(size) - 1;
  const one = sealed.subarray(at, at + length + suite.tagBytes);
  const plaintext = suite.openSegment(key, counter, final, one);
  if (plaintext === undefined) throw decryptFailed();
  return plaintext;
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
