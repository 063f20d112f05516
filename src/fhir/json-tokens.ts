import { BACKSLASH, byteAt, fail, QUOTE, type Scan } from "./json-scan.ts";

/** Longest name of a member, in bytes; FHIR's have 64 at most. */
const MOST_NAME = 65_536;

/** Most digits in a row; FHIR's decimals have 18. */
const MOST_DIGITS = 65_536;

/** Whether a byte is a digit. */
export const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;

/** 1 for the bytes of a string that need no handling. */
const PLAIN = /* @__PURE__ */ Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte < 0x80 && byte !== QUOTE && byte !== BACKSLASH ? 1 : 0,
);

/**
 * Reads the string of a name.
 *
 * @returns the offset after it
 */
export function readString(scan: Scan, start: number): number {
  scan.hasEscape = false;
  const at = readPiece(scan, start + 1, start + MOST_NAME);
  return at < 0 ? fail(scan, "too long a name", start) : at;
}

/**
 * Reads a string, or a part of it.
 *
 * @param from - offset behind the quote, or of where reading stopped
 * @param most - the offset at which, or soon after, reading stops
 * @returns the offset after the string, or the negative one of where it stopped
 */
export function readPiece(scan: Scan, from: number, most: number): number {
  const { bytes } = scan;
  const end = Math.min(most, bytes.length);
  let at = from;
  for (;;) {
    while (at < end && PLAIN[bytes[at]!] === 1) at++;
    if (at >= most) return -at;
    const byte = byteAt(bytes, at);
    if (byte === QUOTE) return at + 1;
    if (byte < 0) fail(scan, "unfinished string", at);
    if (byte < 0x20) fail(scan, "control character in a string", at);
    at = byte === BACKSLASH ? readEscape(scan, at) : readCharacter(scan, at, byte);
  }
}

/** @returns the offset after the escape, or after both of a pair */
function readEscape(scan: Scan, start: number): number {
  scan.hasEscape = true;
  const unit = unitOf(scan, start);
  if (unit < 0xd800 || unit > 0xdfff) return start + (unit < 0 ? 2 : 6);
  if (unit > 0xdbff) fail(scan, "lone surrogate", start + 5);
  const at = start + 6;
  if (byteAt(scan.bytes, at) !== BACKSLASH) fail(scan, "lone surrogate", at);
  const low = unitOf(scan, at);
  if (low < 0xdc00 || low > 0xdfff) fail(scan, "lone surrogate", low < 0 ? at + 1 : at + 5);
  return at + 6;
}

/** @returns the unit that a numeric escape means; -1 for any other escape */
function unitOf(scan: Scan, start: number): number {
  const kind = byteAt(scan.bytes, start + 1);
  if (ESCAPES.includes(kind)) return -1;
  const from = start + 2 - scan.extra;
  const digits = scan.text.slice(from, from + 4);
  if (kind !== 0x75 || !/^[0-9a-fA-F]{4}$/.test(digits)) {
    fail(scan, "malformed escape", start + 1);
  }
  return parseInt(digits, 16);
}

/** @returns the offset after a character of several bytes */
function readCharacter(scan: Scan, at: number, byte: number): number {
  const { bytes, text, extra } = scan;
  if (byte === 0xef && bytes[at + 1] === 0xbf && bytes[at + 2] === 0xbd) {
    // What a lone surrogate becomes in UTF-8, and a character of its own.
    const unit = text.charCodeAt(at - extra);
    if (unit !== 0xfffd) fail(scan, "lone surrogate", unit > 0xdbff ? at : at + 1);
  }
  scan.extra += byte < 0xe0 ? 1 : 2;
  return at + (byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4);
}

/** The bytes of `"\/bfnrt`. */
const ESCAPES: readonly number[] = [QUOTE, BACKSLASH, 0x2f, 0x62, 0x66, 0x6e, 0x72, 0x74];
/** @returns the offset after the number */
export function readNumber(scan: Scan, start: number): number {
  const { bytes } = scan;
  let at = byteAt(bytes, start) === 0x2d ? start + 1 : start;
  at = byteAt(bytes, at) === 0x30 ? at + 1 : readDigits(scan, at);
  if (byteAt(bytes, at) === 0x2e) at = readDigits(scan, at + 1);
  const exponent = byteAt(bytes, at);
  if (exponent !== 0x65 && exponent !== 0x45) return at;
  const sign = byteAt(bytes, at + 1);
  return readDigits(scan, sign === 0x2b || sign === 0x2d ? at + 2 : at + 1);
}

function readDigits(scan: Scan, start: number): number {
  let at = start;
  while (at - start <= MOST_DIGITS && isDigit(byteAt(scan.bytes, at))) at++;
  if (at === start) fail(scan, "malformed number", at);
  if (at - start > MOST_DIGITS) fail(scan, "too long a number", start);
  return at;
}

/** @returns the offset after `true`, `false` or `null` */
export function readLiteral(scan: Scan, at: number): number {
  const { text, bytes, extra } = scan;
  for (const word of ["true", "false", "null"]) {
    if (text.startsWith(word, at - extra)) return at + word.length;
  }
  return fail(scan, at < bytes.length ? "expected a value" : "unexpected end", at);
}
