import { assertUint } from "../bytes/guards.ts";
import { ProofError } from "../errors.ts";
import { foldPeaks } from "./frontier.ts";
import type { NodeId } from "./frontier.ts";
import { HASH_LENGTH } from "./hash.ts";

/**
 * Reads hashes of complete subtrees, in the order asked for. A proof calls it at most once and
 * asks for at most `2 · log2(size)` nodes.
 */
export type ReadNodes = (ids: readonly NodeId[]) => Promise<readonly (Uint8Array | undefined)[]>;

/**
 * Proves that the leaf at an index is in the tree of the first `size` leaves.
 *
 * @param index - 0 ≤ index < size
 * @param size - number of leaves
 * @returns the siblings from the leaf up, 32 bytes each
 * @throws {ProofError} `ERR_PROOF_RANGE` when the leaf is not in the tree, `ERR_PROOF_UNAVAILABLE`
 *   when a node cannot be read
 * @see RFC 9162 §2.1.3.1
 * @example
 * const proof = await proveInclusion(index, size, readNodes);
 * const { ok } = verifyInclusion({ index, size, leafHash: leafHash(a), proof, root });
 */
export function proveInclusion(
  index: number,
  size: number,
  readNodes: ReadNodes,
): Promise<Uint8Array[]> {
  return readProof(() => {
    assertUint(index, "index");
    assertUint(size, "size");
    if (index >= size)
      throw new ProofError("ERR_PROOF_RANGE", "the leaf index is not within the tree");
    return inclusionRanges(index, 0, size);
  }, readNodes);
}

/**
 * Proves that the tree of the first `oldSize` leaves is a prefix of the tree of the first
 * `newSize` leaves.
 *
 * @param oldSize - 0 ≤ oldSize ≤ newSize; the proof is empty at both ends
 * @param newSize - number of leaves
 * @returns 32-byte hashes in the order of RFC 9162
 * @throws {ProofError} `ERR_PROOF_RANGE` when the sizes are not in order, `ERR_PROOF_UNAVAILABLE`
 *   when a node cannot be read
 * @see RFC 9162 §2.1.4.1
 * @example
 * const proof = await proveConsistency(oldSize, newSize, readNodes);
 * const { ok } = verifyConsistency({ oldSize, oldRoot, newSize, newRoot, proof });
 */
export function proveConsistency(
  oldSize: number,
  newSize: number,
  readNodes: ReadNodes,
): Promise<Uint8Array[]> {
  return readProof(() => {
    assertUint(oldSize, "oldSize");
    assertUint(newSize, "newSize");
    if (oldSize > newSize)
      throw new ProofError("ERR_PROOF_RANGE", "the old size exceeds the new size");
    return oldSize === 0 ? [] : consistencyRanges(oldSize, 0, newSize, true);
  }, readNodes);
}

/** A range of leaves, from `from` up to but not including `to`, that one hash of a proof covers. */
type LeafRange = readonly [from: number, to: number];

function inclusionRanges(index: number, from: number, to: number): LeafRange[] {
  if (to - from <= 1) return [];
  const middle = from + splitPoint(to - from);
  return index < middle
    ? [...inclusionRanges(index, from, middle), [middle, to]]
    : [...inclusionRanges(index, middle, to), [from, middle]];
}

/**
 * SUBPROOF of RFC 9162; `whole` says whether the old tree's root is the hash of its remaining part.
 */
function consistencyRanges(oldSize: number, from: number, to: number, whole: boolean): LeafRange[] {
  if (oldSize === to) return whole ? [] : [[from, to]];
  const middle = from + splitPoint(to - from);
  return oldSize <= middle
    ? [...consistencyRanges(oldSize, from, middle, whole), [middle, to]]
    : [...consistencyRanges(oldSize, middle, to, false), [from, middle]];
}

/** The largest power of two below `size`. */
function splitPoint(size: number): number {
  let point = 1;
  while (point * 2 < size) point *= 2;
  return point;
}

/**
 * The complete subtrees that make up a range; the range must start at a multiple of its first
 * subtree's size.
 */
function coverRange([from, to]: LeafRange): NodeId[] {
  const ids: NodeId[] = [];
  while (from < to) {
    let width = 1;
    let level = 0;
    while (width * 2 <= to - from) {
      width *= 2;
      level++;
    }
    ids.push({ level, index: from / width });
    from += width;
  }
  return ids;
}

/**
 * The complete subtrees whose roots are the peaks of a tree of `size` leaves, largest first.
 *
 * @example
 * peakIds(3); // [{ level: 1, index: 0 }, { level: 0, index: 2 }]
 */
export function peakIds(size: number): NodeId[] {
  assertUint(size, "size");
  return coverRange([0, size]);
}

async function readProof(
  plan: () => readonly LeafRange[],
  readNodes: ReadNodes,
): Promise<Uint8Array[]> {
  const covers = plan().map(coverRange);
  if (covers.length === 0) return [];
  const ids = covers.flat();
  const nodes = await readNodes(ids);
  const hashes = ids.map((_, i) => {
    const hash = nodes[i];
    if (hash?.length !== HASH_LENGTH) {
      throw new ProofError("ERR_PROOF_UNAVAILABLE", "a node that the proof needs is missing");
    }
    return hash;
  });
  let at = 0;
  return covers.map((cover) => foldPeaks(hashes.slice(at, (at += cover.length))));
}
