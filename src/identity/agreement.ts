import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { assertBytes } from "../bytes/guards.ts";
import { coseAlgorithm, openCoseShared, readCose, type AgreementAlg } from "../crypto/cose-hpke.ts";
import { decryptFailed } from "../crypto/decrypt-failed.ts";
import { EnvelopeError, SignatureError } from "../errors.ts";
import { keyId } from "./actor.ts";

export type { AgreementAlg };

/**
 * Opens messages sealed to its key without exposing the private key, which may be in memory, in a
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
   * @param externalAad - data that the message is bound to; borrowed
   * @throws {EnvelopeError} `ERR_ENVELOPE_DECRYPT` on any mismatch, `ERR_ENVELOPE_UNSUPPORTED` when
   *   the message names an algorithm that is not this key's; errors of a device pass through
   *   unchanged
   */
  unwrap(message: Uint8Array, externalAad: Uint8Array): Promise<Uint8Array>;
}

/** Options of {@link memoryAgreement}. */
export interface MemoryAgreementOptions {
  readonly alg: AgreementAlg;
  /** The private key, 32 bytes: of X25519, a P-256 scalar, or the seed of X-Wing; copied. */
  readonly secret: Uint8Array;
}

const MEMORY_AGREEMENT_OPTIONS: OptionsOf<MemoryAgreementOptions> = { alg: true, secret: true };

/**
 * Makes a key agreement from a private key held in memory.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the secret is not a private key
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED`
 * @example
 * const secret = crypto.getRandomValues(new Uint8Array(32));
 * const agreement = memoryAgreement({ alg: "X25519", secret });
 */
export function memoryAgreement(options: MemoryAgreementOptions): KeyAgreement {
  assertOptions(options, MEMORY_AGREEMENT_OPTIONS, "memoryAgreement");
  const { kem } = coseAlgorithm(options.alg).suite;
  assertBytes(options.secret, "secret", kem.secretLength);
  return borrowingAgreement(options.alg, options.secret.slice());
}

/** Makes a key agreement that borrows its secret: for stores, which wipe their keys on close. */
export function borrowingAgreement(alg: AgreementAlg, secret: Uint8Array): KeyAgreement {
  const { kem } = coseAlgorithm(alg).suite;
  if (!kem.isSecret(secret)) {
    throw new SignatureError("ERR_SIGNATURE_KEY", `the secret is not a ${alg} private key`);
  }
  return createAgreement(alg, kem.publicKey(secret), async (ek) => kem.decapsulate(ek, secret));
}

/** Options of {@link agreementFromEcdh}. */
export interface EcdhAgreementOptions {
  readonly alg: AgreementAlg;
  /** The form that ledgers carry: for P-256 the compressed point. */
  readonly publicKey: Uint8Array;
  /**
   * The Diffie-Hellman value of the private key and this public key, as PKCS #11 `C_DeriveKey`, a
   * KMS or WebCrypto `deriveBits` returns it: 32 bytes, for P-256 the x coordinate. It is wiped
   * after use.
   *
   * @param publicKey - the sender's ephemeral key, for P-256 the full point 04 ‖ x ‖ y; a copy
   */
  ecdh(publicKey: Uint8Array): Promise<Uint8Array>;
}

const AGREEMENT_FROM_ECDH_OPTIONS: OptionsOf<EcdhAgreementOptions> = {
  alg: true,
  publicKey: true,
  ecdh: true,
};

/**
 * Makes a key agreement from a device that only computes Diffie-Hellman values.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED` for algorithms that need more than that
 * @example
 * const agreement = agreementFromEcdh({
 *   alg: "P-256",
 *   publicKey: device.publicKey,
 *   ecdh: (publicKey) => device.ecdh(publicKey), // computed where the private key is
 * });
 */
export function agreementFromEcdh(options: EcdhAgreementOptions): KeyAgreement {
  assertOptions(options, AGREEMENT_FROM_ECDH_OPTIONS, "agreementFromEcdh");
  const { alg, ecdh } = options;
  const { kem } = coseAlgorithm(alg).suite;
  if (kem.fromDh === undefined) {
    throw new EnvelopeError(
      "ERR_ENVELOPE_UNSUPPORTED",
      `${alg} is more than a Diffie-Hellman exchange; use agreementFromKem`,
    );
  }
  const { fromDh } = kem;
  const publicKey = ownPublicKey(alg, options.publicKey);
  return createAgreement(alg, publicKey, async (ek) => {
    const dh = await ecdh(ek.slice());
    const shared = fromDh(dh, ek, publicKey);
    dh.fill(0);
    return shared;
  });
}

/** Options of {@link agreementFromKem}. */
export interface KemAgreementOptions {
  readonly alg: AgreementAlg;
  /** The form that ledgers carry. */
  readonly publicKey: Uint8Array;
  /**
   * The KEM's shared secret for this encapsulated key: 32 bytes. It is wiped after use.
   *
   * @param ek - a copy
   */
  decapsulate(ek: Uint8Array): Promise<Uint8Array>;
}

const AGREEMENT_FROM_KEM_OPTIONS: OptionsOf<KemAgreementOptions> = {
  alg: true,
  publicKey: true,
  decapsulate: true,
};

/**
 * Makes a key agreement from a device that decapsulates by itself, as devices that hold X-Wing keys
 * do.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_UNSUPPORTED`
 * @example
 * const agreement = agreementFromKem({
 *   alg: "X-Wing",
 *   publicKey: device.publicKey,
 *   decapsulate: (ek) => device.decapsulate(ek), // computed where the private key is
 * });
 */
export function agreementFromKem(options: KemAgreementOptions): KeyAgreement {
  assertOptions(options, AGREEMENT_FROM_KEM_OPTIONS, "agreementFromKem");
  const { alg, decapsulate } = options;
  const publicKey = ownPublicKey(alg, options.publicKey);
  return createAgreement(alg, publicKey, async (ek) => {
    const shared = await decapsulate(ek.slice());
    return shared.length === 32 ? shared : undefined;
  });
}

function ownPublicKey(alg: AgreementAlg, publicKey: Uint8Array): Uint8Array {
  assertBytes(publicKey, "publicKey", coseAlgorithm(alg).suite.kem.publicKeyLength);
  return publicKey.slice();
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
      } catch (error) {
        // A device that refuses a malformed key yields the same error as every other failure to
        // decrypt; the error of an unreachable device passes through.
        throw suite.kem.isEncapsulated(cose.ek) ? error : decryptFailed();
      }
      if (shared === undefined) throw decryptFailed();
      const plaintext = openCoseShared(alg, shared, cose, externalAad);
      shared.fill(0);
      if (plaintext === undefined) throw decryptFailed();
      return plaintext;
    },
  };
}
