import { StorageError } from "../../errors.ts";

/** A value bound to a statement. Parameters are anonymous: better-sqlite3 takes `?1` for a name. */
export type SqliteValue = Uint8Array | number;

/** The part of a prepared statement that the adapter uses. */
export interface SqliteStatement {
  get(...values: SqliteValue[]): unknown;
  all(...values: SqliteValue[]): unknown[];
  run(...values: SqliteValue[]): unknown;
}

/**
 * The part of an open connection that the adapter uses, common to `DatabaseSync` of `node:sqlite`
 * and to `better-sqlite3`, so that neither is imported.
 */
export interface SqliteDatabase {
  exec(sql: string): unknown;
  prepare(sql: string): SqliteStatement;
}

/**
 * Prepares a statement that returns rows as objects and integers as numbers, whatever the default.
 */
export function prepare(database: SqliteDatabase, sql: string): SqliteStatement {
  const statement = database.prepare(sql);
  const { setReadBigInts, setReturnArrays, safeIntegers } = statement as {
    setReadBigInts?(on: boolean): void;
    setReturnArrays?(on: boolean): void;
    safeIntegers?(on: boolean): void;
  };
  setReadBigInts?.call(statement, false);
  setReturnArrays?.call(statement, false);
  safeIntegers?.call(statement, false);
  return statement;
}

/** The only value of the only row that a `PRAGMA` returns. */
export function pragma(database: SqliteDatabase, text: string): unknown {
  const row = prepare(database, `PRAGMA ${text}`).get();
  return Object.values(Object(row) as object)[0];
}

/** Primary result codes that the adapter distinguishes. */
const CODES: ReadonlyMap<number, string> = new Map([
  [5, "BUSY"],
  [6, "LOCKED"],
  [11, "CORRUPT"],
  [13, "FULL"],
  [26, "NOTADB"],
]);

/**
 * The primary result code of an SQLite error, without `SQLITE_`; `OTHER` for codes that the adapter
 * does not distinguish.
 *
 * @returns `undefined` if the error is not SQLite's
 */
export function resultCode(error: unknown): string | undefined {
  const { code, errcode } = Object(error) as { code?: unknown; errcode?: unknown };
  if (typeof errcode === "number") return CODES.get(errcode & 0xff) ?? "OTHER";
  // better-sqlite3 gives the extended code by name
  return typeof code === "string" ? /^SQLITE_([A-Z]+)/.exec(code)?.[1] : undefined;
}

/** Whether another connection is in the way, so that the same call may soon succeed. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === "BUSY" || code === "LOCKED";
}

/** Converts an error to this library's, if nothing was written for certain. */
export function failure(cause: unknown, what: string): StorageError {
  if (cause instanceof StorageError) return cause;
  const code = resultCode(cause);
  if (code === "CORRUPT" || code === "NOTADB") {
    return new StorageError("ERR_STORAGE_CORRUPT", "the database is damaged", { cause });
  }
  return new StorageError("ERR_STORAGE_FAILED", what, { cause });
}

/** A row with columns by name. */
export type Row = Readonly<Record<string, unknown>>;

/**
 * Reads the bytes of a column.
 *
 * @returns a plain `Uint8Array` that nothing else holds
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when the column has another type
 */
export function bytesIn(row: unknown, column: string): Uint8Array {
  const value = (row as Row | undefined)?.[column];
  if (!(value instanceof Uint8Array)) throw notSense(column);
  const { buffer, length } = value;
  // Adopts a `Buffer` that has its own memory; copies one that may share memory.
  return length === buffer.byteLength && length > 0
    ? new Uint8Array(buffer)
    : new Uint8Array(value);
}

/**
 * Reads the number in a column.
 *
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when the column has another type
 */
export function uintIn(row: unknown, column: string): number {
  const value = (row as Row | undefined)?.[column];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw notSense(column);
  }
  return value;
}

function notSense(column: string): StorageError {
  return new StorageError(
    "ERR_STORAGE_CORRUPT",
    `column ${column} holds a value that this adapter never wrote`,
  );
}
