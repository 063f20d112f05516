import { equalBytes } from "../bytes/compare.ts";
import { AppendConflict } from "../storage/errors.ts";
import type { ChainStore, Head } from "../storage/types.ts";
import { check, checkCode, checkSame, collect, pause, rejection } from "./kit.ts";
import {
  bytes,
  chainsOf,
  EMPTY,
  headAfter,
  noise,
  readAll,
  records,
  withStorage,
  type StorageCase,
} from "./storage-subject.ts";
import { chainHandleCases } from "./storage-chain-handles.ts";

const chainCase = (
  name: string,
  run: (chains: ChainStore) => Promise<void>,
  limits?: { maxBatch: number; maxAppendBytes: number },
): StorageCase => ({
  name: `chains: ${name}`,
  requires: ["chains"],
  run: (make) => withStorage(make, (storage) => run(chainsOf(storage)), limits),
});

async function checkConflict(call: Promise<unknown>, head: Head, what: string): Promise<void> {
  const error = await rejection(call, what);
  check(error instanceof AppendConflict, `${what}: expected AppendConflict, got ${String(error)}`);
  checkSame(error.code, "ERR_STORAGE_CONFLICT", `${what}: code`);
  checkSame(error.head, head, `${what}: head in the error`);
}

/** Cases for every `ChainStore`. */
export const chainStoreCases: readonly StorageCase[] = [
  chainCase("one that nobody appended to is empty", async (chains) => {
    checkSame(await chains.head("a"), EMPTY, "head");
    checkSame(await readAll(chains, "a"), [], "records");
    checkSame(await collect(chains.list()), [], "names");
  }),

  chainCase("an append gives the new head, and records are numbered from 0", async (chains) => {
    const [a, b, c] = records(3) as [Uint8Array, Uint8Array, Uint8Array];
    const first = await chains.append("a", EMPTY, [a]);
    checkSame(first, headAfter([a]), "head after one");
    const second = await chains.append("a", first, [b, c]);
    checkSame(second, headAfter([a, b, c]), "head after three");
    checkSame(await chains.head("a"), second, "head as read");
    checkSame(
      await collect(chains.read("a", { from: 0 })),
      [
        { index: 0, record: a },
        { index: 1, record: b },
        { index: 2, record: c },
      ],
      "records",
    );
  }),

  chainCase(
    "an append on a wrong head conflicts, tells the head and writes nothing",
    async (chains) => {
      const all = records(3);
      const head = await chains.append("a", EMPTY, all);
      const next = records(2, "next");
      const wrong: readonly [string, Head][] = [
        ["genesis again", EMPTY],
        ["stale", headAfter(all.slice(0, 2))],
        ["right size, other hash", { size: 3, hash: noise(32, 1) }],
        ["other size, right hash", { size: 2, hash: head.hash }],
        ["ahead", { size: 4, hash: noise(32, 2) }],
        ["far ahead", { size: 2 ** 40, hash: head.hash }],
      ];
      for (const [what, expected] of wrong) {
        await checkConflict(chains.append("a", expected, next), head, what);
      }
      await checkConflict(chains.append("b", head, next), EMPTY, "on an empty chain");
      checkSame(await readAll(chains, "a"), all, "records after the conflicts");
      checkSame(await readAll(chains, "b"), [], "records of the empty chain");
      checkSame(await chains.append("a", head, next), headAfter([...all, ...next]), "right head");
    },
  ),

  chainCase(
    "an exact replay is answered like the first call and writes nothing",
    async (chains) => {
      const all = records(5);
      const one = await chains.append("a", EMPTY, all.slice(0, 2));
      const two = await chains.append("a", one, all.slice(2, 4));
      checkSame(await chains.append("a", one, all.slice(2, 4)), two, "replay of the last append");
      const three = await chains.append("a", two, all.slice(4));
      checkSame(
        await chains.append("a", EMPTY, all.slice(0, 2)),
        one,
        "replay of the first append",
      );
      checkSame(await chains.append("a", one, all.slice(2, 4)), two, "replay with more behind");
      checkSame(await chains.head("a"), three, "head");
      checkSame(await readAll(chains, "a"), all, "records");
    },
  ),

  chainCase(
    "a replay that is there only in part, or not from that head, conflicts",
    async (chains) => {
      const all = records(4);
      const one = await chains.append("a", EMPTY, all.slice(0, 2));
      const head = await chains.append("a", one, all.slice(2));
      const [other] = records(1, "other") as [Uint8Array];
      await checkConflict(chains.append("a", one, [all[2]!, other]), head, "second record differs");
      await checkConflict(chains.append("a", one, [other, all[3]!]), head, "first record differs");
      await checkConflict(chains.append("a", one, [...all.slice(2), other]), head, "one too many");
      await checkConflict(
        chains.append("a", { size: 2, hash: noise(32, 3) }, all.slice(2)),
        head,
        "right records on a hash that was never the head",
      );
      checkSame(await readAll(chains, "a"), all, "records");
    },
  ),

  chainCase("the same bytes may follow themselves", async (chains) => {
    const record = bytes("again");
    const one = await chains.append("a", EMPTY, [record]);
    const two = await chains.append("a", one, [record]);
    checkSame(two, headAfter([record, record]), "head");
    checkSame(await readAll(chains, "a"), [record, record], "records");
  }),

  chainCase("reads ranges", async (chains) => {
    const all = records(20);
    await chains.append("a", EMPTY, all);
    const range = async (from: number, limit?: number): Promise<unknown> =>
      collect(chains.read("a", limit === undefined ? { from } : { from, limit }));
    const expected = (from: number, to: number): unknown =>
      all.slice(from, to).map((record, i) => ({ index: from + i, record }));
    checkSame(await range(0), expected(0, 20), "all");
    checkSame(await range(7), expected(7, 20), "from 7");
    checkSame(await range(7, 3), expected(7, 10), "from 7, three");
    checkSame(await range(0, 1), expected(0, 1), "the first");
    checkSame(await range(19, 5), expected(19, 20), "the last");
    checkSame(await range(3, 0), [], "none");
    checkSame(await range(20), [], "at the head");
    checkSame(await range(1000), [], "beyond the head");
    checkSame(await collect(chains.read("a", { from: 2 }), 2), expected(2, 4), "left early");
  }),

  chainCase("keeps many records of all sizes in order and without gaps", async (chains) => {
    const all: Uint8Array[] = [];
    let head: Head = EMPTY;
    for (let i = 0; i < 40; i++) {
      const batch = Array.from({ length: (i % 13) + 1 }, (_, j) =>
        noise(j === 0 ? [1, 50, 3000, 5000, 70_000][i % 5]! : 120, i * 100 + j),
      );
      all.push(...batch);
      head = await chains.append("a", head, batch);
    }
    all.push(noise(1_500_000, 9));
    head = await chains.append("a", head, all.slice(-1));
    checkSame(head, headAfter(all), "head");
    check(
      (await readAll(chains, "a")).every((r, i) => equalBytes(r, all[i]!)),
      "a record differs",
    );
    checkSame((await readAll(chains, "a", 100)).length, all.length - 100, "records from 100");
  }),

  chainCase("keeps chains apart, whatever their names", async (chains) => {
    const names = ["a", "ab", "b", "a\0", "a\0b", "A", "ä", "/", "../a", "0", "x".repeat(256)];
    const heads = new Map<string, Head>();
    for (const [i, name] of names.entries()) {
      heads.set(name, await chains.append(name, EMPTY, records(i + 1, name.slice(0, 9))));
    }
    for (const [i, name] of names.entries()) {
      checkSame(await chains.head(name), heads.get(name), `head of ${JSON.stringify(name)}`);
      checkSame(await readAll(chains, name), records(i + 1, name.slice(0, 9)), "records");
    }
    checkSame((await collect(chains.list())).sort(), [...names].sort(), "names");
  }),

  chainCase("copies what it is given before the call returns", async (chains) => {
    const shared: Uint8Array = new Uint8Array(64).fill(7);
    const record = shared.subarray(8, 40);
    const kept = new Uint8Array(record);
    const list: Uint8Array[] = [record];
    const appended = chains.append("a", EMPTY, list);
    shared.fill(9);
    list.push(bytes("late"));
    const head = await appended;
    checkSame(head, headAfter([kept]), "head");
    shared.fill(11);
    checkSame(await readAll(chains, "a"), [kept], "record");
    const expected = { size: 1, hash: new Uint8Array(head.hash!) };
    const second = chains.append("a", expected, [bytes("two")]);
    expected.hash.fill(0);
    checkSame((await second).size, 2, "head after an append whose expected head was overwritten");
  }),

  chainCase("hands out bytes that are the caller's own", async (chains) => {
    const all = records(2);
    const head = await chains.append("a", EMPTY, all);
    head.hash!.fill(0);
    (await chains.head("a")).hash!.fill(0);
    for (const record of await readAll(chains, "a")) record.fill(0);
    const conflict = (await rejection(
      chains.append("a", EMPTY, records(1, "other")),
      "append on a wrong head",
    )) as AppendConflict;
    conflict.head.hash!.fill(0);
    checkSame(await chains.head("a"), headAfter(all), "head");
    checkSame(await readAll(chains, "a"), all, "records");
    const [record] = await readAll(chains, "a");
    checkSame(Object.getPrototypeOf(record), Uint8Array.prototype, "records are plain Uint8Arrays");
  }),

  chainCase("refuses arguments that make no sense", async (chains) => {
    const record = [bytes("r")];
    const wrong: readonly [string, () => Promise<unknown>][] = [
      ["no records", () => chains.append("a", EMPTY, [])],
      ["an empty record", () => chains.append("a", EMPTY, [new Uint8Array()])],
      ["text", () => chains.append("a", EMPTY, ["r" as unknown as Uint8Array])],
      ["size -1", () => chains.append("a", { size: -1, hash: null }, record)],
      ["size 1.5", () => chains.append("a", { size: 1.5, hash: noise(32, 1) }, record)],
      ["size 0 with a hash", () => chains.append("a", { size: 0, hash: noise(32, 1) }, record)],
      ["size 1 without a hash", () => chains.append("a", { size: 1, hash: null }, record)],
      ["a short hash", () => chains.append("a", { size: 1, hash: noise(31, 1) }, record)],
      ["no name", () => chains.append("", EMPTY, record)],
      ["a long name", () => chains.append("x".repeat(257), EMPTY, record)],
      ["a lone surrogate", () => chains.append("\ud800", EMPTY, record)],
      ["from -1", () => collect(chains.read("a", { from: -1 }))],
      ["from 1.5", () => collect(chains.read("a", { from: 1.5 }))],
      ["limit NaN", () => collect(chains.read("a", { from: 0, limit: NaN }))],
      ["limit -1", () => collect(chains.read("a", { from: 0, limit: -1 }))],
      ...(chains.tail
        ? ([
            ["tail from -1", () => collect(chains.tail!("a", { from: -1 }), 1)],
            ["tail from NaN", () => collect(chains.tail!("a", { from: NaN }), 1)],
          ] as [string, () => Promise<unknown>][])
        : []),
    ];
    for (const [what, call] of wrong) {
      const error = await rejection(call(), what);
      check(error instanceof TypeError || error instanceof RangeError, `${what}: ${String(error)}`);
    }
    checkSame(await chains.head("a"), EMPTY, "head");
  }),

  chainCase(
    "says when an append is beyond its limits, and writes nothing of it",
    async (chains) => {
      await checkCode(chains.append("a", EMPTY, records(9)), "ERR_STORAGE_LIMIT", "too many");
      const large = [bytes("small"), noise(2000, 1)];
      await checkCode(chains.append("a", EMPTY, large), "ERR_STORAGE_LIMIT", "too large");
      checkSame(await chains.head("a"), EMPTY, "head");
      await chains.append("a", EMPTY, records(8));
      await chains.append("b", EMPTY, [noise(1000, 1)]);
    },
    { maxBatch: 8, maxAppendBytes: 1000 },
  ),

  chainCase(
    "an abort before writing rejects with its reason and writes nothing",
    async (chains) => {
      const reason = new Error("no longer wanted");
      const aborted = { signal: AbortSignal.abort(reason) };
      const error = await rejection(
        chains.append("a", EMPTY, records(1), aborted),
        "aborted append",
      );
      check(error === reason, "the append did not reject with the signal's reason");
      const head = await chains.append("a", EMPTY, records(50));
      const controller = new AbortController();
      const reading = (async () => {
        for await (const { index } of chains.read("a", { from: 0, signal: controller.signal })) {
          if (index === 10) controller.abort(reason);
          check(index <= 10, "the read went on after the abort");
        }
      })();
      check((await rejection(reading, "aborted read")) === reason, "the read's reason");
      checkSame(await chains.head("a"), head, "head");
    },
  ),

  chainCase(
    "an abort at any moment is ignored, or rejects with its reason and nothing is written",
    async (chains) => {
      const reason = new Error("no longer wanted");
      const moments: readonly (() => unknown)[] = [
        () => undefined,
        () => Promise.resolve(),
        () => ticks(5),
        () => ticks(40),
        () => pause(0),
        () => pause(1),
        () => pause(3),
      ];
      const all: Uint8Array[] = [];
      let head: Head = EMPTY;
      for (let i = 0; i < 5 * moments.length; i++) {
        const controller = new AbortController();
        const batch = records(3, `append ${i}`);
        const call = chains.append("a", head, batch, { signal: controller.signal });
        const outcome = call.then(
          (next) => ({ next }),
          (error: unknown) => ({ error }),
        );
        await moments[i % moments.length]!();
        controller.abort(reason);
        const ended = await outcome;
        if ("next" in ended) {
          head = ended.next;
          all.push(...batch);
        } else {
          check(ended.error === reason, `not the signal's reason: ${String(ended.error)}`);
        }
        checkSame(await chains.head("a"), head, "head after an abort");
      }
      await pause(20);
      checkSame(await readAll(chains, "a"), all, "records");
      const late = new AbortController();
      head = await chains.append("a", head, records(1, "late"), { signal: late.signal });
      late.abort(reason);
      checkSame(await chains.head("a"), head, "head after an abort that came too late");
    },
  ),

  ...chainHandleCases,
];

async function ticks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}
