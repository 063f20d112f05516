import type { Steps } from "../bytes/steps.ts";
import { InputError } from "../errors.ts";
import {
  ARRAY,
  byteAt,
  COMMA,
  fail,
  type JsonScanOptions,
  type JsonSpan,
  nameAt,
  OBJECT,
  QUOTE,
  type Scan,
  startScan,
} from "./json-scan.ts";
import { isDigit, readLiteral, readNumber, readPiece, readString } from "./json-tokens.ts";

export type { JsonScanOptions, JsonSpan } from "./json-scan.ts";

/** Values, and bytes of a string, between two points at which scanning can be interrupted. */
const STEP = 2048;
const STRING_STEP = 524_288;

/** Most members of an object; FHIR's have some hundred at most. */
const MOST_NAMES = 65_536;

/** Most names of an object that are compared one by one. */
const FEW = 16;

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
 * Reads some values more. One loop over local variables, which the engine makes fast.
 *
 * @returns the whole, once all values have been read
 */
function readValues(scan: Scan, count: number): JsonSpan | undefined {
  const { bytes, isObject, keepDepth } = scan;
  let { at } = scan;
  for (let left = count; left > 0; left--) {
    at = scan.isInString ? at : skipSpace(bytes, at);
    const start = scan.isInString ? scan.stringStart : at - scan.extra;
    const byte = scan.isInString ? QUOTE : byteAt(bytes, at);
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
      if (!scan.isInString && --scan.valuesLeft < 0) throw tooMany(scan, "values");
      const kind =
        byte === QUOTE ? "string" : byte === 0x2d || isDigit(byte) ? "number" : "literal";
      if (kind === "string") {
        const from = scan.isInString ? at : at + 1;
        scan.hasEscape &&= scan.isInString;
        at = readPiece(scan, from, count === Infinity ? Infinity : from + STRING_STEP);
        scan.isInString = at < 0;
        if (at < 0) {
          scan.stringStart = start;
          scan.at = -at;
          return undefined;
        }
      } else at = kind === "number" ? readNumber(scan, at) : readLiteral(scan, at);
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
  if (--scan.containersLeft < 0) throw tooMany(scan, "objects and lists");
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

const tooMany = ({ name }: Scan, what: string): InputError =>
  new InputError("ERR_INPUT_TOO_LARGE", `${name} has too many ${what}`);

function keep(scan: Scan, parent: number, span: JsonSpan): void {
  const items = scan.items[parent];
  const last = items?.at(-1);
  if (last !== undefined && span.end - last.start <= scan.joinItems) {
    items![items!.length - 1] = { kind: "items", start: last.start, end: span.end };
  } else items?.push(span);
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
  if (before === MOST_NAMES) fail(scan, "too many names", start);
  return names.add(nameAt(scan, newest)).size > before;
}
