import type { CID } from "multiformats/cid";
import { isCustom, type ContractEntry, type CustomEntry, type Entry } from "../block/entry.ts";
import type { Role } from "../block/member.ts";
import { contractInForce } from "../block/policy.ts";
import { runCall } from "../contract/run-call.ts";
import { checkByRule } from "./kind-rule.ts";
import { applyKeyEntry, applyMemberEntry, applyPolicyEntry } from "./governance.ts";
import type { GovernanceContext } from "./governance-context.ts";
import { isSignedBy, type LedgerRules, type PreparedTransaction } from "./prepare.ts";
import type { Refused } from "./refusal.ts";
import type { Verdicts } from "./signature-checks.ts";
import { encodeNumber, isInForce, seqKey, type StateOverlay, type SystemState } from "./state.ts";

/** The block within which a transaction is checked. */
export interface BlockContext {
  readonly ledger: CID;
  readonly height: number;
  /** The header's time, in ms. */
  readonly time: number;
  /** The state before the block. */
  readonly before: SystemState;
  /** The state after the transactions so far; receives this transaction's changes. */
  readonly within: StateOverlay;
  readonly rules: LedgerRules;
  /** Whether signatures that are already checked are valid. */
  readonly verdicts?: Verdicts;
  /**
   * Receives the keys that calls of contracts read and that are not loaded: then nothing that was
   * found out about the block counts.
   */
  readonly unread: Set<string>;
}

/** Roles that may file an entry of a built-in kind. */
const AUTHORS: Readonly<Record<string, readonly Role[] | "any">> = {
  record: ["custodian"],
  consent: ["custodian"],
  access: ["custodian"],
  erase: ["custodian"],
  link: ["custodian"],
  key: "any",
  member: "any",
  policy: "any",
  contract: "any",
};

/**
 * Checks a prepared transaction by the ledger's rules and applies its changes.
 *
 * Pure: the same state, header and transaction give the same answer on every node.
 *
 * @returns `undefined` if the transaction is accepted; otherwise the refusal, and the caller must
 *   then discard `within`, whose changes are incomplete
 */
export function applyTransaction(
  prepared: PreparedTransaction,
  context: BlockContext,
): Refused | undefined {
  const { transaction } = prepared;
  const { before, within, height, time } = context;
  const policy = before.policy();
  const key = before.key(transaction.key);
  if (key === undefined) return { reason: "unknown-key" };
  if (key.actor !== transaction.author) return { reason: "key-of-another-actor" };
  if (!isInForce(key, height)) return { reason: "key-not-in-force" };
  if (key.use !== "sign" && !isOwnRecovery(prepared, key.use)) return { reason: "key-use" };
  const member = before.member(transaction.author);
  if (member === undefined || member.until !== null) return { reason: "not-a-member" };
  const last = within.seq(transaction.key, transaction.lane);
  if (last !== undefined && transaction.seq <= last) return { reason: "replayed-sequence" };
  if (transaction.time - policy.maxDrift > time) return { reason: "too-early" };
  if (time > transaction.time + policy.maxTxAge) return { reason: "too-old" };
  if (!(context.verdicts?.get(prepared) ?? isSignedBy(prepared, key))) {
    return { reason: "bad-signature" };
  }
  for (let i = 0; i < prepared.kinds.length; i++) {
    const refused = applyEntry(prepared, i, member.roles, context);
    if (refused !== undefined) return refused;
  }
  within.set(seqKey(transaction.key, transaction.lane), encodeNumber(transaction.seq));
  return undefined;
}

/** Whether a transaction is a recovery of its own actor; a recovery key may sign nothing else. */
function isOwnRecovery(prepared: PreparedTransaction, use: string): boolean {
  if (use !== "recovery" || prepared.decoded.size !== prepared.kinds.length) return false;
  for (const entry of prepared.decoded.values()) {
    if (isCustom(entry) || entry.kind !== "key" || entry.op !== "recover") return false;
    if (entry.actor !== prepared.transaction.author) return false;
  }
  return true;
}

function applyEntry(
  prepared: PreparedTransaction,
  index: number,
  roles: readonly Role[],
  context: BlockContext,
): Refused | undefined {
  const kind = prepared.kinds[index]!;
  const entitled = Object.hasOwn(AUTHORS, kind) ? AUTHORS[kind] : undefined;
  if (entitled === undefined) {
    return applyCustom(prepared, index, roles, context);
  }
  if (entitled !== "any" && !entitled.some((role) => roles.includes(role))) {
    return { reason: "not-entitled", entry: index };
  }
  const entry = prepared.decoded.get(index);
  if (entry?.kind === "contract" && !isCustom(entry)) {
    const refused = applyCall(entry as ContractEntry, prepared.transaction.author, context);
    return refused && { ...refused, entry: index };
  }
  const reason = entry === undefined ? undefined : applyGovernance(entry, prepared, context);
  return reason === undefined ? undefined : { reason, entry: index };
}

function applyGovernance(entry: Entry, prepared: PreparedTransaction, context: BlockContext) {
  if (isCustom(entry)) return undefined;
  const governance: GovernanceContext = {
    ledger: context.ledger,
    height: context.height,
    author: prepared.transaction.author,
    signedWith: prepared.transaction.key,
    before: context.before,
    within: context.within,
  };
  switch (entry.kind) {
    case "key":
      return applyKeyEntry(entry, governance);
    case "member":
      return applyMemberEntry(entry, governance);
    case "policy":
      return applyPolicyEntry(entry, governance);
    default:
      return undefined;
  }
}

/** Runs a call of a contract, and applies its changes. */
function applyCall(
  { contract: name, rule, action, call }: ContractEntry,
  author: string,
  { rules, before, within, height, time, unread }: BlockContext,
): Refused | undefined {
  const policy = before.policy();
  const registered = contractInForce(policy, name, height);
  if (registered === undefined) return { reason: "unknown-contract" };
  if (!registered.rule.equals(rule)) return { reason: "contract-changed" };
  const contract = rules.contracts.get(rule.toString());
  if (contract === undefined) return { reason: "contract-unavailable" };
  // Its code would write below the name of another contract.
  if (contract.manifest.name !== name) return { reason: "unknown-contract" };
  const outcome = runCall(contract, { action, call, author, height, time }, before, within);
  if ("refused" in outcome) return { reason: "contract-refused", code: outcome.refused };
  if ("unread" in outcome) {
    for (const key of outcome.unread) unread.add(key);
    return undefined;
  }
  for (const [key, value] of outcome.changes) within.set(key, value);
  return undefined;
}

function applyCustom(
  prepared: PreparedTransaction,
  index: number,
  roles: readonly Role[],
  context: BlockContext,
): Refused | undefined {
  const entry = prepared.decoded.get(index) as CustomEntry;
  const registered = context.before.policy().kinds.find((kind) => kind.name === entry.kind);
  if (registered === undefined) return { reason: "unknown-kind", entry: index };
  const rule = context.rules.kinds.get(entry.kind);
  if (rule === undefined || !rule.rule.equals(registered.rule)) {
    return { reason: "rule-unavailable", entry: index };
  }
  const stands = checkByRule(rule, entry, {
    ledger: context.ledger,
    height: context.height,
    time: context.time,
    author: prepared.transaction.author,
    roles,
    state: context.before,
  });
  return stands ? undefined : { reason: "rule-refused", entry: index };
}
