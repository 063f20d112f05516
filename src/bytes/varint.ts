import { EncodingError } from "../errors.ts";

/** Longest form of an unsigned varint that this library reads: 8 bytes hold 2^53 − 1. */
export const MAX_VARINT_BYTES = 8;

/** Writes an unsigned safe integer as a multiformats varint (LEB128, shortest form). */
export function encodeVarint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError("value must be an unsigned safe integer");
  }
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest % 128) | 0x80);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/**
 * Reads an unsigned varint in its shortest form.
 *
 * @param at - offset at which the varint starts
 * @returns the value and the number of bytes read, or `undefined` when the input ends inside it
 * @throws {EncodingError} `ERR_ENCODING_NOT_CANONICAL` when a shorter form exists,
 *   `ERR_ENCODING_LIMIT` beyond 2^53 − 1
 * @see https://github.com/multiformats/unsigned-varint
 */
export function decodeVarint(
  bytes: Uint8Array,
  at = 0,
): { readonly value: number; readonly length: number } | undefined {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < MAX_VARINT_BYTES; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (byte === 0 && i > 0) {
        throw new EncodingError(
          "ERR_ENCODING_NOT_CANONICAL",
          "a varint is not in its shortest form",
        );
      }
      if (value > Number.MAX_SAFE_INTEGER) break;
      return { value, length: i + 1 };
    }
    scale *= 128;
  }
  throw new EncodingError("ERR_ENCODING_LIMIT", "a varint is greater than 2^53 − 1");
}
