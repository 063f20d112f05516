import { sha256 } from "../../../src/crypto/node.ts";
import { StorageError } from "../../../src/errors.ts";
import { closedError } from "../../../src/storage/guards.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { withBlobs, withChains, withState } from "../../../src/testing/change-storage.ts";
import { pause } from "../../../src/testing/kit.ts";
import { all, codeOf, copy, mutant, onCaps, type Mutant } from "./wrap.ts";

const CLOSED = "ERR_STORAGE_CLOSED";

/** A storage one method of which answers after close as if there were nothing. */
function answering(name: string, change: (storage: FullStorage) => FullStorage): Mutant {
  return mutant(`close: ${name}`, change);
}

/** Gives a value where a call was refused as closed. */
const or = async <T>(call: Promise<T>, value: T): Promise<T> =>
  call.catch((error: unknown) => {
    if (codeOf(error) !== CLOSED) throw error;
    return value;
  });

async function* orEnd<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* source;
  } catch (error) {
    if (codeOf(error) !== CLOSED) throw error;
  }
}

function closing(
  name: string,
  change: (
    storage: FullStorage,
    state: { closed: boolean },
    shared: Record<string, any>,
  ) => FullStorage,
): Mutant {
  return mutant(`close: ${name}`, (storage, shared) => change(storage, { closed: false }, shared));
}

/** Has all closes do something else. */
function withClose(storage: FullStorage, close: () => Promise<void>): FullStorage {
  return {
    ...storage,
    chains: { ...storage.chains, close },
    blobs: { ...storage.blobs, close },
    state: { ...storage.state, close },
    close,
    [Symbol.asyncDispose]: close,
  };
}

export const closingMutants: readonly Mutant[] = [
  answering("head answers after it", (s) =>
    withChains(s, (c) => ({ head: (chain) => or(c.head(chain), { size: 0, hash: null }) })),
  ),
  answering("read ends after it", (s) =>
    withChains(s, (c) => ({ read: (chain, o) => orEnd(c.read(chain, o)) })),
  ),
  answering("list of chains ends after it", (s) =>
    withChains(s, (c) => ({ list: () => orEnd(c.list()) })),
  ),
  answering("tail ends after it", (s) =>
    withChains(s, (c) => ({ tail: (chain, o) => orEnd(c.tail!(chain, o)) })),
  ),
  answering("get of a blob answers after it", (s) =>
    withBlobs(s, (b) => ({ get: (cid) => or(b.get(cid), undefined) })),
  ),
  answering("has answers after it", (s) =>
    withBlobs(s, (b) => ({ has: (cid) => or(b.has(cid), false) })),
  ),
  answering("count answers after it", (s) =>
    withBlobs(s, (b) => ({ count: () => or(b.count(), 0) })),
  ),
  answering("getMany of blobs answers after it", (s) =>
    withBlobs(s, (b) => ({
      getMany: (cids) =>
        or(
          b.getMany(cids),
          cids.map(() => undefined),
        ),
    })),
  ),
  answering("getMany of no blobs answers after it", (s) =>
    withBlobs(s, (b) => ({ getMany: async (cids) => (cids.length === 0 ? [] : b.getMany(cids)) })),
  ),
  answering("delete of nothing is done after it", (s) =>
    withBlobs(s, (b) => ({
      delete: async (cids) => (cids.length === 0 ? undefined : b.delete(cids)),
    })),
  ),
  answering("put of nothing is done after it", (s) =>
    withBlobs(s, (b) => ({ put: async (list) => (list.length === 0 ? undefined : b.put(list)) })),
  ),
  answering("put is done after it", (s) =>
    withBlobs(s, (b) => ({ put: (list) => or(b.put(list), undefined) })),
  ),
  answering("list of blobs ends after it", (s) =>
    withBlobs(s, (b) => ({ list: () => orEnd(b.list()) })),
  ),
  answering("get of state answers after it", (s) =>
    withState(s, (t) => ({ get: (key) => or(t.get(key), undefined) })),
  ),
  answering("getMany of state answers after it", (s) =>
    withState(s, (t) => ({ getMany: (keys) => or(t.getMany(keys), []) })),
  ),
  answering("an empty batch is done after it", (s) =>
    withState(s, (t) => ({
      batch: async (changes, o) => (changes.length === 0 ? undefined : t.batch(changes, o)),
    })),
  ),
  answering("an unsynced batch is dropped after it", (s) =>
    withState(s, (t) => ({
      batch: (changes, o) =>
        o?.sync === false ? or(t.batch(changes, o), undefined) : t.batch(changes, o),
    })),
  ),
  answering("a scan of nothing ends after it", (s) =>
    withState(s, (t) => ({ scan: (o) => (o.limit === 0 ? orEnd(t.scan(o)) : t.scan(o)) })),
  ),
  answering("a scan ends after it", (s) =>
    withState(s, (t) => ({ scan: (o) => orEnd(t.scan(o)) })),
  ),
  answering("a commit of nothing is done after it", (s) => ({
    ...s,
    commit: async (batch, o) => (Object.keys(batch).length === 0 ? undefined : s.commit(batch, o)),
  })),
  answering("a commit is done after it", (s) => ({
    ...s,
    commit: (batch, o) => or(s.commit(batch, o), undefined),
  })),
  answering("compact answers after it", (s) => ({
    ...s,
    compact: () => or(s.compact(), { before: 0, after: 0 }),
  })),
  answering("an append hangs after it", (s) =>
    withChains(s, (c) => ({
      append: (...call) =>
        c
          .append(...call)
          .catch((error: unknown) =>
            codeOf(error) === CLOSED ? new Promise<never>(() => {}) : Promise.reject(error),
          ),
    })),
  ),
  answering("a call after it is called a failure", (s) =>
    withState(s, (t) => ({
      getMany: (keys) =>
        t.getMany(keys).catch((error: unknown) => {
          throw codeOf(error) === CLOSED ? new StorageError("ERR_STORAGE_FAILED", "closed") : error;
        }),
    })),
  ),
  answering("a call after it is a TypeError", (s) =>
    withBlobs(s, (b) => ({
      has: (cid) =>
        b.has(cid).catch((error: unknown) => {
          throw codeOf(error) === CLOSED ? new TypeError("null has no get") : error;
        }),
    })),
  ),
  answering("a call after it throws instead of rejecting", (s) => {
    let closed = false;
    const close = (): Promise<void> => {
      closed = true;
      return s.close();
    };
    return withClose(
      withState(s, (t) => ({
        get(key) {
          if (closed) throw closedError();
          return t.get(key);
        },
      })),
      close,
    );
  }),
  closing("a second time fails", (s, state) =>
    withClose(s, async () => {
      if (state.closed) throw new Error("not open");
      state.closed = true;
      return s.close();
    }),
  ),
  closing("a second time hangs", (s, state) =>
    withClose(s, async () => {
      if (state.closed) await new Promise(() => {});
      state.closed = true;
      return s.close();
    }),
  ),
  closing("two at a time fail", (s, state) =>
    withClose(s, async () => {
      if (state.closed) throw closedError();
      state.closed = true;
      await pause(1);
      await s.close();
      state.closed = false;
    }),
  ),
  closing("closes all handles", (s, _, shared) => {
    const open: FullStorage[] = (shared["open"] ??= []);
    open.push(s);
    return withClose(s, async () => {
      for (const each of open) await each.close();
    });
  }),
  closing("of the chains closes the chains only", (s) => ({
    ...s,
    chains: { ...s.chains, close: async () => {} },
  })),
  closing("by asyncDispose does nothing", (s) => ({
    ...s,
    [Symbol.asyncDispose]: async () => {
      throw new Error("not implemented");
    },
  })),
  closing("drops what waits", (s) => {
    let closed = false;
    const held = withChains(s, (c) => ({
      async append(chain, expected, records, options) {
        const copies = records.map((r) => (r instanceof Uint8Array ? copy(r) : r));
        const head = expected && { ...expected, hash: expected.hash && copy(expected.hash) };
        await pause();
        if (closed) return { size: head.size + copies.length, hash: sha256(copies.at(-1)!) };
        return c.append(chain, head, copies, options);
      },
    }));
    return withClose(held, () => {
      closed = true;
      return s.close();
    });
  }),
  closing("what waits is never answered", (s) => {
    let closed = false;
    const held = withState(s, (t) => ({
      async batch(changes, options) {
        const copies = changes.map((c) => ({
          key: c.key instanceof Uint8Array ? copy(c.key) : c.key,
          value: c.value instanceof Uint8Array ? copy(c.value) : c.value,
        })) as typeof changes;
        if (!closed) {
          await pause();
          if (closed) return new Promise(() => {});
        }
        return t.batch(copies, options);
      },
    }));
    return withClose(held, () => {
      closed = true;
      return s.close();
    });
  }),
  closing("does not wait for what is under way", (s) => {
    let under = 0;
    let closed = false;
    const held = withBlobs(s, (b) => ({
      async put(list) {
        if (closed) throw closedError();
        const copies = list.map((blob) =>
          blob.bytes instanceof Uint8Array && typeof blob.cid === "object"
            ? { cid: blob.cid, bytes: copy(blob.bytes) }
            : blob,
        );
        if (copies.length !== 1) return b.put(copies);
        under++;
        await pause(1);
        await b.put(copies);
        under--;
      },
    }));
    return withClose(held, async () => {
      closed = true;
      void (async () => {
        while (under > 0) await pause(1);
        await s.close();
      })();
    });
  }),
  closing("what was refused as closed is written all the same", (s) => {
    let closed = false;
    const held = withChains(s, (c) => ({
      async append(chain, expected, records, options) {
        const head = await c.append(chain, expected, records, options);
        await pause();
        if (closed) throw closedError();
        return head;
      },
    }));
    return withClose(held, () => {
      closed = true;
      return s.close();
    });
  }),
  closing("what is under way fails without a code", (s) => {
    let closed = false;
    const held = withState(s, (t) => ({
      async batch(changes, options) {
        await t.batch(changes, options);
        await pause();
        if (closed) throw new Error("connection terminated");
      },
    }));
    return withClose(held, () => {
      closed = true;
      return s.close();
    });
  }),
  closing("hangs while a read is not ended", (s) => {
    let reading = 0;
    const held = withChains(s, (c) => ({
      async *read(chain, o) {
        reading++;
        try {
          yield* c.read(chain, o);
        } finally {
          reading--;
        }
      },
    }));
    return withClose(held, async () => {
      while (reading > 0) await pause(5);
      return s.close();
    });
  }),
  closing("a read that is under way hangs", (s) => {
    const held = withState(s, (t) => ({
      async *scan(o) {
        try {
          yield* t.scan(o);
        } catch (error) {
          if (codeOf(error) === CLOSED) await new Promise(() => {});
          throw error;
        }
      },
    }));
    return held;
  }),
  closing("a read that is under way fails without a code", (s) =>
    withBlobs(s, (b) => ({
      async *list() {
        let closed = false;
        try {
          yield* b.list();
        } catch (error) {
          closed = codeOf(error) === CLOSED;
          if (!closed) throw error;
        }
        if (closed) throw new Error("cursor is closed");
      },
    })),
  ),
  closing("leaves a timer", (s) => {
    const timers = [setInterval(() => {}, 5000)];
    kept.push(...timers);
    return s;
  }),
  closing("leaves a listener on the process", (s) => {
    const listener = (): void => {};
    process.on("exit", listener);
    listeners.push(listener);
    return s;
  }),

  mutant("leaks: append leaves its listener on the signal", (s) =>
    withChains(s, (c) => ({
      append(chain, expected, records, options) {
        options?.signal?.addEventListener("abort", () => {}, { once: true });
        return c.append(chain, expected, records, options);
      },
    })),
  ),
  mutant("leaks: read leaves its listener when left early", (s) =>
    withChains(s, (c) => ({
      async *read(chain, o) {
        const l = (): void => {};
        o.signal?.addEventListener("abort", l);
        yield* c.read(chain, o);
        o.signal?.removeEventListener("abort", l);
      },
    })),
  ),
  mutant("leaks: a conflict leaves its listener on the signal", (s) =>
    withChains(s, (c) => ({
      async append(chain, expected, records, options) {
        const l = (): void => {};
        options?.signal?.addEventListener("abort", l);
        const head = await c.append(chain, expected, records, options);
        options?.signal?.removeEventListener("abort", l);
        return head;
      },
    })),
  ),
  mutant("leaks: commit leaves its listener on the signal", (s) => ({
    ...s,
    commit(batch, options) {
      options?.signal?.addEventListener("abort", () => {});
      return s.commit(batch, options);
    },
  })),
  mutant("leaks: reads that were left early keep their place", (s, shared) =>
    withChains(s, (c) => ({
      async *read(chain, o) {
        shared["r"] = (shared["r"] ?? 0) + 1;
        if (shared["r"] > 126) throw new StorageError("ERR_STORAGE_FAILED", "no reader left");
        let ended = false;
        for await (const item of c.read(chain, o)) {
          yield item;
          if (ended) break;
        }
        ended = true;
        shared["r"]--;
      },
    })),
  ),
  mutant("leaks: a list that is not ended holds up writes", (s, shared) =>
    withBlobs(s, (b) => ({
      async *list() {
        shared["l"] = (shared["l"] ?? 0) + 1;
        try {
          yield* b.list();
        } finally {
          shared["l"]--;
        }
      },
      async put(list) {
        const copies = list.map((blob) => ({ ...blob }));
        if (shared["l"] > 5) await new Promise(() => {});
        return b.put(copies);
      },
    })),
  ),

  mutant("caps: maxBatch claimed is twice what is taken", (s) =>
    onCaps(s, { maxBatch: s.chains.caps.maxBatch * 2 }),
  ),
  mutant("caps: maxAppendBytes claimed is not what is taken", (s) =>
    onCaps(s, { maxAppendBytes: 1 << 30 }),
  ),
  mutant("caps: maxBatch of 100,000 claimed, 32,766 taken", (s) =>
    withChains(s, (c) => ({
      async append(chain, expected, records, options) {
        if (records.length > 32_766) throw new StorageError("ERR_STORAGE_FAILED", "too many");
        return c.append(chain, expected, records, options);
      },
    })),
  ),
  mutant("caps: of more records than 65,536 the rest is left out", (s) =>
    withChains(s, (c) => ({
      append: (chain, expected, records, options) =>
        c.append(chain, expected, records.slice(0, 65_536), options),
    })),
  ),
  mutant("caps: durability claimed of what is in memory", (s) =>
    onCaps(forgetful(s), { durability: "power" }),
  ),
  mutant("caps: durability of something unknown", (s) => onCaps(s, { durability: "disk" })),
  mutant("caps: no maxBatch", (s) => onCaps(s, { maxBatch: undefined })),
  mutant("caps: maxAppendBytes infinite", (s) => onCaps(s, { maxAppendBytes: Infinity })),
  mutant("caps: multiProcess left out", (s) => onCaps(s, { multiProcess: undefined })),
  mutant("caps: of the stores differ", (s) => ({
    ...s,
    state: { ...s.state, caps: { ...s.state.caps, durability: "power" } },
  })),
  mutant("limits: a record of maxAppendBytes is refused", (s) =>
    withChains(s, (c) => ({
      async append(chain, e, records, o) {
        if (records.reduce((n, r) => n + r.length, 0) >= c.caps.maxAppendBytes)
          throw new StorageError("ERR_STORAGE_LIMIT", "too large");
        return c.append(chain, e, records, o);
      },
    })),
  ),
  mutant("limits: maxBatch records are refused", (s) =>
    withChains(s, (c) => ({
      async append(chain, e, records, o) {
        if (records.length >= c.caps.maxBatch)
          throw new StorageError("ERR_STORAGE_LIMIT", "too many");
        return c.append(chain, e, records, o);
      },
    })),
  ),
  mutant("limits: a put of maxBatch blobs is refused", (s) =>
    withBlobs(s, (b) => ({
      async put(list) {
        if (list.length >= b.caps.maxBatch) throw new StorageError("ERR_STORAGE_LIMIT", "too many");
        return b.put(list);
      },
    })),
  ),
  mutant("limits: one blob of any size is taken", (s) =>
    withBlobs(s, (b) => ({
      put: (list) =>
        b.put(list).catch((error: unknown) => {
          if (codeOf(error) !== "ERR_STORAGE_LIMIT" || list.length > 1) throw error;
        }),
    })),
  ),
  mutant("limits: each record for itself", (s) =>
    withChains(s, (c) => ({
      async append(chain, e, records, o) {
        if (
          records.length < 2 ||
          records.length > c.caps.maxBatch ||
          records.some((r) => r.length > c.caps.maxAppendBytes || r.length === 0)
        )
          return c.append(chain, e, records, o);
        try {
          return await c.append(chain, e, records, o);
        } catch (error) {
          if (codeOf(error) !== "ERR_STORAGE_LIMIT") throw error;
          let head = e;
          for (const r of records) head = await c.append(chain, head, [r]);
          return head;
        }
      },
    })),
  ),
  mutant("limits: keys do not count", (s) =>
    withState(s, (t) => ({
      batch: (changes, o) =>
        t.batch(changes, o).catch((error: unknown) => {
          if (
            codeOf(error) !== "ERR_STORAGE_LIMIT" ||
            changes.length > t.caps.maxBatch ||
            changes.reduce((n, c) => n + (c.value?.length ?? 0), 0) > t.caps.maxAppendBytes
          )
            throw error;
        }),
    })),
  ),
  mutant("limits: removals do not count", (s) =>
    withState(s, (t) => ({
      async batch(changes, o) {
        try {
          return await t.batch(changes, o);
        } catch (error) {
          if (codeOf(error) !== "ERR_STORAGE_LIMIT" || changes.some(({ value }) => value !== null))
            throw error;
        }
      },
    })),
  ),
  mutant("limits: told by a RangeError", (s) =>
    withState(s, (t) => ({
      batch: (changes, o) =>
        t.batch(changes, o).catch((error: unknown) => {
          throw codeOf(error) === "ERR_STORAGE_LIMIT" ? new RangeError("too large") : error;
        }),
    })),
  ),
  mutant("limits: after one was refused nothing is taken", (s) => {
    let broken = false;
    return withBlobs(s, (b) => ({
      async put(list) {
        if (broken) throw new StorageError("ERR_STORAGE_FAILED", "broken");
        try {
          return await b.put(list);
        } catch (error) {
          broken = codeOf(error) === "ERR_STORAGE_LIMIT";
          throw error;
        }
      },
    }));
  }),

  mutant("signals: append rejects with an error of its own", (s) =>
    withChains(s, (c) => ({
      append: (chain, e, r, o) =>
        c.append(chain, e, r, o).catch((error: unknown) => {
          throw o?.signal?.aborted ? new Error("aborted") : error;
        }),
    })),
  ),
  mutant("signals: a reason that is no error is made one", (s) =>
    withChains(s, (c) => ({
      append: (chain, e, r, o) =>
        c.append(chain, e, r, o).catch((error: unknown) => {
          throw error instanceof Error ? error : new Error(String(error));
        }),
    })),
  ),
  mutant("signals: a reason that is falsy is no abort", (s) =>
    withChains(s, (c) => ({
      append: (chain, e, r, o) =>
        c.append(chain, e, r, o?.signal?.aborted && !o.signal.reason ? {} : o),
    })),
  ),
  mutant("signals: a read ends without a word when aborted", (s) =>
    withChains(s, (c) => ({
      async *read(chain, o) {
        try {
          yield* c.read(chain, o);
        } catch (error) {
          if (!o.signal?.aborted) throw error;
        }
      },
    })),
  ),
  mutant("signals: a read does not heed one", (s) =>
    withChains(s, (c) => ({
      read: (chain, { from, limit }) =>
        c.read(chain, { from, ...(limit !== undefined && { limit }) }),
    })),
  ),
  mutant("signals: an abort takes those behind it along", (s) => {
    let last: Promise<unknown> = Promise.resolve();
    return withChains(s, (c) => ({
      append(chain, e, records, o) {
        const copies = Array.isArray(records)
          ? records.map((r) => (r instanceof Uint8Array ? copy(r) : r))
          : records;
        const head = e && { ...e, hash: e.hash && copy(e.hash) };
        const result = last.then(() => pause()).then(() => c.append(chain, head, copies, o));
        last = result.catch((error: unknown) => {
          if (o?.signal?.aborted) throw error;
        });
        last.catch(() => {
          last = Promise.resolve();
        });
        return result;
      },
    }));
  }),
];

/** Stores of memory that lose everything once all handles are closed. */
function forgetful(storage: FullStorage): FullStorage {
  const { close } = storage;
  return withClose(storage, async () => {
    const range = { gte: Uint8Array.of(0), lt: Uint8Array.of(255) };
    const entries = await all(storage.state.scan(range)).catch(() => []);
    for (const { key } of entries) await storage.state.batch([{ key, value: null }]);
    await close();
  });
}

const kept: NodeJS.Timeout[] = [];
const listeners: (() => void)[] = [];

/** Lets go of what these left behind. */
export function tidyUp(): void {
  for (const timer of kept.splice(0)) clearInterval(timer);
  for (const listener of listeners.splice(0)) process.off("exit", listener);
}
