import { ChainError } from "../errors.ts";
import type { Refused } from "./refusal.ts";

/** Thrown for a transaction that the ledger's rules refuse; none of its entries was recorded. */
export class TransactionRefused extends ChainError {
  override readonly name: string = "TransactionRefused";
  /** The reason, with the index of the entry if it concerns one. */
  readonly refused: Refused;

  constructor(refused: Refused) {
    const where = refused.entry === undefined ? "" : ` at entry ${refused.entry}`;
    const why = refused.code === undefined ? "" : ` (${refused.code})`;
    super("ERR_CHAIN_REFUSED", `the transaction was refused: ${refused.reason}${why}${where}`);
    this.refused = refused;
  }
}

/** The place of a recorded transaction. */
export interface DurablePlace {
  readonly height: number;
  /** Index of the transaction in its block. */
  readonly transaction: number;
}

/**
 * State of a submitted transaction. `queued`: in memory only. `durable`: in a block, with the
 * durability that the storage promises. `checkpointed`: under a signed checkpoint. `witnessed`:
 * under one that the cosignature policy accepts. `refused`: it will never be recorded in this form.
 * `unknown`: the ledger could not determine whether it was recorded; submitting it again is safe.
 */
export type SubmissionState =
  "queued" | "durable" | "checkpointed" | "witnessed" | "refused" | "unknown";

/** A submitted transaction. */
export interface Submission {
  /** SHA-256 of the transaction's bytes, by which submitting is idempotent. */
  readonly hash: Uint8Array;
  readonly state: SubmissionState;
  /**
   * Resolves once the transaction is durable.
   *
   * Rejects with {@link TransactionRefused}, or with the storage's error; after
   * `ERR_STORAGE_AMBIGUOUS` submitting the same transaction again is safe.
   */
  readonly durable: Promise<DurablePlace>;
  /**
   * Resolves once the transaction is under a signed checkpoint, signing one if necessary.
   *
   * Rejects as {@link durable} does, and with `ERR_CHAIN_CHECKPOINT` when no checkpoint can be
   * signed; the sequencer must have a checkpointer.
   */
  checkpointed(): Promise<CheckpointedPlace>;
}

/** A place under a checkpoint. */
export interface CheckpointedPlace extends DurablePlace {
  /** The signed note. */
  readonly checkpoint: Uint8Array;
  /** Whether it satisfies the ledger's cosignature policy. */
  readonly witnessed: boolean;
}
