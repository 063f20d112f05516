import * as dagCbor from "@ipld/dag-cbor";
import { EncodingError } from "../errors.ts";
import { scan } from "./scan.ts";

/** What a decoder accepts before it allocates anything. */
export interface DecodeLimits {
  /** Longest input, in bytes. Default 64 MiB. */
  readonly maxBytes?: number;
  /** Deepest nesting of arrays and maps. Default 32. */
  readonly maxDepth?: number;
  /** Most data items in all, keys included. Default 4,194,304. */
  readonly maxItems?: number;
  /** Whether floats are accepted. Hashed and signed structures never hold any. Default false. */
  readonly floats?: boolean;
}

/**
 * Writes a value as canonical DAG-CBOR: sorted keys, shortest integers, CIDs as tag 42.
 *
 * @throws {EncodingError} `ERR_ENCODING_SHAPE` on floats (unless allowed), `undefined` and what
 *   DAG-CBOR cannot express
 */
export function encode(value: unknown, options: { readonly floats?: boolean } = {}): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = dagCbor.encode(value);
  } catch (cause) {
    throw new EncodingError("ERR_ENCODING_SHAPE", "not expressible in DAG-CBOR", { cause });
  }
  if (options.floats !== true) rejectFloats(value);
  return bytes;
}

/**
 * Reads DAG-CBOR, accepting only the one canonical form of each value.
 *
 * @returns the value; byte strings in it are copies
 * @throws {EncodingError} `ERR_ENCODING_MALFORMED`, `ERR_ENCODING_NOT_CANONICAL` or
 *   `ERR_ENCODING_LIMIT`
 */
export function decode(bytes: Uint8Array, limits: DecodeLimits = {}): unknown {
  scan(bytes, limits);
  try {
    return dagCbor.decode(bytes);
  } catch (cause) {
    throw new EncodingError("ERR_ENCODING_MALFORMED", "not DAG-CBOR", { cause });
  }
}

function rejectFloats(value: unknown): void {
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) {
      throw new EncodingError("ERR_ENCODING_SHAPE", "floats have no place in hashed structures");
    }
  } else if (Array.isArray(value)) {
    for (const item of value) rejectFloats(item);
  } else if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) {
    if ("/" in value) return;
    for (const item of Object.values(value)) rejectFloats(item);
  }
}
