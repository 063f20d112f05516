import { StorageError } from "../../../src/errors.ts";
import type { ChainRecord, ChainStore, TailOptions } from "../../../src/storage/types.ts";
import { withChains } from "../../../src/testing/change-storage.ts";
import { pause } from "../../../src/testing/kit.ts";
import { first, mutant, onCaps, type Mutant, noting } from "./wrap.ts";

const on = (
  name: string,
  tail: (
    chains: ChainStore,
    chain: string,
    options: TailOptions,
    shared: Record<string, any>,
  ) => AsyncIterable<ChainRecord>,
): Mutant =>
  mutant(`tail: ${name}`, (storage, shared) =>
    withChains(storage, (chains) => ({
      tail: (chain, options) => tail(chains, chain, options, shared),
    })),
  );

export const tailMutants: readonly Mutant[] = [
  on(
    "misses what was appended between its first read and its waiting",
    async function* (chains, chain, { from, signal }) {
      let next = from;
      for await (const item of chains.read(chain, { from })) {
        next++;
        yield item;
      }
      await pause(1);
      const { size } = await chains.head(chain);
      yield* chains.tail!(chain, { from: Math.max(next, size), ...(signal && { signal }) });
    },
  ),
  on("ends at the head", (chains, chain, options) => chains.read(chain, options)),
  on("ends when a chain is empty yet", async function* (chains, chain, options) {
    if ((await chains.head(chain)).size === 0) return;
    yield* chains.tail!(chain, options);
  }),
  on("begins at the first record", (chains, chain, options) =>
    chains.tail!(chain, { ...options, from: 0 }),
  ),
  on("ends without a word when it is aborted", async function* (chains, chain, options) {
    try {
      yield* chains.tail!(chain, options);
    } catch (error) {
      if (!options.signal?.aborted) throw error;
    }
  }),
  on(
    "rejects with an error of its own when it is aborted",
    async function* (chains, chain, options) {
      try {
        yield* chains.tail!(chain, options);
      } catch (error) {
        throw options.signal?.aborted ? new DOMException("aborted", "AbortError") : error;
      }
    },
  ),
  on(
    "heeds its signal only when something comes",
    async function* (chains, chain, { from, signal }) {
      for await (const item of chains.tail!(chain, { from })) {
        signal?.throwIfAborted();
        yield item;
      }
    },
  ),
  on(
    "does not look whether it was aborted before it began",
    async function* (chains, chain, { from, signal }) {
      if (signal?.aborted) yield* chains.read(chain, { from });
      yield* chains.tail!(chain, { from, ...(signal && { signal }) });
    },
  ),
  on("never ends when its store is closed", async function* (chains, chain, options) {
    try {
      yield* chains.tail!(chain, options);
    } catch (error) {
      if (options.signal?.aborted) throw error;
    }
    await new Promise(() => {});
  }),
  on(
    "gives an error without a code when its store is closed",
    async function* (chains, chain, options) {
      yield* chains.tail!(chain, options);
      throw new Error("closed");
    },
  ),
  on("gives no more than 1000 of a burst", async function* (chains, chain, { from, signal }) {
    let next = from;
    for await (const item of first(chains.read(chain, { from }), 1000)) {
      next++;
      yield item;
    }
    const { size } = await chains.head(chain);
    if (size - next > 0) next = size;
    for (let burst = 0; ; burst = 0) {
      for await (const item of chains.tail!(chain, { from: next, ...(signal && { signal }) })) {
        next = item.index + 1;
        if (++burst <= 1000) yield item;
        if (next === (await chains.head(chain)).size) break;
      }
      signal?.throwIfAborted();
      const end = await chains.head(chain).catch(() => undefined);
      if (!end) return;
    }
  }),
  on("gives a record twice when two come at once", async function* (chains, chain, options) {
    let last = -1;
    for await (const item of chains.tail!(chain, options)) {
      yield item;
      if (item.index === last + 1 && item.index === 4) yield item;
      last = item.index;
    }
  }),
  mutant("tail: hears of what its own handle appends only", (storage) => {
    const own = new Map<string, number>();
    return withChains(storage, (chains) => ({
      append: noting(chains, own),
      async *tail(chain, { from, signal }) {
        let next = from;
        for await (const item of chains.read(chain, { from, ...(signal && { signal }) })) {
          next++;
          yield item;
        }
        for (; ; await pause(2)) {
          signal?.throwIfAborted();
          for await (const item of chains.read(chain, {
            from: next,
            limit: Math.max(0, (own.get(chain) ?? 0) - next),
          })) {
            next++;
            yield item;
          }
        }
      },
    }));
  }),
  on("leaves its listener on the signal", (chains, chain, options) => {
    options.signal?.addEventListener("abort", () => {});
    return chains.tail!(chain, options);
  }),
  on("leaves a timer that goes on after close", async function* (chains, chain, options) {
    const timer = setInterval(() => {}, 1000);
    left.push(timer);
    yield* chains.tail!(chain, options);
  }),
  on("skips a record in every hundred", async function* (chains, chain, options) {
    for await (const item of chains.tail!(chain, options)) if (item.index % 100 !== 99) yield item;
  }),
  mutant("caps: tail claimed and not there", (storage) => {
    const { tail: _, ...chains } = storage.chains;
    return { ...storage, chains };
  }),
  mutant("caps: tail there and not claimed", (storage) => onCaps(storage, { tail: false })),
  on("numbers from where it began", async function* (chains, chain, options) {
    for await (const { index, record } of chains.tail!(chain, options))
      yield { index: index - options.from, record };
  }),
  on("a negative beginning is the first record", (chains, chain, options) =>
    chains.tail!(chain, { ...options, from: Math.max(0, options.from) }),
  ),
  on("fails when two follow one chain", async function* (chains, chain, options, shared) {
    const following: Map<string, number> = (shared["f"] ??= new Map());
    if ((following.get(chain) ?? 0) > 1)
      throw new StorageError("ERR_STORAGE_FAILED", "followed already");
    following.set(chain, (following.get(chain) ?? 0) + 1);
    try {
      yield* chains.tail!(chain, options);
    } finally {
      following.set(chain, following.get(chain)! - 1);
    }
  }),
  on("those left early are never let go of", async function* (chains, chain, options, shared) {
    shared["open"] = (shared["open"] ?? 0) + 1;
    if (shared["open"] > 100) throw new StorageError("ERR_STORAGE_FAILED", "no connection left");
    yield* chains.tail!(chain, options);
  }),
];

const left: unknown[] = [];

/** Timers that mutants left. */
export function stopTimers(): void {
  for (const timer of left.splice(0)) clearInterval(timer as NodeJS.Timeout);
}
