import { EncodingError } from "../errors.ts";
import { bytesToUtf8, utf8ToBytes } from "./utf8.ts";

const DIGITS = /* @__PURE__ */ utf8ToBytes("0123456789abcdef");

/** Writes bytes as lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  const digits = new Uint8Array(2 * bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    digits[2 * i] = DIGITS[byte >> 4]!;
    digits[2 * i + 1] = DIGITS[byte & 15]!;
  }
  // Text that grows by two digits at a time is a tree of strings, many times as large.
  return bytesToUtf8(digits);
}

/** What each unit of ASCII means as a digit; 16 for those that are none. */
const VALUES = /* @__PURE__ */ Uint8Array.from({ length: 128 }, (_, unit) => {
  const value = parseInt(String.fromCharCode(unit), 16);
  return Number.isNaN(value) ? 16 : value;
});

/**
 * Reads hexadecimal of even length, in either case.
 *
 * @throws {EncodingError} `ERR_ENCODING_MALFORMED` on anything else
 */
export function fromHex(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length >> 1);
  let isHex = text.length % 2 === 0;
  for (let i = 0; i < bytes.length; i++) {
    const high = VALUES[text.charCodeAt(2 * i)] ?? 16;
    const low = VALUES[text.charCodeAt(2 * i + 1)] ?? 16;
    if (high > 15 || low > 15) isHex = false;
    bytes[i] = high * 16 + low;
  }
  if (!isHex) throw new EncodingError("ERR_ENCODING_MALFORMED", "the text is not hexadecimal");
  return bytes;
}
