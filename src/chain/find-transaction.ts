import { sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import type { Block } from "../block/block.ts";
import { decodeTransaction } from "../block/transaction.ts";
import type { TransactionPlace } from "./derived.ts";
import { decodeNumber, seqKey } from "./state.ts";

/** Blocks and states that are proved under the chain's root. */
export interface ProvedHistory {
  readonly size: number;
  readBlock(height: number): Promise<{ readonly block: Block }>;
  proveState(key: string, height: number): Promise<{ readonly value: Uint8Array | null }>;
}

/**
 * Finds where a transaction stands, proved either way: a place is that of a block that was read and
 * is under the chain's root, and `undefined` means that the states on both sides of where it would
 * stand are proved to have passed it over.
 *
 * @param hint - where the derived data say that it is, which are nobody's word
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

  /** Whether the lane has come as far as this transaction before the block at a height. */
  async function isPassed(height: number): Promise<boolean> {
    const { value } = await chain.proveState(seqKey(key, lane), height);
    return value !== null && decodeNumber(value) >= seq;
  }

  if (hint !== undefined && Number.isSafeInteger(hint.height) && hint.height < size) {
    const found = await inBlock(hint.height);
    if (found !== undefined) return found;
  }
  if (!(await isPassed(size))) return undefined;
  // Numbers of a lane rise in the ledger's order, so the block that passed this one is found by halves.
  let [low, high] = [0, size];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await isPassed(middle)) high = middle;
    else low = middle;
  }
  return inBlock(low);
}
