import { LedgerError, StorageError } from "../../errors.ts";

/** What LMDB says of a file that is damaged, or none of its own. */
const DAMAGED: ReadonlySet<number> = new Set([
  -30797, // MDB_PAGE_NOTFOUND
  -30796, // MDB_CORRUPTED
  -30795, // MDB_PANIC
  -30794, // MDB_VERSION_MISMATCH
  -30793, // MDB_INVALID
  -30787, // MDB_CURSOR_FULL: a tree deeper than any
  -30784, // MDB_INCOMPATIBLE
  -30781, // MDB_BAD_VALSIZE
  -30780, // MDB_BAD_DBI
  -30779, // MDB_PROBLEM
]);

/** Whether LMDB threw it, and not a caller's own function. */
export function isLmdbError(error: unknown): boolean {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === "number" || /MDB_/.test(String(error));
}

/**
 * Gives an error its place in the family. A value that is too long or too short for what reads it is
 * damage too: nothing else makes a function that only reads throw a `RangeError` or a `TypeError`.
 *
 * @param message - says what could not be done, where the store is not damaged
 */
export function storageError(cause: unknown, message: string): LedgerError {
  if (cause instanceof LedgerError) return cause;
  const { code } = Object(cause) as { code?: unknown };
  const isDamage =
    (typeof code === "number" && DAMAGED.has(code)) ||
    cause instanceof RangeError ||
    cause instanceof TypeError;
  return isDamage
    ? new StorageError("ERR_STORAGE_CORRUPT", "LMDB finds the store damaged", { cause })
    : new StorageError("ERR_STORAGE_FAILED", message, { cause });
}

/** The error of something that LMDB holds and this adapter never wrote. */
export function corrupt(message: string): StorageError {
  return new StorageError("ERR_STORAGE_CORRUPT", message);
}
