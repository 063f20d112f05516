import { base64pad, base64url } from "multiformats/bases/base64";
import { EncodingError } from "../errors.ts";

/** Writes bytes as padded standard base64 (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  return base64pad.baseEncode(bytes);
}

/**
 * Reads padded standard base64 in its one canonical form.
 *
 * @throws {EncodingError} `ERR_ENCODING_MALFORMED` on missing padding, stray bits or characters
 */
export function fromBase64(text: string): Uint8Array {
  return decodeCanonical(text, base64pad);
}

/** Writes bytes as unpadded URL-safe base64 (RFC 4648 §5). */
export function toBase64Url(bytes: Uint8Array): string {
  return base64url.baseEncode(bytes);
}

/**
 * Reads unpadded URL-safe base64 in its one canonical form.
 *
 * @throws {EncodingError} `ERR_ENCODING_MALFORMED` on padding, stray bits or characters
 */
export function fromBase64Url(text: string): Uint8Array {
  return decodeCanonical(text, base64url);
}

function decodeCanonical(
  text: string,
  base: { baseEncode(bytes: Uint8Array): string; baseDecode(text: string): Uint8Array },
): Uint8Array {
  let bytes: Uint8Array | undefined;
  try {
    bytes = base.baseDecode(text);
  } catch (cause) {
    throw new EncodingError("ERR_ENCODING_MALFORMED", "the text is not base64", { cause });
  }
  if (base.baseEncode(bytes) !== text) {
    throw new EncodingError("ERR_ENCODING_MALFORMED", "the text is not canonical base64");
  }
  return bytes;
}
