import { LedgerError, StorageError } from "../../errors.ts";

/** LMDB's codes for a file that is damaged or not LMDB's. */
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

/** Whether LMDB threw the error, and not a caller's own function. */
export function isLmdbError(error: unknown): boolean {
  const { code } = Object(error) as { code?: unknown };
  return typeof code === "number" || /MDB_/.test(String(error));
}

/**
 * Converts an error to this library's. A value too long or too short to decode is damage too:
 * nothing else makes a read-only function throw a `RangeError` or a `TypeError`.
 *
 * @param message - says what failed, if the store is not damaged
 */
export function storageError(cause: unknown, message: string): LedgerError {
  if (cause instanceof LedgerError) return cause;
  const { code } = Object(cause) as { code?: unknown };
  const isDamage =
    (typeof code === "number" && DAMAGED.has(code)) ||
    cause instanceof RangeError ||
    cause instanceof TypeError;
  return isDamage
    ? new StorageError("ERR_STORAGE_CORRUPT", "LMDB reports that the store is damaged", { cause })
    : new StorageError("ERR_STORAGE_FAILED", message, { cause });
}

/** The error for data in LMDB that this adapter never wrote. */
export function corrupt(message: string): StorageError {
  return new StorageError("ERR_STORAGE_CORRUPT", message);
}
