import { StorageError } from "../../../src/errors.ts";
import type {
  ScanOptions,
  StateChange,
  StateEntry,
  StateStore,
} from "../../../src/storage/types.ts";
import { withState } from "../../../src/testing/change-storage.ts";
import { pause } from "../../../src/testing/kit.ts";
import { all, copy, first, hex, mutant, type Mutant } from "./wrap.ts";

const on = (
  name: string,
  change: (state: StateStore, shared: Record<string, any>) => Partial<StateStore>,
): Mutant =>
  mutant(`state: ${name}`, (storage, shared) =>
    withState(storage, (state) => change(state, shared)),
  );

const EVERYTHING: ScanOptions = { gte: new Uint8Array(), lt: new Uint8Array(1024).fill(255) };

/** Scans of an author who orders keys by something of their own. */
const ordered = (name: string, order: (a: Uint8Array, b: Uint8Array) => number): Mutant =>
  on(name, (state) => ({
    async *scan(options) {
      const { gte, lt, limit = Infinity, reverse = false } = options;
      await all(state.scan({ ...options, limit: 0 }));
      const entries = (await all(state.scan(EVERYTHING))).filter(
        ({ key }) => order(key, gte) >= 0 && order(key, lt) < 0,
      );
      entries.sort((a, b) => order(a.key, b.key));
      yield* (reverse ? entries.reverse() : entries).slice(0, limit);
    },
  }));

const byText =
  (text: (key: Uint8Array) => string) =>
  (a: Uint8Array, b: Uint8Array): number => {
    const [x, y] = [text(a), text(b)];
    return x < y ? -1 : x > y ? 1 : Buffer.compare(a, b);
  };

/** Keys by another name. */
const renamed = (name: string, rename: (key: Uint8Array) => Uint8Array): Mutant =>
  on(name, (state) => {
    const to = (key: Uint8Array): Uint8Array =>
      key instanceof Uint8Array && key.length > 0 && key.length <= 1024 ? rename(copy(key)) : key;
    return {
      get: async (key) => state.get(to(key)),
      getMany: async (keys) => state.getMany(keys.map(to)),
      batch: (changes, options) =>
        state.batch(
          changes.map((change) => ({ ...change, key: to(change.key) })) as StateChange[],
          options,
        ),
    };
  });

const textOf = (key: Uint8Array): string => Buffer.from(key).toString("utf8");
const bytesOf = (text: string): Uint8Array => copy(Buffer.from(text));

/** What scans give, changed. */
const scanning = (
  name: string,
  change: (
    entries: AsyncIterable<StateEntry>,
    options: ScanOptions,
    state: StateStore,
  ) => AsyncIterable<StateEntry>,
): Mutant =>
  on(name, (state) => ({ scan: (options) => change(state.scan(options), options, state) }));

const asking = (name: string, change: (options: ScanOptions) => ScanOptions): Mutant =>
  on(name, (state) => ({ scan: (options) => state.scan(change(options)) }));

export const stateMutants: readonly Mutant[] = [
  ordered("keys in the order of UTF-16", byText(textOf)),
  ordered(
    "keys in the order of a locale",
    (a, b) => textOf(a).localeCompare(textOf(b)) || Buffer.compare(a, b),
  ),
  ordered("keys as signed bytes", (a, b) => {
    for (let i = 0; i < Math.min(a.length, b.length); i++)
      if (a[i] !== b[i]) return (a[i]! << 24) - (b[i]! << 24);
    return a.length - b.length;
  }),
  ordered("keys by their first 8 bytes", (a, b) =>
    Buffer.compare(a.subarray(0, 8), b.subarray(0, 8)),
  ),
  ordered(
    "keys by their first 16 bytes, then by length",
    (a, b) => Buffer.compare(a.subarray(0, 16), b.subarray(0, 16)) || a.length - b.length,
  ),
  ordered("keys by their first 255 bytes", (a, b) =>
    Buffer.compare(a.subarray(0, 255), b.subarray(0, 255)),
  ),
  ordered("keys by their first 511 bytes", (a, b) =>
    Buffer.compare(a.subarray(0, 511), b.subarray(0, 511)),
  ),
  ordered("keys by length first", (a, b) => a.length - b.length || Buffer.compare(a, b)),
  ordered(
    "keys as text of base64",
    byText((key) => Buffer.from(key).toString("base64")),
  ),
  ordered(
    "keys as joined numbers",
    byText((key) => [...key].join(",")),
  ),
  ordered(
    "keys without regard to case",
    byText((key) => Buffer.from(key).toString("latin1").toLowerCase()),
  ),
  ordered("a prefix behind what it begins", (a, b) => {
    for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
    return b.length - a.length;
  }),

  renamed("keys as UTF-8 text", (key) => bytesOf(textOf(key))),
  renamed("keys end at a NUL", (key) => {
    const at = key.indexOf(0);
    return at > 0 ? key.slice(0, at) : key;
  }),
  renamed("keys cut after 255 bytes", (key) => key.slice(0, 255)),
  renamed("keys cut after 511 bytes", (key) => key.slice(0, 511)),
  renamed("keys without zeros at their end", (key) => {
    let end = key.length;
    while (end > 1 && key[end - 1] === 0) end--;
    return key.slice(0, end);
  }),
  renamed("keys without spaces at their end", (key) => {
    let end = key.length;
    while (end > 1 && key[end - 1] === 32) end--;
    return key.slice(0, end);
  }),
  renamed("keys composed (NFC)", (key) => {
    const text = textOf(key);
    const same = Buffer.compare(bytesOf(text), key) === 0;
    return same ? bytesOf(text.normalize("NFC")) : key;
  }),
  renamed("keys without regard to ASCII case", (key) =>
    key.map((byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte)),
  ),
  renamed("keys without a byte order mark", (key) =>
    key.length > 3 && key[0] === 0xef && key[1] === 0xbb && key[2] === 0xbf ? key.slice(3) : key,
  ),

  asking("limit of 0 is none", ({ limit, ...rest }) => ({ ...rest, ...(limit && { limit }) })),
  asking("reverse ignored", (options) => ({ ...options, reverse: false })),
  asking("limit ignored", (options) => ({ ...options, limit: Number.MAX_SAFE_INTEGER })),
  asking("limit one too few beyond 255", ({ limit, ...rest }) => ({
    ...rest,
    ...(limit !== undefined && { limit: limit > 255 ? limit - 1 : limit }),
  })),
  asking("limit is a byte more than it may be", ({ limit, ...rest }) => ({
    ...rest,
    ...(limit !== undefined && { limit: limit & 0xfff }),
  })),
  asking("lower bound ignored going down", (options) =>
    options.reverse ? { ...options, gte: new Uint8Array() } : options,
  ),
  asking("upper bound ignored going down", (options) =>
    options.reverse ? { ...options, lt: EVERYTHING.lt } : options,
  ),
  asking("crossed bounds are swapped", (options) =>
    Buffer.compare(options.gte, options.lt) > 0
      ? { ...options, gte: options.lt, lt: options.gte }
      : options,
  ),
  asking("bounds by their first 16 bytes", (options) => ({
    ...options,
    gte: options.gte.slice(0, 16),
  })),
  asking("an empty upper bound is none", (options) =>
    options.lt instanceof Uint8Array && options.lt.length === 0
      ? { ...options, lt: EVERYTHING.lt }
      : options,
  ),
  scanning("lower bound left out", async function* (entries, { gte }) {
    for await (const e of entries) if (Buffer.compare(e.key, gte) !== 0) yield e;
  }),
  scanning(
    "upper bound included, going down",
    async function* (entries, { lt, reverse, limit }, state) {
      const value =
        reverse && limit === undefined && lt.length > 0 ? await state.get(lt) : undefined;
      if (value) yield { key: lt, value };
      yield* entries;
    },
  ),
  scanning("lower bound left out, going down", async function* (entries, { gte, reverse }) {
    for await (const e of entries) if (!reverse || Buffer.compare(e.key, gte) !== 0) yield e;
  }),
  scanning("limit counts from the wrong end, going down", async function* (_, options, state) {
    const { limit, ...rest } = options;
    const up = await all(state.scan({ ...rest, reverse: false }));
    const part = up.slice(0, limit ?? up.length);
    yield* options.reverse ? part.reverse() : part;
  }),
  scanning("empty values left out", async function* (entries) {
    for await (const e of entries) if (e.value.length > 0) yield e;
  }),
  scanning("a scan ends at an empty value", async function* (entries) {
    for await (const e of entries) {
      if (e.value.length === 0) return;
      yield e;
    }
  }),
  scanning("entries from buffers that are filled anew", async function* (entries) {
    const [k, v] = [new Uint8Array(1024), new Uint8Array(1 << 25)];
    for await (const { key, value } of entries) {
      k.set(key);
      v.set(value);
      yield { key: k.subarray(0, key.length), value: v.subarray(0, value.length) };
    }
  }),
  scanning("entries of a page from one piece of memory", async function* (entries) {
    for await (const { key, value } of entries) {
      const both = new Uint8Array(key.length + value.length);
      both.set(key);
      both.set(value, key.length);
      yield { key: both.subarray(0, key.length), value: both.subarray(key.length) };
    }
  }),
  scanning("keys as Buffers", async function* (entries) {
    for await (const { key, value } of entries)
      yield { key, value: Buffer.from(value) as Uint8Array };
  }),
  ...[100, 256, 512, 1000, 1024].flatMap((page) => [
    scanning(`the entry behind a page of ${page} is skipped`, async function* (entries) {
      let i = 0;
      for await (const e of entries) if (i++ !== page) yield e;
    }),
  ]),
  ...[128, 500].map((page) =>
    scanning(
      `the last of a page of ${page} is given twice`,
      async function* (entries, { limit = Infinity }) {
        let i = 0;
        for await (const e of entries) {
          yield e;
          i++;
          if (i === page && i < limit) yield e;
        }
      },
    ),
  ),
  scanning(
    "the entry behind a page of 256 is skipped, going down",
    async function* (entries, { reverse }) {
      let i = 0;
      for await (const e of entries) if (i++ !== 256 || !reverse) yield e;
    },
  ),
  scanning("a page of exactly 1000 is taken for the last", async function* (entries, { limit }) {
    yield* limit === undefined ? first(entries, 1000) : entries;
  }),
  on("a scan by offset, which removals move", (state) => ({
    async *scan(options) {
      const { limit = Infinity } = options;
      for (let at = 0; at < limit; at += 100) {
        const page = (
          await all(state.scan({ ...options, limit: Math.min(at + 100, limit) }))
        ).slice(at);
        yield* page;
        if (page.length < 100) return;
      }
    },
  })),
  on("a scan goes on from the key it gave, which the caller changed", (state) => ({
    async *scan(options) {
      const { gte, lt, limit = Infinity, reverse = false } = options;
      let last: Uint8Array | undefined;
      for (let left = limit; left > 0; left--) {
        const range =
          last === undefined
            ? { gte: copy(gte), lt: copy(lt) }
            : reverse
              ? { gte, lt: last }
              : { gte: Uint8Array.from([...last, 0]).slice(0, 1024), lt };
        const [entry] = await all(state.scan({ ...range, reverse, limit: 1 }));
        if (!entry) return;
        last = entry.key;
        yield entry;
      }
    },
  })),
  on("a scan gives what was changed behind it again", (state, shared) => {
    const changed: Uint8Array[] = (shared["changed"] ??= []);
    return {
      async batch(changes, options) {
        await state.batch(changes, options);
        if (changes.length < 10) changed.push(...changes.map(({ key }) => copy(key)));
      },
      async *scan(options) {
        changed.length = 0;
        yield* state.scan(options);
        for (const key of changed.splice(0)) {
          const value = await state.get(key);
          if (value) yield { key, value };
        }
      },
    };
  }),
  on("a scan that removals end", (state, shared) => ({
    async batch(changes, options) {
      await state.batch(changes, options);
      if (changes.some(({ value }) => value === null)) shared["r"] = (shared["r"] ?? 0) + 1;
    },
    async *scan(options) {
      const before = shared["r"];
      let i = 0;
      for await (const e of state.scan(options)) {
        if (i++ > 200 && shared["r"] !== before) return;
        yield e;
      }
    },
  })),
  on("a scan holds up writes until it is ended", (state, shared) => ({
    async batch(changes, options) {
      while (shared["scans"] > 50) await pause(5);
      return state.batch(changes, options);
    },
    async *scan(options) {
      shared["scans"] = (shared["scans"] ?? 0) + 1;
      try {
        yield* state.scan(options);
      } finally {
        shared["scans"]--;
      }
    },
  })),
  on("no more than 100 scans are open at a time", (state, shared) => ({
    async *scan(options) {
      shared["scans"] = (shared["scans"] ?? 0) + 1;
      if (shared["scans"] > 100) throw new StorageError("ERR_STORAGE_FAILED", "too many open");
      try {
        yield* state.scan(options);
      } finally {
        shared["scans"]--;
      }
    },
  })),

  on("what is missing is null", (state) => ({
    get: async (key) => (await state.get(key)) ?? (null as never),
  })),
  on("what is missing is empty in getMany", (state) => ({
    getMany: async (keys) => (await state.getMany(keys)).map((value) => value ?? new Uint8Array()),
  })),
  on("an empty value removes", (state) => ({
    batch: (changes, options) =>
      state.batch(
        changes.map((change) =>
          change.value instanceof Uint8Array && change.value.length === 0
            ? { key: change.key, value: null }
            : change,
        ),
        options,
      ),
  })),
  on("a value of null is kept as empty", (state) => ({
    batch: (changes, options) =>
      state.batch(
        changes.map((change) =>
          change.value === null ? { key: change.key, value: new Uint8Array() } : change,
        ),
        options,
      ),
  })),
  on("removals are made before what is put", (state) => ({
    batch: (changes, options) =>
      state.batch(
        [...changes].sort((a, b) => Number(a.value !== null) - Number(b.value !== null)),
        options,
      ),
  })),
  on("removals are made after what is put", (state) => ({
    batch: (changes, options) =>
      state.batch(
        [...changes].sort((a, b) => Number(a.value === null) - Number(b.value === null)),
        options,
      ),
  })),
  on("the first of several changes of a key counts", (state) => ({
    batch: (changes, options) => state.batch([...changes].reverse(), options),
  })),
  on("a key changed twice in a batch makes it fail", (state) => ({
    async batch(changes, options) {
      if (new Set(changes.map(({ key }) => String(key))).size < changes.length)
        throw new StorageError("ERR_STORAGE_FAILED", "duplicate");
      return state.batch(changes, options);
    },
  })),
  on("an empty batch fails", (state) => ({
    async batch(changes, options) {
      if (changes.length === 0) throw new RangeError("empty");
      return state.batch(changes, options);
    },
  })),
  on("getMany of nothing fails", (state) => ({
    async getMany(keys) {
      if (keys.length === 0) throw new RangeError("empty");
      return state.getMany(keys);
    },
  })),
  on("getMany answers each key once", (state) => ({
    async getMany(keys) {
      return state.getMany([...new Map(keys.map((key) => [String(key), key])).values()]);
    },
  })),
  on("getMany asks one key after another", (state) => ({
    async getMany(keys) {
      const copies = keys.map(copy);
      const values = [];
      for (const key of copies) {
        values.push(await state.get(key));
        if (copies.length < 50) await pause();
      }
      await state.getMany(copies.slice(0, 0));
      return values;
    },
  })),
  on("getMany from one piece of memory", (state) => ({
    async getMany(keys) {
      const list = await state.getMany(keys);
      const together = new Uint8Array(list.reduce((sum, value) => sum + (value?.length ?? 0), 0));
      let at = 0;
      return list.map((value) => {
        if (!value) return value;
        together.set(value, at);
        return together.subarray(at, (at += value.length));
      });
    },
  })),
  on("getMany of more than 65,535 fails", (state) => ({
    async getMany(keys) {
      if (keys.length > 65_535) throw new StorageError("ERR_STORAGE_FAILED", "too many");
      return state.getMany(keys);
    },
  })),
  on("a batch beyond 65,535 is cut", (state) => ({
    batch: (changes, options) => state.batch(changes.slice(0, 65_535), options),
  })),
  on("values above 16 MiB are refused", (state) => ({
    async batch(changes, options) {
      if (changes.some(({ value }) => value && value.length > 1 << 24))
        throw new StorageError("ERR_STORAGE_LIMIT", "too large");
      return state.batch(changes, options);
    },
  })),
  on("unsynced batches are kept by the handle for a while", (state) => {
    let waiting: readonly StateChange[] = [];
    return {
      async batch(changes, options) {
        if (options?.sync !== false) {
          const before = waiting;
          waiting = [];
          return state.batch([...before, ...changes]);
        }
        await state.batch([]);
        const copies = changes.map(
          ({ key, value }) => ({ key: copy(key), value: value && copy(value) }) as StateChange,
        );
        waiting = [...waiting, ...copies];
      },
      async get(key) {
        const found = waiting.findLast((c) => hex(c.key) === hex(key));
        return found ? (found.value ? copy(found.value) : undefined) : state.get(key);
      },
    };
  }),
  on("unsynced batches overtake synced ones", (state) => ({
    async batch(changes, options) {
      const copies = changes.map(
        ({ key, value }) =>
          ({
            key: key instanceof Uint8Array ? copy(key) : key,
            value: value instanceof Uint8Array ? copy(value) : value,
          }) as StateChange,
      );
      if (options?.sync !== false) await pause(1);
      return state.batch(copies, options);
    },
  })),
  on("values remembered by each handle", (state) => {
    const known = new Map<string, Uint8Array | undefined>();
    return {
      async get(key) {
        const name = String(key);
        const value = known.has(name) ? known.get(name) : await state.get(key);
        known.set(name, value && copy(value));
        return value && copy(value);
      },
      async batch(changes, options) {
        for (const { key } of changes) known.delete(String(key));
        return state.batch(changes, options);
      },
    };
  }),
  on("absence remembered by each handle", (state) => {
    const absent = new Set<string>();
    return {
      async get(key) {
        const value = await state.get(key);
        if (absent.has(String(key))) return undefined;
        if (!value) absent.add(String(key));
        return value;
      },
      async batch(changes, options) {
        for (const { key } of changes) absent.delete(String(key));
        return state.batch(changes, options);
      },
    };
  }),
  on("the change with the later clock counts", (state, shared) => {
    const at: Map<string, number> = (shared["at"] ??= new Map());
    return {
      async batch(changes, options) {
        const now = Date.now();
        const kept = changes.filter(({ key }) => !(at.get(String(key))! > now));
        await state.batch(changes.length === kept.length ? changes : kept, options);
        for (const { key } of kept) at.set(String(key), now);
      },
    };
  }),
  on("keys and values are read after the call returned", (state) => ({
    async batch(changes, options) {
      await Promise.resolve();
      return state.batch(changes, options);
    },
  })),
  on("keys asked for are read after the call returned", (state) => ({
    async get(key) {
      await Promise.resolve();
      return state.get(key);
    },
    async getMany(keys) {
      await Promise.resolve();
      return state.getMany(keys);
    },
  })),
  on("bounds are read anew for each page", (state) => ({
    async *scan(options) {
      let given = 0;
      await pause();
      for await (const entry of state.scan(options)) {
        yield entry;
        if (++given >= (options.limit ?? Infinity)) return;
      }
    },
  })),
  on("a batch in two steps, the second a moment later", (state) => ({
    async batch(changes, options) {
      const copies = changes.map(
        ({ key, value }) => ({ key: copy(key), value: value && copy(value) }) as StateChange,
      );
      if (copies.length < 2 || copies.length > 100) return state.batch(copies, options);
      const half = copies.length >> 1;
      await state.batch(copies.slice(0, half), options);
      await pause();
      return state.batch(copies.slice(half), options);
    },
  })),
  on("values in Latin-1 text", (state) => ({
    async get(key) {
      const value = await state.get(key);
      return value && bytesOf(Buffer.from(value).toString("utf8"));
    },
  })),
  on("values in base64url read as base64", (state) => ({
    async get(key) {
      const value = await state.get(key);
      return (
        value &&
        copy(Buffer.from(Buffer.from(value).toString("base64").replaceAll("+", ""), "base64"))
      );
    },
  })),
  on("a key of 1024 bytes is refused", (state) => ({
    async batch(changes, options) {
      for (const { key } of changes) if (key.length === 1024) throw new RangeError("key too long");
      return state.batch(changes, options);
    },
  })),
  on("a key longer than 1024 bytes is cut", (state) => ({
    batch: (changes, options) =>
      state.batch(
        changes.map((c) =>
          c.key instanceof Uint8Array && c.key.length > 1024
            ? { ...c, key: c.key.slice(0, 1024) }
            : c,
        ),
        options,
      ),
  })),
];
