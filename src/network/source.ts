import type { Chain } from "../chain/chain.ts";
import type { AcceptedCheckpoint } from "../chain/checkpoints.ts";
import type { PolicyStep } from "../chain/trust.ts";

/** A ledger as it is served: its blocks, and the checkpoint that covers those which may be seen. */
export interface LedgerSource {
  readonly chain: Chain;
  /** The newest checkpoint that the ledger's policy accepts; `undefined` before the first. */
  readonly newest: AcceptedCheckpoint | undefined;
  /**
   * Resolves once the newest checkpoint has more than so many blocks, or the signal aborts.
   *
   * @throws {ChainError} `ERR_CHAIN_CLOSED` once the source is closed
   */
  grown(after: number, signal: AbortSignal): Promise<void>;
  /** The steps by which the policy changed since the genesis record, oldest first. */
  policy(): Promise<readonly PolicyStep[]>;
}
