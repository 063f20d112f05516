import { ed25519VerifyAside, p256VerifyAside } from "#crypto";
import { beside } from "./beside.ts";
import { ed25519Verifier } from "./ed25519-verifier.ts";
import { es256Verifier } from "./es256-verifier.ts";
import {
  signingInput,
  type SignatureAlg,
  type SignatureVerifier,
  type SigningDomain,
} from "./signing-input.ts";

export { ed25519Verifier, es256Verifier, signingInput };
export { SIGNATURE_ALGS } from "./signing-input.ts";
export type { SignatureAlg, SignatureVerifier, SigningDomain };

/** A signature together with everything that its verification depends on. */
export interface SignatureClaim {
  readonly alg: SignatureAlg;
  /** 32 bytes for Ed25519, 33 (a compressed point) for ES256. */
  readonly publicKey: Uint8Array;
  readonly signature: Uint8Array;
  readonly what: SigningDomain;
  /** The structure that was signed, without its domain. */
  readonly bytes: Uint8Array;
}

/**
 * Tells whether a signature over a structure is valid, by the same rule on every backend.
 *
 * @returns false for anything malformed, including unknown algorithms
 */
export function verifySignature(claim: SignatureClaim): boolean {
  const verifier = verifierOf(claim.alg);
  if (verifier === undefined) return false;
  return verifier.verify(claim.signature, signingInput(claim.what, claim.bytes), claim.publicKey);
}

/**
 * {@link verifySignature} beside the main thread, where the platform can: in Node.js in the thread
 * pool. Worth its overhead only where the main thread has other work meanwhile.
 *
 * @param claim - borrowed until the promise settles
 */
export async function verifySignatureAside(claim: SignatureClaim): Promise<boolean> {
  const { alg, signature, publicKey } = claim;
  const input = signingInput(claim.what, claim.bytes);
  if (alg === "Ed25519") return beside(ed25519VerifyAside(signature, input, publicKey));
  if (alg === "ES256") return beside(p256VerifyAside(signature, input, publicKey));
  return false;
}

function verifierOf(alg: SignatureAlg): SignatureVerifier | undefined {
  if (alg === "Ed25519") return ed25519Verifier;
  if (alg === "ES256") return es256Verifier;
  return undefined;
}
