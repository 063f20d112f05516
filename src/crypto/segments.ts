import { aesGcmOpen, aesGcmSeal, chachaOpen, chachaSeal } from "#crypto";
import { assertUint } from "../bytes/guards.ts";

/** Plaintext bytes of every segment except the last. */
export const SEGMENT_SIZE = 65_536;
/** Bytes that sealing adds to a segment. */
export const SEGMENT_OVERHEAD = 16;

/** Seals and opens the segments of a part with one AEAD. */
export interface SegmentCipher {
  /**
   * Seals one segment. The nonce encodes the segment's number and whether it is the last, so that
   * truncated, reordered and duplicated segments do not authenticate.
   *
   * @param key - 32 bytes; must be used for this part only, because numbers repeat between parts
   * @param counter - number of the segment, from 0
   * @param final - whether it is the last
   * @param into - buffer of the result's length that receives it; default: newly allocated
   * @returns ciphertext ‖ tag
   * @see the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, as age uses it
   */
  sealSegment(
    key: Uint8Array,
    counter: number,
    final: boolean,
    plaintext: Uint8Array,
    into?: Uint8Array,
  ): Uint8Array;
  /**
   * Opens one segment.
   *
   * @returns the plaintext, or `undefined` if the bytes are not this segment of this part
   */
  openSegment(
    key: Uint8Array,
    counter: number,
    final: boolean,
    sealed: Uint8Array,
  ): Uint8Array | undefined;
}

/** Segments under ChaCha20-Poly1305. */
export const chachaSegments: SegmentCipher = /* @__PURE__ */ segmentCipher(chachaSeal, chachaOpen);

/** Segments under AES-256-GCM. */
export const aesGcmSegments: SegmentCipher = /* @__PURE__ */ segmentCipher(aesGcmSeal, aesGcmOpen);

function segmentCipher(seal: typeof chachaSeal, open: typeof chachaOpen): SegmentCipher {
  return {
    sealSegment(key, counter, final, plaintext, into) {
      if (plaintext.length > SEGMENT_SIZE) throw new RangeError("a segment must be at most 64 KiB");
      return seal(key, segmentNonce(counter, final), plaintext, undefined, into);
    },
    openSegment(key, counter, final, sealed) {
      if (sealed.length > SEGMENT_SIZE + SEGMENT_OVERHEAD) return undefined;
      return open(key, segmentNonce(counter, final), sealed);
    },
  };
}

/** 11-byte big-endian counter ‖ 01 for the last segment, 00 for the others. */
export function segmentNonce(counter: number, final: boolean): Uint8Array {
  assertUint(counter, "counter");
  const nonce = new Uint8Array(12);
  for (let i = 10, rest = counter; rest > 0; i--) {
    nonce[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  nonce[11] = final ? 1 : 0;
  return nonce;
}
