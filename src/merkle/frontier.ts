import { equalBytes } from "../bytes/compare.ts";
import { assertBytes, assertUint } from "../bytes/guards.ts";
import { ProofError } from "../errors.ts";
import { EMPTY_ROOT, HASH_LENGTH, nodeHash } from "./hash.ts";

/**
 * Names the root of a complete subtree: `level` 0 is the leaves, and the node at `index` of a level
 * covers the leaves from `index · 2^level` to `(index + 1) · 2^level − 1`.
 */
export interface NodeId {
  readonly level: number;
  readonly index: number;
}

/** A complete subtree's place and hash; later appends change neither. */
export interface TreeNode extends NodeId {
  readonly hash: Uint8Array;
}

/**
 * The right border of a tree, which is all that appending and computing the root need: one peak for
 * each 1 bit of `size`, the root of the largest complete subtree first.
 */
export interface Frontier {
  readonly size: number;
  readonly peaks: readonly Uint8Array[];
}

/** Result of {@link appendLeaf} and {@link appendLeaves}. */
export interface Appended {
  readonly frontier: Frontier;
  /**
   * The subtrees that became complete, in order of completion: each leaf, then the subtrees that it
   * completes.
   */
  readonly completed: readonly TreeNode[];
}

/** The frontier of the tree without leaves. */
export const emptyFrontier: Frontier = /* @__PURE__ */ Object.freeze({
  size: 0,
  peaks: /* @__PURE__ */ Object.freeze([]),
});

/**
 * Checks a frontier read from storage.
 *
 * @param size - number of leaves
 * @param peaks - 32-byte hashes, largest subtree first; borrowed
 * @throws {ProofError} `ERR_PROOF_INVALID` when there is not one peak for each 1 bit of `size`
 * @example
 * const frontier = frontierFrom(3, [nodeHash(leafHash(a), leafHash(b)), leafHash(c)]);
 */
export function frontierFrom(size: number, peaks: readonly Uint8Array[]): Frontier {
  assertUint(size, "size");
  let wanted = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) wanted += rest % 2;
  if (peaks.length !== wanted || peaks.some((peak) => peak.length !== HASH_LENGTH)) {
    throw new ProofError("ERR_PROOF_INVALID", "the number of peaks does not match the size");
  }
  return { size, peaks };
}

/**
 * Appends one leaf: amortised one node hash.
 *
 * @param leafHash - 32 bytes; kept, not copied
 * @example
 * let frontier = emptyFrontier;
 * for (const bytes of leaves) ({ frontier } = appendLeaf(frontier, leafHash(bytes)));
 * const root = frontierRoot(frontier);
 */
export function appendLeaf(frontier: Frontier, leafHash: Uint8Array): Appended {
  return appendLeaves(frontier, [leafHash]);
}

/**
 * Appends leaves in order: amortised one node hash per leaf, and one copy of the peaks in total.
 *
 * @param leafHashes - 32 bytes each; kept, not copied
 * @example
 * const { frontier } = appendLeaves(emptyFrontier, leaves.map(leafHash));
 * const root = frontierRoot(frontier);
 */
export function appendLeaves(frontier: Frontier, leafHashes: Iterable<Uint8Array>): Appended {
  const peaks = frontier.peaks.slice();
  const completed: TreeNode[] = [];
  let size = frontier.size;
  for (const leafHash of leafHashes) {
    assertBytes(leafHash, "leafHash", HASH_LENGTH);
    assertUint(size + 1, "size");
    let hash = leafHash;
    let level = 0;
    let index = size;
    completed.push({ level, index, hash });
    // A right child completes its parent, and its left sibling is the last peak.
    while (index % 2 === 1) {
      hash = nodeHash(peaks.pop()!, hash);
      level++;
      index = (index - 1) / 2;
      completed.push({ level, index, hash });
    }
    peaks.push(hash);
    size++;
  }
  return { frontier: { size, peaks }, completed };
}

/**
 * Computes the root of the tree that a frontier belongs to.
 *
 * @returns 32 bytes
 * @see RFC 9162 §2.1.2
 * @example
 * const root = frontierRoot(frontierFrom(1, [leafHash(a)])); // equal to leafHash(a)
 */
export function frontierRoot(frontier: Frontier): Uint8Array {
  return frontier.peaks.length === 0 ? EMPTY_ROOT : foldPeaks(frontier.peaks);
}

/** Joins the roots of adjacent complete subtrees of falling size; there must be at least one. */
export function foldPeaks(peaks: readonly Uint8Array[]): Uint8Array {
  let hash = peaks.at(-1)!;
  for (let i = peaks.length - 2; i >= 0; i--) hash = nodeHash(peaks[i]!, hash);
  return hash;
}

/** Whether two frontiers have the same peaks. */
export function samePeaks(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((peak, i) => equalBytes(peak, b[i]!));
}
