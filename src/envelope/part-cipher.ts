import { backend, sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { type CID, cidFromDigest, RAW, SHA2_256 } from "../codec/cid.ts";
import { SEGMENT_OVERHEAD } from "../crypto/segments.ts";
import { hasWebcrypto, webcryptoSegments, webcryptoSha256 } from "../crypto/webcrypto-segments.ts";
import { isSynchronous, type SuiteName, suiteNamed } from "./suite.ts";

/** The segments of one part under its key, sealed and opened here or by WebCrypto. */
export interface PartCipher {
  /** How many segments are worth having under way at a time. */
  readonly window: number;
  /**
   * Seals a segment.
   *
   * @param plaintext - borrowed until the call returns
   * @param into - where it goes, of its length; to be left alone until then
   * @returns a promise where the backend is asynchronous; it never goes unhandled
   */
  seal(
    counter: number,
    final: boolean,
    plaintext: Uint8Array,
    into: Uint8Array,
  ): Promise<void> | undefined;
  /** Opens a segment; `undefined` when it is not this one of this part. */
  open(
    counter: number,
    final: boolean,
    sealed: Uint8Array,
  ): Promise<Uint8Array | undefined> | Uint8Array | undefined;
  /** Wipes the key. */
  close(): void;
}

/** How much longer a sealed segment is than its plaintext, in every suite. */
export const TAG_BYTES: number = SEGMENT_OVERHEAD;
/** Segments under way with WebCrypto: enough for the cores of a workstation, half a block. */
const WINDOW = 8;
/** A hash of less is made sooner than WebCrypto is asked for it. */
const WORTH_ASKING = 16_384;

/**
 * Makes the cipher of one part: with the synchronous backend where it has the suite, else with
 * WebCrypto.
 *
 * @param suite - as {@link usableSuite} gives it
 * @param key - the part's segment key; the cipher's from now on
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

/** Names a ciphertext block; natively, if only WebCrypto is native here. */
export async function nameBlock(bytes: Uint8Array): Promise<CID> {
  return cidFromDigest(await digestOf(bytes), RAW);
}

/** Whether a ciphertext block is what a CID names; only CIDs of SHA-256 can match. */
export async function matchesBlock(cid: CID, bytes: Uint8Array): Promise<boolean> {
  const { code, digest } = cid.multihash;
  return code === SHA2_256 && equalBytes(digest, await digestOf(bytes));
}

/** Whether blocks are sealed or hashed elsewhere, so that the next can be begun meanwhile. */
export const worksElsewhere = (): boolean => backend !== "node" && hasWebcrypto();

function digestOf(bytes: Uint8Array): Uint8Array | Promise<Uint8Array> {
  return bytes.length >= WORTH_ASKING && worksElsewhere() ? webcryptoSha256(bytes) : sha256(bytes);
}
