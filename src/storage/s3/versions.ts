import type { Compaction } from "../types.ts";
import type { S3Calls, S3ListedVersion } from "./client.ts";
import { forEach, nameOf, statusOf, type Requests } from "./requests.ts";

/** Whether the bucket keeps what is deleted; `unknown` where asking is not permitted. */
export type Versioning = "off" | "on" | "locked" | "unknown";

/** Asks whether a bucket keeps versions, and whether it keeps any from being removed. */
export async function findVersioning(client: S3Calls, bucket: string): Promise<Versioning> {
  const [locked, status] = await Promise.all([
    told(async () => {
      const { ObjectLockConfiguration } = await client.getObjectLockConfiguration({
        Bucket: bucket,
      });
      return ObjectLockConfiguration?.ObjectLockEnabled === "Enabled";
    }),
    told(async () => (await client.getBucketVersioning({ Bucket: bucket })).Status ?? "Off"),
  ]);
  if (locked === true) return "locked";
  if (status === undefined) return "unknown";
  // Suspended: what was kept before is kept still.
  return status === "Off" ? "off" : "on";
}

async function told<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    const status = statusOf(error);
    if (nameOf(error) !== "NoSuchBucket" && [400, 403, 404, 405, 501].includes(status ?? 0)) {
      return undefined;
    }
    throw error;
  }
}

/** Removes what is kept of deleted and replaced objects below a prefix, for good. */
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
    if (version.IsLatest === true && !version.marker) after += version.Size ?? 0;
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
