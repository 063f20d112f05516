import { InputError, StorageError } from "../../errors.ts";
import type { Durability } from "../types.ts";
import { pragma, prepare, uintIn, type SqliteDatabase } from "./client.ts";

/** Bytes per page in a new file: with 1 KB blobs it is faster than 4 or 32 KiB. */
const PAGE_SIZE = 16_384;
/** Milliseconds for which SQLite itself waits for a lock, blocking the whole process. */
const BLOCKING_WAIT = 20;

/**
 * Steps from one version of the tables to the next; the first creates them. Never changed once
 * released. No `STRICT` tables: shells before SQLite 3.37 could not read them.
 */
const STEPS: readonly string[] = [
  `CREATE TABLE hl_chains (
     id INTEGER PRIMARY KEY,
     name TEXT NOT NULL UNIQUE
   );
   CREATE TABLE hl_records (
     chain INTEGER NOT NULL REFERENCES hl_chains (id),
     position INTEGER NOT NULL,
     record BLOB NOT NULL,
     PRIMARY KEY (chain, position)
   ) WITHOUT ROWID;
   CREATE TABLE hl_blobs (
     arrival INTEGER PRIMARY KEY,
     sha256 BLOB NOT NULL,
     codec INTEGER NOT NULL,
     bytes BLOB NOT NULL,
     UNIQUE (sha256, codec)
   );
   CREATE TABLE hl_state (
     key BLOB NOT NULL PRIMARY KEY,
     value BLOB NOT NULL,
     checksum BLOB NOT NULL
   ) WITHOUT ROWID;
   CREATE VIEW hl_show_chains AS
     SELECT name, count(*) AS size, sum(length(record)) AS bytes, max(position) AS newest
     FROM hl_records JOIN hl_chains ON id = chain GROUP BY chain;
   CREATE VIEW hl_show_records AS
     SELECT name, position, length(record) AS bytes, lower(hex(record)) AS record
     FROM hl_records JOIN hl_chains ON id = chain;
   CREATE VIEW hl_show_blobs AS
     SELECT arrival, lower(hex(sha256)) AS sha256, printf('0x%x', codec) AS codec,
       length(bytes) AS bytes
     FROM hl_blobs;
   CREATE VIEW hl_show_state AS
     SELECT lower(hex(key)) AS "key", length(value) AS bytes, lower(hex(value)) AS value
     FROM hl_state;`,
];

/** The promises of a prepared connection. */
export interface Promised {
  readonly durability: Durability;
  readonly multiProcess: boolean;
}

/**
 * Prepares a connection.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when the database is not in UTF-8
 */
export function setUp(database: SqliteDatabase): void {
  database.exec(`PRAGMA busy_timeout = ${BLOCKING_WAIT}`);
  if (pragma(database, "encoding") !== "UTF-8") {
    throw new InputError("ERR_INPUT_UNSUPPORTED", "the database must be in UTF-8");
  }
  if (Number(pragma(database, "page_count")) === 0) {
    database.exec(`PRAGMA page_size = ${PAGE_SIZE}`);
  }
  pragma(database, "journal_mode = WAL");
  // Set even if it has this value already: some builds, such as better-sqlite3's, default to NORMAL
  // from the first page read of a log on.
  const extra = Number(pragma(database, "synchronous")) > 2;
  database.exec(`PRAGMA synchronous = ${extra ? "EXTRA" : "FULL"}`);
  // On macOS a plain fsync leaves data in the disk's cache.
  database.exec("PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON");
  database.exec("PRAGMA cell_size_check = ON");
}

/**
 * Finds the promises of a prepared connection with tables.
 *
 * @throws {StorageError} `ERR_STORAGE_FAILED` when a file has no write-ahead log or is not synced
 */
export function durabilityOf(database: SqliteDatabase): Promised {
  if (!isFile(database)) return { durability: "none", multiProcess: false };
  const journal = pragma(database, "journal_mode");
  if (journal !== "wal" || Number(pragma(database, "synchronous")) < 2) {
    throw new StorageError(
      "ERR_STORAGE_FAILED",
      "the database does not accept a write-ahead log (journal_mode = WAL) or synchronous = FULL",
    );
  }
  return { durability: "power", multiProcess: pragma(database, "locking_mode") === "normal" };
}

/**
 * Syncs the log. A process that was killed between writing a commit and syncing it leaves a log
 * that the next connection treats as complete: what that connection then showed, or acknowledged as
 * a replay, might be lost with the power. A checkpoint syncs the log before anything else, waits
 * for no writer, and is busy only if another connection is running one, which has synced as well.
 */
export function syncLog(database: SqliteDatabase): void {
  prepare(database, "PRAGMA wal_checkpoint(PASSIVE)").get();
}

/** Whether the database has a file, rather than being in memory or private to this connection. */
function isFile(database: SqliteDatabase): boolean {
  const databases = prepare(database, "PRAGMA database_list").all() as {
    readonly name: string;
    readonly file: string | null;
  }[];
  return Boolean(databases.find(({ name }) => name === "main")?.file);
}

/**
 * Creates the tables, or migrates older ones to this version, in one transaction.
 *
 * @param steps - SQL from each version to the next
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when they have a newer version
 */
export function migrate(database: SqliteDatabase, steps: readonly string[] = STEPS): void {
  // An opening that needs no step waits for no transaction.
  if (versionOf(database) === steps.length) return;
  database.exec("BEGIN IMMEDIATE");
  try {
    const version = versionOf(database);
    if (version > steps.length) {
      throw new InputError(
        "ERR_INPUT_UNSUPPORTED",
        `the tables are of version ${version}, but this library supports up to ${steps.length}: upgrade the library`,
      );
    }
    for (const step of steps.slice(version)) database.exec(step);
    database.exec("CREATE TABLE IF NOT EXISTS hl_format (version INTEGER NOT NULL)");
    database.exec("DELETE FROM hl_format");
    database.exec(`INSERT INTO hl_format (version) VALUES (${steps.length})`);
    database.exec("COMMIT");
  } catch (error) {
    rollBack(database);
    throw error;
  }
}

/** Version of the tables; 0 if there are none. */
function versionOf(database: SqliteDatabase): number {
  const table = "SELECT count(*) AS count FROM sqlite_master WHERE name = 'hl_format'";
  if (uintIn(prepare(database, table).get(), "count") === 0) return 0;
  return uintIn(prepare(database, "SELECT version FROM hl_format").get(), "version");
}

/** Ends a failed transaction; some errors have ended it already. */
export function rollBack(database: SqliteDatabase): void {
  try {
    database.exec("ROLLBACK");
  } catch {
    // no transaction is open
  }
}
