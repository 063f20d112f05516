import { assertBytes } from "../bytes/guards.ts";
import { segmentNonce } from "./segments.ts";

/** Seals and opens the segments of one part off this thread. */
export interface AsyncSegments {
  /**
   * Seals one segment, with the nonce of {@link SegmentCipher}.
   *
   * @param plaintext - borrowed until the call returns, not until the promise settles
   * @returns ciphertext ‖ tag
   */
  seal(counter: number, final: boolean, plaintext: Uint8Array): Promise<Uint8Array>;
  /**
   * Opens one segment.
   *
   * @param sealed - borrowed until the call returns
   * @returns the plaintext, or `undefined` if the bytes are not this segment of this part
   */
  open(counter: number, final: boolean, sealed: Uint8Array): Promise<Uint8Array | undefined>;
}

/** Whether the engine has WebCrypto: browsers offer it only to pages from HTTPS and localhost. */
export function hasWebcrypto(): boolean {
  return (globalThis as { crypto?: Partial<Crypto> }).crypto?.subtle !== undefined;
}

/**
 * Makes segments under AES-256-GCM with WebCrypto, byte for byte those of {@link aesGcmSegments}.
 *
 * @param key - 32 bytes, used for this part only; copied into a non-extractable key, so the caller
 *   may wipe it as soon as this function returns
 * @see W3C Web Cryptography: `encrypt`, `decrypt` and `importKey` copy their input before they return
 */
export function webcryptoSegments(key: Uint8Array): AsyncSegments {
  assertBytes(key, "key", 32);
  const { subtle } = globalThis.crypto;
  const usages: KeyUsage[] = ["encrypt", "decrypt"];
  const imported = subtle.importKey("raw", unshared(key), "AES-GCM", false, usages);
  // No call may ever await this promise, so handle its rejection here.
  imported.catch(() => undefined);
  let ready: CryptoKey | undefined;
  void imported.then(
    (own) => (ready = own),
    () => undefined,
  );
  /** Runs synchronously if it can: borrowed bytes must be copied before the caller continues. */
  function withKey<T>(bytes: Uint8Array, run: (key: CryptoKey, own: BufferSource) => Promise<T>) {
    if (ready !== undefined) return run(ready, unshared(bytes));
    const copy = new Uint8Array(bytes);
    return imported.then(async (own) => {
      try {
        return await run(own, copy);
      } finally {
        copy.fill(0);
      }
    });
  }
  const algorithm = (counter: number, final: boolean): AesGcmParams => ({
    name: "AES-GCM",
    iv: unshared(segmentNonce(counter, final)),
  });
  return {
    async seal(counter, final, plaintext) {
      const sealing = withKey(plaintext, (own, bytes) =>
        subtle.encrypt(algorithm(counter, final), own, bytes),
      );
      return new Uint8Array(await sealing);
    },
    async open(counter, final, sealed) {
      const opening = withKey(sealed, (own, bytes) =>
        subtle.decrypt(algorithm(counter, final), own, bytes),
      );
      try {
        return new Uint8Array(await opening);
      } catch (error) {
        // WebCrypto's error for every message that does not authenticate.
        if (error instanceof DOMException && error.name === "OperationError") return undefined;
        throw error;
      }
    },
  };
}

/** SHA-256 by WebCrypto. @param bytes - borrowed until the call returns */
export async function webcryptoSha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await globalThis.crypto.subtle.digest("SHA-256", unshared(bytes)));
}

// WebCrypto does not accept shared memory.
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? (bytes as Uint8Array<ArrayBuffer>)
    : new Uint8Array(bytes);
}
