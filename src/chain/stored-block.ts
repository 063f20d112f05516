import type { Block } from "../block/block.ts";
import { type Header, decodeHeader } from "../block/header.ts";
import { encodeSignedTransaction, rootOfSigned, decodeTransaction } from "../block/transaction.ts";
import { equalBytes } from "../bytes/compare.ts";
import { ChainError, EncodingError, LedgerError, StorageError } from "../errors.ts";
import { leafHash } from "../merkle/hash.ts";
import { treeRoot } from "../merkle/tree.ts";
import type { ChainStore } from "../storage/types.ts";
import { readBlock } from "./apply-block.ts";
import { decodeBlockRecord } from "./block-record.ts";

/** A block as read from the store. */
export interface StoredBlock {
  readonly block: Block;
  /** The block's canonical bytes. */
  readonly bytes: Uint8Array;
  readonly header: Header;
}

/**
 * Reads a block, and the peaks of the header tree after it, out of a record of the store.
 *
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the record or its block is malformed
 */
export function decodeStoredBlock(
  record: Uint8Array,
  height: number,
): { readonly block: Block; readonly bytes: Uint8Array; readonly peaks: readonly Uint8Array[] } {
  try {
    const { block: bytes, peaks } = decodeBlockRecord(record);
    const block = readBlock(bytes);
    if (block === undefined) throw invalidBlock(height, "malformed");
    return { block, bytes, peaks };
  } catch (error) {
    if (error instanceof EncodingError) throw invalidBlock(height, "malformed");
    throw error;
  }
}

/** Whether a block's transactions are those that its header names, each with all its entries. */
export function holdsItsTransactions(block: Block, header: Header): boolean {
  const leaves = block.transactions.map((signed) => leafHash(encodeSignedTransaction(signed)));
  return (
    equalBytes(treeRoot(leaves), header.transactions) &&
    block.transactions.every((signed) =>
      equalBytes(rootOfSigned(signed), decodeTransaction(signed.tx).entries),
    )
  );
}

/**
 * Reads the header of a block that came from the store.
 *
 * @throws {ChainError} `ERR_CHAIN_INVALID` when it is malformed
 */
export function readStoredHeader(block: Block, height: number): Header {
  try {
    return decodeHeader(block.header);
  } catch (error) {
    if (error instanceof LedgerError) throw invalidBlock(height, "malformed");
    throw error;
  }
}

/** Reads at most `limit` records, beginning with number `from`; fewer if the chain ends before. */
export async function readStoredRecords(
  chains: ChainStore,
  name: string,
  from: number,
  limit: number,
): Promise<Uint8Array[]> {
  const records: Uint8Array[] = [];
  for await (const { record } of chains.read(name, { from, limit })) records.push(record);
  return records;
}

/** A block in this chain's own store is not what it must be: no peer is at fault, and none can help. */
export class InvalidStoredBlock extends ChainError {}

/** Whether the store is at fault, whoever else was asked for something meanwhile. */
export const isOwnStore = (error: unknown): boolean =>
  error instanceof StorageError || error instanceof InvalidStoredBlock;

/** The error for a block in the store that is not what it must be. */
export function invalidBlock(height: number, reason: string): ChainError {
  return new InvalidStoredBlock("ERR_CHAIN_INVALID", `block ${height} in the store: ${reason}`);
}

/** The error for a store that has fewer blocks than it had. */
export function lostBlocks(before: number, now: number): ChainError {
  return new ChainError(
    "ERR_CHAIN_LOST",
    `the store had at least ${before} blocks and now holds ${now}: restore its newest copy`,
  );
}
