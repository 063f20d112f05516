import { AppendConflict } from "../storage/errors.ts";
import type { ChainStore, Head } from "../storage/types.ts";
import { losingResponses } from "./storage-faults.ts";
import { check, checkCode, checkSame, collect, pause, rejection } from "./kit.ts";
import {
  bytes,
  chainsOf,
  EMPTY,
  headAfter,
  readAll,
  records,
  withStorage,
  type StorageCase,
} from "./storage-subject.ts";

/** Cases for `ChainStore`s with several handles, handles that close, and readers that follow. */
export const chainHandleCases: readonly StorageCase[] = [
  {
    name: "chains: a read beside appends gives whole appends, in order and without gaps",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [writing, reading] = [chainsOf(storage), chainsOf(await subject.open())];
        let head = await writing.append("a", EMPTY, records(2, "0"));
        let done = false;
        const read = async (): Promise<void> => {
          let last = 0;
          while (!done) {
            const before = (await reading.head("a")).size;
            const { length } = await readAll(reading, "a");
            check(length >= before && length >= last, "a read gave less than there was");
            checkSame(length % 2, 0, "records of an append that is there in part");
            last = length;
            const two = await collect(reading.read("a", { from: Math.max(0, length - 2) }));
            checkSame(two[0]?.index, Math.max(0, length - 2), "the first record from there");
            await pause(0);
          }
        };
        const write = async (): Promise<void> => {
          for (let i = 1; i < 40; i++) head = await writing.append("a", head, records(2, `${i}`));
        };
        await Promise.all([read(), write().finally(() => (done = true))]);
        checkSame((await readAll(reading, "a")).length, 80, "number of records");
      }),
  },

  {
    name: "chains: an append whose response was lost is settled by calling again",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        const losing = chainsOf(losingResponses(storage));
        const all = records(4);
        const lost = losing.append("a", EMPTY, all.slice(0, 2));
        await checkCode(lost, "ERR_STORAGE_AMBIGUOUS", "lost response");
        const head = await chains.append("a", EMPTY, all.slice(0, 2));
        checkSame(head, headAfter(all.slice(0, 2)), "head after calling again");
        await chains.append("a", head, all.slice(2));
        checkSame(await readAll(chains, "a"), all, "records");
      }),
  },

  {
    name: "chains: of many handles that race for a place one gets it",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const handles = [storage, await subject.open(), await subject.open(), await subject.open()];
        const writer = async (chains: ChainStore, label: string): Promise<void> => {
          let head: Head = EMPTY;
          for (let done = 0; done < 20;) {
            try {
              const pair = [bytes(`${label} ${done}`), bytes(`${label} ${done}, second`)];
              const next = await chains.append("a", head, pair);
              checkSame(next.size, head.size + 2, "size after an append that won");
              head = next;
              done++;
            } catch (error) {
              if (!(error instanceof AppendConflict)) throw error;
              head = error.head;
            }
          }
        };
        await Promise.all(handles.map((handle, i) => writer(chainsOf(handle), `writer ${i}`)));
        const texts = (await readAll(chainsOf(storage), "a")).map((r) =>
          new TextDecoder().decode(r),
        );
        checkSame(texts.length, 160, "number of records");
        checkSame(new Set(texts).size, 160, "number of distinct records");
        for (let i = 0; i < texts.length; i += 2) {
          checkSame(texts[i + 1], `${texts[i]}, second`, "the second record of an append");
        }
        for (let i = 0; i < 4; i++) {
          const own = texts.filter((text) => text.startsWith(`writer ${i} `));
          checkSame([...own].sort(numerically), own, `order of writer ${i}`);
        }
      }),
  },

  {
    name: "chains: what one handle appended every other sees at once",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [one, two] = [chainsOf(storage), chainsOf(await subject.open())];
        let head: Head = EMPTY;
        for (const record of records(10)) {
          head = await one.append("a", head, [record]);
          checkSame(await two.head("a"), head, "head as another handle sees it");
        }
        checkSame(await readAll(two, "a"), records(10), "records as another handle sees them");
      }),
  },

  {
    name: "chains: after reopening everything is there",
    requires: ["chains", "reopen"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const head = await chainsOf(storage).append("a", EMPTY, records(100));
        await storage.close();
        const again = chainsOf(await subject.open());
        checkSame(await again.head("a"), head, "head");
        checkSame(await readAll(again, "a"), records(100), "records");
        await again.append("a", head, records(1, "more"));
        checkSame((await again.head("a")).size, 101, "size after one more");
      }),
  },

  {
    name: "chains: a closed store says so, and closing again is allowed",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        await chains.append("a", EMPTY, records(1));
        await storage.close();
        await storage.close();
        await checkCode(chains.head("a"), "ERR_STORAGE_CLOSED", "head");
        await checkCode(chains.append("b", EMPTY, records(1)), "ERR_STORAGE_CLOSED", "append");
        await checkCode(collect(chains.read("a", { from: 0 })), "ERR_STORAGE_CLOSED", "read");
      }),
  },

  {
    name: "chains: tail gives what is there and then what comes",
    requires: ["chains", "tail"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [one, two] = [chainsOf(storage), chainsOf(await subject.open())];
        check(one.tail, "the caps claim tail and it is missing");
        const controller = new AbortController();
        const all = records(6);
        let head = await one.append("a", EMPTY, all.slice(0, 2));
        const seen: number[] = [];
        const following = (async () => {
          for await (const item of one.tail!("a", { from: 1, signal: controller.signal })) {
            checkSame(item, { index: seen.length + 1, record: all[seen.length + 1] }, "item");
            seen.push(item.index);
            if (seen.length === 5) break;
          }
        })();
        // It may fail while another call is awaited; it is checked below.
        following.catch(() => {});
        await pause(20);
        head = await one.append("a", head, all.slice(2, 4));
        await two.append("a", head, all.slice(4));
        await following;
        const reason = new Error("enough");
        const waiting = collect(one.tail("a", { from: 6, signal: controller.signal }));
        setTimeout(() => controller.abort(reason), 20);
        check((await rejection(waiting, "aborted tail")) === reason, "the tail's reason");
      }),
  },

  {
    name: "chains: tail misses nothing beside handles that race",
    requires: ["chains", "tail"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const handles = [chainsOf(storage), chainsOf(await subject.open())];
        const follower = chainsOf(await subject.open());
        const total = 2 * 25 * 2;
        const follow = async (chains: ChainStore, from: number): Promise<void> => {
          let next = from;
          for await (const { index } of chains.tail!("a", { from })) {
            checkSame(index, next, "the next index");
            // Sometimes slower than the writers.
            if (next % 17 === 0) await pause(2);
            if (++next === total) break;
          }
        };
        const following = [follow(follower, 0), follow(follower, 10), follow(handles[0]!, 0)];
        const writing = handles.map(async (chains, writer) => {
          let head: Head = EMPTY;
          for (let done = 0; done < 25;) {
            try {
              head = await chains.append("a", head, records(2, `${writer}/${done}`));
              done++;
              if (done % 5 === 0) await pause(done % 3);
            } catch (error) {
              if (!(error instanceof AppendConflict)) throw error;
              head = error.head;
            }
          }
        });
        await Promise.all([...following, ...writing]);
        await follow(follower, total - 1);
      }),
  },

  {
    name: "chains: tail ends when its store is closed",
    requires: ["chains", "tail"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const other = await subject.open();
        await chainsOf(storage).append("a", EMPTY, records(3));
        const seen: number[] = [];
        const following = (async () => {
          for await (const { index } of chainsOf(other).tail!("a", { from: 0 })) seen.push(index);
        })();
        const waiting = collect(chainsOf(other).tail!("b", { from: 0 }));
        const ends = [following, waiting].map((ended) =>
          ended.then(
            () => undefined,
            (reason: unknown) => reason,
          ),
        );
        while (seen.length < 3) await pause(5);
        await other.close();
        for (const error of await Promise.all(ends)) {
          if (error === undefined) continue;
          const { code } = Object(error) as { code?: string };
          check(code === "ERR_STORAGE_CLOSED", `how tail ended: ${String(error)}`);
        }
        checkSame(seen, [0, 1, 2], "what came before");
      }),
  },
];

function numerically(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}
