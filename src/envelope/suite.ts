import { aesGcmOpen, aesGcmSeal, backend, chachaOpen, chachaSeal } from "#crypto";
import { aesGcmSegments, chachaSegments, type SegmentCipher } from "../crypto/segments.ts";
import { EnvelopeError } from "../errors.ts";

/** Plaintext bytes of a segment; the last of a part may be shorter. */
export const SEGMENT_BYTES: 65536 = 65536;
/** Sealed segments of a ciphertext block; the last block of a part may hold fewer. */
export const SEGMENTS_PER_BLOCK: 15 = 15;

/**
 * Names of suites: `chacha` is ChaCha20-Poly1305, `aes-gcm` AES-256-GCM where the backend is native.
 */
export type SuiteName = "chacha" | "aes-gcm";

/** The AEAD and KDF that an envelope is sealed with. */
export interface Suite extends SegmentCipher {
  readonly name: SuiteName;
  /** How much longer a sealed segment is than its plaintext. */
  readonly tagBytes: number;
  /** @param nonce - 12 bytes, never used before with this key */
  sealOnce(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** @returns the plaintext, or `undefined` when it does not authenticate */
  openOnce(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
}

/** Suites by the name that stands in a header; all derive keys with HKDF-SHA256. */
const SUITES: Readonly<Record<SuiteName, Suite>> = {
  chacha: {
    name: "chacha",
    tagBytes: 16,
    ...chachaSegments,
    sealOnce: chachaSeal,
    openOnce: chachaOpen,
  },
  "aes-gcm": {
    name: "aes-gcm",
    tagBytes: 16,
    ...aesGcmSegments,
    sealOnce: aesGcmSeal,
    openOnce: aesGcmOpen,
  },
};

/**
 * Looks a suite up.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` when this version does not know it, or knows it
 *   only where the backend is native; the message says which suite it is
 */
export function suiteNamed(name: string): Suite {
  if (!Object.hasOwn(SUITES, name)) {
    throw unsupported(`this version does not know the suite ${quoteName(name)}`);
  }
  // AES in JavaScript is slow, and its timing shows what it works on.
  if (name === "aes-gcm" && backend !== "node") {
    throw unsupported(`the suite aes-gcm needs node:crypto, and the backend here is ${backend}`);
  }
  return SUITES[name as SuiteName];
}

// A name comes from an author, who could put anything there.
function quoteName(name: string): string {
  return /^[a-z0-9.-]{1,32}$/.test(name) ? name : "with a name that is none";
}

const unsupported = (message: string): EnvelopeError =>
  new EnvelopeError("ERR_ENVELOPE_UNSUPPORTED", message);
