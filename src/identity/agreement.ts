import { coseAlgorithm, openCoseShared, readCose, type AgreementAlg } from "../crypto/cose-hpke.ts";
import { assertBytes } from "../bytes/guards.ts";
import { EnvelopeError } from "../errors.ts";
import { keyId } from "./actor.ts";

export type { AgreementAlg };

/**
 * Something that opens what was sealed to its key and never shows the private key: in memory, in a
 * file, in an HSM, a KMS or WebCrypto.
 */
export interface KeyAgreement {
  /** `keyId` of the public key. */
  readonly key: Uint8Array;
  readonly alg: AgreementAlg;
  readonly publicKey: Uint8Array;
  /**
   * Opens a COSE_Encrypt0 message sealed to this key.
   *
   * @param message - the bytes of the message; borrowed
   * @param externalAad - what the message is bound to; borrowed
   * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` whatever does not fit, `ERR_ENVELOPE_UNSUPPORTED`
   *   when the message names an algorithm that is not this key's
   */
  unwrap(message: Uint8Array, externalAad: Uint8Array): Promise<Uint8Array>;
}

/** What {@link memoryAgreement} takes. */
export interface MemoryAgreementOptions {
  readonly alg: AgreementAlg;
  /** The private key, 32 bytes for X25519; copied. */
  readonly secret: Uint8Array;
}

/**
 * Agrees on keys with a private key held in memory.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED`
 */
export function memoryAgreement(options: MemoryAgreementOptions): KeyAgreement {
  const { kem } = coseAlgorithm(options.alg).suite;
  assertBytes(options.secret, "secret", kem.secretLength);
  return borrowingAgreement(options.alg, options.secret.slice());
}

/** Agrees with a secret that stays its caller's: for stores, which wipe their keys on close. */
export function borrowingAgreement(alg: AgreementAlg, secret: Uint8Array): KeyAgreement {
  const { kem } = coseAlgorithm(alg).suite;
  return createAgreement(alg, kem.publicKey(secret), async (ek) => kem.decapsulate(ek, secret));
}

/** What {@link agreementFromEcdh} takes. */
export interface EcdhAgreementOptions {
  readonly alg: AgreementAlg;
  readonly publicKey: Uint8Array;
  /**
   * The Diffie-Hellman value of the private key and this public key, as PKCS #11 `C_DeriveKey`,
   * a KMS or WebCrypto `deriveBits` give it.
   *
   * @param publicKey - the sender's ephemeral key; borrowed
   */
  ecdh(publicKey: Uint8Array): Promise<Uint8Array>;
}

/**
 * Agrees on keys with a device that only computes Diffie-Hellman values.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` for algorithms that are more than that
 */
export function agreementFromEcdh(options: EcdhAgreementOptions): KeyAgreement {
  const { alg, ecdh } = options;
  const { kem } = coseAlgorithm(alg).suite;
  assertBytes(options.publicKey, "publicKey", kem.publicKeyLength);
  if (kem.fromDh === undefined) {
    throw new EnvelopeError("ERR_ENVELOPE_UNSUPPORTED", `${alg} is not a Diffie-Hellman exchange`);
  }
  const { fromDh } = kem;
  const publicKey = options.publicKey.slice();
  return createAgreement(alg, publicKey, async (ek) =>
    fromDh(await ecdh(ek.slice()), ek, publicKey),
  );
}

function createAgreement(
  alg: AgreementAlg,
  publicKey: Uint8Array,
  decapsulate: (ek: Uint8Array) => Promise<Uint8Array | undefined>,
): KeyAgreement {
  const { id, suite } = coseAlgorithm(alg);
  return {
    key: keyId(alg, publicKey),
    alg,
    publicKey,
    async unwrap(message, externalAad) {
      const cose = readCose(message);
      if (cose === undefined) throw decryptFailed();
      if (cose.id !== id) {
        throw new EnvelopeError(
          "ERR_ENVELOPE_UNSUPPORTED",
          `the message is for COSE algorithm ${cose.id}, the key for ${id}`,
        );
      }
      if (cose.ek.length !== suite.kem.encLength) throw decryptFailed();
      let shared: Uint8Array | undefined;
      try {
        shared = await decapsulate(cose.ek);
      } catch (cause) {
        throw decryptFailed(cause);
      }
      const plaintext =
        shared === undefined ? undefined : openCoseShared(alg, shared, cose, externalAad);
      if (plaintext === undefined) throw decryptFailed();
      return plaintext;
    },
  };
}

const decryptFailed = (cause?: unknown) =>
  new EnvelopeError(
    "ERR_ENVELOPE_DECRYPT",
    "the message cannot be opened",
    cause === undefined ? undefined : { cause },
  );
