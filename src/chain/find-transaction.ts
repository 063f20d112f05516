import { sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import type { Block } from "../block/block.ts";
import { decodeTransaction } from "../block/transaction.ts";
import type { TransactionPlace } from "./derived.ts";
import { decodeNumber, seqKey } from "./state.ts";

/** Blocks and states proved under the chain's root. */
export interface ProvedHistory {
  readonly size: number;
  readBlock(height: number): Promise<{ readonly block: Block }>;
  proveState(key: string, height: number): Promise<{ readonly value: Uint8Array | null }>;
}

/**
 * Finds the place of a transaction, with a proved result either way. A place is in a block that was
 * read and is under the chain's root. `undefined` means that the states before and after the place
 * it would have are proved to have passed over it.
 *
 * @param hint - its place according to the derived data, which are not trusted
 * @throws {ChainError} or {ProofError} when the store cannot say
 */
export async function findTransaction(
  chain: ProvedHistory,
  [key, lane, seq]: readonly [key: Uint8Array, lane: number, seq: number],
  hint: TransactionPlace | undefined,
): Promise<TransactionPlace | undefined> {
  const { size } = chain;

  async function inBlock(height: number): Promise<TransactionPlace | undefined> {
    const { block } = await chain.readBlock(height);
    for (const [transaction, { tx }] of block.transactions.entries()) {
      const fields = decodeTransaction(tx);
      if (fields.lane === lane && fields.seq === seq && equalBytes(fields.key, key)) {
        return { height, transaction, hash: sha256(tx) };
      }
    }
    return undefined;
  }

  /** Whether the lane has reached this transaction before the block at a height. */
  async function isPassed(height: number): Promise<boolean> {
    const { value } = await chain.proveState(seqKey(key, lane), height);
    return value !== null && decodeNumber(value) >= seq;
  }

  if (hint !== undefined && Number.isSafeInteger(hint.height) && hint.height < size) {
    const found = await inBlock(hint.height);
    if (found !== undefined) return found;
  }
  if (!(await isPassed(size))) return undefined;
  // Sequence numbers of a lane increase in the ledger's order, so the block that passed this one is
  // found by binary search.
  let [low, high] = [0, size];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await isPassed(middle)) high = middle;
    else low = middle;
  }
  return inBlock(low);
}
