/** Why a block, transaction or entry is refused. */
export type Refusal =
  // form
  | "malformed"
  | "over-limit"
  | "wrong-ledger"
  | "entries-root-mismatch"
  | "entry-count-mismatch"
  | "transactions-root-mismatch"
  | "transaction-count-mismatch"
  // signatures and keys
  | "unknown-key"
  | "key-not-in-force"
  | "key-of-another-actor"
  | "key-use"
  | "bad-signature"
  // members and authority
  | "not-a-member"
  | "not-entitled"
  | "unknown-kind"
  | "rule-unavailable"
  | "rule-refused"
  // order and time
  | "replayed-sequence"
  | "too-early"
  | "too-old"
  | "time-backwards"
  | "wrong-height"
  | "wrong-prev"
  | "wrong-state"
  | "wrong-frontier"
  // keys
  | "key-known"
  | "key-unknown"
  | "no-proof-of-possession"
  | "last-signing-key"
  | "recovery-only"
  | "too-many-keys"
  // governance
  | "approvals-missing"
  | "approval-invalid"
  | "approval-expired"
  | "nonce-used"
  | "member-known"
  | "member-unknown"
  | "threshold-unreachable"
  | "no-sequencer-left"
  | "no-checkpoint-key-left"
  // store
  | "missing";

/** A refusal, with the index of the entry if it concerns one. */
export interface Refused {
  readonly reason: Refusal;
  readonly entry?: number;
}
