import {
  createCipheriv,
  createDecipheriv,
  diffieHellman,
  randomFillSync,
  scrypt as nodeScrypt,
  sign,
  verify,
} from "node:crypto";
import { assertBytes, assertUint } from "../bytes/guards.ts";
import { SignatureError } from "../errors.ts";
import { hasAcceptableEncodings } from "./ed25519-rule.ts";
import { isLowS, toLowS } from "./low-s.ts";
import { toBytes } from "./node-hash.ts";
import {
  okpPublicBytes,
  okpPublicKey,
  p256Point,
  p256PublicKeyObject,
  secretKey,
} from "./node-keys.ts";
import { rawKey } from "./node-raw-key.ts";
import type { ScryptParams } from "./provider.ts";

export { hkdfExpand, hkdfExtract, hmacSha256, sha256 } from "./node-hash.ts";
export { p256FullPoint } from "./node-keys.ts";

/** The `node:crypto` backend; native and synchronous, with key objects cached. */
export const backend = "node" as const;

// Salts and nonces are small and many, and one call for two thousand bytes costs as much as one for
// 16.
const POOL = 2048;
const pool: Uint8Array = /* @__PURE__ */ new Uint8Array(POOL);
let poolAt = POOL;

/** The public key of a 32-byte RFC 8032 private key. */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
  return okpPublicBytes("Ed25519", seed);
}

/** Signs with Ed25519 (RFC 8032). */
export function ed25519Sign(message: Uint8Array, seed: Uint8Array): Uint8Array {
  return toBytes(sign(null, message, secretKey("Ed25519", seed)));
}

/**
 * Signs messages with Ed25519 in the thread pool.
 *
 * @returns the signatures in the messages' order, all at once
 */
export function ed25519SignEach(
  messages: readonly Uint8Array[],
  seed: Uint8Array,
): Promise<Uint8Array[]> {
  const key = secretKey("Ed25519", seed);
  return Promise.all(
    messages.map(
      (message) =>
        new Promise<Uint8Array>((resolve, reject) => {
          sign(null, message, key, (error, signature) => {
            if (error === null) resolve(toBytes(signature));
            else reject(error);
          });
        }),
    ),
  );
}

/**
 * Verifies Ed25519 by this library's acceptance rule. The encodings are checked first because
 * OpenSSL before 3.5 accepts keys and commitments of small order.
 */
export function ed25519Verify(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  if (!hasAcceptableEncodings(signature, publicKey)) return false;
  return verify(null, message, okpPublicKey("Ed25519", publicKey), signature);
}

/** {@link ed25519Verify} in the thread pool. */
export async function ed25519VerifyAside(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): Promise<boolean> {
  if (!hasAcceptableEncodings(signature, publicKey)) return false;
  return verifyAside(null, message, okpPublicKey("Ed25519", publicKey), signature);
}

/**
 * The compressed public key of a 32-byte P-256 scalar.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the scalar is 0 or not below the order
 */
export function p256PublicKey(secret: Uint8Array): Uint8Array {
  return p256Point(secret, "compressed");
}

/**
 * Signs SHA-256 of the message with P-256.
 *
 * @returns r ‖ s, 64 bytes, low-S
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the scalar is 0 or not below the order
 */
export function p256Sign(message: Uint8Array, secret: Uint8Array): Uint8Array {
  const key = secretKey("P-256", secret);
  return toLowS(toBytes(sign("sha256", message, { key, dsaEncoding: "ieee-p1363" })));
}

/** Verifies ES256 by this library's acceptance rule: 64 bytes, low-S, compressed key. */
export function p256Verify(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  if (signature.length !== 64 || publicKey.length !== 33 || !isLowS(signature)) return false;
  const key = p256PublicKeyObject(publicKey);
  if (key === undefined) return false;
  return verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature);
}

/** {@link p256Verify} in the thread pool. */
export async function p256VerifyAside(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): Promise<boolean> {
  if (signature.length !== 64 || publicKey.length !== 33 || !isLowS(signature)) return false;
  const key = p256PublicKeyObject(publicKey);
  if (key === undefined) return false;
  return verifyAside("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature);
}

function verifyAside(
  algorithm: string | null,
  message: Uint8Array,
  key: Parameters<typeof verify>[2],
  signature: Uint8Array,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    verify(algorithm, message, key, signature, (error, valid) => {
      if (error === null) resolve(valid);
      else reject(error);
    });
  });
}

/**
 * ECDH on P-256: the x coordinate of the shared point.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when either argument is not a key
 */
export function p256Ecdh(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const privateKey = secretKey("P-256", secret);
  const point = p256PublicKeyObject(publicKey);
  if (point === undefined)
    throw new SignatureError("ERR_SIGNATURE_KEY", "the bytes are not a P-256 public key");
  return toBytes(diffieHellman({ privateKey, publicKey: point }));
}

/** The X25519 public key of 32 secret bytes (RFC 7748). */
export function x25519PublicKey(secret: Uint8Array): Uint8Array {
  return okpPublicBytes("X25519", secret);
}

/**
 * The X25519 shared secret (RFC 7748 §6.1).
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the shared secret is all zero
 */
export function x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  assertBytes(publicKey, "publicKey", 32);
  const privateKey = secretKey("X25519", secret);
  try {
    return toBytes(diffieHellman({ privateKey, publicKey: okpPublicKey("X25519", publicKey) }));
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
  return aeadSeal("chacha20-poly1305", key, nonce, plaintext, aad, into);
}

/** Opens ciphertext ‖ tag, or returns `undefined` if it does not authenticate. */
export function chachaOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad?: Uint8Array,
): Uint8Array | undefined {
  return aeadOpen("chacha20-poly1305", key, nonce, sealed, aad);
}

/** Seals with AES-256-GCM (SP 800-38D): ciphertext ‖ tag. */
export function aesGcmSeal(
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  aad?: Uint8Array,
  into?: Uint8Array,
): Uint8Array {
  return aeadSeal("aes-256-gcm", key, nonce, plaintext, aad, into);
}

/** Opens ciphertext ‖ tag, or returns `undefined` if it does not authenticate. */
export function aesGcmOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad?: Uint8Array,
): Uint8Array | undefined {
  return aeadOpen("aes-256-gcm", key, nonce, sealed, aad);
}

/** Cryptographically secure random bytes. */
export function randomBytes(length: number): Uint8Array {
  assertUint(length, "length");
  if (length > 64) return randomFillSync(new Uint8Array(length));
  if (poolAt + length > POOL) {
    randomFillSync(pool);
    poolAt = 0;
  }
  const bytes = pool.slice(poolAt, poolAt + length);
  pool.fill(0, poolAt, poolAt + length);
  poolAt += length;
  return bytes;
}

/**
 * scrypt (RFC 7914), in the thread pool. Takes 128·N·r bytes of memory: bound the parameters before
 * calling.
 *
 * @param passphrase - copied before this function returns, as is the salt
 */
export function scrypt(
  passphrase: Uint8Array,
  salt: Uint8Array,
  params: ScryptParams,
): Promise<Uint8Array> {
  const { N, r, p, length } = params;
  const limits = { N, r, p, maxmem: 128 * r * (N + p) + 65_536 };
  return new Promise((resolve, reject) => {
    nodeScrypt(passphrase, salt, length, limits, (error, derived) => {
      if (error === null) resolve(toBytes(derived));
      else reject(error);
    });
  });
}

type AeadName = "chacha20-poly1305" | "aes-256-gcm";

function aeadSeal(
  name: AeadName,
  key: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
  aad: Uint8Array | undefined,
  into: Uint8Array = new Uint8Array(plaintext.length + 16),
): Uint8Array {
  assertBytes(key, "key", 32);
  assertBytes(nonce, "nonce", 12);
  assertBytes(into, "into", plaintext.length + 16);
  // The overload that the types of both ciphers share.
  const cipher = createCipheriv(name as "aes-256-gcm", rawKey(key), nonce, { authTagLength: 16 });
  if (aad !== undefined) cipher.setAAD(aad, { plaintextLength: plaintext.length });
  into.set(cipher.update(plaintext));
  cipher.final();
  into.set(cipher.getAuthTag(), plaintext.length);
  return into;
}

function aeadOpen(
  name: AeadName,
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad: Uint8Array | undefined,
): Uint8Array | undefined {
  assertBytes(key, "key", 32);
  assertBytes(nonce, "nonce", 12);
  const length = sealed.length - 16;
  if (length < 0) return undefined;
  const decipher = createDecipheriv(name as "aes-256-gcm", rawKey(key), nonce, {
    authTagLength: 16,
  });
  decipher.setAuthTag(sealed.subarray(length));
  if (aad !== undefined) decipher.setAAD(aad, { plaintextLength: length });
  const plaintext = decipher.update(sealed.subarray(0, length));
  try {
    decipher.final();
  } catch {
    // Unauthenticated plaintext must not be exposed.
    plaintext.fill(0);
    return undefined;
  }
  return toBytes(plaintext);
}
