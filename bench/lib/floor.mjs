// @ts-check
import { hash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { open } from "lmdb";

const PACK_BYTES = 32_000;
const SLOT_BYTES = 44;
/** Bytes of an entry and of its place in a block. */
const ENTRY_BYTES = 148;
/** Bytes of a block and its record beside the entries: header, signatures, transaction, peaks. */
const BLOCK_BYTES = 1100;

/**
 * The least that an append could cost: SHA-256 of every blob, and a synced LMDB commit of the same
 * bytes under the same keys as the adapter's: packs, their tables, and one record a batch. No tree,
 * no signature, no state, no index, no copy of what is passed in.
 *
 * @param {string} path
 */
export function openFloor(path) {
  mkdirSync(path, { recursive: true });
  const encodings = /** @type {const} */ ({ keyEncoding: "binary", encoding: "binary" });
  const root = open({ path, maxDbs: 8, overlappingSync: false, ...encodings });
  const tables = root.openDB({ name: "tables", ...encodings });
  const packs = root.openDB({ name: "packs", ...encodings });
  const chains = root.openDB({ name: "chains", ...encodings });
  const state = root.openDB({ name: "state", ...encodings });
  /** Packs are written in order; the types of lmdb know no options here. */
  const inOrder = /** @type {any} */ ({ append: true });
  let pack = 0;
  let height = 0;

  /** @param {number} value */
  const key = (value, prefix = 0) => {
    const bytes = Buffer.alloc(prefix + 8);
    bytes.writeBigUInt64BE(BigInt(value), prefix);
    return bytes;
  };

  /** @param {readonly Uint8Array[]} blobs @param {readonly { key: Buffer, value: Buffer }[]} rows */
  function prepare(blobs, rows) {
    /** @type {{ bytes: Buffer, table: Buffer }[]} */
    const made = [];
    for (let from = 0; from < blobs.length;) {
      let size = 0;
      let to = from;
      while (to < blobs.length) {
        const { length } = /** @type {Uint8Array} */ (blobs[to]);
        if (to > from && size + length > PACK_BYTES) break;
        size += length;
        to++;
      }
      const bytes = Buffer.allocUnsafe(size);
      const table = Buffer.alloc((to - from) * SLOT_BYTES);
      let at = 0;
      for (let i = from; i < to; i++) {
        const blob = /** @type {Uint8Array} */ (blobs[i]);
        table.write(hash("sha256", blob, "binary"), (i - from) * SLOT_BYTES + 4, "binary");
        bytes.set(blob, at);
        at += blob.length;
      }
      made.push({ bytes, table });
      from = to;
    }
    const record = Buffer.alloc(BLOCK_BYTES + ENTRY_BYTES * blobs.length, 1);
    return () =>
      root.transaction(() => {
        for (const { bytes, table } of made) {
          pack++;
          tables.put(key(pack), table, inOrder);
          packs.put(key(pack), bytes, inOrder);
        }
        for (const { key, value } of rows) state.put(key, value);
        chains.put(key(height++, 16), record);
      });
  }

  return {
    /**
     * @param {readonly Uint8Array[]} blobs
     * @param {readonly { key: Buffer, value: Buffer }[]} [rows] - further values, under keys of any order
     * @returns {Promise<void>} resolves when synced; lmdb syncs once for all that waits, as our
     *   sequencer does
     */
    append: (blobs, rows = []) => prepare(blobs, rows)(),
    /** The newest record. */
    last() {
      const newest = { start: key(2 ** 52, 16), end: Buffer.alloc(1), reverse: true, limit: 1 };
      for (const { value } of chains.getRange(newest)) return value;
      return undefined;
    },
    close: () => root.close(),
  };
}
