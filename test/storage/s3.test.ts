import { describe, expect, it } from "vitest";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { InputError } from "../../src/errors.ts";
import { AmbiguousAppend, AppendConflict } from "../../src/storage/errors.ts";
import { openHead } from "../../src/storage/s3/head.ts";
import { createRequests } from "../../src/storage/s3/requests.ts";
import { s3Storage, type S3Storage, type S3StorageOptions } from "../../src/storage/s3.ts";
import type { Head } from "../../src/storage/types.ts";
import {
  blobStoreCases,
  chainStoreCases,
  type MakeStorage,
} from "../../src/testing/storage-kit.ts";
import { specHex } from "../support/spec-blocks.ts";
import { fakeBucket, fakeClient, s3Error, type FakeBucket, type FakeOptions } from "./s3-fake.ts";

const spec = specHex("storage.md");
const EMPTY: Head = { size: 0, hash: null };
const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));

const open = (
  bucket: FakeBucket,
  fake: FakeOptions = {},
  options: Partial<S3StorageOptions> = {},
): Promise<S3Storage> =>
  s3Storage({
    client: fakeClient(bucket, fake),
    bucket: "bucket",
    prefix: "p",
    pollInterval: 5,
    ...options,
  });

const subjects: MakeStorage = async () => {
  const bucket = fakeBucket();
  const opened: S3Storage[] = [];
  return {
    async open(limits) {
      const storage = await open(bucket, {}, limits);
      opened.push(storage);
      return storage;
    },
    async dispose() {
      for (const storage of opened) await storage.close();
    },
  };
};

async function read(storage: S3Storage, from = 0): Promise<string[]> {
  const records: string[] = [];
  for await (const { record } of storage.chains.read("a", { from })) {
    records.push(Buffer.from(record).toString());
  }
  return records;
}

/** Appends one record at a time. */
async function append(storage: S3Storage, ...records: readonly string[]): Promise<Head> {
  let head = await storage.chains.head("a");
  for (const record of records) head = await storage.chains.append("a", head, [text(record)]);
  return head;
}

/** The key of the newest object that holds a record. */
function segmentWith({ objects }: FakeBucket, record: string): string {
  for (const [key, bytes] of objects) {
    if (key.startsWith("p/chains/") && Buffer.from(bytes).includes(record)) return key;
  }
  throw new Error("no such segment");
}

describe("s3Storage over a bucket in memory", () => {
  it.each([...chainStoreCases, ...blobStoreCases])("$name", ({ run }) => run(subjects));

  it("takes a place with one PUT, and looks for a head with one GET", async () => {
    const bucket = fakeBucket();
    const storage = await open(bucket);
    const head = await append(storage, "one");
    await storage.chains.append("a", head, [text("two")]);
    bucket.made.clear();
    await append(storage, "three");
    expect(Object.fromEntries(bucket.made)).toEqual({ getObject: 1, putObject: 1 });
  });

  it("lists windows of a long chain instead of asking for each segment", async () => {
    const bucket = fakeBucket();
    const storage = await open(bucket, {}, { cacheBytes: 0 });
    const names = Array.from({ length: 300 }, (_, i) => `record ${i}`);
    await append(storage, ...names);
    bucket.made.clear();
    expect(await read(storage, 7)).toEqual(names.slice(7));
    expect(bucket.made.get("getObject")).toBe(1 + 293);
    expect(bucket.made.get("listObjectsV2")).toBeLessThan(10);
  });

  it("finds the newest of many segments by a listing, from wherever it stood", async () => {
    const bucket = fakeBucket();
    const [one, two] = [await open(bucket), await open(bucket)];
    await append(one, "0");
    expect((await two.chains.head("a")).size).toBe(1);
    await append(one, ...Array.from({ length: 50 }, (_, i) => `${i}`));
    bucket.made.clear();
    expect((await two.chains.head("a")).size).toBe(51);
    expect(bucket.made.get("getObject")).toBeLessThan(8);
  });

  it("is not misled by a listing that lags, or by appends while it looks", async () => {
    const bucket = fakeBucket();
    const writer = await open(bucket);
    const head = await append(writer, ...Array.from({ length: 20 }, (_, i) => `${i}`));
    await writer.close();
    const client = fakeClient(bucket);
    const late = await s3Storage({
      client: { ...client, listObjectsV2: async () => ({}) },
      bucket: "bucket",
      prefix: "p",
      probe: false,
    });
    expect(await late.chains.head("a")).toEqual(head);
    const another = await open(bucket);
    const racing = await s3Storage({
      client: {
        ...client,
        async listObjectsV2(input) {
          const listed = await client.listObjectsV2(input);
          await append(another, ...Array.from({ length: 70 }, (_, i) => `more ${i}`));
          return listed;
        },
      },
      bucket: "bucket",
      prefix: "p",
      probe: false,
    });
    expect((await racing.chains.head("a")).size).toBeGreaterThanOrEqual(90);
  });

  it("says that there is no such bucket", async () => {
    const client = fakeClient(fakeBucket());
    const getBucketVersioning = () => Promise.reject(s3Error(404, "NoSuchBucket"));
    const opened = s3Storage({ client: { ...client, getBucketVersioning }, bucket: "bucket" });
    await expect(opened).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
  });

  it.each<[string, FakeOptions]>([
    ["ignores If-None-Match", { ignores: ["IfNoneMatch"] }],
    ["ignores If-Match", { ignores: ["IfMatch"] }],
    ["ignores conditions", { ignores: ["IfMatch", "IfNoneMatch"] }],
    ["looks at If-None-Match, waits, and writes", { races: ["IfNoneMatch"] }],
    ["looks at If-Match, waits, and writes", { races: ["IfMatch"] }],
  ])("refuses a store that %s, and leaves nothing in it", async (_, fake) => {
    const bucket = fakeBucket();
    const error = await open(bucket, fake).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(InputError);
    expect(error).toMatchObject({ code: "ERR_INPUT_UNSUPPORTED" });
    expect([...bucket.objects.keys()]).toEqual([]);
  });

  it("refuses a store that says it does not know conditions", async () => {
    const fault = () => ({ when: "before", error: s3Error(501, "NotImplemented") }) as const;
    await expect(open(fakeBucket(), { fault }, { retries: 0 })).rejects.toMatchObject({
      code: "ERR_INPUT_UNSUPPORTED",
    });
  });

  it("finds out that a store wants ETags without quotes", async () => {
    const bucket = fakeBucket();
    const storage = await open(bucket, { bareEtags: true });
    await append(storage, ...Array.from({ length: 70 }, (_, i) => `${i}`));
    await storage.close();
    expect(Buffer.from(bucket.objects.get("p/heads/a")!).toString()).toContain('"size":70');
  });

  it("answers an append whose response was lost, or whose first try the client repeated", async () => {
    for (const error of [s3Error(undefined, "TimeoutError"), s3Error(503, "SlowDown")]) {
      const bucket = fakeBucket();
      const lost = new Set<string>();
      const storage = await open(bucket, {
        fault: (key) => {
          if (!key.includes("chains") || lost.has(key)) return undefined;
          lost.add(key);
          return { when: "after", error };
        },
      });
      await append(storage, "one", "two");
      expect(await read(storage)).toEqual(["one", "two"]);
      expect(lost.size).toBe(2);
    }
  });

  it("tries again after a conflict of requests, which wrote nothing", async () => {
    const bucket = fakeBucket();
    let left = 3;
    const storage = await open(bucket, {
      fault: (key) =>
        key.includes("chains") && left-- > 0
          ? { when: "before", error: s3Error(409, "ConditionalRequestConflict") }
          : undefined,
    });
    await append(storage, "one");
    expect(await read(storage)).toEqual(["one"]);
  });

  it("says that nothing was written when conflicts of requests do not end", async () => {
    const fault = (key: string) =>
      key.includes("chains")
        ? ({ when: "before", error: s3Error(409, "ConditionalRequestConflict") } as const)
        : undefined;
    const storage = await open(fakeBucket(), { fault }, { retries: 1 });
    const call = storage.chains.append("a", EMPTY, [text("one")]);
    await expect(call).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
  });

  it("says that an outcome is unknown, and settles it when called again", async () => {
    const bucket = fakeBucket();
    let broken = true;
    const fake: FakeOptions = {
      fault: (key) =>
        key.includes("chains") && broken
          ? { when: "after", error: s3Error(undefined, "ECONNRESET") }
          : undefined,
    };
    const storage = await open(bucket, fake, { retries: 0 });
    const call = () => storage.chains.append("a", EMPTY, [text("one")]);
    await expect(call()).rejects.toBeInstanceOf(AmbiguousAppend);
    broken = false;
    expect((await call()).size).toBe(1);
    expect(await read(storage)).toEqual(["one"]);
  });

  it("does not believe a 200 that names nothing stored, as a portal in between answers", async () => {
    const bucket = fakeBucket();
    const client = fakeClient(bucket);
    let portal = true;
    const storage = await s3Storage({
      client: {
        ...client,
        putObject: async (input, options) => (portal ? {} : client.putObject(input, options)),
      },
      bucket: "bucket",
      prefix: "p",
      probe: false,
      retries: 0,
    });
    const call = () => storage.chains.append("a", EMPTY, [text("one")]);
    await expect(call()).rejects.toBeInstanceOf(AmbiguousAppend);
    const blob = { cid: cidOf(text("blob"), RAW), bytes: text("blob") };
    await expect(storage.blobs.put([blob])).rejects.toBeInstanceOf(AmbiguousAppend);
    portal = false;
    expect((await call()).size).toBe(1);
    await storage.blobs.put([blob]);
    expect(await storage.blobs.get(blob.cid)).toEqual(blob.bytes);
  });

  it("does not take a bucket that is gone, or a page of something in between, for no object", async () => {
    const bucket = fakeBucket();
    await append(await open(bucket), "one");
    for (const name of ["NoSuchBucket", "UnknownError"]) {
      const client = fakeClient(bucket);
      let gone = false;
      const storage = await s3Storage({
        client: {
          ...client,
          getObject: async (input, options) => {
            if (gone) throw s3Error(404, name);
            return client.getObject(input, options);
          },
        },
        bucket: "bucket",
        prefix: "p",
        retries: 0,
      });
      gone = true;
      const failed = { code: "ERR_STORAGE_FAILED" };
      await expect(storage.chains.head("a")).rejects.toMatchObject(failed);
      await expect(storage.blobs.get(cidOf(text("x"), RAW))).rejects.toMatchObject(failed);
    }
  });

  it("asks again for what came shorter than it was announced", async () => {
    const blob = { cid: cidOf(text("a blob"), RAW), bytes: text("a blob") };
    const bucket = fakeBucket();
    const client = fakeClient(bucket);
    let cut = 2;
    const storage = await s3Storage({
      client: {
        ...client,
        getObject: async (input, options) => {
          const response = await client.getObject(input, options);
          if (cut-- <= 0) return response;
          return { ...response, Body: { transformToByteArray: async () => text("a bl") } };
        },
      },
      bucket: "bucket",
      prefix: "p",
      probe: false,
    });
    await storage.blobs.put([blob]);
    expect(await storage.blobs.get(blob.cid)).toEqual(blob.bytes);
    expect(cut).toBe(-1);
  });

  it("moves a head object forward only, whoever comes late", async () => {
    const bucket = fakeBucket();
    const handle = () => {
      const client = fakeClient(bucket);
      const requests = createRequests({ client, bucket: "bucket", retries: 0, timeout: 1000 });
      return openHead(requests, "head", (etag) => etag);
    };
    const at = (size: number): Head => ({ size, hash: new Uint8Array(32).fill(size) });
    const [one, two] = [handle(), handle()];
    await one.advance(at(3));
    await two.advance(at(9));
    expect(await one.read()).toEqual(at(9));
    await handle().advance(at(5));
    await two.advance(at(4));
    expect(await one.read()).toEqual(at(9));
  });

  it("does not know what became of an append whose place is taken and empty", async () => {
    const storage = await open(fakeBucket(), {
      fault: (key) =>
        key.includes("chains")
          ? { when: "before", error: s3Error(412, "Precondition") }
          : undefined,
    });
    const call = storage.chains.append("a", EMPTY, [text("one")]);
    await expect(call).rejects.toBeInstanceOf(AmbiguousAppend);
  });

  it("goes on from no segment that does not follow what it knows", async () => {
    const bucket = fakeBucket();
    const storage = await open(bucket);
    const head = await append(storage, "one");
    const forger = await open(bucket, {}, { prefix: "other" });
    await append(forger, "another one", "forged");
    const [, [key, forged]] = [...bucket.objects].filter(([name]) =>
      name.startsWith("other/chains/"),
    ) as [unknown, [string, Uint8Array]];
    bucket.objects.set(key.replace("other/", "p/"), forged);
    const corrupt = { code: "ERR_STORAGE_CORRUPT" };
    await expect(storage.chains.head("a")).rejects.toMatchObject(corrupt);
    await expect(storage.chains.append("a", head, [text("two")])).rejects.toMatchObject(corrupt);
  });

  it("purges no version of a segment: what was deleted there was not deleted by it", async () => {
    const client = fakeClient(fakeBucket(), { versioning: "Enabled" });
    const versions = ["p/chains/a/1", "p/blobs/b", "p/heads/a", "pool/blobs/b"].map((Key) => ({
      Key,
      VersionId: "old",
      Size: 10,
      IsLatest: false,
    }));
    const marker = { Key: "p/chains/a/1", VersionId: "marker", IsLatest: true };
    const removed: string[] = [];
    const storage = await s3Storage({
      client: {
        ...client,
        listObjectVersions: async ({ Prefix }) => ({
          Versions: versions.filter(({ Key }) => Key.startsWith(Prefix)),
          DeleteMarkers: [marker],
        }),
        async deleteObject({ Key, VersionId }) {
          removed.push(`${Key} ${VersionId}`);
          return {};
        },
      },
      bucket: "bucket",
      prefix: "p",
      probe: false,
      versions: "purge",
    });
    expect(await storage.compact!()).toEqual({ before: 30, after: 10 });
    expect(removed.sort()).toEqual(["p/blobs/b old", "p/heads/a old"]);
  });

  it("takes a place once, however late a writer wakes up that thought it free", async () => {
    const bucket = fakeBucket();
    const [paused, other] = [await open(bucket), await open(bucket)];
    const head = await append(paused, "one");
    for (let i = 0; i < 5; i++) await append(other, `other's ${i}`);
    const before = new Map(bucket.objects);
    const late = paused.chains.append("a", head, [text("late")]);
    await expect(late).rejects.toMatchObject({ code: "ERR_STORAGE_CONFLICT" });
    for (const [key, bytes] of before) expect(bucket.objects.get(key)).toBe(bytes);
    expect((await read(paused)).length).toBe(6);
    const end = await append(other, "other's last");
    expect((await paused.chains.append("a", end, [text("x")])).size, "told by the other").toBe(8);
  });

  it("notices what the head object counts and no segment holds, and works without that object", async () => {
    const bucket = fakeBucket();
    const storage = await open(bucket);
    await append(storage, ...Array.from({ length: 70 }, (_, i) => `record ${i}.`));
    await storage.close();
    const head = bucket.objects.get("p/heads/a")!;
    const newest = segmentWith(bucket, "record 69.");
    const segment = bucket.objects.get(newest)!;
    bucket.objects.delete(newest);
    const robbed = await open(bucket);
    await expect(robbed.chains.head("a")).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    const call = robbed.chains.append("a", EMPTY, [text("x")]);
    await expect(call).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    bucket.objects.set(newest, segment);
    // Gone, or set back to what it was once: it only lags.
    for (const old of [
      undefined,
      Buffer.from(head).toString().replace(/70,.*/, '0,"hash":null}'),
    ]) {
      if (old === undefined) bucket.objects.delete("p/heads/a");
      else bucket.objects.set("p/heads/a", text(old));
      expect((await (await open(bucket)).chains.head("a")).size).toBe(70);
    }
  });

  it("can be copied while it is written to, heads first and blobs last", async () => {
    const copyIn = async (order: readonly string[]): Promise<S3Storage> => {
      const bucket = fakeBucket();
      const storage = await open(bucket);
      const copy = fakeBucket();
      let head = EMPTY;
      for (const folder of order) {
        for (const [key, bytes] of bucket.objects) {
          if (key.startsWith(`p/${folder}/`)) copy.objects.set(key, bytes);
        }
        // A block and the blob that it names, often enough for the head object to move.
        for (let i = 0; i < 64; i++) {
          const name = `${folder} ${i}`;
          await storage.blobs.put([{ cid: cidOf(text(name), RAW), bytes: text(name) }]);
          head = await storage.chains.append("a", head, [text(name)]);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await storage.close();
      return open(copy);
    };
    const whole = await copyIn(["heads", "chains", "blobs"]);
    const named = await read(whole);
    expect(named).toHaveLength(64);
    for (const name of named) expect(await whole.blobs.has(cidOf(text(name), RAW))).toBe(true);
    const wrong = await copyIn(["blobs", "chains", "heads"]);
    await expect(read(wrong)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
  });

  it("keeps chains apart whose names look like keys, and takes no other's objects for its own", async () => {
    const bucket = fakeBucket();
    const storage = await open(bucket);
    const names = [
      "a",
      "a/",
      "a/b",
      "..",
      "../heads/a",
      "_2f",
      "a_",
      "A",
      "\0",
      "\u{1f3e5}",
      "%2e",
    ];
    for (const name of names) await storage.chains.append(name, EMPTY, [text(name)]);
    const listed: string[] = [];
    for await (const name of storage.chains.list()) listed.push(name);
    expect(listed.sort()).toEqual([...names].sort());
    await storage.close();
    for (const key of bucket.objects.keys()) {
      expect(key).toMatch(/^p\/(chains\/[A-Za-z0-9_-]+\/[0-9a-f]{14}|heads\/[A-Za-z0-9_-]+)$/);
    }
    bucket.objects.set("p/chains/a/zzz", text("foreign"));
    bucket.objects.set("p/chains/a/!", text("foreign"));
    bucket.objects.set("p/blobs/readme.txt", text("foreign"));
    const other = await open(bucket);
    await expect(other.chains.head("a")).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    expect((await other.chains.head("a/b")).size).toBe(1);
    await expect(other.blobs.count()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
  });

  it("takes a refusal for certain only if nothing came before it", async () => {
    for (const [attempts, code] of [
      [1, "ERR_STORAGE_FAILED"],
      [2, "ERR_STORAGE_AMBIGUOUS"],
    ] as const) {
      const fault = (key: string) =>
        key.includes("chains")
          ? ({ when: "before", error: s3Error(403, "AccessDenied", attempts) } as const)
          : undefined;
      const storage = await open(fakeBucket(), { fault });
      const call = storage.chains.append("a", EMPTY, [text("one")]);
      await expect(call).rejects.toMatchObject({ code });
    }
  });

  it("does not let a late writer take a place within another's records", async () => {
    const bucket = fakeBucket();
    const storage = await open(bucket);
    const head = await storage.chains.append("a", EMPTY, ["0", "1", "2"].map(text));
    const middle = { size: 1, hash: head.hash! };
    await expect(storage.chains.append("a", middle, [text("x")])).rejects.toBeInstanceOf(
      AppendConflict,
    );
    expect([...bucket.objects.keys()].filter((key) => key.includes("chains")).length).toBe(1);
  });

  it("names the place where bytes were changed, whichever they are", async () => {
    const bucket = fakeBucket();
    await append(await open(bucket), "zero", "one", "two");
    const key = segmentWith(bucket, "one");
    const bytes = bucket.objects.get(key)!;
    for (let i = 0; i < bytes.length; i++) {
      bytes[i]! ^= 1;
      const storage = await open(bucket, {}, { probe: false });
      await expect(read(storage)).rejects.toMatchObject({
        code: "ERR_STORAGE_CORRUPT",
        message: expect.stringContaining("record 1"),
      });
      bytes[i]! ^= 1;
    }
    expect(await read(await open(bucket))).toEqual(["zero", "one", "two"]);
  });

  it("notices segments that are gone, of another chain or of another place", async () => {
    const bucket = fakeBucket();
    const writer = await open(bucket);
    await append(writer, "zero", "one", "two");
    await writer.close();
    const [one, two] = [segmentWith(bucket, "one"), segmentWith(bucket, "two")];
    const kept = new Map(bucket.objects);
    const damage: readonly [string, () => unknown][] = [
      ["lacks record 1", () => bucket.objects.delete(one)],
      ["those from 2 on are missing", () => bucket.objects.delete(two)],
      ["record 1 has another position", () => bucket.objects.set(one, kept.get(two)!)],
    ];
    for (const [message, harm] of damage) {
      harm();
      const call = open(bucket).then((storage) => read(storage));
      await expect(call).rejects.toMatchObject({
        code: "ERR_STORAGE_CORRUPT",
        message: expect.stringContaining(message),
      });
      for (const [key, bytes] of kept) bucket.objects.set(key, bytes);
    }
    const other = fakeBucket();
    await append(await open(other), "null", "eins", "zwei");
    bucket.objects.set(one, other.objects.get(segmentWith(other, "eins"))!);
    await expect(read(await open(bucket))).rejects.toMatchObject({
      message: expect.stringContaining("record 1 does not follow"),
    });
  });

  it("lays a segment out as the specification shows it", async () => {
    const bucket = fakeBucket();
    const storage = await open(bucket);
    await storage.chains.append("ledger/1", EMPTY, [text("record 0"), text("r1")]);
    const [key] = [...bucket.objects.keys()].filter((name) => name.includes("chains"));
    expect(key).toBe("p/chains/ledger_2f1/1fffffffffffff");
    const parts = ["magic", "first", "previous", "count", "lengths", "records", "checksum"];
    const specified = parts.flatMap((part) => [...spec(`segment ${part}`)]);
    expect([...bucket.objects.get(key!)!]).toEqual(specified);
  });

  it.each([
    ["Enabled", undefined, "refused"],
    ["Suspended", undefined, "refused"],
    ["Enabled", "purge", "on"],
    ["Enabled", "keep", "on"],
    [undefined, undefined, "off"],
  ] as const)(
    "a bucket with versioning %s, told %s, is %s",
    async (versioning, versions, found) => {
      const fake = versioning === undefined ? {} : { versioning };
      const opened = open(fakeBucket(), fake, versions === undefined ? {} : { versions });
      if (found === "refused") {
        await expect(opened).rejects.toMatchObject({ code: "ERR_INPUT_UNSUPPORTED" });
      } else {
        const storage = await opened;
        expect(storage.versioning).toBe(found);
        expect(storage.compact !== undefined).toBe(versions !== "keep");
      }
    },
  );

  it("takes a bucket with Object Lock only from one who gives up erasing", async () => {
    const fake = { versioning: "Enabled", locked: true };
    for (const versions of ["refuse", "purge"] as const) {
      await expect(open(fakeBucket(), fake, { versions })).rejects.toMatchObject({
        code: "ERR_INPUT_UNSUPPORTED",
      });
    }
    expect((await open(fakeBucket(), fake, { versions: "keep" })).versioning).toBe("locked");
  });

  it("refuses prefixes that are no part of a key", async () => {
    for (const prefix of ["a b", "ä", "x".repeat(129), "..", "../b", "a/./b", "a/.."]) {
      await expect(open(fakeBucket(), {}, { prefix })).rejects.toBeInstanceOf(RangeError);
    }
    for (const prefix of ["", "a/", ".a", "a..", "a/.b"]) {
      await open(fakeBucket(), {}, { prefix });
    }
  });
});
