import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  ECDH,
  hash,
  type KeyObject,
  randomFillSync,
  scryptSync,
  sign,
  verify,
} from "node:crypto";
import { equalBytes } from "../bytes/compare.ts";
import { concatBytes } from "../bytes/concat.ts";
import { assertBytes, assertUint } from "../bytes/guards.ts";
import { SignatureError } from "../errors.ts";
import { hasAcceptableEncodings } from "./ed25519-rule.ts";
import { keyCache, type KeyCache } from "./key-cache.ts";
import { isLowS, toLowS } from "./low-s.ts";
import type { ScryptParams } from "./provider.ts";

/** The `node:crypto` backend; native and synchronous, with key objects cached. */
export const backend = "node" as const;

// Above this many bytes an incremental hash is cheaper than joining the parts first.
const JOIN_LIMIT = 16_384;
const BLOCK = 64;

const ed25519Keys: KeyCache<KeyObject> = /* @__PURE__ */ keyCache(2048);
const p256Keys: KeyCache<KeyObject> = /* @__PURE__ */ keyCache(2048);
const x25519Keys: KeyCache<KeyObject> = /* @__PURE__ */ keyCache(512);
// Secrets are found by the identity of their array, so that a cached key lives no longer than the
// caller's own copy; the copy beside it tells when the caller has wiped or reused the array.
const secretKeys: WeakMap<Uint8Array, SecretEntry> = /* @__PURE__ */ new WeakMap();

// Salts and nonces are small and many: one call for two thousand bytes costs what one for 16 does.
const POOL = 2048;
const pool: Uint8Array = /* @__PURE__ */ new Uint8Array(POOL);
let poolAt = POOL;

interface SecretEntry {
  readonly kind: SecretKind;
  readonly bytes: Uint8Array;
  readonly key: KeyObject;
}
type SecretKind = "Ed25519" | "X25519" | "P-256";

/** SHA-256 over the concatenation of the parts. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return digest(parts[0]!);
  let length = 0;
  for (const part of parts) length += part.length;
  if (length <= JOIN_LIMIT) return digest(concatBytes(...parts));
  const incremental = createHash("sha256");
  for (const part of parts) incremental.update(part);
  return bare(incremental.digest());
}

/** HMAC-SHA256 (RFC 2104) over the concatenation of the parts. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = BLOCK;
  for (const part of parts) length += part.length;
  if (length > JOIN_LIMIT) {
    const mac = createHmac("sha256", key);
    for (const part of parts) mac.update(part);
    return bare(mac.digest());
  }
  // Two one-shot hashes cost less than one Hmac object.
  const block = key.length > BLOCK ? digest(key) : key;
  const inner = new Uint8Array(length).fill(0x36, 0, BLOCK);
  const outer = new Uint8Array(BLOCK + 32).fill(0x5c, 0, BLOCK);
  for (let i = 0; i < block.length; i++) {
    inner[i]! ^= block[i]!;
    outer[i]! ^= block[i]!;
  }
  let at = BLOCK;
  for (const part of parts) {
    inner.set(part, at);
    at += part.length;
  }
  outer.set(digest(inner), BLOCK);
  return digest(outer);
}

/** HKDF-Extract with SHA-256 (RFC 5869 §2.2). */
export function hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  return hmacSha256(salt, ikm);
}

/** HKDF-Expand with SHA-256 (RFC 5869 §2.3); at most 8160 bytes. */
export function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  assertUint(length, "length", 255 * 32);
  const output = new Uint8Array(length);
  let previous: Uint8Array = new Uint8Array(0);
  for (let at = 0, counter = 1; at < length; at += 32, counter++) {
    previous = hmacSha256(prk, previous, info, Uint8Array.of(counter));
    output.set(length - at < 32 ? previous.subarray(0, length - at) : previous, at);
  }
  return output;
}

/** The public key of a 32-byte RFC 8032 private key. */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
  assertBytes(seed, "seed", 32);
  return rawPublicKey(secretKey("Ed25519", seed));
}

/** Signs with Ed25519 (RFC 8032). */
export function ed25519Sign(message: Uint8Array, seed: Uint8Array): Uint8Array {
  assertBytes(seed, "seed", 32);
  return bare(sign(null, message, secretKey("Ed25519", seed)));
}

/**
 * Verifies Ed25519 by the library's one rule. The encodings are checked first because OpenSSL
 * before 3.5 accepts keys and commitments of small order.
 */
export function ed25519Verify(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  if (!hasAcceptableEncodings(signature, publicKey)) return false;
  return verify(null, message, okpKey("Ed25519", ed25519Keys, publicKey), signature);
}

/**
 * The compressed public key of a 32-byte P-256 scalar.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the scalar is 0 or not below the order
 */
export function p256PublicKey(secret: Uint8Array): Uint8Array {
  return bare(p256Pair(secret).getPublicKey(undefined, "compressed"));
}

/**
 * Signs SHA-256 of the message with P-256.
 *
 * @returns r ‖ s, 64 bytes, low-S
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the scalar is 0 or not below the order
 */
export function p256Sign(message: Uint8Array, secret: Uint8Array): Uint8Array {
  assertBytes(secret, "secret", 32);
  const key = secretKey("P-256", secret);
  return toLowS(bare(sign("sha256", message, { key, dsaEncoding: "ieee-p1363" })));
}

/** Verifies ES256 by the library's one rule: 64 bytes, low-S, compressed key. */
export function p256Verify(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  if (signature.length !== 64 || publicKey.length !== 33 || !isLowS(signature)) return false;
  const key = p256Key(publicKey);
  if (key === undefined) return false;
  return verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature);
}

/** The X25519 public key of 32 secret bytes (RFC 7748). */
export function x25519PublicKey(secret: Uint8Array): Uint8Array {
  assertBytes(secret, "secret", 32);
  return rawPublicKey(secretKey("X25519", secret));
}

/**
 * The X25519 shared secret (RFC 7748 §6.1).
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when it is all zero
 */
export function x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  assertBytes(secret, "secret", 32);
  assertBytes(publicKey, "publicKey", 32);
  const privateKey = secretKey("X25519", secret);
  try {
    return bare(diffieHellman({ privateKey, publicKey: okpKey("X25519", x25519Keys, publicKey) }));
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
): Uint8Array {
  assertBytes(key, "key", 32);
  assertBytes(nonce, "nonce", 12);
  const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  if (aad !== undefined) cipher.setAAD(aad, { plaintextLength: plaintext.length });
  const sealed = new Uint8Array(plaintext.length + 16);
  sealed.set(cipher.update(plaintext));
  cipher.final();
  sealed.set(cipher.getAuthTag(), plaintext.length);
  return sealed;
}

/** Opens ciphertext ‖ tag, or returns `undefined` when it does not authenticate. */
export function chachaOpen(
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  aad?: Uint8Array,
): Uint8Array | undefined {
  assertBytes(key, "key", 32);
  assertBytes(nonce, "nonce", 12);
  const length = sealed.length - 16;
  if (length < 0) return undefined;
  const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  decipher.setAuthTag(sealed.subarray(length));
  if (aad !== undefined) decipher.setAAD(aad, { plaintextLength: length });
  const plaintext = decipher.update(sealed.subarray(0, length));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return bare(plaintext);
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

/** scrypt (RFC 7914). Takes 128·N·r bytes of memory: bound the parameters before calling. */
export function scrypt(passphrase: Uint8Array, salt: Uint8Array, params: ScryptParams): Uint8Array {
  const { N, r, p, length } = params;
  return bare(
    scryptSync(passphrase, salt, length, { N, r, p, maxmem: 128 * r * (N + p) + 65_536 }),
  );
}

// A digest as a binary string crosses into JavaScript two to three times faster than as a Buffer,
// which for inputs below a kilobyte is most of the cost.
function digest(bytes: Uint8Array): Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw new TypeError("expected a Uint8Array");
  const text = hash("sha256", bytes, "binary");
  const out = new Uint8Array(32);
  for (let i = 0; i < 32; i++) out[i] = text.charCodeAt(i);
  return out;
}

function bare(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64url");
}

function cacheKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}

// Raw keys go in as JWK: ten times cheaper than DER on Node 20.
function okpKey(
  crv: "Ed25519" | "X25519",
  cache: KeyCache<KeyObject>,
  publicKey: Uint8Array,
): KeyObject {
  const name = cacheKey(publicKey);
  const cached = cache.get(name);
  if (cached !== undefined) return cached;
  const jwk = { kty: "OKP", crv, x: base64Url(publicKey) };
  const key = createPublicKey({ key: jwk, format: "jwk" });
  cache.set(name, key);
  return key;
}

function p256Key(publicKey: Uint8Array): KeyObject | undefined {
  const name = cacheKey(publicKey);
  const cached = p256Keys.get(name);
  if (cached !== undefined) return cached;
  // ECDH.convertKey would also read the uncompressed and hybrid forms, which the length excludes.
  let point: Uint8Array;
  try {
    point = ECDH.convertKey(
      publicKey,
      "prime256v1",
      undefined,
      undefined,
      "uncompressed",
    ) as Uint8Array;
  } catch {
    return undefined;
  }
  const key = createPublicKey({ key: p256Jwk(point), format: "jwk" });
  p256Keys.set(name, key);
  return key;
}

function p256Jwk(point: Uint8Array): { kty: string; crv: string; x: string; y: string } {
  return {
    kty: "EC",
    crv: "P-256",
    x: base64Url(point.subarray(1, 33)),
    y: base64Url(point.subarray(33)),
  };
}

function p256Pair(secret: Uint8Array): ECDH {
  assertBytes(secret, "secret", 32);
  const pair = createECDH("prime256v1");
  try {
    pair.setPrivateKey(secret);
  } catch (cause) {
    throw new SignatureError("ERR_SIGNATURE_KEY", "not a P-256 private key", { cause });
  }
  return pair;
}

function secretKey(kind: SecretKind, secret: Uint8Array): KeyObject {
  const cached = secretKeys.get(secret);
  if (cached !== undefined && cached.kind === kind && equalBytes(cached.bytes, secret)) {
    return cached.key;
  }
  const key = importSecret(kind, secret);
  secretKeys.set(secret, { kind, bytes: secret.slice(), key });
  return key;
}

function importSecret(kind: SecretKind, secret: Uint8Array): KeyObject {
  const d = base64Url(secret);
  if (kind === "P-256") {
    const jwk = { ...p256Jwk(p256Pair(secret).getPublicKey()), d };
    return createPrivateKey({ key: jwk, format: "jwk" });
  }
  try {
    // Node reads `d` only; the public half is not known yet.
    return createPrivateKey({ key: { kty: "OKP", crv: kind, d, x: "" }, format: "jwk" });
  } catch {
    const oid = kind === "Ed25519" ? 0x70 : 0x6e;
    const prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, oid, 4, 0x22, 4, 0x20];
    const der = Buffer.from(concatBytes(Uint8Array.from(prefix), secret));
    return createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  }
}

function rawPublicKey(privateKey: KeyObject): Uint8Array {
  const { x } = createPublicKey(privateKey).export({ format: "jwk" });
  return Uint8Array.from(Buffer.from(x as string, "base64url"));
}
