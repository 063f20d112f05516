import { p256Ecdh, p256FullPoint, p256PublicKey, x25519, x25519PublicKey } from "#crypto";
import { compareBytes } from "../bytes/compare.ts";
import { concatBytes } from "../bytes/concat.ts";
import { fromHex } from "../bytes/hex.ts";
import { SignatureError } from "../errors.ts";
import { labelledKdf, type Kem } from "./hpke-kem.ts";

/** DHKEM(X25519, HKDF-SHA256), id 0x0020. */
export const dhkemX25519: Kem = /* @__PURE__ */ dhkem({
  id: 0x0020,
  encLength: 32,
  publicKeyLength: 32,
  publicKey: x25519PublicKey,
  isSecret: () => true,
  point: (publicKey) => (publicKey.length === 32 ? publicKey : undefined),
  exchange: x25519,
  isShared: (dh) => dh.some((byte) => byte !== 0),
});

/**
 * DHKEM(P-256, HKDF-SHA256), id 0x0010. Public keys are compressed points, as ledgers carry them;
 * encapsulated keys and the key derivation use the full form, as RFC 9180 requires.
 */
export const dhkemP256: Kem = /* @__PURE__ */ dhkem({
  id: 0x0010,
  encLength: 65,
  publicKeyLength: 33,
  publicKey: p256PublicKey,
  isSecret: isP256Scalar,
  point: (publicKey) => (publicKey.length === 33 ? p256FullPoint(publicKey) : undefined),
  exchange: p256Ecdh,
  isShared: () => true,
});

/**
 * A private key of either group to test public keys with: a point of small order shows with any
 * private key.
 */
const ANY_SECRET = /* @__PURE__ */ new Uint8Array(32).fill(1);

/** The operations of one Diffie-Hellman group. */
interface Group {
  readonly id: number;
  readonly encLength: number;
  readonly publicKeyLength: number;
  publicKey(secret: Uint8Array): Uint8Array;
  isSecret(bytes: Uint8Array): boolean;
  /** A public key in the form that the key derivation uses. */
  point(publicKey: Uint8Array): Uint8Array | undefined;
  exchange(secret: Uint8Array, publicKey: Uint8Array): Uint8Array;
  isShared(dh: Uint8Array): boolean;
}

/** RFC 9180 §4.1. */
function dhkem(group: Group): Kem {
  const { id, encLength, publicKeyLength, publicKey, isSecret, point, isShared } = group;
  const kdf = labelledKdf(Uint8Array.of(0x4b, 0x45, 0x4d, id >> 8, id & 0xff));
  const none = new Uint8Array(0);
  const derive = (dh: Uint8Array, enc: Uint8Array, recipient: Uint8Array): Uint8Array => {
    const prk = kdf.extract(none, "eae_prk", dh);
    const shared = kdf.expand(prk, "shared_secret", concatBytes(enc, recipient), 32);
    prk.fill(0);
    return shared;
  };
  const exchange = (secret: Uint8Array, other: Uint8Array): Uint8Array | undefined => {
    try {
      return group.exchange(secret, other);
    } catch (error) {
      if (error instanceof SignatureError) return undefined;
      throw error;
    }
  };
  return {
    id,
    encLength,
    publicKeyLength,
    secretLength: 32,
    ephemeralLength: 32,
    isSecret,
    isEphemeral: isSecret,
    publicKey,
    encapsulate(recipient, ephemeral) {
      const full = point(recipient);
      const dh = full === undefined ? undefined : exchange(ephemeral, full);
      if (full === undefined || dh === undefined) return undefined;
      const enc = point(publicKey(ephemeral))!;
      const shared = derive(dh, enc, full);
      dh.fill(0);
      return { enc, shared };
    },
    decapsulate(enc, secret) {
      const dh = enc.length === encLength ? exchange(secret, enc) : undefined;
      if (dh === undefined) return undefined;
      const shared = derive(dh, enc, point(publicKey(secret))!);
      dh.fill(0);
      return shared;
    },
    isEncapsulated: (enc) => enc.length === encLength && exchange(ANY_SECRET, enc) !== undefined,
    fromDh(dh, enc, recipient) {
      const full = point(recipient);
      if (full === undefined || dh.length !== 32 || !isShared(dh)) return undefined;
      return derive(dh, enc, full);
    },
  };
}

const P256_ORDER = /* @__PURE__ */ fromHex(
  "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
);

// Not in constant time; the timing reveals only that the key's first bytes are not all ones.
function isP256Scalar(bytes: Uint8Array): boolean {
  if (bytes.every((byte) => byte === 0)) return false;
  return compareBytes(bytes, P256_ORDER) < 0;
}
