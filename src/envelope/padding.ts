import { decryptFailed } from "../crypto/decrypt-failed.ts";

/**
 * How the lengths of parts are hidden: `stepped` pads a part to the smallest of a few sizes that
 * holds it, `uniform` pads every part to 16 KiB. Both pad longer parts to a size of Padmé.
 */
export type Padding = "stepped" | "uniform";

/** Bytes at the end of a part that state the length of the rest. */
export const LENGTH_BYTES = 8;
/** The sizes of parts that are not long. */
const STEPS = [3072, 8192, 16_384] as const;
/** The largest of them. */
export const LONGEST_STEP: number = STEPS[2];

/**
 * Refuses a padding that does not exist, which must not count as the weaker one.
 *
 * @throws {TypeError}
 */
export function assertPadding(padding: unknown): asserts padding is Padding {
  if (padding !== "stepped" && padding !== "uniform") {
    throw new TypeError("padding must be stepped or uniform");
  }
}

/** The size to which so many bytes are padded. */
export function paddedSize(length: number, padding: Padding): number {
  const least = length + LENGTH_BYTES;
  if (padding === "uniform" && least < LONGEST_STEP) return LONGEST_STEP;
  return STEPS.find((step) => least <= step) ?? padme(least);
}

/** Whether a part can have a size. */
export function isPaddedSize(size: number): boolean {
  return size > LONGEST_STEP ? padme(size) === size : (STEPS as readonly number[]).includes(size);
}

/** Whether a part has one of the few sizes of parts that are not long. */
export const isStep = (size: number): boolean => size <= LONGEST_STEP;

/**
 * Padmé: of the binary digits of a length, it keeps the first few, as many as it takes to write the
 * number of the digits, and rounds up to a number whose other digits are 0. To lengths above 16 KiB
 * it adds at most a sixteenth, and less the longer they are.
 *
 * @see Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with
 *   PURBs", PoPETs 2019 (4), algorithm 1
 */
function padme(length: number): number {
  const exponent = floorLog2(length);
  const unit = 2 ** (exponent - floorLog2(exponent) - 1);
  return Math.ceil(length / unit) * unit;
}

/** Exact, as `Math.log2` is not for numbers just below a large power of two. */
function floorLog2(value: number): number {
  const high = Math.floor(value / 2 ** 32);
  return high > 0 ? 63 - Math.clz32(high) : 31 - Math.clz32(value);
}

/**
 * A slice of a part with its padding.
 *
 * @param bytes - the part without padding; borrowed
 * @param size - the padded size
 * @returns a view of `bytes` if the slice has no padding, otherwise newly allocated
 */
export function paddedSlice(
  bytes: Uint8Array,
  size: number,
  start: number,
  end: number,
): Uint8Array {
  if (end <= bytes.length) return bytes.subarray(start, end);
  const slice = new Uint8Array(end - start);
  if (start < bytes.length) slice.set(bytes.subarray(start));
  // No size of a part divides these bytes between two segments.
  if (end === size) writeLength(slice, bytes.length);
  return slice;
}

/**
 * A message with its padding, as a part of one segment has it.
 *
 * @returns newly allocated bytes
 */
export function padMessage(bytes: Uint8Array, padding: Padding): Uint8Array {
  const size = paddedSize(bytes.length, padding);
  return paddedSlice(bytes, size, 0, size);
}

/**
 * A message without its padding; the given bytes are wiped.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` when the length or the padding is malformed
 */
export function unpadMessage(bytes: Uint8Array): Uint8Array {
  if (!isPaddedSize(bytes.length)) throw decryptFailed();
  return joinWithoutPadding([bytes], bytes.length);
}

/** Writes the length of a part without padding, big-endian, into the last 8 bytes. */
export function writeLength(into: Uint8Array, length: number): void {
  const view = new DataView(into.buffer, into.byteOffset + into.length - LENGTH_BYTES);
  view.setUint32(0, Math.floor(length / 2 ** 32));
  view.setUint32(4, length % 2 ** 32);
}

/**
 * Reads the length of a part without padding.
 *
 * @param last - the last segment of the part, after it has been authenticated
 * @param size - the padded size
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` unless a part of this length has this size
 */
export function lengthOfPart(last: Uint8Array, size: number): number {
  const view = new DataView(last.buffer, last.byteOffset + last.length - LENGTH_BYTES);
  const length = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
  if (length > size - LENGTH_BYTES) throw decryptFailed();
  if (paddedSize(length, "stepped") !== size && paddedSize(length, "uniform") !== size) {
    throw decryptFailed();
  }
  return length;
}

/**
 * Checks the padding in a segment.
 *
 * @param start - offset of the segment in the part
 * @param length - length of the part without padding
 * @param size - the padded size
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` when a byte of it is not 0
 */
export function assertPaddingOf(
  segment: Uint8Array,
  start: number,
  length: number,
  size: number,
): void {
  const end = Math.min(segment.length, size - LENGTH_BYTES - start);
  for (let at = Math.max(0, length - start); at < end; at++) {
    if (segment[at] !== 0) throw decryptFailed();
  }
}

/**
 * Joins the segments of a part without its padding, and wipes them, also if it throws.
 *
 * @param segments - all of them, in order, after they have been authenticated
 * @param size - the padded size
 * @returns newly allocated bytes
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` when the length or the padding is malformed
 */
export function joinWithoutPadding(segments: readonly Uint8Array[], size: number): Uint8Array {
  try {
    const length = lengthOfPart(segments.at(-1)!, size);
    const plaintext = new Uint8Array(length);
    let start = 0;
    for (const segment of segments) {
      assertPaddingOf(segment, start, length, size);
      if (start < length) plaintext.set(segment.subarray(0, length - start), start);
      start += segment.length;
    }
    return plaintext;
  } finally {
    for (const segment of segments) segment.fill(0);
  }
}
