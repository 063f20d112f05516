import { createWalk, type Steps } from "../bytes/steps.ts";
import { EncodingError } from "../errors.ts";
import { readItem, readSteps, type Cursor } from "./cbor-decode.ts";
import { SPILL, writeItem, writeSteps } from "./cbor-encode.ts";
import type { Output } from "./cbor-encode.ts";

/** Options of {@link decode}. The limits are checked before anything is allocated. */
export interface DecodeLimits {
  /** Longest input, in bytes. Default 64 MiB. */
  readonly maxBytes?: number;
  /** Deepest nesting of arrays and maps, at most 256. Default 32. */
  readonly maxDepth?: number;
  /** Most data items in all, keys included. Default 1,048,576. */
  readonly maxItems?: number;
  /** Whether floats are accepted. Hashed and signed structures never hold floats. Default false. */
  readonly floats?: boolean;
  /** Whether byte strings are views of the input, which then must not change. Default false. */
  readonly borrow?: boolean;
}

/** Options of {@link encode}; a decoder with the same settings reads the result back. */
export interface EncodeOptions {
  /** Whether numbers that are not safe integers are written as floats. Default false. */
  readonly floats?: boolean;
  /** Deepest nesting of arrays and maps, at most 256. Default 32. */
  readonly maxDepth?: number;
  /**
   * Estimated length of the output in bytes; prefer an estimate that is too high. A large output is
   * then written in place, without a copy. An estimate that is too low costs only time.
   */
  readonly sizeHint?: number;
}

const DEFAULT_DEPTH = 32;
const MOST_BYTES = 67_108_864;
const MOST_ITEMS = 1_048_576;
/** Deeper nesting could exhaust the stack. */
const MOST_DEPTH = 256;
/** Outputs up to this size share one working buffer, which is wiped after each use. */
const SCRATCH = 16_384;

let scratch: Uint8Array | undefined;

/**
 * Writes a value as canonical DAG-CBOR: sorted keys, shortest integers, CIDs as tag 42.
 *
 * @param value - null, booleans, integers (safe or bigint of 64 bits), strings, `Uint8Array`,
 *   CIDs, and arrays and plain objects of these
 * @returns newly allocated bytes; with `sizeHint`, a view of a somewhat larger buffer
 * @throws {EncodingError} `ERR_ENCODING_SHAPE` on floats (unless allowed), `undefined`, unpaired
 *   surrogates and anything else DAG-CBOR cannot express; `ERR_ENCODING_LIMIT` on deep nesting
 * @see https://ipld.io/specs/codecs/dag-cbor/spec/
 */
export function encode(value: unknown, options: EncodeOptions = {}): Uint8Array {
  const { sizeHint = 0 } = options;
  if (sizeHint > SCRATCH) return encodeInPlace(value, options, sizeHint);
  const out: Output = {
    bytes: scratch ?? new Uint8Array(SCRATCH),
    at: 0,
    floats: options.floats === true,
    maxDepth: checkDepth(options.maxDepth),
  };
  // Taken while in use: a getter of the value may itself call `encode`.
  scratch = undefined;
  try {
    writeItem(out, value, 0);
    return out.bytes.slice(0, out.at);
  } finally {
    // Map keys pass through here. A string that turned out not to be ASCII may have left bytes a
    // little beyond the end.
    out.bytes.fill(0, 0, out.at + SPILL);
    if (out.bytes.length === SCRATCH) scratch = out.bytes;
  }
}

/**
 * Writes a value that {@link decode} with its default limits reads back. Decodes the result only if
 * it is long enough to exceed those limits.
 *
 * @throws {EncodingError} as {@link encode}; `ERR_ENCODING_LIMIT` also on more bytes or items than
 *   the decoder accepts
 */
export function encodeReadable(value: unknown): Uint8Array {
  const bytes = encode(value);
  // No item is shorter than a byte.
  if (bytes.length > MOST_ITEMS) decode(bytes, { borrow: true });
  return bytes;
}

/** Like {@link encode}, in steps; the caller must not change the value meanwhile. */
export function* encodeSteps(value: unknown): Steps<Uint8Array> {
  const out: Output = {
    bytes: new Uint8Array(SCRATCH),
    at: 0,
    floats: false,
    maxDepth: DEFAULT_DEPTH,
  };
  yield* writeSteps(out, value, 0);
  const bytes = out.bytes.slice(0, out.at);
  out.bytes.fill(0, 0, out.at + SPILL);
  return bytes;
}

/** Like {@link encodeReadable}, in steps; the caller must not change the value meanwhile. */
export function* encodeReadableSteps(value: unknown): Steps<Uint8Array> {
  const bytes = yield* encodeSteps(value);
  if (bytes.length > MOST_BYTES) {
    throw new EncodingError(
      "ERR_ENCODING_LIMIT",
      `the encoded value is longer than ${MOST_BYTES} bytes`,
    );
  }
  if (bytes.length > MOST_ITEMS && (yield* countItems(value)) > MOST_ITEMS) {
    throw new EncodingError("ERR_ENCODING_LIMIT", "the value has too many items");
  }
  return bytes;
}

/** Items that a value is written as. */
function* countItems(value: unknown): Steps<number> {
  let count = 0;
  const walk = createWalk();
  const visit = (one: unknown): void => {
    count++;
    if (Array.isArray(one)) walk.each(one as readonly unknown[], visit);
    else if (
      typeof one === "object" &&
      one !== null &&
      Object.getPrototypeOf(one) === Object.prototype
    ) {
      const fields = one as Record<string, unknown>;
      walk.each(Object.keys(fields), (key) => {
        count++;
        visit(fields[key]);
      });
    }
  };
  visit(value);
  yield* walk.finish();
  return count;
}

function encodeInPlace(value: unknown, options: EncodeOptions, size: number): Uint8Array {
  const out: Output = {
    bytes: new Uint8Array(size),
    at: 0,
    floats: options.floats === true,
    maxDepth: checkDepth(options.maxDepth),
  };
  writeItem(out, value, 0);
  out.bytes.fill(0, out.at, out.at + SPILL);
  return out.bytes.subarray(0, out.at);
}

/**
 * Reads DAG-CBOR, accepting only the one canonical form of each value: the returned value encodes
 * to the same bytes. Integers beyond 2^53 − 1 come back as bigint.
 *
 * @returns the value; byte strings in it are copies, unless `borrow` is set
 * @throws {EncodingError} `ERR_ENCODING_MALFORMED`, `ERR_ENCODING_NOT_CANONICAL` or
 *   `ERR_ENCODING_LIMIT`
 */
export function decode(bytes: Uint8Array, limits: DecodeLimits = {}): unknown {
  const cursor = startReading(bytes, limits);
  const value = readItem(cursor, 0);
  assertAtEnd(cursor);
  return value;
}

/**
 * Like {@link decode}, in steps; the caller must not change the bytes meanwhile. One item of a list that is
 * the value, or that is nested in it only through maps, may hold at most 65,536 others.
 */
export function* decodeSteps(bytes: Uint8Array, limits: DecodeLimits = {}): Steps<unknown> {
  const cursor = startReading(bytes, limits);
  const value = yield* readSteps(cursor, 0);
  assertAtEnd(cursor);
  return value;
}

function assertAtEnd({ at, bytes }: Cursor): void {
  if (at !== bytes.length) {
    throw new EncodingError("ERR_ENCODING_MALFORMED", "trailing bytes after the value");
  }
}

function startReading(bytes: Uint8Array, limits: DecodeLimits): Cursor {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("bytes must be a Uint8Array");
  const maxBytes = limits.maxBytes ?? MOST_BYTES;
  if (bytes.length > maxBytes) {
    throw new EncodingError("ERR_ENCODING_LIMIT", `the input is longer than ${maxBytes} bytes`);
  }
  return {
    bytes: plainView(bytes),
    floats: limits.floats === true,
    borrow: limits.borrow === true,
    maxDepth: checkDepth(limits.maxDepth),
    budget: limits.maxItems ?? MOST_ITEMS,
    at: 0,
    keyAt: -1,
  };
}

/** `slice` of a `Buffer` gives a view; that of a `Uint8Array` gives a copy. */
function plainView(bytes: Uint8Array): Uint8Array {
  return bytes.constructor === Uint8Array
    ? bytes
    : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function checkDepth(depth: number = DEFAULT_DEPTH): number {
  if (!Number.isInteger(depth) || depth < 0 || depth > MOST_DEPTH) {
    throw new RangeError(`maxDepth must be an integer from 0 to ${MOST_DEPTH}`);
  }
  return depth;
}
