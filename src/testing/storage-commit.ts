import { AppendConflict } from "../storage/errors.ts";
import type { Commit, FullStorage, Head } from "../storage/types.ts";
import { check, checkCode, checkSame, collect, rejection } from "./kit.ts";
import { losingResponses } from "./storage-faults.ts";
import {
  blobOf,
  bytes,
  EMPTY,
  fullOf,
  headAfter,
  readAll,
  records,
  someBlobs,
  withStorage,
  type StorageCase,
} from "./storage-subject.ts";

const commitCase = (name: string, run: (storage: FullStorage) => Promise<void>): StorageCase => ({
  name: `commit: ${name}`,
  requires: ["commit"],
  run: (make) => withStorage(make, (storage) => run(fullOf(storage))),
});

const key = bytes("key");
const everything = { gte: new Uint8Array(), lt: new Uint8Array(1024).fill(255) };

function commitOf(expected: Head, label: string, seed: number): Commit & { append: object } {
  return {
    append: { chain: "a", expected, records: records(2, label) },
    blobs: someBlobs(5, 300, seed),
    state: [{ key, value: bytes(label) }],
  };
}

/** Cases for every storage with `commit`, and for `compact` if there is one. */
export const commitCases: readonly StorageCase[] = [
  commitCase("writes to all three stores", async (storage) => {
    const commit = commitOf(EMPTY, "one", 1);
    const head = await storage.commit(commit);
    checkSame(head, headAfter(records(2, "one")), "head");
    checkSame(await storage.chains.head("a"), head, "head as read");
    checkSame(await readAll(storage.chains, "a"), records(2, "one"), "records");
    const blobs = commit.blobs!;
    checkSame(
      await storage.blobs.getMany(blobs.map(({ cid }) => cid)),
      blobs.map((blob) => blob.bytes),
      "blobs",
    );
    checkSame(await storage.state.get(key), bytes("one"), "state");
  }),

  commitCase("each part may be left out", async (storage) => {
    checkSame(await storage.commit({}), undefined, "nothing");
    checkSame(await storage.commit({ blobs: someBlobs(2) }), undefined, "blobs only");
    checkSame(await storage.commit({ state: [{ key, value: key }] }), undefined, "state only");
    const append = { chain: "a", expected: EMPTY, records: records(1) };
    checkSame(await storage.commit({ append }), headAfter(records(1)), "append only");
    checkSame([await storage.blobs.count(), await storage.state.get(key)], [2, key], "written");
  }),

  commitCase("a conflict writes nothing to any store", async (storage) => {
    const head = await storage.commit(commitOf(EMPTY, "one", 1));
    const error = await rejection(storage.commit(commitOf(EMPTY, "two", 2)), "conflict");
    check(error instanceof AppendConflict, `expected AppendConflict, got ${String(error)}`);
    checkSame(error.head, head, "head in the error");
    checkSame(await storage.blobs.count(), 5, "blobs");
    checkSame(await storage.state.get(key), bytes("one"), "state");
    checkSame(await readAll(storage.chains, "a"), records(2, "one"), "records");
  }),

  commitCase("a wrong argument anywhere writes nothing", async (storage) => {
    const good = commitOf(EMPTY, "one", 1);
    const wrong: readonly Commit[] = [
      { ...good, append: { chain: "a", expected: EMPTY, records: [] } },
      { ...good, blobs: [...good.blobs!, { cid: "x" as never, bytes: key }] },
      { ...good, state: [...good.state!, { key: new Uint8Array(), value: key }] },
    ];
    for (const commit of wrong) await rejection(storage.commit(commit), "wrong argument");
    checkSame(await storage.chains.head("a"), EMPTY, "head");
    checkSame(await storage.blobs.count(), 0, "blobs");
    checkSame(await collect(storage.state.scan(everything)), [], "state");
  }),

  commitCase("an exact replay is answered and writes nothing", async (storage) => {
    const first = commitOf(EMPTY, "one", 1);
    const head = (await storage.commit(first))!;
    checkSame(await storage.commit(first), head, "replay at once");
    await storage.commit(commitOf(head, "two", 2));
    const erased = first.blobs![0]!.cid;
    await storage.blobs.delete([erased]);
    checkSame(await storage.commit(first), head, "replay later");
    checkSame(await storage.state.get(key), bytes("two"), "state is not set back");
    checkSame(await storage.blobs.has(erased), false, "an erased blob does not come back");
    checkSame((await storage.chains.head("a")).size, 4, "size");
  }),

  commitCase("changes of state are made in their order, removals too", async (storage) => {
    const [a, b, c] = ["a", "b", "c"].map(bytes) as [Uint8Array, Uint8Array, Uint8Array];
    await storage.commit({ state: [a, b].map((name) => ({ key: name, value: name })) });
    const append = { chain: "a", expected: EMPTY, records: records(1) };
    const state = [
      { key: a, value: null },
      { key: b, value: bytes("1") },
      { key: b, value: bytes("2") },
      { key: c, value: bytes("gone") },
      { key: c, value: null },
    ];
    await storage.commit({ append, state });
    checkSame(await storage.state.getMany([a, b, c]), [undefined, bytes("2"), undefined], "values");
    const twice = [...someBlobs(2, 50, 1), ...someBlobs(2, 50, 1), blobOf(new Uint8Array())];
    await storage.commit({ blobs: twice });
    await storage.commit({ blobs: twice, state: [{ key: a, value: new Uint8Array() }] });
    checkSame(await storage.blobs.count(), 3, "blobs that were given twice");
    checkSame(await storage.state.get(a), new Uint8Array(), "an empty value");
    await storage.commit({ append: { ...append, records: [] as never } }).catch(() => {});
    checkSame((await storage.chains.head("a")).size, 1, "size");
  }),

  commitCase("a lost response is settled by calling again", async (storage) => {
    const commit = commitOf(EMPTY, "one", 1);
    const lost = losingResponses(storage).commit!(commit);
    await checkCode(lost, "ERR_STORAGE_AMBIGUOUS", "lost response");
    checkSame(await storage.commit(commit), headAfter(records(2, "one")), "head");
    checkSame(
      [await storage.blobs.count(), (await storage.chains.head("a")).size],
      [5, 2],
      "sizes",
    );
  }),

  commitCase("copies what it is given before the call returns", async (storage) => {
    const commit = commitOf(EMPTY, "one", 1);
    const parts = [...commit.append!.records, ...commit.blobs!.map((b) => b.bytes)];
    const value = bytes("one");
    const written = storage.commit({ ...commit, state: [{ key, value }] });
    const kept = parts.map((part) => new Uint8Array(part));
    for (const part of [...parts, value]) part.fill(0);
    await written;
    checkSame(await readAll(storage.chains, "a"), kept.slice(0, 2), "records");
    const cids = commit.blobs!.map(({ cid }) => cid);
    checkSame(await storage.blobs.getMany(cids), kept.slice(2), "blobs");
    checkSame(await storage.state.get(key), bytes("one"), "state");
  }),

  {
    name: "commit: handles that race leave one consistent history",
    requires: ["commit"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const handles = [storage, await subject.open(), await subject.open()].map(fullOf);
        let won = 0;
        await Promise.all(
          handles.map(async (handle, writer) => {
            let head: Head = EMPTY;
            for (let done = 0; done < 10;) {
              try {
                const label = `${writer}/${done}`;
                head = (await handle.commit(commitOf(head, label, 10 + writer * 10 + done)))!;
                won++;
                done++;
              } catch (error) {
                if (!(error instanceof AppendConflict)) throw error;
                head = error.head;
              }
            }
          }),
        );
        const full = fullOf(storage);
        const all = await readAll(full.chains, "a");
        checkSame([won, all.length, await full.blobs.count()], [30, 60, 150], "sizes");
        const last = new TextDecoder().decode(all.at(-2));
        checkSame(
          await full.state.get(key),
          bytes(last.slice(0, -2)),
          "state is of the last commit",
        );
      }),
  },

  {
    name: "compact: keeps what lives, and writing goes on, through every handle",
    requires: ["commit", "compact"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const [one, two] = [fullOf(storage), fullOf(await subject.open())];
        let head = (await one.commit(commitOf(EMPTY, "one", 1)))!;
        head = (await two.commit(commitOf(head, "two", 2)))!;
        const empty = blobOf(new Uint8Array());
        await one.commit({ blobs: [empty], state: [{ key: bytes("empty"), value: empty.bytes }] });
        const [gone, ...kept] = [...someBlobs(5, 300, 1), ...someBlobs(5, 300, 2), empty];
        await one.blobs.delete([gone!.cid]);
        const { before, after } = await one.compact();
        check(after <= before, `compaction made ${after} bytes of ${before}`);
        for (const handle of [one, two]) {
          checkSame(await handle.chains.head("a"), head, "head");
          checkSame(
            await readAll(handle.chains, "a"),
            [...records(2, "one"), ...records(2, "two")],
            "records",
          );
          checkSame(await handle.blobs.has(gone!.cid), false, "deleted blob");
          checkSame(
            await handle.blobs.getMany(kept.map(({ cid }) => cid)),
            kept.map((blob) => blob.bytes),
            "blobs",
          );
          checkSame(await handle.state.get(key), bytes("two"), "state");
          checkSame(await handle.state.get(bytes("empty")), empty.bytes, "an empty value");
        }
        checkSame(await collect(one.chains.list()), ["a"], "names");
        head = (await two.commit(commitOf(head, "three", 3)))!;
        checkSame(await one.chains.head("a"), head, "head after one more");
        const racing = two.commit(commitOf(head, "four", 4));
        await Promise.all([one.compact(), racing, two.compact()]);
        checkSame(await one.chains.head("a"), await racing, "a commit beside compactions");
        checkSame(await two.blobs.count(), 20, "blobs at the end");
      }),
  },
];
