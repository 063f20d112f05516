import {
  approvalInput,
  type Approval,
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
  { ledger, height, before, within }: GovernanceContext,
): Refusal | undefined {
  if (height > entry.notAfter) return "approval-expired";
  if (within.nonces().some(({ nonce }) => equalBytes(nonce, entry.nonce))) return "nonce-used";
  const { nonce, notAfter } = entry;
  const input =
    entry.kind === "member"
      ? approvalInput(ledger, entry.kind, entry.changes, nonce, notAfter)
      : approvalInput(ledger, entry.kind, entry.changes, nonce, notAfter);
  return countApprovals(entry.approvals, input, before, height);
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
      !verifySignature({
        alg,
        publicKey: key.publicKey,
        signature: sig,
        what: "approval",
        bytes: input,
      })
    ) {
      return "approval-invalid";
    }
    approvers.add(actor);
  }
  return approvers.size < before.policy().threshold ? "approvals-missing" : undefined;
}
