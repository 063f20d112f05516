import { toHex } from "../bytes/hex.ts";
import { isAcceptablePoint } from "./ed25519-rule.ts";
import { keyCache, type KeyCache } from "./key-cache.ts";
import { decompressP256 } from "./p256-point.ts";
import { powerModulo } from "./power.ts";

/**
 * Whether bytes are a public key that can be verified with or sealed to: a point of the right curve
 * in its one encoding, and not of small order. Pure arithmetic, so that naming keys pulls no curve
 * library into a bundle; slow, about a tenth of a millisecond, so results are cached.
 *
 * Not in constant time: use it for public keys only.
 *
 * @param alg - `Ed25519`, `ES256`, `X25519`, `P-256` or `X-Wing`
 * @param publicKey - borrowed
 */
export function isUsableKey(alg: string, publicKey: Uint8Array): boolean {
  const name = `${alg}:${toHex(publicKey)}`;
  let usable = known.get(name);
  if (usable === undefined) {
    usable = isUsable(alg, publicKey);
    known.set(name, usable);
  }
  return usable;
}

const known: KeyCache<boolean> = /* @__PURE__ */ keyCache(2048);

function isUsable(alg: string, publicKey: Uint8Array): boolean {
  switch (alg) {
    case "Ed25519":
      return publicKey.length === 32 && isAcceptablePoint(publicKey) && isOnEdwards(publicKey);
    case "X25519":
      return publicKey.length === 32 && isUsableX25519(publicKey);
    case "ES256":
    case "P-256":
      return decompressP256(publicKey) !== undefined;
    case "X-Wing":
      return (
        publicKey.length === 1216 &&
        isMlKem768(publicKey.subarray(0, 1184)) &&
        isUsableX25519(publicKey.subarray(1184))
      );
    default:
      return false;
  }
}

const P = 0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffedn;
const D = 0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3n;

/** RFC 8032 §5.1.3: x² = (y² − 1) / (d y² + 1) has a root, and x = 0 has no sign bit. */
function isOnEdwards(point: Uint8Array): boolean {
  const y = littleEndian(point) & ((1n << 255n) - 1n);
  const square = (y * y) % P;
  const u = (square + P - 1n) % P;
  const v = (D * square + 1n) % P;
  // u/v is a square exactly when u·v is; d is not a square, so v is never zero.
  return u !== 0n && powerModulo((u * v) % P, (P - 1n) / 2n, P) === 1n;
}

// u of the points of order 1, 2, 4 and 8 on Curve25519 and its twist.
const LOW_ORDER_U: readonly bigint[] = [
  0n,
  1n,
  0xb8495f16056286fdb1329ceb8d09da6ac49ff1fae35616aeb8413b7c7aebe0n,
  0x57119fd0dd4e22d8868e1c58c45c44045bef839c55b1d0b1248c50a3bc959c5fn,
  0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffecn,
];

/** Every u below p is a point of the curve or its twist (RFC 7748 §5). */
function isUsableX25519(publicKey: Uint8Array): boolean {
  const u = littleEndian(publicKey);
  return u < P && !LOW_ORDER_U.includes(u);
}

/** FIPS 203 §7.2: every one of the 768 coefficients, 12 bits each, is below q = 3329. */
function isMlKem768(publicKey: Uint8Array): boolean {
  for (let i = 0; i < 1152; i += 3) {
    const middle = publicKey[i + 1]!;
    if ((publicKey[i]! | ((middle & 15) << 8)) >= 3329) return false;
    if (((middle >> 4) | (publicKey[i + 2]! << 4)) >= 3329) return false;
  }
  return true;
}

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return value;
}
