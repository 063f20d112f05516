import { fromBase64Url, toBase64Url } from "../bytes/base64.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { hasNativeAesGcm, openAesGcm, sealAesGcm } from "../crypto/aes-gcm-once.ts";
import { EnvelopeError } from "../errors.ts";
import { decryptFailed } from "./keys.ts";

const ALG = "dir";
const ENC = "A256GCM";
const IV_BYTES = 12;
const TAG_BYTES = 16;
const MAX_HEADER = 4096;

/**
 * Throws where no JWE can be made or opened. Call it before anything is disclosed, so that no
 * access entry is written for a failed export.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED`
 */
export function assertJwe(): void {
  if (!hasNativeAesGcm()) {
    throw new EnvelopeError(
      "ERR_ENVELOPE_UNSUPPORTED",
      "JWE needs node:crypto or WebCrypto, and neither is available",
    );
  }
}

/**
 * Writes a compact JWE: `dir` with `A256GCM`.
 *
 * @param key - 32 bytes
 * @param iv - 12 bytes; must not be used twice with this key
 * @param compress - whether to deflate first
 * @see RFC 7516 §5.1 and §7.1, RFC 7518 §5.3
 */
export async function sealCompact(
  key: Uint8Array,
  iv: Uint8Array,
  content: Uint8Array,
  { contentType, compress }: { readonly contentType: string; readonly compress: boolean },
): Promise<string> {
  assertJwe();
  const header = { alg: ALG, enc: ENC, cty: contentType, ...(compress ? { zip: "DEF" } : {}) };
  const protectedHeader = toBase64Url(utf8ToBytes(JSON.stringify(header)));
  const plaintext = compress
    ? await pipeThrough(content, new CompressionStream("deflate-raw"))
    : content;
  const sealed = await sealAesGcm(key, iv, plaintext!, utf8ToBytes(protectedHeader));
  const at = sealed.length - TAG_BYTES;
  const parts = [iv, sealed.subarray(0, at), sealed.subarray(at)].map(toBase64Url);
  // The encrypted key goes between the first two dots; `dir` has none.
  return [protectedHeader, "", ...parts].join(".");
}

/**
 * Opens a compact JWE: `dir` with `A256GCM`, nothing else.
 *
 * @param maxBytes - most bytes of plaintext after inflating
 * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` when it does not open
 * @see RFC 7516 §5.2
 */
export async function openCompact(
  jwe: string,
  key: Uint8Array,
  maxBytes: number,
): Promise<{ readonly content: Uint8Array; readonly contentType?: string }> {
  assertJwe();
  const [head = "", wrapped, iv = "", text = "", tag = "", ...more] = jwe.split(".");
  const header = readHeader(head);
  if (header === undefined || wrapped !== "" || more.length > 0) throw decryptFailed();
  const [nonce, ciphertext, mac] = [iv, text, tag].map(bytesOf);
  if (nonce?.length !== IV_BYTES || mac?.length !== TAG_BYTES || ciphertext === undefined) {
    throw decryptFailed();
  }
  const sealed = new Uint8Array(ciphertext.length + TAG_BYTES);
  sealed.set(ciphertext);
  sealed.set(mac, ciphertext.length);
  const plaintext = await openAesGcm(key, nonce, sealed, utf8ToBytes(head));
  if (plaintext === undefined) throw decryptFailed();
  const content = header.isDeflated
    ? await pipeThrough(plaintext, new DecompressionStream("deflate-raw"), maxBytes)
    : plaintext;
  if (content === undefined || content.length > maxBytes) throw decryptFailed();
  const { contentType } = header;
  return { content, ...(contentType === undefined ? {} : { contentType }) };
}

function readHeader(
  text: string,
): { readonly isDeflated: boolean; readonly contentType?: string } | undefined {
  const bytes = text.length > MAX_HEADER ? undefined : bytesOf(text);
  if (bytes === undefined) return undefined;
  let header: unknown;
  try {
    header = JSON.parse(bytesToUtf8(bytes));
  } catch {
    return undefined;
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) return undefined;
  const { alg, enc, zip, cty, crit } = header as Record<string, unknown>;
  // `crit` lists an extension that must be understood, and none is supported.
  if (alg !== ALG || enc !== ENC || crit !== undefined) return undefined;
  if (zip !== undefined && zip !== "DEF") return undefined;
  return {
    isDeflated: zip === "DEF",
    ...(typeof cty === "string" ? { contentType: cty } : {}),
  };
}

function bytesOf(text: string): Uint8Array | undefined {
  try {
    return fromBase64Url(text);
  } catch {
    return undefined;
  }
}

/** Sends bytes through a stream; `undefined` if it fails or its output exceeds the limit. */
async function pipeThrough(
  bytes: Uint8Array,
  stream: {
    readonly readable: ReadableStream<unknown>;
    readonly writable: WritableStream<unknown>;
  },
  maxBytes: number = Infinity,
): Promise<Uint8Array | undefined> {
  const writer = stream.writable.getWriter();
  const writing = writer.write(bytes).then(() => writer.close());
  writing.catch(() => undefined);
  const reader = stream.readable.getReader();
  const pieces: Uint8Array[] = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const piece = value as Uint8Array;
      length += piece.length;
      if (length > maxBytes) {
        await reader.cancel().catch(() => undefined);
        return undefined;
      }
      pieces.push(piece);
    }
    await writing;
  } catch {
    return undefined;
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
