import { equalBytes } from "../../bytes/compare.ts";
import { utf8ToBytes } from "../../bytes/utf8.ts";
import { StorageError } from "../../errors.ts";
import { sha256 } from "#crypto";
import type { Head } from "../types.ts";

/**
 * The records of one append, stored in one object: `magic (8) ‖ first (8) ‖ previous (32) ‖ count
 * (4) ‖ length (4) of each ‖ the records ‖ SHA-256 of all before`.
 */
export interface Segment {
  /** Index of its first record. */
  readonly first: number;
  /** SHA-256 of the record before; `null` if there is none. */
  readonly previous: Uint8Array | null;
  /** Views of `bytes`. */
  readonly records: readonly Uint8Array[];
  /** The end of the chain after it. */
  readonly head: Head;
  readonly bytes: Uint8Array;
}

const MAGIC = /* @__PURE__ */ utf8ToBytes("hl-s3/1\n");
const FIXED = 8 + 8 + 32 + 4;

/** Encodes records that follow a head; copies them. */
export function encodeSegment({ size, hash }: Head, records: readonly Uint8Array[]): Segment {
  const length = records.reduce((sum, record) => sum + 4 + record.length, FIXED);
  const bytes = new Uint8Array(length + 32);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  view.setBigUint64(8, BigInt(size));
  if (hash !== null) bytes.set(hash, 16);
  view.setUint32(48, records.length);
  let at = FIXED + 4 * records.length;
  const copies = records.map((record, i) => {
    view.setUint32(FIXED + 4 * i, record.length);
    bytes.set(record, at);
    at += record.length;
    return bytes.subarray(at - record.length, at);
  });
  bytes.set(sha256(bytes.subarray(0, length)), length);
  return {
    first: size,
    previous: hash === null ? null : bytes.subarray(16, 48),
    records: copies,
    head: { size: size + records.length, hash: sha256(copies.at(-1)!) },
    bytes,
  };
}

/**
 * Decodes what {@link encodeSegment} encoded.
 *
 * @param bytes - borrowed by the segment
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when it is not a segment that begins at `first`
 */
export function decodeSegment(bytes: Uint8Array, first: number): Segment {
  const wrong = (what: string): StorageError =>
    new StorageError("ERR_STORAGE_CORRUPT", `the segment from record ${first} ${what}`);
  const length = bytes.length - 32;
  if (length < FIXED || !equalBytes(bytes.subarray(0, 8), MAGIC)) throw wrong("is not a segment");
  if (!equalBytes(sha256(bytes.subarray(0, length)), bytes.subarray(length))) {
    throw wrong("is damaged");
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getBigUint64(8) !== BigInt(first)) throw wrong("has another position");
  const count = view.getUint32(48);
  let at = FIXED + 4 * count;
  if (count === 0 || at > length) throw wrong("has no records");
  const records: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const end = at + view.getUint32(FIXED + 4 * i);
    if (end > length) throw wrong("ends in the middle of a record");
    records.push(bytes.subarray(at, end));
    at = end;
  }
  if (at !== length) throw wrong("is too long");
  return {
    first,
    previous: first === 0 ? null : bytes.subarray(16, 48),
    records,
    head: { size: first + count, hash: sha256(records.at(-1)!) },
    bytes,
  };
}

const LAST = Number.MAX_SAFE_INTEGER;

/** The last part of a segment's key: counts down, so that listings begin with the newest. */
export function segmentName(first: number): string {
  return (LAST - first).toString(16).padStart(14, "0");
}

/** The index of the first record of a segment with this name; `undefined` for other names. */
export function firstOf(name: string): number | undefined {
  if (!/^[0-1][0-9a-f]{13}$/.test(name)) return undefined;
  return LAST - Number.parseInt(name, 16);
}

const LITERAL = /^[A-Za-z0-9-]$/;

/**
 * A chain's name as part of a key: other characters than letters, digits and `-` become `_` and
 * hex.
 */
export function encodeName(name: Uint8Array): string {
  return Array.from(name, (byte) => {
    const character = String.fromCharCode(byte);
    return LITERAL.test(character) ? character : `_${byte.toString(16).padStart(2, "0")}`;
  }).join("");
}

/** Decodes a name; `undefined` if it is not one. */
export function decodeName(text: string): Uint8Array | undefined {
  if (!/^(?:[A-Za-z0-9-]|_[0-9a-f]{2})+$/.test(text)) return undefined;
  const plain = text.replace(/_([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}
