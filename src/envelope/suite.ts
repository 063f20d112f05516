import { aesGcmOpen, aesGcmSeal, backend, chachaOpen, chachaSeal } from "#crypto";
import { aesGcmSegments, chachaSegments, type SegmentCipher } from "../crypto/segments.ts";
import { hasWebcrypto } from "../crypto/webcrypto-segments.ts";
import { EnvelopeError } from "../errors.ts";

/** Plaintext bytes per segment; the last segment of a part may be shorter. */
export const SEGMENT_BYTES: 65536 = 65536;
/** Sealed segments per ciphertext block; the last block of a part may hold fewer. */
export const SEGMENTS_PER_BLOCK: 15 = 15;

/**
 * Names of suites: `chacha` is ChaCha20-Poly1305, `aes-gcm` is AES-256-GCM with node:crypto or
 * WebCrypto.
 */
export type SuiteName = "chacha" | "aes-gcm";

/** The AEAD and KDF of an envelope. */
export interface Suite extends SegmentCipher {
  readonly name: SuiteName;
  /** Number of bytes by which a sealed segment exceeds its plaintext. */
  readonly tagBytes: number;
  /** @param nonce - 12 bytes; must not be used twice with this key */
  sealOnce(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** @returns the plaintext, or `undefined` if it does not authenticate */
  openOnce(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
}

/** Suites by their name in a header; all derive keys with HKDF-SHA256. */
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

/** Whether a suite can be used synchronously: AES only if the backend is native. */
export function isSynchronous(name: SuiteName): boolean {
  // AES in JavaScript is slow, and its timing leaks its data.
  return name !== "aes-gcm" || backend === "node";
}

/**
 * Looks up a suite for synchronous use.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` when this version does not know the suite, or
 *   supports it only with a native backend; the message names the suite
 */
export function suiteNamed(name: string): Suite {
  assertKnown(name);
  if (!isSynchronous(name)) {
    throw unsupported(`the suite ${name} needs node:crypto here, but the backend is ${backend}`);
  }
  return SUITES[name];
}

/**
 * Looks up a suite to seal or open envelopes with, using WebCrypto if necessary.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` when this version does not know the suite, or
 *   no native implementation is available; the message names the suite
 */
export function usableSuite(name: string): SuiteName {
  assertKnown(name);
  if (!isSynchronous(name) && !hasWebcrypto()) {
    throw unsupported(`the suite ${name} needs node:crypto or WebCrypto, and neither is available`);
  }
  return name;
}

function assertKnown(name: string): asserts name is SuiteName {
  if (!Object.hasOwn(SUITES, name)) {
    throw unsupported(`this version does not know the suite ${quoteName(name)}`);
  }
}

// The name comes from an author and may be anything.
function quoteName(name: string): string {
  return /^[a-z0-9.-]{1,32}$/.test(name) ? name : "with a malformed name";
}

const unsupported = (message: string): EnvelopeError =>
  new EnvelopeError("ERR_ENVELOPE_UNSUPPORTED", message);
