import { openSegment, sealSegment } from "../crypto/segments.ts";
import { EnvelopeError } from "../errors.ts";

/** Plaintext bytes of a segment; the last of a part may be shorter. */
export const SEGMENT_BYTES: 65536 = 65536;
/** Sealed segments of a ciphertext block; the last block of a part may hold fewer. */
export const SEGMENTS_PER_BLOCK: 15 = 15;

/** Names of suites: `chacha` is ChaCha20-Poly1305. */
export type SuiteName = "chacha";

/** The AEAD and KDF that an envelope is sealed with. */
export interface Suite {
  readonly name: SuiteName;
  /** How much longer a sealed segment is than its plaintext. */
  readonly tagBytes: number;
  /**
   * @param counter - number of the segment within its part, from 0
   * @param final - whether it is the part's last
   */
  sealSegment(key: Uint8Array, counter: number, final: boolean, plaintext: Uint8Array): Uint8Array;
  /** @returns the plaintext, or `undefined` when it does not authenticate */
  openSegment(
    key: Uint8Array,
    counter: number,
    final: boolean,
    sealed: Uint8Array,
  ): Uint8Array | undefined;
}

/** Suites by the name that stands in a header; all derive keys with HKDF-SHA256. */
const SUITES: Readonly<Record<SuiteName, Suite>> = {
  chacha: { name: "chacha", tagBytes: 16, sealSegment, openSegment },
};

/**
 * Looks a suite up.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` when this version does not know it
 */
export function suiteNamed(name: string): Suite {
  if (!Object.hasOwn(SUITES, name)) {
    throw new EnvelopeError("ERR_ENVELOPE_UNSUPPORTED", "a suite that this version does not know");
  }
  return SUITES[name as SuiteName];
}
