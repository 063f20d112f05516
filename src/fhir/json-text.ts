import type { Steps } from "../bytes/steps.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { InputError } from "../errors.ts";

/** The position of one JSON value in a text; members and items only down to the requested depth. */
export interface JsonSpan {
  readonly kind: "object" | "array" | "string" | "number" | "literal";
  /** Offset of the value's first UTF-16 unit. */
  readonly start: number;
  /** Offset after its last unit. */
  readonly end: number;
  readonly members?: ReadonlyMap<string, JsonSpan>;
  readonly items?: readonly JsonSpan[];
}

export interface JsonScanOptions {
  /** The name of the text in messages. */
  readonly name: string;
  /** Deepest nesting of containers; deeper ones are refused. */
  readonly maxDepth: number;
  /** Containers down to this depth get `members` or `items`; deeper ones are only checked. */
  readonly keepDepth: number;
}

/** Values between two points at which scanning can be interrupted. */
const STEP = 2048;

/** Most names of an object that are compared one by one. */
const FEW = 16;

const ELEMENT = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/**
 * Finds the values of a JSON text without converting any of them, so that decimals and large
 * integers can be kept as written.
 *
 * Stricter than `JSON.parse`: duplicate keys and lone surrogates are refused too.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` with the path and offset of the malformed part
 * @see RFC 8259
 */
export function scanJson(text: string, options: JsonScanOptions): JsonSpan {
  return readValues(startScan(text, options), Infinity)!;
}

/** As {@link scanJson}, by steps of a fraction of a millisecond each. */
export function* scanSteps(text: string, options: JsonScanOptions): Steps<JsonSpan> {
  const scan = startScan(text, options);
  for (;;) {
    const span = readValues(scan, STEP);
    if (span !== undefined) return span;
    yield;
  }
}

/**
 * The state of a scan. It reads the text as UTF-8, since the engine reads bytes several times as
 * fast as the units of a string.
 *
 * The lists hold, by depth, what is known of the containers that are open.
 */
interface Scan extends JsonScanOptions {
  readonly text: string;
  readonly bytes: Uint8Array;
  /** Where the next value is expected. */
  at: number;
  /** How many more bytes than units were read. */
  extra: number;
  /** Whether the string that was read last has escapes. */
  hasEscape: boolean;
  /** Number of open containers. */
  depth: number;
  /** Whether a member or item of the innermost container is being read. */
  isInside: boolean;
  readonly isObject: boolean[];
  /** Their offsets in the text. */
  readonly opened: number[];
  /** Positions of the items that are being read. */
  readonly indexes: number[];
  /** The number of names that were kept before. */
  readonly bases: number[];
  /** Offsets of names in the bytes, with the quotes; the last of each container is the newest. */
  readonly starts: number[];
  readonly ends: number[];
  /** Number of those names. */
  top: number;
  /** All names of an object that has many, or one with an escape. */
  readonly names: (Set<string> | undefined)[];
  readonly members: (Map<string, JsonSpan> | undefined)[];
  readonly items: (JsonSpan[] | undefined)[];
}

// Written out: the engine makes objects of one form of it, and code that reads them faster.
function startScan(text: string, { name, maxDepth, keepDepth }: JsonScanOptions): Scan {
  const bytes = utf8ToBytes(text);
  return {
    name,
    maxDepth,
    keepDepth,
    text,
    bytes,
    at: 0,
    extra: 0,
    hasEscape: false,
    depth: 0,
    isInside: false,
    isObject: [],
    opened: [],
    indexes: [],
    bases: [],
    starts: [],
    ends: [],
    top: 0,
    names: [],
    members: [],
    items: [],
  };
}

/**
 * Reads some values more. One loop over local variables, which the engine makes fast.
 *
 * @returns the whole, once all values have been read
 */
function readValues(scan: Scan, count: number): JsonSpan | undefined {
  const { bytes, isObject, keepDepth } = scan;
  let { at } = scan;
  for (let left = count; left > 0; left--) {
    at = skipSpace(bytes, at);
    const start = at - scan.extra;
    const byte = byteAt(bytes, at);
    let span: JsonSpan | undefined;
    if (byte === OBJECT || byte === ARRAY) {
      open(scan, at, byte === OBJECT);
      at = skipSpace(bytes, at + 1);
      if (byteAt(bytes, at) !== byte + 2) {
        if (byte === OBJECT) at = readName(scan, at);
        scan.isInside = true;
        continue;
      }
      span = close(scan, ++at);
    } else {
      const kind =
        byte === QUOTE ? "string" : byte === 0x2d || isDigit(byte) ? "number" : "literal";
      if (kind === "string") at = readString(scan, at);
      else at = kind === "number" ? readNumber(scan, at) : readLiteral(scan, at);
      if (scan.depth <= keepDepth) span = { kind, start, end: at - scan.extra };
    }
    // It may have been the last item of its container, and that the last of its own.
    for (;;) {
      at = skipSpace(bytes, at);
      const parent = scan.depth - 1;
      if (parent < 0) {
        if (at !== bytes.length) fail(scan, "text after the value", at);
        return span;
      }
      if (span !== undefined) keep(scan, parent, span);
      scan.isInside = false;
      const after = byteAt(bytes, at);
      if (after === COMMA) {
        scan.indexes[parent]!++;
        at = isObject[parent] === true ? readName(scan, at + 1) : at + 1;
        scan.isInside = true;
        break;
      }
      if (isObject[parent] === true) {
        if (after !== OBJECT + 2) fail(scan, "expected ',' or '}'", at);
      } else if (after !== ARRAY + 2) fail(scan, "expected ',' or ']'", at);
      span = close(scan, ++at);
    }
  }
  scan.at = at;
  return undefined;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OBJECT = 0x7b;
const ARRAY = 0x5b;

/** The byte at an offset, or -1 after the end. */
const byteAt = (bytes: Uint8Array, at: number): number => (at < bytes.length ? bytes[at]! : -1);

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;

/** The offset after white space. */
function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) break;
  }
  return at;
}

function open(scan: Scan, at: number, isObject: boolean): void {
  const { depth, maxDepth } = scan;
  if (depth === maxDepth) fail(scan, `more than ${maxDepth} levels`, at);
  const isKept = depth < scan.keepDepth;
  scan.isObject[depth] = isObject;
  scan.opened[depth] = at - scan.extra;
  scan.indexes[depth] = 0;
  scan.bases[depth] = scan.top;
  scan.names[depth] = undefined;
  scan.members[depth] = isObject && isKept ? new Map() : undefined;
  scan.items[depth] = isObject || !isKept ? undefined : [];
  scan.depth++;
  scan.isInside = false;
}

/** @returns the span, if it is kept */
function close(scan: Scan, at: number): JsonSpan | undefined {
  const depth = --scan.depth;
  scan.top = scan.bases[depth]!;
  if (depth > scan.keepDepth) return undefined;
  const members = scan.members[depth];
  const items = scan.items[depth];
  return {
    kind: scan.isObject[depth] === true ? "object" : "array",
    start: scan.opened[depth]!,
    end: at - scan.extra,
    ...(members && { members }),
    ...(items && { items }),
  };
}

function keep(scan: Scan, parent: number, span: JsonSpan): void {
  scan.items[parent]?.push(span);
  scan.members[parent]?.set(nameAt(scan, scan.top - 1), span);
}

/** Reads the name of the next member, and the colon; returns the offset after it. */
function readName(scan: Scan, from: number): number {
  const { bytes } = scan;
  const start = skipSpace(bytes, from);
  if (byteAt(bytes, start) !== QUOTE) fail(scan, "expected a name", start);
  const end = readString(scan, start);
  const isNew = scan.hasEscape ? addEscaped(scan, start, end) : addName(scan, start, end);
  scan.isInside = true;
  if (!isNew) fail(scan, "duplicate name", end);
  const at = skipSpace(bytes, end);
  if (byteAt(bytes, at) !== 0x3a) fail(scan, "expected ':'", at);
  return at + 1;
}

/** Takes in the name of a member; returns whether no other member of the object has it. */
function addName(scan: Scan, start: number, end: number): boolean {
  const { bytes, starts, ends, top } = scan;
  const base = scan.bases[scan.depth - 1]!;
  if (top - base >= FEW || scan.names[scan.depth - 1] !== undefined) {
    return addEscaped(scan, start, end);
  }
  let isNew = true;
  for (let i = base; i < top; i++) {
    const other = starts[i]!;
    if (ends[i]! - other !== end - start) continue;
    let at = start + 1;
    while (at < end && bytes[at] === bytes[other + at - start]) at++;
    if (at === end) isNew = false;
  }
  starts[top] = start;
  ends[top] = end;
  scan.top++;
  return isNew;
}

/** As {@link addName}, for any name and any number of members. */
function addEscaped(scan: Scan, start: number, end: number): boolean {
  const { starts, ends, top } = scan;
  const parent = scan.depth - 1;
  const base = scan.bases[parent]!;
  let names = scan.names[parent];
  if (names === undefined) {
    scan.names[parent] = names = new Set();
    for (let i = base; i < top; i++) names.add(nameAt(scan, i));
  }
  const newest = Math.max(base, top - 1);
  starts[newest] = start;
  ends[newest] = end;
  scan.top = newest + 1;
  const before = names.size;
  return names.add(nameAt(scan, newest)).size > before;
}

function nameAt({ text, bytes, extra, starts, ends }: Scan, i: number): string {
  const start = starts[i]!;
  const end = ends[i]!;
  // Without other characters than those of ASCII, offsets in bytes and text are the same.
  const raw = extra === 0 ? text.slice(start, end) : bytesToUtf8(bytes.subarray(start, end));
  return raw.includes("\\") ? (JSON.parse(raw) as string) : raw.slice(1, -1);
}

/** 1 for the bytes of a string that need no handling. */
const PLAIN = /* @__PURE__ */ Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte < 0x80 && byte !== QUOTE && byte !== BACKSLASH ? 1 : 0,
);

/** @returns the offset after the string */
function readString(scan: Scan, start: number): number {
  const { bytes } = scan;
  scan.hasEscape = false;
  let at = start + 1;
  for (;;) {
    while (at < bytes.length && PLAIN[bytes[at]!] === 1) at++;
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
function readNumber(scan: Scan, start: number): number {
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
  while (isDigit(byteAt(scan.bytes, at))) at++;
  if (at === start) fail(scan, "malformed number", at);
  return at;
}

/** @returns the offset after `true`, `false` or `null` */
function readLiteral(scan: Scan, at: number): number {
  const { text, bytes, extra } = scan;
  for (const word of ["true", "false", "null"]) {
    if (text.startsWith(word, at - extra)) return at + word.length;
  }
  return fail(scan, at < bytes.length ? "expected a value" : "unexpected end", at);
}

function fail(scan: Scan, what: string, at: number): never {
  const { depth, isInside, isObject, bases, indexes } = scan;
  let path = scan.name;
  for (let i = 0; i < (isInside ? depth : depth - 1); i++) {
    const name = (i + 1 < depth ? bases[i + 1]! : scan.top) - 1;
    path += isObject[i] === true ? `.${shown(nameAt(scan, name))}` : `[${indexes[i]}]`;
  }
  throw new InputError("ERR_INPUT_INVALID", `${path}: ${what} at ${at - scan.extra}`);
}

/** Names that cannot be element names are not repeated in messages: they could be anything. */
const shown = (name: string): string => (ELEMENT.test(name) ? name : "?");
