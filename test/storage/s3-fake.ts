import { createHash } from "node:crypto";
import type { S3Calls } from "../../src/storage/s3.ts";

/** What several fake clients share. */
export interface FakeBucket {
  readonly objects: Map<string, Uint8Array>;
  /** Requests made, by method. */
  readonly made: Map<string, number>;
}

export function fakeBucket(): FakeBucket {
  return { objects: new Map(), made: new Map() };
}

export interface FakeOptions {
  readonly ignores?: readonly ("IfMatch" | "IfNoneMatch")[];
  /** Asked before each PUT; what it gives is thrown before or after the object is there. */
  readonly fault?: (
    key: string,
  ) => { readonly when: "before" | "after"; readonly error: unknown } | undefined;
  /** Takes ETags without their quotes only. */
  readonly bareEtags?: boolean;
  /** Conditions that it looks at, then waits, and then writes. */
  readonly races?: readonly ("IfMatch" | "IfNoneMatch")[];
  readonly versioning?: string;
  readonly locked?: boolean;
}

/** An error as the client of the SDK throws it. */
export function s3Error(status: number | undefined, name = "Error", attempts = 1): Error {
  return Object.assign(new Error(name), {
    name,
    $metadata: { ...(status !== undefined && { httpStatusCode: status }), attempts },
  });
}

/** A client of a bucket in memory: what the adapter does is looked at without a server. */
export function fakeClient(bucket: FakeBucket, options: FakeOptions = {}): S3Calls {
  const { objects, made } = bucket;
  const etagOf = (bytes: Uint8Array): string =>
    `"${createHash("md5").update(bytes).digest("hex")}"`;
  const turn = (method: string): Promise<void> => {
    made.set(method, (made.get(method) ?? 0) + 1);
    return new Promise((resolve) => setImmediate(resolve));
  };
  const sorted = (prefix: string): string[] =>
    [...objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  return {
    async putObject({ Key, Body, IfMatch, IfNoneMatch }) {
      const bytes = new Uint8Array(Body);
      await turn("putObject");
      const there = objects.get(Key);
      if (IfNoneMatch === "*" && !options.ignores?.includes("IfNoneMatch") && there) {
        throw s3Error(412, "PreconditionFailed");
      }
      if (IfMatch !== undefined && !options.ignores?.includes("IfMatch")) {
        const etag = there && etagOf(there);
        const wanted = options.bareEtags ? etag?.replaceAll('"', "") : etag;
        if (wanted !== IfMatch) throw s3Error(412, "PreconditionFailed");
      }
      const fault = options.fault?.(Key);
      if (fault?.when === "before") throw fault.error;
      const condition = IfMatch === undefined ? "IfNoneMatch" : "IfMatch";
      if (options.races?.includes(condition)) await turn("wait");
      objects.set(Key, bytes);
      if (fault?.when === "after") throw fault.error;
      return { ETag: etagOf(bytes) };
    },
    async getObject({ Key }) {
      await turn("getObject");
      const bytes = objects.get(Key);
      if (!bytes) throw s3Error(404, "NoSuchKey");
      return {
        ETag: etagOf(bytes),
        ContentLength: bytes.length,
        Body: { transformToByteArray: async () => Buffer.from(bytes) },
      };
    },
    async headObject({ Key }) {
      await turn("headObject");
      if (!objects.has(Key)) throw s3Error(404, "NotFound");
      return {};
    },
    async deleteObject({ Key }) {
      await turn("deleteObject");
      objects.delete(Key);
      return {};
    },
    async listObjectsV2({ Prefix, StartAfter, MaxKeys = 1000, Delimiter, ContinuationToken }) {
      await turn("listObjectsV2");
      const after = ContinuationToken ?? StartAfter ?? "";
      const keys = sorted(Prefix).filter((key) => key > after);
      if (Delimiter !== undefined) {
        const folders = keys.map((key) => key.slice(0, key.indexOf(Delimiter, Prefix.length) + 1));
        return { CommonPrefixes: [...new Set(folders)].map((folder) => ({ Prefix: folder })) };
      }
      const page = keys.slice(0, MaxKeys);
      return {
        Contents: page.map((Key) => ({ Key, Size: objects.get(Key)!.length })),
        IsTruncated: keys.length > page.length,
        ...(page.length > 0 && { NextContinuationToken: page.at(-1)! }),
      };
    },
    async listObjectVersions() {
      return {};
    },
    async getBucketVersioning() {
      return options.versioning === undefined ? {} : { Status: options.versioning };
    },
    async getObjectLockConfiguration() {
      if (!options.locked) throw s3Error(404, "ObjectLockConfigurationNotFoundError");
      return { ObjectLockConfiguration: { ObjectLockEnabled: "Enabled" } };
    },
  };
}
