import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { concatBytes } from "../bytes/concat.ts";
import type { CID } from "../codec/cid.ts";
import { sha256 } from "#crypto";
import { InputError } from "../errors.ts";
import {
  assertStateKey,
  blobCid,
  chainNameBytes,
  checkCommit,
  checkRead,
  checkScan,
  closedError,
  copyBytes,
  copyChange,
  copyHead,
  copyScan,
  copyTogether,
  risingKeys,
} from "./guards.ts";
import { toBlobName, type BlobName } from "./blob-name.ts";
import { sqliteBlobs } from "./sqlite/blobs.ts";
import { missing, sqliteChains } from "./sqlite/chains.ts";
import { failure, type SqliteDatabase } from "./sqlite/client.ts";
import { createEngine, patiently } from "./sqlite/engine.ts";
import { migrate, durabilityOf, setUp, syncLog } from "./sqlite/schema.ts";
import { sqliteState } from "./sqlite/state.ts";
import type {
  AppendOptions,
  ChainRecord,
  Commit,
  FullStorage,
  Head,
  ChainReadOptions,
  ScanOptions,
  StateEntry,
  StorageCaps,
  TailOptions,
} from "./types.ts";

export type { SqliteDatabase, SqliteStatement, SqliteValue } from "./sqlite/client.ts";

export interface SqliteStorageOptions {
  /**
   * An open connection: a `DatabaseSync` of `node:sqlite` or a `Database` of `better-sqlite3`. The
   * caller keeps it and must close it after the store; until then only the store may use it.
   */
  readonly database: SqliteDatabase;
  readonly maxAppendBytes?: number;
  readonly maxBatch?: number;
  /** How often `tail` polls for appends of other connections, in milliseconds; default 100. */
  readonly pollInterval?: number;
  /**
   * Milliseconds for which a call is retried while another process is writing or compacting, before
   * it fails with `ERR_STORAGE_FAILED`; default 30000. Other work of this process continues
   * meanwhile.
   */
  readonly busyTimeout?: number;
}

/** Rows of the first page of a scan, of the largest, and the target size of a page in bytes. */
const FIRST_PAGE = 16;
const LARGEST_PAGE = 512;
const PAGE_BYTES = 1 << 19;

const SQLITE_STORAGE_OPTIONS: OptionsOf<SqliteStorageOptions> = {
  ...{ database: true, maxAppendBytes: true, maxBatch: true, pollInterval: true },
  ...{ busyTimeout: true },
};

/**
 * Opens a store in an SQLite database, in tables whose names begin with `hl_`. In a file it
 * survives a loss of power (write-ahead log, `synchronous = FULL`), and several processes may open
 * it; `caps` states the actual promises. A database in memory promises nothing.
 *
 * SQLite runs in the caller's thread: a commit blocks it until the disk has synced, and `compact`
 * until the file is rewritten.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when the tables have a newer version than this
 *   library supports, or the database is not in UTF-8
 * @throws {StorageError} `ERR_STORAGE_FAILED` when the database cannot be written or has no
 *   write-ahead log, `ERR_STORAGE_CORRUPT` when it is not a database
 * @example
 * const database = new DatabaseSync("ledger.db"); // of node:sqlite, or better-sqlite3's Database
 * const storage = await sqliteStorage({ database });
 */
export async function sqliteStorage(options: SqliteStorageOptions): Promise<FullStorage> {
  assertOptions(options, SQLITE_STORAGE_OPTIONS, "sqliteStorage");
  const { database, pollInterval = 100, busyTimeout = 30_000 } = options;
  if (typeof database?.prepare !== "function" || typeof database.exec !== "function") {
    throw new TypeError(
      "database must be an open connection to SQLite: a DatabaseSync or a better-sqlite3 Database",
    );
  }
  const parts = await patiently(busyTimeout, () => {
    setUp(database);
    migrate(database);
    const promised = durabilityOf(database);
    if (promised.durability !== "none") syncLog(database);
    return {
      promised,
      chains: sqliteChains(database),
      blobs: sqliteBlobs(database),
      state: sqliteState(database),
    };
  }).catch((error: unknown) => {
    throw error instanceof InputError ? error : failure(error, "the database cannot be used");
  });
  const caps: StorageCaps = {
    ...parts.promised,
    maxAppendBytes: options.maxAppendBytes ?? 1 << 28,
    maxBatch: options.maxBatch ?? 100_000,
    tail: true,
  };
  const engine = createEngine(database, busyTimeout);
  const { chains, blobs, state } = parts;
  const waiting = new Set<() => void>();
  let closing: Promise<void> | undefined;

  function assertOpen(): void {
    if (closing) throw closedError();
  }

  function close(): Promise<void> {
    closing ??= engine.close();
    for (const wake of waiting) wake();
    return closing;
  }

  async function commit(batch: Commit, { signal }: AppendOptions = {}): Promise<Head | undefined> {
    assertOpen();
    checkCommit(batch, caps);
    signal?.throwIfAborted();
    const append = batch.append && {
      chain: batch.append.chain,
      expected: copyHead(batch.append.expected),
      records: copyTogether(batch.append.records),
    };
    const puts = (batch.blobs ?? []).map(({ cid, bytes }) => ({
      name: toBlobName(cid),
      bytes: copyBytes(bytes),
    }));
    const changes = (batch.state ?? []).map(copyChange);
    if (!append && puts.length === 0 && changes.length === 0) return undefined;
    await engine.write(() => {
      if (append && chains.append(append) === "replayed") return;
      for (const { name, bytes } of puts) blobs.put(name, bytes);
      for (const change of changes) state.change(change);
    }, signal);
    if (append === undefined) return undefined;
    for (const wake of waiting) wake();
    const head = {
      size: append.expected.size + append.records.length,
      hash: sha256(append.records.at(-1)!),
    };
    chains.remember(append.chain, copyHead(head));
    return head;
  }

  async function* readChain(chain: string, options: ChainReadOptions): AsyncGenerator<ChainRecord> {
    assertOpen();
    chainNameBytes(chain);
    const { from, limit } = checkRead(options);
    const { size } = await engine.read(() => chains.head(chain));
    const end = Math.min(size, from + limit);
    const rows = pageSizes();
    for (let next = from; next < end;) {
      options.signal?.throwIfAborted();
      const page = await engine.read(() =>
        chains.page(chain, next, Math.min(rows.next, end - next)),
      );
      if (page.length === 0) throw missing(next);
      rows.seen(page.reduce((sum, { record }) => sum + record.length, 0));
      for (const item of page) {
        options.signal?.throwIfAborted();
        assertOpen();
        next++;
        yield item;
      }
    }
  }

  async function* tail(chain: string, { from, signal }: TailOptions): AsyncGenerator<ChainRecord> {
    for (let next = from; ;) {
      signal?.throwIfAborted();
      for await (const item of readChain(chain, { from: next, ...(signal && { signal }) })) {
        next = item.index + 1;
        yield item;
      }
      await woken(signal);
      if (closing) return;
    }
  }

  /** Waits for an append of this store, the polling interval, the end or an abort. */
  function woken(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, pollInterval);
      waiting.add(wake);
      signal?.addEventListener("abort", wake);
    });
  }

  async function getMany(cids: readonly CID[]): Promise<(Uint8Array | undefined)[]> {
    assertOpen();
    const names = cids.map(toBlobName);
    return engine.readTogether(() => names.map((name) => blobs.get(name)));
  }

  async function* listBlobs(): AsyncGenerator<CID> {
    const follows = risingKeys();
    for (let last: BlobName | undefined; ;) {
      const page = await engine.read(() => blobs.page(last, LARGEST_PAGE));
      for (const { digest, codec } of page) {
        assertOpen();
        follows(concatBytes(digest, Uint8Array.of(codec >> 24, codec >> 16, codec >> 8, codec)));
        yield blobCid(codec, digest);
      }
      last = page.at(-1);
      if (last === undefined) return;
    }
  }

  async function* scan(options: ScanOptions): AsyncGenerator<StateEntry> {
    assertOpen();
    const { gte, lt, limit, reverse } = checkScan(options);
    let [low, high, afterLow] = [gte, lt, false];
    const rows = pageSizes();
    const follows = risingKeys(reverse);
    for (let left = limit; left > 0;) {
      const range = { low, high, afterLow, reverse, limit: Math.min(rows.next, left) };
      const page = await engine.read(() => state.page(range));
      rows.seen(page.reduce((sum, { value }) => sum + value.length, 0));
      const last = page.at(-1);
      if (last === undefined) return;
      if (reverse) high = copyBytes(last.key);
      else [low, afterLow] = [copyBytes(last.key), true];
      left -= page.length;
      for (const entry of page) {
        assertOpen();
        follows(entry.key);
        yield { key: copyBytes(entry.key), value: entry.value };
      }
    }
  }

  return {
    chains: {
      caps,
      async head(chain) {
        assertOpen();
        chainNameBytes(chain);
        return copyHead(await engine.read(() => chains.head(chain)));
      },
      async append(chain, expected, records, options) {
        return (await commit({ append: { chain, expected, records } }, options))!;
      },
      read: (chain, how) => readChain(chain, { ...how }),
      tail: (chain, how) => tail(chain, { ...how }),
      async *list() {
        for (const name of await engine.read(() => (chains.assertOwned(), chains.names()))) {
          assertOpen();
          yield name;
        }
      },
      close,
    },
    blobs: {
      caps,
      async put(blobs) {
        await commit({ blobs });
      },
      async get(cid) {
        assertOpen();
        const name = toBlobName(cid);
        return engine.read(() => blobs.get(name));
      },
      getMany,
      async has(cid) {
        assertOpen();
        const name = toBlobName(cid);
        return engine.read(() => blobs.has(name));
      },
      async delete(cids) {
        assertOpen();
        const names = cids.map(toBlobName);
        if (names.length === 0) return;
        await engine.write(() => names.forEach((name) => blobs.remove(name)), undefined);
      },
      list: listBlobs,
      count: () => engine.read(() => blobs.count()),
      close,
    },
    state: {
      caps,
      async get(key) {
        assertOpen();
        assertStateKey(key);
        const copy = copyBytes(key);
        return engine.read(() => state.get(copy));
      },
      async getMany(keys) {
        assertOpen();
        const copies = keys.map((key) => {
          assertStateKey(key);
          return copyBytes(key);
        });
        return engine.readTogether(() => copies.map((key) => state.get(key)));
      },
      // Always synced: the sync mode of a commit is a setting of the whole connection.
      async batch(changes) {
        await commit({ state: changes });
      },
      scan: (range) => scan(copyScan(range)),
      close,
    },
    commit,
    compact: () => engine.compact(),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Sizes for pages that have neither many rows nor many bytes. */
function pageSizes(): { readonly next: number; seen(bytes: number): void } {
  let next = FIRST_PAGE;
  return {
    get next() {
      return next;
    },
    seen(bytes) {
      next = bytes > PAGE_BYTES ? Math.max(1, next >> 2) : Math.min(LARGEST_PAGE, next * 2);
    },
  };
}
