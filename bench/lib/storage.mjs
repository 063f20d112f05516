// @ts-check
// The same work for every storage adapter, beside the same bytes through the bare client.
import { randomBytes } from "node:crypto";
import { hlChain } from "./healthledger.mjs";
import { BLOB_BYTES, makeBlobs } from "./ledger.mjs";
import { rates } from "./measure.mjs";

/**
 * What an adapter's floor does with the client alone, as one would write it by hand: no compare, no
 * limits, no copies, as durable as the adapter is.
 * @typedef {object} Bare
 * @property {(records: readonly Uint8Array[]) => Promise<unknown>} append - writes records after
 *   those before, under their numbers; resolves when durable
 * @property {(blobs: readonly { digest: Uint8Array, bytes: Uint8Array }[]) => Promise<unknown>} put
 *   - stores values under their SHA-256; resolves when durable
 * @property {(digest: Uint8Array) => unknown} get - reads one of them, or a promise of it
 * @property {(limit: number) => Promise<number> | number} scan - reads so many records from the
 *   first on; how many there were
 * @property {() => Promise<unknown>} close
 */

/**
 * Both sides of a row, each with a store of its own.
 * @typedef {object} Sides
 * @property {import("../../src/storage/types.ts").StorageAdapter} storage
 * @property {Bare} bare
 */

/**
 * @typedef {object} StorageRows
 * @property {(run: import("../run.mjs").Run) => Promise<Sides>} open
 * @property {number} [work] - how much is done in a round, for stores that are much slower or
 *   faster; default 1
 */

const CHAIN = "bench";
/** Blobs and records that are there before `get` and `scan`. */
const STORED = 10_000;

/**
 * The rows of an adapter: `storage/<name>/append-1`, `-100`, `-1000`, `/get` and `/scan`.
 *
 * `append-N` appends records of 1 KB to one chain, N in a call, each call made when the one before
 * is durable. `get` reads blobs of 1 KB by CID, one at a time and at random, among 10,000. `scan`
 * reads a chain of 10,000 records from its beginning.
 *
 * @param {string} name
 * @param {StorageRows} adapter
 * @returns {import("../run.mjs").Row[]}
 */
export function storageRows(name, { open, work = 1 }) {
  const scaled = (/** @type {number} */ amount) => Math.max(1, Math.round(amount * work));

  /** @param {number} batch @returns {import("../run.mjs").Row} */
  const append = (batch) => ({
    name: `storage/${name}/append-${batch}`,
    unit: "records/s",
    async run(run) {
      const { storage, bare } = await open(run);
      const calls = run.short ? 3 : scaled(batch === 1 ? 300 : batch === 100 ? 60 : 12);
      let head = await chainsOf(storage).head(CHAIN);
      /** @param {(records: Uint8Array[]) => Promise<unknown>} write */
      const side = (write) => ({
        prepare: () => Array.from({ length: calls }, () => makeBlobs(batch)),
        /** @param {Uint8Array[][]} made */
        round: async (made) => {
          for (const records of made) await write(records);
          return calls * batch;
        },
      });
      const measured = await rates(
        [
          {
            name: "ours",
            ...side(async (records) => {
              head = await chainsOf(storage).append(CHAIN, head, records);
            }),
          },
          { name: "floor", ...side((records) => bare.append(records)) },
        ],
        run,
      );
      return finish(storage, bare, measured);
    },
  });

  return [
    append(1),
    append(100),
    append(1000),
    {
      name: `storage/${name}/get`,
      unit: "reads/s",
      async run(run) {
        const { storage, bare } = await open(run);
        const blobs = hashed(run.short ? 200 : scaled(STORED));
        for (let i = 0; i < blobs.length; i += 100) {
          const some = blobs.slice(i, i + 100);
          await blobsOf(storage).put(some);
          await bare.put(some);
        }
        const reads = run.short ? 50 : scaled(3000);
        /** @param {(blob: typeof blobs[number]) => unknown} read */
        const side = (read) => ({
          prepare: () => {
            const random = new Uint32Array(randomBytes(4 * reads).buffer.slice(0, 4 * reads));
            return [...random].map((at) => blobs[at % blobs.length]);
          },
          /** @param {typeof blobs} wanted */
          round: async (wanted) => {
            for (const blob of wanted) {
              const bytes = /** @type {Uint8Array | undefined} */ (await read(blob));
              if (bytes?.length !== BLOB_BYTES) throw new Error("a blob is missing");
            }
            return reads;
          },
        });
        const measured = await rates(
          [
            { name: "ours", ...side(({ cid }) => blobsOf(storage).get(cid)) },
            { name: "floor", ...side(({ digest }) => bare.get(digest)) },
          ],
          run,
        );
        return finish(storage, bare, measured);
      },
    },
    {
      name: `storage/${name}/scan`,
      unit: "records/s",
      async run(run) {
        const { storage, bare } = await open(run);
        const count = run.short ? 200 : scaled(STORED);
        let head = await chainsOf(storage).head(CHAIN);
        for (let left = count; left > 0; left -= 100) {
          const records = makeBlobs(Math.min(100, left));
          head = await chainsOf(storage).append(CHAIN, head, records);
          await bare.append(records);
        }
        const whole = (/** @type {number} */ found) => {
          if (found !== count) throw new Error("records are missing");
          return found;
        };
        const measured = await rates(
          [
            {
              name: "ours",
              round: async () => {
                let found = 0;
                for await (const { record } of chainsOf(storage).read(CHAIN, { from: 0 })) {
                  if (record.length === BLOB_BYTES) found++;
                }
                return whole(found);
              },
            },
            { name: "floor", round: async () => whole(await bare.scan(count)) },
          ],
          run,
        );
        return finish(storage, bare, measured);
      },
    },
  ];
}

/** @param {number} count */
function hashed(count) {
  return makeBlobs(count).map((bytes) => {
    const cid = hlChain.cidOf(bytes, hlChain.RAW);
    return { cid, bytes, digest: cid.multihash.digest };
  });
}

/**
 * @param {Sides["storage"]} storage
 * @param {Bare} bare
 * @param {Record<string, number>} measured
 * @returns {Promise<import("../run.mjs").Measured>}
 */
async function finish(storage, bare, { ours = 0, floor = 0 }) {
  await Promise.all([storage.close(), bare.close()]);
  return { value: ours, floor };
}

/** @param {Sides["storage"]} storage */
function chainsOf({ chains }) {
  if (chains === undefined) throw new Error("the storage has no chains");
  return chains;
}

/** @param {Sides["storage"]} storage */
function blobsOf({ blobs }) {
  if (blobs === undefined) throw new Error("the storage has no blobs");
  return blobs;
}
