import type { CID } from "../../codec/cid.ts";
import type { Padding } from "../../envelope/padding.ts";
import {
  sealUnsigned,
  type PartContent,
  type SealOptions,
  type UnsignedEnvelope,
} from "../../envelope/seal.ts";
import type { SuiteName } from "../../envelope/suite.ts";
import { giveTurn } from "../../loop/give-turn.ts";

/** An envelope to seal. */
export interface EnvelopeToSeal extends Pick<SealOptions, "disclosed"> {
  /** Kind of the entry that will name it. */
  readonly kind: string;
  /** Borrowed. */
  readonly parts: readonly PartContent[];
}

/** What envelopes that are sealed together have in common. */
export interface SealTerms {
  readonly ledger: CID;
  readonly author: string;
  readonly suite: SuiteName;
  readonly padding: Padding;
}

/** The random bytes of an envelope. */
export interface EnvelopeSecrets {
  readonly cek: Uint8Array;
  readonly salt: Uint8Array;
}

/**
 * Seals envelopes, whose headers are still to be signed.
 *
 * @param random - gives each envelope its content key, and then its salt
 */
export async function sealTogether(
  { ledger, author, suite, padding }: SealTerms,
  envelopes: readonly EnvelopeToSeal[],
  random: (length: number) => Uint8Array,
): Promise<readonly UnsignedEnvelope[]> {
  const sealed: UnsignedEnvelope[] = [];
  try {
    for (const { kind, ...what } of envelopes) {
      if (sealed.length > 0) await giveTurn();
      const context = { ledger, author, kind };
      const signer = { actor: author };
      sealed.push(await sealUnsigned({ ...what, context, signer, random, suite, padding }));
    }
    return sealed;
  } catch (error) {
    wipeContentKeys(sealed);
    throw error;
  }
}

/** Wipes the content keys of envelopes that nobody will use. */
export function wipeContentKeys(envelopes: readonly Pick<UnsignedEnvelope, "cek">[]): void {
  for (const { cek } of envelopes) cek.fill(0);
}
