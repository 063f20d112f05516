import { LedgerError, StorageError } from "../../errors.ts";
import { AmbiguousAppend } from "../errors.ts";
import { closedError } from "../guards.ts";
import type {
  IndexeddbDatabase,
  IndexeddbFailure,
  IndexeddbObjectStore,
  IndexeddbRequest,
  IndexeddbTransaction,
} from "./client.ts";

/** The work of a transaction. */
export interface Access<T> {
  readonly mode: "readonly" | "readwrite";
  /** `false` lets a write return before it is flushed; default `true`. */
  readonly sync?: boolean;
  /**
   * May wait only for requests of this transaction: a transaction without a request in progress
   * commits by itself. An error that it throws aborts the transaction.
   */
  readonly work: (store: (name: string) => IndexeddbObjectStore) => Promise<T>;
}

/** A transaction in progress. */
export interface Running<T> {
  /**
   * The result of the work. For a writing transaction it resolves only once the transaction is
   * complete, since successful requests are undone if the commit fails afterwards. Rejects with the
   * error that the work threw, with `ERR_STORAGE_FAILED` if nothing was written, with an
   * {@link AmbiguousAppend} if that is unknown, or with `ERR_STORAGE_CLOSED`.
   */
  readonly result: Promise<T>;
  /** Resolves when the browser has finished it, whatever the outcome. */
  readonly ended: Promise<void>;
}

/** Runs a transaction. */
export function transact<T>(
  database: IndexeddbDatabase,
  stores: readonly string[],
  { mode, sync = true, work }: Access<T>,
): Running<T> {
  const durability = sync ? "strict" : "relaxed";
  let transaction: IndexeddbTransaction;
  try {
    transaction = database.transaction([...stores], mode, { durability });
  } catch (cause) {
    // `InvalidStateError`: the browser closed the database, and the event has not arrived yet.
    const error = errorName(cause) === "InvalidStateError" ? closedError() : failed(cause, mode);
    return { result: Promise.reject(error), ended: Promise.resolve() };
  }
  const completed = new Promise<boolean>((resolve) => {
    transaction.addEventListener("complete", () => resolve(true));
    transaction.addEventListener("abort", () => resolve(false));
  });
  const run = mode === "readonly" ? work : writing(transaction, completed, work);
  return {
    result: run((name) => transaction.objectStore(name)).catch((error: unknown) => {
      throw error instanceof LedgerError ? error : failed(transaction.error ?? error, mode);
    }),
    ended: completed.then(() => undefined),
  };
}

/** Runs the work, then waits for its commit. */
function writing<T>(
  transaction: IndexeddbTransaction,
  completed: Promise<boolean>,
  work: Access<T>["work"],
): Access<T>["work"] {
  return async (store) => {
    let value: T;
    try {
      value = await work(store);
    } catch (error) {
      try {
        transaction.abort();
      } catch {
        // It was aborted already.
      }
      await completed;
      throw error;
    }
    transaction.commit?.();
    if (!(await completed)) throw commitFailure(transaction.error);
    return value;
  };
}

/** Waits for a request. */
export function answer<T>(request: IndexeddbRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result as T));
    request.addEventListener("error", () => reject(request.error));
  });
}

/** Failures of a commit that certainly wrote nothing. */
const NOT_WRITTEN: ReadonlySet<string | undefined> = new Set(["QuotaExceededError", "DataError"]);

function commitFailure(cause: IndexeddbFailure | null): StorageError {
  return NOT_WRITTEN.has(cause?.name) ? failed(cause) : new AmbiguousAppend(cause);
}

function failed(cause: unknown, mode: Access<unknown>["mode"] = "readwrite"): StorageError {
  const message =
    mode === "readonly"
      ? "the browser could not read the data"
      : errorName(cause) === "QuotaExceededError"
        ? "this site's storage quota is exhausted; nothing was written"
        : "the browser failed; nothing was written";
  return new StorageError("ERR_STORAGE_FAILED", message, { cause });
}

function errorName(error: unknown): unknown {
  return (Object(error) as { name?: unknown }).name;
}
