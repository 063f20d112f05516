import { fromHex } from "../bytes/hex.ts";

/**
 * The encoding half of the Ed25519 acceptance rule, the same on every backend: the refused
 * encodings never reach the library that checks the equation afterwards.
 */

// y-coordinates (little-endian, without the sign bit) of the five pairs of points of order 1, 2, 4
// and 8: 0, 1, p − 1 and the two of order 8.
const ORDER_8_A = /* @__PURE__ */ fromHex(
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
);
const ORDER_8_B = /* @__PURE__ */ fromHex(
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
);

/**
 * Tells whether 32 bytes, at an offset, may encode a point of an accepted signature or key: y is
 * below p = 2^255 − 19 and the point is not one of the eight of small order. The verification
 * equation checks whether the bytes are a point of the curve at all.
 *
 * @param bytes - borrowed; `bytes.length ≥ offset + 32`
 */
export function isAcceptablePoint(bytes: Uint8Array, offset = 0): boolean {
  const first = bytes[offset]!;
  const last = bytes[offset + 31]! & 0x7f;
  if (first >= 0xec && last === 0x7f) {
    // y ≥ p − 1 if the middle is all ones.
    return !middleIs(bytes, offset, 0xff);
  }
  if (first <= 1 && last === 0) return !middleIs(bytes, offset, 0);
  if (first === 0xc7) return !sameY(bytes, offset, ORDER_8_A);
  if (first === 0x26) return !sameY(bytes, offset, ORDER_8_B);
  return true;
}

/**
 * Applies the encoding half of the rule to a signature and a key: their lengths, R and A. The
 * backend checks S < L together with the equation.
 */
export function hasAcceptableEncodings(signature: Uint8Array, publicKey: Uint8Array): boolean {
  return (
    signature.length === 64 &&
    publicKey.length === 32 &&
    isAcceptablePoint(publicKey) &&
    isAcceptablePoint(signature)
  );
}

function middleIs(bytes: Uint8Array, offset: number, value: number): boolean {
  for (let i = 1; i < 31; i++) if (bytes[offset + i] !== value) return false;
  return true;
}

function sameY(bytes: Uint8Array, offset: number, y: Uint8Array): boolean {
  for (let i = 0; i < 31; i++) if (bytes[offset + i] !== y[i]) return false;
  return (bytes[offset + 31]! & 0x7f) === y[31];
}
