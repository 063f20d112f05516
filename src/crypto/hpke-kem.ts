import { hkdfExpand, hmacSha256 } from "#crypto";
import { concatBytes } from "../bytes/concat.ts";
import { assertBytes } from "../bytes/guards.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { SignatureError } from "../errors.ts";

/** A key encapsulation mechanism of HPKE (RFC 9180 §4). */
export interface Kem {
  /** Id in the IANA HPKE registry. */
  readonly id: number;
  readonly encLength: number;
  /** Of a public key as ledgers carry it. */
  readonly publicKeyLength: number;
  readonly secretLength: number;
  /** Random bytes that one encapsulation takes. */
  readonly ephemeralLength: number;
  /** Whether bytes of the right length are a private key; random ones nearly always are. */
  isSecret(bytes: Uint8Array): boolean;
  /** Whether bytes of the right length will do for an encapsulation; random ones nearly always do. */
  isEphemeral(bytes: Uint8Array): boolean;
  publicKey(secret: Uint8Array): Uint8Array;
  /**
   * @param ephemeral - as {@link drawEphemeral} gives them, never used before
   * @returns `undefined` when the public key is no usable key
   */
  encapsulate(
    publicKey: Uint8Array,
    ephemeral: Uint8Array,
  ): { readonly enc: Uint8Array; readonly shared: Uint8Array } | undefined;
  /** @returns `undefined` when `enc` is malformed */
  decapsulate(enc: Uint8Array, secret: Uint8Array): Uint8Array | undefined;
  /** Whether an encapsulated key is well formed, judged without a private key. */
  isEncapsulated(enc: Uint8Array): boolean;
  /**
   * Finishes decapsulation where another device computed the Diffie-Hellman value; absent from
   * mechanisms that are more than one.
   */
  fromDh?(dh: Uint8Array, enc: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined;
}

/** Draws the randomness of one encapsulation. */
export function drawEphemeral(kem: Kem, random: (length: number) => Uint8Array): Uint8Array {
  return draw(kem.ephemeralLength, random, (bytes) => kem.isEphemeral(bytes));
}

/** Draws a private key. */
export function drawSecret(kem: Kem, random: (length: number) => Uint8Array): Uint8Array {
  return draw(kem.secretLength, random, (bytes) => kem.isSecret(bytes));
}

// 32 bytes are no P-256 scalar once in 2^32 times; a source that fails again and again is broken.
function draw(
  length: number,
  random: (length: number) => Uint8Array,
  accept: (bytes: Uint8Array) => boolean,
): Uint8Array {
  for (let attempt = 0; attempt < 8; attempt++) {
    const bytes = random(length);
    assertBytes(bytes, "random bytes", length);
    if (accept(bytes)) return bytes;
    bytes.fill(0);
  }
  throw new SignatureError("ERR_SIGNATURE_KEY", "the source of randomness gives no usable key");
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
