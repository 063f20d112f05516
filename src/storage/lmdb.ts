import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { equalBytes } from "../bytes/compare.ts";
import { realpathSync } from "node:fs";
import type { CID } from "../codec/cid.ts";
import { InputError, StorageError } from "../errors.ts";
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
} from "./guards.ts";
import { deleteBlobs, hasBlob, putPacks, readBlob, withoutStored } from "./lmdb/blobs.ts";
import {
  chainKey,
  chainOf,
  checkAppend,
  headAfter,
  headOf,
  putRecords,
  recordKey,
} from "./lmdb/chains.ts";
import { toBlobName, type BlobName } from "./blob-name.ts";
import { sleep } from "./sleep.ts";
import type { LmdbClient } from "./lmdb/client.ts";
import { openEngine } from "./lmdb/engine.ts";
import { release, share } from "./lmdb/engines.ts";
import type { Environment } from "./lmdb/environment.ts";
import { corrupt } from "./lmdb/errors.ts";
import { makeFolder } from "./lmdb/folders.ts";
import { packNumber, readUint32, readUint64, uint64 } from "./lmdb/keys.ts";
import { liveSlots, packBlobs, readSlot, slotCount, type PackedBlob } from "./lmdb/packs.ts";
import type {
  AppendOptions,
  NamedBlob,
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

export type {
  LmdbClient,
  LmdbDatabase,
  LmdbEnvironment,
  LmdbOpenOptions,
  LmdbRange,
} from "./lmdb/client.ts";

export interface LmdbStorageOptions {
  /** Folder of the store; created with mode 0700 if absent. Must be on a local disk. */
  readonly path: string;
  /** The `lmdb` package (3.x); imported if absent. */
  readonly lmdb?: LmdbClient;
  /** Most concurrent read transactions, across all processes; default 126. */
  readonly maxReaders?: number;
  /**
   * Checks every page of the store before LMDB opens it, at a few ms per MiB, and refuses a damaged
   * store. LMDB trusts its file, and may end the process on a corrupt page. Default false: checks
   * only the roots of the file and its trees, and its size.
   */
  readonly check?: boolean;
  readonly maxAppendBytes?: number;
  readonly maxBatch?: number;
  /** How often `tail` polls for appends of other processes, in milliseconds; default 100. */
  readonly pollInterval?: number;
}

/** Records or entries per read while scanning. */
const PAGE = 256;
const PAGE_BYTES = 1 << 20;

const LMDB_STORAGE_OPTIONS: OptionsOf<LmdbStorageOptions> = {
  ...{ path: true, lmdb: true, maxReaders: true, check: true, maxAppendBytes: true },
  ...{ maxBatch: true, pollInterval: true },
};

/**
 * Opens a store in a folder with LMDB: acknowledged writes are flushed to the disk (`durability:
 * "power"`), and several processes may write.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when the `lmdb` package is not installed, or the
 *   store has an unknown format
 * @throws {StorageError} `ERR_STORAGE_FAILED` when the folder cannot be used, `ERR_STORAGE_CORRUPT`
 *   when the store is damaged, or the folder holds something else
 * @example
 * const storage = await lmdbStorage({ path: "data/ledger" });
 * const hl = await openLedger({ storage, keys, genesis });
 */
export async function lmdbStorage(options: LmdbStorageOptions): Promise<FullStorage> {
  assertOptions(options, LMDB_STORAGE_OPTIONS, "lmdbStorage");
  const { path, maxReaders = 126, pollInterval = 100, check = false } = options;
  const client = options.lmdb ?? (await importLmdb());
  const caps: StorageCaps = {
    durability: "power",
    multiProcess: true,
    maxAppendBytes: options.maxAppendBytes ?? 1 << 28,
    maxBatch: options.maxBatch ?? 100_000,
    tail: true,
  };
  const folder = prepareFolder(path);
  const inspection = check ? "all" : "roots";
  const engine = await share(folder, () => openEngine(folder, { client, maxReaders, inspection }));
  let closing: Promise<void> | undefined;

  function assertOpen(): void {
    if (closing) throw closedError();
  }

  function close(): Promise<void> {
    closing ??= Promise.allSettled([...pending])
      .then(() => engine.upkeepDone())
      .then(() => release(folder));
    return closing;
  }

  const pending = new Set<Promise<unknown>>();
  /** Lets `close` wait for a call. */
  function track<T>(call: Promise<T>): Promise<T> {
    pending.add(call);
    const done = (): void => void pending.delete(call);
    call.then(done, done);
    return call;
  }

  function read<T>(action: (environment: Environment) => T): Promise<T> {
    assertOpen();
    return track(engine.read(action));
  }

  async function commit(batch: Commit, { signal }: AppendOptions = {}): Promise<Head | undefined> {
    assertOpen();
    checkCommit(batch, caps);
    signal?.throwIfAborted();
    const append = batch.append && {
      key: chainKey(batch.append.chain),
      name: chainNameBytes(batch.append.chain),
      expected: copyHead(batch.append.expected),
      records: copyTogether(batch.append.records),
    };
    const packs = packBlobs(distinct(batch.blobs ?? []));
    const state = (batch.state ?? []).map(copyChange);
    await track(
      engine.write((environment) => {
        signal?.throwIfAborted();
        // Everything that can throw comes before the first write.
        if (append && checkAppend(environment, append) === "replayed") return;
        const fresh = withoutStored(environment, packs);
        if (append) putRecords(environment, append);
        putPacks(environment, fresh);
        for (const { key, value } of state) {
          if (value === null) environment.state.removeSync(key);
          else environment.state.putSync(key, value);
        }
      }),
    );
    return append && headAfter(append);
  }

  async function* readChain(chain: string, options: ChainReadOptions): AsyncGenerator<ChainRecord> {
    const key = chainKey(chain);
    const { from, limit } = checkRead(options);
    const { size } = await read((environment) => headOf(environment, key));
    const end = Math.min(size, from + limit);
    for (let next = from; next < end;) {
      options.signal?.throwIfAborted();
      const page = await read(({ chains }) => {
        const records: ChainRecord[] = [];
        let bytes = 0;
        const range = { start: recordKey(key, next), end: recordKey(key, end) };
        for (const entry of chains.getRange({ ...range, limit: PAGE })) {
          records.push({ index: readUint64(entry.key, 16), record: copyBytes(entry.value) });
          bytes += entry.value.length;
          if (bytes > PAGE_BYTES) break;
        }
        return records;
      });
      for (const item of page) {
        options.signal?.throwIfAborted();
        assertOpen();
        if (item.index !== next) break;
        next++;
        yield item;
      }
      if (page[0]?.index !== next - page.length) {
        throw new StorageError("ERR_STORAGE_CORRUPT", `the chain lacks record ${next}`);
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
      await sleep(pollInterval, signal);
      if (closing) return;
    }
  }

  async function getMany(cids: readonly CID[]): Promise<(Uint8Array | undefined)[]> {
    const names = cids.map(toBlobName);
    return read((environment) => names.map((name) => readBlob(environment, name)));
  }

  async function* eachTable(): AsyncGenerator<{ key: Uint8Array; value: Uint8Array }> {
    for (let last = 0; ;) {
      const start = uint64(last + 1);
      const page = await read(({ tables }) => [...tables.getRange({ start, limit: PAGE })]);
      if (page.length === 0) return;
      for (const entry of page) {
        last = packNumber(entry.key, last);
        yield entry;
      }
    }
  }

  async function* listBlobs(): AsyncGenerator<CID> {
    for await (const { value } of eachTable()) {
      assertOpen();
      for (let slot = 0; slot < slotCount(value); slot++) {
        const found = readSlot(value, slot);
        if (found) yield blobCid(found.codec, found.digest);
      }
    }
  }

  async function* scan(options: ScanOptions): AsyncGenerator<StateEntry> {
    assertOpen();
    const { gte, lt, limit, reverse } = checkScan(options);
    let low = gte.length === 0 ? new Uint8Array(1) : gte;
    let high = lt;
    let exclusive = false;
    for (let left = limit; left > 0;) {
      const page = await read(({ state }) => {
        if (high.length === 0 || Buffer.compare(low, high) >= 0) return [];
        const entries: StateEntry[] = [];
        let bytes = 0;
        const range = reverse
          ? { start: high, end: low, reverse, inclusiveEnd: true, exclusiveStart: true }
          : { start: low, end: high, exclusiveStart: exclusive };
        for (const entry of state.getRange({ ...range, limit: Math.min(PAGE, left) })) {
          entries.push({ key: copyBytes(entry.key), value: copyBytes(entry.value) });
          bytes += entry.value.length;
          if (bytes > PAGE_BYTES) break;
        }
        return entries;
      });
      for (const entry of page) {
        assertOpen();
        // With a damaged key the next page would begin before it, forever.
        const isNext =
          Buffer.compare(entry.key, low) >= (exclusive && !reverse ? 1 : 0) &&
          Buffer.compare(entry.key, high) < 0;
        if (!isNext) throw corrupt("the keys of the state are out of order");
        if (reverse) high = copyBytes(entry.key);
        else [low, exclusive] = [copyBytes(entry.key), true];
        left--;
        yield entry;
      }
      if (page.length === 0) return;
    }
  }

  return {
    chains: {
      caps,
      async head(chain) {
        const key = chainKey(chain);
        return copyHead(await read((environment) => headOf(environment, key, true)));
      },
      async append(chain, expected, records, options) {
        return (await commit({ append: { chain, expected, records } }, options))!;
      },
      read: (chain, how) => readChain(chain, { ...how }),
      tail: (chain, how) => tail(chain, { ...how }),
      async *list() {
        const names = await read(({ names }) => [...names.getRange({ start: new Uint8Array(1) })]);
        for (const { key, value } of names) yield chainOf(key, value);
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
        const name = toBlobName(cid);
        return read((environment) => hasBlob(environment, name));
      },
      async delete(cids) {
        assertOpen();
        const names = cids.map(toBlobName);
        await track(engine.write((environment) => deleteBlobs(environment, names)));
      },
      list: listBlobs,
      async count() {
        let count = 0;
        for await (const { value } of eachTable()) count += liveSlots(value);
        return count;
      },
      close,
    },
    state: {
      caps,
      async get(key) {
        assertStateKey(key);
        const copy = copyBytes(key);
        return read(({ state }) => copyIfPresent(state.get(copy)));
      },
      async getMany(keys) {
        const copies = keys.map((key) => {
          assertStateKey(key);
          return copyBytes(key);
        });
        return read(({ state }) => copies.map((key) => copyIfPresent(state.get(key))));
      },
      async batch(state) {
        await commit({ state });
      },
      scan: (range) => scan(copyScan(range)),
      close,
    },
    commit,
    async compact() {
      assertOpen();
      return track(engine.compact());
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function importLmdb(): Promise<LmdbClient> {
  try {
    return (await import("lmdb")) as unknown as LmdbClient;
  } catch (cause) {
    throw new InputError(
      "ERR_INPUT_UNSUPPORTED",
      "lmdbStorage needs the package lmdb: npm install lmdb",
      { cause },
    );
  }
}

function prepareFolder(path: string): string {
  try {
    makeFolder(path);
    return realpathSync(path);
  } catch (cause) {
    throw new StorageError("ERR_STORAGE_FAILED", "the folder cannot be used", { cause });
  }
}

/** Blobs without duplicates, with the parts of their CIDs; borrowed. */
function distinct(blobs: readonly NamedBlob[]): PackedBlob[] {
  // Compares four bytes of the digest first: duplicates are rare, and full comparisons are slow.
  const seen = new Map<number, PackedBlob[]>();
  const packed: PackedBlob[] = [];
  for (const { cid, bytes } of blobs) {
    const blob = { codec: cid.code, digest: cid.multihash.digest, bytes };
    const key = readUint32(blob.digest, 0);
    const alike = seen.get(key);
    if (alike === undefined) seen.set(key, [blob]);
    else if (alike.some((other) => sameName(other, blob))) continue;
    else alike.push(blob);
    packed.push(blob);
  }
  return packed;
}

function sameName(a: BlobName, b: BlobName): boolean {
  return a.codec === b.codec && equalBytes(a.digest, b.digest);
}

function copyIfPresent(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes && copyBytes(bytes);
}
