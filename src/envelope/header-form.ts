import type { CID } from "../codec/cid.ts";
import { SEGMENT_BYTES, SEGMENTS_PER_BLOCK } from "./suite.ts";

/** Most parts of an envelope. */
export const MAX_PARTS = 256;

/**
 * Ledger, author and kind of an envelope; its first entry on the ledger must have the same values.
 */
export interface EnvelopeContext {
  /** CID of the ledger's genesis. */
  readonly ledger: CID;
  /** did:key of the entry's author. */
  readonly author: string;
  /** Kind of the entry. */
  readonly kind: string;
}

/** One part of an envelope, as its header describes it. */
export interface EnvelopePart {
  /** 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit. */
  readonly id: string;
  /** Padded plaintext length in bytes, one of a few sizes; the length without padding is sealed. */
  readonly size: number;
  /** 32-byte commitment to the part key. */
  readonly commit: Uint8Array;
  /** Ciphertext blocks in order. */
  readonly data: readonly CID[];
}

/** The plaintext header of an envelope; it names no recipient. */
export interface EnvelopeHeader {
  readonly suite: string;
  readonly context: EnvelopeContext;
  /** 32 bytes. */
  readonly salt: Uint8Array;
  readonly parts: readonly EnvelopePart[];
  /** Root over values that can be disclosed individually. */
  readonly disclosed?: Uint8Array;
  /** The envelope that this one replaces. */
  readonly supersedes?: CID;
}

/** Form of a part's id. */
export const PART_ID: RegExp = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** Number of ciphertext blocks of a part with this padded size. */
export function blockCount(size: number): number {
  return Math.ceil(size / (SEGMENT_BYTES * SEGMENTS_PER_BLOCK));
}
