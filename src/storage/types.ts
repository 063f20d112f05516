import type { CID } from "../codec/cid.ts";

/** Longest name of a chain, in bytes of UTF-8. */
export const MAX_CHAIN_NAME_BYTES = 256;
/** Longest key of a {@link StateStore}, in bytes; the shortest has one byte. */
export const MAX_STATE_KEY_BYTES = 1024;

/**
 * What survives after a write was acknowledged: nothing but this object (`none`), the end of the
 * process (`process`), a loss of power (`power`), or the loss of a machine (`quorum`).
 */
export type Durability = "none" | "process" | "power" | "quorum";

/** The promises of an adapter; the same for every handle, and constant while it is open. */
export interface StorageCaps {
  /**
   * For `power` and `quorum`, every file that a write changed must be synced after the change and
   * before the write is acknowledged; so must each folder with a new file or folder.
   */
  readonly durability: Durability;
  /** Whether several processes may have the same store open and write to it. */
  readonly multiProcess: boolean;
  /**
   * Most bytes of records, blobs, keys and values together that one call accepts. Exactly this many
   * are accepted; one more is `ERR_STORAGE_LIMIT`, and nothing is written.
   */
  readonly maxAppendBytes: number;
  /**
   * Most records, blobs and state changes together that one call accepts; as for `maxAppendBytes`.
   */
  readonly maxBatch: number;
  /** Whether the adapter has {@link ChainStore.tail}. */
  readonly tail: boolean;
  /**
   * `false`: if a put, deletion or commit of several blobs fails, or its process dies, it may have
   * happened to some of them; repeating the call completes it. Chains and state are never torn.
   * Default `true`.
   */
  readonly atomicBlobs?: boolean;
}

/** The end of a chain. */
export interface Head {
  /** Number of records; the next one gets this index. */
  readonly size: number;
  /** SHA-256 of the last record; `null` exactly when `size` is 0. */
  readonly hash: Uint8Array | null;
}

/** A record and its position in its chain. */
export interface ChainRecord {
  readonly index: number;
  readonly record: Uint8Array;
}

export interface AppendOptions {
  /**
   * If aborted before writing begins, the call rejects with the signal's reason, whatever it is,
   * and writes nothing; a later abort is ignored.
   */
  readonly signal?: AbortSignal;
}

export interface ChainReadOptions {
  /** Index of the first record wanted. */
  readonly from: number;
  /** Most records to yield; if absent, all up to the head. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface TailOptions {
  /** Index of the first record wanted. */
  readonly from: number;
  readonly signal?: AbortSignal;
}

/**
 * Append-only lists of records, each under a name. A chain without records is empty and need not be
 * created. The first record is record 0; there are no gaps.
 *
 * For this and the other stores: an implementation must **copy byte arrays that are passed in
 * before the call returns** (not only before its promise settles, and for iterators not only when
 * they are begun), so that a caller may reuse them at once. Byte arrays that it returns must be
 * **newly allocated and belong to the caller**. Every later call, on any handle and in any process,
 * must see what an earlier call acknowledged. An implementation must not return a head or record
 * before it is as durable as `caps.durability` says.
 *
 * Different names must stay different: names of chains differ by code points (including case,
 * Unicode forms and byte order marks; lone surrogates are refused), CIDs by digest and codec, keys
 * by bytes. Results must not depend on the clock. An iterator that is not read to its end must
 * leave nothing open, and a call that has ended must leave no listener on its signal.
 *
 * Errors are {@link StorageError}s: `ERR_STORAGE_CONFLICT` (an {@link AppendConflict}),
 * `ERR_STORAGE_AMBIGUOUS` (an {@link AmbiguousAppend}), `ERR_STORAGE_LIMIT` (beyond `caps`; nothing
 * was written), `ERR_STORAGE_CORRUPT` (stored data is invalid), `ERR_STORAGE_CLOSED` and
 * `ERR_STORAGE_FAILED` (certainly not written: disk full, permission). Arguments of the wrong type
 * or range cause a `TypeError` or `RangeError`.
 */
export interface ChainStore {
  readonly caps: StorageCaps;

  /** The end of the chain. */
  head(chain: string): Promise<Head>;

  /**
   * Appends all the records or none, if the chain ends at `expected`.
   *
   * An exact replay (the chain once ended at `expected`, and these records follow there, with or
   * without further records after them) gets the same answer as the first call and writes nothing.
   * A replay of which only some records are present is a conflict.
   *
   * @param expected - the head the caller built on; hash included in the comparison
   * @param records - at least one, each of at least one byte; copied
   * @returns the head right after these records (on a replay not necessarily the newest)
   * @throws {AppendConflict} the chain ends elsewhere; carries the actual head; nothing was written
   * @throws {AmbiguousAppend} the outcome is unknown; repeating the call is safe and settles it
   */
  append(
    chain: string,
    expected: Head,
    records: readonly Uint8Array[],
    options?: AppendOptions,
  ): Promise<Head>;

  /**
   * Yields records in order, without gaps, up to the head at the start of the iteration (it may
   * yield later ones too). From a position beyond the head it yields nothing.
   */
  read(chain: string, options: ChainReadOptions): AsyncIterable<ChainRecord>;

  /**
   * Like {@link read}, but waits for more records at the end, until its signal aborts or the store
   * is closed.
   */
  tail?(chain: string, options: TailOptions): AsyncIterable<ChainRecord>;

  /**
   * Names of the chains that have records, each once, in any order. A chain that gets its first
   * record meanwhile may be included or not; no earlier one is missed. Ends.
   */
  list(): AsyncIterable<string>;

  /**
   * Waits for writes in progress and closes. Iterators in progress yield the rest or reject with
   * `ERR_STORAGE_CLOSED`, as does every later call, even one that asks for nothing; a refused write
   * must never be carried out. Other handles stay open. Idempotent.
   */
  close(): Promise<void>;
}

/** A value under the name of its content. */
export interface NamedBlob {
  /** CIDv1 of SHA-256, of any codec of up to 31 bits. */
  readonly cid: CID;
  /** May be empty. Not checked against `cid` by the store. */
  readonly bytes: Uint8Array;
}

/**
 * Values by CID. CIDs are version 1 with SHA-256 and any codec of up to 31 bits; CIDs that differ
 * in codec are different names.
 * The library checks the hashes of what it puts and gets; a store compares nothing.
 * Ownership and errors as for {@link ChainStore}.
 */
export interface BlobStore {
  readonly caps: StorageCaps;
  /**
   * Stores all blobs or none, subject to `caps.atomicBlobs`. Leaves a blob alone that is present
   * already or is given twice.
   */
  put(blobs: readonly NamedBlob[]): Promise<void>;
  get(cid: CID): Promise<Uint8Array | undefined>;
  /** @returns one result per CID, in their order */
  getMany(cids: readonly CID[]): Promise<(Uint8Array | undefined)[]>;
  has(cid: CID): Promise<boolean>;
  /**
   * Deletes those that are present, in one step. Afterwards no call returns them; their bytes may
   * remain in free space of a file until {@link StorageAdapter.compact}.
   */
  delete(cids: readonly CID[]): Promise<void>;
  /**
   * Every CID once, in any order. Those put or deleted meanwhile may be included or not; no other
   * is missed.
   */
  list(): AsyncIterable<CID>;
  count(): Promise<number>;
  close(): Promise<void>;
}

/** A change of one key: its new value, or `null` to remove it. */
export type StateChange =
  | { readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly key: Uint8Array; readonly value: null };

export interface BatchOptions {
  /**
   * `false`: the batch may return before it is durable. It may then be lost, together with all
   * later unsynced ones, but is never torn. For data that can be rebuilt. Default `true`.
   */
  readonly sync?: boolean;
}

export interface ScanOptions {
  /** First key, inclusive. */
  readonly gte: Uint8Array;
  /** End, exclusive. */
  readonly lt: Uint8Array;
  readonly limit?: number;
  /** Descending order, from the last key. */
  readonly reverse?: boolean;
}

export interface StateEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * Ordered keys and values. Some of them can be rebuilt from the other two stores (those written
 * with `sync: false`). The keys of envelopes and persons that a custodian keeps here cannot, so
 * back this store up like the others. Keys have 1 to {@link MAX_STATE_KEY_BYTES} bytes and are
 * ordered as unsigned bytes, with a prefix before longer keys. Ownership and errors as for
 * {@link ChainStore}.
 */
export interface StateStore {
  readonly caps: StorageCaps;
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** @returns one result per key, in their order, all from one moment */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /**
   * Makes all changes or none; of several changes of one key the last counts. Batches of one handle
   * take effect in the order in which they were begun.
   */
  batch(changes: readonly StateChange[], options?: BatchOptions): Promise<void>;
  /**
   * Yields the entries in `[gte, lt)` in key order, each once. Changes made meanwhile may be seen
   * or not; unchanged entries are never missed. Ends.
   */
  scan(options: ScanOptions): AsyncIterable<StateEntry>;
  close(): Promise<void>;
}

/** Writes to several stores that become durable together or not at all. */
export interface Commit {
  readonly append?: {
    readonly chain: string;
    readonly expected: Head;
    readonly records: readonly Uint8Array[];
  };
  readonly blobs?: readonly NamedBlob[];
  readonly state?: readonly StateChange[];
}

/** Sizes in bytes on disk, before and after compaction. */
export interface Compaction {
  readonly before: number;
  readonly after: number;
}

/** The stores of an adapter. */
export interface StorageAdapter extends AsyncDisposable {
  readonly chains?: ChainStore;
  readonly blobs?: BlobStore;
  readonly state?: StateStore;

  /**
   * Appends, puts and changes state in one atomic, durable step with one sync: a reader on any
   * handle sees all of it or nothing. If the append conflicts, nothing is written. If it is an
   * exact replay, nothing is written either: its blobs and changes became durable with the first
   * call.
   *
   * @returns the head right after the appended records; `undefined` without `append`
   * @throws as {@link ChainStore.append}
   */
  commit?(batch: Commit, options?: AppendOptions): Promise<Head | undefined>;

  /**
   * Rewrites the files so that no deleted data remains in any of them. The adapter documents what
   * other processes must do meanwhile.
   */
  compact?(): Promise<Compaction>;

  /** Closes every store. Idempotent. */
  close(): Promise<void>;
}

/** A {@link StorageAdapter} with every store and method. */
export interface FullStorage extends StorageAdapter {
  readonly chains: ChainStore;
  readonly blobs: BlobStore;
  readonly state: StateStore;
  commit(batch: Commit, options?: AppendOptions): Promise<Head | undefined>;
  compact(): Promise<Compaction>;
}
