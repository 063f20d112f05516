import type { Sequencer } from "../chain/sequencer.ts";
import { ChainError } from "../errors.ts";

/** What takes transactions of other members into the ledger's order. */
export type TransactionSink = Pick<Sequencer, "submit" | "ready">;

/** @param isHome - whether this process orders the ledger; otherwise every transaction is refused */
export function transactionSink(sequencer: Sequencer, isHome: boolean): TransactionSink {
  return {
    submit(signed) {
      // No writes: what is beside another's transactions is the other's.
      if (isHome) return sequencer.submit(signed);
      throw new ChainError("ERR_CHAIN_READ_ONLY", "only a home takes transactions of others");
    },
    ready: () => sequencer.ready(),
  };
}
