import { EncodingError } from "../errors.ts";

const DIGITS: readonly string[] = Array.from({ length: 256 }, (_, i) =>
  i.toString(16).padStart(2, "0"),
);

/** Writes bytes as lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  const digits: string[] = [];
  for (let i = 0; i < bytes.length; i++) digits.push(DIGITS[bytes[i]!]!);
  // Text that grows by two digits at a time is a tree of strings, many times as large.
  return digits.join("");
}

/**
 * Reads hexadecimal of even length, in either case.
 *
 * @throws {EncodingError} `ERR_ENCODING_MALFORMED` on anything else
 */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new EncodingError("ERR_ENCODING_MALFORMED", "the text is not hexadecimal");
  }
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
