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
  // contracts
  | "unknown-contract"
  | "contract-changed"
  | "contract-unavailable"
  | "contract-refused"
  | "contract-retroactive"
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

/** Each {@link Refusal}. */
export const REFUSALS: Readonly<Record<Refusal, true>> = {
  ...{ malformed: true, "over-limit": true, "wrong-ledger": true },
  ...{
    "entries-root-mismatch": true,
    "entry-count-mismatch": true,
    "transactions-root-mismatch": true,
  },
  ...{ "transaction-count-mismatch": true, "unknown-key": true, "key-not-in-force": true },
  ...{ "key-of-another-actor": true, "key-use": true, "bad-signature": true },
  ...{ "not-a-member": true, "not-entitled": true, "unknown-kind": true },
  ...{ "rule-unavailable": true, "rule-refused": true, "replayed-sequence": true },
  ...{ "unknown-contract": true, "contract-changed": true, "contract-unavailable": true },
  ...{ "contract-refused": true, "contract-retroactive": true },
  ...{ "too-early": true, "too-old": true, "time-backwards": true },
  ...{ "wrong-height": true, "wrong-prev": true, "wrong-state": true },
  ...{ "wrong-frontier": true, "key-known": true, "key-unknown": true },
  ...{ "no-proof-of-possession": true, "last-signing-key": true, "recovery-only": true },
  ...{ "too-many-keys": true, "approvals-missing": true, "approval-invalid": true },
  ...{ "approval-expired": true, "nonce-used": true, "member-known": true },
  ...{ "member-unknown": true, "threshold-unreachable": true, "no-sequencer-left": true },
  ...{ "no-checkpoint-key-left": true, missing: true },
};

/** A refusal, with the index of the entry if it concerns one. */
export interface Refused {
  readonly reason: Refusal;
  readonly entry?: number;
  /** For `contract-refused`: why, in the contract's own word or in one of the library's. */
  readonly code?: string;
}
