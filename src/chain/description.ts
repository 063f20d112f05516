import type { CID } from "multiformats/cid";
import { namesItsKey } from "../block/genesis.ts";
import { expectMember, memberFields, type MemberDescription, type Role } from "../block/member.ts";
import { equalBytes } from "../bytes/compare.ts";
import { assertBytes } from "../bytes/guards.ts";
import { toHex } from "../bytes/hex.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectVersion,
} from "../codec/shape.ts";
import { verifySignature } from "../crypto/sign.ts";
import { SIGNATURE_ALGS } from "../crypto/signing-input.ts";
import { ChainError, EncodingError } from "../errors.ts";
import { keyId } from "../identity/actor.ts";
import type { KeyStore } from "../identity/key-store.ts";
import { signWith } from "../identity/signer.ts";
import { describeMember, type MemberKeys, signersOf } from "./founding.ts";
import { provesPossession } from "./member-keys.ts";

/** Options of {@link signDescription}. */
export interface DescriptionOptions {
  /** What people call the organisation; 1 to 200 characters. It does not go onto the ledger. */
  readonly name: string;
  readonly roles: Iterable<Role>;
  /**
   * Whom the description is for: the 32-byte nonce of the party that founds a ledger, or the id of the
   * ledger to join. It counts nowhere else.
   */
  readonly for: CID | Uint8Array;
}

/** An organisation as it described itself. */
export interface OrganisationDescription {
  readonly name: string;
  readonly member: MemberDescription;
}

/** Why a description is not believed. */
export type DescriptionReason =
  | "malformed"
  | "other-nonce"
  | "other-ledger"
  | "other-actor"
  | "key-twice"
  | "no-signing-key"
  | "no-proof-of-possession"
  | "bad-signature";

/** Thrown for a description of an organisation that must not be believed. */
export class DescriptionRefused extends ChainError {
  override readonly name: string = "DescriptionRefused";
  readonly reason: DescriptionReason;

  constructor(reason: DescriptionReason, options?: ErrorOptions) {
    super("ERR_CHAIN_DESCRIPTION", `the description is not believed: ${reason}`, options);
    this.reason = reason;
  }
}

const DESCRIPTION_OPTIONS: OptionsOf<DescriptionOptions> = { name: true, roles: true, for: true };
const MAX_BYTES = 65_536;

/**
 * Describes an organisation to those who found a ledger with it or let it join: its name for people, its
 * roles and all its keys. Each key that can sign proves that the organisation holds it, and the first
 * signing key signs the whole, with the agreement keys, which prove nothing by themselves.
 *
 * @param own - a key store, of which all keys in use are described; or signers and public keys
 * @returns bytes to send, for {@link verifyDescription}
 * @throws {RangeError} without a signing key
 * @throws {EncodingError} when the name is empty, too long or holds control characters
 * @example
 * const description = await signDescription(keys, { name: "Clinic", roles: ["custodian"], for: nonce });
 */
export async function signDescription(
  own: KeyStore | MemberKeys,
  options: DescriptionOptions,
): Promise<Uint8Array> {
  assertOptions(options, DESCRIPTION_OPTIONS, "signDescription");
  const context = options.for;
  if (context instanceof Uint8Array) assertBytes(context, "for", 32);
  const member = await describeMember(own, options.roles, context);
  const name = expectName(options.name);
  const [signer] = signersOf(own).sign;
  const description = encode({ v: 1, for: context, name, member: memberFields(member) });
  const sig = await signWith(signer!, "description", description);
  return encode({ description, alg: signer!.alg, sig });
}

/**
 * Verifies an organisation's description of itself. Whether the organisation is the one that it says it
 * is, people have to find out: by comparing the did over another channel.
 *
 * @param context - the nonce that this party gave, or the id of its ledger
 * @throws {DescriptionRefused} with the reason: `other-nonce` for a description that was made for somebody
 *   else, `key-twice`, `other-actor` for a did that is not that of the first signing key, and others
 * @example
 * const { name, member } = verifyDescription(received, nonce);
 * console.log(`${name}: ${member.actor}`);
 */
export function verifyDescription(
  bytes: Uint8Array,
  context: CID | Uint8Array,
): OrganisationDescription {
  const read = readDescription(bytes);
  const { member, name } = read.content;
  const refuse = (reason: DescriptionReason): never => {
    throw new DescriptionRefused(reason);
  };
  if (context instanceof Uint8Array) {
    if (!(read.for instanceof Uint8Array) || !equalBytes(read.for, context)) refuse("other-nonce");
  } else if (read.for instanceof Uint8Array || !context.equals(read.for)) {
    refuse("other-ledger");
  }
  const ids = member.keys.map(({ alg, publicKey }) => toHex(keyId(alg, publicKey)));
  if (new Set(ids).size < ids.length) refuse("key-twice");
  const first = member.keys.find(({ use }) => use === "sign");
  if (first === undefined) return refuse("no-signing-key");
  // A member that returns has retired the key that named it: only the ledger's id allows that.
  if (!namesItsKey(member) && context instanceof Uint8Array) refuse("other-actor");
  if (!member.keys.every((key) => provesPossession(context, member.actor, key))) {
    refuse("no-proof-of-possession");
  }
  const { alg, sig, description } = read;
  const isSigned =
    first.alg === alg &&
    verifySignature({
      ...{ alg, publicKey: first.publicKey, signature: sig },
      ...{ what: "description", bytes: description },
    });
  if (!isSigned) refuse("bad-signature");
  return { name, member };
}

interface ReadDescription {
  readonly description: Uint8Array;
  readonly alg: "Ed25519" | "ES256";
  readonly sig: Uint8Array;
  readonly for: CID | Uint8Array;
  readonly content: OrganisationDescription;
}

function readDescription(bytes: Uint8Array): ReadDescription {
  try {
    const limits = { maxBytes: MAX_BYTES, maxDepth: 8, maxItems: 512 };
    const outer = expectMap(decode(bytes, limits), "signed description", [
      ...["description", "alg", "sig"],
    ]);
    const description = expectBytes(outer["description"], "signed description.description");
    const map = expectMap(decode(description, limits), "description", [
      ...["v", "for", "name", "member"],
    ]);
    expectVersion(map["v"], "description");
    const context = map["for"];
    return {
      description,
      alg: expectOneOf(outer["alg"], "signed description.alg", SIGNATURE_ALGS),
      sig: expectBytes(outer["sig"], "signed description.sig", 64),
      for:
        context instanceof Uint8Array
          ? expectBytes(context, "description.for", 32)
          : expectCid(context, "description.for"),
      content: {
        name: expectName(map["name"]),
        member: expectMember(map["member"], "description.member"),
      },
    };
  } catch (error) {
    if (error instanceof EncodingError) throw new DescriptionRefused("malformed", { cause: error });
    throw error;
  }
}

/** A name that people are shown: nothing in it may hide, reorder or break what stands around it. */
function expectName(value: unknown): string {
  const name = expectString(value, "description.name", 200);
  if (/^\s*$/.test(name) || /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/u.test(name)) {
    throw new EncodingError(
      "ERR_ENCODING_SHAPE",
      "description.name must be text of one line without control characters",
    );
  }
  return name;
}
