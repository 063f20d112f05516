import type { BlobStore, ChainStore, StateStore, StorageAdapter } from "../storage/types.ts";

/** What a machine's life decides about calls of its storage. */
export interface StorageLife {
  /** Answers a read; never, once the life is over. */
  read<T>(call: () => Promise<T>): Promise<T>;
  /** Makes a write after a while; never answers once the life is over. */
  write<T>(call: () => Promise<T>): Promise<T>;
}

/** A storage that belongs to one life of a machine: what it holds survives that life. */
export function livingStorage(storage: StorageAdapter, life: StorageLife): StorageAdapter {
  const { chains, blobs, state, commit, compact } = storage;
  const { read, write } = life;

  async function* each<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
    const items = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await read(() => items.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await items.return?.();
    }
  }

  const livingChains = (inner: ChainStore): ChainStore => ({
    caps: { ...inner.caps, tail: false },
    head: (chain) => read(() => inner.head(chain)),
    append: (...call) => write(() => inner.append(...call)),
    read: (...call) => each(inner.read(...call)),
    list: () => each(inner.list()),
    close: async () => undefined,
  });
  const livingBlobs = (inner: BlobStore): BlobStore => ({
    caps: inner.caps,
    put: (list) => write(() => inner.put(list)),
    get: (cid) => read(() => inner.get(cid)),
    getMany: (cids) => read(() => inner.getMany(cids)),
    has: (cid) => read(() => inner.has(cid)),
    delete: (cids) => write(() => inner.delete(cids)),
    list: () => each(inner.list()),
    count: () => read(() => inner.count()),
    close: async () => undefined,
  });
  const livingState = (inner: StateStore): StateStore => ({
    caps: inner.caps,
    get: (key) => read(() => inner.get(key)),
    getMany: (keys) => read(() => inner.getMany(keys)),
    batch: (changes) => write(() => inner.batch(changes)),
    scan: (options) => each(inner.scan(options)),
    close: async () => undefined,
  });

  const close = async (): Promise<void> => undefined;
  return {
    ...(chains && { chains: livingChains(chains) }),
    ...(blobs && { blobs: livingBlobs(blobs) }),
    ...(state && { state: livingState(state) }),
    ...(commit && { commit: (...call) => write(() => commit(...call)) }),
    ...(compact && { compact: () => write(() => compact()) }),
    close,
    [Symbol.asyncDispose]: close,
  };
}
