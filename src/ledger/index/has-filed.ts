import { decodeEntry, isCustom } from "../../block/entry.ts";
import { decodeTransaction } from "../../block/transaction.ts";
import type { Chain } from "../../chain/chain.ts";

/**
 * Whether an actor has a sealed entry on the ledger. Reads the blocks until it finds one: the state
 * does not list the lanes of a key, so it cannot be asked.
 */
export async function hasFiled(chain: Chain, actor: string): Promise<boolean> {
  await chain.refresh();
  for (let height = 0; height < chain.size; height++) {
    const { block } = await chain.readBlock(height);
    for (const { tx, entries } of block.transactions) {
      if (decodeTransaction(tx).author !== actor) continue;
      for (const bytes of entries) {
        const entry = decodeEntry(bytes);
        if (!isCustom(entry) && "body" in entry) return true;
      }
    }
  }
  return false;
}
