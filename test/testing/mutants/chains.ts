import { AmbiguousAppend, AppendConflict } from "../../../src/storage/errors.ts";
import { StorageError } from "../../../src/errors.ts";
import { sha256 } from "../../../src/crypto/node.ts";
import type { ChainRecord, ChainStore, FullStorage, Head } from "../../../src/storage/types.ts";
import { withChains } from "../../../src/testing/change-storage.ts";
import { pause } from "../../../src/testing/kit.ts";
import { all, codeOf, copy, copyHead, first, hex, mutant, type Mutant, noting } from "./wrap.ts";

/** Chains under names that a function makes of the given ones. */
const renamed =
  (rename: (name: string) => string): Mutant["change"] =>
  (storage, shared) => {
    const names: Map<string, string> = (shared["names"] ??= new Map());
    return withChains(storage, (chains) => ({
      head: async (chain) => chains.head(await valid(chains, chain, rename)),
      async append(chain, ...rest) {
        const name = rename(String(chain));
        if (chain !== name) await chains.head(chain);
        const head = await chains.append(name, ...rest);
        if (!names.has(name)) names.set(name, chain);
        return head;
      },
      async *read(chain, options) {
        const asked = { ...options };
        yield* chains.read(await valid(chains, chain, rename), asked);
      },
      async *list() {
        for await (const name of chains.list()) yield names.get(name) ?? name;
      },
    }));
  };

/** Copies of arguments, as far as there is something to be copied: what waits must have them. */
function careful(expected: Head, records: readonly Uint8Array[]): [Head, readonly Uint8Array[]] {
  const { size, hash } = Object(expected) as Head;
  return [
    { size, hash: hash instanceof Uint8Array ? copy(hash) : hash },
    Array.isArray(records)
      ? records.map((record) => (record instanceof Uint8Array ? copy(record) : record))
      : records,
  ];
}

async function valid(chains: ChainStore, chain: string, rename: (name: string) => string) {
  await chains.head(chain);
  return rename(chain);
}

/** A head that is compared by a function of the author's own. */
const compared =
  (alike: (head: Head, expected: Head) => boolean): Mutant["change"] =>
  (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        [expected, records] = careful(expected, records);
        const copies = records.map(copy);
        const head = await chains.head(chain);
        return chains.append(chain, alike(head, expected) ? head : expected, copies, options);
      },
    }));

/** What read gives, changed. */
const reading =
  (
    change: (
      items: AsyncIterable<ChainRecord>,
      from: number,
      limit: number,
    ) => AsyncIterable<ChainRecord>,
  ): Mutant["change"] =>
  (storage) =>
    withChains(storage, (chains) => ({
      read: (chain, options) =>
        change(chains.read(chain, options), options.from, options.limit ?? Infinity),
    }));

/** A conflict told by something else. */
const failing =
  (change: (error: AppendConflict, storage: ChainStore) => unknown): Mutant["change"] =>
  (storage) =>
    withChains(storage, (chains) => ({
      append: (...call) =>
        chains.append(...call).catch((error: unknown) => {
          throw error instanceof AppendConflict ? change(error, chains) : error;
        }),
    }));

type Append = ChainStore["append"];

/** Chains that answer an append in conflict in another way. */
const afterConflict = (
  storage: FullStorage,
  answer: (
    chains: ChainStore,
    error: AppendConflict,
    ...call: Parameters<Append>
  ) => ReturnType<Append>,
): FullStorage =>
  withChains(storage, (chains) => ({
    async append(chain, expected, records, options) {
      [expected, records] = careful(expected, records);
      try {
        return await chains.append(chain, expected, records, options);
      } catch (error) {
        if (!(error instanceof AppendConflict)) throw error;
        return answer(chains, error, chain, expected, records, options);
      }
    },
  }));

export const chainMutants: readonly Mutant[] = [
  mutant(
    "chains: head compared by the first 8 bytes of its hash",
    compared(
      (a, b) =>
        a.size === b.size &&
        !!a.hash &&
        !!b.hash &&
        hex(a.hash.subarray(0, 8)) === hex(b.hash.subarray(0, 8)),
    ),
  ),
  mutant(
    "chains: head compared by the last 16 bytes of its hash",
    compared(
      (a, b) =>
        a.size === b.size &&
        !!a.hash &&
        !!b.hash &&
        hex(a.hash.subarray(16)) === hex(b.hash.subarray(16)),
    ),
  ),
  mutant(
    "chains: head compared by its hash only",
    compared((a, b) => !!a.hash && !!b.hash && hex(a.hash) === hex(b.hash)),
  ),
  mutant(
    "chains: head compared by its size only",
    compared((a, b) => a.size === b.size),
  ),
  mutant(
    "chains: size compared modulo 2^32",
    compared(
      (a, b) => a.size === b.size >>> 0 && !!a.hash && !!b.hash && hex(a.hash) === hex(b.hash),
    ),
  ),
  mutant(
    "chains: an expected head ahead of the chain is taken for it",
    compared((a, b) => b.size > a.size),
  ),
  mutant(
    "chains: an empty expected head is taken for any",
    compared((_, b) => b.size === 0),
  ),

  mutant(
    "chains: names without regard to case",
    renamed((name) => name.toLowerCase()),
  ),
  mutant(
    "chains: names composed (NFC)",
    renamed((name) => name.normalize("NFC")),
  ),
  mutant(
    "chains: names in compatibility form (NFKC)",
    renamed((name) => name.normalize("NFKC")),
  ),
  mutant(
    "chains: names decomposed (NFD)",
    renamed((name) => name.normalize("NFD")),
  ),
  mutant(
    "chains: names trimmed",
    renamed((name) => name.trim() || name),
  ),
  mutant(
    "chains: names without a byte order mark",
    renamed((name) => name.replace(/^\ufeff/, "") || name),
  ),
  mutant(
    "chains: names end at a NUL",
    renamed((name) => name.split("\0")[0] || name),
  ),
  mutant(
    "chains: names cut after 255 bytes",
    renamed((name) => name.slice(0, 255)),
  ),
  mutant(
    "chains: names cut after 64 characters",
    renamed((name) => name.slice(0, 64)),
  ),
  mutant(
    "chains: names as paths",
    renamed((name) => name.replaceAll("\\", "/").replace(/\/+$/, "") || name),
  ),
  mutant(
    "chains: names by a hash of 32 bits",
    renamed((name) => {
      let hash = 0;
      for (let i = 0; i < name.length; i++) hash = (Math.imul(hash, 31) + name.charCodeAt(i)) | 0;
      return `h${hash}`;
    }),
  ),
  mutant(
    "chains: names in Latin-1",
    renamed((name) => Buffer.from(name, "latin1").toString("latin1")),
  ),
  mutant(
    "chains: names percent-decoded",
    renamed((name) => {
      try {
        return decodeURIComponent(name) || name;
      } catch {
        return name;
      }
    }),
  ),
  mutant("chains: names in an object with a prototype", (storage) =>
    withChains(storage, (chains) => ({
      head: (chain) =>
        chain in {} ? Promise.resolve({ size: 0, hash: null }) : chains.head(chain),
    })),
  ),
  mutant(
    "chains: names that are numbers are numbers",
    renamed((name) => (/^\d+$/.test(name) ? String(Number(name)) : name)),
  ),
  mutant("chains: lone surrogates replaced", (storage) =>
    withChains(storage, (chains) => ({
      head: (chain) =>
        chains.head(typeof chain === "string" ? chain.replace(/\p{Surrogate}/gu, "\ufffd") : chain),
      append: (chain, ...rest) =>
        chains.append(
          typeof chain === "string" ? chain.replace(/\p{Surrogate}/gu, "\ufffd") : chain,
          ...rest,
        ),
    })),
  ),
  mutant("chains: a name of 257 bytes in fewer characters is taken", (storage) =>
    withChains(storage, (chains) => ({
      head: (chain) =>
        typeof chain === "string" && chain.length <= 256 && Buffer.byteLength(chain) > 256
          ? Promise.resolve({ size: 0, hash: null })
          : chains.head(chain),
    })),
  ),
  mutant("chains: list names a chain whose first append conflicted", (storage, shared) => {
    const names: Set<string> = (shared["n"] ??= new Set());
    return withChains(storage, (chains) => ({
      append(chain, ...rest) {
        if (typeof chain === "string" && chain) names.add(chain);
        return chains.append(chain, ...rest);
      },
      async *list() {
        yield* new Set([...(await all(chains.list())), ...names]);
      },
    }));
  }),
  mutant("chains: list names a chain that was only read", (storage, shared) => {
    const names: Set<string> = (shared["n"] ??= new Set());
    return withChains(storage, (chains) => ({
      async head(chain) {
        const head = await chains.head(chain);
        names.add(chain);
        return head;
      },
      async *list() {
        yield* new Set([...(await all(chains.list())), ...names]);
      },
    }));
  }),
  mutant("chains: list gives the first 1000", (storage) =>
    withChains(storage, (chains) => ({ list: () => first(chains.list(), 1000) })),
  ),
  mutant("chains: list gives one a second time after 256", (storage) =>
    withChains(storage, (chains) => ({
      async *list() {
        const names = await all(chains.list());
        yield* names;
        if (names.length > 256) yield names[255]!;
      },
    })),
  ),
  mutant("chains: list misses a chain of one record", (storage) =>
    withChains(storage, (chains) => ({
      async *list() {
        for await (const name of chains.list()) if ((await chains.head(name)).size > 1) yield name;
      },
    })),
  ),

  ...[100, 128, 256, 500, 512, 1000, 1024, 4096].map((page) =>
    mutant(
      `chains: a read of exactly ${page} ends one short`,
      reading(async function* (items, _, limit) {
        yield* first(items, limit === page ? page - 1 : Infinity);
      }),
    ),
  ),
  ...[100, 256, 1000, 1024].map((page) =>
    mutant(
      `chains: the record behind a page of ${page} is skipped`,
      reading(async function* (items) {
        let seen = 0;
        for await (const item of items) if (seen++ !== page) yield item;
      }),
    ),
  ),
  mutant(
    "chains: a read gives no more than 1000",
    reading((items) => first(items, 1000)),
  ),
  mutant("chains: a limit of 0 is none", (storage) =>
    withChains(storage, (chains) => ({
      read: (chain, { limit, ...rest }) => chains.read(chain, { ...rest, ...(limit && { limit }) }),
    })),
  ),
  mutant("chains: a limit one too many", (storage) =>
    withChains(storage, (chains) => ({
      read: (chain, { limit, ...rest }) =>
        chains.read(chain, {
          ...rest,
          ...(limit !== undefined && { limit: limit ? limit + 1 : 0 }),
        }),
    })),
  ),
  mutant("chains: from is a 32 bit number", (storage) =>
    withChains(storage, (chains) => ({
      read: (chain, options) =>
        chains.read(chain, {
          ...options,
          from: options.from > 0 ? options.from % 2 ** 32 : options.from,
        }),
    })),
  ),
  mutant("chains: from beyond the head gives the last record", (storage) =>
    withChains(storage, (chains) => ({
      async *read(chain, options) {
        const { size } = await chains.head(chain);
        yield* chains.read(chain, {
          ...options,
          from: size > 0 && options.from >= size ? size - 1 : options.from,
        });
      },
    })),
  ),
  mutant(
    "chains: records from one buffer that is filled anew",
    reading(async function* (items) {
      const buffer = new Uint8Array(1 << 21);
      for await (const { index, record } of items) {
        buffer.set(record);
        yield { index, record: buffer.subarray(0, record.length) };
      }
    }),
  ),
  mutant(
    "chains: records of a page share their memory",
    reading(async function* (items) {
      const list = await all(items);
      const together = new Uint8Array(list.reduce((sum, { record }) => sum + record.length, 0));
      let at = 0;
      for (const { index, record } of list) {
        together.set(record, at);
        yield { index, record: together.subarray(at, (at += record.length)) };
      }
    }),
  ),
  mutant(
    "chains: records as Buffers",
    reading(async function* (items) {
      for await (const { index, record } of items) yield { index, record: Buffer.from(record) };
    }),
  ),
  mutant("chains: records handed out from a cache", (storage, shared) => {
    const cache: Map<string, Uint8Array> = (shared["c"] ??= new Map());
    return withChains(storage, (chains) => ({
      async *read(chain, options) {
        for await (const { index, record } of chains.read(chain, options)) {
          const key = `${chain} ${index}`;
          if (!cache.has(key)) cache.set(key, record);
          yield { index, record: cache.get(key)! };
        }
      },
    }));
  }),
  mutant(
    "chains: records of zero bytes at their end cut",
    reading(async function* (items) {
      for await (const { index, record } of items) {
        let end = record.length;
        while (end > 1 && record[end - 1] === 0) end--;
        yield {
          index,
          record: record.slice(0, end),
        };
      }
    }),
  ),
  mutant(
    "chains: records above 16 MiB are cut",
    reading(async function* (items) {
      for await (const { index, record } of items)
        yield { index, record: record.slice(0, 1 << 24) };
    }),
  ),

  mutant("chains: a head from count(*) of distinct records", (storage) =>
    withChains(storage, (chains) => ({
      async head(chain) {
        const records = await all(chains.read(chain, { from: 0 })).catch(() => []);
        const head = await chains.head(chain);
        return { ...head, size: new Set(records.map(({ record }) => hex(record))).size };
      },
    })),
  ),
  mutant("chains: a head remembered by each handle", (storage) => {
    const known = new Map<string, Head>();
    return withChains(storage, (chains) => ({
      async head(chain) {
        const head = known.get(chain) ?? (await chains.head(chain));
        known.set(chain, head);
        return copyHead(head);
      },
      async append(chain, ...rest) {
        const head = await chains.append(chain, ...rest);
        known.set(chain, head);
        return copyHead(head);
      },
    }));
  }),
  mutant("chains: a head remembered for as long as the clock stands or runs back", (storage) => {
    const known = new Map<string, { head: Head; at: number }>();
    return withChains(storage, (chains) => ({
      async head(chain) {
        const there = known.get(chain);
        if (there && Date.now() - there.at < 0) return copyHead(there.head);
        const head = await chains.head(chain);
        known.set(chain, { head, at: Date.now() });
        return copyHead(head);
      },
    }));
  }),
  mutant("chains: the hash of an empty chain is 32 zeros", (storage) =>
    withChains(storage, (chains) => ({
      async head(chain) {
        const head = await chains.head(chain);
        return head.hash ? head : { size: 0, hash: new Uint8Array(32) };
      },
    })),
  ),
  mutant("chains: an append gives the hash of its first record", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        [expected, records] = careful(expected, records);
        const hash = records[0] instanceof Uint8Array ? sha256(records[0]) : null;
        return { size: (await chains.append(chain, expected, records, options)).size, hash };
      },
    })),
  ),
  mutant("chains: a replay gives the newest head", (storage) =>
    withChains(storage, (chains) => ({
      append: async (chain, ...rest) => {
        await chains.append(chain, ...rest);
        return chains.head(chain);
      },
    })),
  ),
  mutant("chains: a replay is known by its first record", (storage) =>
    afterConflict(storage, async (chains, error, chain, expected, records, options) => {
      if (records.length < 2) throw error;
      const part = await chains.append(chain, expected, records.slice(0, 1), options);
      return part.size + records.length - 1 <= error.head.size
        ? { size: part.size + records.length - 1, hash: sha256(records.at(-1)!) }
        : Promise.reject(error);
    }),
  ),
  mutant("chains: a replay is known by its last record", (storage) =>
    afterConflict(storage, async (chains, error, chain, expected, records) => {
      const at = expected.size + records.length - 1;
      const [last] = await all(chains.read(chain, { from: at, limit: 1 }));
      if (last && hex(last.record) === hex(records.at(-1)!))
        return { size: at + 1, hash: sha256(last.record) };
      throw error;
    }),
  ),
  mutant("chains: a replay is known by the number of records", (storage) =>
    afterConflict(storage, async (_, error, __, expected, records) => {
      if (error.head.size === expected.size + records.length) return error.head;
      throw error;
    }),
  ),
  mutant("chains: only the whole of what was appended at once is a replay", (storage, shared) => {
    const made: Set<string> = (shared["m"] ??= new Set());
    return withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        [expected, records] = careful(expected, records);
        const key = `${chain} ${expected.size} ${records.length}`;
        const before = await chains.head(chain);
        const head = await chains.append(chain, expected, records, options);
        if (before.size > expected.size && !made.has(key)) throw new AppendConflict(before);
        made.add(key);
        return head;
      },
    }));
  }),
  mutant("chains: only the last append is known as a replay", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        [expected, records] = careful(expected, records);
        const copies = records.map((record) =>
          record instanceof Uint8Array ? copy(record) : record,
        );
        const before = await chains.head(chain);
        const head = await chains.append(chain, expected, copies, options);
        if (before.size > head.size) throw new AppendConflict(before);
        return head;
      },
    })),
  ),
  mutant("chains: replays are known to the handle that made them", (storage) => {
    const made = new Set<string>();
    return withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        [expected, records] = careful(expected, records);
        const before = await chains.head(chain);
        const copies = records.map((record) =>
          record instanceof Uint8Array ? copy(record) : record,
        );
        const head = await chains.append(chain, expected, copies, options);
        if (before.size > expected.size && !made.has(`${chain} ${head.size}`))
          throw new AppendConflict(before);
        made.add(`${chain} ${head.size}`);
        return head;
      },
    }));
  }),
  mutant("chains: records in an order of their own", (storage) =>
    withChains(storage, (chains) => ({
      append: (chain, expected, records, options) =>
        chains.append(
          chain,
          expected,
          records.length > 2 ? [records[1]!, records[0]!, ...records.slice(2)] : records,
          options,
        ),
    })),
  ),
  mutant("chains: a record that is there twice in one append is kept once", (storage) =>
    withChains(storage, (chains) => ({
      append: (chain, expected, records, options) =>
        chains.append(
          chain,
          expected,
          records.every((r) => r instanceof Uint8Array)
            ? [...new Map(records.map((r) => [hex(r), r])).values()]
            : records,
          options,
        ),
    })),
  ),
  mutant("chains: an append that equals the last record is taken for done", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        [expected, records] = careful(expected, records);
        const head = await chains.head(chain);
        const [only] = records;
        if (
          records.length === 1 &&
          only instanceof Uint8Array &&
          head.hash &&
          hex(sha256(only)) === hex(head.hash)
        )
          return head;
        return chains.append(chain, expected, records, options);
      },
    })),
  ),
  mutant(
    "chains: a conflict tells the expected head",
    failing(() => new AppendConflict({ size: 0, hash: null })),
  ),
  mutant(
    "chains: a conflict tells a head without a hash",
    failing(
      (error) =>
        new AppendConflict({ size: error.head.size, hash: error.head.hash && new Uint8Array(32) }),
    ),
  ),
  mutant(
    "chains: a conflict is an Error of its own",
    failing(() => Object.assign(new Error("conflict"), { code: "ERR_STORAGE_CONFLICT" })),
  ),
  mutant(
    "chains: a conflict is called a failure",
    failing(() => new StorageError("ERR_STORAGE_FAILED", "conflict")),
  ),
  mutant(
    "chains: a conflict is called ambiguous",
    failing(() => new AmbiguousAppend()),
  ),
  mutant("chains: a wrong argument is called a failure", (storage) =>
    withChains(storage, (chains) => ({
      append: (...call) =>
        chains.append(...call).catch((error: unknown) => {
          throw error instanceof RangeError || error instanceof TypeError
            ? new StorageError("ERR_STORAGE_FAILED", "x")
            : error;
        }),
    })),
  ),
  mutant("chains: an empty append is taken", (storage) =>
    withChains(storage, (chains) => ({
      append: (chain, expected, records, options) =>
        records.length === 0
          ? chains.head(chain)
          : chains.append(chain, expected, records, options),
    })),
  ),
  mutant("chains: empty records are left out", (storage) =>
    withChains(storage, (chains) => ({
      append: (chain, expected, records, options) =>
        chains.append(
          chain,
          expected,
          records.some((r) => r.length > 0) ? records.filter((r) => r.length !== 0) : records,
          options,
        ),
    })),
  ),
  mutant("chains: arguments are checked by throwing at once", (storage) =>
    withChains(storage, (chains) => ({
      append(chain, ...rest) {
        if (typeof chain !== "string" || chain === "") throw new TypeError("chain");
        return chains.append(chain, ...rest);
      },
      head(chain) {
        if (typeof chain !== "string" || chain === "") throw new TypeError("chain");
        return chains.head(chain);
      },
    })),
  ),
  mutant("chains: the expected head is read after the call returned", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        const copies = records.map((r) => (r instanceof Uint8Array ? copy(r) : r));
        await pause();
        return chains.append(chain, expected, copies, options);
      },
    })),
  ),
  mutant("chains: the list of records is read after the call returned", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        const head = expected && { ...expected, hash: expected.hash && copy(expected.hash) };
        await Promise.resolve();
        return chains.append(chain, head, records, options);
      },
    })),
  ),
  mutant("chains: options of a read are read while it goes on", (storage) =>
    withChains(storage, (chains) => ({
      async *read(chain, options) {
        await Promise.resolve();
        let given = 0;
        for await (const item of chains.read(chain, options)) {
          yield item;
          if (++given >= (options.limit ?? Infinity)) return;
        }
      },
    })),
  ),
  mutant("chains: appends of one handle overtake one another and are lost", (storage) => {
    let busy = false;
    return withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        [expected, records] = careful(expected, records);
        if (busy) return { size: expected.size + records.length, hash: sha256(records.at(-1)!) };
        busy = true;
        try {
          return await chains.append(chain, expected, records, options);
        } finally {
          busy = false;
        }
      },
    }));
  }),
  mutant("chains: an append that was acknowledged is written a moment later", (storage) =>
    withChains(storage, (chains) => ({
      async append(chain, expected, records, options) {
        [expected, records] = careful(expected, records);
        const copies = records.map((r) => (r instanceof Uint8Array ? copy(r) : r));
        const head = await chains.head(chain);
        if (
          head.size !== expected.size ||
          hex(head.hash ?? new Uint8Array()) !== hex(expected.hash ?? new Uint8Array())
        )
          return chains.append(chain, expected, copies, options);
        const next = {
          size: expected.size + copies.length,
          hash: sha256(copies.at(-1) ?? new Uint8Array()),
        };
        setTimeout(() => void chains.append(chain, head, copies).catch(() => {}), 1);
        return next;
      },
    })),
  ),
  mutant("chains: a read has no more than the handle wrote itself", (storage) => {
    const own = new Map<string, number>();
    return withChains(storage, (chains) => ({
      append: noting(chains, own),
      async *read(chain, options) {
        for await (const item of chains.read(chain, options))
          if (item.index < (own.get(chain) ?? Infinity)) yield item;
      },
    }));
  }),
  mutant(
    "chains: a read stops where its first page ended when a write comes between",
    (storage, shared) =>
      withChains(storage, (chains) => ({
        async append(...call) {
          const head = await chains.append(...call);
          shared["writes"] = (shared["writes"] ?? 0) + 1;
          return head;
        },
        async *read(chain, options) {
          const before = shared["writes"];
          let seen = 0;
          for await (const item of chains.read(chain, options)) {
            if (seen++ >= 100 && shared["writes"] !== before) return;
            yield item;
          }
        },
      })),
  ),
  mutant("chains: refused appends as errors without a code", (storage) =>
    withChains(storage, (chains) => ({
      append: (...call) =>
        chains.append(...call).catch((error: unknown) => {
          throw codeOf(error) === "ERR_STORAGE_LIMIT" ? new Error("too large") : error;
        }),
    })),
  ),
  mutant(
    "chains: a handle locks the chain it appended to first against others",
    (storage, shared) => {
      const owners: Map<string, object> = (shared["o"] ??= new Map());
      const self = {};
      return withChains(storage, (chains) => ({
        async append(chain, ...rest) {
          if ((owners.get(chain) ?? self) !== self)
            throw new StorageError("ERR_STORAGE_FAILED", "locked");
          const head = await chains.append(chain, ...rest);
          owners.set(chain, self);
          return head;
        },
      }));
    },
  ),
];

/** The ways in which some stores above are changed, changed to nothing: these must pass. */
export const chainBases: readonly Mutant[] = [
  mutant(
    "chains under their own names",
    renamed((name) => name),
  ),
  mutant(
    "heads that are compared whole",
    compared(
      (a, b) =>
        a.size === b.size && a.hash !== null && b.hash !== null && hex(a.hash) === hex(b.hash),
    ),
  ),
  mutant(
    "reads as they are",
    reading((items) => items),
  ),
];
