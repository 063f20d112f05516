import { LedgerError, StorageError } from "../../errors.ts";

/** Thrown where another process moved the index: what is in memory is not of its record any more. */
export class IndexMoved extends Error {}

/** Whether an error says that something is gone or damaged, rather than that a store did not answer. */
export const isLoss = (error: unknown): error is LedgerError =>
  error instanceof LedgerError &&
  (!(error instanceof StorageError) || LOSSES.includes(error.code as string));

const LOSSES: readonly string[] = [
  "ERR_STORAGE_CORRUPT",
  "ERR_STORAGE_ERASED",
  "ERR_STORAGE_MISSING",
];
