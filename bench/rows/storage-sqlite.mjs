// @ts-check
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import Database from "better-sqlite3";
import { sqliteStorage } from "../lib/healthledger.mjs";
import { storageRows } from "../lib/storage.mjs";

/** @param {string} path */
function connect(path) {
  mkdirSync(dirname(path), { recursive: true });
  return new Database(path);
}

/**
 * SQLite with records and values in rows by arrival, and an index of the values' hashes.
 *
 * @param {string} path
 * @returns {import("../lib/storage.mjs").Bare}
 */
function bareSqlite(path) {
  const database = connect(path);
  database.pragma("page_size = 16384");
  database.pragma("journal_mode = WAL");
  database.pragma("synchronous = FULL");
  database.exec(`
    CREATE TABLE records (id INTEGER PRIMARY KEY, record BLOB NOT NULL);
    CREATE TABLE vals (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL)`);
  const record = database.prepare("INSERT INTO records (record) VALUES (?)");
  const value = database.prepare("INSERT INTO vals (hash, bytes) VALUES (?, ?)");
  const get = database.prepare("SELECT bytes FROM vals WHERE hash = ?").pluck();
  const scan = database.prepare("SELECT record FROM records ORDER BY id LIMIT ?").pluck();
  const addRecords = database.transaction((/** @type {readonly Uint8Array[]} */ records) => {
    for (const bytes of records) record.run(bytes);
  });
  const addValues = database.transaction(
    (/** @type {readonly { digest: Uint8Array, bytes: Uint8Array }[]} */ blobs) => {
      for (const { digest, bytes } of blobs) value.run(digest, bytes);
    },
  );
  return {
    append: async (records) => addRecords.immediate(records),
    put: async (blobs) => addValues.immediate(blobs),
    get: (digest) => get.get(digest),
    scan(limit) {
      let found = 0;
      for (const bytes of scan.iterate(limit)) {
        if (/** @type {Buffer} */ (bytes).length > 0) found++;
      }
      return found;
    },
    close: async () => database.close(),
  };
}

export const rows = storageRows("sqlite", {
  open: async ({ folder }) => {
    const database = connect(`${folder("ours")}/store.db`);
    const storage = await sqliteStorage({ database });
    return { storage, bare: bareSqlite(`${folder("bare")}/store.db`) };
  },
});
