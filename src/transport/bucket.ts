/**
 * A bucket of an S3-compatible object store to publish a ledger in.
 *
 * @module
 */
import { assertMilliseconds } from "../bytes/guards.ts";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { InputError, StorageError } from "../errors.ts";
import type { PublishTarget } from "./publish-target.ts";

export type { PublishTarget } from "./publish-target.ts";

/** Where an object is. */
export interface BucketObject {
  readonly Bucket: string;
  readonly Key: string;
}

/**
 * The calls of the class `S3` of `@aws-sdk/client-s3` (3.x) that publishing makes, copied as a type so that the
 * package is not imported.
 */
export interface BucketCalls {
  putObject(
    input: BucketObject & {
      Body: Uint8Array;
      ContentType?: string;
      CacheControl?: string;
    },
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<{ readonly ETag?: string | undefined }>;
  getObject(
    input: BucketObject,
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<{
    readonly Body?: { transformToByteArray(): Promise<Uint8Array> } | undefined;
    readonly ContentLength?: number | undefined;
  }>;
  headObject(
    input: BucketObject,
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<unknown>;
  deleteObject(
    input: BucketObject,
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<unknown>;
  createMultipartUpload(
    input: BucketObject & { ContentType?: string; CacheControl?: string },
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<{ readonly UploadId?: string | undefined }>;
  uploadPart(
    input: BucketObject & { UploadId: string; PartNumber: number; Body: Uint8Array },
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<{ readonly ETag?: string | undefined }>;
  completeMultipartUpload(
    input: BucketObject & {
      UploadId: string;
      MultipartUpload: { Parts: { PartNumber: number; ETag: string }[] };
    },
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<{ readonly ETag?: string | undefined }>;
  abortMultipartUpload(
    input: BucketObject & { UploadId: string },
    options?: { readonly abortSignal?: AbortSignal },
  ): Promise<unknown>;
}

/** Options of {@link bucketTarget}. */
export interface BucketTargetOptions {
  /** An `S3` of `@aws-sdk/client-s3` (3.x), or an object with the same methods; the caller keeps it. */
  readonly client: BucketCalls;
  /** An existing bucket. */
  readonly bucket: string;
  /** Prefix of every key; a final `/` is added. Default: none. */
  readonly prefix?: string;
  /** Milliseconds that one call of the client may take, with the client's own retries. Default 60,000. */
  readonly timeout?: number;
}

const OPTIONS: OptionsOf<BucketTargetOptions> = {
  ...{ client: true, bucket: true, prefix: true, timeout: true },
};

/** Bytes of a part of a large object; stores demand 5 MiB. */
const PART_BYTES: number = 8 * 1024 * 1024;
const ABSENT: readonly unknown[] = ["NoSuchKey", "NotFound"];

/**
 * Publishes into a bucket, which must keep the order of writes: what was written before is seen by whoever sees
 * what was written after, as S3 promises. Only one process at a time may publish. How others may read the bucket
 * is for you to say.
 *
 * Tiles may be kept by caches for ever; all else is asked for each time. A file of more than 8 MiB is sent in parts,
 * which are in memory one at a time.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option, or a prefix that is none
 * @example
 * const target = bucketTarget({ client, bucket: "history", prefix: "v1" });
 * const { size } = await publishLedger(source, target);
 */
export function bucketTarget(options: BucketTargetOptions): PublishTarget {
  assertOptions(options, OPTIONS, "bucketTarget");
  const { client, bucket, prefix = "", timeout = 60_000 } = options;
  assertMilliseconds(timeout, "timeout");
  if (prefix !== "" && !/^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*\/?$/.test(prefix)) {
    throw new InputError("ERR_INPUT_INVALID", "`prefix` must be plain names joined by slashes");
  }
  const below = prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;
  const objectOf = (path: string): BucketObject => ({ Bucket: bucket, Key: below + path });

  /** Makes one call, and turns its error into that of a store. */
  async function call<T>(
    request: (options: { abortSignal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    try {
      return await request({ abortSignal: AbortSignal.timeout(timeout) });
    } catch (error) {
      throw failed(error);
    }
  }

  /** The result of a call, or `undefined` if the store says that there is no such object. */
  async function orAbsent<T>(result: Promise<T>): Promise<T | undefined> {
    try {
      return await result;
    } catch (error) {
      const { name, $metadata } = Object(error instanceof StorageError ? error.cause : error);
      // Not any 404: a missing bucket, or a server in between, says nothing about the object.
      if ($metadata?.httpStatusCode === 404 && ABSENT.includes(name)) return undefined;
      throw error;
    }
  }

  async function putLarge(
    object: BucketObject & Headers,
    parts: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    const { Bucket, Key } = object;
    const { UploadId } = await call((given) => client.createMultipartUpload(object, given));
    if (UploadId === undefined) throw failed(new Error("the store names no upload"));
    const upload = { Bucket, Key, UploadId };
    try {
      const Parts: { PartNumber: number; ETag: string }[] = [];
      for await (const Body of parts) {
        const PartNumber = Parts.length + 1;
        const { ETag } = await call((given) =>
          client.uploadPart({ ...upload, PartNumber, Body }, given),
        );
        if (ETag === undefined) throw failed(new Error("the answer to a part has no ETag"));
        Parts.push({ PartNumber, ETag });
      }
      const done = await call((given) =>
        client.completeMultipartUpload({ ...upload, MultipartUpload: { Parts } }, given),
      );
      if (done.ETag === undefined) throw failed(new Error("the answer to an upload has no ETag"));
    } catch (error) {
      // Parts that nobody takes back are paid for; the first error is the one to tell.
      await call((given) => client.abortMultipartUpload(upload, given)).catch(() => undefined);
      throw error;
    }
  }

  return {
    async put(path, bytes) {
      const object = { ...objectOf(path), ...headersOf(path) };
      const parts = inParts(bytes);
      try {
        const first = await parts.next();
        const next = first.done === true ? first : await parts.next();
        if (next.done !== true) {
          return await putLarge(object, joinedParts([first.value!, next.value], parts));
        }
        const Body = first.value ?? new Uint8Array();
        const { ETag } = await call((given) => client.putObject({ ...object, Body }, given));
        // A proxy may answer 200 to everything; a store names what it stored.
        if (ETag === undefined) throw failed(new Error("the answer to a PUT has no ETag"));
      } finally {
        await parts.return(undefined);
      }
    },
    async get(path, most) {
      const tooLong = (): StorageError =>
        new StorageError("ERR_STORAGE_CORRUPT", "a published file is too long");
      const ending = new AbortController();
      const found = await orAbsent(
        call(({ abortSignal }) =>
          client.getObject(objectOf(path), {
            abortSignal: AbortSignal.any([abortSignal, ending.signal]),
          }),
        ),
      );
      if (found === undefined) return undefined;
      const { Body, ContentLength } = found;
      if (ContentLength === undefined || ContentLength > most) {
        ending.abort();
        throw ContentLength === undefined
          ? failed(new Error("an answer has no length"))
          : tooLong();
      }
      const bytes = await call(
        async () => (await Body?.transformToByteArray()) ?? new Uint8Array(),
      );
      if (bytes.length > most) throw tooLong();
      if (bytes.length !== ContentLength) throw failed(new Error("the answer was cut short"));
      return new Uint8Array(bytes);
    },
    async has(path) {
      const found = call(async (given) => {
        await client.headObject(objectOf(path), given);
        return true;
      });
      return (await orAbsent(found)) === true;
    },
    async delete(path) {
      await orAbsent(call((given) => client.deleteObject(objectOf(path), given)));
    },
  };
}

interface Headers {
  readonly ContentType: string;
  readonly CacheControl: string;
}

function headersOf(path: string): Headers {
  return {
    ContentType: path === "checkpoint" ? "text/plain; charset=utf-8" : "application/octet-stream",
    CacheControl:
      path === "genesis" || path.startsWith("tile/") ? "max-age=31536000, immutable" : "no-cache",
  };
}

/** Parts of 8 MiB; the last one may be smaller, and an empty file has none. */
async function* inParts(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, undefined> {
  let part = new Uint8Array(65_536);
  let filled = 0;
  for await (const given of bytes) {
    for (let at = 0; at < given.length;) {
      if (filled === PART_BYTES) {
        yield part;
        part = new Uint8Array(PART_BYTES);
        filled = 0;
      }
      const piece = given.subarray(at, at + PART_BYTES - filled);
      if (filled + piece.length > part.length) {
        const wider = new Uint8Array(Math.min(PART_BYTES, 2 * (filled + piece.length)));
        wider.set(part.subarray(0, filled));
        part = wider;
      }
      part.set(piece, filled);
      filled += piece.length;
      at += piece.length;
    }
  }
  if (filled > 0) yield part.subarray(0, filled);
  return undefined;
}

async function* joinedParts(
  first: readonly Uint8Array[],
  rest: AsyncGenerator<Uint8Array>,
): AsyncIterable<Uint8Array> {
  yield* first;
  yield* rest;
}

function failed(cause: unknown): StorageError {
  const { name, $metadata } = Object(cause) as {
    readonly name?: unknown;
    readonly $metadata?: { readonly httpStatusCode?: unknown };
  };
  const status = $metadata?.httpStatusCode ?? "no response";
  return new StorageError(
    "ERR_STORAGE_FAILED",
    `the object store refused or did not answer (${String(status)}, ${String(name)})`,
    { cause },
  );
}
