import type { StateStore } from "../storage/types.ts";
import { check, checkSame, collect, within } from "./kit.ts";
import {
  blobOf,
  blobsOf,
  bytes,
  chainsOf,
  EMPTY,
  noise,
  records,
  stateOf,
  withStorage,
  type StorageCase,
} from "./storage-subject.ts";

/** Sizes at which stores begin a new page, and their neighbours. */
const SIZES = [
  0, 1, 2, 9, 10, 11, 15, 16, 17, 31, 32, 33, 63, 64, 65, 99, 100, 101, 127, 128, 129, 199, 200,
  201, 249, 250, 251, 255, 256, 257, 499, 500, 501, 511, 512, 513, 767, 768, 769, 999, 1000, 1001,
  1023, 1024, 1025, 1536, 2000, 2001, 2047, 2048, 2049, 4095, 4096, 4097,
];
const TOTAL = 4100;

const keyOf = (i: number): Uint8Array => Uint8Array.of(5, i >> 8, i & 255);
const numberOf = (key: Uint8Array): number => key[1]! * 256 + key[2]!;
const range = { gte: Uint8Array.of(5), lt: Uint8Array.of(6) };

async function putKeys(state: StateStore, count: number): Promise<void> {
  for (let i = 0; i < count; i += 500) {
    const part = Array.from({ length: Math.min(500, count - i) }, (_, j) => keyOf(i + j));
    await state.batch(part.map((key) => ({ key, value: key })));
  }
}

/** Checks that numbers rise or fall by one. */
function checkRun(numbers: readonly number[], first: number, count: number, what: string): void {
  checkSame(numbers.length, count, `${what}: number of items`);
  const step = numbers.length > 1 && numbers[1]! < numbers[0]! ? -1 : 1;
  for (const [i, number] of numbers.entries()) {
    check(number === first + i * step, `${what}: item ${i} is number ${number}`);
  }
}

/** Cases for paged results: at the edges of pages, beyond a thousand, and under changes. */
export const pageCases: readonly StorageCase[] = [
  {
    name: "pages: a read gives as many records as it is asked for, and every record up to the head",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        const all = Array.from({ length: TOTAL }, (_, i) => bytes(`record ${i}`));
        await chains.append("a", EMPTY, all);
        const read = async (from: number, limit?: number): Promise<number[]> => {
          const numbers: number[] = [];
          const options = limit === undefined ? { from } : { from, limit };
          for await (const { index, record } of chains.read("a", options)) {
            checkSame(new TextDecoder().decode(record), `record ${index}`, `record ${index}`);
            numbers.push(index);
          }
          return numbers;
        };
        for (const size of SIZES) {
          checkRun(await read(0, size), 0, size, `a read of ${size}`);
          if (size > 1100) continue;
          checkRun(await read(TOTAL - size), TOTAL - size, size, `a read of the last ${size}`);
          checkRun(await read(7, size), 7, size, `a read of ${size} from 7`);
        }
        checkRun(await read(1), 1, TOTAL - 1, "a read of all but one");
        checkRun(await read(TOTAL - 3, 1000), TOTAL - 3, 3, "a read beyond the head");
        for (const from of [TOTAL, TOTAL + 1, 2 ** 31, 2 ** 32, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
          checkSame(await read(from), [], `a read from ${from}`);
          checkSame(await read(from, Number.MAX_SAFE_INTEGER), [], `a read of all from ${from}`);
        }
        checkSame(
          (await read(0, Number.MAX_SAFE_INTEGER)).length,
          TOTAL,
          "a limit that is no limit",
        );
      }),
  },
  {
    name: "pages: a scan gives as many entries as it is asked for, and all there are, both ways",
    requires: ["state"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const state = stateOf(storage);
        await putKeys(state, TOTAL);
        // Neighbours that no scan below may yield.
        await state.batch([
          { key: Uint8Array.of(4, 255, 255), value: bytes("below") },
          { key: Uint8Array.of(6), value: bytes("above") },
        ]);
        const scan = async (options: object): Promise<number[]> =>
          (await collect(state.scan({ ...range, ...options }))).map(({ key, value }) => {
            checkSame(value, key, "the value of a key");
            return numberOf(key);
          });
        for (const size of SIZES) {
          checkRun(await scan({ limit: size }), 0, size, `a scan of ${size}`);
          const down = { limit: size, reverse: true };
          checkRun(await scan(down), TOTAL - 1, size, `a scan of ${size}, down`);
          if (size > 1100) continue;
          const upTo = { lt: keyOf(size) };
          checkRun(await scan(upTo), 0, size, `a scan up to key ${size}`);
          checkRun(await scan({ ...upTo, reverse: true }), size - 1, size, `down from key ${size}`);
          const [from, to] = [keyOf(3), keyOf(3 + size)];
          checkRun(await scan({ gte: from, lt: to, reverse: true }), size + 2, size, "down to 3");
        }
        checkRun(await scan({}), 0, TOTAL, "all");
        checkRun(await scan({ reverse: true }), TOTAL - 1, TOTAL, "all, down");
        checkRun(await scan({ limit: Number.MAX_SAFE_INTEGER }), 0, TOTAL, "without a limit");
      }),
  },
  {
    name: "pages: of blobs each is listed once, whatever their number",
    requires: ["blobs"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const blobs = blobsOf(storage);
        const put = new Set<string>();
        for (const size of [1, 99, 100, 101, 128, 129, 255, 256, 257, 500, 512, 1000, 1001, 1025]) {
          const fresh = [];
          for (let i = put.size; i < size; i++) fresh.push(blobOf(bytes(`blob ${i}`)));
          for (const { cid } of fresh) put.add(String(cid));
          await blobs.put(fresh);
          const listed = (await collect(blobs.list())).map(String);
          checkSame([listed.length, new Set(listed).size], [size, size], "listed, and distinct");
          check(
            listed.every((name) => put.has(name)),
            "a name is listed that was not put",
          );
          checkSame(await blobs.count(), size, "count");
        }
      }),
  },
  {
    name: "pages: of chains each is listed once, beyond a thousand",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        const names = Array.from({ length: 1030 }, (_, i) => `chain ${i}`);
        for (let i = 0; i < names.length;) {
          const end = i < 256 ? Math.min(i + 64, 257) : i + 70;
          const part = names.slice(i, end);
          await Promise.all(part.map((name) => chains.append(name, EMPTY, records(1))));
          i += part.length;
          const listed = await collect(chains.list());
          checkSame([listed.length, new Set(listed).size], [i, i], "listed, and distinct");
        }
        checkSame((await collect(chains.list())).sort(), [...names].sort(), "names");
        checkSame((await collect(chains.list(), 10)).length, 10, "left early");
      }),
  },

  {
    name: "pages: a scan beside removals, insertions and changes misses none and gives none twice",
    requires: ["state"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const state = stateOf(storage);
        const count = 1400;
        for (const reverse of [false, true]) {
          await putKeys(state, count);
          const seen: number[] = [];
          let steps = 0;
          for await (const { key } of state.scan({ ...range, reverse })) {
            const number = numberOf(key);
            if (key.length === 3) seen.push(number);
            check(++steps <= 2 * count, "a scan that its own changes keep from ending");
            if (steps % 25 !== 0) continue;
            const near = reverse ? number - 30 : number + 30;
            const gone = reverse ? number + 2 : number - 2;
            const even = [gone, near].map((i) => i & ~1).filter((i) => i >= 0 && i < count);
            await state.batch([
              // after it and before it: some are removed, one is added, and the one just yielded
              // changes
              ...even.map((i) => ({ key: keyOf(i), value: null })),
              { key: Uint8Array.from([...key, 1]), value: bytes("new") },
              { key, value: bytes("changed") },
            ]);
          }
          const rising = reverse ? [...seen].reverse() : seen;
          for (let i = 1; i < rising.length; i++) {
            check(rising[i - 1]! < rising[i]!, "entries out of order, or twice");
          }
          const given = new Set(seen);
          for (let i = 1; i < count; i += 2)
            check(given.has(i), `key ${i} was there and is missed`);
          const rest = await collect(state.scan(range));
          await state.batch(rest.map(({ key }) => ({ key, value: null })));
        }
      }),
  },
  {
    name: "pages: a list of blobs beside deletions misses none that stays and gives none twice",
    requires: ["blobs"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const blobs = blobsOf(storage);
        const all = Array.from({ length: 1300 }, (_, i) => blobOf(noise(20, i)));
        for (let i = 0; i < all.length; i += 650) await blobs.put(all.slice(i, i + 650));
        const go = all.filter((_, i) => i % 2 === 0).map(({ cid }) => cid);
        const stay = all.filter((_, i) => i % 2 === 1).map(({ cid }) => String(cid));
        const seen: string[] = [];
        for await (const cid of blobs.list()) {
          seen.push(String(cid));
          check(seen.length <= all.length, "a list gives more than there ever was");
          if (seen.length % 40 === 0) await blobs.delete(go.splice(0, 60));
        }
        const given = new Set(seen);
        checkSame(given.size, seen.length, "number of distinct names");
        for (const name of stay) check(given.has(name), "a blob that stayed is missed");
        await blobs.delete(go);
        checkSame((await collect(blobs.list())).map(String).sort(), stay.sort(), "list afterwards");
        checkSame(await blobs.count(), stay.length, "count afterwards");
      }),
  },
  {
    name: "pages: a list of chains and a read end while others are appended to",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        const names = Array.from({ length: 40 }, (_, i) => `chain ${i}`);
        await Promise.all(names.map((name) => chains.append(name, EMPTY, records(2))));
        const seen: string[] = [];
        for await (const name of chains.list()) {
          seen.push(name);
          check(seen.length <= 200, "a list that appends keep from ending");
          if (seen.length <= 60) await chains.append(`new ${seen.length}`, EMPTY, records(1));
        }
        checkSame(new Set(seen).size, seen.length, "number of distinct names");
        for (const name of names) check(seen.includes(name), `${name} is missed`);
        let head = await chains.append("a", EMPTY, records(300));
        let next = 0;
        for await (const { index } of chains.read("a", { from: 0 })) {
          checkSame(index, next++, "index");
          if (next <= 300) head = await chains.append("a", head, records(1));
        }
        check(next >= 300, "a read ended before the head at its start");
      }),
  },
  {
    name: "pages: iterators that are left early or never ended hold nothing up",
    requires: [],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const { chains, blobs, state } = storage;
        let head = await chains?.append("a", EMPTY, records(600));
        await blobs?.put(Array.from({ length: 300 }, (_, i) => blobOf(bytes(`${i}`))));
        if (state) await putKeys(state, 600);
        const sources = [
          ...(chains ? [() => chains.read("a", { from: 0 }), () => chains.list()] : []),
          ...(chains?.tail ? [() => chains.tail!("a", { from: 0 })] : []),
          ...(blobs ? [() => blobs.list()] : []),
          ...(state
            ? [() => state.scan(range), () => state.scan({ ...range, reverse: true })]
            : []),
        ];
        const kept: AsyncIterator<unknown>[] = [];
        const leave = async (): Promise<void> => {
          for (let i = 0; i < 150; i++) {
            for (const source of sources) {
              for await (const _ of source()) break;
              const iterator = source()[Symbol.asyncIterator]();
              if (i % 2 === 0) await iterator.next();
              kept.push(iterator);
            }
          }
        };
        await within(leave(), "beginning 150 of each, over and over", 60_000);
        const go = async (): Promise<void> => {
          if (chains) head = await chains.append("a", head!, records(1, "more"));
          await blobs?.put([blobOf(bytes("more"))]);
          await state?.batch([{ key: keyOf(9000), value: bytes("more") }]);
          if (storage.compact && blobs) await storage.compact();
          if (chains) checkSame((await chains.head("a")).size, 601, "size");
        };
        await within(go(), "writing beside iterators that were never ended", 30_000);
        const other = await subject.open();
        if (other.chains) checkSame(await other.chains.head("a"), head, "head in another handle");
        for (const iterator of kept.slice(0, 20))
          await within(Promise.resolve(iterator.return?.()), "return()");
        await within(storage.close(), "close() beside iterators that were never ended", 20_000);
      }),
  },
];
