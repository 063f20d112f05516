import type { CID } from "../codec/cid.ts";

/** Longest name of a chain, in bytes of UTF-8. */
export const MAX_CHAIN_NAME_BYTES = 256;
/** Longest key of a {@link StateStore}, in bytes; the shortest has one byte. */
export const MAX_STATE_KEY_BYTES = 1024;

/**
 * What survives once a write was acknowledged: nothing but this object (`none`), the death of the
 * process (`process`), of the machine's power supply (`power`), or of a machine (`quorum`).
 */
export type Durability = "none" | "process" | "power" | "quorum";

/** What an adapter promises, the same for every handle and for as long as it is open. */
export interface StorageCaps {
  /**
   * For `power` and `quorum`, whatever file a write changed was synced after that and before the
   * write is acknowledged, and so was each folder where a file or folder is new.
   */
  readonly durability: Durability;
  /** Whether several processes may have the same store open and write to it. */
  readonly multiProcess: boolean;
  /**
   * Most bytes of records, blobs, keys and values together that one call takes. Exactly as many are
   * taken; one more is `ERR_STORAGE_LIMIT`, and nothing is written.
   */
  readonly maxAppendBytes: number;
  /** Most records, blobs and state changes together that one call takes; as for `maxAppendBytes`. */
  readonly maxBatch: number;
  /** Whether {@link ChainStore.tail} is there. */
  readonly tail: boolean;
  /**
   * `false` where a put, deletion or commit of several blobs that failed, or whose process died,
   * may have happened to some of them; the same call again completes it. Chains and state are
   * never torn. Default `true`.
   */
  readonly atomicBlobs?: boolean;
}

/** Where a chain ends. */
export interface Head {
  /** Number of records; the next one gets this index. */
  readonly size: number;
  /** SHA-256 of the last record; `null` exactly when `size` is 0. */
  readonly hash: Uint8Array | null;
}

/** A record and its place in its chain. */
export interface ChainRecord {
  readonly index: number;
  readonly record: Uint8Array;
}

export interface AppendOptions {
  /**
   * Rejects with its reason, whatever that is, if aborted before writing began, and nothing is
   * written; afterwards it is ignored.
   */
  readonly signal?: AbortSignal;
}

export interface ChainReadOptions {
  /** Index of the first record wanted. */
  readonly from: number;
  /** Most records to yield; all up to the head when absent. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

export interface TailOptions {
  /** Index of the first record wanted. */
  readonly from: number;
  readonly signal?: AbortSignal;
}

/**
 * Append-only lists of records, each under a name. A chain that nobody appended to is empty, and
 * need not be created. Record 0 is the first; there are no gaps.
 *
 * For this and the other stores: byte arrays passed in are **copied before the call returns** (not
 * only before its promise settles, and for iterators not only when they are begun), so a caller may
 * reuse them at once; byte arrays handed out are
 * **newly allocated and the caller's**. What one call acknowledged, every later call on any handle
 * and in any process sees. Nothing that may yet be lost is ever shown: a head or record that was
 * read is as durable as `caps.durability` says.
 *
 * No two names are one: a name of a chain is told apart by every code point (case, Unicode forms and
 * byte order marks included; lone surrogates are refused), a CID by digest and codec, a key by every
 * byte. Nothing depends on the clock. Nothing is left open by an iterator that is not read to its
 * end, and no listener on a signal once its call has ended.
 *
 * Errors are {@link StorageError}s: `ERR_STORAGE_CONFLICT` (an {@link AppendConflict}),
 * `ERR_STORAGE_AMBIGUOUS` (an {@link AmbiguousAppend}), `ERR_STORAGE_LIMIT` (beyond `caps`; nothing
 * was written), `ERR_STORAGE_CORRUPT` (what is stored does not make sense), `ERR_STORAGE_CLOSED`
 * and `ERR_STORAGE_FAILED` (certainly not written: disk full, permission). Arguments of the wrong
 * type or range give `TypeError` and `RangeError`.
 */
export interface ChainStore {
  readonly caps: StorageCaps;

  /** Where the chain ends. */
  head(chain: string): Promise<Head>;

  /**
   * Appends all the records or none, if the chain ends where `expected` says.
   *
   * An exact replay (the chain once ended at `expected`, and what follows there are these records,
   * with or without more behind them) is answered like the first call and writes nothing. A replay
   * of which only a part is there is a conflict.
   *
   * @param expected - the head the caller built on; hash included in the comparison
   * @param records - at least one, each of at least one byte; copied
   * @returns the head right after these records (on a replay not necessarily the newest)
   * @throws {AppendConflict} the chain ends elsewhere; carries the actual head, nothing was written
   * @throws {AmbiguousAppend} the outcome is unknown; the same call again is safe and settles it
   */
  append(
    chain: string,
    expected: Head,
    records: readonly Uint8Array[],
    options?: AppendOptions,
  ): Promise<Head>;

  /**
   * Yields records in order, without gaps, up to the head as of the start of the iteration (later
   * ones may follow or not). From beyond the head it yields nothing.
   */
  read(chain: string, options: ChainReadOptions): AsyncIterable<ChainRecord>;

  /** Like {@link read}, but waits for more at the end, until its signal is aborted or the store closed. */
  tail?(chain: string, options: TailOptions): AsyncIterable<ChainRecord>;

  /**
   * Names of the chains that have records, each once, in no stated order; those that are appended to
   * first meanwhile may be there or not, and none that was there before is missed. Ends.
   */
  list(): AsyncIterable<string>;

  /**
   * Waits for writes that were begun and closes. Iterators that were begun give the rest or
   * `ERR_STORAGE_CLOSED`, as does every later call, also one that asks for nothing; what was refused
   * so is never written. Other handles stay open. Idempotent.
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
 * Values by CID. CIDs are version 1 with SHA-256 and any codec of up to 31 bits; two of different
 * codec are different names.
 * The library hashes what it puts and what it gets; a store compares nothing.
 * Ownership and errors as for {@link ChainStore}.
 */
export interface BlobStore {
  readonly caps: StorageCaps;
  /**
   * Stores all or none, as far as `caps.atomicBlobs` says. A blob that is there, or comes twice, is
   * left alone.
   */
  put(blobs: readonly NamedBlob[]): Promise<void>;
  get(cid: CID): Promise<Uint8Array | undefined>;
  /** @returns one result per CID, in their order */
  getMany(cids: readonly CID[]): Promise<(Uint8Array | undefined)[]>;
  has(cid: CID): Promise<boolean>;
  /**
   * Deletes what is there of these, all in one step. Afterwards no call returns them; their bytes
   * may stand in free space of a file until {@link StorageAdapter.compact}.
   */
  delete(cids: readonly CID[]): Promise<void>;
  /**
   * Every CID once, in no stated order; those put or deleted meanwhile may be there or not, and no
   * other is missed.
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
   * `false` lets the batch return before it is durable: it may be lost, together with all later
   * unsynced ones, but is never torn. For data that can be rebuilt. Default `true`.
   */
  readonly sync?: boolean;
}

export interface ScanOptions {
  /** First key, inclusive. */
  readonly gte: Uint8Array;
  /** End, exclusive. */
  readonly lt: Uint8Array;
  readonly limit?: number;
  /** From the last key down. */
  readonly reverse?: boolean;
}

export interface StateEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * Ordered keys and values. Part of them can be rebuilt from the other two stores (what is written
 * with `sync: false`); the keys of envelopes and persons that a custodian keeps here cannot, so it
 * is backed up like the others. Keys are 1 to
 * {@link MAX_STATE_KEY_BYTES} bytes and ordered as unsigned bytes, a prefix before what it begins.
 * Ownership and errors as for {@link ChainStore}.
 */
export interface StateStore {
  readonly caps: StorageCaps;
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** @returns one result per key, in their order, all as of one moment */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /**
   * Makes all changes or none; of several changes of one key the last one counts. Batches of one
   * handle are made in the order in which they were begun.
   */
  batch(changes: readonly StateChange[], options?: BatchOptions): Promise<void>;
  /**
   * Yields what lies in `[gte, lt)` in the order of its keys, each once; changes made meanwhile may be
   * seen or not, and what nobody changed is not missed. Ends.
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

/** The stores that one adapter gives. */
export interface StorageAdapter extends AsyncDisposable {
  readonly chains?: ChainStore;
  readonly blobs?: BlobStore;
  readonly state?: StateStore;

  /**
   * Appends, puts and changes state in one atomic, durable step that syncs once: a reader on any
   * handle sees all of it or nothing. If the append
   * conflicts, nothing is written. If it is an exact replay, nothing is written either: what came
   * with it the first time became durable with it.
   *
   * @returns the head right after the appended records; `undefined` without `append`
   * @throws as {@link ChainStore.append}
   */
  commit?(batch: Commit, options?: AppendOptions): Promise<Head | undefined>;

  /**
   * Rewrites the files so that nothing deleted is left in any of them. The adapter says what other
   * processes must do meanwhile.
   */
  compact?(): Promise<Compaction>;

  /** Closes every store. Idempotent. */
  close(): Promise<void>;
}

/** A {@link StorageAdapter} that lacks nothing. */
export interface FullStorage extends StorageAdapter {
  readonly chains: ChainStore;
  readonly blobs: BlobStore;
  readonly state: StateStore;
  commit(batch: Commit, options?: AppendOptions): Promise<Head | undefined>;
  compact(): Promise<Compaction>;
}
