import { CID } from "../codec/cid.ts";
import { cidFromDigest, cidOf, DAG_CBOR, RAW } from "../codec/cid.ts";
import type { BlobStore } from "../storage/types.ts";
import { check, checkCode, checkSame, collect, rejection } from "./kit.ts";
import {
  blobOf,
  blobsOf,
  bytes,
  noise,
  overwriteCid,
  someBlobs,
  withStorage,
  type StorageCase,
} from "./storage-subject.ts";

const blobCase = (
  name: string,
  run: (blobs: BlobStore) => Promise<void>,
  limits?: { maxBatch: number; maxAppendBytes: number },
): StorageCase => ({
  name: `blobs: ${name}`,
  requires: ["blobs"],
  run: (make) => withStorage(make, (storage) => run(blobsOf(storage)), limits),
});

async function names(blobs: BlobStore): Promise<string[]> {
  return (await collect(blobs.list())).map(String).sort();
}

/** Cases for every `BlobStore`. */
export const blobStoreCases: readonly StorageCase[] = [
  blobCase("an empty store has nothing", async (blobs) => {
    const { cid } = blobOf(bytes("absent"));
    checkSame(await blobs.get(cid), undefined, "get");
    checkSame(await blobs.has(cid), false, "has");
    checkSame(await blobs.getMany([cid, cid]), [undefined, undefined], "getMany");
    checkSame(await names(blobs), [], "list");
    checkSame(await blobs.count(), 0, "count");
    await blobs.delete([cid]);
    await blobs.put([]);
  }),

  blobCase("gives back what was put, whatever its size", async (blobs) => {
    const sizes = [0, 1, 31, 1000, 4096, 31_999, 32_000, 32_001, 65_536, 983_280, 3_000_000];
    const all = sizes.map((size, i) => blobOf(noise(size, i + 1)));
    await blobs.put(all);
    for (const { cid, bytes } of all) {
      checkSame(await blobs.has(cid), true, `has ${bytes.length}`);
      const got = await blobs.get(cid);
      check(got && String(cidOf(got, RAW)) === String(cid), `other bytes of ${bytes.length}`);
    }
    checkSame(await names(blobs), all.map(({ cid }) => String(cid)).sort(), "list");
    checkSame(await blobs.count(), all.length, "count");
  }),

  blobCase("getMany answers in the order asked, with what is absent", async (blobs) => {
    const all = someBlobs(50);
    await blobs.put(all.slice(0, 25));
    await blobs.put(all.slice(25, 40));
    const asked = [...all].reverse();
    checkSame(
      await blobs.getMany(asked.map(({ cid }) => cid)),
      asked.map((blob) => (all.indexOf(blob) < 40 ? blob.bytes : undefined)),
      "bytes",
    );
  }),

  blobCase("a digest under another codec is another name", async (blobs) => {
    const content = bytes("one content");
    const raw = cidOf(content, RAW);
    const other = cidFromDigest(raw.multihash.digest, DAG_CBOR);
    await blobs.put([{ cid: raw, bytes: content }]);
    checkSame([await blobs.has(raw), await blobs.has(other)], [true, false], "has");
    await blobs.put([{ cid: other, bytes: content }]);
    await blobs.delete([raw]);
    checkSame([await blobs.has(raw), await blobs.has(other)], [false, true], "after deletion");
    checkSame(await names(blobs), [String(other)], "list");
  }),

  blobCase("lists names of whatever codec as they were given", async (blobs) => {
    const content = bytes("of any codec");
    const { multihash } = cidOf(content, RAW);
    // identity, dag-pb, the first of two bytes, dag-json, one for private use, the largest
    const codecs = [0, 0x70, 0x80, 0x0129, 0x30_0000, 0x7fff_ffff];
    const all = codecs.map((codec) => ({ cid: CID.createV1(codec, multihash), bytes: content }));
    await blobs.put(all);
    checkSame(await names(blobs), all.map(({ cid }) => String(cid)).sort(), "list");
    checkSame(
      await blobs.getMany(await collect(blobs.list())),
      all.map(() => content),
      "bytes",
    );
    const beyond = CID.createV1(0x8000_0000, multihash);
    await checkCode(blobs.put([{ cid: beyond, bytes: content }]), "ERR_INPUT_UNSUPPORTED", "put");
    checkSame(await blobs.count(), all.length, "count");
  }),

  blobCase("putting again changes nothing", async (blobs) => {
    const all = someBlobs(10);
    await blobs.put([...all, ...all.slice(3)]);
    await blobs.put(all);
    await blobs.put([all[4]!, blobOf(bytes("new")), all[5]!, all[5]!]);
    checkSame(await blobs.count(), 11, "count");
    checkSame((await names(blobs)).length, 11, "list");
    await blobs.delete([all[4]!.cid]);
    checkSame(await blobs.has(all[4]!.cid), false, "has after one deletion");
    checkSame(await blobs.count(), 10, "count after one deletion");
  }),

  blobCase("deletes what it is told and nothing else", async (blobs) => {
    const all = someBlobs(120, 900);
    await blobs.put(all);
    const gone = all.filter((_, i) => i % 3 === 0);
    const kept = all.filter((_, i) => i % 3 !== 0);
    await blobs.delete([...gone.map(({ cid }) => cid), gone[0]!.cid, blobOf(bytes("x")).cid]);
    for (const { cid } of gone) {
      checkSame([await blobs.get(cid), await blobs.has(cid)], [undefined, false], "deleted");
    }
    checkSame(
      await blobs.getMany(kept.map(({ cid }) => cid)),
      kept.map((blob) => blob.bytes),
      "kept",
    );
    checkSame(await names(blobs), kept.map(({ cid }) => String(cid)).sort(), "list");
    await blobs.delete(kept.map(({ cid }) => cid));
    checkSame([await blobs.count(), await names(blobs)], [0, []], "after deleting all");
    await blobs.put(all.slice(0, 5));
    checkSame(
      await blobs.getMany(all.slice(0, 5).map(({ cid }) => cid)),
      all.slice(0, 5).map((blob) => blob.bytes),
      "put again after deletion",
    );
    checkSame(await blobs.count(), 5, "count at the end");
  }),

  blobCase("copies what it is given before the call returns", async (blobs) => {
    const content = noise(200, 5);
    const shared = new Uint8Array(300);
    shared.set(content, 50);
    const { cid } = blobOf(content);
    const list = [{ cid, bytes: shared.subarray(50, 250) }];
    const put = blobs.put(list);
    shared.fill(1);
    list.pop();
    await put;
    checkSame(await blobs.get(cid), content, "bytes");
  }),

  blobCase(
    "copies the names it is given, and hands out names of the caller's own",
    async (blobs) => {
      const named = blobOf(bytes("named"));
      const borrowed = CID.decode(new Uint8Array(named.cid.bytes));
      const put = blobs.put([{ cid: borrowed, bytes: named.bytes }]);
      overwriteCid(borrowed);
      await put;
      for (let i = 0; i < 2; i++) {
        const list = await collect(blobs.list());
        checkSame(
          list.map((cid) => [cid.bytes, cid.multihash.digest]),
          [[named.cid.bytes, named.cid.multihash.digest]],
          "names",
        );
        list.forEach(overwriteCid);
      }
      checkSame(await blobs.get(named.cid), named.bytes, "bytes");
    },
  ),

  blobCase("hands out bytes that are the caller's own", async (blobs) => {
    const blob = blobOf(noise(200, 6));
    await blobs.put([blob]);
    (await blobs.get(blob.cid))!.fill(0);
    (await blobs.getMany([blob.cid]))[0]!.fill(0);
    const got = (await blobs.get(blob.cid))!;
    checkSame(got, blob.bytes, "bytes");
    checkSame(Object.getPrototypeOf(got), Uint8Array.prototype, "bytes are a plain Uint8Array");
    await blobs.put(someBlobs(20));
    await blobs.getMany(someBlobs(20).map(({ cid }) => cid));
    checkSame(got, blob.bytes, "bytes after other reads");
  }),

  blobCase("refuses names and contents it cannot hold, and then holds nothing", async (blobs) => {
    const good = blobOf(bytes("good"));
    const version0 = CID.createV0(cidOf(bytes("v0"), RAW).multihash as never);
    const error = await rejection(blobs.put([good, { cid: version0, bytes: bytes("v0") }]), "v0");
    checkSame((error as { code?: string }).code, "ERR_INPUT_UNSUPPORTED", "code for version 0");
    const text = { cid: blobOf(bytes("t")).cid, bytes: "t" as unknown as Uint8Array };
    check((await rejection(blobs.put([good, text]), "text")) instanceof TypeError, "text");
    check((await rejection(blobs.get("cid" as never), "no CID")) instanceof TypeError, "no CID");
    checkSame(await blobs.count(), 0, "count");
  }),

  blobCase(
    "says when a put is beyond its limits, and stores nothing of it",
    async (blobs) => {
      await checkCode(blobs.put(someBlobs(9, 1)), "ERR_STORAGE_LIMIT", "too many");
      await checkCode(blobs.put(someBlobs(2, 1000)), "ERR_STORAGE_LIMIT", "too large");
      checkSame(await blobs.count(), 0, "count");
      await blobs.put(someBlobs(8, 1));
    },
    { maxBatch: 8, maxAppendBytes: 1000 },
  ),

  blobCase("holds thousands and lists each once", async (blobs) => {
    const all = someBlobs(5000, 20);
    for (let i = 0; i < all.length; i += 500) await blobs.put(all.slice(i, i + 500));
    const cids = all.map(({ cid }) => cid);
    await blobs.delete(cids.slice(1000, 1500));
    const left = all.filter((_, i) => i < 1000 || i >= 1500);
    checkSame(await names(blobs), left.map(({ cid }) => String(cid)).sort(), "list");
    checkSame(await blobs.count(), 4500, "count");
    const got = await blobs.getMany(cids);
    check(
      got.every((value, i) =>
        i < 1000 || i >= 1500 ? value?.length === all[i]!.bytes.length : !value,
      ),
      "getMany",
    );
  }),

  {
    name: "blobs: handles that put and delete at the same time agree",
    requires: ["blobs"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const stores = [storage, await subject.open(), await subject.open()].map(blobsOf);
        const all = someBlobs(60);
        await Promise.all(
          stores.flatMap((store) => [store.put(all.slice(0, 40)), store.put(all.slice(20))]),
        );
        for (const store of stores) checkSame(await store.count(), 60, "count");
        await Promise.all(
          stores.map((store, i) =>
            store.delete(all.filter((_, j) => j % 3 === i).map((b) => b.cid)),
          ),
        );
        for (const store of stores) {
          checkSame([await store.count(), await names(store)], [0, []], "after all deleted");
        }
      }),
  },

  {
    name: "blobs: after reopening everything is there, and nothing deleted",
    requires: ["blobs", "reopen"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const all = someBlobs(300, 500);
        await blobsOf(storage).put(all);
        await blobsOf(storage).delete(all.slice(0, 100).map(({ cid }) => cid));
        await storage.close();
        const again = blobsOf(await subject.open());
        checkSame(
          await again.getMany(all.map(({ cid }) => cid)),
          all.map((blob, i) => (i < 100 ? undefined : blob.bytes)),
          "bytes",
        );
        await again.put(all.slice(0, 1));
        checkSame(await again.count(), 201, "count");
      }),
  },

  {
    name: "blobs: a closed store says so",
    requires: ["blobs"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const blobs = blobsOf(storage);
        await storage.close();
        const { cid } = blobOf(bytes("x"));
        await checkCode(blobs.get(cid), "ERR_STORAGE_CLOSED", "get");
        await checkCode(blobs.has(cid), "ERR_STORAGE_CLOSED", "has");
        await checkCode(blobs.put(someBlobs(1)), "ERR_STORAGE_CLOSED", "put");
        await checkCode(blobs.delete([cid]), "ERR_STORAGE_CLOSED", "delete");
        await checkCode(collect(blobs.list()), "ERR_STORAGE_CLOSED", "list");
      }),
  },
];
