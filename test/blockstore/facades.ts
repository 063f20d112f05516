import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import type { CID } from "../../src/codec/cid.ts";
import type { BlobStore, StateChange, StateStore } from "../../src/storage/types.ts";

interface Options {
  readonly signal?: AbortSignal;
}
type Content = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
type Source<T> = Iterable<T> | AsyncIterable<T>;

/** What both interfaces throw for what is not there. */
function notFound(): Error {
  return Object.assign(new Error("not found"), { name: "NotFoundError" });
}

async function bytesOf(content: Content): Promise<Uint8Array> {
  if (content instanceof Uint8Array) return content;
  const parts: Uint8Array[] = [];
  for await (const part of content) parts.push(part);
  return new Uint8Array(Buffer.concat(parts));
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** A `BlobStore` as `interface-blockstore` 7 has it. */
export function blockstoreOver(blobs: BlobStore) {
  async function found(cid: CID, { signal }: Options = {}): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const bytes = await blobs.get(cid);
    if (bytes === undefined) throw notFound();
    return bytes;
  }
  const store = {
    async put(cid: CID, content: Content, { signal }: Options = {}): Promise<CID> {
      signal?.throwIfAborted();
      await blobs.put([{ cid, bytes: await bytesOf(content) }]);
      return cid;
    },
    async *putMany(source: Source<{ cid: CID; bytes: Content }>, options?: Options) {
      for await (const { cid, bytes } of source) yield store.put(cid, bytes, options);
    },
    async *get(cid: CID, options?: Options) {
      yield await found(cid, options);
    },
    async *getMany(source: Source<CID>, options?: Options) {
      for await (const cid of source) yield { cid, bytes: one(await found(cid, options)) };
    },
    async *getAll({ signal }: Options = {}) {
      signal?.throwIfAborted();
      for await (const cid of blobs.list()) yield { cid, bytes: one(await found(cid)) };
    },
    async has(cid: CID, { signal }: Options = {}) {
      signal?.throwIfAborted();
      return blobs.has(cid);
    },
    async delete(cid: CID, { signal }: Options = {}) {
      signal?.throwIfAborted();
      await blobs.delete([cid]);
    },
    async *deleteMany(source: Source<CID>, options?: Options) {
      for await (const cid of source) {
        await store.delete(cid, options);
        yield cid;
      }
    },
  };
  return store;
}

/** The part of `Key` of `interface-datastore` that is used. */
interface Key {
  uint8Array(): Uint8Array;
}
interface Pair {
  readonly key: Key;
  readonly value: Uint8Array;
}
interface Query<T> {
  readonly prefix?: string;
  readonly filters?: readonly ((item: T) => boolean)[];
  readonly orders?: readonly ((a: T, b: T) => -1 | 0 | 1)[];
  readonly limit?: number;
  readonly offset?: number;
}

/** A `StateStore` as `interface-datastore` 10 has it. */
export function datastoreOver(state: StateStore, makeKey: (bytes: Uint8Array) => Key) {
  async function* matching<T>(
    { prefix = "/", filters = [], orders = [], limit = Infinity, offset = 0 }: Query<T>,
    { signal }: Options,
    itemOf: (pair: Pair) => T,
  ): AsyncGenerator<T> {
    signal?.throwIfAborted();
    const gte = utf8ToBytes(prefix);
    // Keys are UTF-8, in which no byte is 255.
    const lt = new Uint8Array([...gte, 255]);
    let items: T[] = [];
    for await (const { key, value } of state.scan({ gte, lt })) {
      const item = itemOf({ key: makeKey(key), value });
      if (filters.every((filter) => filter(item))) items.push(item);
    }
    for (const order of orders) items = items.sort(order);
    yield* items.slice(offset, offset + limit);
  }
  const store = {
    async put(key: Key, value: Uint8Array, { signal }: Options = {}): Promise<Key> {
      signal?.throwIfAborted();
      await state.batch([{ key: key.uint8Array(), value }]);
      return key;
    },
    async *putMany(source: Source<Pair>, options?: Options) {
      for await (const { key, value } of source) yield store.put(key, value, options);
    },
    async get(key: Key, { signal }: Options = {}): Promise<Uint8Array> {
      signal?.throwIfAborted();
      const value = await state.get(key.uint8Array());
      if (value === undefined) throw notFound();
      return value;
    },
    async *getMany(source: Source<Key>, options?: Options) {
      for await (const key of source) yield { key, value: await store.get(key, options) };
    },
    async has(key: Key, { signal }: Options = {}) {
      signal?.throwIfAborted();
      return (await state.get(key.uint8Array())) !== undefined;
    },
    async delete(key: Key, { signal }: Options = {}) {
      signal?.throwIfAborted();
      await state.batch([{ key: key.uint8Array(), value: null }]);
    },
    async *deleteMany(source: Source<Key>, options?: Options) {
      for await (const key of source) {
        await store.delete(key, options);
        yield key;
      }
    },
    batch() {
      const changes: StateChange[] = [];
      return {
        put: (key: Key, value: Uint8Array) => void changes.push({ key: key.uint8Array(), value }),
        delete: (key: Key) => void changes.push({ key: key.uint8Array(), value: null }),
        async commit({ signal }: Options = {}) {
          signal?.throwIfAborted();
          await state.batch(changes);
        },
      };
    },
    query: (query: Query<Pair>, options: Options = {}) => matching(query, options, (pair) => pair),
    queryKeys: (query: Query<Key>, options: Options = {}) =>
      matching(query, options, ({ key }) => key),
  };
  return store;
}
