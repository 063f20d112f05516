// @ts-check
import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { S3 } from "@aws-sdk/client-s3";
import { s3Storage } from "../lib/healthledger.mjs";
import { storageRows } from "../lib/storage.mjs";

const BUCKET = "bench";
/** Requests under way at a time where several are, as many as the adapter makes. */
const WIDTH = { put: 16, scan: 8 };
let stores = 0;
/** @type {Promise<S3> | undefined} */
let connected;

/** Starts the server of the suite, which ends with this process. */
async function connect() {
  const script = fileURLToPath(new URL("../../test/s3/run-server.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const line = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("exit", () => reject(new Error("the object store did not start")));
  });
  // It ends when its standard input does; nothing here waits for it.
  child.unref();
  for (const stream of [child.stdin, child.stdout]) {
    /** @type {import("node:net").Socket} */ (/** @type {unknown} */ (stream)).unref();
  }
  const { endpoint, ...credentials } = JSON.parse(line);
  const s3 = new S3({ endpoint, credentials, region: "us-east-1", forcePathStyle: true });
  await s3.createBucket({ Bucket: BUCKET });
  return s3;
}

/**
 * One object a batch of records, one a value; nothing is compared and nothing hashed.
 *
 * @param {S3} s3
 * @param {string} prefix
 * @returns {import("../lib/storage.mjs").Bare}
 */
function bareS3(s3, prefix) {
  /** @type {number[]} */
  const batches = [];
  const Bucket = BUCKET;
  const nameOf = (/** @type {Uint8Array} */ digest) =>
    `${prefix}/values/${Buffer.from(digest).toString("hex")}`;
  const read = async (/** @type {string} */ Key) => {
    const { Body } = await s3.getObject({ Bucket, Key });
    return Body?.transformToByteArray();
  };
  return {
    append: (records) => {
      const Key = `${prefix}/records/${batches.push(records.length)}`;
      return s3.putObject({ Bucket, Key, Body: Buffer.concat(records) });
    },
    put: (blobs) =>
      together(blobs, WIDTH.put, ({ digest, bytes: Body }) =>
        s3.putObject({ Bucket, Key: nameOf(digest), Body }),
      ),
    get: (digest) => read(nameOf(digest)),
    async scan(limit) {
      let found = 0;
      await together(batches, WIDTH.scan, async (records, i) => {
        const bytes = await read(`${prefix}/records/${i + 1}`);
        if (bytes !== undefined) found += records;
      });
      return Math.min(found, limit);
    },
    close: async () => {},
  };
}

/**
 * @template T
 * @param {readonly T[]} items
 * @param {number} width
 * @param {(item: T, index: number) => Promise<unknown>} work
 */
async function together(items, width, work) {
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < items.length; i = next++) await work(/** @type {T} */ (items[i]), i);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

const installed = spawnSync("radosgw", ["--version"]).status === 0;
if (!installed) console.log("storage/s3: skipped, radosgw is not installed");

export const rows = installed
  ? storageRows("s3", {
      open: async () => {
        connected ??= connect();
        const client = await connected;
        const prefix = `store-${++stores}`;
        // Without a cache, or a chain that was just written would be scanned from memory.
        const storage = await s3Storage({ client, bucket: BUCKET, prefix, cacheBytes: 0 });
        return { storage, bare: bareS3(client, `${prefix}-bare`) };
      },
      work: 0.5,
    })
  : [];
