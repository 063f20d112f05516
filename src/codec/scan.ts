import { EncodingError } from "../errors.ts";
import type { DecodeLimits } from "./dag-cbor.ts";

const malformed = (what: string) => new EncodingError("ERR_ENCODING_MALFORMED", what);
const notCanonical = (what: string) => new EncodingError("ERR_ENCODING_NOT_CANONICAL", what);
const overLimit = (what: string) => new EncodingError("ERR_ENCODING_LIMIT", what);

const MAJOR_UINT = 0;
const MAJOR_BYTES = 2;
const MAJOR_TEXT = 3;
const MAJOR_ARRAY = 4;
const MAJOR_MAP = 5;
const MAJOR_TAG = 6;
const MAJOR_SIMPLE = 7;

/**
 * Walks DAG-CBOR without building anything, so that the decoder behind it meets only canonical
 * input of bounded size, depth and count.
 *
 * @throws {EncodingError} as {@link decode} does
 */
export function scan(bytes: Uint8Array, limits: DecodeLimits): void {
  const maxDepth = limits.maxDepth ?? 32;
  const maxBytes = limits.maxBytes ?? 64 * 1024 * 1024;
  const floats = limits.floats === true;
  let budget = limits.maxItems ?? 4_194_304;
  if (bytes.length > maxBytes) throw overLimit(`longer than ${maxBytes} bytes`);
  let at = 0;
  let argument = 0;

  /** Reads one head, leaves its argument in `argument`, and returns its major type. */
  function readHead(): number {
    if (at >= bytes.length) throw malformed("ends in the middle of an item");
    const initial = bytes[at++]!;
    const major = initial >> 5;
    const info = initial & 31;
    if (major === MAJOR_SIMPLE) {
      argument = info;
      return major;
    }
    if (info < 24) {
      argument = info;
      return major;
    }
    if (info > 27) throw malformed("indefinite or reserved length");
    const width = 1 << (info - 24);
    if (bytes.length - at < width) throw malformed("ends in the middle of an item");
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + bytes[at++]!;
    const least = width === 1 ? 24 : width === 2 ? 0x100 : width === 4 ? 0x1_0000 : 0x1_0000_0000;
    if (value < least) throw notCanonical("an integer is not in its shortest form");
    argument = value;
    return major;
  }

  function skipString(): void {
    if (argument > bytes.length - at) throw malformed("a string is longer than the input");
    at += argument;
  }

  function item(depth: number): void {
    if (--budget < 0) throw overLimit("too many items");
    const start = at;
    const major = readHead();
    switch (major) {
      case MAJOR_BYTES:
      case MAJOR_TEXT:
        skipString();
        return;
      case MAJOR_ARRAY: {
        const count = argument;
        if (depth >= maxDepth) throw overLimit("nested too deeply");
        if (count > bytes.length - at) throw malformed("an array is longer than the input");
        for (let i = 0; i < count; i++) item(depth + 1);
        return;
      }
      case MAJOR_MAP: {
        const count = argument;
        if (depth >= maxDepth) throw overLimit("nested too deeply");
        if (count * 2 > bytes.length - at) throw malformed("a map is longer than the input");
        let previousStart = -1;
        let previousEnd = -1;
        for (let i = 0; i < count; i++) {
          if (--budget < 0) throw overLimit("too many items");
          if (readHead() !== MAJOR_TEXT) throw malformed("a map key is not a string");
          const keyStart = at;
          skipString();
          if (previousStart >= 0) {
            const order = compareKeys(bytes, previousStart, previousEnd, keyStart, at);
            if (order === 0) throw malformed("a map key occurs twice");
            if (order > 0) throw notCanonical("map keys are not sorted");
          }
          previousStart = keyStart;
          previousEnd = at;
          item(depth + 1);
        }
        return;
      }
      case MAJOR_TAG: {
        if (argument !== 42) throw malformed("a tag other than 42");
        if (readHead() !== MAJOR_BYTES) throw malformed("tag 42 without a byte string");
        if (argument < 1 || bytes[at] !== 0) throw malformed("a CID without its 00 prefix");
        skipString();
        return;
      }
      case MAJOR_SIMPLE: {
        if (argument === 20 || argument === 21 || argument === 22) return;
        if (argument !== 27) throw malformed("a simple value or short float");
        if (bytes.length - at < 8) throw malformed("ends in the middle of an item");
        if (!floats) throw malformed("a float");
        const value = new DataView(bytes.buffer, bytes.byteOffset + at, 8).getFloat64(0);
        if (!Number.isFinite(value)) throw malformed("a float that is not finite");
        at += 8;
        return;
      }
      default:
        // Unsigned and negative integers: 64-bit arguments are legal, and compared above only for
        // being shortest, for which double precision is enough.
        if (major !== MAJOR_UINT && start === at) throw malformed("unreadable");
    }
  }

  item(0);
  if (at !== bytes.length) throw malformed("bytes behind the value");
}

function compareKeys(bytes: Uint8Array, a: number, aEnd: number, b: number, bEnd: number): number {
  const byLength = aEnd - a - (bEnd - b);
  if (byLength !== 0) return byLength;
  for (let i = 0; a + i < aEnd; i++) {
    const difference = bytes[a + i]! - bytes[b + i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
