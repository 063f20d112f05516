import type { CID } from "multiformats/cid";
import { possessionInput } from "../block/entry.ts";
import type { KeyAlg, KeyDescription } from "../block/key.ts";
import { sortRoles, type MemberDescription, type Role } from "../block/member.ts";
import { provePossession, type Signer } from "../identity/signer.ts";

/** The keys that a member brings into a ledger. */
export interface MemberKeys {
  /** The first one names the actor. */
  readonly sign: readonly Signer[];
  readonly checkpoint?: readonly Signer[];
  readonly recovery?: readonly Signer[];
  /** Public keys that grants are sealed to. */
  readonly agree?: readonly { readonly alg: KeyAlg; readonly publicKey: Uint8Array }[];
}

/**
 * Describes a member for a genesis record or a `member` entry, proving possession of its keys.
 *
 * @param context - the ledger's id, or the nonce of the genesis record that is being made
 * @throws {RangeError} without a signing key
 */
export async function describeMember(
  keys: MemberKeys,
  roles: Iterable<Role>,
  context: CID | Uint8Array,
): Promise<MemberDescription> {
  const first = keys.sign[0];
  if (first === undefined) throw new RangeError("a member needs a signing key");
  const { actor } = first;
  const described: KeyDescription[] = [];
  for (const use of ["sign", "checkpoint", "recovery"] as const) {
    for (const signer of keys[use] ?? []) {
      const key = { use, alg: signer.alg, pub: signer.publicKey };
      const proof = await provePossession(signer, possessionInput(context, actor, key));
      described.push({ ...key, proof });
    }
  }
  for (const { alg, publicKey } of keys.agree ?? []) {
    described.push({ use: "agree", alg, pub: publicKey });
  }
  return { actor, roles: sortRoles(roles), keys: described };
}
