// @ts-check
import { memoryStorage } from "../lib/healthledger.mjs";
import { storageRows } from "../lib/storage.mjs";

/**
 * An array and a map, with copies of what is passed in.
 *
 * @returns {import("../lib/storage.mjs").Bare}
 */
function bareMemory() {
  /** @type {Uint8Array[]} */
  const records = [];
  /** @type {Map<string, Uint8Array>} */
  const values = new Map();
  const name = (/** @type {Uint8Array} */ digest) => Buffer.from(digest).toString("latin1");
  return {
    append: async (all) => {
      for (const record of all) records.push(new Uint8Array(record));
    },
    put: async (blobs) => {
      for (const { digest, bytes } of blobs) values.set(name(digest), new Uint8Array(bytes));
    },
    get: (digest) => values.get(name(digest))?.slice(),
    scan: (limit) => records.slice(0, limit).map((record) => record.slice()).length,
    close: async () => {},
  };
}

export const rows = storageRows("memory", {
  open: async () => ({ storage: memoryStorage(), bare: bareMemory() }),
});
