import type { EnvelopePart } from "./header.ts";
import { blockCount } from "./header.ts";
import { decryptFailed } from "./keys.ts";
import { paddedSlice } from "./padding.ts";
import { type PartCipher, TAG_BYTES } from "./part-cipher.ts";
import { SEGMENT_BYTES, SEGMENTS_PER_BLOCK } from "./suite.ts";

/** Number of segments of a part with this padded size. */
export function segmentCount(size: number): number {
  return Math.ceil(size / SEGMENT_BYTES);
}

/**
 * Seals one ciphertext block of a part.
 *
 * @param plaintext - the whole part without padding; borrowed
 * @param size - the part's padded size
 * @param block - number of the block within the part, from 0
 */
export async function sealBlock(
  cipher: PartCipher,
  plaintext: Uint8Array,
  size: number,
  block: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(blockBytes(size, block));
  let at = 0;
  const sealing = segmentsOf(size, block).map(({ counter, final, start, end }) => {
    const into = bytes.subarray(at, (at += end - start + TAG_BYTES));
    const slice = paddedSlice(plaintext, size, start, end);
    const underway = cipher.seal(counter, final, slice, into);
    if (slice.buffer !== plaintext.buffer) slice.fill(0);
    return underway;
  });
  await Promise.all(sealing);
  return bytes;
}

/**
 * Opens one ciphertext block of a part independently of the others.
 *
 * @param sealed - the block; borrowed
 * @returns the plaintext of its segments with padding, in order
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT`
 */
export async function openBlock(
  cipher: PartCipher,
  part: Pick<EnvelopePart, "size">,
  block: number,
  sealed: Uint8Array,
): Promise<readonly Uint8Array[]> {
  const opening: Promise<Uint8Array>[] = [];
  const first = block * SEGMENTS_PER_BLOCK;
  const beyond = Math.min(first + SEGMENTS_PER_BLOCK, segmentCount(part.size));
  for (let counter = first; counter < beyond; counter++) {
    opening.push(openSegmentAt(cipher, part, counter, sealed));
  }
  try {
    return await Promise.all(opening);
  } catch (error) {
    for (const one of opening) wipeWhenOpened(one);
    throw error;
  }
}

/** Wipes a segment that must not be returned, once it is opened. */
export function wipeWhenOpened(opening: Promise<Uint8Array>): void {
  opening.then(
    (segment) => segment.fill(0),
    () => undefined,
  );
}

/**
 * Opens one segment of a part.
 *
 * @param counter - number of the segment within the part, from 0
 * @param sealed - the whole ciphertext block that holds it; borrowed
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT`
 */
export async function openSegmentAt(
  cipher: PartCipher,
  { size }: Pick<EnvelopePart, "size">,
  counter: number,
  sealed: Uint8Array,
): Promise<Uint8Array> {
  const block = Math.floor(counter / SEGMENTS_PER_BLOCK);
  if (sealed.length !== blockBytes(size, block)) throw decryptFailed();
  const at = (counter - block * SEGMENTS_PER_BLOCK) * (SEGMENT_BYTES + TAG_BYTES);
  const length = Math.min(SEGMENT_BYTES, size - counter * SEGMENT_BYTES);
  const final = counter === segmentCount(size) - 1;
  const one = sealed.subarray(at, at + length + TAG_BYTES);
  const plaintext = await cipher.open(counter, final, one);
  if (plaintext === undefined) throw decryptFailed();
  return plaintext;
}

/** The length of a ciphertext block of a part. */
function blockBytes(size: number, block: number): number {
  const first = block * SEGMENTS_PER_BLOCK;
  const segments = Math.min(SEGMENTS_PER_BLOCK, segmentCount(size) - first);
  const end = Math.min(size, (first + segments) * SEGMENT_BYTES);
  return end - first * SEGMENT_BYTES + segments * TAG_BYTES;
}

interface Segment {
  readonly counter: number;
  readonly final: boolean;
  /** Offset of its plaintext in the part. */
  readonly start: number;
  readonly end: number;
}

function segmentsOf(size: number, block: number): readonly Segment[] {
  if (block >= blockCount(size)) throw new RangeError("the part has no such block");
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
