import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { least } from "../bytes/lists.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { CID } from "../codec/cid.ts";
import { AppendConflict, AmbiguousAppend } from "./errors.ts";
import {
  checkCommit,
  checkScan,
  closedError,
  copyBytes,
  copyChange,
  copyHead,
  copyScan,
  sameHead,
} from "./guards.ts";
import { decodePending, encodePending, type Pending } from "./pending.ts";
import type {
  AppendOptions,
  NamedBlob,
  BlobStore,
  ChainStore,
  Commit,
  Compaction,
  Durability,
  Head,
  StateChange,
  StateStore,
  StorageAdapter,
  StorageCaps,
} from "./types.ts";

export interface CombineOptions {
  /** Provides the chains. */
  readonly chains: StorageAdapter;
  /** Provides the blobs; may be the same as `chains`. */
  readonly blobs: StorageAdapter;
  /** Provides the state. Nothing else may use it meanwhile: one process, and no other handle. */
  readonly state: StorageAdapter;
}

/** Result of {@link combineStorage}: all three stores, and `compact` if blobs and state have it. */
export interface CombinedStorage extends StorageAdapter {
  readonly chains: ChainStore;
  readonly blobs: BlobStore;
  readonly state: StateStore;
  commit(batch: Commit, options?: AppendOptions): Promise<Head | undefined>;
}

/** State key that holds a commit from before its append until it is done. */
const PENDING = /* @__PURE__ */ utf8ToBytes("combine/pending");
const ORDER: readonly Durability[] = ["none", "process", "power", "quorum"];

/** Shared by all combinations over one state store. */
interface Shared {
  /** Settles when the last work in the queue ends. */
  last: Promise<unknown>;
  /** A commit whose append may or may not have happened. */
  pending: Pending | undefined;
  /** A commit that may or may not be in the state store. */
  unwritten: Pending | undefined;
  /** Ends of chains, as last seen. */
  readonly ends: Map<string, Head>;
}

const sharedOf = /* @__PURE__ */ new WeakMap<StateStore, Shared>();

const COMBINE_STORAGE_OPTIONS: OptionsOf<CombineOptions> = {
  chains: true,
  blobs: true,
  state: true,
};

/**
 * Combines independent stores to one storage with `commit`, such as chains and blobs in an object
 * store and state on a local disk.
 *
 * A commit is written to the state store first, then appended, then carried out. A commit that was
 * cut short is carried out when the combination is next opened, or given up if the chain has
 * continued without it. So an append and its changes of state are never torn. Blobs are put first
 * of all: some blobs of a failed commit may remain (`caps.atomicBlobs` is `false`).
 *
 * @throws {TypeError} when a storage lacks the store that it has to provide
 * @throws {AmbiguousAppend} when a commit that was cut short cannot be settled now
 * @example
 * const objects = await s3Storage({ client, bucket: "my-ledger" });
 * const state = await lmdbStorage({ path: "state" });
 * const storage = await combineStorage({ chains: objects, blobs: objects, state });
 */
export async function combineStorage(options: CombineOptions): Promise<CombinedStorage> {
  assertOptions(options, COMBINE_STORAGE_OPTIONS, "combineStorage");
  const { chains } = options.chains;
  const { blobs } = options.blobs;
  const { state } = options.state;
  if (!chains || !blobs || !state) {
    throw new TypeError(
      "each storage must have the store that it provides: chains, blobs or state",
    );
  }
  const parts = [...new Set([options.chains, options.blobs, options.state])];
  const caps = capsOf([chains.caps, blobs.caps, state.caps]);
  const shared = sharedOf.get(state) ?? {
    last: Promise.resolve(),
    pending: undefined,
    unwritten: undefined,
    ends: new Map(),
  };
  sharedOf.set(state, shared);
  let closing: Promise<void> | undefined;

  function assertOpen(): void {
    if (closing) throw closedError();
  }

  /** Runs work one at a time, across all combinations of this state store. */
  function exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = shared.last.then(work);
    shared.last = result.catch(() => undefined);
    return result;
  }

  function close(): Promise<void> {
    closing ??= shared.last
      .then(() => Promise.all(parts.map((part) => part.close())))
      .then(() => undefined);
    return closing;
  }

  /** Carries out a commit that was cut short. The caller must hold the queue. */
  async function settle(): Promise<void> {
    if (shared.unwritten !== undefined) {
      shared.pending = shared.unwritten;
      await begin(shared.unwritten);
    }
    if (shared.pending !== undefined) await carryOut(shared.pending, false);
  }

  /**
   * Appends the commit that the state store holds as pending, and carries out the rest of it.
   *
   * @param first - whether this is the first attempt
   */
  async function carryOut(pending: Pending, first: boolean): Promise<Head> {
    const { chain, expected, records, state: changes } = pending;
    let head: Head;
    try {
      head = await chains!.append(chain, expected, records);
    } catch (error) {
      if (error instanceof AppendConflict) {
        shared.ends.set(chain, error.head);
      } else if (error instanceof AmbiguousAppend || !first) {
        // A failure of this attempt says nothing about earlier ones.
        shared.pending = pending;
        throw error instanceof AmbiguousAppend ? error : new AmbiguousAppend(error);
      }
      // The append certainly did not happen, and must not happen on a retry.
      await finish(pending, []);
      throw error;
    }
    await finish(pending, changes);
    shared.ends.set(chain, head);
    return head;
  }

  /** Writes a commit to the state store before its append. */
  async function begin(pending: Pending): Promise<void> {
    const value = encodePending(pending);
    try {
      await state!.batch([{ key: PENDING, value }]);
    } catch (error) {
      // It may have been written, and the next opening would carry it out; so the next call settles
      // it.
      if (error instanceof AmbiguousAppend) shared.unwritten = pending;
      throw error;
    }
    shared.unwritten = undefined;
  }

  async function finish(pending: Pending, changes: readonly StateChange[]): Promise<void> {
    try {
      await state!.batch([...changes, { key: PENDING, value: null }]);
    } catch (cause) {
      shared.pending = pending;
      throw new AmbiguousAppend(cause);
    }
    shared.pending = undefined;
  }

  async function commitAlone(batch: Commit, signal?: AbortSignal): Promise<Head | undefined> {
    signal?.throwIfAborted();
    await settleQuietly();
    const { append, blobs: put = [], state: changes = [] } = batch;
    if (append !== undefined) {
      const { chain, expected, records } = append;
      const end = shared.ends.get(chain);
      if (end === undefined || !sameHead(end, expected)) {
        const head = await chains!.head(chain);
        shared.ends.set(chain, head);
        if (!sameHead(head, expected)) {
          // Everything of a replay is present already.
          if (expected.size > head.size) throw new AppendConflict(head);
          return chains!.append(chain, expected, records);
        }
      }
    }
    if (put.length > 0) await blobs!.put(put);
    if (append === undefined) {
      if (changes.length > 0) await state!.batch(changes);
      return undefined;
    }
    const pending = { ...append, state: changes };
    if (changes.length > 0) {
      await begin(pending);
      return carryOut(pending, true);
    }
    // Until the outcome is known: a repeated call must not put blobs that were erased meanwhile.
    shared.ends.delete(append.chain);
    const head = await chains!.append(append.chain, append.expected, append.records);
    shared.ends.set(append.chain, head);
    return head;
  }

  /** A conflict of a pending commit concerns its own caller, who was told that it was ambiguous. */
  async function settleQuietly(): Promise<void> {
    try {
      await settle();
    } catch (error) {
      if (!(error instanceof AppendConflict)) throw error;
    }
  }

  async function commit(batch: Commit, { signal }: AppendOptions = {}): Promise<Head | undefined> {
    assertOpen();
    checkCommit(batch, caps);
    signal?.throwIfAborted();
    const copy = copyCommit(batch);
    return exclusively(() => commitAlone(copy, signal));
  }

  /** The state after the pending commit is settled. */
  async function settledState(): Promise<StateStore> {
    assertOpen();
    if (shared.pending ?? shared.unwritten) await exclusively(settleQuietly);
    return state!;
  }

  async function* scan(options: Parameters<StateStore["scan"]>[0]) {
    const copy = checkScan(options);
    yield* (await settledState()).scan(copy);
  }

  async function compact(): Promise<Compaction> {
    assertOpen();
    return exclusively(async () => {
      await settleQuietly();
      let [before, after] = [0, 0];
      for (const part of parts) {
        const sizes = await part.compact?.();
        before += sizes?.before ?? 0;
        after += sizes?.after ?? 0;
      }
      return { before, after };
    });
  }

  // Queued: another handle's commit is in the store while it runs, and carrying it out again would
  // undo what came after it.
  await exclusively(async () => {
    const value = await state.get(PENDING);
    if (value !== undefined) shared.pending ??= decodePending(value);
    await settleQuietly();
  });

  const combined: ChainStore = {
    caps,
    head: async (chain) => (assertOpen(), chains.head(chain)),
    async append(chain, expected, records, appendOptions) {
      return (await commit({ append: { chain, expected, records } }, appendOptions))!;
    },
    read: (chain, readOptions) => chains.read(chain, readOptions),
    ...(chains.tail && { tail: (chain, tailOptions) => chains.tail!(chain, tailOptions) }),
    list: () => chains.list(),
    close,
  };

  return {
    chains: combined,
    blobs: {
      caps,
      put: async (list) => void (await commit({ blobs: list })),
      get: (cid) => blobs.get(cid),
      getMany: (cids) => blobs.getMany(cids),
      has: (cid) => blobs.has(cid),
      delete: (cids) => blobs.delete(cids),
      list: () => blobs.list(),
      count: () => blobs.count(),
      close,
    },
    state: {
      caps,
      async get(key) {
        const copy = copyBytes(key);
        return (await settledState()).get(copy);
      },
      async getMany(keys) {
        const copies = keys.map(copyBytes);
        return (await settledState()).getMany(copies);
      },
      async batch(changes, batchOptions) {
        assertOpen();
        checkCommit({ state: changes }, caps);
        const copy = changes.map(copyChange);
        await exclusively(async () => {
          await settleQuietly();
          await state.batch(copy, batchOptions);
        });
      },
      scan: (range) => scan(copyScan(range)),
      close,
    },
    commit,
    ...(options.blobs.compact && options.state.compact && { compact }),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** The weakest promises of all parts. */
function capsOf(all: readonly StorageCaps[]): StorageCaps {
  const ranks = all.map(({ durability }) => ORDER.indexOf(durability));
  return {
    durability: ORDER[least(ranks)]!,
    multiProcess: false,
    // A commit is one value in the state store.
    maxAppendBytes: Math.floor(least(all.map((caps) => caps.maxAppendBytes)) / 2),
    maxBatch: least(all.map((caps) => caps.maxBatch)) - 1,
    tail: all[0]!.tail,
    atomicBlobs: false,
  };
}

function copyCommit({ append, blobs, state }: Commit): Commit {
  return {
    ...(append && {
      append: {
        chain: append.chain,
        expected: copyHead(append.expected),
        records: append.records.map(copyBytes),
      },
    }),
    ...(blobs && { blobs: blobs.map(copyBlob) }),
    ...(state && { state: state.map(copyChange) }),
  };
}

function copyBlob({ cid, bytes }: NamedBlob): NamedBlob {
  return { cid: CID.decode(copyBytes(cid.bytes)), bytes: copyBytes(bytes) };
}
