import { atOnce, type Steps } from "../bytes/steps.ts";
import { assertUint } from "../bytes/guards.ts";
import { ProofError } from "../errors.ts";
import { EMPTY_ROOT, nodeHash } from "./hash.ts";

/**
 * Computes the root of a tree from its leaf hashes, with one node hash less than there are leaves.
 *
 * @param leafHashes - 32-byte leaf hashes in order; borrowed
 * @returns 32 bytes; {@link EMPTY_ROOT} without leaves, the leaf hash itself for one leaf
 * @see RFC 9162 §2.1.1
 * @example
 * const root = treeRoot(leaves.map(leafHash));
 */
export function treeRoot(leafHashes: readonly Uint8Array[]): Uint8Array {
  if (leafHashes.length === 0) return EMPTY_ROOT;
  const level = leafHashes.slice();
  let width = level.length;
  while (width > 1) width = hashPairs(level, width);
  return level[0]!;
}

/** A tree whose nodes are all in memory, for several proofs from it. */
export interface MerkleTree {
  /** Number of leaves. */
  readonly size: number;
  /** 32-byte RFC 6962 root. */
  readonly root: Uint8Array;
  /**
   * Proves that the leaf at an index is in the tree.
   *
   * @returns the siblings from the leaf up, 32 bytes each, borrowed from the tree
   * @throws {ProofError} `ERR_PROOF_RANGE` when there is no such leaf
   */
  proveInclusion(index: number): Uint8Array[];
}

/**
 * Builds a tree in memory once, so that proofs from it compute no further hashes.
 *
 * @param leafHashes - 32-byte leaf hashes in order; borrowed
 * @example
 * const tree = buildTree(leaves.map(leafHash));
 * const proof = tree.proveInclusion(2);
 */
export function buildTree(leafHashes: readonly Uint8Array[]): MerkleTree {
  return atOnce(treeSteps(leafHashes));
}

/** Number of hashes between two places where building can be interrupted. */
const PIECE = 1024;

/** Like {@link buildTree}, in steps. */
export function* treeSteps(leafHashes: readonly Uint8Array[]): Steps<MerkleTree> {
  const levels: (readonly Uint8Array[])[] = [leafHashes.slice()];
  for (let below = levels[0]!; below.length > 1; below = levels.at(-1)!) {
    const level: Uint8Array[] = [];
    for (let from = 0; from < below.length; from += 2 * PIECE) {
      const piece = below.slice(from, from + 2 * PIECE);
      piece.length = hashPairs(piece, piece.length);
      for (const hash of piece) level.push(hash);
      if (level.length < below.length / 2) yield;
    }
    levels.push(level);
  }
  return {
    size: leafHashes.length,
    root: levels.at(-1)![0] ?? EMPTY_ROOT,
    proveInclusion(index) {
      assertUint(index, "index");
      if (index >= leafHashes.length) {
        throw new ProofError("ERR_PROOF_RANGE", "there is no leaf at this index");
      }
      const proof: Uint8Array[] = [];
      for (const level of levels) {
        const sibling = level[index % 2 === 0 ? index + 1 : index - 1];
        if (sibling !== undefined) proof.push(sibling);
        index = Math.floor(index / 2);
      }
      return proof;
    },
  };
}

/**
 * Proves that the leaf at an index is in the tree of the given leaves.
 *
 * @param leafHashes - 32-byte leaf hashes in order; borrowed
 * @param index - 0 ≤ index < leafHashes.length
 * @returns the siblings from the leaf up, 32 bytes each
 * @throws {ProofError} `ERR_PROOF_RANGE` when there is no such leaf
 * @see RFC 9162 §2.1.3.1
 */
export function inclusionFromLeaves(
  leafHashes: readonly Uint8Array[],
  index: number,
): Uint8Array[] {
  return buildTree(leafHashes).proveInclusion(index);
}

/**
 * Replaces a level by the one above it, in place; a last node without a sibling moves up unchanged.
 */
function hashPairs(level: Uint8Array[], width: number): number {
  let next = 0;
  for (let i = 0; i + 1 < width; i += 2) level[next++] = nodeHash(level[i]!, level[i + 1]!);
  if (width % 2 === 1) level[next++] = level[width - 1]!;
  return next;
}
