import type { CID } from "multiformats/cid";
import { toHex } from "../bytes/hex.ts";
import {
  approvalInput,
  possessionInput,
  type Approval,
  type KeyEntry,
  type MemberEntry,
  type PolicyEntry,
} from "../block/entry.ts";
import { namesItsKey, type Genesis } from "../block/genesis.ts";
import { MAX_CHECKPOINT_KEYS, MAX_OPEN_NONCES } from "../block/limits.ts";
import type { KeyDescription } from "../block/key.ts";
import type { MemberChange, MemberDescription, Role } from "../block/member.ts";
import { verifySignature } from "../crypto/sign.ts";
import { ChainError } from "../errors.ts";
import { keyId } from "../identity/actor.ts";
import { equalBytes } from "../bytes/compare.ts";
import type { Refusal } from "./refusal.ts";
import {
  encodeKeyState,
  encodeMemberState,
  encodeNonces,
  encodePolicyState,
  isInForce,
  keyKey,
  memberKey,
  NONCES_KEY,
  overlayState,
  POLICY_KEY,
  type KeyState,
  type MemberState,
  type StateOverlay,
  type SystemState,
} from "./state.ts";

/** Most keys that one member has in force at a time. */
const MAX_KEYS_IN_FORCE = 64;

/** The state before and within a block that governance entries work on. */
export interface GovernanceContext {
  readonly ledger: CID;
  readonly height: number;
  readonly author: string;
  /** Id of the key that signed the transaction. */
  readonly signedWith: Uint8Array;
  /** As it stood before the block: authority is judged by it. */
  readonly before: SystemState;
  /** As it stands after the entries so far: changes go here. */
  readonly within: StateOverlay;
}

/**
 * The state that a genesis record sets up.
 *
 * @throws {ChainError} `ERR_CHAIN_GENESIS` when a key that must prove its possession does not
 */
export function genesisState(genesis: Genesis): ReadonlyMap<string, Uint8Array | null> {
  const state = overlayState({ get: () => undefined });
  for (const member of genesis.members) {
    if (!member.keys.every((key) => provesPossession(genesis.nonce, member.actor, key))) {
      throw new ChainError("ERR_CHAIN_GENESIS", "a key in genesis lacks its proof of possession");
    }
    addMember(state, member, 0);
  }
  const { threshold, maxDrift, maxTxAge, checkpointKeys, cosignaturePolicy, kinds, contracts } =
    genesis;
  state.set(
    POLICY_KEY,
    encodePolicyState({
      threshold,
      maxDrift,
      maxTxAge,
      checkpointKeys,
      cosignaturePolicy,
      kinds,
      contracts,
      members: genesis.members.length,
      sequencers: genesis.members.filter(isSequencer).length,
    }),
  );
  return state.changes;
}

/** Applies a `key` entry, or says why not. */
export function applyKeyEntry(entry: KeyEntry, context: GovernanceContext): Refusal | undefined {
  if (entry.op === "recover") return applyRecovery(entry, context);
  if (entry.actor !== context.author) return "not-entitled";
  if (entry.approvals !== undefined || entry.compromisedSince !== undefined) return "malformed";
  const { before, within, height } = context;
  const member = within.member(entry.actor);
  if (before.member(entry.actor) === undefined) return "not-a-member";
  // Removed earlier in this block: a key added now would be in force when the member comes back.
  if (member === undefined || member.until !== null) return "not-a-member";
  const id = keyId(entry.alg, entry.pub);
  const known = within.key(id);
  if (entry.op === "add") {
    if (entry.use === "recovery") return "recovery-only";
    return addKey(entry, id, member, context);
  }
  if (known === undefined || known.actor !== entry.actor || known.use !== entry.use) {
    return "key-unknown";
  }
  if (known.until !== null) return "key-not-in-force";
  if (entry.proof !== undefined) return "malformed";
  if (known.use === "recovery") return "recovery-only";
  if (known.use === "sign" && countKeys(within, member, "sign") === 1) return "last-signing-key";
  if (known.use === "checkpoint" && !dropCheckpointKey(within, entry.pub)) {
    return "no-checkpoint-key-left";
  }
  endKeys(within, entry.actor, member, [id], height + 1, null);
  return undefined;
}

/** Applies a `member` entry, or says why not. */
export function applyMemberEntry(
  entry: MemberEntry,
  context: GovernanceContext,
): Refusal | undefined {
  const refused = checkApprovals("member", entry.changes, entry, context);
  if (refused !== undefined) return refused;
  const { within } = context;
  for (const change of entry.changes) {
    const reason = applyMemberChange(change, context);
    if (reason !== undefined) return reason;
  }
  const policy = within.policy();
  if (policy.members < policy.threshold) return "threshold-unreachable";
  if (policy.sequencers === 0) return "no-sequencer-left";
  return useNonce(entry, context);
}

/** Applies a `policy` entry, or says why not. */
export function applyPolicyEntry(
  entry: PolicyEntry,
  context: GovernanceContext,
): Refusal | undefined {
  const refused = checkApprovals("policy", entry.changes, entry, context);
  if (refused !== undefined) return refused;
  const { within } = context;
  for (const pub of entry.changes.checkpointKeys ?? []) {
    const reason = mayNotSignCheckpoints(pub, within);
    if (reason !== undefined) return reason;
  }
  const { clock: _, ...changes } = entry.changes;
  const policy = { ...within.policy(), ...changes };
  if (policy.threshold > policy.members) return "threshold-unreachable";
  if (entry.changes.checkpointKeys?.length === 0) return "no-checkpoint-key-left";
  within.set(POLICY_KEY, encodePolicyState(policy));
  return useNonce(entry, context);
}

/** State keys that a governance entry may touch. */
export function governanceReads(entry: KeyEntry | MemberEntry | PolicyEntry): string[] {
  const keys: string[] = [POLICY_KEY];
  const approvals = entry.approvals ?? [];
  for (const approval of approvals) keys.push(memberKey(approval.actor), keyKey(approval.key));
  if (entry.kind === "key") {
    keys.push(memberKey(entry.actor), keyKey(keyId(entry.alg, entry.pub)));
    return keys;
  }
  keys.push(NONCES_KEY);
  if (entry.kind === "member") {
    for (const change of entry.changes) {
      keys.push(memberKey(change.actor));
      if (change.op === "add") {
        for (const key of change.keys) keys.push(keyKey(keyId(key.alg, key.pub)));
      }
    }
  } else {
    for (const pub of entry.changes.checkpointKeys ?? []) keys.push(checkpointKeyKey(pub));
  }
  return keys;
}

/**
 * Further keys that are known only once the first ones are loaded: those of the members touched, and
 * the members whose the checkpoint keys are. Reads the policy, too.
 */
export function governanceKeyReads(
  entry: KeyEntry | MemberEntry | PolicyEntry,
  state: SystemState,
): string[] {
  if (entry.kind === "policy") {
    return (entry.changes.checkpointKeys ?? []).flatMap((pub) => {
      const known = state.key(keyId("Ed25519", pub));
      return known === undefined ? [] : [memberKey(known.actor)];
    });
  }
  const actors = entry.kind === "key" ? [entry.actor] : entry.changes.map(({ actor }) => actor);
  const keys = actors.flatMap((actor) => (state.member(actor)?.keys ?? []).map(keyKey));
  // Whoever stops ordering blocks takes away those that are on the list and nobody's.
  return entry.kind === "member"
    ? keys.concat(state.policy().checkpointKeys.map(checkpointKeyKey))
    : keys;
}

const checkpointKeyKey = (pub: Uint8Array): string => keyKey(keyId("Ed25519", pub));

function applyRecovery(entry: KeyEntry, context: GovernanceContext): Refusal | undefined {
  const { ledger, before, within, height } = context;
  const member = within.member(entry.actor);
  if (member === undefined || member.until !== null) return "not-a-member";
  const signedWith = before.key(context.signedWith);
  const byRecoveryKey =
    entry.actor === context.author &&
    signedWith?.use === "recovery" &&
    signedWith.actor === entry.actor;
  if (!byRecoveryKey) {
    const { actor, op, use, alg, pub, compromisedSince } = entry;
    const changes = { actor, op, use, alg, pub, compromisedSince: compromisedSince ?? null };
    const input = approvalInput(ledger, "key", changes, new Uint8Array(0), 0);
    const refused = countApprovals(entry.approvals ?? [], input, before, height);
    if (refused !== undefined) return refused;
  } else if (entry.approvals !== undefined) {
    return "malformed";
  }
  const { compromisedSince = null } = entry;
  if (compromisedSince !== null && compromisedSince > height) return "malformed";
  const replaced = member.keys.filter((id) => within.key(id)?.use === entry.use);
  if (entry.use === "checkpoint") {
    const policy = within.policy();
    const gone = replaced.map((id) => within.key(id)!.pub);
    const checkpointKeys = policy.checkpointKeys.filter(
      (pub) => !gone.some((old) => equalBytes(old, pub)),
    );
    within.set(POLICY_KEY, encodePolicyState({ ...policy, checkpointKeys }));
  }
  const kept = endKeys(within, entry.actor, member, replaced, height + 1, compromisedSince);
  return addKey(entry, keyId(entry.alg, entry.pub), kept, context);
}

function applyMemberChange(change: MemberChange, context: GovernanceContext): Refusal | undefined {
  const { ledger, within, height } = context;
  const member = within.member(change.actor);
  const present = member !== undefined && member.until === null;
  switch (change.op) {
    case "add":
      if (present) return "member-known";
      // Someone who comes back has retired the key that once gave the name.
      if (member === undefined && !namesItsKey(change)) return "key-unknown";
      if (!change.keys.some((key) => key.use === "sign")) return "key-unknown";
      for (const key of change.keys) {
        if (within.key(keyId(key.alg, key.pub)) !== undefined) return "key-known";
        if (!provesPossession(ledger, change.actor, key)) return "no-proof-of-possession";
      }
      if (
        new Set(change.keys.map((key) => toHex(keyId(key.alg, key.pub)))).size < change.keys.length
      ) {
        return "key-known";
      }
      for (const key of change.keys) {
        if (key.use !== "checkpoint") continue;
        if (!isSequencer(change)) return "not-entitled";
        if (!listCheckpointKey(within, key.pub)) return "too-many-keys";
      }
      addMember(within, change, height + 1);
      count(within, 1, Number(isSequencer(change)));
      return undefined;
    case "remove":
      if (!present) return "member-unknown";
      if (!dropCheckpointKeys(context, change.actor, member)) return "no-checkpoint-key-left";
      endKeys(within, change.actor, member, member.keys, height + 1, null);
      within.set(
        memberKey(change.actor),
        encodeMemberState({ roles: [], from: member.from, until: height + 1, keys: [] }),
      );
      count(within, -1, -Number(isSequencer(member)));
      return undefined;
    case "roles":
      if (!present) return "member-unknown";
      // The keys stay his; being a sequencer again does not list them again.
      if (!isSequencer(change) && !dropCheckpointKeys(context, change.actor, member)) {
        return "no-checkpoint-key-left";
      }
      within.set(memberKey(change.actor), encodeMemberState({ ...member, roles: change.roles }));
      count(within, 0, Number(isSequencer(change)) - Number(isSequencer(member)));
      return undefined;
  }
}

function isSequencer({ roles }: { readonly roles: readonly Role[] }): boolean {
  return roles.includes("sequencer");
}

function count(state: StateOverlay, members: number, sequencers: number): void {
  const policy = state.policy();
  const counted = {
    members: policy.members + members,
    sequencers: policy.sequencers + sequencers,
  };
  state.set(POLICY_KEY, encodePolicyState({ ...policy, ...counted }));
}

function addKey(
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
    // Before the block by authority, and still: else a key could be filed behind a demotion.
    const was = before.member(entry.actor);
    if (was === undefined || !isSequencer(was) || !isSequencer(member)) return "not-entitled";
    if (!listCheckpointKey(within, entry.pub)) return "too-many-keys";
  }
  setKey(within, entry.actor, entry, id, height + 1);
  within.set(memberKey(entry.actor), encodeMemberState({ ...member, keys: [...member.keys, id] }));
  return undefined;
}

function addMember(state: StateOverlay, member: MemberDescription, from: number): void {
  const keys = member.keys.map((key) => {
    const id = keyId(key.alg, key.pub);
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
  { use, alg, pub }: Omit<KeyDescription, "proof">,
  id: Uint8Array,
  from: number,
): void {
  const value: KeyState = { actor, use, alg, pub, from, until: null, compromisedSince: null };
  state.set(keyKey(id), encodeKeyState(value));
}

/** Ends keys of a member and returns the member without them. */
function endKeys(
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
      state.set(keyKey(id), encodeKeyState({ ...key, until, compromisedSince }));
  }
  const keys = member.keys.filter((id) => !ids.some((gone) => equalBytes(gone, id)));
  const left = { ...member, keys };
  state.set(memberKey(actor), encodeMemberState(left));
  return left;
}

/** Lets a key sign checkpoints; one that the policy lists already stays listed once. */
function listCheckpointKey(state: StateOverlay, pub: Uint8Array): boolean {
  const policy = state.policy();
  if (policy.checkpointKeys.some((key) => equalBytes(key, pub))) return true;
  if (policy.checkpointKeys.length >= MAX_CHECKPOINT_KEYS) return false;
  const checkpointKeys = [...policy.checkpointKeys, pub];
  state.set(POLICY_KEY, encodePolicyState({ ...policy, checkpointKeys }));
  return true;
}

function dropCheckpointKey(state: StateOverlay, pub: Uint8Array): boolean {
  const policy = state.policy();
  const checkpointKeys = policy.checkpointKeys.filter((key) => !equalBytes(key, pub));
  if (checkpointKeys.length === policy.checkpointKeys.length) return true;
  if (checkpointKeys.length === 0) return false;
  state.set(POLICY_KEY, encodePolicyState({ ...policy, checkpointKeys }));
  return true;
}

/**
 * Takes all checkpoint keys of a member off the list, unless none would be left; and, where he ordered
 * blocks, those that are nobody's, for any of them may be his. These go even if none is left then:
 * what nobody answers for must not hold up a removal, and any sequencer may list a key of his own.
 */
function dropCheckpointKeys(
  { within, before }: GovernanceContext,
  actor: string,
  member: MemberState,
): boolean {
  const owned = member.keys.every((id) => {
    const key = within.key(id);
    return key?.use !== "checkpoint" || dropCheckpointKey(within, key.pub);
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

/** Why a policy may not list a key for checkpoints; one that is no member's it may. */
function mayNotSignCheckpoints(pub: Uint8Array, state: SystemState): Refusal | undefined {
  const key = state.key(keyId("Ed25519", pub));
  if (key === undefined) return undefined;
  if (key.use !== "checkpoint") return "key-use";
  if (key.until !== null) return "key-not-in-force";
  const member = state.member(key.actor);
  return member !== undefined && isSequencer(member) ? undefined : "not-entitled";
}

function countKeys(state: SystemState, member: MemberState, use: string): number {
  return member.keys.filter((id) => state.key(id)?.use === use).length;
}

function provesPossession(ledger: CID | Uint8Array, actor: string, key: KeyDescription): boolean {
  // Keys that cannot sign prove nothing; whoever seals to one trusts the actor who announced it.
  if (key.use === "agree") return key.proof === undefined;
  if (key.proof === undefined || (key.alg !== "Ed25519" && key.alg !== "ES256")) return false;
  return verifySignature({
    alg: key.alg,
    publicKey: key.pub,
    signature: key.proof,
    what: "possession",
    bytes: possessionInput(ledger, actor, key),
  });
}

function checkApprovals(
  kind: "member" | "policy",
  changes: unknown,
  entry: MemberEntry | PolicyEntry,
  { ledger, height, before, within }: GovernanceContext,
): Refusal | undefined {
  if (height > entry.notAfter) return "approval-expired";
  if (within.nonces().some(({ nonce }) => equalBytes(nonce, entry.nonce))) return "nonce-used";
  const input = approvalInput(ledger, kind, changes, entry.nonce, entry.notAfter);
  return countApprovals(entry.approvals, input, before, height);
}

/** Remembers a nonce, and forgets those whose change could no longer be recorded. */
function useNonce(
  { nonce, notAfter }: MemberEntry | PolicyEntry,
  context: GovernanceContext,
): Refusal | undefined {
  const open = context.within.nonces().filter((used) => used.notAfter >= context.height);
  if (open.length >= MAX_OPEN_NONCES) return "over-limit";
  context.within.set(NONCES_KEY, encodeNonces([...open, { nonce, notAfter }]));
  return undefined;
}

function countApprovals(
  approvals: readonly Approval[],
  input: Uint8Array,
  before: SystemState,
  height: number,
): Refusal | undefined {
  const approvers = new Set<string>();
  for (const { actor, key: id, alg, sig } of approvals) {
    const key = before.key(id);
    const member = before.member(actor);
    if (
      key === undefined ||
      member === undefined ||
      member.until !== null ||
      key.actor !== actor ||
      key.use !== "sign" ||
      key.alg !== alg ||
      !isInForce(key, height) ||
      !verifySignature({ alg, publicKey: key.pub, signature: sig, what: "approval", bytes: input })
    ) {
      return "approval-invalid";
    }
    approvers.add(actor);
  }
  return approvers.size < before.policy().threshold ? "approvals-missing" : undefined;
}
