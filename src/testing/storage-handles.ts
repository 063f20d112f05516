import { AppendConflict } from "../storage/errors.ts";
import type { FullStorage, Head, StorageAdapter } from "../storage/types.ts";
import { check, checkSame, collect, pause, rejection } from "./kit.ts";
import {
  ANY_KEY,
  blobOf,
  blobsOf,
  bytes,
  chainsOf,
  EMPTY,
  fullOf,
  headAfter,
  readAll,
  records,
  stateOf,
  withStorage,
  type StorageCase,
} from "./storage-subject.ts";

const text = (value: Uint8Array | undefined): string | undefined =>
  value && new TextDecoder().decode(value);

/** Writes once, and reads repeatedly until that is done, from this handle and another. */
async function readWhileWriting(
  storages: readonly StorageAdapter[],
  write: () => Promise<void>,
  look: (storage: StorageAdapter) => Promise<void>,
): Promise<void> {
  let done = false;
  const looking = storages.map(async (storage) => {
    do {
      await look(storage);
      await pause();
    } while (!done);
    await look(storage);
  });
  await Promise.all([write().finally(() => (done = true)), ...looking]);
}

const chainOf = "a";
const blobAt = (size: number, i: number) => blobOf(bytes(`blob ${i} of ${size}`));

async function commitOnce(storage: FullStorage, head: Head): Promise<Head> {
  const size = head.size + 2;
  return (await storage.commit({
    append: { chain: chainOf, expected: head, records: records(2, `${size}`) },
    blobs: [0, 1, 2].map((i) => blobAt(size, i)),
    state: [0, 1, 2, 3].map((i) => ({ key: bytes(`key ${i}`), value: bytes(String(size)) })),
  }))!;
}

/**
 * Cases for what two handles on one store, and concurrent readers and writers, see of each other.
 */
export const handleCases: readonly StorageCase[] = [
  {
    name: "handles: readers see a commit in all stores or in none",
    requires: ["commit"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [writer, reader] = [fullOf(storage), fullOf(await subject.open())];
        const keys = [0, 1, 2, 3].map((i) => bytes(`key ${i}`));
        const number = (value: Uint8Array | undefined): number => Number(text(value) ?? 0);
        const atomicBlobs = writer.blobs.caps.atomicBlobs !== false;
        let begun = 0;
        let last = 0;
        await readWhileWriting(
          [writer, reader],
          async () => {
            let head: Head = EMPTY;
            while (head.size < 80) {
              begun = head.size + 2;
              head = await commitOnce(writer, head);
              last = head.size;
              await pause();
            }
          },
          async (seen) => {
            const { chains, blobs, state } = fullOf(seen);
            const acknowledged = last;
            const values = (await state.getMany(keys)).map(number);
            check(new Set(values).size === 1, `state of ${values.join(" and ")} in one getMany`);
            const { size } = await chains.head(chainOf);
            check(size >= values[0]!, `state of a commit at ${values[0]}, head ${size}`);
            check(size >= acknowledged, `head ${size} after ${acknowledged} was acknowledged`);
            const after = number(await state.get(keys[3]!));
            check(after >= size, `head ${size} of a commit, and state of ${after}`);
            const cids = [0, 1, 2].map((i) => blobAt(size, i).cid);
            const there = (await blobs.getMany(cids)).filter((value) => value !== undefined).length;
            check(size === 0 || there === 3, `head ${size}, and ${there} of its 3 blobs`);
            const length = (await readAll(chains, chainOf)).length;
            check(length % 2 === 0 && length >= size, `head ${size}, and ${length} records`);
            if (!atomicBlobs) return;
            const coming = begun;
            const early = await blobs.has(blobAt(coming, 1).cid);
            if (early) {
              const now = (await chains.head(chainOf)).size;
              check(now >= coming, `a blob of the commit at ${coming}, head ${now}`);
            }
          },
        );
      }),
  },
  {
    name: "handles: readers see a batch of state whole, in getMany and in what follows",
    requires: ["state"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [writer, reader] = [stateOf(storage), await subject.open()];
        const keys = Array.from({ length: 20 }, (_, i) => bytes(`key ${i}`));
        await readWhileWriting(
          [storage, reader],
          async () => {
            for (let round = 1; round <= 40; round++) {
              const value = round % 4 === 0 ? null : bytes(String(round));
              await writer.batch(
                keys.map((key) => ({ key, value })),
                { sync: round % 3 !== 0 },
              );
              await pause();
            }
          },
          async (seen) => {
            const values = new Set((await stateOf(seen).getMany(keys)).map(text));
            check(values.size === 1, `half a batch: ${[...values].join(" and ")}`);
          },
        );
      }),
  },
  {
    name: "handles: readers see a put and a deletion of blobs whole, where caps do not say otherwise",
    requires: ["blobs"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const writer = blobsOf(storage);
        const reader = await subject.open();
        const list = Array.from({ length: 20 }, (_, i) => blobOf(bytes(`blob ${i}`)));
        const cids = list.map(({ cid }) => cid);
        await readWhileWriting(
          [storage, reader],
          async () => {
            for (let round = 0; round < 20; round++) {
              await writer.put(list);
              await pause();
              await writer.delete(cids);
              await pause();
            }
          },
          async (seen) => {
            const found = await blobsOf(seen).getMany(cids);
            const there = found.filter((value) => value !== undefined).length;
            for (const [i, value] of found.entries()) {
              check(!value || text(value) === `blob ${i}`, "other bytes of a blob");
            }
            if (writer.caps.atomicBlobs === false) return;
            check(there === 0 || there === 20, `${there} of 20 blobs that were put at once`);
          },
        );
      }),
  },
  {
    name: "handles: what one put, removed or put again every other sees at once, and has no older",
    requires: [],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const other = await subject.open();
        const handles = [storage, other];
        for (let i = 0; i < 12; i++) {
          const [one, two] = i % 2 === 0 ? handles : [...handles].reverse();
          const key = bytes("key");
          if (one!.state && two!.state) {
            const value = bytes(`${i}`);
            await one!.state.batch([{ key, value }]);
            checkSame(text(await two!.state.get(key)), `${i}`, "value");
            checkSame((await collect(two!.state.scan(ANY_KEY))).length, 1, "entries");
            await two!.state.batch([{ key, value: null }]);
            checkSame(await one!.state.get(key), undefined, "a value that was removed");
            checkSame(await one!.state.getMany([key]), [undefined], "the same by getMany");
            checkSame(await collect(one!.state.scan(ANY_KEY)), [], "entries after removal");
          }
          if (one!.blobs && two!.blobs) {
            const { cid } = blobOf(bytes(`${i % 3}`));
            const wrong = bytes(`${i}`);
            checkSame(
              [await two!.blobs.has(cid), await two!.blobs.get(cid)],
              [false, undefined],
              "a blob before it is put",
            );
            await one!.blobs.put([{ cid, bytes: wrong }]);
            checkSame(
              [
                await two!.blobs.has(cid),
                text(await two!.blobs.get(cid)),
                await two!.blobs.count(),
              ],
              [true, `${i}`, 1],
              "a blob after it was put",
            );
            // An existing blob is left alone, whatever its bytes.
            await two!.blobs.put([{ cid, bytes: bytes("another") }]);
            checkSame(text(await one!.blobs.get(cid)), `${i}`, "a blob that was put again");
            await two!.blobs.delete([cid]);
            checkSame(
              [await one!.blobs.has(cid), await one!.blobs.get(cid), await one!.blobs.count()],
              [false, undefined, 0],
              "a blob after it was deleted",
            );
            checkSame(await collect(one!.blobs.list()), [], "names after deletion");
          }
          if (one!.chains && two!.chains) {
            const head = await one!.chains.head("a");
            const next = await one!.chains.append("a", head, records(2, `${i}`));
            checkSame(await two!.chains.head("a"), next, "head");
            const [first] = await collect(two!.chains.read("a", { from: next.size - 2 }));
            checkSame(text(first?.record), `${i} 0`, "a record");
          }
        }
      }),
  },
  {
    name: "handles: replays and conflicts are told from the chain, not from what a handle remembers",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [one, two] = [chainsOf(storage), chainsOf(await subject.open())];
        const all = records(7);
        const first = await one.append("a", EMPTY, all.slice(0, 2));
        const second = await one.append("a", first, all.slice(2, 5));
        // Other divisions of the same history are replays as well.
        const replays: readonly (readonly [string, Head, Uint8Array[]])[] = [
          ["the first append", EMPTY, all.slice(0, 2)],
          ["the second append", first, all.slice(2, 5)],
          ["the first of its records", first, all.slice(2, 3)],
          ["the first record of all", EMPTY, all.slice(0, 1)],
          ["both appends at once", EMPTY, all.slice(0, 5)],
          ["one append and a part of the next", EMPTY, all.slice(0, 4)],
        ];
        for (const chains of [two, one]) {
          for (const [what, expected, part] of replays) {
            const head = await chains.append("a", expected, part);
            checkSame(head, headAfter(all.slice(0, expected.size + part.length)), what);
          }
          for (const [what, expected, part] of [
            ["more than is there", EMPTY, all.slice(0, 6)],
            ["the second append and more", first, all.slice(2, 6)],
            ["other records", first, records(3, "other")],
            ["records in another order", first, [all[3]!, all[2]!, all[4]!]],
            ["a record cut short", first, [all[2]!.subarray(0, 5)]],
            ["a record with a byte more", first, [Uint8Array.from([...all[2]!, 0])]],
          ] as const) {
            const error = await rejection(chains.append("a", expected, part), what);
            check(error instanceof AppendConflict, `${what}: ${String(error)}`);
            checkSame(error.head, second, `${what}: head in the error`);
          }
          for (const place of [0, 1, 15, 30, 31]) {
            const hash = new Uint8Array(second.hash!);
            hash[place]! ^= 1;
            const wrong = chains.append("a", { size: 5, hash }, all.slice(5));
            const error = await rejection(wrong, `a hash of another byte ${place}`);
            check(error instanceof AppendConflict, `byte ${place}: ${String(error)}`);
            checkSame(error.head, second, "head in the error");
          }
          for (const size of [6, 2 ** 31, 2 ** 32 + 5, 2 ** 40, Number.MAX_SAFE_INTEGER - 1]) {
            const wrong = chains.append("a", { size, hash: second.hash }, all.slice(5));
            const error = await rejection(wrong, `an expected size of ${size}`);
            check(error instanceof AppendConflict, `size ${size}: ${String(error)}`);
          }
        }
        checkSame(await readAll(two, "a"), all.slice(0, 5), "records");
        await storage.close();
        const again = chainsOf(await subject.open());
        checkSame(
          await again.append("a", EMPTY, all.slice(0, 2)),
          first,
          "by a handle opened later",
        );
        checkSame(await again.head("a"), second, "head");
      }),
  },
  {
    name: "handles: batches of one handle that were begun together are made in their order",
    requires: [],
    run: (make) =>
      withStorage(make, async ({ state, chains }) => {
        const key = bytes("key");
        for (let i = 0; i < 10; i++) {
          if (state) {
            const calls = [
              state.batch([{ key, value: bytes("1") }]),
              state.batch([{ key, value: null }], { sync: i % 2 === 0 }),
              state.batch([{ key, value: bytes("2") }], { sync: i % 3 === 0 }),
              state.batch([{ key, value: bytes("3") }]),
            ];
            await Promise.all(calls);
            checkSame(text(await state.get(key)), "3", "the value that was put last");
          }
          if (chains) {
            const calls = [0, 1, 2].map((j) =>
              chains.append(`chain ${i} ${j}`, EMPTY, records(1, `${i} ${j}`)),
            );
            for (const [j, head] of (await Promise.all(calls)).entries()) {
              checkSame(head, headAfter(records(1, `${i} ${j}`)), "head of an append among others");
            }
          }
        }
      }),
  },
];
