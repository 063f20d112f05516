import { hkdfExpand, hmacSha256, x25519, x25519PublicKey } from "#crypto";
import { concatBytes } from "../bytes/concat.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";

/** A key encapsulation mechanism of HPKE (RFC 9180 §4). */
export interface Kem {
  /** Id in the IANA HPKE registry. */
  readonly id: number;
  readonly encLength: number;
  readonly publicKeyLength: number;
  readonly secretLength: number;
  publicKey(secret: Uint8Array): Uint8Array;
  /**
   * @param ephemeral - `secretLength` random bytes, never used before
   * @returns `undefined` when the public key is no usable key
   */
  encapsulate(
    publicKey: Uint8Array,
    ephemeral: Uint8Array,
  ): { readonly enc: Uint8Array; readonly shared: Uint8Array } | undefined;
  /** @returns `undefined` when `enc` is malformed */
  decapsulate(enc: Uint8Array, secret: Uint8Array): Uint8Array | undefined;
  /**
   * Finishes decapsulation where another device computed the Diffie-Hellman value; absent from
   * mechanisms that are not built on one.
   */
  fromDh?(dh: Uint8Array, enc: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;
}

/** The labelled key derivation of HPKE (RFC 9180 §4) over HKDF-SHA256, for one suite id. */
export interface LabelledKdf {
  extract(salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array;
  expand(prk: Uint8Array, label: string, info: Uint8Array, length: number): Uint8Array;
}

const ONE = /* @__PURE__ */ Uint8Array.of(1);
const VERSION = /* @__PURE__ */ utf8ToBytes("HPKE-v1");

/** @param suiteId - as RFC 9180 composes it, "KEM" or "HPKE" and the ids */
export function labelledKdf(suiteId: Uint8Array): LabelledKdf {
  const prefixes = new Map<string, Uint8Array>();
  const prefix = (label: string): Uint8Array => {
    let bytes = prefixes.get(label);
    if (bytes === undefined) {
      bytes = concatBytes(VERSION, suiteId, utf8ToBytes(label));
      prefixes.set(label, bytes);
    }
    return bytes;
  };
  return {
    extract: (salt, label, ikm) => hmacSha256(salt, prefix(label), ikm),
    expand(prk, label, info, length) {
      const size = Uint8Array.of(length >> 8, length & 0xff);
      if (length > 32) return hkdfExpand(prk, concatBytes(size, prefix(label), info), length);
      const block = hmacSha256(prk, size, prefix(label), info, ONE);
      return length === 32 ? block : block.slice(0, length);
    },
  };
}

/** DHKEM(X25519, HKDF-SHA256), id 0x0020. */
export const dhkemX25519: Kem = /* @__PURE__ */ createDhkemX25519();

function createDhkemX25519(): Kem {
  const kdf = labelledKdf(Uint8Array.of(0x4b, 0x45, 0x4d, 0x00, 0x20));
  const none = new Uint8Array(0);
  const derive = (dh: Uint8Array, enc: Uint8Array, publicKey: Uint8Array): Uint8Array => {
    const prk = kdf.extract(none, "eae_prk", dh);
    return kdf.expand(prk, "shared_secret", concatBytes(enc, publicKey), 32);
  };
  const exchange = (secret: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined => {
    if (publicKey.length !== 32) return undefined;
    try {
      return x25519(secret, publicKey);
    } catch {
      return undefined;
    }
  };
  return {
    id: 0x0020,
    encLength: 32,
    publicKeyLength: 32,
    secretLength: 32,
    publicKey: x25519PublicKey,
    encapsulate(publicKey, ephemeral) {
      const dh = exchange(ephemeral, publicKey);
      if (dh === undefined) return undefined;
      const enc = x25519PublicKey(ephemeral);
      return { enc, shared: derive(dh, enc, publicKey) };
    },
    decapsulate(enc, secret) {
      const dh = exchange(secret, enc);
      return dh === undefined ? undefined : derive(dh, enc, x25519PublicKey(secret));
    },
    fromDh(dh, enc, publicKey) {
      if (dh.length !== 32 || dh.every((byte) => byte === 0)) return undefined;
      return derive(dh, enc, publicKey);
    },
  };
}
