import type { CID } from "../codec/cid.ts";
import { AppendConflict } from "../storage/errors.ts";
import { blobCid } from "../storage/guards.ts";
import type { BlobStore, ChainStore, FullStorage, Head } from "../storage/types.ts";
import { memorySubjects } from "./memory-subject.ts";
import { withBlobs, withChains, withState } from "./change-storage.ts";
import { collect, pause } from "./kit.ts";
import type { MakeStorage } from "./storage-subject.ts";

/**
 * A store with one fault, which the kit must notice: a kit that passes everything proves nothing.
 */
export interface StorageControl {
  readonly name: string;
  readonly make: MakeStorage;
  /** A part of the name of a case that must fail. */
  readonly fails: string;
}

const control = (
  name: string,
  fails: string,
  change: (storage: FullStorage) => FullStorage,
): StorageControl => ({ name, fails, make: memorySubjects(change) });

/** Appends records one after the other, so that a crash or a limit leaves some of them. */
const inSteps = (storage: FullStorage): FullStorage =>
  withChains(storage, (chains) => ({
    async append(chain, expected, records) {
      let head = expected;
      for (const record of copiesOf(records)) {
        head = await chains.append(chain, head, [record]);
        await pause(0);
      }
      return head;
    },
  }));

const copiesOf = (records: readonly Uint8Array[]): Uint8Array[] =>
  records.map((record) => new Uint8Array(record));

/** Stores that each break a rule of the interfaces. */
export const storageControls: readonly StorageControl[] = [
  control("append without compare", "wrong head conflicts", (storage) =>
    withChains(storage, (chains) => ({
      append: async (chain, _, records) => chains.append(chain, await chains.head(chain), records),
    })),
  ),
  control("append that compares sizes only", "wrong head conflicts", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records) {
        const head = await chains.head(chain);
        return chains.append(chain, head.size === expected.size ? head : expected, records);
      },
    })),
  ),
  control("append that compares, then waits, then writes", "race for a place", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records) {
        const copies = copiesOf(records);
        const head = await chains.head(chain);
        if (head.size !== expected.size) throw new AppendConflict(head);
        await pause(1);
        return chains.append(chain, await chains.head(chain), copies);
      },
    })),
  ),
  control("append in several steps", "chains: says when an append is beyond its limits", inSteps),
  control("replays refused", "exact replay is answered", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records) {
        const head = await chains.head(chain);
        if (head.size !== expected.size) throw new AppendConflict(head);
        return chains.append(chain, expected, records);
      },
    })),
  ),
  control("replays written again", "exact replay is answered", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records) {
        const there = await collect(
          chains.read(chain, { from: expected.size, limit: records.length }),
        );
        const head = there.length === records.length ? await chains.head(chain) : expected;
        return chains.append(chain, head, records);
      },
    })),
  ),
  control("partial replays taken for whole", "there only in part", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records) {
        const head = await chains.head(chain);
        if (head.size <= expected.size) return chains.append(chain, expected, records);
        return chains.append(chain, expected, records.slice(0, 1)).then(() => head);
      },
    })),
  ),
  control("numbers from 1", "numbered from 0", (storage) =>
    withChains(storage, (chains) => ({
      async *read(chain, options) {
        for await (const { index, record } of chains.read(chain, options)) {
          yield { index: index + 1, record };
        }
      },
    })),
  ),
  control("limit ignored", "reads ranges", (storage) =>
    withChains(storage, (chains) => ({ read: (chain, { from }) => chains.read(chain, { from }) })),
  ),
  control("chains not told apart", "keeps chains apart", (storage) =>
    withChains(storage, (chains) => {
      const name = (chain: string): string => chain.toLowerCase();
      return {
        head: (chain) => chains.head(name(chain)),
        append: (chain, ...rest) => chains.append(name(chain), ...rest),
        read: (chain, options) => chains.read(name(chain), options),
      };
    }),
  ),
  control("records kept by reference", "chains: copies what it is given", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        await pause(0);
        return chains.append(chain, expected, records, options);
      },
    })),
  ),
  control(
    "the head in a conflict handed out from a cache",
    "chains: hands out bytes",
    (storage) => {
      let last: Head | undefined;
      return withChains(storage, (chains) => ({
        head: async (chain) => last ?? chains.head(chain),
        append: (...call) =>
          chains.append(...call).catch((error: unknown) => {
            if (error instanceof AppendConflict) last = error.head;
            throw error;
          }),
      }));
    },
  ),
  control("append acknowledged before it is written", "every other sees at once", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        const copies = copiesOf(records);
        void pause(5).then(() => chains.append(chain, expected, copies, options).catch(() => {}));
        const { size } = expected;
        return { size: size + records.length, hash: new Uint8Array(32) };
      },
    })),
  ),
  control("a head from a cache that others do not clear", "every other sees at once", (storage) => {
    const cache = new Map<string, ReturnType<ChainStore["head"]>>();
    return withChains(storage, (chains) => ({
      head(chain) {
        const head = cache.get(chain) ?? chains.head(chain);
        cache.set(chain, head);
        return head;
      },
    }));
  }),
  control("abort ignored", "abort before writing", (storage) =>
    withChains(storage, (chains) => ({
      append: (chain, expected, records) => chains.append(chain, expected, records),
    })),
  ),
  control("an abort that rejects and writes all the same", "an abort at any moment", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records, { signal } = {}) {
        const appended = chains.append(chain, expected, records);
        await pause(2);
        signal?.throwIfAborted();
        return appended;
      },
    })),
  ),
  control("an append that shows its parts", "a read beside appends", inSteps),
  control("a tail that begins at the end", "tail gives what is there", (storage) =>
    withChains(storage, (chains) => ({
      async *tail(chain, options) {
        const { size } = await chains.head(chain);
        yield* chains.tail!(chain, { ...options, from: Math.max(size, options.from) });
      },
    })),
  ),
  control("a tail that misses what comes while it hands out", "tail misses nothing", (storage) =>
    withChains(storage, (chains) => ({
      async *tail(chain, { from, signal }) {
        for (let next = from; ; await pause(1)) {
          signal?.throwIfAborted();
          yield* chains.read(chain, { from: next });
          // Knows that the end was reached, but not whether all records up to it were yielded.
          next = (await chains.head(chain)).size;
        }
      },
    })),
  ),
  control("a tail that outlives its store", "tail ends when its store is closed", (storage) =>
    withChains(storage, (chains) => ({
      async *tail(chain, options) {
        yield* chains.read(chain, options);
        await new Promise(() => {});
      },
    })),
  ),
  control("appends the part that fits", "beyond its limits", (storage) =>
    withChains(storage, (chains) => ({
      append: (chain, expected, records, options) =>
        chains.append(chain, expected, records, options).catch(async (error: unknown) => {
          if ((error as { code?: string }).code === "ERR_STORAGE_LIMIT") {
            await chains.append(chain, expected, records.slice(0, 1), options);
          }
          throw error;
        }),
    })),
  ),

  control("put acknowledged before it is stored", "gives back what was put", (storage) =>
    withBlobs(storage, (blobs) => ({
      async put(list) {
        const copies = list.map(({ cid, bytes }) => ({ cid, bytes: new Uint8Array(bytes) }));
        void pause(5).then(() => blobs.put(copies).catch(() => {}));
      },
    })),
  ),
  control("wrong bytes of large blobs", "gives back what was put", (storage) =>
    withBlobs(storage, (blobs) => ({
      async get(cid) {
        const bytes = await blobs.get(cid);
        if (bytes && bytes.length > 32_000) bytes[31_999]! ^= 1;
        return bytes;
      },
    })),
  ),
  control("blobs kept by reference", "blobs: copies what it is given", (storage) =>
    withBlobs(storage, (blobs) => ({
      async put(list) {
        await pause(0);
        return blobs.put(list);
      },
    })),
  ),
  control("blobs handed out from a shared buffer", "blobs: hands out bytes", (storage) => {
    const kept = new Map<string, Uint8Array | undefined>();
    return withBlobs(storage, (blobs) => ({
      async get(cid) {
        const key = cid.toString();
        if (!kept.has(key)) kept.set(key, await blobs.get(cid));
        return kept.get(key);
      },
    }));
  }),
  control("codec of the name ignored", "another codec", (storage) => {
    const digests = new Set<string>();
    return withBlobs(storage, (blobs) => ({
      async put(list) {
        for (const { cid } of list) digests.add(cid.multihash.digest.join());
        return blobs.put(list);
      },
      has: async (cid) => digests.has(cid.multihash.digest.join()),
    }));
  }),
  control("names kept by reference", "blobs: copies the names", (storage) => {
    const names: CID[] = [];
    return withBlobs(storage, (blobs) => ({
      async put(list) {
        names.push(...list.map(({ cid }) => cid));
        return blobs.put(list);
      },
      async *list() {
        yield* names;
      },
    }));
  }),
  control("names of two bytes' codec cut short", "blobs: lists names", (storage) =>
    withBlobs(storage, (blobs) => ({
      async *list() {
        for await (const { code, multihash } of blobs.list()) {
          yield blobCid(code & 0xff, multihash.digest);
        }
      },
    })),
  ),
  control("deletion forgotten", "deletes what it is told", (storage) =>
    withBlobs(storage, () => ({ delete: async () => {} })),
  ),
  control("deletion of one too many", "deletes what it is told", (storage) =>
    withBlobs(storage, (blobs) => ({
      async delete(cids) {
        const others = await collect(blobs.list());
        return blobs.delete([...cids, ...others.slice(-1)]);
      },
    })),
  ),
  control("puts what fits and then fails", "beyond its limits", (storage) =>
    withBlobs(storage, (blobs) => ({
      async put(list) {
        for (const blob of list.slice(0, -1)) await blobs.put([blob]);
        return blobs.put(list);
      },
    })),
  ),

  control("batch in several steps", "all changes of a batch or none", (storage) =>
    withState(storage, (state) => ({
      async batch(changes) {
        for (const change of changes) await state.batch([change]);
      },
    })),
  ),
  control("the first change of a key counts", "the last counts", (storage) =>
    withState(storage, (state) => ({
      batch: (changes) => state.batch([...changes].reverse()),
    })),
  ),
  control("keys in the order of numbers", "orders keys as unsigned bytes", (storage) =>
    withState(storage, (state) => ({
      async *scan(options) {
        const entries = await collect(state.scan(options));
        yield* entries.sort((a, b) => a.key.length - b.key.length);
      },
    })),
  ),
  control("upper bound included", "orders keys as unsigned bytes", (storage) =>
    withState(storage, (state) => ({
      async *scan(options) {
        yield* state.scan(options);
        const value = options.lt.length > 0 ? await state.get(options.lt) : undefined;
        if (value) yield { key: options.lt, value };
      },
    })),
  ),
  control("a scan stops after a page", "scans thousands", (storage) =>
    withState(storage, (state) => ({
      scan: (options) => state.scan({ ...options, limit: Math.min(options.limit ?? 256, 256) }),
    })),
  ),

  control("unsynced batches dropped", "derived nodes", (storage) =>
    withState(storage, (state) => ({
      batch: async (changes, options) => {
        if (options?.sync !== false) await state.batch(changes);
      },
    })),
  ),
  control("a commit that leaves what lost in the state", "conflict writes nothing", (storage) => ({
    ...storage,
    async commit({ append, blobs, state }, options) {
      await storage.state.batch(state ?? []);
      return storage.commit({ ...(append && { append }), ...(blobs && { blobs }) }, options);
    },
  })),

  control("commit in three steps, blobs first", "conflict writes nothing", (storage) => ({
    ...storage,
    async commit({ append, blobs, state }, options) {
      await storage.blobs.put(blobs ?? []);
      const head = append && (await storage.commit({ append }, options));
      await storage.state.batch(state ?? []);
      return head;
    },
  })),
  control(
    "commit in three steps, append first",
    "replay is answered and writes nothing",
    (storage) => ({
      ...storage,
      async commit({ append, blobs, state }, options) {
        const head = append && (await storage.commit({ append }, options));
        await storage.commit({ ...(blobs && { blobs }), ...(state && { state }) });
        return head;
      },
    }),
  ),
  control("compaction brings the deleted back", "keeps what lives", (storage) => {
    const all: Parameters<BlobStore["put"]>[0][number][] = [];
    return {
      ...storage,
      async commit(batch, options) {
        all.push(...(batch.blobs ?? []).map(({ cid, bytes }) => ({ cid, bytes: bytes.slice() })));
        return storage.commit(batch, options);
      },
      async compact() {
        await storage.blobs.put(all);
        return storage.compact();
      },
    };
  }),
];
