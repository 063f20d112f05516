import { x25519, x25519PublicKey } from "#crypto";
import { sha3_256, shake256 } from "@noble/hashes/sha3.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { concatBytes } from "../bytes/concat.ts";
import { assertBytes } from "../bytes/guards.ts";
import { SignatureError } from "../errors.ts";
import type { Kem } from "./hpke-kem.ts";

const ML_KEM_KEY = 1184;
const ML_KEM_CIPHERTEXT = 1088;
/** Domain label of X-Wing's hash: the draft's picture of an X-wing. */
const LABEL = /* @__PURE__ */ Uint8Array.of(0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c);

/**
 * X-Wing, id 0x647a: X25519 and ML-KEM-768 combined; an attacker must break both. Private keys are
 * 32-byte seeds; public keys and encapsulated keys are the ML-KEM part followed by the X25519 one.
 * An X25519 part of small order, which would contribute nothing, is refused.
 *
 * @see draft-connolly-cfrg-xwing-kem §5; draft-ietf-hpke-pq, MLKEM768-X25519
 */
export const xWing: Kem = /* @__PURE__ */ createXWing();

interface Expanded {
  readonly mlKemSecret: Uint8Array;
  readonly mlKemPublic: Uint8Array;
  readonly xSecret: Uint8Array;
  readonly xPublic: Uint8Array;
}

function createXWing(): Kem {
  return {
    id: 0x647a,
    encLength: ML_KEM_CIPHERTEXT + 32,
    publicKeyLength: ML_KEM_KEY + 32,
    secretLength: 32,
    ephemeralLength: 64,
    isSecret: () => true,
    isEphemeral: () => true,
    publicKey(secret) {
      const expanded = expand(secret);
      wipe(expanded);
      return concatBytes(expanded.mlKemPublic, expanded.xPublic);
    },
    encapsulate(publicKey, ephemeral) {
      assertBytes(ephemeral, "ephemeral", 64);
      if (publicKey.length !== ML_KEM_KEY + 32) return undefined;
      const xPublic = publicKey.slice(ML_KEM_KEY);
      const xSecret = ephemeral.slice(32);
      const xShared = exchange(xSecret, xPublic);
      const mlKem = encapsulateMlKem(publicKey.subarray(0, ML_KEM_KEY), ephemeral.subarray(0, 32));
      if (xShared === undefined || mlKem === undefined) return undefined;
      const xCiphertext = x25519PublicKey(xSecret);
      const shared = combine(mlKem.sharedSecret, xShared, xCiphertext, xPublic);
      xSecret.fill(0);
      return { enc: concatBytes(mlKem.cipherText, xCiphertext), shared };
    },
    decapsulate(enc, secret) {
      if (enc.length !== ML_KEM_CIPHERTEXT + 32) return undefined;
      const expanded = expand(secret);
      const xCiphertext = enc.slice(ML_KEM_CIPHERTEXT);
      // ML-KEM answers an altered ciphertext with a secret that no other party has.
      const mlKemShared = ml_kem768.decapsulate(
        enc.subarray(0, ML_KEM_CIPHERTEXT),
        expanded.mlKemSecret,
      );
      const xShared = exchange(expanded.xSecret, xCiphertext);
      wipe(expanded);
      if (xShared === undefined) return undefined;
      return combine(mlKemShared, xShared, xCiphertext, expanded.xPublic);
    },
    isEncapsulated(enc) {
      if (enc.length !== ML_KEM_CIPHERTEXT + 32) return false;
      return exchange(new Uint8Array(32).fill(1), enc.slice(ML_KEM_CIPHERTEXT)) !== undefined;
    },
  };
}

function expand(seed: Uint8Array): Expanded {
  const bytes = shake256(seed, { dkLen: 96 });
  const { secretKey, publicKey } = ml_kem768.keygen(bytes.subarray(0, 64));
  const xSecret = bytes.slice(64);
  bytes.fill(0);
  return {
    mlKemSecret: secretKey,
    mlKemPublic: publicKey,
    xSecret,
    xPublic: x25519PublicKey(xSecret),
  };
}

function wipe({ mlKemSecret, xSecret }: Expanded): void {
  mlKemSecret.fill(0);
  xSecret.fill(0);
}

function exchange(secret: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
  try {
    return x25519(secret, publicKey);
  } catch (error) {
    if (error instanceof SignatureError) return undefined;
    throw error;
  }
}

// FIPS 203 §7.2 requires the key check: coefficients below q, in the one encoding.
function encapsulateMlKem(
  publicKey: Uint8Array,
  message: Uint8Array,
): { readonly cipherText: Uint8Array; readonly sharedSecret: Uint8Array } | undefined {
  try {
    return ml_kem768.encapsulate(publicKey, message);
  } catch {
    return undefined;
  }
}

// Wipes the two secrets.
function combine(
  mlKemShared: Uint8Array,
  xShared: Uint8Array,
  xCiphertext: Uint8Array,
  xPublic: Uint8Array,
): Uint8Array {
  const input = concatBytes(mlKemShared, xShared, xCiphertext, xPublic, LABEL);
  const shared = sha3_256(input);
  for (const bytes of [input, mlKemShared, xShared]) bytes.fill(0);
  return shared;
}
