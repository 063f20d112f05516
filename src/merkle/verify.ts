import { equalBytes } from "../bytes/compare.ts";
import { areHashes, isHash, nodeHash } from "./hash.ts";

/** A number of leaves or a leaf's index: a safe integer, or a bigint up to 2^64. */
export type TreeSize = number | bigint;

/** Why a proof of inclusion was refused. */
export type InclusionReason = "malformed" | "index-out-of-range" | "proof-length" | "root-mismatch";

/** Why a proof of consistency was refused. */
export type ConsistencyReason =
  | "malformed"
  | "old-size-zero"
  | "sizes-not-ordered"
  | "proof-length"
  | "old-root-mismatch"
  | "new-root-mismatch";

/** Outcome of {@link verifyInclusion}. */
export type InclusionResult =
  { readonly ok: true } | { readonly ok: false; readonly reason: InclusionReason };

/** Outcome of {@link verifyConsistency}. */
export type ConsistencyResult =
  { readonly ok: true } | { readonly ok: false; readonly reason: ConsistencyReason };

/** Input of {@link verifyInclusion}; none of it need be checked beforehand. */
export interface InclusionClaim {
  /** Index of the leaf, from 0. */
  readonly index: TreeSize;
  /** Number of leaves of the tree. */
  readonly size: TreeSize;
  /** 32 bytes. */
  readonly leafHash: Uint8Array;
  /** 32-byte siblings from the leaf up. */
  readonly proof: readonly Uint8Array[];
  /** 32-byte trusted root. */
  readonly root: Uint8Array;
}

/** Input of {@link verifyConsistency}; none of it need be checked beforehand. */
export interface ConsistencyClaim {
  readonly oldSize: TreeSize;
  /** 32 bytes. */
  readonly oldRoot: Uint8Array;
  readonly newSize: TreeSize;
  /** 32 bytes. */
  readonly newRoot: Uint8Array;
  /** 32-byte hashes in the order of RFC 9162. */
  readonly proof: readonly Uint8Array[];
}

const LARGEST_SIZE = 1n << 64n;

/**
 * Checks that a leaf is at an index of the tree with a given root. Never throws, and hashes nothing
 * unless the proof has exactly the length that the index and size require.
 *
 * @see RFC 9162 §2.1.3.2
 * @example
 * const result = verifyInclusion({ index, size, leafHash: leafHash(a), proof, root });
 * if (!result.ok) throw new Error(`not in the tree: ${result.reason}`);
 */
export function verifyInclusion(claim: InclusionClaim): InclusionResult {
  const index = toSize(claim.index);
  const size = toSize(claim.size);
  if (index === undefined || size === undefined) return refused("malformed");
  if (!isHash(claim.leafHash) || !isHash(claim.root)) return refused("malformed");
  if (index >= size) return refused("index-out-of-range");
  const inner = bitLength(index ^ (size - 1n));
  const border = countOnes(index >> BigInt(inner));
  const { proof } = claim;
  if (!Array.isArray(proof)) return refused("malformed");
  if (proof.length !== inner + border) return refused("proof-length");
  if (!areHashes(proof)) return refused("malformed");
  const root = foldBorder(foldInner(claim.leafHash, proof, 0, inner, index), proof, inner);
  return equalBytes(root, claim.root) ? { ok: true } : refused("root-mismatch");
}

/**
 * Checks that the tree with one root is a prefix of the tree with another. Never throws, and hashes
 * nothing unless the proof has exactly the length that the sizes require.
 *
 * A root does not commit to its size: several sizes may fit one proof. So each size and its root
 * must come from a source that vouches for them together, such as a signed checkpoint.
 *
 * An old size of 0 is refused: every tree extends the empty one, so such a proof shows nothing. The
 * caller must decide by other means whether to accept a first checkpoint.
 *
 * @see RFC 9162 §2.1.4.2
 * @example
 * const result = verifyConsistency({ oldSize, oldRoot, newSize, newRoot, proof });
 * if (!result.ok) throw new Error(`not an extension: ${result.reason}`);
 */
export function verifyConsistency(claim: ConsistencyClaim): ConsistencyResult {
  const oldSize = toSize(claim.oldSize);
  const newSize = toSize(claim.newSize);
  if (oldSize === undefined || newSize === undefined) return refused("malformed");
  const { oldRoot, newRoot } = claim;
  if (!(oldRoot instanceof Uint8Array && newRoot instanceof Uint8Array))
    return refused("malformed");
  if (!Array.isArray(claim.proof)) return refused("malformed");
  const proof: readonly Uint8Array[] = claim.proof;
  if (oldSize > newSize) return refused("sizes-not-ordered");
  if (oldSize === 0n) return refused("old-size-zero");
  if (oldSize === newSize) {
    if (proof.length !== 0) return refused("proof-length");
    return equalBytes(oldRoot, newRoot) ? { ok: true } : refused("new-root-mismatch");
  }
  if (!isHash(oldRoot) || !isHash(newRoot)) return refused("malformed");

  // The walk starts at the last peak of the old tree, `shift` levels above the leaves. If that peak
  // is the whole old tree, its hash is the old root; otherwise it is the first hash of the proof.
  const shift = trailingZeros(oldSize);
  const first = oldSize === 1n << BigInt(shift) ? 0 : 1;
  const last = oldSize - 1n;
  const join = bitLength(last ^ (newSize - 1n));
  const inner = join - shift;
  const border = countOnes(last >> BigInt(join));
  if (proof.length !== first + inner + border) return refused("proof-length");
  if (!areHashes(proof)) return refused("malformed");
  const seed = first === 0 ? oldRoot : proof[0]!;
  const path = last >> BigInt(shift);
  const afterInner = first + inner;
  const before = foldBorder(foldLeftOnly(seed, proof, first, inner, path), proof, afterInner);
  if (!equalBytes(before, oldRoot)) return refused("old-root-mismatch");
  const after = foldBorder(foldInner(seed, proof, first, inner, path), proof, afterInner);
  return equalBytes(after, newRoot) ? { ok: true } : refused("new-root-mismatch");
}

/** Climbs `count` levels on which both children exist; each bit of `path` gives the side. */
function foldInner(
  hash: Uint8Array,
  proof: readonly Uint8Array[],
  from: number,
  count: number,
  path: bigint,
): Uint8Array {
  for (let i = 0; i < count; i++) {
    const sibling = proof[from + i]!;
    hash = isRight(path, i) ? nodeHash(sibling, hash) : nodeHash(hash, sibling);
  }
  return hash;
}

/** Like {@link foldInner}, for the old tree, in which the right siblings do not exist yet. */
function foldLeftOnly(
  hash: Uint8Array,
  proof: readonly Uint8Array[],
  from: number,
  count: number,
  path: bigint,
): Uint8Array {
  for (let i = 0; i < count; i++) {
    if (isRight(path, i)) hash = nodeHash(proof[from + i]!, hash);
  }
  return hash;
}

/** Climbs the right border: every remaining sibling in the proof is on the left. */
function foldBorder(hash: Uint8Array, proof: readonly Uint8Array[], from: number): Uint8Array {
  for (let i = from; i < proof.length; i++) hash = nodeHash(proof[i]!, hash);
  return hash;
}

function isRight(path: bigint, level: number): boolean {
  return ((path >> BigInt(level)) & 1n) === 1n;
}

function toSize(value: unknown): bigint | undefined {
  if (typeof value === "bigint") return value >= 0n && value <= LARGEST_SIZE ? value : undefined;
  return Number.isSafeInteger(value) && (value as number) >= 0
    ? BigInt(value as number)
    : undefined;
}

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length;
}

function countOnes(value: bigint): number {
  let ones = 0;
  for (let rest = value; rest > 0n; rest &= rest - 1n) ones++;
  return ones;
}

function trailingZeros(value: bigint): number {
  return bitLength(value & -value) - 1;
}

function refused<Reason extends string>(
  reason: Reason,
): { readonly ok: false; readonly reason: Reason } {
  return { ok: false, reason };
}
