import { equalBytes } from "../bytes/compare.ts";
import { EMPTY_ROOT } from "../merkle/hash.ts";
import { verifyConsistency } from "../merkle/verify.ts";

/** A ledger at one size: as many blocks, under this RFC 6962 root. */
export interface TreeHead {
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/** How two heads of one ledger stand to each other, as far as that was proved. */
export type Connection = "connected" | "contradiction" | "not-connected";

/**
 * Judges whether two heads are of one history: the smaller must be what the larger began with.
 *
 * @param proof - RFC 9162 consistency proof from the smaller to the larger; needed when the sizes
 *   differ and the smaller is not 0, else empty or absent
 * @returns `contradiction` only when one size has two roots; that a proof is missing or bad shows
 *   nothing of the heads, and is `not-connected`
 */
export function connection(
  one: TreeHead,
  other: TreeHead,
  proof: readonly Uint8Array[] = [],
): Connection {
  const [old, now] = one.size <= other.size ? [one, other] : [other, one];
  if (old.size === now.size && !equalBytes(old.root, now.root)) return "contradiction";
  if (old.size === 0) {
    // Every tree extends the empty one, which has one root and needs no proof.
    return equalBytes(old.root, EMPTY_ROOT) && proof.length === 0 ? "connected" : "not-connected";
  }
  const claim = { oldSize: old.size, oldRoot: old.root, newSize: now.size, newRoot: now.root };
  return verifyConsistency({ ...claim, proof }).ok ? "connected" : "not-connected";
}

/** The larger of two heads that are connected: what further ones are held against. */
export function largerHead(one: TreeHead | undefined, other: TreeHead): TreeHead {
  return one !== undefined && one.size >= other.size ? one : other;
}
