import { sha256 } from "#crypto";

/** Length of every hash in a tree, in bytes. */
export const HASH_LENGTH = 32;

/** Whether a value is a hash; for input that has not been checked. */
export function isHash(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === HASH_LENGTH;
}

/** Whether a value is an array of hashes, without holes; for input that has not been checked. */
export function areHashes(values: unknown): values is readonly Uint8Array[] {
  if (!Array.isArray(values)) return false;
  for (const value of values) if (!isHash(value)) return false;
  return true;
}

/**
 * Root of the tree without leaves: SHA-256 of the empty string. Shared: callers must not write to
 * it.
 */
export const EMPTY_ROOT: Uint8Array = /* @__PURE__ */ Uint8Array.of(
  0xe3,
  0xb0,
  0xc4,
  0x42,
  0x98,
  0xfc,
  0x1c,
  0x14,
  0x9a,
  0xfb,
  0xf4,
  0xc8,
  0x99,
  0x6f,
  0xb9,
  0x24,
  0x27,
  0xae,
  0x41,
  0xe4,
  0x64,
  0x9b,
  0x93,
  0x4c,
  0xa4,
  0x95,
  0x99,
  0x1b,
  0x78,
  0x52,
  0xb8,
  0x55,
);

const LONGEST_COPIED_LEAF = 1024;

// Reused inputs: hashing is synchronous, so no other code sees them half written.
const leafInput = /* @__PURE__ */ new Uint8Array(1 + LONGEST_COPIED_LEAF);
const leafViews: Uint8Array[] = [];
const leafPrefix = /* @__PURE__ */ Uint8Array.of(0x00);
const nodeInput = /* @__PURE__ */ new Uint8Array(1 + 2 * HASH_LENGTH).fill(0x01, 0, 1);

/**
 * Hashes a leaf: `SHA256(00 ‖ bytes)`.
 *
 * @param bytes - what the leaf commits to, of any length; borrowed
 * @returns 32 bytes, newly allocated
 * @see RFC 9162 §2.1.1
 * @example
 * const root = treeRoot(leaves.map(leafHash));
 */
export function leafHash(bytes: Uint8Array): Uint8Array {
  if (bytes.length > LONGEST_COPIED_LEAF) return sha256(leafPrefix, bytes);
  leafInput.set(bytes, 1);
  const { length } = bytes;
  return sha256((leafViews[length] ??= leafInput.subarray(0, 1 + length)));
}

/**
 * Hashes an inner node: `SHA256(01 ‖ left ‖ right)`.
 *
 * @param left - 32 bytes; borrowed
 * @param right - 32 bytes; borrowed
 * @returns 32 bytes, newly allocated
 * @throws {RangeError} when either is not 32 bytes
 * @see RFC 9162 §2.1.1
 * @example
 * const root = nodeHash(leafHash(a), leafHash(b)); // of a tree of two leaves
 */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length !== HASH_LENGTH || right.length !== HASH_LENGTH) {
    throw new RangeError("left and right must be 32 bytes");
  }
  nodeInput.set(left, 1);
  nodeInput.set(right, 1 + HASH_LENGTH);
  return sha256(nodeInput);
}
