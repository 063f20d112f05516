import { aesGcmOpen, aesGcmSeal, backend } from "#crypto";
import { hasWebcrypto } from "./webcrypto-segments.ts";

/** Whether a native AES-GCM is available; the timing of one in JavaScript leaks its data. */
export const hasNativeAesGcm = (): boolean => backend === "node" || hasWebcrypto();

/**
 * Seals one message with AES-256-GCM, natively.
 *
 * @param key - 32 bytes
 * @param iv - 12 bytes, never used with this key before
 * @param aad - authenticated together with the message
 * @returns ciphertext ‖ 16-byte tag
 * @see SP 800-38D
 */
export async function sealAesGcm(
  key: Uint8Array,
  iv: Uint8Array,
  plaintext: Uint8Array,
  aad: Uint8Array,
): Promise<Uint8Array> {
  if (backend === "node") return aesGcmSeal(key, iv, plaintext, aad);
  const { subtle } = globalThis.crypto;
  const algorithm = { name: "AES-GCM", iv: copy(iv), additionalData: copy(aad) };
  const own = await subtle.importKey("raw", copy(key), "AES-GCM", false, ["encrypt"]);
  return new Uint8Array(await subtle.encrypt(algorithm, own, copy(plaintext)));
}

/**
 * Opens a message of {@link sealAesGcm}.
 *
 * @returns the plaintext, or `undefined` if the message does not authenticate
 */
export async function openAesGcm(
  key: Uint8Array,
  iv: Uint8Array,
  sealed: Uint8Array,
  aad: Uint8Array,
): Promise<Uint8Array | undefined> {
  if (backend === "node") return aesGcmOpen(key, iv, sealed, aad);
  const { subtle } = globalThis.crypto;
  const algorithm = { name: "AES-GCM", iv: copy(iv), additionalData: copy(aad) };
  const own = await subtle.importKey("raw", copy(key), "AES-GCM", false, ["decrypt"]);
  try {
    return new Uint8Array(await subtle.decrypt(algorithm, own, copy(sealed)));
  } catch (error) {
    // WebCrypto's error for every message that does not authenticate.
    if (error instanceof DOMException && error.name === "OperationError") return undefined;
    throw error;
  }
}

// WebCrypto does not accept shared memory.
const copy = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);
