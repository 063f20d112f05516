import type { ScanOptions, StateStore } from "../storage/types.ts";
import { check, checkCode, checkSame, collect, rejection } from "./kit.ts";
import { bytes, noise, stateOf, withStorage, type StorageCase } from "./storage-subject.ts";

const stateCase = (
  name: string,
  run: (state: StateStore) => Promise<void>,
  limits?: { maxBatch: number; maxAppendBytes: number },
): StorageCase => ({
  name: `state: ${name}`,
  requires: ["state"],
  run: (make) => withStorage(make, (storage) => run(stateOf(storage)), limits),
});

const entry = (key: string, value: string): { key: Uint8Array; value: Uint8Array } => ({
  key: bytes(key),
  value: bytes(value),
});
const from = (...values: readonly number[]): Uint8Array => Uint8Array.from(values);

/** Cases for every `StateStore`. */
export const stateStoreCases: readonly StorageCase[] = [
  stateCase("gives back the last value put under a key", async (state) => {
    checkSame(await state.get(bytes("a")), undefined, "absent");
    await state.batch([entry("a", "1"), entry("b", "")]);
    await state.batch([entry("a", "2"), { key: bytes("c"), value: noise(100_000, 1) }]);
    checkSame(
      await state.getMany(["b", "a", "x", "a"].map(bytes)),
      [bytes(""), bytes("2"), undefined, bytes("2")],
      "values",
    );
    checkSame(await state.get(bytes("c")), noise(100_000, 1), "a large value");
    await state.batch([
      { key: bytes("a"), value: null },
      { key: bytes("x"), value: null },
    ]);
    checkSame(await state.get(bytes("a")), undefined, "removed");
    await state.batch([]);
  }),

  stateCase("of several changes of one key in a batch the last counts", async (state) => {
    const gone = { key: bytes("a"), value: null };
    await state.batch([entry("a", "1"), gone, entry("a", "2"), entry("b", "1"), entry("b", "2")]);
    await state.batch([entry("c", "1"), { key: bytes("c"), value: null }]);
    checkSame(
      await state.getMany(["a", "b", "c"].map(bytes)),
      [bytes("2"), bytes("2"), undefined],
      "values",
    );
  }),

  stateCase("orders keys as unsigned bytes, a prefix first", async (state) => {
    const keys = [
      from(0),
      from(0, 0),
      from(0, 1),
      from(1),
      from(1, 255),
      from(2),
      from(9),
      from(10),
      from(127),
      from(128),
      from(128, 0),
      from(254, 255),
      from(255),
      from(255, 255),
      new Uint8Array(1024).fill(255),
    ];
    const shuffled = [...keys].sort((a, b) => a.at(-1)! * 7 - b.at(-1)! * 5 || a.length - b.length);
    await state.batch(shuffled.map((key) => ({ key, value: key })));
    const scan = async (options: ScanOptions): Promise<Uint8Array[]> =>
      (await collect(state.scan(options))).map(({ key, value }) => {
        checkSame(value, key, "the value of a key");
        return key;
      });
    const lt = new Uint8Array(1024).fill(255);
    const below = keys.slice(0, -1);
    checkSame(await scan({ gte: from(), lt }), below, "all");
    checkSame(await scan({ gte: from(), lt, reverse: true }), [...below].reverse(), "all, down");
    checkSame(await scan({ gte: from(1), lt: from(128) }), keys.slice(3, 9), "[01, 80)");
    checkSame(
      await scan({ gte: from(1), lt: from(128), reverse: true }),
      keys.slice(3, 9).reverse(),
      "[01, 80) down",
    );
    checkSame(await scan({ gte: from(0, 0, 5), lt: from(1, 3) }), keys.slice(2, 4), "between keys");
    checkSame(await scan({ gte: from(1), lt, limit: 3 }), keys.slice(3, 6), "limit");
    checkSame(
      await scan({ gte: from(), lt: from(10), limit: 2, reverse: true }),
      [keys[6], keys[5]],
      "limit, down",
    );
    checkSame(await scan({ gte: from(), lt, limit: 0 }), [], "limit 0");
    checkSame(await scan({ gte: from(5), lt: from(5) }), [], "nothing between");
    checkSame(await scan({ gte: from(6), lt: from(5) }), [], "bounds crossed");
    checkSame(await scan({ gte: from(128), lt: from(2) }), [], "bounds crossed, with keys between");
    checkSame(await scan({ gte: from(128), lt: from(2), reverse: true }), [], "the same, down");
    checkSame(await scan({ gte: from(), lt: from() }), [], "below everything");
    checkSame(await scan({ gte: from(6), lt: from(5), reverse: true }), [], "crossed, down");
  }),

  stateCase("scans thousands in both directions", async (state) => {
    const keyOf = (i: number): Uint8Array => from(7, i >> 8, i & 255);
    const numbers = Array.from({ length: 3000 }, (_, i) => i);
    const mixed = [...numbers].sort((a, b) => ((a * 7919) % 3000) - ((b * 7919) % 3000));
    for (let i = 0; i < 3000; i += 600) {
      const part = mixed.slice(i, i + 600);
      await state.batch(part.map((n) => ({ key: keyOf(n), value: bytes(String(n)) })));
    }
    const range = { gte: from(7), lt: from(8) };
    const values = async (options: ScanOptions): Promise<number[]> =>
      (await collect(state.scan(options))).map(({ value }) =>
        Number(new TextDecoder().decode(value)),
      );
    checkSame(await values(range), numbers, "up");
    checkSame(await values({ ...range, reverse: true }), [...numbers].reverse(), "down");
    checkSame(await values({ ...range, limit: 700 }), numbers.slice(0, 700), "the first 700");
    checkSame((await collect(state.scan(range), 300)).length, 300, "left early");
    await state.batch(numbers.slice(0, 500).map((n) => ({ key: keyOf(n * 2), value: null })));
    checkSame(
      await values(range),
      numbers.filter((n) => n % 2 === 1 || n >= 1000),
      "after removal",
    );
  }),

  stateCase("makes all changes of a batch or none", async (state) => {
    await state.batch([entry("a", "old")]);
    const wrong: readonly [string, unknown][] = [
      ["an empty key", entry("", "x")],
      ["a long key", { key: new Uint8Array(1025), value: bytes("x") }],
      ["text as a value", { key: bytes("b"), value: "x" }],
      ["text as a key", { key: "b", value: bytes("x") }],
      ["no value", { key: bytes("b") }],
    ];
    for (const [what, change] of wrong) {
      const error = await rejection(state.batch([entry("a", "new"), change as never]), what);
      check(error instanceof TypeError || error instanceof RangeError, `${what}: ${String(error)}`);
    }
    checkSame(await state.getMany(["a", "b"].map(bytes)), [bytes("old"), undefined], "values");
  }),

  stateCase(
    "says when a batch is beyond its limits, and makes no change of it",
    async (state) => {
      const many = Array.from({ length: 9 }, (_, i) => entry(`${i}`, "x"));
      await checkCode(state.batch(many), "ERR_STORAGE_LIMIT", "too many");
      const large = [entry("0", "x"), { key: bytes("1"), value: noise(1000, 1) }];
      await checkCode(state.batch(large), "ERR_STORAGE_LIMIT", "too large");
      checkSame(await collect(state.scan({ gte: from(), lt: from(255) })), [], "entries");
      await state.batch(many.slice(1));
    },
    { maxBatch: 8, maxAppendBytes: 1000 },
  ),

  stateCase("copies what it is given before the call returns", async (state) => {
    const key = bytes("key");
    const value = bytes("value");
    const written = state.batch([{ key, value }]);
    key.fill(0);
    value.fill(0);
    await written;
    const asked = bytes("key");
    const got = state.get(asked);
    asked.fill(0);
    checkSame(await got, bytes("value"), "value");
  }),

  stateCase("hands out bytes that are the caller's own", async (state) => {
    await state.batch([entry("a", "value")]);
    (await state.get(bytes("a")))!.fill(0);
    for (const found of await collect(state.scan({ gte: bytes("a"), lt: bytes("b") }))) {
      found.key.fill(0);
      found.value.fill(0);
    }
    const [got] = await state.getMany([bytes("a")]);
    checkSame(got, bytes("value"), "value");
    checkSame(Object.getPrototypeOf(got), Uint8Array.prototype, "a plain Uint8Array");
  }),

  stateCase("shows an unsynced batch at once, and keeps batches in order", async (state) => {
    const calls: Promise<void>[] = [];
    for (let i = 0; i < 20; i++)
      calls.push(state.batch([entry("a", `${i}`)], { sync: i % 2 === 0 }));
    await Promise.all(calls);
    checkSame(await state.get(bytes("a")), bytes("19"), "value");
  }),

  {
    name: "state: what one handle changed every other sees at once",
    requires: ["state"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [one, two] = [stateOf(storage), stateOf(await subject.open())];
        for (let i = 0; i < 10; i++) {
          await one.batch([entry("a", `${i}`)]);
          checkSame(await two.get(bytes("a")), bytes(`${i}`), "value");
        }
      }),
  },

  {
    name: "state: after reopening synced batches are there",
    requires: ["state", "reopen"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        await stateOf(storage).batch([entry("a", "1"), entry("b", "2")]);
        await storage.close();
        const again = stateOf(await subject.open());
        checkSame(
          await collect(again.scan({ gte: from(), lt: from(255) })),
          [entry("a", "1"), entry("b", "2")],
          "entries",
        );
      }),
  },

  {
    name: "state: a closed store says so",
    requires: ["state"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const state = stateOf(storage);
        await storage.close();
        await checkCode(state.get(bytes("a")), "ERR_STORAGE_CLOSED", "get");
        await checkCode(state.batch([entry("a", "1")]), "ERR_STORAGE_CLOSED", "batch");
        await checkCode(
          collect(state.scan({ gte: from(), lt: from(255) })),
          "ERR_STORAGE_CLOSED",
          "scan",
        );
      }),
  },
];
