import { describe, expect, it } from "vitest";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { s3Storage, type S3Calls } from "../../src/storage/s3.ts";
import { fakeBucket, fakeClient, s3Error, type FakeBucket } from "./s3-fake.ts";

const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value));
const EMPTY = { size: 0, hash: null };

const open = (client: S3Calls, retries = 1) =>
  s3Storage({ client, bucket: "bucket", prefix: "p", probe: false, retries });

async function filled(): Promise<FakeBucket> {
  const bucket = fakeBucket();
  const storage = await open(fakeClient(bucket));
  const blobs = Array.from({ length: 20 }, (_, i) => text(`blob ${i}`));
  await storage.blobs.put(blobs.map((bytes) => ({ cid: cidOf(bytes, RAW), bytes })));
  for (let i = 0; i < 5; i++) await storage.chains.append(`c${i}`, EMPTY, [text("r")]);
  await storage.close();
  return bucket;
}

type Page = Awaited<ReturnType<S3Calls["listObjectsV2"]>>;

/** A client whose lists pass through `change`. */
function changed(bucket: FakeBucket, change: (page: Page, call: number) => Page): S3Calls {
  const client = fakeClient(bucket);
  let calls = 0;
  return {
    ...client,
    listObjectsV2: async (...call) => change(await client.listObjectsV2(...call), calls++),
  };
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

describe("lists of an object store that are not what they should be", () => {
  const corrupt = { code: "ERR_STORAGE_CORRUPT" };

  const BROKEN: Readonly<Record<string, (page: Page, call: number) => Page>> = {
    "repeats itself for ever": (page) => ({
      ...page,
      IsTruncated: true,
      NextContinuationToken: page.Contents?.[0]?.Key ?? "x",
    }),
    "goes on where it was": (page) => ({
      Contents: [],
      ...page,
      IsTruncated: true,
      NextContinuationToken: "p/blobs/zzz",
    }),
    "goes backwards": (page) => ({ ...page, Contents: [...(page.Contents ?? [])].reverse() }),
    "is cut off and says not where it goes on": ({ Contents, CommonPrefixes }) => ({
      ...(Contents && { Contents }),
      ...(CommonPrefixes && { CommonPrefixes }),
      IsTruncated: true,
    }),
    "has empty pages without end": (_, call) => ({
      Contents: [],
      CommonPrefixes: [],
      IsTruncated: true,
      NextContinuationToken: `token ${call}`,
    }),
    "holds what lies elsewhere": (page) => ({
      ...page,
      Contents: [{ Key: "other/blobs/x" }],
      CommonPrefixes: [{ Prefix: "other/" }],
    }),
    "holds names that are none": (page) => ({
      ...page,
      Contents: [{ Key: "p/blobs/x" }],
      CommonPrefixes: [{ Prefix: "p/chains/%/" }],
      IsTruncated: false,
    }),
  };

  for (const [what, change] of Object.entries(BROKEN)) {
    it(`names a list of blobs that ${what}`, async () => {
      const storage = await open(changed(await filled(), change));
      await expect(all(storage.blobs.list())).rejects.toMatchObject(corrupt);
      await expect(storage.blobs.count()).rejects.toMatchObject(corrupt);
    });
  }

  for (const what of [
    "repeats itself for ever",
    "is cut off and says not where it goes on",
    "has empty pages without end",
    "holds what lies elsewhere",
    "holds names that are none",
  ]) {
    it(`names a list of chains that ${what}`, async () => {
      const storage = await open(changed(await filled(), BROKEN[what]!));
      await expect(all(storage.chains.list())).rejects.toMatchObject(corrupt);
    });
  }

  it("names a blob that is written otherwise than it was named", async () => {
    const bucket = await filled();
    const bytes = text("blob 1");
    const { objects } = bucket;
    objects.set(`p/blobs/${cidOf(bytes, RAW).toString().toUpperCase()}`, bytes);
    await expect(all((await open(fakeClient(bucket))).blobs.list())).rejects.toMatchObject(corrupt);
  });

  it("names a list of versions that goes on where it was, or is cut off", async () => {
    for (const NextKeyMarker of ["p/blobs/a", undefined]) {
      const client = fakeClient(await filled(), { versioning: "Enabled" });
      const listObjectVersions = async () => ({
        Versions: [],
        IsTruncated: true,
        ...(NextKeyMarker !== undefined && { NextKeyMarker }),
      });
      const storage = await s3Storage({
        client: { ...client, listObjectVersions },
        ...{ bucket: "bucket", prefix: "p", probe: false, versions: "purge" },
      });
      await expect(storage.compact!()).rejects.toMatchObject(corrupt);
    }
  });
});

describe("answers of an object store", () => {
  it("304 to a write that found its object there is a refusal, as 412 is", async () => {
    const bucket = fakeBucket();
    const client = fakeClient(bucket);
    const putObject: S3Calls["putObject"] = (input, options) =>
      client.putObject(input, options).catch((error: { $metadata: { httpStatusCode: number } }) => {
        throw error.$metadata.httpStatusCode === 412 ? s3Error(304, "NotModified") : error;
      });
    const storage = await open({ ...client, putObject });
    const head = await storage.chains.append("a", EMPTY, [text("one")]);
    const other = await open({ ...client, putObject });
    expect(await other.chains.append("a", EMPTY, [text("one")])).toEqual(head);
    await expect(other.chains.append("a", EMPTY, [text("two")])).rejects.toMatchObject({
      code: "ERR_STORAGE_CONFLICT",
    });
  });

  it("304 to a read, and 501 to anything, are told in words", async () => {
    const client = fakeClient(await filled());
    const answering = (status: number, name: string) => ({
      ...client,
      getObject: () => Promise.reject(s3Error(status, name)),
      listObjectsV2: () => Promise.reject(s3Error(status, name)),
    });
    await expect(
      (await open(answering(304, "NotModified"))).chains.head("c1"),
    ).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
      message: expect.stringContaining("not modified") as string,
    });
    await expect(
      (await open(answering(501, "NotImplemented"))).chains.head("c1"),
    ).rejects.toMatchObject({
      code: "ERR_INPUT_UNSUPPORTED",
      message: expect.stringContaining("does not support") as string,
    });
  });

  it("leaves an append unknown when the place is taken and nobody says by what", async () => {
    const bucket = fakeBucket();
    const client = fakeClient(bucket);
    let lost = false;
    const storage = await open(
      {
        ...client,
        async putObject(...call) {
          const answer = await client.putObject(...call);
          if (lost || !call[0].Key.includes("/chains/")) return answer;
          lost = true;
          throw s3Error(undefined, "TimeoutError");
        },
        getObject: (...call) =>
          lost ? Promise.reject(s3Error(403, "AccessDenied")) : client.getObject(...call),
      },
      2,
    );
    await expect(storage.chains.append("a", EMPTY, [text("one")])).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
    });
  });
});
