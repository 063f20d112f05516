import { InputError, StorageError, type LedgerError } from "../../errors.ts";
import { AmbiguousAppend } from "../errors.ts";
import { disordered } from "../guards.ts";
import type { S3Calls, S3CallOptions, S3ListedObject, S3ListedVersion } from "./client.ts";
import { sleep } from "../sleep.ts";

export interface RequestOptions {
  readonly client: S3Calls;
  readonly bucket: string;
  /** Retries of a request, besides those that the client makes itself. */
  readonly retries: number;
  /** Milliseconds that one call of the client may take. */
  readonly timeout: number;
}

/** The result of a conditional write. */
export type Written = { readonly etag: string | undefined } | "refused";

/** The adapter's requests; those that are safe to repeat are retried. Keys are complete. */
export interface Requests {
  /**
   * Writes an object if there is none. `"refused"` means that there is one, possibly written by an
   * earlier attempt of this call.
   *
   * @throws {AmbiguousAppend} it is unknown whether the object was written
   * @throws {StorageError} `ERR_STORAGE_FAILED` it certainly was not
   */
  create(key: string, body: Uint8Array): Promise<Written>;
  /** Overwrites the object with this ETag, once; errors are the client's. */
  replace(key: string, body: Uint8Array, etag: string): Promise<Written>;
  get(
    key: string,
  ): Promise<{ readonly bytes: Uint8Array; readonly etag: string | undefined } | undefined>;
  has(key: string): Promise<boolean>;
  /** Keys below a prefix in byte order, after `after`. */
  list(prefix: string, options?: ListOptions): AsyncIterable<S3ListedObject>;
  /** The name parts between a prefix and the next `/`, each once. */
  folders(prefix: string): AsyncIterable<string>;
  remove(key: string, version?: string): Promise<void>;
  /** Makes another read-only request; the error's `cause` says why it was refused. */
  ask<T>(request: (options: S3CallOptions) => Promise<T>): Promise<T>;
  versions(prefix: string): AsyncIterable<S3ListedVersion & { readonly marker: boolean }>;
}

export interface ListOptions {
  readonly after?: string;
  /** Most keys to return; all if absent. */
  readonly limit?: number;
}

const FIRST_DELAY = 50;
const PAGE = 1000;

export function createRequests({ client, bucket, retries, timeout }: RequestOptions): Requests {
  const Bucket = bucket;
  const call = (): S3CallOptions => ({ abortSignal: AbortSignal.timeout(timeout) });

  /** Retries a request that changes nothing, or that has the same effect each time. */
  async function repeated<T>(request: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await request();
      } catch (error) {
        if (attempt >= retries || !mayPass(error)) throw failed(error);
        await sleep(FIRST_DELAY << attempt);
      }
    }
  }

  const listPage = (
    prefix: string,
    token: string | undefined,
    how: Partial<Parameters<S3Calls["listObjectsV2"]>[0]>,
  ): ReturnType<S3Calls["listObjectsV2"]> =>
    repeated(() =>
      client.listObjectsV2(
        {
          Bucket,
          Prefix: prefix,
          ...how,
          ...(token !== undefined && { ContinuationToken: token }),
        },
        call(),
      ),
    );

  async function absent<T>(request: () => Promise<T>): Promise<T | undefined> {
    try {
      return await request();
    } catch (error) {
      // Not any 404: a missing bucket, or a server in between, says nothing about the object.
      if (statusOf(error) === 404 && ABSENT.includes(errorName(error))) return undefined;
      throw error;
    }
  }

  return {
    ask: (request) => repeated(() => request(call())),

    async create(key, body) {
      let unsure = false;
      for (let attempt = 0; ; attempt++) {
        try {
          const { ETag } = await client.putObject(
            { Bucket, Key: key, Body: body, IfNoneMatch: "*", ContentType: OCTETS },
            call(),
          );
          // A proxy may answer 200 to everything; a store returns the ETag of what it stored.
          if (ETag === undefined) throw new Error("the response to a PUT has no ETag");
          return { etag: ETag };
        } catch (error) {
          const status = statusOf(error);
          // Some stores answer a write to an existing object like a read: not modified.
          if (status === 412 || status === 304) return "refused";
          // The client retries by itself, so the outcome of its earlier attempts is unknown.
          unsure ||= (status !== 409 && mayPass(error)) || attemptsOf(error) > 1;
          if (attempt >= retries || !mayPass(error)) {
            if (unsure) throw new AmbiguousAppend(error);
            throw failed(error);
          }
          await sleep(FIRST_DELAY << attempt);
        }
      }
    },

    async replace(key, body, etag) {
      try {
        const { ETag } = await client.putObject(
          { Bucket, Key: key, Body: body, IfMatch: etag, ContentType: OCTETS },
          call(),
        );
        return { etag: ETag };
      } catch (error) {
        if (statusOf(error) === 412) return "refused";
        throw error;
      }
    },

    get(key) {
      return repeated(() =>
        absent(async () => {
          const { Body, ETag, ContentLength } = await client.getObject(
            { Bucket, Key: key },
            call(),
          );
          const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array();
          if (ContentLength !== undefined && ContentLength !== bytes.length) {
            throw new Error(`the response ended after ${bytes.length} of ${ContentLength} bytes`);
          }
          // Not a view of a pool, and a plain array whatever the client returns.
          return { bytes: new Uint8Array(bytes), etag: ETag };
        }),
      );
    },

    async has(key) {
      const found = await repeated(() =>
        absent(() => client.headObject({ Bucket, Key: key }, call())),
      );
      return found !== undefined;
    },

    async *list(prefix, { after, limit = Infinity } = {}) {
      let left = limit;
      let last = after;
      const pages = paging();
      let token: string | undefined;
      do {
        const page = await listPage(prefix, token, {
          MaxKeys: Math.min(PAGE, left),
          ...(after !== undefined && token === undefined && { StartAfter: after }),
        });
        const contents = page.Contents ?? [];
        for (const object of contents) {
          const { Key = "" } = object;
          if (!Key.startsWith(prefix) || (last !== undefined && Key <= last)) throw disordered();
          last = Key;
          yield object;
        }
        left -= contents.length;
        token =
          left > 0 ? pages.next(page, contents.length, page.NextContinuationToken) : undefined;
      } while (token !== undefined);
    },

    async *folders(prefix) {
      let last = "";
      const pages = paging();
      let token: string | undefined;
      do {
        const page = await listPage(prefix, token, { Delimiter: "/" });
        const folders = page.CommonPrefixes ?? [];
        for (const { Prefix = "" } of folders) {
          if (!Prefix.startsWith(prefix) || Prefix <= last) throw disordered();
          last = Prefix;
          yield Prefix.slice(prefix.length, -1);
        }
        token = pages.next(page, folders.length, page.NextContinuationToken);
      } while (token !== undefined);
    },

    async remove(key, version) {
      await repeated(() =>
        absent(() =>
          client.deleteObject(
            { Bucket, Key: key, ...(version !== undefined && { VersionId: version }) },
            call(),
          ),
        ),
      );
    },

    async *versions(prefix) {
      const pages = paging();
      let next: { KeyMarker?: string; VersionIdMarker?: string } | undefined = {};
      while (next !== undefined) {
        const from: { KeyMarker?: string; VersionIdMarker?: string } = next;
        const page = await repeated(() =>
          client.listObjectVersions({ Bucket, Prefix: prefix, ...from }, call()),
        );
        for (const version of page.Versions ?? []) yield { ...version, marker: false };
        for (const version of page.DeleteMarkers ?? []) yield { ...version, marker: true };
        const count = (page.Versions ?? []).length + (page.DeleteMarkers ?? []).length;
        const marks = [page.NextKeyMarker, page.NextVersionIdMarker];
        const token = page.NextKeyMarker === undefined ? undefined : JSON.stringify(marks);
        next =
          pages.next(page, count, token) !== undefined
            ? {
                ...(page.NextKeyMarker !== undefined && { KeyMarker: page.NextKeyMarker }),
                ...(page.NextVersionIdMarker !== undefined && {
                  VersionIdMarker: page.NextVersionIdMarker,
                }),
              }
            : undefined;
      }
    },
  };
}

const ABSENT: readonly unknown[] = ["NoSuchKey", "NotFound", "NoSuchVersion"];
const OCTETS = "application/octet-stream";

interface ClientError {
  readonly name?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: unknown; readonly attempts?: unknown };
}

/** The status of the response in an error; `undefined` if there was none. */
export function statusOf(error: unknown): number | undefined {
  const status = (error as ClientError | undefined)?.$metadata?.httpStatusCode;
  return typeof status === "number" ? status : undefined;
}

export function errorName(error: unknown): unknown {
  return (error as ClientError | undefined)?.name;
}

function attemptsOf(error: unknown): number {
  const attempts = (error as ClientError | undefined)?.$metadata?.attempts;
  return typeof attempts === "number" ? attempts : 1;
}

/** Whether the same request may succeed later: no response, a conflict, load, a fault. */
function mayPass(error: unknown): boolean {
  const status = statusOf(error);
  // A response that was cut short has a status below 300, or none.
  if (status === undefined || status < 300) return errorName(error) !== "CredentialsProviderError";
  return status === 408 || status === 409 || status === 429 || (status >= 500 && status !== 501);
}

/** Empty pages after which a list counts as endless. */
const EMPTY_PAGES = 1000;

/** Ensures that a list ends; returns where it continues, if it does. */
function paging(): {
  next(
    page: { readonly IsTruncated?: boolean | undefined },
    count: number,
    token: string | undefined,
  ): string | undefined;
} {
  let before: string | undefined;
  let empty = 0;
  return {
    next(page, count, token) {
      if (page.IsTruncated !== true) return undefined;
      // Otherwise the rest would count as absent.
      if (token === undefined) throw endless("was cut off, and does not say where it continues");
      if (token === before) throw endless("continues where it was");
      empty = count > 0 ? 0 : empty + 1;
      if (empty > EMPTY_PAGES) throw endless("has no end");
      before = token;
      return token;
    },
  };
}

function endless(what: string): StorageError {
  return new StorageError("ERR_STORAGE_CORRUPT", `a list of the object store ${what}`);
}

function failed(cause: unknown): LedgerError {
  const status = statusOf(cause);
  const name = errorName(cause);
  if (status === 501) {
    return new InputError(
      "ERR_INPUT_UNSUPPORTED",
      "the object store does not support this request",
      {
        cause,
      },
    );
  }
  if (status === 304) {
    return new StorageError(
      "ERR_STORAGE_FAILED",
      'the object store, or a cache in front of it, answered "not modified" to an unconditional request',
      { cause },
    );
  }
  return new StorageError(
    "ERR_STORAGE_FAILED",
    `the object store refused or did not answer (${status ?? "no response"}, ${String(name)})`,
    { cause },
  );
}

/** Maps items with bounded concurrency, starting in order; the first error stops it. */
export async function forEach<T, R>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  let stopped = false;
  async function worker(): Promise<void> {
    while (!stopped && next < items.length) {
      const index = next++;
      try {
        results[index] = await work(items[index]!);
      } catch (error) {
        stopped = true;
        throw error;
      }
    }
  }
  const workers = Array.from({ length: Math.min(width, items.length) }, worker);
  const outcomes = await Promise.allSettled(workers);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  return results;
}
