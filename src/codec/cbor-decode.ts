import type { Steps } from "../bytes/steps.ts";
import { bytesToUtf8 } from "../bytes/utf8.ts";
import { EncodingError } from "../errors.ts";
import { cidFromTag } from "./cid.ts";

/** The input of {@link readItem}, its position, and its limits. */
export interface Cursor {
  readonly bytes: Uint8Array;
  readonly floats: boolean;
  /** Whether byte strings are views of the input. CIDs never are. */
  readonly borrow: boolean;
  readonly maxDepth: number;
  /** Number of data items that may still be read. */
  budget: number;
  at: number;
  /** Where the map key that was read last begins. */
  keyAt: number;
}

const malformed = (what: string) => new EncodingError("ERR_ENCODING_MALFORMED", what);
const notCanonical = (what: string) => new EncodingError("ERR_ENCODING_NOT_CANONICAL", what);
const overLimit = (what: string) => new EncodingError("ERR_ENCODING_LIMIT", what);

const cutShort = () => malformed("the input ends in the middle of an item");
const notShortest = () => notCanonical("an integer is not in its shortest form");

/**
 * Strings up to this length are read byte by byte while they are ASCII, which is faster than a
 * decoder.
 */
const SHORT_TEXT = 48;
const CID_TAG = 42;

/**
 * Reads one DAG-CBOR item and everything inside it, refusing every form but the canonical one.
 * Nothing is allocated for a length or count that the input could not hold.
 *
 * @param depth - number of arrays and maps that enclose the item
 */
export function readItem(cursor: Cursor, depth: number): unknown {
  if (--cursor.budget < 0) throw overLimit("the input has too many items");
  const { bytes } = cursor;
  if (cursor.at >= bytes.length) throw cutShort();
  const initial = bytes[cursor.at++]!;
  const info = initial & 31;
  switch (initial >> 5) {
    case 0:
      return info === 27 ? readWide(cursor, false) : readArgument(cursor, info);
    case 1:
      return info === 27 ? readWide(cursor, true) : -1 - readArgument(cursor, info);
    case 2:
      return readBytes(cursor, info, cursor.borrow);
    case 3:
      return readText(cursor, readArgument(cursor, info));
    case 4:
      return readArray(cursor, info, depth);
    case 5:
      return readMap(cursor, info, depth);
    case 6:
      return readCid(cursor, info);
    default:
      if (info === 20) return false;
      if (info === 21) return true;
      if (info === 22) return null;
      if (info === 27) return readFloat(cursor);
      throw malformed("the input holds an unsupported simple value or a short float");
  }
}

/** An argument that is a length, a tag or an integer of at most 32 bits. */
function readArgument(cursor: Cursor, info: number): number {
  if (info < 24) return info;
  const { bytes, at } = cursor;
  if (info === 24) {
    if (at >= bytes.length) throw cutShort();
    const value = bytes[at]!;
    if (value < 24) throw notShortest();
    cursor.at = at + 1;
    return value;
  }
  if (info === 25) {
    if (bytes.length - at < 2) throw cutShort();
    const value = bytes[at]! * 256 + bytes[at + 1]!;
    if (value < 0x100) throw notShortest();
    cursor.at = at + 2;
    return value;
  }
  if (info === 26) {
    const value = readWord(cursor);
    if (value < 0x1_0000) throw notShortest();
    return value;
  }
  if (info === 27) {
    const high = readWord(cursor);
    readWord(cursor);
    if (high === 0) throw notShortest();
    throw malformed("a length exceeds the input");
  }
  throw malformed("an item has an indefinite or reserved length");
}

function readWord(cursor: Cursor): number {
  const { bytes, at } = cursor;
  if (bytes.length - at < 4) throw cutShort();
  cursor.at = at + 4;
  return (
    bytes[at]! * 0x100_0000 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!)
  );
}

/** A 64-bit integer: a number where it is safe, else a bigint. */
function readWide(cursor: Cursor, negative: boolean): number | bigint {
  const high = readWord(cursor);
  const low = readWord(cursor);
  if (high === 0) throw notShortest();
  // 0x1fffff: 2^53 − 1 is the largest safe integer, and −1 − n must stay at or above −(2^53 − 1).
  if (high < 0x20_0000 && !(negative && high === 0x1f_ffff && low === 0xffff_ffff)) {
    const value = high * 0x1_0000_0000 + low;
    return negative ? -1 - value : value;
  }
  const value = (BigInt(high) << 32n) | BigInt(low);
  return negative ? -1n - value : value;
}

function readBytes(cursor: Cursor, info: number, borrow: boolean): Uint8Array {
  const length = readArgument(cursor, info);
  const { bytes, at } = cursor;
  if (length > bytes.length - at) throw malformed("a string is longer than the input");
  cursor.at = at + length;
  return borrow ? bytes.subarray(at, at + length) : bytes.slice(at, at + length);
}

function readText(cursor: Cursor, length: number): string {
  const { bytes, at } = cursor;
  const end = at + length;
  if (end > bytes.length) throw malformed("a string is longer than the input");
  cursor.at = end;
  if (length > SHORT_TEXT) return bytesToUtf8(bytes.subarray(at, end));
  let text = "";
  for (let i = at; i < end; i++) {
    const byte = bytes[i]!;
    if (byte > 0x7f) return bytesToUtf8(bytes.subarray(at, end));
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Number of items that {@link readSteps} reads between two places where it may be interrupted. */
const PIECE = 2048;
/** Most items in one item of a list that {@link readSteps} reads: no interruption is possible there. */
const MOST_AT_ONCE = 65_536;

/**
 * Like {@link readItem}, in steps: may be interrupted within a list that is the value, or that is nested
 * in it only through maps. One item of such a list may hold at most 65,536 others.
 */
export function* readSteps(cursor: Cursor, depth: number): Steps<unknown> {
  const { bytes } = cursor;
  const initial = cursor.at < bytes.length ? bytes[cursor.at]! : 0;
  const isMap = initial >> 5 === 5;
  if (!isMap && initial >> 5 !== 4) return readItem(cursor, depth);
  if (--cursor.budget < 0) throw overLimit("the input has too many items");
  cursor.at++;
  const fields: Record<string, unknown> = {};
  const items: unknown[] = [];
  const count = isMap
    ? readMapHead(cursor, initial & 31, depth)
    : readArrayHead(cursor, initial & 31, depth);
  let keyAt = -1;
  let keyEnd = -1;
  let paused = cursor.budget;
  for (let i = 0; i < count; i++) {
    if (paused - cursor.budget >= PIECE) {
      yield;
      paused = cursor.budget;
    }
    if (isMap) {
      const key = readKey(cursor, keyAt, keyEnd);
      keyAt = cursor.keyAt;
      keyEnd = cursor.at;
      setField(fields, key, yield* readSteps(cursor, depth + 1));
    } else {
      const rest = Math.max(0, cursor.budget - MOST_AT_ONCE);
      cursor.budget -= rest;
      items.push(readItem(cursor, depth + 1));
      cursor.budget += rest;
    }
  }
  return isMap ? fields : items;
}

/** The count of an array whose head is being read. */
function readArrayHead(cursor: Cursor, info: number, depth: number): number {
  const count = readArgument(cursor, info);
  if (depth >= cursor.maxDepth) throw overLimit("the input is nested too deeply");
  if (count > cursor.bytes.length - cursor.at) throw malformed("an array is longer than the input");
  if (count > cursor.budget) throw overLimit("the input has too many items");
  return count;
}

function readArray(cursor: Cursor, info: number, depth: number): unknown[] {
  const count = readArrayHead(cursor, info, depth);
  const items: unknown[] = [];
  for (let i = 0; i < count; i++) items.push(readItem(cursor, depth + 1));
  return items;
}

/** The count of a map whose head is being read. */
function readMapHead(cursor: Cursor, info: number, depth: number): number {
  const count = readArgument(cursor, info);
  if (depth >= cursor.maxDepth) throw overLimit("the input is nested too deeply");
  if (count * 2 > cursor.bytes.length - cursor.at)
    throw malformed("a map is longer than the input");
  if (count * 2 > cursor.budget) throw overLimit("the input has too many items");
  return count;
}

/**
 * Reads a map key, and compares it with the one before it.
 *
 * @param previousAt - where that one begins; -1 if this is the first
 */
function readKey(cursor: Cursor, previousAt: number, previousEnd: number): string {
  const { bytes } = cursor;
  cursor.budget--;
  if (cursor.at >= bytes.length) throw cutShort();
  const initial = bytes[cursor.at++]!;
  if (initial >> 5 !== 3) throw malformed("a map key is not a string");
  const length = readArgument(cursor, initial & 31);
  const start = cursor.at;
  const key = readText(cursor, length);
  if (previousAt >= 0) {
    const order = compareKeys(bytes, previousAt, previousEnd, start, cursor.at);
    if (order === 0) throw malformed("a map key occurs twice");
    if (order > 0) throw notCanonical("map keys are not sorted");
  }
  cursor.keyAt = start;
  return key;
}

function setField(fields: Record<string, unknown>, key: string, value: unknown): void {
  // Assigning to __proto__ would change the object's prototype instead of adding a field.
  if (key === "__proto__") {
    Object.defineProperty(fields, key, {
      value,
      configurable: true,
      enumerable: true,
      writable: true,
    });
  } else {
    fields[key] = value;
  }
}

function readMap(cursor: Cursor, info: number, depth: number): Record<string, unknown> {
  const count = readMapHead(cursor, info, depth);
  const fields: Record<string, unknown> = {};
  let keyAt = -1;
  let keyEnd = -1;
  for (let i = 0; i < count; i++) {
    const key = readKey(cursor, keyAt, keyEnd);
    keyAt = cursor.keyAt;
    keyEnd = cursor.at;
    setField(fields, key, readItem(cursor, depth + 1));
  }
  return fields;
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

function readCid(cursor: Cursor, info: number): unknown {
  if (readArgument(cursor, info) !== CID_TAG)
    throw malformed("the input holds a tag other than 42");
  const { bytes } = cursor;
  if (cursor.at >= bytes.length) throw cutShort();
  const initial = bytes[cursor.at++]!;
  if (initial >> 5 !== 2) throw malformed("tag 42 is not followed by a byte string");
  return cidFromTag(readBytes(cursor, initial & 31, false));
}

function readFloat(cursor: Cursor): number {
  const { bytes, at } = cursor;
  if (bytes.length - at < 8) throw cutShort();
  if (!cursor.floats) throw malformed("the input holds a float, and floats are not allowed here");
  const value = new DataView(bytes.buffer, bytes.byteOffset + at, 8).getFloat64(0);
  cursor.at = at + 8;
  if (!Number.isFinite(value)) throw malformed("the input holds a float that is not finite");
  // An integer has one form only, and −0 is the integer 0: JavaScript could not re-encode either to
  // the same bytes.
  if (Number.isSafeInteger(value)) throw notCanonical("an integer is written as a float");
  return value;
}
