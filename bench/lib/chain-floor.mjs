// @ts-check
import { generateKeyPairSync, hash, randomBytes, sign, verify } from "node:crypto";
import { openFloor } from "./floor.mjs";

/** Bytes of an entry with the 00 that a leaf's hash begins with, and of two nodes with their 01. */
const LEAF_BYTES = 144;
const NODE_BYTES = 65;
/** Bytes of a transaction, of a signed one and of a header, each under its domain. */
const TRANSACTION_BYTES = 320;
const SIGNED_BYTES = 420;
const HEADER_BYTES = 400;
/** Bytes of a block's record: what an entry takes, and all the rest. */
const RECORD_ENTRY_BYTES = 148;
const RECORD_BYTES = 1100;

const bytes = randomBytes(2 ** 20);

/**
 * What the format demands of an append, bare: SHA-256 of every blob; a leaf and a node of the tree
 * for each entry; the transaction named and signed, its leaf; the header signed, its leaf and its
 * name; the hash of the record, by which the next one is compared; and the synced commit of
 * `openFloor`. No encoding, no state, no index, no copy, nothing checked.
 *
 * @param {string} path
 */
export function openChainFloor(path) {
  const floor = openFloor(path);
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");

  /** @param {number} length */
  const digest = (length) => hash("sha256", bytes.subarray(0, length), "binary");

  /**
   * The hashes and the signature of a transaction.
   *
   * @param {number} entries
   * @param {boolean} [received] - whether it comes from somewhere else, so that it must be checked
   */
  function transaction(entries, received = false) {
    for (let i = 0; i < entries; i++) digest(LEAF_BYTES);
    for (let i = 1; i < entries; i++) digest(NODE_BYTES);
    const tx = bytes.subarray(0, TRANSACTION_BYTES);
    const signature = sign(null, tx, privateKey);
    if (received && !verify(null, tx, publicKey, signature)) throw new Error("a bad signature");
    digest(TRANSACTION_BYTES);
    digest(SIGNED_BYTES);
  }

  /**
   * The hashes and the signature of a block of one transaction.
   *
   * @param {number} entries
   */
  function block(entries) {
    sign(null, bytes.subarray(0, HEADER_BYTES), privateKey);
    digest(HEADER_BYTES);
    digest(HEADER_BYTES);
    digest(Math.min(bytes.length, RECORD_BYTES + entries * RECORD_ENTRY_BYTES));
  }

  return {
    /**
     * Appends blobs as the only transaction of a block.
     *
     * @param {readonly Uint8Array[]} blobs
     */
    append(blobs) {
      transaction(blobs.length);
      block(blobs.length);
      return floor.append(blobs);
    },
    /**
     * Appends a blob whose transaction comes from somewhere else and shares its block with many, so
     * that the block's own signature and hashes are left out.
     *
     * @param {Uint8Array} blob
     */
    receive(blob) {
      transaction(1, true);
      return floor.append([blob]);
    },
    close: () => floor.close(),
  };
}
