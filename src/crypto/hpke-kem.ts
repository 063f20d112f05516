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
  /** Length of a public key as ledgers carry it. */
  readonly publicKeyLength: number;
  readonly secretLength: number;
  /** Number of random bytes that one encapsulation uses. */
  readonly ephemeralLength: number;
  /** Whether bytes of the right length are a private key; random bytes nearly always are. */
  isSecret(bytes: Uint8Array): boolean;
  /**
   * Whether bytes of the right length can serve as the randomness of an encapsulation; random bytes
   * nearly always can.
   */
  isEphemeral(bytes: Uint8Array): boolean;
  publicKey(secret: Uint8Array): Uint8Array;
  /**
   * @param ephemeral - from {@link drawEphemeral}; must not be used twice
   * @returns `undefined` if the public key is not usable
   */
  encapsulate(
    publicKey: Uint8Array,
    ephemeral: Uint8Array,
  ): { readonly enc: Uint8Array; readonly shared: Uint8Array } | undefined;
  /** @returns `undefined` if `enc` is malformed */
  decapsulate(enc: Uint8Array, secret: Uint8Array): Uint8Array | undefined;
  /** Whether an encapsulated key is well formed; needs no private key. */
  isEncapsulated(enc: Uint8Array): boolean;
  /**
   * Finishes decapsulation when another device computed the Diffie-Hellman value; absent from
   * mechanisms that consist of more than one exchange.
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

// One in 2^32 draws of 32 bytes is not a P-256 scalar; a source that fails repeatedly is broken.
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
  throw new SignatureError(
    "ERR_SIGNATURE_KEY",
    "the source of randomness repeatedly gave no usable key",
  );
}

/** The labelled key derivation of HPKE (RFC 9180 §4) over HKDF-SHA256, for one suite id. */
export interface LabelledKdf {
  extract(salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array;
  expand(prk: Uint8Array, label: string, info: Uint8Array, length: number): Uint8Array;
}

const ONE = /* @__PURE__ */ Uint8Array.of(1);
const VERSION = /* @__PURE__ */ utf8ToBytes("HPKE-v1");

/** @param suiteId - as RFC 9180 composes it: "KEM" or "HPKE", then the ids */
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
