import { fromHex } from "../bytes/hex.ts";

// The order n of the P-256 group and ⌊n/2⌋, big-endian.
const ORDER = /* @__PURE__ */ fromHex(
  "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
);
const HALF_ORDER = /* @__PURE__ */ fromHex(
  "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8",
);

/** Tells whether s ≤ ⌊n/2⌋ in a raw 64-byte P-256 signature r ‖ s. */
export function isLowS(signature: Uint8Array): boolean {
  return compareAt(signature, 32, HALF_ORDER) <= 0;
}

/**
 * Replaces a high s of a raw P-256 signature by n − s, which verifies as well. A value that is not
 * a valid scalar stays unchanged, and verification refuses it.
 *
 * @param signature - 64 bytes r ‖ s, borrowed
 * @returns 64 bytes, newly allocated if s had to change
 */
export function toLowS(signature: Uint8Array): Uint8Array {
  if (signature.length !== 64 || isLowS(signature)) return signature;
  if (compareAt(signature, 32, ORDER) >= 0) return signature;
  const low = signature.slice();
  let borrow = 0;
  for (let i = 31; i >= 0; i--) {
    const difference = ORDER[i]! - signature[32 + i]! - borrow;
    low[32 + i] = difference & 0xff;
    borrow = difference < 0 ? 1 : 0;
  }
  return low;
}

function compareAt(bytes: Uint8Array, offset: number, other: Uint8Array): number {
  for (let i = 0; i < 32; i++) {
    const difference = bytes[offset + i]! - other[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
