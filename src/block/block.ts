import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectOneOf } from "../codec/shape.ts";
import { SIGNATURE_ALGS, type SignatureAlg } from "../crypto/signing-input.ts";
import { MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS, MAX_TRANSACTION_ENTRIES } from "./limits.ts";
import type { TransactionWithEntries } from "./transaction.ts";

/** A header, its proposer's signature, and the transactions with their entries. */
export interface Block {
  readonly header: Uint8Array;
  readonly alg: SignatureAlg;
  readonly sig: Uint8Array;
  readonly transactions: readonly TransactionWithEntries[];
}

/** Upper bound on the bytes that CBOR puts before a byte string of less than 4 GiB. */
const HEAD_BYTES = 9;

/**
 * Writes a block as canonical bytes.
 *
 * @example
 * const bytes = encodeBlock(decodeBlock(blockBytes)); // equal to blockBytes
 */
export function encodeBlock(block: Block): Uint8Array {
  let sizeHint = block.header.length + 256;
  const transactions = block.transactions.map(({ tx, alg, sig, entries }) => {
    sizeHint += tx.length + 128;
    for (const entry of entries) sizeHint += entry.length + HEAD_BYTES;
    return { tx, alg, sig, entries };
  });
  const { header, alg, sig } = block;
  return encode({ header, alg, sig, transactions }, { sizeHint });
}

/**
 * Decodes a block's outer structure; its header, transactions and entries remain bytes.
 *
 * @param bytes - borrowed: the returned byte arrays are views of it
 * @throws {EncodingError} when the bytes are not the canonical form of a block
 * @example
 * const { transactions } = decodeBlock(blockBytes);
 * for (const { entries } of transactions) entries.map((bytes) => decodeEntry(bytes).kind);
 */
export function decodeBlock(bytes: Uint8Array): Block {
  const map = expectMap(
    decode(bytes, { maxBytes: MAX_BLOCK_BYTES, maxDepth: 5, borrow: true }),
    "block",
    ["header", "alg", "sig", "transactions"],
  );
  return {
    header: expectBytes(map["header"], "block.header"),
    alg: expectOneOf(map["alg"], "block.alg", SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], "block.sig", 64),
    transactions: expectArray(
      map["transactions"],
      "block.transactions",
      MAX_BLOCK_TRANSACTIONS,
    ).map((item) => {
      const signed = expectMap(item, "block.transactions", ["tx", "alg", "sig", "entries"]);
      return {
        tx: expectBytes(signed["tx"], "transaction.tx"),
        alg: expectOneOf(signed["alg"], "transaction.alg", SIGNATURE_ALGS),
        sig: expectBytes(signed["sig"], "transaction.sig", 64),
        entries: expectArray(signed["entries"], "transaction.entries", MAX_TRANSACTION_ENTRIES).map(
          (entry) => expectBytes(entry, "entry"),
        ),
      };
    }),
  };
}
