import type { TreeHead } from "./connection.ts";
import type { StateChange } from "../storage/types.ts";
import type { Refusal } from "./refusal.ts";
import type { DurablePlace } from "./submission.ts";

/** The blocks that `chain.ingest` may append. */
export interface IngestOptions {
  /**
   * A checkpoint that the caller has accepted by the ledger's policy. Its signatures are not looked
   * at here.
   */
  readonly accepted: TreeHead;
  /**
   * RFC 9162 consistency proof from the ledger with these blocks to the accepted checkpoint; empty,
   * the default, if the last block is the last one under the checkpoint.
   */
  readonly proof?: readonly Uint8Array[];
  /** Gives changes of state that become durable together with these transactions' blocks. */
  readonly beside?: (
    transactions: readonly (DurablePlace & { readonly tx: Uint8Array })[],
  ) => readonly StateChange[];
  /** Aborts before anything is written; a later abort is ignored. */
  readonly signal?: AbortSignal;
}

/** Outcome of `chain.ingest`. */
export type IngestResult =
  { readonly ok: true; readonly size: number } | ({ readonly ok: false } & IngestFault);

/** Why blocks were refused. */
export interface IngestFault {
  readonly reason: Refusal | "beyond-the-checkpoint" | "not-under-the-checkpoint";
  /** Height of the block; absent if each is valid, but all together are not of the checkpoint's history. */
  readonly height?: number;
  readonly transaction?: number;
  readonly entry?: number;
}

/** Blocks beyond a chain that were checked by every rule and are in no store; made by `chain.checkAhead`. */
export interface BlocksAhead {
  /** Number of blocks: the chain's, and those that were checked beyond it. */
  readonly size: number;
  /** The root at a size, from the chain's to {@link size}; `undefined` at any other. */
  rootAt(size: number): Uint8Array | undefined;
  /**
   * Forgets what the chain has by now. If the chain has gone beyond what was checked, or holds other blocks,
   * checking begins again at its end.
   */
  settle(): Promise<void>;
  /**
   * Checks the next block, and keeps what it changes, but not the block.
   *
   * @param bytes - the encoded block; borrowed until this resolves
   * @returns why it was refused; then nothing has changed
   * @throws {ChainError} `ERR_CHAIN_BUSY` when so much is ahead of the chain that the memory would not do
   */
  check(bytes: Uint8Array): Promise<IngestFault | undefined>;
}
