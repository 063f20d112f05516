import type { StorageError } from "../../errors.ts";
import type { Compaction } from "../types.ts";
import type { S3Calls, S3ListedVersion } from "./client.ts";
import { forEach, errorName, statusOf, type Requests } from "./requests.ts";

/** Whether the bucket keeps deleted objects; `unknown` if asking is not permitted. */
export type Versioning = "off" | "on" | "locked" | "unknown";

/**
 * Asks whether a bucket keeps versions, and whether it prevents their removal.
 *
 * @throws {StorageError} `ERR_STORAGE_FAILED` when the bucket does not exist, or nothing answers
 */
export async function findVersioning(
  requests: Requests,
  client: S3Calls,
  bucket: string,
): Promise<Versioning> {
  const Bucket = bucket;
  const [lock, status] = await Promise.all([
    askIfAllowed(() =>
      requests.ask((options) => client.getObjectLockConfiguration({ Bucket }, options)),
    ),
    askIfAllowed(() => requests.ask((options) => client.getBucketVersioning({ Bucket }, options))),
  ]);
  if (lock?.ObjectLockConfiguration?.ObjectLockEnabled === "Enabled") return "locked";
  if (status === undefined) return "unknown";
  // Suspended: earlier versions are still kept.
  return status.Status === undefined || status.Status === "" ? "off" : "on";
}

/** Answers `undefined` if the caller may not ask, or the store does not know the question. */
async function askIfAllowed<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    const { cause } = error as StorageError;
    const untold = [400, 403, 404, 405, 501].includes(statusOf(cause) ?? 0);
    if (untold && errorName(cause) !== "NoSuchBucket") return undefined;
    throw error;
  }
}

/**
 * Permanently removes versions of deleted and replaced objects below a prefix. Leaves segments
 * alone: the adapter deletes and replaces none, so an older version of a segment is from before an
 * accident or an attack.
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
  // Removing a marker first would restore the object that it hides.
  for (const gone of [old, markers]) {
    await forEach(gone, concurrency, async ({ Key, VersionId }) => {
      if (Key !== undefined && VersionId !== undefined) await requests.remove(Key, VersionId);
    });
  }
  return { before, after };
}
