import type { CID } from "multiformats/cid";
import { possessionInput } from "../block/entry.ts";
import type { KeyAlg, KeyDescription } from "../block/key.ts";
import {
  expectMember,
  memberFields,
  sortRoles,
  type MemberDescription,
  type Role,
} from "../block/member.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import type { KeyStore } from "../identity/key-store.ts";
import { provePossession, type Signer } from "../identity/signer.ts";

/** The keys with which a member joins a ledger. */
export interface MemberKeys {
  /** The first one determines the actor's did:key. */
  readonly sign: readonly Signer[];
  readonly checkpoint?: readonly Signer[];
  readonly recovery?: readonly Signer[];
  /** Public keys that grants are sealed to. */
  readonly agree?: readonly { readonly alg: KeyAlg; readonly publicKey: Uint8Array }[];
}

/**
 * Describes a member for a genesis record or a `member` entry, proving possession of its keys.
 *
 * @param own - a key store, of which all keys in use are described; or signers and public keys
 * @param context - the ledger's id, or the nonce of the genesis record in preparation
 * @throws {RangeError} without a signing key
 * @example
 * const description = encodeMember(await describeMember(keys, ["custodian"], nonce));
 */
export async function describeMember(
  own: KeyStore | MemberKeys,
  roles: Iterable<Role>,
  context: CID | Uint8Array,
): Promise<MemberDescription> {
  const keys = "list" in own ? keysInUse(own) : own;
  const first = keys.sign[0];
  if (first === undefined) throw new RangeError("a member needs a signing key");
  const { actor } = first;
  const described: KeyDescription[] = [];
  for (const use of ["sign", "checkpoint", "recovery"] as const) {
    for (const signer of keys[use] ?? []) {
      const key = { use, alg: signer.alg, publicKey: signer.publicKey };
      const proof = await provePossession(signer, possessionInput(context, actor, key));
      described.push({ ...key, proof });
    }
  }
  for (const { alg, publicKey } of keys.agree ?? []) {
    described.push({ use: "agree", alg, publicKey });
  }
  return { actor, roles: sortRoles(roles), keys: described };
}

/**
 * The keys of a store that are in use, oldest first; if it holds keys of several actors, those of
 * its own actor.
 */
function keysInUse(store: KeyStore): MemberKeys {
  const inUse = store.list().filter(({ retired }) => !retired);
  const actor = inUse.find(({ use }) => use === "sign")?.actor;
  const signers = (use: "sign" | "checkpoint" | "recovery"): readonly Signer[] =>
    inUse
      .filter((info) => info.use === use && info.actor === actor)
      .map(({ key }) => store.signer(key));
  return {
    sign: signers("sign"),
    checkpoint: signers("checkpoint"),
    recovery: signers("recovery"),
    agree: inUse.filter(({ use }) => use === "agree"),
  };
}

/**
 * Encodes a member's description, to send to the organisation that founds the ledger.
 *
 * @example
 * const description = encodeMember(await describeMember(keys, ["custodian"], nonce));
 */
export function encodeMember(member: MemberDescription): Uint8Array {
  return encode(memberFields(member));
}

/**
 * Decodes a description of {@link encodeMember}. Its proofs of possession are checked when it is
 * used.
 *
 * @throws {EncodingError} when the bytes are not a member's description; hostile bytes are refused
 *   within fixed limits
 * @example
 * const genesis = await createGenesis({
 *   origin: "history.example/first",
 *   members: [{ keys: hospital }, decodeMember(received)],
 *   nonce, // for which the other member described itself
 * });
 */
export function decodeMember(bytes: Uint8Array): MemberDescription {
  return expectMember(decode(bytes, { maxBytes: 65_536, maxDepth: 8, maxItems: 512 }), "member");
}
