import { gcm } from "@noble/ciphers/aes.js";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { ed25519, x25519 as nobleX25519 } from "@noble/curves/ed25519.js";
import { p256 } from "@noble/curves/nist.js";
import { expand, extract } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { scryptAsync } from "@noble/hashes/scrypt.js";
import { sha256 as nobleSha256, sha512 } from "@noble/hashes/sha2.js";
import { assertBytes, assertUint } from "../bytes/guards.ts";
import { SignatureError } from "../errors.ts";
import { hasAcceptableEncodings } from "./ed25519-rule.ts";
import type { ScryptParams } from "./provider.ts";

/**
 * The portable backend. Every export is independent of the others, so that a bundle contains only
 * the functions that it calls.
 */
export const backend = "noble" as const;

/** SHA-256 over the concatenation of the parts. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return nobleSha256(parts[0]!);
  const hash = nobleSha256.create();
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** HMAC-SHA256 (RFC 2104) over the concatenation of the parts. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = hmac.create(nobleSha256, key);
  for (const part of parts) mac.update(part);
  return mac.digest();
}

/** HKDF-Extract with SHA-256 (RFC 5869 §2.2). */
export function hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  return extract(nobleSha256, ikm, salt);
}

/**
 * HKDF-Expand with SHA-256 (RFC 5869 §2.3): from a key of at least 32 bytes to at most 8160 bytes.
 */
export function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  assertUint(length, "length", 255 * 32);
  if (prk.length < 32) throw new RangeError("prk must be at least 32 bytes");
  return expand(nobleSha256, prk, info, length);
}

/** The public key of a 32-byte RFC 8032 private key. */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
  assertBytes(seed, "seed", 32);
  return ed25519.getPublicKey(seed);
}

/** Signs with Ed25519 (RFC 8032). */
export function ed25519Sign(message: Uint8Array, seed: Uint8Array): Uint8Array {
  assertBytes(seed, "seed", 32);
  return ed25519.sign(message, seed);
}

/** Signs messages with Ed25519, on this thread: there is no other. */
export async function ed25519SignEach(
  messages: readonly Uint8Array[],
  seed: Uint8Array,
): Promise<Uint8Array[]> {
  return messages.map((message) => ed25519Sign(message, seed));
}

/**
 * Verifies Ed25519 by this library's acceptance rule. `ed25519.verify` of noble checks the
 * cofactored equation; this function recomputes R as the cofactorless form of RFC 8032 §5.1.7 does,
 * and compares bytes.
 */
export function ed25519Verify(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  if (!hasAcceptableEncodings(signature, publicKey)) return false;
  const { Point } = ed25519;
  const r = signature.subarray(0, 32);
  const s = littleEndian(signature.subarray(32));
  if (s >= Point.Fn.ORDER) return false;
  let a;
  try {
    a = Point.fromBytes(publicKey, false);
  } catch {
    return false;
  }
  const hash = sha512.create().update(r).update(publicKey).update(message).digest();
  const k = littleEndian(hash) % Point.Fn.ORDER;
  const expected = Point.BASE.multiplyUnsafe(s).subtract(a.multiplyUnsafe(k)).toBytes();
  for (let i = 0; i < 32; i++) if (expected[i] !== r[i]) return false;
  return true;
}

/** {@link ed25519Verify} behind a promise: there is no other thread here. */
export async function ed25519VerifyAside(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): Promise<boolean> {
  return ed25519Verify(signature, message, publicKey);
}

/**
 * The compressed public key of a 32-byte P-256 scalar.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the scalar is 0 or not below the order
 */
export function p256PublicKey(secret: Uint8Array): Uint8Array {
  assertP256Secret(secret);
  return p256.getPublicKey(secret, true);
}

/**
 * Signs SHA-256 of the message with P-256, deterministically (RFC 6979).
 *
 * @returns r ‖ s, 64 bytes, low-S
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the scalar is 0 or not below the order
 */
export function p256Sign(message: Uint8Array, secret: Uint8Array): Uint8Array {
  assertP256Secret(secret);
  return p256.sign(message, secret, { lowS: true, prehash: true, format: "compact" });
}

/** Verifies ES256 by this library's acceptance rule: 64 bytes, low-S, compressed key. */
export function p256Verify(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  if (signature.length !== 64 || publicKey.length !== 33) return false;
  try {
    return p256.verify(signature, message, publicKey, {
      lowS: true,
      prehash: true,
      format: "compact",
    });
  } catch {
    return false;
  }
}

/** {@link p256Verify} behind a promise, as {@link ed25519VerifyAside}. */
export async function p256VerifyAside(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): Promise<boolean> {
  return p256Verify(signature, message, publicKey);
}

/**
 * The full form 04 ‖ x ‖ y of a P-256 point in either form; `undefined` if the bytes are not a
 * point.
 */
export function p256FullPoint(point: Uint8Array): Uint8Array | undefined {
  if (point.length !== 33 && point.length !== 65) return undefined;
  try {
    return p256.Point.fromBytes(point).toBytes(false);
  } catch {
    return undefined;
  }
}

/**
 * ECDH on P-256: the x coordinate of the shared point.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when either argument is not a key
 */
export function p256Ecdh(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  assertP256Secret(secret);
  try {
    return p256.getSharedSecret(secret, publicKey, true).slice(1);
  } catch (cause) {
    throw new SignatureError("ERR_SIGNATURE_KEY", "the bytes are not a P-256 public key", {
      cause,
    });
  }
}

/** The X25519 public key of 32 secret bytes (RFC 7748). */
export function x25519PublicKey(secret: Uint8Array): Uint8Array {
  assertBytes(secret, "secret", 32);
  return nobleX25519.getPublicKey(secret);
}

/**
 * The X25519 shared secret (RFC 7748 §6.1).
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the shared secret is all zero
 */
export function x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  assertBytes(secret, "secret", 32);
  assertBytes(publicKey, "publicKey", 32);
  try {
    return nobleX25519.getSharedSecret(secret, publicKey);
  } catch (cause) {
    throw new SignatureError("ERR_SIGNATURE_KEY", "the shared secret is all zero", { cause });
  }
}

/** Seals with ChaCha20-Poly1305 (RFC 8439): ciphertext ‖ tag. */
export function chachaSeal(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  aad?: Uint8Array,
  into?: Uint8Array,
): Uint8Array {
  assertBytes(key, "key", 32);
  assertBytes(nonce, "nonce", 12);
  if (into !== undefined) assertBytes(into, "into", plaintext.length + 16);
  return chacha20poly1305(key, nonce, aad).encrypt(plaintext, into);
}

/** Opens ciphertext ‖ tag, or returns `undefined` if it does not authenticate. */
export function chachaOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad?: Uint8Array,
): Uint8Array | undefined {
  assertBytes(key, "key", 32);
  assertBytes(nonce, "nonce", 12);
  if (sealed.length < 16) return undefined;
  try {
    return chacha20poly1305(key, nonce, aad).decrypt(sealed);
  } catch {
    return undefined;
  }
}

/**
 * Seals with AES-256-GCM (SP 800-38D): ciphertext ‖ tag. In JavaScript, AES uses lookup tables,
 * whose timing other processes of the machine may observe: use it for single messages only.
 */
export function aesGcmSeal(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  aad?: Uint8Array,
  into?: Uint8Array,
): Uint8Array {
  assertBytes(key, "key", 32);
  assertBytes(nonce, "nonce", 12);
  if (into !== undefined) assertBytes(into, "into", plaintext.length + 16);
  const sealed = gcm(key, nonce, aad).encrypt(plaintext);
  into?.set(sealed);
  return into ?? sealed;
}

/** Opens ciphertext ‖ tag, or returns `undefined` if it does not authenticate. */
export function aesGcmOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad?: Uint8Array,
): Uint8Array | undefined {
  assertBytes(key, "key", 32);
  assertBytes(nonce, "nonce", 12);
  if (sealed.length < 16) return undefined;
  try {
    return gcm(key, nonce, aad).decrypt(sealed);
  } catch {
    return undefined;
  }
}

/** Cryptographically secure random bytes. */
export function randomBytes(length: number): Uint8Array {
  assertUint(length, "length");
  const bytes = new Uint8Array(length);
  // getRandomValues gives at most 65,536 bytes per call.
  for (let at = 0; at < length; at += 65_536) {
    globalThis.crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  return bytes;
}

/**
 * scrypt (RFC 7914), in slices of 10 ms. Takes 128·N·r bytes of memory: bound the parameters before
 * calling.
 */
export function scrypt(
  passphrase: Uint8Array,
  salt: Uint8Array,
  params: ScryptParams,
): Promise<Uint8Array> {
  const { N, r, p, length } = params;
  return scryptAsync(passphrase, salt, {
    N,
    r,
    p,
    dkLen: length,
    maxmem: 128 * r * (N + p) + 65_536,
  });
}

function assertP256Secret(secret: Uint8Array): void {
  assertBytes(secret, "secret", 32);
  if (!p256.utils.isValidSecretKey(secret)) {
    throw new SignatureError("ERR_SIGNATURE_KEY", "the bytes are not a P-256 private key");
  }
}

function littleEndian(bytes: Uint8Array): bigint {
  let hex = "0x";
  for (let i = bytes.length - 1; i >= 0; i--) hex += bytes[i]!.toString(16).padStart(2, "0");
  return BigInt(hex);
}
