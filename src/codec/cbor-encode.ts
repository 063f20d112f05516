import { CID } from "multiformats/cid";
import type { Steps } from "../bytes/steps.ts";
import { compareBytes } from "../bytes/compare.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { EncodingError } from "../errors.ts";
import { cidToTag } from "./cid.ts";

/** The output of {@link writeItem}; grown as needed. */
export interface Output {
  bytes: Uint8Array;
  at: number;
  readonly floats: boolean;
  readonly maxDepth: number;
}

const inexpressible = (what: string) => new EncodingError("ERR_ENCODING_SHAPE", what);

/** Longest text that is tried as ASCII first: the names of keys, codes, most addresses and actors. */
const SHORT_TEXT = 96;
/** Longest head of an item: its type and an argument of 64 bits. */
const MAX_HEAD = 9;
/**
 * Most bytes that writing may leave beyond the end of the output. A buffer that map keys passed
 * through is wiped up to there.
 */
export const SPILL: number = MAX_HEAD + SHORT_TEXT;
const MAX_UINT64 = 0xffff_ffff_ffff_ffffn;

/**
 * Writes one value and everything inside it in the canonical form.
 *
 * @param depth - number of arrays and maps that enclose the value
 */
export function writeItem(out: Output, value: unknown, depth: number): void {
  switch (typeof value) {
    case "string":
      writeText(out, value);
      return;
    case "number":
      writeNumber(out, value);
      return;
    case "boolean":
      writeByte(out, value ? 0xf5 : 0xf4);
      return;
    case "bigint":
      writeBigint(out, value);
      return;
    case "object":
      if (value === null) writeByte(out, 0xf6);
      else writeObject(out, value, depth);
      return;
    default:
      throw inexpressible(`a value of type ${typeof value} cannot be encoded`);
  }
}

/** Number of list items between two places where writing can be interrupted. */
const PIECE = 512;

/**
 * Like {@link writeItem}, in steps: may be interrupted within a list that is the value, or that is
 * nested in it only through maps.
 */
export function* writeSteps(out: Output, value: unknown, depth: number): Steps<void> {
  if (depth >= out.maxDepth || typeof value !== "object" || value === null) {
    writeItem(out, value, depth);
  } else if (Array.isArray(value)) {
    const { length } = value;
    writeHead(out, 4, length);
    for (let i = 0; i < length; i++) {
      if (i % PIECE === PIECE - 1) yield;
      writeItem(out, value[i], depth + 1);
    }
  } else if (Object.getPrototypeOf(value) === Object.prototype) {
    const fields = value as Record<string, unknown>;
    for (const key of writeKeys(out, fields)) {
      writeText(out, key);
      yield* writeSteps(out, fields[key], depth + 1);
    }
  } else {
    writeItem(out, value, depth);
  }
}

function writeObject(out: Output, value: object, depth: number): void {
  if (value instanceof Uint8Array) {
    writeBytes(out, value);
    return;
  }
  if (Array.isArray(value)) {
    if (depth >= out.maxDepth) throw tooDeep();
    // Read once: a getter inside could change it.
    const { length } = value;
    writeHead(out, 4, length);
    for (let i = 0; i < length; i++) writeItem(out, value[i], depth + 1);
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) {
    if (depth >= out.maxDepth) throw tooDeep();
    writeMap(out, value as Record<string, unknown>, depth);
    return;
  }
  const cid = CID.asCID(value);
  if (cid === null) throw inexpressible("only plain objects, Uint8Array and CIDs can be encoded");
  const bytes = cidToTag(cid);
  writeHead(out, 6, 42);
  writeHead(out, 2, bytes.length + 1, bytes.length + 1);
  out.bytes[out.at++] = 0;
  out.bytes.set(bytes, out.at);
  out.at += bytes.length;
}

function writeBytes(out: Output, value: Uint8Array): void {
  const { length } = value;
  writeHead(out, 2, length, length);
  out.bytes.set(value, out.at);
  out.at += length;
}

function writeMap(out: Output, fields: Record<string, unknown>, depth: number): void {
  for (const key of writeKeys(out, fields)) {
    writeText(out, key);
    writeItem(out, fields[key], depth + 1);
  }
}

/** Writes the head of a map. @returns its keys in the order in which they are written */
function writeKeys(out: Output, fields: Record<string, unknown>): readonly string[] {
  const keys = Object.keys(fields);
  writeHead(out, 5, keys.length);
  if (keys.length > 1) sortKeys(keys);
  return keys;
}

/**
 * Maps of up to this many keys use insertion sort, which is faster than the engine's sort there.
 */
const FEW_KEYS = 24;

/** Sorts keys by the length of their UTF-8 form, then by its bytes (RFC 7049 §3.9). */
function sortKeys(keys: string[]): void {
  let sorted = true;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    if (!isAscii(key)) {
      const encoded = new Map(keys.map((text) => [text, utf8ToBytes(text)]));
      keys.sort((a, b) => {
        const x = encoded.get(a)!;
        const y = encoded.get(b)!;
        return x.length - y.length || compareBytes(x, y);
      });
      return;
    }
    if (i > 0 && compareAscii(keys[i - 1]!, key) > 0) sorted = false;
  }
  if (sorted) return;
  if (keys.length > FEW_KEYS) keys.sort(compareAscii);
  else insertAll(keys);
}

function insertAll(keys: string[]): void {
  for (let i = 1; i < keys.length; i++) {
    const key = keys[i]!;
    let at = i;
    for (; at > 0 && compareAscii(keys[at - 1]!, key) > 0; at--) keys[at] = keys[at - 1]!;
    keys[at] = key;
  }
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}

function compareAscii(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : 1);
}

function writeNumber(out: Output, value: number): void {
  if (Number.isSafeInteger(value)) {
    if (value >= 0) writeHead(out, 0, value);
    else writeHead(out, 1, -1 - value);
    return;
  }
  if (!Number.isFinite(value)) throw inexpressible("a number that is not finite cannot be encoded");
  if (!out.floats) throw inexpressible("floats cannot be encoded in hashed structures");
  reserve(out, MAX_HEAD);
  out.bytes[out.at] = 0xfb;
  new DataView(out.bytes.buffer, out.bytes.byteOffset + out.at + 1, 8).setFloat64(0, value);
  out.at += 9;
}

function writeBigint(out: Output, value: bigint): void {
  const argument = value < 0n ? -1n - value : value;
  if (argument > MAX_UINT64)
    throw inexpressible("an integer of more than 64 bits cannot be encoded");
  const major = value < 0n ? 1 : 0;
  if (argument <= BigInt(Number.MAX_SAFE_INTEGER)) {
    writeHead(out, major, Number(argument));
    return;
  }
  reserve(out, MAX_HEAD);
  out.bytes[out.at] = (major << 5) | 27;
  new DataView(out.bytes.buffer, out.bytes.byteOffset + out.at + 1, 8).setBigUint64(0, argument);
  out.at += 9;
}

function writeText(out: Output, text: string): void {
  const { length } = text;
  if (length <= SHORT_TEXT) {
    const start = out.at;
    writeHead(out, 3, length, length);
    const { bytes, at } = out;
    let i = 0;
    for (; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) break;
      bytes[at + i] = unit;
    }
    if (i === length) {
      out.at = at + length;
      return;
    }
    // Not ASCII, so longer in UTF-8 than assumed: write the item again, starting with its head.
    out.at = start;
  }
  const encoded = utf8ToBytes(text);
  if (!isWellFormed(text))
    throw inexpressible("a string with an unpaired surrogate cannot be encoded");
  writeHead(out, 3, encoded.length, encoded.length);
  out.bytes.set(encoded, out.at);
  out.at += encoded.length;
}

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/**
 * Writes an item's head, and reserves room for it and the `content` bytes that follow. Only this
 * function replaces the buffer, always before any byte of the item is written.
 */
function writeHead(out: Output, major: number, argument: number, content = 0): void {
  reserve(out, MAX_HEAD + content);
  const { bytes } = out;
  const type = major << 5;
  if (argument < 24) {
    bytes[out.at++] = type | argument;
  } else if (argument < 0x100) {
    bytes[out.at++] = type | 24;
    bytes[out.at++] = argument;
  } else if (argument < 0x1_0000) {
    bytes[out.at++] = type | 25;
    bytes[out.at++] = argument >>> 8;
    bytes[out.at++] = argument;
  } else if (argument < 0x1_0000_0000) {
    bytes[out.at++] = type | 26;
    writeWord(out, argument);
  } else {
    bytes[out.at++] = type | 27;
    writeWord(out, Math.floor(argument / 0x1_0000_0000));
    writeWord(out, argument % 0x1_0000_0000);
  }
}

function writeWord(out: Output, word: number): void {
  const { bytes } = out;
  bytes[out.at++] = word >>> 24;
  bytes[out.at++] = word >>> 16;
  bytes[out.at++] = word >>> 8;
  bytes[out.at++] = word;
}

function writeByte(out: Output, byte: number): void {
  reserve(out, 1);
  out.bytes[out.at++] = byte;
}

function reserve(out: Output, more: number): void {
  const needed = out.at + more;
  if (needed <= out.bytes.length) return;
  const grown = new Uint8Array(Math.max(needed, out.bytes.length * 2));
  grown.set(out.bytes.subarray(0, out.at));
  // A string that turned out not to be ASCII may have left bytes after the end.
  out.bytes.fill(0, 0, out.at + SPILL);
  out.bytes = grown;
}

function tooDeep(): EncodingError {
  return new EncodingError("ERR_ENCODING_LIMIT", "the value is nested too deeply");
}
