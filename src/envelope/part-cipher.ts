import { backend, sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { type CID, cidFromDigest, RAW, SHA2_256 } from "../codec/cid.ts";
import { SEGMENT_OVERHEAD } from "../crypto/segments.ts";
import { hasWebcrypto, webcryptoSegments, webcryptoSha256 } from "../crypto/webcrypto-segments.ts";
import { isStep, LONGEST_STEP, writeLength } from "./padding.ts";
import { isSynchronous, type SuiteName, suiteNamed } from "./suite.ts";

/** Seals and opens the segments of one part, on this thread or with WebCrypto. */
export interface PartCipher {
  /** Number of segments worth having in flight at a time. */
  readonly window: number;
  /**
   * Seals a segment.
   *
   * @param plaintext - borrowed until the call returns
   * @param into - buffer of the result's length that receives it; must not be touched until the
   *   call settles
   * @returns a promise if the backend is asynchronous; its rejection is never unhandled
   */
  seal(
    counter: number,
    final: boolean,
    plaintext: Uint8Array,
    into: Uint8Array,
  ): Promise<void> | undefined;
  /** Opens a segment; `undefined` if the bytes are not this segment of this part. */
  open(
    counter: number,
    final: boolean,
    sealed: Uint8Array,
  ): Promise<Uint8Array | undefined> | Uint8Array | undefined;
  /** Wipes the key. */
  close(): void;
}

/** Number of bytes by which a sealed segment exceeds its plaintext, in every suite. */
export const TAG_BYTES: number = SEGMENT_OVERHEAD;
/** Segments in flight with WebCrypto: half a block, enough for the cores of a workstation. */
const WINDOW = 8;
/** Below this length, hashing here is faster than a call of WebCrypto. */
const WORTH_ASKING = 16_384;

/**
 * Makes the cipher of one part: with the synchronous backend if it has the suite, otherwise with
 * WebCrypto.
 *
 * @param suite - from {@link usableSuite}
 * @param key - the part's segment key; the cipher takes it over
 */
export function createPartCipher(suite: SuiteName, key: Uint8Array): PartCipher {
  if (isSynchronous(suite)) {
    const { sealSegment, openSegment } = suiteNamed(suite);
    return {
      window: 1,
      seal(counter, final, plaintext, into) {
        sealSegment(key, counter, final, plaintext, into);
        return undefined;
      },
      open: (counter, final, sealed) => openSegment(key, counter, final, sealed),
      close: () => void key.fill(0),
    };
  }
  const segments = webcryptoSegments(key);
  key.fill(0);
  return {
    window: WINDOW,
    seal(counter, final, plaintext, into) {
      const sealing = segments
        .seal(counter, final, plaintext)
        .then((sealed) => void into.set(sealed));
      sealing.catch(() => undefined);
      return sealing;
    },
    open: (counter, final, sealed) => segments.open(counter, final, sealed),
    close: () => undefined,
  };
}

/** Whether {@link sealShort} seals a part with this padded size: if its suite is synchronous. */
export function isShort(suite: SuiteName, size: number): boolean {
  return isStep(size) && isSynchronous(suite);
}

/**
 * Seals a short part without promises, which would cost as much as sealing it.
 *
 * @param key - the part's segment key; wiped
 * @param bytes - without padding; borrowed
 * @param into - buffer of the padded size and a tag that receives the result
 */
export function sealShort(
  suite: SuiteName,
  key: Uint8Array,
  bytes: Uint8Array,
  into: Uint8Array,
): void {
  const size = into.length - TAG_BYTES;
  // Zero between two uses: a buffer for each part would cost as much as the cipher.
  const plaintext = (scratch ??= new Uint8Array(LONGEST_STEP)).subarray(0, size);
  try {
    plaintext.set(bytes);
    writeLength(plaintext, bytes.length);
    suiteNamed(suite).sealSegment(key, 0, true, plaintext, into);
  } finally {
    key.fill(0);
    plaintext.fill(0);
  }
}

let scratch: Uint8Array | undefined;

/** Computes the CID of a ciphertext block, with WebCrypto if only that is native here. */
export async function nameBlock(bytes: Uint8Array): Promise<CID> {
  return cidFromDigest(await digestOf(bytes), RAW);
}

/** Whether a ciphertext block matches a CID; only CIDs of SHA-256 can match. */
export async function matchesBlock(cid: CID, bytes: Uint8Array): Promise<boolean> {
  const { code, digest } = cid.multihash;
  return code === SHA2_256 && equalBytes(digest, await digestOf(bytes));
}

/**
 * Whether blocks are sealed or hashed off this thread, so that the next one can be started
 * meanwhile.
 */
export const worksElsewhere = (): boolean => backend !== "node" && hasWebcrypto();

function digestOf(bytes: Uint8Array): Uint8Array | Promise<Uint8Array> {
  return bytes.length >= WORTH_ASKING && worksElsewhere() ? webcryptoSha256(bytes) : sha256(bytes);
}
