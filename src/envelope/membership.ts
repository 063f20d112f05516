import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { equalBytes } from "../bytes/compare.ts";
import { assertBytes } from "../bytes/guards.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectBytes,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../codec/shape.ts";
import type { CoseRecipient } from "../crypto/cose-hpke.ts";
import { sealCoseFresh } from "../crypto/cose-hpke.ts";
import type { SignatureAlg } from "../crypto/sign.ts";
import { verifySignature } from "../crypto/sign.ts";
import { EncodingError, EnvelopeError, LedgerError } from "../errors.ts";
import { keyId } from "../identity/actor.ts";
import type { KeyAgreement } from "../identity/agreement.ts";
import { signWith } from "../identity/signer.ts";
import { type BulkOptions, serveEach } from "./bulk.ts";
import type { CollectionKey } from "./collection.ts";
import type { GrantTerms } from "./grant.ts";
import { type ExpectedGrant, type GrantRefusal, MAX_GRANT_BYTES } from "./grant-record.ts";
import { orInvalid } from "./header.ts";
import { decryptFailed, KEY_BYTES } from "./keys.ts";

/** A decoded membership: a collection key sealed to one member, neither verified nor opened. */
export interface Membership {
  readonly collection: Uint8Array;
  readonly epoch: number;
  /** Id of the entry that justifies it. */
  readonly basis: Uint8Array;
  /** did:key of the actor that gives the key. */
  readonly grantor: string;
  /** Id of the grantor's signing key. */
  readonly key: Uint8Array;
  /** `COSE_Encrypt0` that holds the collection key; it does not name the member. */
  readonly message: Uint8Array;
  readonly alg: SignatureAlg;
  readonly signature: Uint8Array;
}

/** Options of {@link sealMembership}. */
export interface SealMembershipOptions extends GrantTerms {
  /** Borrowed. */
  readonly key: CollectionKey;
}

/** Options of {@link sealMemberships}. */
export interface SealMembershipsOptions<Recipient extends CoseRecipient = CoseRecipient>
  extends Omit<SealMembershipOptions, "recipient">, BulkOptions<Recipient> {}

/** The values that a membership must have to be accepted. */
export interface ExpectedMembership extends Omit<ExpectedGrant, "envelope"> {
  /** The collection's name: 32 bytes. */
  readonly collection: Uint8Array;
  /** Default: any. */
  readonly epoch?: number;
}

/** Options of {@link openMembership}, including the expected values. */
export interface OpenMembershipOptions extends ExpectedMembership {
  readonly membership: Uint8Array;
  /** The member's private key, wherever it lives. */
  readonly agreement: KeyAgreement;
}

/** Why a membership was refused. */
export type MembershipRefusal = Exclude<GrantRefusal, "envelope"> | "collection" | "epoch";

/**
 * Seals a collection key to one member, and signs the result.
 *
 * @returns the membership's bytes, to hand to the member
 * @throws {SignatureError} `ERR_SIGNATURE_KEY` when the member's key is not usable
 * @example
 * const membership = await sealMembership({ key: collection, recipient, basis, signer, random });
 */
export async function sealMembership(options: SealMembershipOptions): Promise<Uint8Array> {
  const { key, basis, recipient, signer, random } = options;
  assertBytes(key.collection, "collection", 32);
  assertBytes(key.key, "key", KEY_BYTES);
  assertBytes(basis, "basis", 32);
  const { collection, epoch } = key;
  const aad = membershipAad(collection, epoch, basis);
  const plaintext = encode({ collection: key.key });
  let message: Uint8Array;
  try {
    message = sealCoseFresh(recipient, plaintext, aad, random);
  } finally {
    plaintext.fill(0);
  }
  const { actor: grantor, key: signingKey, alg } = signer;
  const unsigned = { v: 1, collection, epoch, basis, grantor, key: signingKey, message, alg };
  const sig = await signWith(signer, "membership", encode(unsigned));
  return encode({ ...unsigned, sig });
}

const SEAL_MEMBERSHIPS_OPTIONS: OptionsOf<SealMembershipsOptions> = {
  ...{ key: true, basis: true, signer: true, random: true },
  ...{ recipients: true, onProgress: true, signal: true },
};

/**
 * Seals a collection key to any number of members, one at a time.
 *
 * @param options.key - borrowed until the iteration ends
 * @returns each recipient with its membership, in the recipients' order
 * @example
 * const options = { key: collection, recipients, basis, signer, random };
 * for await (const { recipient, membership } of sealMemberships(options)) {
 *   await send(recipient, membership);
 * }
 */
export async function* sealMemberships<Recipient extends CoseRecipient>(
  options: SealMembershipsOptions<Recipient>,
): AsyncGenerator<
  { readonly recipient: Recipient; readonly membership: Uint8Array },
  void,
  undefined
> {
  assertOptions(options, SEAL_MEMBERSHIPS_OPTIONS, "sealMemberships");
  const seal = (recipient: Recipient): Promise<Uint8Array> =>
    sealMembership({ ...options, recipient });
  for await (const { recipient, bytes } of serveEach(options, seal)) {
    yield { recipient, membership: bytes };
  }
}

const OPEN_MEMBERSHIP_OPTIONS: OptionsOf<OpenMembershipOptions> = {
  ...{ collection: true, epoch: true, basis: true, grantor: true },
  ...{ membership: true, agreement: true },
};

/**
 * Verifies a membership and opens its collection key.
 *
 * @returns the key, which the caller must wipe
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the membership is not the grantor's for this
 *   collection and basis, `ERR_ENVELOPE_DECRYPT` when it does not open
 * @example
 * const { collection: id } = collection;
 * const key = await openMembership({ membership, collection: id, basis, grantor, agreement });
 */
export async function openMembership(options: OpenMembershipOptions): Promise<CollectionKey> {
  assertOptions(options, OPEN_MEMBERSHIP_OPTIONS, "openMembership");
  const verified = verifyMembership(options.membership, options);
  if (!verified.ok) {
    throw new EnvelopeError(
      "ERR_ENVELOPE_INVALID",
      `the membership was refused: ${verified.reason}`,
    );
  }
  const { collection, epoch, basis, message } = verified.membership;
  const aad = membershipAad(collection, epoch, basis);
  const plaintext = await options.agreement.unwrap(message, aad);
  try {
    const fields = expectMap(decode(plaintext), "key", ["collection"]);
    return { collection, epoch, key: expectBytes(fields["collection"], "collection", KEY_BYTES) };
  } catch (error) {
    if (error instanceof EncodingError || error instanceof TypeError) throw decryptFailed();
    throw error;
  } finally {
    plaintext.fill(0);
  }
}

/**
 * Decodes a membership without verifying it.
 *
 * @throws {EnvelopeError} `ERR_ENVELOPE_INVALID` when the bytes are not a membership
 * @example
 * // as claimed: nothing is verified yet
 * const { collection, epoch } = decodeMembership(membership);
 */
export function decodeMembership(bytes: Uint8Array): Membership {
  return orInvalid("membership", () => {
    const value = decode(bytes, { maxBytes: MAX_GRANT_BYTES, maxDepth: 1, maxItems: 32 });
    const names = ["v", "collection", "epoch", "basis", "grantor", "key", "message", "alg", "sig"];
    const fields = expectMap(value, "membership", names);
    expectVersion(fields["v"], "membership");
    return {
      collection: expectBytes(fields["collection"], "membership.collection", 32),
      epoch: expectUint(fields["epoch"], "membership.epoch"),
      basis: expectBytes(fields["basis"], "membership.basis", 32),
      grantor: expectString(fields["grantor"], "membership.grantor", 256),
      key: expectBytes(fields["key"], "membership.key", 32),
      message: expectBytes(fields["message"], "membership.message"),
      alg: expectOneOf(fields["alg"], "membership.alg", ["Ed25519", "ES256"]),
      signature: expectBytes(fields["sig"], "membership.sig", 64),
    };
  });
}

/**
 * Verifies a membership against what its member expects.
 *
 * @example
 * const { collection: id, epoch } = collection;
 * const result = verifyMembership(membership, { collection: id, epoch, basis, grantor });
 * if (!result.ok) console.warn(`refused: ${result.reason}`);
 */
export function verifyMembership(
  bytes: Uint8Array,
  expected: ExpectedMembership,
):
  | { readonly ok: true; readonly membership: Membership }
  | { readonly ok: false; readonly reason: MembershipRefusal } {
  let membership: Membership;
  try {
    membership = decodeMembership(bytes);
  } catch (error) {
    if (error instanceof LedgerError) return { ok: false, reason: "malformed" };
    throw error;
  }
  const { collection, epoch, basis, grantor, key, message, alg, signature } = membership;
  if (!equalBytes(collection, expected.collection)) return { ok: false, reason: "collection" };
  if (epoch !== (expected.epoch ?? epoch)) return { ok: false, reason: "epoch" };
  if (!equalBytes(basis, expected.basis)) return { ok: false, reason: "basis" };
  if (grantor !== expected.grantor.actor) return { ok: false, reason: "grantor" };
  const { publicKey } = expected.grantor;
  if (alg !== expected.grantor.alg || !equalBytes(key, keyId(alg, publicKey))) {
    return { ok: false, reason: "signing-key" };
  }
  const signed = encode({ v: 1, collection, epoch, basis, grantor, key, message, alg });
  if (!verifySignature({ alg, publicKey, signature, what: "membership", bytes: signed })) {
    return { ok: false, reason: "signature" };
  }
  return { ok: true, membership };
}

/**
 * The `external_aad` of a membership's message: binds the key to its collection, epoch and basis.
 */
function membershipAad(collection: Uint8Array, epoch: number, basis: Uint8Array): Uint8Array {
  return encode(["healthledger/membership/1", collection, epoch, basis]);
}
