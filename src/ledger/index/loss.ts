import { LedgerError, StorageError } from "../../errors.ts";

/** Thrown if another process moved the index: memory no longer matches its record. */
export class IndexMoved extends Error {}

/**
 * Whether an error means that data are missing or damaged, rather than that a store did not answer.
 */
export const isLoss = (error: unknown): error is LedgerError =>
  error instanceof LedgerError &&
  (!(error instanceof StorageError) || LOSSES.includes(error.code as string));

const LOSSES: readonly string[] = [
  "ERR_STORAGE_CORRUPT",
  "ERR_STORAGE_ERASED",
  "ERR_STORAGE_MISSING",
];
