import type { CID } from "multiformats/cid";
import { possessionInput } from "../block/entry.ts";
import type { KeyAlg, KeyDescription } from "../block/key.ts";
import { sortRoles, type MemberDescription, type Role } from "../block/member.ts";
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
 */
export async function describeMember(
  own: KeyStore | MemberKeys,
  roles: Iterable<Role>,
  context: CID | Uint8Array,
): Promise<MemberDescription> {
  const sorted = sortRoles(roles);
  const announced = signersOf(own);
  // Only a sequencer has checkpoint keys on the ledger; a store may hold one for later.
  const isLater = "list" in own && !sorted.includes("sequencer");
  const keys: MemberKeys = isLater ? { ...announced, checkpoint: [] } : announced;
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
  return { actor, roles: sorted, keys: described };
}

/** The keys that are announced: those of a store that are in use, or those given. */
export function signersOf(own: KeyStore | MemberKeys): MemberKeys {
  return "list" in own ? keysInUse(own) : own;
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
