import { equalBytes } from "../bytes/compare.ts";
import type { CID } from "../codec/cid.ts";
import { DAG_CBOR } from "../codec/cid.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectVersion,
} from "../codec/shape.ts";
import type { SignatureAlg } from "../crypto/sign.ts";
import { verifySignature } from "../crypto/sign.ts";
import { LedgerError } from "../errors.ts";
import { keyId } from "../identity/actor.ts";
import type { Signer } from "../identity/signer.ts";
import { signWith } from "../identity/signer.ts";
import type { SigningKey } from "./header.ts";
import { orInvalid } from "./header.ts";

/** Longest grant accepted, in bytes. */
export const MAX_GRANT_BYTES: number = 64 * 1024;

/** One recipient's wrapped key, decoded but neither verified nor opened. */
export interface Grant {
  readonly envelope: CID;
  /** Id of the entry that justifies the grant. */
  readonly basis: Uint8Array;
  /** did:key of the actor that gives the key. */
  readonly grantor: string;
  /** Id of the grantor's signing key. */
  readonly key: Uint8Array;
  /** `COSE_Encrypt0` that holds the key; it does not name the recipient. */
  readonly message: Uint8Array;
  readonly alg: SignatureAlg;
  readonly signature: Uint8Array;
}

/** Why a grant was refused. */
export type GrantRefusal =
  "malformed" | "envelope" | "basis" | "grantor" | "signing-key" | "signature";

/** The values that a grant must have to be accepted. */
export interface ExpectedGrant {
  readonly envelope: CID;
  /** 32 bytes. */
  readonly basis: Uint8Array;
  /** The actor that must have given it, with one of the actor's keys in force. */
  readonly grantor: SigningKey & { readonly actor: string };
}

/** Signs a grant; the signature covers everything except itself. */
export async function signGrant(
  content: Pick<Grant, "envelope" | "basis" | "message">,
  signer: Signer,
): Promise<Uint8Array> {
  const { envelope, basis, message } = content;
  const { actor: grantor, key, alg } = signer;
  const unsigned = { v: 1, envelope, basis, grantor, key, message, alg };
  const sig = await signWith(signer, "grant", encode(unsigned));
  return encode({ ...unsigned, sig });
}

/**
 * Decodes a grant without verifying it.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the bytes are not a grant
 * @example
 * const { envelope, grantor } = decodeGrant(grant); // as claimed: nothing is verified yet
 */
export function decodeGrant(bytes: Uint8Array): Grant {
  return orInvalid("grant", () => {
    const value = decode(bytes, { maxBytes: MAX_GRANT_BYTES, maxDepth: 1, maxItems: 32 });
    const names = ["v", "envelope", "basis", "grantor", "key", "message", "alg", "sig"];
    const fields = expectMap(value, "grant", names);
    expectVersion(fields["v"], "grant");
    return {
      envelope: expectCid(fields["envelope"], "grant.envelope", DAG_CBOR),
      basis: expectBytes(fields["basis"], "grant.basis", 32),
      grantor: expectString(fields["grantor"], "grant.grantor", 256),
      key: expectBytes(fields["key"], "grant.key", 32),
      message: expectBytes(fields["message"], "grant.message"),
      alg: expectOneOf(fields["alg"], "grant.alg", ["Ed25519", "ES256"]),
      signature: expectBytes(fields["sig"], "grant.sig", 64),
    };
  });
}

/**
 * Verifies a grant against what its recipient expects.
 *
 * @example
 * const result = verifyGrant(grant, { envelope, basis, grantor });
 * if (!result.ok) console.warn(`refused: ${result.reason}`);
 */
export function verifyGrant(
  bytes: Uint8Array,
  expected: ExpectedGrant,
):
  | { readonly ok: true; readonly grant: Grant }
  | { readonly ok: false; readonly reason: GrantRefusal } {
  let grant: Grant;
  try {
    grant = decodeGrant(bytes);
  } catch (error) {
    if (error instanceof LedgerError) return { ok: false, reason: "malformed" };
    throw error;
  }
  const { envelope, basis, grantor, key, message, alg, signature } = grant;
  if (!envelope.equals(expected.envelope)) return { ok: false, reason: "envelope" };
  if (!equalBytes(basis, expected.basis)) return { ok: false, reason: "basis" };
  if (grantor !== expected.grantor.actor) return { ok: false, reason: "grantor" };
  const { publicKey } = expected.grantor;
  if (alg !== expected.grantor.alg || !equalBytes(key, keyId(alg, publicKey))) {
    return { ok: false, reason: "signing-key" };
  }
  const signed = encode({ v: 1, envelope, basis, grantor, key, message, alg });
  if (!verifySignature({ alg, publicKey, signature, what: "grant", bytes: signed })) {
    return { ok: false, reason: "signature" };
  }
  return { ok: true, grant };
}
