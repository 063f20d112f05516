import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { InputError } from "../errors.ts";
import { blobCidBytes, checkCommit, copyBytes, copyHead } from "./guards.ts";
import { blobObjects } from "./s3/blobs.ts";
import { segmentChains } from "./s3/chains.ts";
import type { S3Calls } from "./s3/client.ts";
import { probe } from "./s3/probe.ts";
import { openCalls } from "./calls.ts";
import { sleep } from "./sleep.ts";
import { createRequests } from "./s3/requests.ts";
import { encodeSegment } from "./s3/segment.ts";
import { findVersioning, purgeVersions, type Versioning } from "./s3/versions.ts";
import type {
  BlobStore,
  ChainRecord,
  ChainStore,
  Compaction,
  Durability,
  StorageAdapter,
  StorageCaps,
  TailOptions,
} from "./types.ts";

export type {
  S3CallOptions,
  S3Calls,
  S3ListedObject,
  S3ListedVersion,
  S3Response,
} from "./s3/client.ts";
export type { Versioning } from "./s3/versions.ts";

export interface S3StorageOptions {
  /**
   * An `S3` of `@aws-sdk/client-s3` (3.x), or an object with the same methods; the caller keeps it.
   */
  readonly client: S3Calls;
  /** An existing general purpose bucket. */
  readonly bucket: string;
  /** Prefix of every key, at most 128 bytes; a final `/` is added. Default: none. */
  readonly prefix?: string;
  /**
   * The durability that the service promises once it has answered; it cannot be queried. Default
   * `"power"`; pass `"quorum"` if the service has the object on several machines by then.
   */
  readonly durability?: Durability;
  /**
   * How to treat a bucket that keeps versions, in which deleting erases nothing: `"refuse"` it;
   * `"purge"` versions in `compact`; or `"keep"` them. In a bucket with Object Lock nothing can be
   * purged, so it is accepted with `"keep"` only. Default `"refuse"`.
   */
  readonly versions?: "refuse" | "purge" | "keep";
  /**
   * Whether to test the store at opening, with some fifteen small requests. Default `true`; without
   * it, `If-Match` gets ETags unchanged.
   */
  readonly probe?: boolean;
  /** Retries of a request, besides those that the client makes itself. Default 4. */
  readonly retries?: number;
  /** Milliseconds that one call of the client may take. Default 60000. */
  readonly timeout?: number;
  /** Concurrent requests for blobs per call. Default 16. */
  readonly concurrency?: number;
  /** Bytes of records kept in memory. Default 16 MiB. */
  readonly cacheBytes?: number;
  /**
   * How often `tail` polls at first, in milliseconds; up to 16 times less often when idle. Default
   * 500.
   */
  readonly pollInterval?: number;
  readonly maxAppendBytes?: number;
  readonly maxBatch?: number;
}

/** Chains and blobs in a bucket. */
export interface S3Storage extends StorageAdapter {
  readonly chains: ChainStore;
  readonly blobs: BlobStore;
  /** Whether the bucket keeps deleted objects. */
  readonly versioning: Versioning;
  /**
   * Permanently removes the deleted versions that the bucket keeps, and counts the bytes of
   * versions; does nothing for a bucket without versions. Absent if deleted objects stay, or if
   * that is unknown.
   */
  compact?(): Promise<Compaction>;
}

const S3_STORAGE_OPTIONS: OptionsOf<S3StorageOptions> = {
  ...{ client: true, bucket: true, prefix: true, durability: true, versions: true, probe: true },
  ...{ retries: true, timeout: true, concurrency: true, cacheBytes: true, pollInterval: true },
  ...{ maxAppendBytes: true, maxBatch: true },
};

/**
 * Opens chains and blobs in a bucket of an S3-compatible object store. An append is one object,
 * created only if no object has its name; several processes may write.
 *
 * It has no `state` and no `commit`: use `combineStorage` to add those of another store.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when the store does not honour `If-None-Match` and
 *   `If-Match` on PUT, or the bucket keeps versions and `versions` does not allow that
 * @throws {StorageError} `ERR_STORAGE_FAILED` when the bucket cannot be used
 * @example
 * const objects = await s3Storage({ client, bucket: "my-ledger", prefix: "ward-1" });
 * const state = await lmdbStorage({ path: "state" });
 * const storage = await combineStorage({ chains: objects, blobs: objects, state });
 */
export async function s3Storage(options: S3StorageOptions): Promise<S3Storage> {
  assertOptions(options, S3_STORAGE_OPTIONS, "s3Storage");
  const { client, bucket, concurrency = 16, pollInterval = 500, versions = "refuse" } = options;
  const prefix = checkPrefix(options.prefix ?? "");
  const caps: StorageCaps = {
    durability: options.durability ?? "power",
    multiProcess: true,
    maxAppendBytes: options.maxAppendBytes ?? 1 << 26,
    maxBatch: options.maxBatch ?? 100_000,
    tail: true,
    atomicBlobs: false,
  };
  const requests = createRequests({
    client,
    bucket,
    retries: options.retries ?? 4,
    timeout: options.timeout ?? 60_000,
  });
  const versioning = await findVersioning(requests, client, bucket);
  assertVersions(versioning, versions);
  const { quote } =
    options.probe === false ? { quote: (etag: string) => etag } : await probe(requests, prefix);
  const chains = segmentChains({
    requests,
    prefix,
    quote,
    cacheBytes: options.cacheBytes ?? 1 << 24,
  });
  const blobs = blobObjects({ requests, prefix, concurrency });
  const calls = openCalls(() => chains.settle());
  const { assertOpen, track, close } = calls;

  async function* guarded<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
    assertOpen();
    for await (const item of source) {
      assertOpen();
      yield item;
    }
  }

  async function* tail(chain: string, { from, signal }: TailOptions): AsyncGenerator<ChainRecord> {
    assertOpen();
    const stop = new AbortController();
    const wake = (): void => stop.abort();
    signal?.addEventListener("abort", wake);
    const forget = calls.onClose(wake);
    try {
      let idle = 0;
      for (let next = from; ;) {
        signal?.throwIfAborted();
        if (calls.isClosed) return;
        const before = next;
        for await (const item of chains.read(chain, { from: next, ...(signal && { signal }) })) {
          next = item.index + 1;
          yield item;
          if (calls.isClosed) return;
        }
        idle = next > before ? 0 : Math.min(idle + 1, 4);
        await sleep(pollInterval * 2 ** idle, stop.signal);
      }
    } finally {
      signal?.removeEventListener("abort", wake);
      forget();
    }
  }

  async function put(list: Parameters<BlobStore["put"]>[0]): Promise<void> {
    assertOpen();
    checkCommit({ blobs: list }, caps);
    await track(blobs.put(list.map(({ cid, bytes }) => ({ cid, bytes: copyBytes(bytes) }))));
  }

  async function getMany(cids: Parameters<BlobStore["getMany"]>[0]) {
    assertOpen();
    return track(blobs.getMany(cids.map(toBlobName)));
  }

  const purges = versions === "purge" && versioning !== "locked";
  async function compact(): Promise<Compaction> {
    assertOpen();
    if (versioning === "off") return { before: 0, after: 0 };
    return track(purgeVersions(requests, prefix, concurrency));
  }

  return {
    versioning,
    chains: {
      caps,
      async head(chain) {
        assertOpen();
        return copyHead(await track(chains.head(chain)));
      },
      async append(chain, expected, records, { signal } = {}) {
        assertOpen();
        checkCommit({ append: { chain, expected, records } }, caps);
        signal?.throwIfAborted();
        const segment = encodeSegment(expected, records);
        return copyHead(await track(chains.append(chain, copyHead(expected), segment)));
      },
      read: (chain, readOptions) => guarded(chains.read(chain, { ...readOptions })),
      tail: (chain, tailOptions) => tail(chain, { ...tailOptions }),
      list: () => guarded(chains.list()),
      close,
    },
    blobs: {
      caps,
      put,
      async get(cid) {
        return (await getMany([cid]))[0];
      },
      getMany,
      async has(cid) {
        assertOpen();
        return track(blobs.has(toBlobName(cid)));
      },
      async delete(cids) {
        assertOpen();
        await track(blobs.delete(cids.map(toBlobName)));
      },
      list: () => guarded(blobs.list()),
      async count() {
        let count = 0;
        for await (const _ of guarded(blobs.list())) count++;
        return count;
      },
      close,
    },
    ...((versioning === "off" || purges) && { compact }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

function checkPrefix(prefix: string): string {
  if (typeof prefix !== "string") throw new TypeError("prefix must be a string");
  // A path with dots names another place wherever paths are normalised in between.
  if (!/^[\x21-\x7e]{0,128}$/.test(prefix) || /(?:^|\/)\.\.?(?:\/|$)/.test(prefix)) {
    throw new RangeError(
      "prefix must be at most 128 ASCII characters, without spaces or the parts . and ..",
    );
  }
  return prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;
}

function assertVersions(versioning: Versioning, versions: "refuse" | "purge" | "keep"): void {
  if (versioning === "locked" && versions !== "keep") {
    throw new InputError(
      "ERR_INPUT_UNSUPPORTED",
      'the bucket has Object Lock, so nothing in it can be erased: pass versions: "keep" to use it anyway',
    );
  }
  if (versioning === "on" && versions === "refuse") {
    throw new InputError(
      "ERR_INPUT_UNSUPPORTED",
      'the bucket keeps versions of deleted objects: pass versions: "purge" or "keep" to use it',
    );
  }
}

function toBlobName(cid: Parameters<BlobStore["has"]>[0]): string {
  blobCidBytes(cid);
  return cid.toString();
}
