import type { StorageAdapter } from "../storage/types.ts";
import { check, checkSame, collect, outcomeOf, pause, within } from "./kit.ts";
import {
  ANY_KEY,
  blobOf,
  bytes,
  chainsOf,
  EMPTY,
  records,
  someBlobs,
  withStorage,
  type StorageCase,
  type StorageFeature,
} from "./storage-subject.ts";

type Calls = Readonly<Record<string, () => Promise<unknown>>>;

const key = bytes("key");

/** Every call, with arguments for much, for little and for nothing. */
const callsOf: Readonly<
  Record<"chains" | "blobs" | "state" | "commit" | "compact", (storage: StorageAdapter) => Calls>
> = {
  chains: ({ chains }) => ({
    head: () => chains!.head("a"),
    "head of an empty chain": () => chains!.head("none"),
    append: () => chains!.append("b", EMPTY, records(1)),
    "append, a replay": () => chains!.append("a", EMPTY, records(3)),
    "append, a conflict": () => chains!.append("a", EMPTY, records(1, "other")),
    read: () => collect(chains!.read("a", { from: 0 })),
    "read of none": () => collect(chains!.read("a", { from: 0, limit: 0 })),
    "read from the head": () => collect(chains!.read("a", { from: 3 })),
    "read of an empty chain": () => collect(chains!.read("none", { from: 0 })),
    list: () => collect(chains!.list()),
    ...(chains!.tail && {
      tail: () => collect(chains!.tail!("a", { from: 0 })),
      "tail from the head": () => collect(chains!.tail!("a", { from: 3 })),
    }),
  }),
  blobs: ({ blobs }) => {
    const { cid } = blobOf(key);
    const absent = blobOf(bytes("absent")).cid;
    return {
      put: () => blobs!.put(someBlobs(2, 10, 9)),
      "put of what is there": () => blobs!.put([blobOf(key)]),
      "put of nothing": () => blobs!.put([]),
      get: () => blobs!.get(cid),
      "get of what is absent": () => blobs!.get(absent),
      getMany: () => blobs!.getMany([cid, absent]),
      "getMany of none": () => blobs!.getMany([]),
      has: () => blobs!.has(cid),
      delete: () => blobs!.delete([cid]),
      "delete of none": () => blobs!.delete([]),
      "delete of what is absent": () => blobs!.delete([absent]),
      list: () => collect(blobs!.list()),
      count: () => blobs!.count(),
    };
  },
  state: ({ state }) => ({
    get: () => state!.get(key),
    "get of what is absent": () => state!.get(bytes("absent")),
    getMany: () => state!.getMany([key]),
    "getMany of none": () => state!.getMany([]),
    batch: () => state!.batch([{ key: bytes("new"), value: key }]),
    "batch without sync": () => state!.batch([{ key: bytes("new"), value: key }], { sync: false }),
    "batch of nothing": () => state!.batch([]),
    scan: () => collect(state!.scan(ANY_KEY)),
    "scan of none": () => collect(state!.scan({ ...ANY_KEY, limit: 0 })),
    "scan of an empty range": () => collect(state!.scan({ gte: ANY_KEY.lt, lt: ANY_KEY.gte })),
    "scan, down": () => collect(state!.scan({ ...ANY_KEY, reverse: true })),
  }),
  commit: (storage) => ({
    commit: () => storage.commit!({ append: { chain: "b", expected: EMPTY, records: records(1) } }),
    "commit of state": () => storage.commit!({ state: [{ key: bytes("new"), value: key }] }),
    "commit of blobs": () => storage.commit!({ blobs: someBlobs(2, 10, 9) }),
    "commit of nothing": () => storage.commit!({}),
  }),
  compact: (storage) => ({ compact: () => storage.compact!() }),
};

async function fill({ chains, blobs, state }: StorageAdapter): Promise<void> {
  await chains?.append("a", EMPTY, records(3));
  await blobs?.put([blobOf(key)]);
  await state?.batch([{ key, value: key }]);
}

/** The content of the store, as another handle sees it. */
async function contents({ chains, blobs, state }: StorageAdapter): Promise<unknown> {
  return [
    chains && (await collect(chains.list())).sort(),
    chains && (await chains.head("a")).size,
    blobs && (await blobs.count()),
    state && (await collect(state.scan(ANY_KEY))).length,
  ];
}

/** The ways to close the stores of one storage; `undefined` is the storage itself. */
async function closeBy(storage: StorageAdapter, how: keyof typeof callsOf): Promise<void> {
  const store = how === "chains" || how === "blobs" || how === "state" ? storage[how] : undefined;
  if (store) {
    await within(store.close(), `${how}.close()`);
    const [[what, call]] = Object.entries(callsOf[how](storage)) as [[string, Calls[string]]];
    const { code, text } = await outcomeOf(call, `${what} after ${how}.close()`);
    check(code === "ERR_STORAGE_CLOSED", `${what} after ${how}.close(): ${text}`);
  }
  await within(Promise.all([storage.close(), storage.close()]), "close()");
  await within(storage.close(), "close() once more");
  await within(Promise.resolve(storage[Symbol.asyncDispose]()), "[Symbol.asyncDispose]()");
  await within(Promise.resolve(store?.close()), `${how}.close() once more`);
}

function afterClose(part: keyof typeof callsOf): StorageCase {
  const needed: Readonly<Record<string, StorageFeature[]>> = {
    compact: ["commit", "compact"],
  };
  return {
    name: `close: every call of ${part} after it is refused as closed, and does nothing`,
    requires: needed[part] ?? [part as StorageFeature],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const other = await subject.open();
        await fill(storage);
        const before = await contents(other);
        const calls = callsOf[part](storage);
        await closeBy(storage, part);
        for (const [what, call] of Object.entries(calls)) {
          const { code, text } = await outcomeOf(call, `${what} after close`);
          check(code === "ERR_STORAGE_CLOSED", `${what} after close: ${text}`);
        }
        await pause(5);
        checkSame(await contents(other), before, "what another handle sees");
        await other.chains?.append("after", EMPTY, records(1));
        await other.blobs?.put(someBlobs(1, 10, 4));
        await other.state?.batch([{ key: bytes("after"), value: key }]);
      }),
  };
}

/** One of the stores; the chains come with `commit`. */
function partOf(storage: StorageAdapter, part: "chains" | "blobs" | "state"): StorageAdapter {
  const { chains, blobs, state, commit } = storage;
  return {
    ...(part === "chains" && chains && { chains }),
    ...(part === "blobs" && blobs && { blobs }),
    ...(part === "state" && state && { state }),
    ...(part === "chains" && commit && { commit: (...call) => storage.commit!(...call) }),
    close: () => storage.close(),
    [Symbol.asyncDispose]: () => storage.close(),
  };
}

/** Writes in progress, each of which leaves a trace of its own. */
function writesOf(storage: StorageAdapter, round: number, i: number): (() => Promise<unknown>)[] {
  const { chains, blobs, state } = storage;
  const name = `${round}/${i}`;
  const blob = blobOf(bytes(name));
  const change = { key: bytes(`under/${name}`), value: key };
  return [
    ...(chains ? [() => chains.append(name, EMPTY, records(2, name))] : []),
    ...(blobs ? [() => blobs.put([blob])] : []),
    ...(state ? [() => state.batch([change])] : []),
    ...(storage.commit
      ? [
          () =>
            storage.commit!({
              append: { chain: `c${name}`, expected: EMPTY, records: records(1, name) },
              state: [{ key: bytes(`with/${name}`), value: key }],
            }),
        ]
      : []),
  ];
}

async function isThere(
  { chains, blobs, state, commit }: StorageAdapter,
  round: number,
  i: number,
): Promise<boolean[]> {
  const name = `${round}/${i}`;
  return [
    ...(chains ? [(await chains.head(name)).size === 2] : []),
    ...(blobs ? [await blobs.has(blobOf(bytes(name)).cid)] : []),
    ...(state ? [(await state.get(bytes(`under/${name}`))) !== undefined] : []),
    ...(commit && chains ? [(await chains.head(`c${name}`)).size === 1] : []),
  ];
}

const COUNT = 8;

/**
 * Closes with calls in progress: each must end, acknowledged writes must be there, and nothing may
 * come later.
 */
async function closeUnderLoad(
  storage: StorageAdapter,
  other: StorageAdapter,
  round: number,
): Promise<void> {
  const ends: Promise<{ acknowledged: boolean; code?: unknown; text: string }>[] = [];
  for (let i = 0; i < COUNT; i++) {
    for (const write of writesOf(storage, round, i)) {
      ends.push(
        outcomeOf(write, "a write beside close").then(({ code, text, failed }) => ({
          acknowledged: !failed,
          code,
          text,
        })),
      );
    }
  }
  if (round > 0) await pause(round - 1);
  const closed = storage.close();
  await within(closed, "close() beside writes");
  const atClose = await Promise.all(
    Array.from({ length: COUNT }, (_, i) => isThere(other, round, i)),
  );
  const ended = await within(Promise.all(ends), "the writes that were under way at close");
  const there = (
    await Promise.all(Array.from({ length: COUNT }, (_, i) => isThere(other, round, i)))
  ).flat();
  checkSame(there, atClose.flat(), "what is there some time after close() and when it resolved");
  for (const [i, { acknowledged, code, text }] of ended.entries()) {
    check(acknowledged || code === "ERR_STORAGE_CLOSED", `a write beside close: ${text}`);
    checkSame(
      there[i],
      acknowledged,
      `whether a write is there that ${acknowledged ? "was acknowledged" : "was refused as closed"}`,
    );
  }
  await pause(10);
  const late = (
    await Promise.all(Array.from({ length: COUNT }, (_, i) => isThere(other, round, i)))
  ).flat();
  checkSame(late, there, "what is there long after close()");
}

/** Cases for closing: every call after it, and calls in progress. */
export const closingCases: readonly StorageCase[] = [
  afterClose("chains"),
  afterClose("blobs"),
  afterClose("state"),
  afterClose("commit"),
  afterClose("compact"),

  ...(["chains", "blobs", "state"] as const).map((part): StorageCase => ({
    name: `close: what is under way ends, and what was acknowledged is there (${part})`,
    requires: [part],
    run: (make) =>
      withStorage(make, async (first, subject) => {
        for (let round = 0; round < 4; round++) {
          const storage = await subject.open();
          await closeUnderLoad(partOf(storage, part), partOf(first, part), round);
        }
      }),
  })),

  {
    name: "close: reads that are under way end",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const other = await subject.open();
        await chainsOf(other).append("a", EMPTY, records(700));
        await other.blobs?.put(someBlobs(300, 10));
        const changes = Array.from({ length: 700 }, (_, i) => ({
          key: bytes(`k${1000 + i}`),
          value: key,
        }));
        await other.state?.batch(changes);
        const sources: readonly (readonly [string, AsyncIterable<unknown>])[] = [
          ["read", chainsOf(storage).read("a", { from: 0 })],
          ["list of chains", chainsOf(storage).list()],
          ...(storage.blobs ? ([["list of blobs", storage.blobs.list()]] as const) : []),
          ...(storage.state ? ([["scan", storage.state.scan(ANY_KEY)]] as const) : []),
        ];
        const begun = [];
        for (const [what, source] of sources) {
          const iterator = source[Symbol.asyncIterator]();
          checkSame((await iterator.next()).done, false, `${what}: whether it ended at once`);
          begun.push([what, iterator] as const);
        }
        await within(storage.close(), "close() beside reads");
        for (const [what, iterator] of begun) {
          let items = 0;
          const rest = async (): Promise<void> => {
            while ((await iterator.next()).done !== true) {
              check(++items <= 1000, `${what} goes on without end after close`);
            }
          };
          const { code, text, failed } = await outcomeOf(rest, `${what} beside close`);
          check(!failed || code === "ERR_STORAGE_CLOSED", `${what} beside close: ${text}`);
        }
      }),
  },

  {
    name: "close: of one handle leaves the others open",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [two, three] = [await subject.open(), await subject.open()];
        await fill(storage);
        await storage.close();
        await two.close();
        await storage.close();
        await three.chains!.append("b", EMPTY, records(1));
        checkSame((await three.chains!.head("a")).size, 3, "size");
        if (three.state) checkSame(await three.state.get(key), key, "state");
        if (three.blobs) checkSame(await three.blobs.count(), 1, "blobs");
        await within(three.close(), "close() of the last handle");
      }),
  },
];
