// @ts-check
// The storage rows of IndexedDB as a page runs them; see storage.mjs. Bundled by chromium.mjs.
import { pageRates, strongRandom } from "./page-rates.mjs";

const RECORD = 1024;
const STORED = 10_000;
const CHAIN = "bench";

/**
 * @typedef {object} Library
 * @property {Pick<typeof import("../../src/chain/index.ts"), "cidOf" | "RAW">} chain
 * @property {typeof import("../../src/storage/indexeddb.ts").indexeddbStorage} indexeddbStorage
 */

/**
 * @param {{ what: string, rounds: number, short: boolean }} options
 * @param {Library} library
 */
export async function measure({ what, rounds, short }, { chain, indexeddbStorage }) {
  const name = `${what} ${rounds}`;
  const storage = await indexeddbStorage({ name });
  const bare = await bareIndexeddb(`${name} bare`);
  const [kind, batch = "1"] = what.split("-");
  const sides = await (kind === "append"
    ? appending(storage, bare, Number(batch), short)
    : kind === "get"
      ? getting(storage, bare, short, chain)
      : scanning(storage, bare, short));
  const measured = await pageRates(sides, rounds);
  await storage.close();
  bare.close();
  return measured;
}

/** @typedef {import("../../src/storage/indexeddb.ts").IndexeddbStorage} Store */
/** @typedef {Awaited<ReturnType<typeof bareIndexeddb>>} Bare */

/** @param {number} count */
const makeRecords = (count) => Array.from({ length: count }, () => strongRandom(RECORD));

/** @param {Store} storage @param {Bare} bare @param {number} batch @param {boolean} short */
async function appending({ chains }, bare, batch, short) {
  const calls = short ? 3 : ({ 1: 300, 100: 20 }[batch] ?? 4);
  let head = await chains.head(CHAIN);
  /** @param {(records: Uint8Array[]) => Promise<unknown>} write */
  const side = (write) => ({
    prepare: () => Array.from({ length: calls }, () => makeRecords(batch)),
    round: async (/** @type {Uint8Array[][]} */ made) => {
      for (const records of made) await write(records);
      return calls * batch;
    },
  });
  return [
    {
      name: "ours",
      ...side(async (records) => {
        head = await chains.append(CHAIN, head, records);
      }),
    },
    { name: "floor", ...side((records) => bare.append(records)) },
  ];
}

/** @param {Store} storage @param {Bare} bare @param {boolean} short @param {Library["chain"]} library */
async function getting({ blobs }, bare, short, { cidOf, RAW }) {
  const all = makeRecords(short ? 200 : STORED).map((bytes) => ({ cid: cidOf(bytes, RAW), bytes }));
  for (let i = 0; i < all.length; i += 1000) {
    await blobs.put(all.slice(i, i + 1000));
    await bare.put(all.slice(i, i + 1000));
  }
  const reads = short ? 50 : 2000;
  /** @param {(blob: typeof all[number]) => Promise<Uint8Array | undefined>} read */
  const side = (read) => ({
    prepare: () => Array.from({ length: reads }, () => all[Math.floor(Math.random() * all.length)]),
    round: async (/** @type {typeof all} */ wanted) => {
      for (const blob of wanted) {
        if ((await read(blob))?.length !== RECORD) throw new Error("a blob is missing");
      }
      return reads;
    },
  });
  return [
    { name: "ours", ...side(({ cid }) => blobs.get(cid)) },
    { name: "floor", ...side(({ cid }) => bare.get(cid.multihash.digest)) },
  ];
}

/** @param {Store} storage @param {Bare} bare @param {boolean} short */
async function scanning({ chains }, bare, short) {
  const count = short ? 200 : STORED;
  let head = await chains.head(CHAIN);
  for (let left = count; left > 0; left -= 1000) {
    const records = makeRecords(Math.min(1000, left));
    head = await chains.append(CHAIN, head, records);
    await bare.append(records);
  }
  const whole = (/** @type {number} */ found) => {
    if (found !== count) throw new Error("records are missing");
    return found;
  };
  return [
    {
      name: "ours",
      round: async () => {
        let found = 0;
        for await (const { record } of chains.read(CHAIN, { from: 0 })) {
          if (record.length === RECORD) found++;
        }
        return whole(found);
      },
    },
    { name: "floor", round: async () => whole((await bare.scan(count)).length) },
  ];
}

/**
 * IndexedDB with records under their numbers and values under their hashes, as one would use it by
 * hand: no compare, no limits, no copies, as durable as ours.
 *
 * @param {string} name
 */
async function bareIndexeddb(name) {
  const opening = indexedDB.open(name, 1);
  opening.addEventListener("upgradeneeded", () => {
    for (const store of ["records", "vals"]) opening.result.createObjectStore(store);
  });
  const database = await answer(opening);
  let next = 0;

  /** @param {string} store @param {(store: IDBObjectStore) => void} work */
  const write = (store, work) =>
    new Promise((resolve, reject) => {
      const transaction = database.transaction(store, "readwrite", { durability: "strict" });
      transaction.addEventListener("complete", resolve);
      transaction.addEventListener("abort", () => reject(transaction.error));
      work(transaction.objectStore(store));
      transaction.commit();
    });

  return {
    append: (/** @type {readonly Uint8Array[]} */ records) =>
      write("records", (store) => {
        for (const record of records) store.put(record, next++);
      }),
    put: (
      /** @type {readonly { cid: import("multiformats/cid").CID, bytes: Uint8Array }[]} */ blobs,
    ) =>
      write("vals", (store) => {
        for (const { cid, bytes } of blobs) store.put(bytes, cid.multihash.digest);
      }),
    get: (/** @type {Uint8Array} */ digest) =>
      answer(
        database
          .transaction("vals")
          .objectStore("vals")
          .get(/** @type {Uint8Array<ArrayBuffer>} */ (digest)),
      ),
    scan: (/** @type {number} */ limit) =>
      answer(database.transaction("records").objectStore("records").getAll(null, limit)),
    close: () => database.close(),
  };
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function answer(request) {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}
