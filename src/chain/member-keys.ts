import type { CID } from "multiformats/cid";
import { possessionInput, type KeyEntry } from "../block/entry.ts";
import { MAX_CHECKPOINT_KEYS } from "../block/limits.ts";
import type { KeyDescription } from "../block/key.ts";
import type { MemberDescription, Role } from "../block/member.ts";
import { verifySignature } from "../crypto/sign.ts";
import { keyId } from "../identity/actor.ts";
import { equalBytes } from "../bytes/compare.ts";
import type { Refusal } from "./refusal.ts";
import {
  encodeKeyState,
  encodeMemberState,
  encodePolicyState,
  keyStateKey,
  memberKey,
  POLICY_KEY,
  type KeyState,
  type MemberState,
  type StateOverlay,
  type SystemState,
} from "./state.ts";
import type { GovernanceContext } from "./governance-context.ts";

/** Most keys that one member may have in force at a time. */
const MAX_KEYS_IN_FORCE = 64;

export const checkpointKeyStateKey = (pub: Uint8Array): string =>
  keyStateKey(keyId("Ed25519", pub));

export function isSequencer({ roles }: { readonly roles: readonly Role[] }): boolean {
  return roles.includes("sequencer");
}

export function addKey(
  entry: KeyEntry,
  id: Uint8Array,
  member: MemberState,
  context: GovernanceContext,
): Refusal | undefined {
  const { ledger, within, before, height } = context;
  if (within.key(id) !== undefined) return "key-known";
  if (!provesPossession(ledger, entry.actor, entry)) return "no-proof-of-possession";
  if (member.keys.length >= MAX_KEYS_IN_FORCE) return "too-many-keys";
  if (entry.use === "checkpoint") {
    // A sequencer both before the block, which gives authority, and still: otherwise a key could be
    // filed after a demotion.
    const was = before.member(entry.actor);
    if (was === undefined || !isSequencer(was) || !isSequencer(member)) return "not-entitled";
    if (!listCheckpointKey(within, entry.publicKey)) return "too-many-keys";
  }
  setKey(within, entry.actor, entry, id, height + 1);
  within.set(memberKey(entry.actor), encodeMemberState({ ...member, keys: [...member.keys, id] }));
  return undefined;
}

export function addMember(state: StateOverlay, member: MemberDescription, from: number): void {
  const keys = member.keys.map((key) => {
    const id = keyId(key.alg, key.publicKey);
    setKey(state, member.actor, key, id, from);
    return id;
  });
  state.set(
    memberKey(member.actor),
    encodeMemberState({ roles: member.roles, from, until: null, keys }),
  );
}

function setKey(
  state: StateOverlay,
  actor: string,
  { use, alg, publicKey }: Omit<KeyDescription, "proof">,
  id: Uint8Array,
  from: number,
): void {
  const value: KeyState = { actor, use, alg, publicKey, from, until: null, compromisedSince: null };
  state.set(keyStateKey(id), encodeKeyState(value));
}

/** Ends keys of a member, and returns the member without them. */
export function endKeys(
  state: StateOverlay,
  actor: string,
  member: MemberState,
  ids: readonly Uint8Array[],
  until: number,
  compromisedSince: number | null,
): MemberState {
  for (const id of ids) {
    const key = state.key(id);
    if (key !== undefined)
      state.set(keyStateKey(id), encodeKeyState({ ...key, until, compromisedSince }));
  }
  const keys = member.keys.filter((id) => !ids.some((gone) => equalBytes(gone, id)));
  const left = { ...member, keys };
  state.set(memberKey(actor), encodeMemberState(left));
  return left;
}

/** Lets a key sign checkpoints; a key that the policy already lists stays listed once. */
export function listCheckpointKey(state: StateOverlay, pub: Uint8Array): boolean {
  const policy = state.policy();
  if (policy.checkpointKeys.some((key) => equalBytes(key, pub))) return true;
  if (policy.checkpointKeys.length >= MAX_CHECKPOINT_KEYS) return false;
  const checkpointKeys = [...policy.checkpointKeys, pub];
  state.set(POLICY_KEY, encodePolicyState({ ...policy, checkpointKeys }));
  return true;
}

export function dropCheckpointKey(state: StateOverlay, pub: Uint8Array): boolean {
  const policy = state.policy();
  const checkpointKeys = policy.checkpointKeys.filter((key) => !equalBytes(key, pub));
  if (checkpointKeys.length === policy.checkpointKeys.length) return true;
  if (checkpointKeys.length === 0) return false;
  state.set(POLICY_KEY, encodePolicyState({ ...policy, checkpointKeys }));
  return true;
}

/**
 * Drops all checkpoint keys of a member from the list, unless the list would become empty. If the
 * member ordered blocks, also drops the keys that belong to no member, because any of them may be
 * that member's. Those are dropped even if the list becomes empty: keys that no member answers for
 * must not block a removal, and any sequencer may list a key of its own.
 */
export function dropCheckpointKeys(
  { within, before }: GovernanceContext,
  actor: string,
  member: MemberState,
): boolean {
  const owned = member.keys.every((id) => {
    const key = within.key(id);
    return key?.use !== "checkpoint" || dropCheckpointKey(within, key.publicKey);
  });
  const was = before.member(actor);
  if (!owned || !(isSequencer(member) || (was !== undefined && isSequencer(was)))) return owned;
  const policy = within.policy();
  const checkpointKeys = policy.checkpointKeys.filter(
    (pub) => within.key(keyId("Ed25519", pub)) !== undefined,
  );
  within.set(POLICY_KEY, encodePolicyState({ ...policy, checkpointKeys }));
  return true;
}

/**
 * Why a policy must not list a key for checkpoints; a key that belongs to no member may be listed.
 */
export function mayNotSignCheckpoints(pub: Uint8Array, state: SystemState): Refusal | undefined {
  const key = state.key(keyId("Ed25519", pub));
  if (key === undefined) return undefined;
  if (key.use !== "checkpoint") return "key-use";
  if (key.until !== null) return "key-not-in-force";
  const member = state.member(key.actor);
  return member !== undefined && isSequencer(member) ? undefined : "not-entitled";
}

export function countKeys(state: SystemState, member: MemberState, use: string): number {
  return member.keys.filter((id) => state.key(id)?.use === use).length;
}

export function provesPossession(
  ledger: CID | Uint8Array,
  actor: string,
  key: KeyDescription,
): boolean {
  // Agreement keys cannot sign, so they prove nothing; a party that seals to one trusts the actor
  // that announced it.
  if (key.use === "agree") return key.proof === undefined;
  if (key.proof === undefined || (key.alg !== "Ed25519" && key.alg !== "ES256")) return false;
  return verifySignature({
    alg: key.alg,
    publicKey: key.publicKey,
    signature: key.proof,
    what: "possession",
    bytes: possessionInput(ledger, actor, key),
  });
}
