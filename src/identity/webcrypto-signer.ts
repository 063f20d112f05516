import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { compressP256 } from "../crypto/p256-point.ts";
import type { SignatureAlg } from "../crypto/signing-input.ts";
import { webcryptoAlgorithm } from "../crypto/webcrypto.ts";
import { SignatureError } from "../errors.ts";
import { actorFromKey, keyId } from "./actor.ts";
import type { Signer } from "./signer.ts";

/**
 * A `CryptoKey` of WebCrypto, as both the DOM's and Node.js's types define it; neither need be
 * installed.
 */
export interface WebCryptoKey {
  readonly algorithm: { readonly name: string };
  readonly extractable: boolean;
  readonly type: string;
  readonly usages: readonly string[];
}

/** A `CryptoKeyPair` of WebCrypto. */
export interface WebCryptoKeyPair {
  readonly privateKey: WebCryptoKey;
  readonly publicKey: WebCryptoKey;
}

/** Options of {@link webcryptoSigner}. */
export interface WebcryptoSignerOptions {
  /** A pair for Ed25519, or for ECDSA on P-256. The private key may be non-extractable. */
  readonly keyPair: WebCryptoKeyPair;
  /** The actor's did:key, if it does not encode this key. */
  readonly actor?: string;
}

const WEBCRYPTO_SIGNER_OPTIONS: OptionsOf<WebcryptoSignerOptions> = { keyPair: true, actor: true };

/**
 * Makes a signer from a WebCrypto key, which may be non-extractable and kept in IndexedDB.
 *
 * @throws {SignatureError} `ERR_SIGNATURE_ALGORITHM` when the keys are of another algorithm
 * @example
 * const keyPair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
 *   "sign",
 *   "verify",
 * ]);
 * const signer = await webcryptoSigner({ keyPair });
 */
export async function webcryptoSigner(options: WebcryptoSignerOptions): Promise<Signer> {
  assertOptions(options, WEBCRYPTO_SIGNER_OPTIONS, "webcryptoSigner");
  const { privateKey, publicKey: publicCryptoKey } = options.keyPair as CryptoKeyPair;
  const alg = algorithmOf(publicCryptoKey);
  if (alg === undefined || algorithmOf(privateKey) !== alg) {
    throw new SignatureError(
      "ERR_SIGNATURE_ALGORITHM",
      "the keys are neither Ed25519 nor ECDSA P-256 keys",
    );
  }
  const raw = new Uint8Array(await globalThis.crypto.subtle.exportKey("raw", publicCryptoKey));
  const publicKey = alg === "ES256" ? compressP256(raw) : raw;
  return {
    actor: options.actor ?? actorFromKey(alg, publicKey),
    key: keyId(alg, publicKey),
    alg,
    publicKey,
    async sign(bytes) {
      const message = new Uint8Array(bytes);
      const algorithm = webcryptoAlgorithm(alg);
      return new Uint8Array(await globalThis.crypto.subtle.sign(algorithm, privateKey, message));
    },
  };
}

function algorithmOf(key: CryptoKey): SignatureAlg | undefined {
  const { name } = key.algorithm;
  if (name === "Ed25519") return "Ed25519";
  const { namedCurve } = key.algorithm as EcKeyAlgorithm;
  return name === "ECDSA" && namedCurve === "P-256" ? "ES256" : undefined;
}
