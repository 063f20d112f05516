import { InputError, StorageError } from "../../errors.ts";
import type {
  IndexeddbDatabase,
  IndexeddbFactory,
  IndexeddbFailure,
  IndexeddbRequest,
  IndexeddbTransaction,
} from "./client.ts";
import { transact, type Access } from "./transact.ts";

/** Version of the database, and so of the layout. */
const VERSION = 1;

/** Chain's name → `{ id, size, hash }`. */
export const HEADS = "heads";
/** `[id, index]` → records from there on, an array. */
export const RECORDS = "records";
/** Bytes of the CID → bytes. */
export const BLOBS = "blobs";
/** Key → value. */
export const STATE = "state";

const STORES = [HEADS, RECORDS, BLOBS, STATE];

/** An open database, until its owner or the browser closes it. */
export interface Database {
  /** Whether the browser supports transactions that are flushed before they complete. */
  readonly strict: boolean;
  /** Runs a transaction and resolves to its result; see {@link transact}. */
  transact: <T>(stores: readonly string[], access: Access<T>) => Promise<T>;
  /** Lets work in progress finish, then closes. */
  close(): Promise<void>;
}

/**
 * Opens the database, creating it if it is absent.
 *
 * @param onLost - called if the database is closed from outside, with the error for every later
 *   call
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when it has a later version or belongs to something
 *   else
 * @throws {StorageError} `ERR_STORAGE_FAILED` when the browser refuses
 */
export async function openDatabase(
  factory: IndexeddbFactory,
  name: string,
  onLost: (error: StorageError) => void,
  signal?: AbortSignal,
): Promise<Database> {
  const database = await connect(factory, name, signal);
  if (!STORES.every((store) => database.objectStoreNames.contains(store))) {
    database.close();
    throw new InputError(
      "ERR_INPUT_UNSUPPORTED",
      "the database belongs to something else: use another name",
    );
  }
  // Without this, another tab that upgrades or deletes the database would wait forever.
  database.addEventListener("versionchange", () => {
    database.close();
    onLost(closedBy("another tab upgrades or deletes the database; reload this one"));
  });
  database.addEventListener("close", () => {
    onLost(closedBy("the browser closed the database; its data may have been cleared"));
  });
  const probe = begin(database);
  const running = new Set<Promise<void>>();
  return {
    strict: probe.durability === "strict",
    transact(stores, access) {
      const { result, ended } = transact(database, stores, access);
      running.add(ended);
      void ended.then(() => running.delete(ended));
      return result;
    },
    async close() {
      await Promise.all(running);
      database.close();
    },
  };
}

function begin(database: IndexeddbDatabase): IndexeddbTransaction {
  try {
    return database.transaction([HEADS], "readonly", { durability: "strict" });
  } catch (cause) {
    database.close();
    throw refusedToOpen(cause);
  }
}

function connect(
  factory: IndexeddbFactory,
  name: string,
  signal: AbortSignal | undefined,
): Promise<IndexeddbDatabase> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    let request: IndexeddbRequest;
    try {
      request = factory.open(name, VERSION);
    } catch (cause) {
      throw refusedToOpen(cause);
    }
    let given = false;
    const giveUp = (error: unknown): void => {
      given = true;
      reject(error);
    };
    const aborted = (): void => giveUp(signal?.reason);
    signal?.addEventListener("abort", aborted);
    // The request continues regardless; a database that it opens too late is closed.
    request.addEventListener("blocked", () =>
      giveUp(refused("another tab has the database open in an earlier version")),
    );
    request.addEventListener("upgradeneeded", () => {
      for (const store of STORES) (request.result as IndexeddbDatabase).createObjectStore(store);
    });
    request.addEventListener("success", () => {
      signal?.removeEventListener("abort", aborted);
      const database = request.result as IndexeddbDatabase;
      if (given) database.close();
      else resolve(database);
    });
    request.addEventListener("error", (event) => {
      signal?.removeEventListener("abort", aborted);
      event.preventDefault();
      reject(openFailure(request.error));
    });
  });
}

function openFailure(cause: IndexeddbFailure | null): Error {
  if (cause?.name === "VersionError") {
    const message =
      "the database is of a later version than this library supports: upgrade the library";
    return new InputError("ERR_INPUT_UNSUPPORTED", message, { cause });
  }
  return refusedToOpen(cause);
}

/**
 * The error if the browser gives a site no database: in private windows, in frames of other sites,
 * if the user forbade it, or if its files are damaged.
 */
export function refusedToOpen(cause: unknown): StorageError {
  return refused("the browser refused to open the database", cause);
}

function refused(message: string, cause?: unknown): StorageError {
  return new StorageError("ERR_STORAGE_FAILED", message, { cause });
}

function closedBy(message: string): StorageError {
  return new StorageError("ERR_STORAGE_CLOSED", message);
}
