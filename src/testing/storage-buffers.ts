import { CID } from "../codec/cid.ts";
import { check, checkSame, collect, outcomeOf } from "./kit.ts";
import {
  ANY_KEY,
  blobOf,
  blobsOf,
  bytes,
  chainsOf,
  EMPTY,
  fullOf,
  headAfter,
  noise,
  overwriteCid,
  readAll,
  records,
  stateOf,
  withStorage,
  type StorageCase,
} from "./storage-subject.ts";

/** A CID in memory of its own, so that it can be overwritten. */
const ownCid = (cid: CID): CID => CID.decode(new Uint8Array(cid.bytes));

/** Overwrites the whole memory that some bytes are a view of. */
function ruin(value: Uint8Array): void {
  new Uint8Array(value.buffer).fill(0xee);
}

/** Cases for memory that callers reuse, and for items that are empty or given twice. */
export const bufferCases: readonly StorageCase[] = [
  {
    name: "buffers: of chains may be reused as soon as a call returned",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        // Several calls at once, so that some wait for others while their buffers change.
        const given = Array.from({ length: 6 }, (_, i) => ({
          chain: `chain ${i}`,
          kept: records(3, `of ${i}`),
          lent: records(3, `of ${i}`),
          expected: { size: 0, hash: null as Uint8Array | null },
        }));
        const calls = given.map(({ chain, lent, expected }) =>
          chains.append(chain, expected, lent),
        );
        for (const { lent, expected } of given) {
          for (const record of lent) record.fill(0);
          lent.length = 0;
          expected.size = 9;
          expected.hash = new Uint8Array(32);
        }
        for (const [i, head] of (await Promise.all(calls)).entries()) {
          const { chain, kept } = given[i]!;
          checkSame(head, headAfter(kept), "head");
          checkSame(await readAll(chains, chain), kept, "records");
        }
        // The same buffer again, with other contents, as a reader from a socket has it.
        const buffer = new Uint8Array(8);
        let head = await chains.append("a", EMPTY, [buffer.fill(1)]);
        for (let i = 2; i < 6; i++) head = await chains.append("a", head, [buffer.fill(i)]);
        checkSame(
          await readAll(chains, "a"),
          [1, 2, 3, 4, 5].map((i) => new Uint8Array(8).fill(i)),
          "records from one buffer",
        );
        const twice = chains.append("b", EMPTY, [buffer, buffer, buffer.subarray(0, 3)]);
        buffer.fill(0);
        await twice;
        const five = (length: number): Uint8Array => new Uint8Array(length).fill(5);
        checkSame(await readAll(chains, "b"), [five(8), five(8), five(3)], "one buffer thrice");
        const options = { from: 1, limit: 2 };
        const read = chains.read("a", options)[Symbol.asyncIterator]();
        const first = read.next();
        Object.assign(options, { from: 0, limit: 0 });
        checkSame((await first).value?.index, 1, "index of a read whose options were changed");
        checkSame((await read.next()).value?.index, 2, "index of the second");
      }),
  },
  {
    name: "buffers: of blobs may be reused as soon as a call returned",
    requires: ["blobs"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const blobs = blobsOf(storage);
        const given = Array.from({ length: 5 }, (_, i) => blobOf(noise(60, i + 1)));
        const calls = given.map(async (blob) => {
          const lent = new Uint8Array(blob.bytes);
          const cid = ownCid(blob.cid);
          const list = [{ cid, bytes: lent }];
          const call = blobs.put(list);
          lent.fill(0);
          overwriteCid(cid);
          list.pop();
          await call;
        });
        await Promise.all(calls);
        for (const blob of given) checkSame(await blobs.get(blob.cid), blob.bytes, "bytes");
        const asking = <T>(call: (cid: CID, list: CID[]) => Promise<T>): Promise<T> => {
          const cid = ownCid(given[0]!.cid);
          const list = [cid];
          const answer = call(cid, list);
          overwriteCid(cid);
          list.length = 0;
          return answer;
        };
        const [got, many, has] = await Promise.all([
          asking((cid) => blobs.get(cid)),
          asking((_, list) => blobs.getMany(list)),
          asking((cid) => blobs.has(cid)),
        ]);
        checkSame(
          [got, many, has],
          [given[0]!.bytes, [given[0]!.bytes], true],
          "what was asked for",
        );
        await asking((_, list) => blobs.delete(list));
        checkSame(
          [await blobs.has(given[0]!.cid), await blobs.count()],
          [false, 4],
          "what was to be deleted, and how many are left",
        );
      }),
  },
  {
    name: "buffers: of state may be reused as soon as a call returned",
    requires: ["state"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const state = stateOf(storage);
        const calls = Array.from({ length: 6 }, (_, i) => {
          const change = { key: bytes(`key ${i}`), value: bytes(`value ${i}`) };
          const gone = { key: bytes("gone"), value: null };
          const changes = [change, gone];
          const call = state.batch(changes, { sync: i % 2 === 0 });
          change.key.fill(0);
          change.value.fill(0);
          gone.key.fill(0x6b);
          changes.length = 0;
          return call;
        });
        await Promise.all(calls);
        const asking = <T>(call: (key: Uint8Array, keys: Uint8Array[]) => T): T => {
          const key = bytes("key 3");
          const keys = [key];
          const answer = call(key, keys);
          key.fill(0);
          keys.length = 0;
          return answer;
        };
        checkSame(await asking((key) => state.get(key)), bytes("value 3"), "get");
        checkSame(await asking((_, keys) => state.getMany(keys)), [bytes("value 3")], "getMany");
        for (const reverse of [false, true]) {
          const options = { gte: bytes("key 1"), lt: bytes("key 5"), reverse, limit: 4 };
          const scan = state.scan(options)[Symbol.asyncIterator]();
          const found = [scan.next()];
          options.gte.fill(255);
          options.lt.fill(0);
          Object.assign(options, { limit: 0, gte: bytes("x"), reverse: !reverse });
          for (let i = 0; i < 4; i++) {
            const { value, done } = await found.at(-1)!;
            const wanted = `key ${reverse ? 4 - i : 1 + i}`;
            check(!done, `a scan whose bounds were overwritten ended before ${wanted}`);
            checkSame(value.key, bytes(wanted), "key of a scan whose bounds were overwritten");
            // The caller owns the key now, so the scan must not depend on it.
            ruin(value.key);
            ruin(value.value);
            found.push(scan.next());
          }
          checkSame((await found.at(-1)!).done, true, "whether the scan ended");
        }
        checkSame((await collect(state.scan(ANY_KEY))).length, 6, "entries");
      }),
  },
  {
    name: "buffers: of a commit may be reused as soon as it returned",
    requires: ["commit"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const full = fullOf(storage);
        const kept = blobOf(noise(80, 7));
        const head = await full.commit({
          append: { chain: "a", expected: EMPTY, records: records(1) },
        });
        const before = full.commit({ state: [{ key: bytes("other"), value: bytes("other") }] });
        const lent = {
          append: {
            chain: "a",
            expected: { size: 1, hash: new Uint8Array(head!.hash!) },
            records: records(2, "two"),
          },
          blobs: [{ cid: ownCid(kept.cid), bytes: new Uint8Array(kept.bytes) }],
          state: [{ key: bytes("key"), value: bytes("value") }],
        };
        const call = full.commit(lent);
        lent.append.expected.hash.fill(0);
        lent.append.expected.size = 77;
        for (const record of lent.append.records) record.fill(0);
        lent.append.records.length = 0;
        lent.append.chain = "b";
        overwriteCid(lent.blobs[0]!.cid);
        lent.blobs[0]!.bytes.fill(0);
        lent.blobs.length = 0;
        lent.state[0]!.key.fill(0);
        lent.state[0]!.value.fill(0);
        lent.state.length = 0;
        await before;
        checkSame((await call)?.size, 3, "size");
        checkSame((await readAll(full.chains, "a")).slice(1), records(2, "two"), "records");
        checkSame(await full.blobs.get(kept.cid), kept.bytes, "blob");
        checkSame(await full.state.get(bytes("key")), bytes("value"), "value");
        checkSame(await collect(full.chains.list()), ["a"], "names");
      }),
  },
  {
    name: "buffers: what is handed out is nobody else's, down to the memory under it",
    requires: [],
    run: (make) =>
      withStorage(make, async ({ chains, blobs, state }) => {
        if (chains) {
          const head = await chains.append("a", EMPTY, records(20));
          ruin(head.hash!);
          ruin((await chains.head("a")).hash!);
          const items = await collect(chains.read("a", { from: 0 }));
          ruin(items[3]!.record);
          const left = items.filter((_, i) => i !== 3).map(({ record }) => record);
          const wanted = records(20).filter((_, i) => i !== 3);
          checkSame(left, wanted, "records beside one that was overwritten");
          const replayed = await chains.append("a", EMPTY, records(20));
          ruin(replayed.hash!);
          for await (const { record } of chains.read("a", { from: 0 })) ruin(record);
          checkSame(await readAll(chains, "a"), records(20), "records");
          checkSame(await chains.head("a"), headAfter(records(20)), "head");
        }
        if (blobs) {
          const some = [0, 1, 2].map((i) => blobOf(noise(100, i + 1)));
          const cids = some.map(({ cid }) => cid);
          await blobs.put(some);
          const many = await blobs.getMany([...cids, cids[0]!]);
          ruin(many[0]!);
          checkSame(many.slice(1), [some[1]!.bytes, some[2]!.bytes, some[0]!.bytes], "other blobs");
          const got = (await blobs.get(cids[1]!))!;
          await Promise.all([blobs.getMany(cids), blobs.get(cids[1]!), blobs.get(cids[2]!)]);
          await blobs.delete([cids[1]!]);
          checkSame(got, some[1]!.bytes, "bytes after they were deleted");
          ruin(got);
          checkSame(
            await blobs.get(cids[0]!),
            some[0]!.bytes,
            "a blob that was overwritten outside",
          );
        }
        if (state) {
          const change = (i: number) => ({ key: bytes(`key ${i}`), value: bytes(`value ${i}`) });
          await state.batch([0, 1, 2, 3].map(change));
          const found = await collect(state.scan(ANY_KEY));
          ruin(found[1]!.key);
          ruin(found[2]!.value);
          checkSame(found[1]!.value, change(1).value, "the value of a key that was overwritten");
          checkSame(found[2]!.key, change(2).key, "the key of a value that was overwritten");
          checkSame(found[3], change(3), "an entry beside those that were overwritten");
          checkSame(found[0], change(0), "an entry before those that were overwritten");
          const many = await state.getMany([bytes("key 0"), bytes("key 0"), bytes("key 1")]);
          ruin(many[0]!);
          checkSame(many.slice(1), [bytes("value 0"), bytes("value 1")], "other values");
          const got = (await state.get(bytes("key 1")))!;
          await state.batch([{ key: bytes("key 1"), value: bytes("later!!") }]);
          await state.get(bytes("key 2"));
          checkSame(got, bytes("value 1"), "a value after it was changed");
          checkSame(await collect(state.scan({ ...ANY_KEY, limit: 1 })), [change(0)], "entries");
        }
      }),
  },
  {
    name: "items: that are empty or there twice are taken as they are",
    requires: [],
    run: (make) =>
      withStorage(make, async ({ chains, blobs, state }) => {
        const empty = new Uint8Array();
        if (blobs) {
          const [none, some] = [blobOf(empty), blobOf(bytes("some"))];
          await blobs.put([none, some, none, some, some]);
          checkSame([await blobs.count(), await blobs.has(none.cid)], [2, true], "count, has");
          checkSame(await blobs.get(none.cid), empty, "an empty blob");
          const cids = [some, none, some, none, none].map(({ cid }) => cid);
          const wanted = [some, none, some, none, none].map((blob) => blob.bytes);
          checkSame(await blobs.getMany(cids), wanted, "blobs asked for twice");
          checkSame(await blobs.getMany([]), [], "none asked for");
          checkSame((await collect(blobs.list())).length, 2, "listed");
          await blobs.put([]);
          await blobs.delete([]);
          await blobs.delete([some.cid, some.cid, some.cid]);
          checkSame([await blobs.count(), await blobs.has(none.cid)], [1, true], "after deletion");
          await blobs.delete([some.cid, none.cid]);
          checkSame(await blobs.get(none.cid), undefined, "an empty blob that was deleted");
          checkSame(await blobs.count(), 0, "count at the end");
        }
        if (state) {
          const [a, b] = [bytes("a"), bytes("b")];
          await state.batch([]);
          await state.batch([
            { key: a, value: empty },
            { key: b, value: bytes("x") },
          ]);
          checkSame(await state.get(a), empty, "an empty value");
          checkSame(
            await state.getMany([b, a, b, a]),
            [bytes("x"), empty, bytes("x"), empty],
            "twice",
          );
          checkSame(await state.getMany([]), [], "none asked for");
          checkSame((await collect(state.scan(ANY_KEY))).length, 2, "entries, one of them empty");
          await state.batch([{ key: a, value: bytes("y") }]);
          await state.batch([{ key: a, value: empty }]);
          checkSame(await state.get(a), empty, "a value that became empty");
          await state.batch([
            { key: a, value: null },
            { key: a, value: bytes("again") },
            { key: b, value: bytes("z") },
            { key: b, value: null },
          ]);
          checkSame(await state.getMany([a, b]), [bytes("again"), undefined], "each changed twice");
          await state.batch([
            { key: bytes("none"), value: null },
            { key: bytes("none"), value: null },
          ]);
          checkSame((await collect(state.scan(ANY_KEY))).length, 1, "entries at the end");
        }
        if (chains) {
          const same = bytes("same");
          const one = await chains.append("a", EMPTY, [same, same, same]);
          checkSame(one, headAfter([same, same, same]), "head of one record thrice");
          const two = await chains.append("a", one, [same]);
          checkSame(await chains.append("a", one, [same]), two, "a replay among equal records");
          checkSame((await readAll(chains, "a")).length, 4, "records");
          checkSame(await chains.head("a"), two, "head of equal records");
          const zero = Uint8Array.of(0);
          await chains.append("zero", EMPTY, [zero, zero]);
          checkSame(await readAll(chains, "zero"), [zero, zero], "records of one zero");
          const padded = [Uint8Array.of(7, 0, 0), Uint8Array.of(0, 7), new Uint8Array(9)];
          await chains.append("padded", EMPTY, padded);
          checkSame(
            await readAll(chains, "padded"),
            padded,
            "records that begin or end with zeros",
          );
          for (const wrong of [[], [empty], [same, empty], [empty, same]]) {
            const call = () => chains.append("b", EMPTY, wrong);
            const { error, text } = await outcomeOf(call, "an append of nothing");
            check(
              error instanceof TypeError || error instanceof RangeError,
              `an append of ${wrong.length} records, of which one is empty: ${text}`,
            );
          }
          checkSame(await chains.head("b"), EMPTY, "head after appends of nothing");
        }
      }),
  },
];
