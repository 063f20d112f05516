import { aesGcmOpen, aesGcmSeal, backend, chachaOpen, chachaSeal } from "#crypto";
import { aesGcmSegments, chachaSegments, type SegmentCipher } from "../crypto/segments.ts";
import { hasWebcrypto } from "../crypto/webcrypto-segments.ts";
import { EnvelopeError } from "../errors.ts";

/** Plaintext bytes of a segment; the last of a part may be shorter. */
export const SEGMENT_BYTES: 65536 = 65536;
/** Sealed segments of a ciphertext block; the last block of a part may hold fewer. */
export const SEGMENTS_PER_BLOCK: 15 = 15;

/**
 * Names of suites: `chacha` is ChaCha20-Poly1305, `aes-gcm` AES-256-GCM by node:crypto or WebCrypto.
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

/** Whether a suite can be used without waiting: AES only where it is native. */
export function isSynchronous(name: SuiteName): boolean {
  // AES in JavaScript is slow, and its timing shows what it works on.
  return name !== "aes-gcm" || backend === "node";
}

/**
 * Looks a suite up for use without waiting.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` when this version does not know it, or knows it
 *   only where the backend is native; the message says which suite it is
 */
export function suiteNamed(name: string): Suite {
  assertKnown(name);
  if (!isSynchronous(name)) {
    throw unsupported(`the suite ${name} needs node:crypto here, and the backend is ${backend}`);
  }
  return SUITES[name];
}

/**
 * Looks up a suite that envelopes are to be sealed or opened with, if need be by WebCrypto.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` when this version does not know it, or nothing
 *   native here has it; the message says which suite it is
 */
export function usableSuite(name: string): SuiteName {
  assertKnown(name);
  if (!isSynchronous(name) && !hasWebcrypto()) {
    throw unsupported(`the suite ${name} needs node:crypto or WebCrypto, and there is neither`);
  }
  return name;
}

function assertKnown(name: string): asserts name is SuiteName {
  if (!Object.hasOwn(SUITES, name)) {
    throw unsupported(`this version does not know the suite ${quoteName(name)}`);
  }
}

// A name comes from an author, who could put anything there.
function quoteName(name: string): string {
  return /^[a-z0-9.-]{1,32}$/.test(name) ? name : "with a name that is none";
}

const unsupported = (message: string): EnvelopeError =>
  new EnvelopeError("ERR_ENVELOPE_UNSUPPORTED", message);
