import type { CID } from "multiformats/cid";
import {
  approvalInput,
  type Approval,
  type KeyEntry,
  type MemberEntry,
  type PolicyEntry,
} from "../block/entry.ts";
import { MAX_OPEN_NONCES } from "../block/limits.ts";
import { verifySignature } from "../crypto/sign.ts";
import { equalBytes } from "../bytes/compare.ts";
import type { Refusal } from "./refusal.ts";
import { encodeNonces, isInForce, NONCES_KEY, type SystemState } from "./state.ts";
import type { GovernanceContext } from "./governance-context.ts";

export function checkApprovals(
  entry: MemberEntry | PolicyEntry,
  context: GovernanceContext,
): Refusal | undefined {
  const { ledger, before, height } = context;
  return (
    checkStillOpen(entry, context) ??
    countApprovals(entry.approvals, approvedBytes(ledger, entry), before, height)
  );
}

/** Why a change can no longer be recorded, whoever approves it. */
export function checkStillOpen(
  { nonce: own, notAfter }: MemberEntry | PolicyEntry,
  { height, within }: Pick<GovernanceContext, "height" | "within">,
): Refusal | undefined {
  if (height > notAfter) return "approval-expired";
  return within.nonces().some(({ nonce }) => equalBytes(nonce, own)) ? "nonce-used" : undefined;
}

/** The bytes that members sign to approve what an entry changes; for a `key` entry, a recovery. */
export function approvedBytes(
  ledger: CID,
  entry: MemberEntry | PolicyEntry | KeyEntry,
): Uint8Array {
  switch (entry.kind) {
    case "member":
      return approvalInput(ledger, entry.kind, entry.changes, entry.nonce, entry.notAfter);
    case "policy":
      return approvalInput(ledger, entry.kind, entry.changes, entry.nonce, entry.notAfter);
    case "key": {
      const { actor, op, use, alg, publicKey, compromisedSince = null } = entry;
      const changes = { actor, op, use, alg, publicKey, compromisedSince };
      return approvalInput(ledger, entry.kind, changes, new Uint8Array(0), 0);
    }
  }
}

/** Remembers a nonce, and forgets the nonces of changes that can no longer be recorded. */
export function useNonce(
  { nonce, notAfter }: MemberEntry | PolicyEntry,
  context: GovernanceContext,
): Refusal | undefined {
  const open = context.within.nonces().filter((used) => used.notAfter >= context.height);
  if (open.length >= MAX_OPEN_NONCES) return "over-limit";
  context.within.set(NONCES_KEY, encodeNonces([...open, { nonce, notAfter }]));
  return undefined;
}

export function countApprovals(
  approvals: readonly Approval[],
  input: Uint8Array,
  before: SystemState,
  height: number,
): Refusal | undefined {
  const approvers = new Set<string>();
  for (const approval of approvals) {
    if (approvalFault(approval, input, before, height) !== undefined) return "approval-invalid";
    approvers.add(approval.actor);
  }
  return approvers.size < before.policy().threshold ? "approvals-missing" : undefined;
}

/** Why an approval does not count. */
export type ApprovalFault = "not-a-member" | "key-not-in-force" | "other-change";

/** Why an approval does not count at a height, by the state before it; `undefined` if it counts. */
export function approvalFault(
  { actor, key: id, alg, sig }: Approval,
  input: Uint8Array,
  before: SystemState,
  height: number,
): ApprovalFault | undefined {
  const member = before.member(actor);
  if (member === undefined || member.until !== null) return "not-a-member";
  const key = before.key(id);
  if (
    key === undefined ||
    key.actor !== actor ||
    key.use !== "sign" ||
    key.alg !== alg ||
    !isInForce(key, height)
  ) {
    return "key-not-in-force";
  }
  const { publicKey } = key;
  const isSigned = verifySignature({
    alg,
    publicKey,
    signature: sig,
    what: "approval",
    bytes: input,
  });
  return isSigned ? undefined : "other-change";
}
