import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { compareBytes } from "../bytes/compare.ts";
import type { CID } from "../codec/cid.ts";
import { InputError, type StorageError } from "../errors.ts";
import {
  assertStateKey,
  blobCidBytes,
  chainNameBytes,
  checkCommit,
  checkRead,
  checkScan,
  closedError,
  copyBytes,
  copyChange,
  copyHead,
  copyScan,
  EMPTY_HEAD,
  risingKeys,
  storedCid,
} from "./guards.ts";
import { addMissing } from "./indexeddb/blobs.ts";
import { appendRecords, headAfter, readHead, readRecords } from "./indexeddb/chains.ts";
import type {
  IndexeddbFactory,
  IndexeddbKeyRange,
  IndexeddbObjectStore,
} from "./indexeddb/client.ts";
import { BLOBS, HEADS, openDatabase, RECORDS, refusedToOpen, STATE } from "./indexeddb/database.ts";
import { openNotices } from "./indexeddb/notices.ts";
import { lengthOf, pageSizes, readEntries } from "./indexeddb/scan.ts";
import { answer } from "./indexeddb/transact.ts";
import type {
  AppendOptions,
  BatchOptions,
  ChainRecord,
  Commit,
  FullStorage,
  Head,
  ChainReadOptions,
  ScanOptions,
  StateEntry,
  StorageAdapter,
  StorageCaps,
  TailOptions,
} from "./types.ts";

export type {
  IndexeddbCursor,
  IndexeddbDatabase,
  IndexeddbEvent,
  IndexeddbEvents,
  IndexeddbFactory,
  IndexeddbFailure,
  IndexeddbKey,
  IndexeddbKeyRange,
  IndexeddbObjectStore,
  IndexeddbRequest,
  IndexeddbTransaction,
} from "./indexeddb/client.ts";

export interface IndexeddbStorageOptions {
  /** Name of the database within the page's origin; created if absent. */
  readonly name: string;
  /** Default `globalThis.indexedDB`. */
  readonly indexedDB?: IndexeddbFactory;
  /** The key ranges that belong to `indexedDB`; default `globalThis.IDBKeyRange`. */
  readonly IDBKeyRange?: IndexeddbKeyRange;
  readonly maxAppendBytes?: number;
  readonly maxBatch?: number;
  /**
   * How often `tail` polls, in milliseconds; default 1000. Other tabs send a notice, so polling
   * only matters if one was closed in between.
   */
  readonly pollInterval?: number;
  /** Stops waiting for the database to open, which another tab may delay indefinitely. */
  readonly signal?: AbortSignal;
}

/**
 * The store that {@link indexeddbStorage} opens: all three stores and `commit`. It has no
 * `compact`, since a script cannot make a browser remove deleted bytes from its files.
 */
export type IndexeddbStorage = StorageAdapter & Omit<FullStorage, "compact">;

const INDEXEDDB_STORAGE_OPTIONS: OptionsOf<IndexeddbStorageOptions> = {
  ...{ name: true, indexedDB: true, IDBKeyRange: true, maxAppendBytes: true, maxBatch: true },
  ...{ pollInterval: true, signal: true },
};

/**
 * Opens a store in the browser's IndexedDB. If the browser supports `durability: "strict"`, an
 * acknowledged write was flushed to the disk, and `caps.durability` is `"power"`; otherwise it is
 * `"process"`. Several tabs and workers may write to it. A browser may delete the data of a site
 * without `navigator.storage.persist()`.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when there is no IndexedDB, or the database has a
 *   later version or belongs to something else
 * @throws {StorageError} `ERR_STORAGE_FAILED` when the browser refuses
 * @example
 * await navigator.storage.persist(); // asks the browser not to delete the data
 * const storage = await indexeddbStorage({ name: "ledger" });
 */
export async function indexeddbStorage(
  options: IndexeddbStorageOptions,
): Promise<IndexeddbStorage> {
  assertOptions(options, INDEXEDDB_STORAGE_OPTIONS, "indexeddbStorage");
  const { name, pollInterval = 1000, signal: opening } = options;
  const globals = globalThis as {
    indexedDB?: IndexeddbFactory;
    IDBKeyRange?: IndexeddbKeyRange;
  };
  let factory: IndexeddbFactory | null | undefined;
  try {
    // In a frame without storage, even reading the property may throw.
    factory = options.indexedDB ?? globals.indexedDB;
  } catch (cause) {
    throw refusedToOpen(cause);
  }
  const keyRange = options.IDBKeyRange ?? globals.IDBKeyRange;
  // Some private windows say `null`.
  if (!factory || !keyRange) {
    throw new InputError("ERR_INPUT_UNSUPPORTED", "this environment has no IndexedDB");
  }
  const range: IndexeddbKeyRange = keyRange;
  if (typeof name !== "string" || name.length === 0) throw new TypeError("name must be a string");

  let lost: StorageError | undefined;
  let closing: Promise<void> | undefined;
  const appended = openNotices(name);
  const database = await openDatabase(
    factory,
    name,
    (error) => {
      lost = error;
      appended.close();
    },
    opening,
  ).catch((error: unknown) => {
    appended.close();
    throw error;
  });
  const caps: StorageCaps = {
    durability: database.strict ? "power" : "process",
    multiProcess: true,
    maxAppendBytes: options.maxAppendBytes ?? 1 << 26,
    maxBatch: options.maxBatch ?? 10_000,
    tail: true,
  };

  function assertOpen(): void {
    if (closing) throw closedError();
    if (lost) throw lost;
  }

  function close(): Promise<void> {
    if (closing === undefined) {
      appended.close();
      closing = database.close();
    }
    return closing;
  }

  function read<T>(
    stores: readonly string[],
    work: (store: (name: string) => IndexeddbObjectStore) => Promise<T>,
  ): Promise<T> {
    assertOpen();
    return database.transact(stores, { mode: "readonly", work });
  }

  async function commit(
    batch: Commit,
    { signal, sync = true }: AppendOptions & BatchOptions = {},
  ): Promise<Head | undefined> {
    assertOpen();
    checkCommit(batch, caps);
    signal?.throwIfAborted();
    const append = batch.append && {
      chain: batch.append.chain,
      expected: copyHead(batch.append.expected),
      records: batch.append.records.map(copyBytes),
    };
    const blobs = (batch.blobs ?? []).map(({ cid, bytes }) => ({
      key: copyBytes(blobCidBytes(cid)),
      bytes: copyBytes(bytes),
    }));
    const state = (batch.state ?? []).map(copyChange);
    const stores = [
      ...(append ? [HEADS, RECORDS] : []),
      ...(blobs.length > 0 ? [BLOBS] : []),
      ...(state.length > 0 ? [STATE] : []),
    ];
    if (stores.length === 0) return undefined;
    await database.transact(stores, {
      mode: "readwrite",
      sync,
      async work(store) {
        const chainStores = append && { heads: store(HEADS), records: store(RECORDS), range };
        if (chainStores && !(await appendRecords(chainStores, append))) return;
        for (const { key, value } of state) {
          if (value === null) store(STATE).delete(key);
          else store(STATE).put(value, key);
        }
        if (blobs.length > 0) await addMissing(store(BLOBS), blobs);
      },
    });
    if (append === undefined) return undefined;
    appended.announce();
    return headAfter(append);
  }

  async function* readChain(chain: string, options: ChainReadOptions): AsyncGenerator<ChainRecord> {
    chainNameBytes(chain);
    const { from, limit } = checkRead(options);
    const row = await read([HEADS], (store) => readHead(store(HEADS), chain));
    const end = Math.min(row?.size ?? 0, from + limit);
    const pages = pageSizes();
    for (let next = from; next < end;) {
      options.signal?.throwIfAborted();
      const wanted = { from: next, to: end, rows: pages.next() };
      const page = await read([RECORDS], (store) =>
        readRecords({ records: store(RECORDS), range }, row!.id, wanted),
      );
      pages.saw(wanted.rows, lengthOf(page));
      for (const record of page) {
        options.signal?.throwIfAborted();
        assertOpen();
        yield { index: next++, record };
      }
    }
  }

  async function* tail(chain: string, { from, signal }: TailOptions): AsyncGenerator<ChainRecord> {
    for (let next = from; ;) {
      signal?.throwIfAborted();
      const seen = appended.count;
      for await (const item of readChain(chain, { from: next, ...(signal && { signal }) })) {
        next = item.index + 1;
        yield item;
      }
      await appended.wait(seen, pollInterval, signal);
      if (closing) return;
    }
  }

  async function getMany(cids: readonly CID[]): Promise<(Uint8Array | undefined)[]> {
    const keys = cids.map((cid) => copyBytes(blobCidBytes(cid)));
    return read([BLOBS], (store) => getEach(store(BLOBS), keys));
  }

  async function getEntries(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const copies = keys.map((key) => {
      assertStateKey(key);
      return copyBytes(key);
    });
    return read([STATE], (store) => getEach(store(STATE), copies));
  }

  async function* listBlobs(): AsyncGenerator<CID> {
    const follows = risingKeys();
    for (let after: Uint8Array | undefined; ;) {
      const keys = await read([BLOBS], (store) => {
        const rest = range.lowerBound(after ?? new Uint8Array(), after !== undefined);
        return answer<ArrayBuffer[]>(store(BLOBS).getAllKeys(rest, 1024));
      });
      if (keys.length === 0) return;
      for (const key of keys) {
        assertOpen();
        after = new Uint8Array(key);
        follows(after);
        yield storedCid(after);
      }
    }
  }

  async function* scan(options: ScanOptions): AsyncGenerator<StateEntry> {
    assertOpen();
    const { gte, lt, limit, reverse } = checkScan(options);
    let low = gte;
    let high = lt;
    let exclusive = false;
    const pages = pageSizes();
    const follows = risingKeys(reverse);
    for (let left = limit; left > 0;) {
      if (compareBytes(low, high) >= 0) return;
      const count = Math.min(pages.next(), left);
      const page = await read([STATE], (store) =>
        readEntries(store(STATE), range.bound(low, high, exclusive, true), count, reverse),
      );
      pages.saw(page.length, lengthOf(page.map(({ value }) => value)));
      for (const entry of page) {
        assertOpen();
        follows(copyBytes(entry.key));
        if (reverse) high = copyBytes(entry.key);
        else low = copyBytes(entry.key);
        left--;
        yield entry;
      }
      exclusive = !reverse;
      if (page.length < count) return;
    }
  }

  return {
    chains: {
      caps,
      async head(chain) {
        chainNameBytes(chain);
        const row = await read([HEADS], (store) => readHead(store(HEADS), chain));
        return copyHead(row ?? EMPTY_HEAD);
      },
      async append(chain, expected, records, options) {
        return (await commit({ append: { chain, expected, records } }, options))!;
      },
      read: (chain, how) => readChain(chain, { ...how }),
      tail: (chain, how) => tail(chain, { ...how }),
      async *list() {
        yield* await read([HEADS], (store) => answer<string[]>(store(HEADS).getAllKeys()));
      },
      close,
    },
    blobs: {
      caps,
      async put(blobs) {
        await commit({ blobs });
      },
      async get(cid) {
        return (await getMany([cid]))[0];
      },
      getMany,
      async has(cid) {
        const key = copyBytes(blobCidBytes(cid));
        return read([BLOBS], async (store) => {
          return (await answer(store(BLOBS).getKey(key))) !== undefined;
        });
      },
      async delete(cids) {
        assertOpen();
        const keys = cids.map((cid) => copyBytes(blobCidBytes(cid)));
        await database.transact([BLOBS], {
          mode: "readwrite",
          async work(store) {
            for (const key of keys) store(BLOBS).delete(key);
          },
        });
      },
      list: listBlobs,
      async count() {
        return read([BLOBS], (store) => answer<number>(store(BLOBS).count()));
      },
      close,
    },
    state: {
      caps,
      async get(key) {
        return (await getEntries([key]))[0];
      },
      getMany: getEntries,
      async batch(state, options) {
        await commit({ state }, options);
      },
      scan: (range) => scan(copyScan(range)),
      close,
    },
    commit,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function getEach(
  store: IndexeddbObjectStore,
  keys: readonly Uint8Array[],
): Promise<(Uint8Array | undefined)[]> {
  return Promise.all(keys.map((key) => answer<Uint8Array | undefined>(store.get(key))));
}
