import { utf8ToBytes } from "../bytes/utf8.ts";

/** Algorithm of signatures on the ledger: Ed25519 (RFC 8032), or ECDSA on P-256 with SHA-256. */
export type SignatureAlg = "Ed25519" | "ES256";

/** Both algorithms, the default first. */
export const SIGNATURE_ALGS: readonly SignatureAlg[] = ["Ed25519", "ES256"];

/**
 * Domain of a signature. Each kind of signed structure has its own, so that no signature is valid
 * for two kinds.
 */
export type SigningDomain =
  | "transaction"
  | "header"
  | "envelope"
  | "grant"
  | "membership"
  | "directive"
  | "witnessed-directive"
  | "request"
  | "answer"
  | "message"
  | "possession"
  | "description"
  | "approval"
  | "attestation"
  | "declaration"
  | "receipt"
  | "statement"
  | "anchor"
  | "vault"
  | "session";

const prefixes = /* @__PURE__ */ new Map<SigningDomain, Uint8Array>();

/**
 * Builds the bytes to sign: `"healthledger/" ‖ what ‖ "/1" ‖ 00 ‖ bytes`.
 *
 * @param bytes - the signed structure in its canonical encoding; copied
 */
export function signingInput(what: SigningDomain, bytes: Uint8Array): Uint8Array {
  let prefix = prefixes.get(what);
  if (prefix === undefined) {
    if (!/^(?=.{1,32}$)[a-z]+(?:-[a-z]+)*$/.test(what))
      throw new TypeError("unknown signing domain");
    prefix = utf8ToBytes(`healthledger/${what}/1\0`);
    prefixes.set(what, prefix);
  }
  const input = new Uint8Array(prefix.length + bytes.length);
  input.set(prefix);
  input.set(bytes, prefix.length);
  return input;
}

/** Checks signatures of one algorithm, so that a bundle contains only the algorithms it names. */
export interface SignatureVerifier {
  readonly alg: SignatureAlg;
  /** False for anything that is not a valid signature, including malformed keys. */
  verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean;
}
