import { expect } from "vitest";
import { transactionHash } from "../../src/block/transaction.ts";
import { toHex } from "../../src/bytes/hex.ts";
import type { Chain } from "../../src/chain/chain.ts";

/** Height and index of every transaction, by its hash; fails if one is included twice. */
export async function placesOf(chain: Chain): Promise<ReadonlyMap<string, string>> {
  const places = new Map<string, string>();
  for (let height = 0; height < chain.size; height++) {
    const { block } = await chain.readBlock(height);
    for (const [index, { tx }] of block.transactions.entries()) {
      const hash = toHex(transactionHash(tx));
      expect(places.has(hash), `${hash} is included twice`).toBe(false);
      places.set(hash, `${height} ${index}`);
    }
  }
  return places;
}
