import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { bytesKey } from "../bytes/bytes-key.ts";
import { equalBytes } from "../bytes/compare.ts";
import { sha256 } from "#crypto";
import { AppendConflict } from "./errors.ts";
import {
  assertStateKey,
  blobCid,
  blobCidBytes,
  chainNameBytes,
  checkCommit,
  checkRead,
  checkScan,
  closedError,
  copyBytes,
  copyHead,
  copyScan,
  copyTogether,
  EMPTY_HEAD,
  sameHead,
} from "./guards.ts";
import { sortedKeys, type SortedKeys } from "./sorted-keys.ts";
import type {
  ChainRecord,
  Commit,
  FullStorage,
  Head,
  ScanOptions,
  StateEntry,
  StorageCaps,
} from "./types.ts";

export type { SortedKeys } from "./sorted-keys.ts";

/** A blob, with the parts of its CID copied: the CID object is the caller's, who may change it. */
export interface StoredBlob {
  readonly codec: number;
  readonly digest: Uint8Array;
  readonly bytes: Uint8Array;
}

/** The data that several handles of {@link memoryStorage} share; opaque. */
export interface MemoryData {
  readonly chains: Map<string, { readonly records: Uint8Array[]; head: Head }>;
  readonly blobs: Map<string, StoredBlob>;
  readonly state: Map<string, Uint8Array>;
  readonly keys: SortedKeys;
  /** Called after every append and every close. */
  readonly waiting: Set<() => void>;
}

export interface MemoryStorageOptions {
  /** The data to use, so that several handles see one store; new if absent. */
  readonly data?: MemoryData;
  readonly maxAppendBytes?: number;
  readonly maxBatch?: number;
}

/**
 * Makes an empty store that several handles can share.
 *
 * @example
 * const data = memoryData();
 * const writer = memoryStorage({ data });
 * const reader = memoryStorage({ data }); // sees what writer appends
 */
export function memoryData(): MemoryData {
  return {
    chains: new Map(),
    blobs: new Map(),
    state: new Map(),
    keys: sortedKeys(),
    waiting: new Set(),
  };
}

const MEMORY_STORAGE_OPTIONS: OptionsOf<MemoryStorageOptions> = {
  data: true,
  maxAppendBytes: true,
  maxBatch: true,
};

/**
 * Opens a store that lives in this process's memory and promises nothing beyond it
 * (`durability: "none"`). For tests, simulations and throw-away ledgers.
 *
 * @example
 * const storage = memoryStorage();
 * await storage.chains.append("log", { size: 0, hash: null }, [new Uint8Array([1])]);
 */
export function memoryStorage(options: MemoryStorageOptions = {}): FullStorage {
  assertOptions(options, MEMORY_STORAGE_OPTIONS, "memoryStorage");
  const data = options.data ?? memoryData();
  const caps: StorageCaps = {
    durability: "none",
    multiProcess: false,
    maxAppendBytes: options.maxAppendBytes ?? 1 << 30,
    maxBatch: options.maxBatch ?? 1_000_000,
    tail: true,
  };
  let closed = false;

  function assertOpen(): void {
    if (closed) throw closedError();
  }

  async function close(): Promise<void> {
    closed = true;
    for (const wake of data.waiting) wake();
  }

  async function commit(
    batch: Commit,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Head | undefined> {
    assertOpen();
    checkCommit(batch, caps);
    signal?.throwIfAborted();
    return apply(data, batch);
  }

  async function* read(
    chain: string,
    options: { readonly from: number; readonly limit?: number; readonly signal?: AbortSignal },
  ): AsyncGenerator<ChainRecord> {
    assertOpen();
    chainNameBytes(chain);
    const { from, limit } = checkRead(options);
    const end = Math.min(data.chains.get(chain)?.head.size ?? 0, from + limit);
    for (let index = from; index < end; index++) {
      options.signal?.throwIfAborted();
      assertOpen();
      yield { index, record: copyBytes(data.chains.get(chain)!.records[index]!) };
    }
  }

  async function* tail(
    chain: string,
    { from, signal }: { readonly from: number; readonly signal?: AbortSignal },
  ): AsyncGenerator<ChainRecord> {
    for (let next = from; ;) {
      signal?.throwIfAborted();
      for await (const item of read(chain, { from: next, ...(signal && { signal }) })) {
        next = item.index + 1;
        yield item;
      }
      if (closed) return;
      if ((data.chains.get(chain)?.head.size ?? 0) > next) continue;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          data.waiting.delete(wake);
          signal?.removeEventListener("abort", wake);
          resolve();
        };
        data.waiting.add(wake);
        signal?.addEventListener("abort", wake);
      });
      if (closed) return;
    }
  }

  async function* scan(options: ScanOptions): AsyncGenerator<StateEntry> {
    assertOpen();
    const { gte, lt, limit, reverse } = checkScan(options);
    const [low, high] = [bytesKey(gte), bytesKey(lt)];
    let key = reverse ? data.keys.before(high) : data.keys.from(low);
    for (let left = limit; left > 0 && key !== undefined; left--) {
      if (reverse ? key < low : key >= high) return;
      yield { key: bytesOf(key), value: copyBytes(data.state.get(key)!) };
      assertOpen();
      key = reverse ? data.keys.before(key) : data.keys.after(key);
    }
  }

  return {
    chains: {
      caps,
      async head(chain) {
        assertOpen();
        chainNameBytes(chain);
        return copyHead(data.chains.get(chain)?.head ?? EMPTY_HEAD);
      },
      async append(chain, expected, records, options) {
        return (await commit({ append: { chain, expected, records } }, options))!;
      },
      read: (chain, how) => read(chain, { ...how }),
      tail: (chain, how) => tail(chain, { ...how }),
      async *list() {
        assertOpen();
        yield* [...data.chains.keys()];
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
        return copied(data.blobs.get(bytesKey(blobCidBytes(cid)))?.bytes);
      },
      async getMany(cids) {
        assertOpen();
        return cids.map((cid) => copied(data.blobs.get(bytesKey(blobCidBytes(cid)))?.bytes));
      },
      async has(cid) {
        assertOpen();
        return data.blobs.has(bytesKey(blobCidBytes(cid)));
      },
      async delete(cids) {
        assertOpen();
        for (const key of cids.map((cid) => bytesKey(blobCidBytes(cid)))) data.blobs.delete(key);
      },
      async *list() {
        assertOpen();
        for (const { codec, digest } of [...data.blobs.values()]) yield blobCid(codec, digest);
      },
      async count() {
        assertOpen();
        return data.blobs.size;
      },
      close,
    },
    state: {
      caps,
      async get(key) {
        assertOpen();
        assertStateKey(key);
        return copied(data.state.get(bytesKey(key)));
      },
      async getMany(keys) {
        assertOpen();
        return keys.map((key) => {
          assertStateKey(key);
          return copied(data.state.get(bytesKey(key)));
        });
      },
      async batch(state) {
        await commit({ state });
      },
      scan: (options) => scan(copyScan(options)),
      close,
    },
    commit,
    async compact() {
      assertOpen();
      return { before: 0, after: 0 };
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function apply(data: MemoryData, { append, blobs, state }: Commit): Head | undefined {
  let head: Head | undefined;
  if (append !== undefined) {
    const { chain, expected, records } = append;
    const stored = data.chains.get(chain) ?? { records: [], head: EMPTY_HEAD };
    const { size } = expected;
    if (!sameHead(stored.head, expected)) {
      const before = size === 0 ? null : stored.records[size - 1];
      const replayed =
        before !== undefined &&
        sameHead(expected, { size, hash: before && sha256(before) }) &&
        size + records.length <= stored.records.length &&
        records.every((record, i) => equalBytes(record, stored.records[size + i]!));
      if (!replayed) throw new AppendConflict(copyHead(stored.head));
      return { size: size + records.length, hash: sha256(records.at(-1)!) };
    }
    // Records are never removed from a chain, so they may share memory.
    for (const record of copyTogether(records)) stored.records.push(record);
    stored.head = { size: stored.records.length, hash: sha256(records.at(-1)!) };
    data.chains.set(chain, stored);
    head = copyHead(stored.head);
  }
  for (const { cid, bytes } of blobs ?? []) {
    const key = bytesKey(blobCidBytes(cid));
    if (data.blobs.has(key)) continue;
    const digest = copyBytes(cid.multihash.digest);
    data.blobs.set(key, { codec: cid.code, digest, bytes: copyBytes(bytes) });
  }
  for (const { key, value } of state ?? []) {
    const name = bytesKey(key);
    if (value === null) {
      data.state.delete(name);
      data.keys.remove(name);
    } else {
      data.state.set(name, copyBytes(value));
      data.keys.add(name);
    }
  }
  if (head !== undefined) for (const wake of [...data.waiting]) wake();
  return head;
}

function copied(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes && copyBytes(bytes);
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
