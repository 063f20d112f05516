import { createHash } from "node:crypto";
import { afterEach, describe, expect, it } from "vitest";
import { parseTilePath } from "../../src/merkle/tile.ts";
import { publishLedger } from "../../src/network/publish-ledger.ts";
import { bucketTarget, type BucketCalls, type BucketObject } from "../../src/transport/bucket.ts";
import { startHome } from "../support/network.ts";
import { staticHost } from "../support/static-host.ts";

const MIB = 1024 * 1024;

class S3Error extends Error {
  readonly $metadata: { readonly httpStatusCode: number };
  constructor(name: string, httpStatusCode: number) {
    super(name);
    this.name = name;
    this.$metadata = { httpStatusCode };
  }
}

/** A bucket in memory: an object is there whole once its call has resolved, and not before. */
function bucketInMemory(after: () => void = () => undefined) {
  const objects = new Map<string, Uint8Array>();
  const headers = new Map<string, object>();
  const uploads = new Map<string, Map<number, Uint8Array>>();
  const calls: string[] = [];
  const failing = new Set<string>();
  const called = (name: string, { Bucket }: BucketObject): void => {
    calls.push(name);
    if (Bucket !== "history") throw new S3Error("NoSuchBucket", 404);
    if (failing.has(name)) throw new S3Error("InternalError", 500);
  };
  const client: BucketCalls = {
    async putObject({ Body, ...input }) {
      called("put", input);
      objects.set(input.Key, new Uint8Array(Body));
      headers.set(input.Key, input);
      after();
      return { ETag: '"x"' };
    },
    async getObject(input) {
      called("get", input);
      const found = objects.get(input.Key);
      if (found === undefined) throw new S3Error("NoSuchKey", 404);
      const Body = {
        transformToByteArray: async () => (calls.push("read"), new Uint8Array(found)),
      };
      return { Body, ContentLength: found.length };
    },
    async headObject(input) {
      called("head", input);
      if (!objects.has(input.Key)) throw new S3Error("NotFound", 404);
    },
    async deleteObject(input) {
      called("delete", input);
      objects.delete(input.Key);
      after();
    },
    async createMultipartUpload(input) {
      called("begin", input);
      headers.set(input.Key, input);
      uploads.set(input.Key, new Map());
      return { UploadId: "1" };
    },
    async uploadPart({ PartNumber, Body, ...input }) {
      called("part", input);
      uploads.get(input.Key)!.set(PartNumber, new Uint8Array(Body));
      return { ETag: `"${PartNumber}"` };
    },
    async completeMultipartUpload({ MultipartUpload, ...input }) {
      called("complete", input);
      const parts = uploads.get(input.Key)!;
      const given = MultipartUpload.Parts.map(({ PartNumber, ETag }) => {
        expect(ETag).toBe(`"${PartNumber}"`);
        return parts.get(PartNumber)!;
      });
      // As S3 demands.
      for (const part of given.slice(0, -1)) expect(part.length).toBeGreaterThanOrEqual(5 * MIB);
      objects.set(input.Key, new Uint8Array(Buffer.concat(given)));
      uploads.delete(input.Key);
      return { ETag: '"x"' };
    },
    async abortMultipartUpload(input) {
      called("abort", input);
      uploads.delete(input.Key);
    },
  };
  return { client, objects, headers, uploads, calls, failing };
}

async function* pieces(count: number, length: number): AsyncIterable<Uint8Array> {
  for (let i = 0; i < count; i++) yield new Uint8Array(length).fill(i + 1);
}

let broken: unknown[] = [];
afterEach(() => {
  expect(broken).toEqual([]);
  broken = [];
});

describe("bucketTarget", () => {
  it("publishes what a folder has, and never a checkpoint whose tiles are missing", async () => {
    const home = await startHome();
    const { client, objects, headers } = bucketInMemory(() => {
      // What a reader needs at any moment: each tile as wide as the checkpoint has it, or full.
      const note = objects.get("v1/checkpoint");
      if (note === undefined) return;
      const size = Number(new TextDecoder().decode(note).split("\n")[1]);
      for (let index = 0; 256 * index < size; index++) {
        const width = Math.min(256, size - 256 * index);
        const name = String(index).padStart(3, "0");
        const names = [name, `${name}.p/${width}`].slice(
          width === 256 ? 0 : 0,
          width === 256 ? 1 : 2,
        );
        for (const kind of ["0", "entries", "blocks"]) {
          if (!names.some((one) => objects.has(`v1/tile/${kind}/${one}`))) {
            broken.push(`${kind}/${name} of ${size}`);
          }
        }
      }
    });
    const host = staticHost();
    const target = bucketTarget({ client, bucket: "history", prefix: "v1" });
    for (const blocks of [100, 100, 100, 1]) {
      await home.grow(blocks);
      await home.source.look();
      const { size } = await publishLedger(home.source, target);
      await publishLedger(home.source, host.target);
      expect(size).toBe(home.source.newest!.size);
      const named = (files: Iterable<[string, Uint8Array]>) =>
        [...files]
          .map(([name, bytes]) => `${name} ${createHash("sha256").update(bytes).digest("hex")}`)
          .sort();
      const inBucket = [...objects].map(([key, bytes]) => [key.slice("v1/".length), bytes]);
      expect(named(inBucket as [string, Uint8Array][])).toEqual(named(host.files));
    }
    expect([...objects.keys()].filter((key) => parseTilePath(key.slice(3))).length).toBeGreaterThan(
      6,
    );
    expect(headers.get("v1/tile/0/000")).toMatchObject({
      CacheControl: "max-age=31536000, immutable",
    });
    expect(headers.get("v1/checkpoint")).toMatchObject({
      ...{ CacheControl: "no-cache", ContentType: "text/plain; charset=utf-8" },
    });
  }, 60_000);

  it("sends a large file in parts, which is there whole or not at all", async () => {
    const { client, objects, uploads, calls, failing } = bucketInMemory();
    const target = bucketTarget({ client, bucket: "history" });
    await target.put("tile/blocks/000", pieces(7, 3 * MIB));
    const whole = Buffer.concat(Array.from({ length: 7 }, (_, i) => Buffer.alloc(3 * MIB, i + 1)));
    expect(Buffer.compare(objects.get("tile/blocks/000")!, whole)).toBe(0);
    expect(calls).toEqual(["begin", "part", "part", "part", "complete"]);
    for (const [step, done] of [
      ["part", 1],
      ["complete", 3],
    ] as const) {
      calls.length = 0;
      failing.clear();
      failing.add(step);
      await expect(target.put("tile/blocks/001", pieces(7, 3 * MIB))).rejects.toMatchObject({
        code: "ERR_STORAGE_FAILED",
      });
      expect(calls.filter((name) => name === "part")).toHaveLength(done);
      expect(calls.at(-1)).toBe("abort");
      expect([objects.has("tile/blocks/001"), uploads.size]).toEqual([false, 0]);
    }
    failing.clear();
    // What the bytes' source throws is passed on, and it is ended when the store fails.
    let ended = 0;
    async function* source(fails: boolean): AsyncIterable<Uint8Array> {
      try {
        for (let i = 0; ; i++) {
          if (fails && i === 4) throw new Error("the chain is closed");
          yield new Uint8Array(3 * MIB);
        }
      } finally {
        ended++;
      }
    }
    await expect(target.put("tile/blocks/001", source(true))).rejects.toThrow(
      "the chain is closed",
    );
    failing.add("begin");
    await expect(target.put("tile/blocks/001", source(false))).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
    });
    expect([ended, objects.has("tile/blocks/001"), uploads.size]).toEqual([2, false, 0]);
  });

  it.each([
    [0, ["put"]],
    [8 * MIB, ["put"]],
    [8 * MIB + 1, ["begin", "part", "part", "complete"]],
    [16 * MIB, ["begin", "part", "part", "complete"]],
  ])("writes %i bytes", async (length, expected) => {
    const { client, objects, calls } = bucketInMemory();
    const target = bucketTarget({ client, bucket: "history", prefix: "a/b/" });
    await target.put("policy", pieces(1, length));
    expect(calls).toEqual(expected);
    expect(objects.get("a/b/policy")).toHaveLength(length);
  });

  it("tells what is not there from a store that cannot be asked", async () => {
    const { client, objects, calls, failing } = bucketInMemory();
    const target = bucketTarget({ client, bucket: "history" });
    objects.set("checkpoint", new Uint8Array(10));
    expect(await target.get("checkpoint", 10)).toHaveLength(10);
    expect([await target.get("policy", 10), await target.has("policy")]).toEqual([
      undefined,
      false,
    ]);
    expect(await target.has("checkpoint")).toBe(true);
    calls.length = 0;
    await expect(target.get("checkpoint", 9)).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
    });
    expect(calls).toEqual(["get"]);
    await target.delete("policy");
    const elsewhere = bucketTarget({ client, bucket: "another" });
    const failed = { code: "ERR_STORAGE_FAILED", message: /404, NoSuchBucket/ };
    await expect(elsewhere.get("checkpoint", 10)).rejects.toMatchObject(failed);
    await expect(elsewhere.has("checkpoint")).rejects.toMatchObject(failed);
    await expect(elsewhere.put("checkpoint", pieces(1, 1))).rejects.toMatchObject(failed);
    failing.add("delete");
    await expect(target.delete("checkpoint")).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
  });

  it("believes no answer that names nothing, or was cut short", async () => {
    const { client, objects } = bucketInMemory();
    objects.set("checkpoint", new Uint8Array(10));
    const failed = { code: "ERR_STORAGE_FAILED" };
    const of = (calls: Partial<BucketCalls>) =>
      bucketTarget({ client: { ...client, ...calls }, bucket: "history" });
    const blank = async () => ({});
    await expect(of({ putObject: blank }).put("a", pieces(1, 1))).rejects.toMatchObject(failed);
    for (const call of [
      "createMultipartUpload",
      "uploadPart",
      "completeMultipartUpload",
    ] as const) {
      const target = of({ [call]: blank });
      await expect(target.put("a", pieces(2, 8 * MIB)), call).rejects.toMatchObject(failed);
    }
    const Body = { transformToByteArray: async () => new Uint8Array(3) };
    const cut = of({ getObject: async () => ({ Body, ContentLength: 9 }) });
    await expect(cut.get("checkpoint", 10)).rejects.toMatchObject(failed);
    const endless = of({ getObject: async () => ({ Body }) });
    await expect(endless.get("checkpoint", 10)).rejects.toMatchObject(failed);
  });

  it("gives up on a call that takes too long", async () => {
    const { client } = bucketInMemory();
    const hanging: BucketCalls = {
      ...client,
      putObject: (_, { abortSignal } = {}) =>
        new Promise((_resolve, reject) => {
          abortSignal!.addEventListener("abort", () => reject(abortSignal!.reason));
        }),
    };
    const target = bucketTarget({ client: hanging, bucket: "history", timeout: 20 });
    await expect(target.put("a", pieces(1, 1))).rejects.toMatchObject({
      ...{ code: "ERR_STORAGE_FAILED", cause: { name: "TimeoutError" } },
    });
  });

  it("refuses an unknown option, and a prefix that would be another key", () => {
    const { client } = bucketInMemory();
    const invalid = expect.objectContaining({ code: "ERR_INPUT_INVALID" });
    expect(() => bucketTarget({ client, bucket: "b", region: "x" } as never)).toThrow(invalid);
    for (const prefix of ["/", "a//b", "../x y", "a?b"]) {
      expect(() => bucketTarget({ client, bucket: "b", prefix }), prefix).toThrow(invalid);
    }
  });
});
