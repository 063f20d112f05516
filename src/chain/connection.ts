import { equalBytes } from "../bytes/compare.ts";
import { EMPTY_ROOT } from "../merkle/hash.ts";
import { verifyConsistency } from "../merkle/verify.ts";

/** A ledger at one size: the number of blocks, and the RFC 6962 root over them. */
export interface TreeHead {
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/** Whether two heads are of one size and have one root. */
export const isSameHead = (a: TreeHead, b: TreeHead): boolean =>
  a.size === b.size && equalBytes(a.root, b.root);

/** The relation of two heads of one ledger, as far as it was proved. */
export type Connection = "connected" | "contradiction" | "not-connected";

/**
 * Determines whether two heads are of one history: the smaller one must be a prefix of the larger.
 *
 * @param proof - RFC 9162 consistency proof from the smaller to the larger; required if the sizes
 *   differ and the smaller is not 0, otherwise empty or absent
 * @returns `contradiction` only if one size has two roots; a missing or bad proof shows nothing
 *   about the heads, and gives `not-connected`
 */
export function connectHeads(
  one: TreeHead,
  other: TreeHead,
  proof: readonly Uint8Array[] = [],
): Connection {
  const [old, now] = one.size <= other.size ? [one, other] : [other, one];
  if (old.size === now.size && !equalBytes(old.root, now.root)) return "contradiction";
  if (old.size === 0) {
    // Every tree extends the empty tree, which has one root and needs no proof.
    return equalBytes(old.root, EMPTY_ROOT) && proof.length === 0 ? "connected" : "not-connected";
  }
  const claim = { oldSize: old.size, oldRoot: old.root, newSize: now.size, newRoot: now.root };
  return verifyConsistency({ ...claim, proof }).ok ? "connected" : "not-connected";
}

/** The larger of two connected heads, which further heads are compared with. */
export function largerHead(one: TreeHead | undefined, other: TreeHead): TreeHead {
  return one !== undefined && one.size >= other.size ? one : other;
}
