import { ChainError } from "../errors.ts";
import type { Refused } from "./refusal.ts";

/** A transaction that the ledger's rules refuse; nothing of it was recorded. */
export class TransactionRefused extends ChainError {
  override readonly name: string = "TransactionRefused";
  /** Why, and which entry it concerns where it concerns one. */
  readonly refused: Refused;

  constructor(refused: Refused) {
    const where = refused.entry === undefined ? "" : ` at entry ${refused.entry}`;
    super("ERR_CHAIN_REFUSED", `the transaction is refused: ${refused.reason}${where}`);
    this.refused = refused;
  }
}

/** Where a recorded transaction stands. */
export interface DurablePlace {
  readonly height: number;
  /** Index of the transaction in its block. */
  readonly transaction: number;
}

/**
 * How far a submitted transaction has come. `queued`: in memory only. `durable`: in a block that
 * survives what the storage promises. `checkpointed`: under a signed checkpoint. `witnessed`: under
 * one that the cosignature policy accepts. `refused`: it will never be recorded as it is. `unknown`:
 * whether it was recorded could not be found out; submitting it again is safe.
 */
export type SubmissionState =
  "queued" | "durable" | "checkpointed" | "witnessed" | "refused" | "unknown";

/** A transaction on its way. */
export interface Submission {
  /** SHA-256 of the transaction's bytes, by which submitting is idempotent. */
  readonly hash: Uint8Array;
  readonly state: SubmissionState;
  /**
   * Resolves once it is durable.
   *
   * Rejects with {@link TransactionRefused}, or with the storage's error; after
   * `ERR_STORAGE_AMBIGUOUS` submitting the same transaction again is safe.
   */
  readonly durable: Promise<DurablePlace>;
  /**
   * Resolves once it is under a signed checkpoint, signing one if need be.
   *
   * Rejects as {@link durable} does, and with `ERR_CHAIN_CHECKPOINT` when no checkpoint can be
   * signed; the sequencer needs a checkpointer.
   */
  checkpointed(): Promise<CheckpointedPlace>;
}

/** A place under a checkpoint. */
export interface CheckpointedPlace extends DurablePlace {
  /** The signed note. */
  readonly checkpoint: Uint8Array;
  /** Whether the ledger's cosignature policy is satisfied by it. */
  readonly witnessed: boolean;
}
