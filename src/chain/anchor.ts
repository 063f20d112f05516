import type { CID } from "multiformats/cid";
import { encode } from "../codec/dag-cbor.ts";
import { verifySignature } from "../crypto/sign.ts";
import { signWith, type Signer } from "../identity/signer.ts";
import type { DerivedData, DerivedMark } from "./derived.ts";

/**
 * Blocks between two anchors, which is the most blocks that must be checked again after a crash.
 */
export const ANCHOR_EVERY = 256;

/**
 * How far one member has checked a ledger, signed by that member's own key. Unlike all other
 * derived data, it cannot be forged by a party that can only write to the store.
 */
export interface Anchor {
  /** Reads the newest mark that the key signed, if the store has one. */
  read(): Promise<DerivedMark | undefined>;
  /** Signs a mark of what was checked. The mark is written after the data that it covers. */
  put(mark: DerivedMark): Promise<void>;
}

/** Opens the anchor of a ledger under a member's key. */
export function openAnchor(signer: Signer, ledger: CID, derived: DerivedData): Anchor {
  const signedBytes = ({ size, root, record }: DerivedMark): Uint8Array =>
    encode([ledger, size, root, record]);
  return {
    async read() {
      const found = await derived.signedMark(signer.key);
      const holds =
        found !== undefined &&
        verifySignature({
          alg: signer.alg,
          publicKey: signer.publicKey,
          signature: found.sig,
          what: "anchor",
          bytes: signedBytes(found.mark),
        });
      return holds ? found.mark : undefined;
    },
    async put(mark) {
      derived.addSigned(signer.key, mark, await signWith(signer, "anchor", signedBytes(mark)));
    },
  };
}
