// @ts-check
import { mkdirSync } from "node:fs";
import { open } from "lmdb";
import { lmdbStorage } from "../lib/healthledger.mjs";
import { storageRows } from "../lib/storage.mjs";

/**
 * LMDB with a database of records by number and one of values by hash, synced once a call.
 *
 * @param {string} path
 * @returns {import("../lib/storage.mjs").Bare}
 */
function bareLmdb(path) {
  mkdirSync(path, { recursive: true });
  const encodings = /** @type {const} */ ({ keyEncoding: "binary", encoding: "binary" });
  const root = open({ path, maxDbs: 2, overlappingSync: false, ...encodings });
  const records = root.openDB({ name: "records", ...encodings });
  const values = root.openDB({ name: "values", ...encodings });
  let next = 0;
  const key = () => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(next++));
    return bytes;
  };
  return {
    append: (all) =>
      root.transaction(() => {
        for (const record of all) void records.put(key(), /** @type {Buffer} */ (record));
      }),
    put: (blobs) =>
      root.transaction(() => {
        for (const { digest, bytes } of blobs)
          void values.put(digest, /** @type {Buffer} */ (bytes));
      }),
    get: (digest) => values.get(digest),
    scan(limit) {
      let found = 0;
      for (const { value } of records.getRange({ start: Buffer.alloc(1), limit })) {
        if (value.length > 0) found++;
      }
      return found;
    },
    close: () => root.close(),
  };
}

export const rows = storageRows("lmdb", {
  open: async ({ folder }) => ({
    storage: await lmdbStorage({ path: folder("ours") }),
    bare: bareLmdb(folder("bare")),
  }),
});
