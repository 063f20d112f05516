import { entryId } from "../../src/block/entry.ts";
import { decodeTransaction } from "../../src/block/transaction.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { toEntryId } from "../../src/codec/ids.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";

/** Reads a store that nobody has open, from the first block on. */
export async function readCopy(path: string, genesis: Uint8Array) {
  const storage = await lmdbStorage({ path });
  const verified = await verifyLedger(storage.chains!, { genesis });
  const chain = await openChain({ storage, genesis });
  /** How often each entry is there, by its id. */
  const entries = new Map<string, number>();
  for (let height = 0; height < chain.size; height++) {
    const { block } = await chain.readBlock(height);
    for (const transaction of block.transactions) {
      const { author } = decodeTransaction(transaction.tx);
      for (const bytes of transaction.entries) {
        const id: string = toEntryId(entryId(chain.ledger, author, bytes));
        entries.set(id, (entries.get(id) ?? 0) + 1);
      }
    }
  }
  const root = toHex(chain.root);
  await chain.close();
  await storage.close();
  return { verified, entries, root };
}
