import { assertBytes } from "../bytes/guards.ts";
import { segmentNonce } from "./segments.ts";

/** Seals and opens the segments of one part somewhere else than on this thread. */
export interface AsyncSegments {
  /**
   * Seals one segment; its nonce is that of {@link SegmentCipher}.
   *
   * @param plaintext - borrowed until the call returns, not until it is answered
   * @returns ciphertext ‖ tag
   */
  seal(counter: number, final: boolean, plaintext: Uint8Array): Promise<Uint8Array>;
  /**
   * Opens one segment.
   *
   * @param sealed - borrowed until the call returns
   * @returns the plaintext, or `undefined` when it is not this segment of this part
   */
  open(counter: number, final: boolean, sealed: Uint8Array): Promise<Uint8Array | undefined>;
}

/** Whether the engine has WebCrypto: browsers give it to pages from HTTPS and localhost only. */
export function hasWebcrypto(): boolean {
  return (globalThis as { crypto?: Partial<Crypto> }).crypto?.subtle !== undefined;
}

/**
 * Segments under AES-256-GCM by WebCrypto, byte for byte those of {@link aesGcmSegments}.
 *
 * @param key - 32 bytes, of this part only; copied into a key that cannot be exported, so that the
 *   caller can wipe it as soon as this returns
 * @see W3C Web Cryptography: `encrypt`, `decrypt` and `importKey` copy their input before they return
 */
export function webcryptoSegments(key: Uint8Array): AsyncSegments {
  assertBytes(key, "key", 32);
  const { subtle } = globalThis.crypto;
  const usages: KeyUsage[] = ["encrypt", "decrypt"];
  const imported = subtle.importKey("raw", unshared(key), "AES-GCM", false, usages);
  // It may be that nobody asks for it.
  imported.catch(() => undefined);
  let ready: CryptoKey | undefined;
  void imported.then(
    (own) => (ready = own),
    () => undefined,
  );
  /** Runs at once where it can: what is borrowed must be copied before the caller goes on. */
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
        // What WebCrypto says of everything that does not authenticate.
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

// WebCrypto takes no shared memory.
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? (bytes as Uint8Array<ArrayBuffer>)
    : new Uint8Array(bytes);
}
