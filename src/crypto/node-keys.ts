import { Buffer } from "node:buffer";
import { createECDH, createPrivateKey, createPublicKey, ECDH, type KeyObject } from "node:crypto";
import { equalBytes } from "../bytes/compare.ts";
import { concatBytes } from "../bytes/concat.ts";
import { assertBytes } from "../bytes/guards.ts";
import { SignatureError } from "../errors.ts";
import { keyCache, type KeyCache } from "./key-cache.ts";
import { sha256, toBytes } from "./node-hash.ts";

/** The curves that {@link secretKey} supports. */
export type Curve = "Ed25519" | "X25519" | "P-256";

interface SecretEntry {
  readonly curve: Curve;
  readonly hash: Uint8Array;
  readonly key: KeyObject;
  publicKey?: Uint8Array;
}

const ed25519Keys: KeyCache<KeyObject> = /* @__PURE__ */ keyCache(2048);
const x25519Keys: KeyCache<KeyObject> = /* @__PURE__ */ keyCache(512);
const p256Keys: KeyCache<KeyObject> = /* @__PURE__ */ keyCache(2048);
// Secrets are found by the identity of their array, so that a cached key lives no longer than the
// caller's own copy; the stored hash shows when the caller has wiped or reused the array.
const secretKeys: WeakMap<Uint8Array, SecretEntry> = /* @__PURE__ */ new WeakMap();

/**
 * The key object of 32 public bytes, cached. Raw keys are imported as JWK: on Node 20, DER takes
 * ten times as long.
 */
export function okpPublicKey(curve: "Ed25519" | "X25519", publicKey: Uint8Array): KeyObject {
  const cache = curve === "Ed25519" ? ed25519Keys : x25519Keys;
  const name = cacheName(publicKey);
  const cached = cache.get(name);
  if (cached !== undefined) return cached;
  const jwk = { kty: "OKP", crv: curve, x: base64Url(publicKey) };
  const key = createPublicKey({ key: jwk, format: "jwk" });
  cache.set(name, key);
  return key;
}

/**
 * The key object of a P-256 point in either form, cached; `undefined` if the bytes are not a point.
 */
export function p256PublicKeyObject(publicKey: Uint8Array): KeyObject | undefined {
  const name = cacheName(publicKey);
  const cached = p256Keys.get(name);
  if (cached !== undefined) return cached;
  const point = p256FullPoint(publicKey);
  if (point === undefined) return undefined;
  const key = createPublicKey({ key: p256Jwk(point), format: "jwk" });
  p256Keys.set(name, key);
  return key;
}

/**
 * The full form 04 ‖ x ‖ y of a P-256 point in either form; `undefined` if the bytes are not a
 * point.
 */
export function p256FullPoint(point: Uint8Array): Uint8Array | undefined {
  // OpenSSL also reads a hybrid form and the point at infinity.
  const [form] = point;
  const known = point.length === 33 ? form === 2 || form === 3 : point.length === 65 && form === 4;
  if (!known) return undefined;
  try {
    // Without an encoding the result is a Buffer, which the types do not say.
    const full = ECDH.convertKey(point, "prime256v1", undefined, undefined, "uncompressed");
    return toBytes(full as Uint8Array);
  } catch {
    return undefined;
  }
}

/**
 * The key object of 32 secret bytes, cached for the lifetime of the array.
 *
 * @param secret - borrowed
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when they are not a P-256 scalar
 */
export function secretKey(curve: Curve, secret: Uint8Array): KeyObject {
  return secretEntry(curve, secret).key;
}

/** The 32 public bytes of an Ed25519 or X25519 secret, cached for the lifetime of the array. */
export function okpPublicBytes(curve: "Ed25519" | "X25519", secret: Uint8Array): Uint8Array {
  const entry = secretEntry(curve, secret);
  if (entry.publicKey === undefined) {
    const { x } = createPublicKey(entry.key).export({ format: "jwk" });
    entry.publicKey = new Uint8Array(Buffer.from(x as string, "base64url"));
  }
  return entry.publicKey.slice();
}

function secretEntry(curve: Curve, secret: Uint8Array): SecretEntry {
  assertBytes(secret, "secret", 32);
  const hash = sha256(secret);
  const cached = secretKeys.get(secret);
  if (cached !== undefined && cached.curve === curve && equalBytes(cached.hash, hash)) {
    return cached;
  }
  const entry: SecretEntry = { curve, hash, key: importSecret(curve, secret) };
  secretKeys.set(secret, entry);
  return entry;
}

/**
 * The public point of a P-256 scalar.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when it is 0 or not below the order
 */
export function p256Point(secret: Uint8Array, form: "compressed" | "uncompressed"): Uint8Array {
  assertBytes(secret, "secret", 32);
  const pair = createECDH("prime256v1");
  try {
    pair.setPrivateKey(secret);
  } catch (cause) {
    throw new SignatureError("ERR_SIGNATURE_KEY", "the bytes are not a P-256 private key", {
      cause,
    });
  }
  return Uint8Array.from(pair.getPublicKey(null, form));
}

function importSecret(curve: Curve, secret: Uint8Array): KeyObject {
  const d = base64Url(secret);
  if (curve === "P-256") {
    const jwk = { ...p256Jwk(p256Point(secret, "uncompressed")), d };
    return createPrivateKey({ key: jwk, format: "jwk" });
  }
  try {
    // Node reads only `d`; the public half is not yet known.
    return createPrivateKey({ key: { kty: "OKP", crv: curve, d, x: "" }, format: "jwk" });
  } catch {
    const oid = curve === "Ed25519" ? 0x70 : 0x6e;
    const prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, oid, 4, 0x22, 4, 0x20];
    const der = Buffer.from(concatBytes(Uint8Array.from(prefix), secret));
    return createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  }
}

function p256Jwk(point: Uint8Array): { kty: string; crv: string; x: string; y: string } {
  return {
    kty: "EC",
    crv: "P-256",
    x: base64Url(point.subarray(1, 33)),
    y: base64Url(point.subarray(33)),
  };
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64url");
}

function cacheName(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
}
