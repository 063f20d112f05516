import { LedgerError, StorageError } from "../../errors.ts";
import { AmbiguousAppend } from "../errors.ts";

/** The five characters of SQLSTATE, if the server sent the error. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  const severity = (error as { severity?: unknown } | null | undefined)?.severity;
  return typeof code === "string" && typeof severity === "string" ? code : undefined;
}

/** Whether a transaction was rolled back only because it conflicted with another one. */
export function isRetryable(error: unknown): boolean {
  return ["40001", "40P01"].includes(sqlState(error) ?? "");
}

/**
 * Whether a connection is unusable after an error: the error did not come from the server, or the
 * server hung up.
 */
export function isBroken(error: unknown): boolean {
  return /^(57P|08)/.test(sqlState(error) ?? "08") && !(error instanceof LedgerError);
}

/** The error of a call that certainly wrote nothing. */
export function asFailed(error: unknown): unknown {
  if (error instanceof LedgerError || error instanceof TypeError || error instanceof RangeError) {
    return error;
  }
  const state = sqlState(error) ?? "";
  // Damage that PostgreSQL detected itself: a checksum, a missing piece, an impossible length.
  if (state.startsWith("XX")) {
    return new StorageError("ERR_STORAGE_CORRUPT", "the server reports damaged data", {
      cause: error,
    });
  }
  return new StorageError("ERR_STORAGE_FAILED", reasonOf(state), { cause: error });
}

/** The error of a call whose COMMIT was sent and not confirmed. */
export function asUnsettled(error: unknown): unknown {
  // An answer other than hanging up means that the transaction was rolled back.
  return isBroken(error) ? new AmbiguousAppend(error) : asFailed(error);
}

function reasonOf(state: string): string {
  if (state === "25006") return "the server accepts no writes: it is read-only or a standby";
  if (state === "42501") return "the role lacks a privilege";
  if (state.startsWith("53")) return "the server lacks disk, memory or connections";
  if (state.startsWith("3F") || state === "42P01") return "the schema does not exist";
  return state === "" ? "the server cannot be reached" : `the server refused, SQLSTATE ${state}`;
}
