import { toHex } from "../bytes/hex.ts";
import type { KeyEntry, MemberEntry, PolicyEntry } from "../block/entry.ts";
import { namesItsKey } from "../block/genesis.ts";
import type { MemberChange } from "../block/member.ts";
import type { LedgerPolicy } from "../block/policy.ts";
import { keyId } from "../identity/actor.ts";
import { equalBytes } from "../bytes/compare.ts";
import type { Refusal } from "./refusal.ts";
import {
  encodeMemberState,
  encodePolicyState,
  keyStateKey,
  memberKey,
  NONCES_KEY,
  POLICY_KEY,
  type MemberState,
  type StateOverlay,
  type SystemState,
} from "./state.ts";
import type { GovernanceContext } from "./governance-context.ts";
import {
  addKey,
  addMember,
  endKeys,
  listCheckpointKey,
  dropCheckpointKey,
  dropCheckpointKeys,
  countKeys,
  provesPossession,
  isSequencer,
  mayNotSignCheckpoints,
  checkpointKeyStateKey,
} from "./member-keys.ts";
import { approvedBytes, checkApprovals, countApprovals, useNonce } from "./approvals.ts";

/** Applies a `key` entry, or returns the refusal. */
export function applyKeyEntry(entry: KeyEntry, context: GovernanceContext): Refusal | undefined {
  if (entry.op === "recover") return applyRecovery(entry, context);
  if (entry.actor !== context.author) return "not-entitled";
  if (entry.approvals !== undefined || entry.compromisedSince !== undefined) return "malformed";
  const { before, within, height } = context;
  const member = within.member(entry.actor);
  if (before.member(entry.actor) === undefined) return "not-a-member";
  // A member removed earlier in this block: a key added now would be in force when the member
  // returns.
  if (member === undefined || member.until !== null) return "not-a-member";
  const id = keyId(entry.alg, entry.publicKey);
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
  if (known.use === "checkpoint" && !dropCheckpointKey(within, entry.publicKey)) {
    return "no-checkpoint-key-left";
  }
  endKeys(within, entry.actor, member, [id], height + 1, null);
  return undefined;
}

/** Applies a `member` entry, or returns the refusal. */
export function applyMemberEntry(
  entry: MemberEntry,
  context: GovernanceContext,
): Refusal | undefined {
  return checkApprovals(entry, context) ?? changeMembers(entry, context);
}

/** Applies the changes of a `member` entry, whoever approved them, or returns the refusal. */
export function changeMembers(entry: MemberEntry, context: GovernanceContext): Refusal | undefined {
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

/** Applies a `policy` entry, or returns the refusal. */
export function applyPolicyEntry(
  entry: PolicyEntry,
  context: GovernanceContext,
): Refusal | undefined {
  return checkApprovals(entry, context) ?? changePolicy(entry, context);
}

/** Applies the changes of a `policy` entry, whoever approved them, or returns the refusal. */
export function changePolicy(entry: PolicyEntry, context: GovernanceContext): Refusal | undefined {
  const { within } = context;
  for (const pub of entry.changes.checkpointKeys ?? []) {
    const reason = mayNotSignCheckpoints(pub, within);
    if (reason !== undefined) return reason;
  }
  if (isRetroactive(entry.changes.contracts, context)) return "contract-retroactive";
  const { clock: _, ...changes } = entry.changes;
  const policy = { ...within.policy(), ...changes };
  if (policy.threshold > policy.members) return "threshold-unreachable";
  if (entry.changes.checkpointKeys?.length === 0) return "no-checkpoint-key-left";
  within.set(POLICY_KEY, encodePolicyState(policy));
  return useNonce(entry, context);
}

/**
 * Whether a version of a contract is to be in force from a height that is past, so that no member
 * could install it before. A version that is registered already stays as it was.
 */
function isRetroactive(
  changed: LedgerPolicy["contracts"] | undefined,
  { within, height }: GovernanceContext,
): boolean {
  const known = within.policy().contracts;
  return (changed ?? []).some(
    ({ name, rule, from }) =>
      from <= height &&
      !known.some((one) => one.name === name && one.from === from && one.rule.equals(rule)),
  );
}

/** State keys that a governance entry may read or change. */
export function governanceReads(entry: KeyEntry | MemberEntry | PolicyEntry): string[] {
  const keys: string[] = [POLICY_KEY];
  const approvals = entry.approvals ?? [];
  for (const approval of approvals) keys.push(memberKey(approval.actor), keyStateKey(approval.key));
  if (entry.kind === "key") {
    keys.push(memberKey(entry.actor), keyStateKey(keyId(entry.alg, entry.publicKey)));
    return keys;
  }
  keys.push(NONCES_KEY);
  if (entry.kind === "member") {
    for (const change of entry.changes) {
      keys.push(memberKey(change.actor));
      if (change.op === "add") {
        for (const key of change.keys) keys.push(keyStateKey(keyId(key.alg, key.publicKey)));
      }
    }
  } else {
    for (const pub of entry.changes.checkpointKeys ?? []) keys.push(checkpointKeyStateKey(pub));
  }
  return keys;
}

/**
 * Further state keys, known only once the first ones are loaded: the keys of the affected members,
 * and the members that own the checkpoint keys. Reads the policy too.
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
  const keys = actors.flatMap((actor) => (state.member(actor)?.keys ?? []).map(keyStateKey));
  // When a member stops ordering blocks, listed checkpoint keys that belong to no member are
  // dropped.
  return entry.kind === "member"
    ? keys.concat(state.policy().checkpointKeys.map(checkpointKeyStateKey))
    : keys;
}

function applyRecovery(entry: KeyEntry, context: GovernanceContext): Refusal | undefined {
  const { ledger, before, height } = context;
  const member = context.within.member(entry.actor);
  if (member === undefined || member.until !== null) return "not-a-member";
  const signedWith = before.key(context.signedWith);
  const byRecoveryKey =
    entry.actor === context.author &&
    signedWith?.use === "recovery" &&
    signedWith.actor === entry.actor;
  if (!byRecoveryKey) {
    const input = approvedBytes(ledger, entry);
    const refused = countApprovals(entry.approvals ?? [], input, before, height);
    if (refused !== undefined) return refused;
  } else if (entry.approvals !== undefined) {
    return "malformed";
  }
  return replaceKeys(entry, member, context);
}

/** Applies a recovery, whoever approved it, or returns the refusal. */
export function replaceKeys(
  entry: KeyEntry,
  member: MemberState,
  context: GovernanceContext,
): Refusal | undefined {
  const { within, height } = context;
  const { compromisedSince = null } = entry;
  if (compromisedSince !== null && compromisedSince > height) return "malformed";
  const replaced = member.keys.filter((id) => within.key(id)?.use === entry.use);
  if (entry.use === "checkpoint") {
    const policy = within.policy();
    const gone = replaced.map((id) => within.key(id)!.publicKey);
    const checkpointKeys = policy.checkpointKeys.filter(
      (pub) => !gone.some((old) => equalBytes(old, pub)),
    );
    within.set(POLICY_KEY, encodePolicyState({ ...policy, checkpointKeys }));
  }
  const kept = endKeys(within, entry.actor, member, replaced, height + 1, compromisedSince);
  return addKey(entry, keyId(entry.alg, entry.publicKey), kept, context);
}

function applyMemberChange(change: MemberChange, context: GovernanceContext): Refusal | undefined {
  const { ledger, within, height } = context;
  const member = within.member(change.actor);
  const present = member !== undefined && member.until === null;
  switch (change.op) {
    case "add":
      if (present) return "member-known";
      // A returning member has retired the key that its did:key encodes.
      if (member === undefined && !namesItsKey(change)) return "key-unknown";
      if (!change.keys.some((key) => key.use === "sign")) return "key-unknown";
      for (const key of change.keys) {
        if (within.key(keyId(key.alg, key.publicKey)) !== undefined) return "key-known";
        if (!provesPossession(ledger, change.actor, key)) return "no-proof-of-possession";
      }
      if (
        new Set(change.keys.map((key) => toHex(keyId(key.alg, key.publicKey)))).size <
        change.keys.length
      ) {
        return "key-known";
      }
      for (const key of change.keys) {
        if (key.use !== "checkpoint") continue;
        if (!isSequencer(change)) return "not-entitled";
        if (!listCheckpointKey(within, key.publicKey)) return "too-many-keys";
      }
      addMember(within, change, height + 1);
      addToCounts(within, 1, Number(isSequencer(change)));
      return undefined;
    case "remove":
      if (!present) return "member-unknown";
      if (!dropCheckpointKeys(context, change.actor, member)) return "no-checkpoint-key-left";
      endKeys(within, change.actor, member, member.keys, height + 1, null);
      within.set(
        memberKey(change.actor),
        encodeMemberState({ roles: [], from: member.from, until: height + 1, keys: [] }),
      );
      addToCounts(within, -1, -Number(isSequencer(member)));
      return undefined;
    case "roles":
      if (!present) return "member-unknown";
      // The member keeps the keys; becoming a sequencer again does not list them again.
      if (!isSequencer(change) && !dropCheckpointKeys(context, change.actor, member)) {
        return "no-checkpoint-key-left";
      }
      within.set(memberKey(change.actor), encodeMemberState({ ...member, roles: change.roles }));
      addToCounts(within, 0, Number(isSequencer(change)) - Number(isSequencer(member)));
      return undefined;
  }
}

function addToCounts(state: StateOverlay, members: number, sequencers: number): void {
  const policy = state.policy();
  const counted = {
    members: policy.members + members,
    sequencers: policy.sequencers + sequencers,
  };
  state.set(POLICY_KEY, encodePolicyState({ ...policy, ...counted }));
}
