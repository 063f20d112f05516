import { EncodingError } from "../errors.ts";

const encoder = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Writes a string as UTF-8. */
export function utf8ToBytes(text: string): Uint8Array {
  return encoder.encode(text);
}

/**
 * Reads UTF-8, keeping a byte order mark as a character.
 *
 * @throws {EncodingError} `ERR_ENCODING_MALFORMED` when the bytes are not UTF-8
 */
export function bytesToUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new EncodingError("ERR_ENCODING_MALFORMED", "the bytes are not UTF-8", { cause });
  }
}
