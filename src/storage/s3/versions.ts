import type { StorageError } from "../../errors.ts";
import type { Compaction } from "../types.ts";
import type { S3Calls, S3ListedVersion } from "./client.ts";
import { forEach, nameOf, statusOf, type Requests } from "./requests.ts";

/** Whether the bucket keeps what is deleted; `unknown` where asking is not permitted. */
export type Versioning = "off" | "on" | "locked" | "unknown";

/**
 * Asks whether a bucket keeps versions, and whether it keeps any from being removed.
 *
 * @throws {StorageError} `ERR_STORAGE_FAILED` when there is no such bucket, or no answer
 */
export async function findVersioning(
  requests: Requests,
  client: S3Calls,
  bucket: string,
): Promise<Versioning> {
  const Bucket = bucket;
  const [lock, status] = await Promise.all([
    told(() => requests.ask((options) => client.getObjectLockConfiguration({ Bucket }, options))),
    told(() => requests.ask((options) => client.getBucketVersioning({ Bucket }, options))),
  ]);
  if (lock?.ObjectLockConfiguration?.ObjectLockEnabled === "Enabled") return "locked";
  if (status === undefined) return "unknown";
  // Suspended: what was kept before is kept still.
  return status.Status === undefined || status.Status === "" ? "off" : "on";
}

/** Those who may not ask, or ask a store that does not know the question, are told nothing. */
async function told<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    const { cause } = error as StorageError;
    const untold = [400, 403, 404, 405, 501].includes(statusOf(cause) ?? 0);
    if (untold && nameOf(cause) !== "NoSuchBucket") return undefined;
    throw error;
  }
}

/**
 * Removes what is kept of deleted and replaced objects below a prefix, for good. Segments of chains
 * are left alone: the adapter deletes and replaces none, so an older version of one is what it was
 * before an accident or an attack.
 */
export async function purgeVersions(
  requests: Requests,
  prefix: string,
  concurrency: number,
): Promise<Compaction> {
  let before = 0;
  let after = 0;
  const old: S3ListedVersion[] = [];
  const markers: S3ListedVersion[] = [];
  for await (const version of requests.versions(prefix)) {
    before += version.Size ?? 0;
    const stays = version.IsLatest === true && !version.marker;
    if (stays || version.Key?.startsWith(`${prefix}chains/`)) after += version.Size ?? 0;
    else (version.marker ? markers : old).push(version);
  }
  // A marker that went first would bring back what it hides.
  for (const gone of [old, markers]) {
    await forEach(gone, concurrency, async ({ Key, VersionId }) => {
      if (Key !== undefined && VersionId !== undefined) await requests.remove(Key, VersionId);
    });
  }
  return { before, after };
}
