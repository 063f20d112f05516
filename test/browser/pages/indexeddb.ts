import { cidOf, RAW } from "../../../src/codec/cid.ts";
import {
  indexeddbStorage,
  type IndexeddbFactory,
  type IndexeddbStorage,
} from "../../../src/storage/indexeddb.ts";
import { runKit } from "../../../src/testing/kit.ts";
import { ALL_FEATURES } from "../../../src/testing/memory-subject.ts";
import { storageControls } from "../../../src/testing/storage-controls.ts";
import { storageCases, type MakeStorage } from "../../../src/testing/storage-kit.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const genesis = { size: 0, hash: null };
let stores = 0;

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}

const subjects: MakeStorage = async () => {
  const name = `store ${stores++}`;
  const opened: IndexeddbStorage[] = [];
  return {
    // indexeddb-crash.browser.ts has other pages, and kills the browser.
    notTried: ["kill", "processes", "traced"],
    async open(limits) {
      const storage = await indexeddbStorage({ name, indexedDB, IDBKeyRange, ...limits });
      opened.push(storage);
      return storage;
    },
    async dispose() {
      for (const storage of opened) await storage.close();
      await settled(indexedDB.deleteDatabase(name));
    },
  };
};

/** Runs one case of the kit; gives what it did wrong, or nothing. */
export async function runCase(name: string): Promise<string | undefined> {
  const { run } = storageCases.find((one) => one.name === name)!;
  try {
    await run(subjects);
    return undefined;
  } catch (error) {
    return String(error);
  }
}

/** Names of the controls that the kit, run in a browser, takes for good stores. */
export async function passingControls(): Promise<string[]> {
  const passed: string[] = [];
  for (const { name, make, fails } of storageControls) {
    const cases = storageCases.filter((one) => one.name.includes(fails));
    const results = await runKit(cases, make, { features: ALL_FEATURES, timeout: 5000 });
    if (!results.some(({ outcome }) => outcome === "failed")) passed.push(name);
  }
  return passed;
}

const codeOf = (error: unknown): string =>
  `${(error as { code?: string }).code ?? String(error)}: ${(error as Error).message}`;

/** How a call ends: `"done"`, or the code and message of its error. */
async function outcome(call: Promise<unknown>): Promise<string> {
  return call.then(() => "done", codeOf);
}

let held: IndexeddbStorage;

/** Opens a store to be kept open, whose `tail` does not look by itself; gives what it promises. */
export async function hold(name: string): Promise<unknown> {
  held = await indexeddbStorage({ name, pollInterval: 1_000_000 });
  return held.chains.caps;
}

export async function append(label: string): Promise<string> {
  const head = await held.chains.head("a").catch(() => genesis);
  return outcome(held.chains.append("a", head, [text(label)]));
}

export async function appendMany(times: number): Promise<void> {
  for (let i = 0; i < times; i++) await append(`record ${i}`);
}

export async function batchMany(times: number, sync: boolean): Promise<void> {
  for (let i = 0; i < times; i++) {
    await held.state.batch([{ key: text("k"), value: text(`${i}`) }], { sync });
  }
}

export async function read(): Promise<string[]> {
  const records: string[] = [];
  for await (const { record } of held.chains.read("a", { from: 0 })) {
    records.push(new TextDecoder().decode(record));
  }
  return records;
}

export async function outcomeOfRead(): Promise<string> {
  return outcome(read());
}

/** Waits for a record that another tab appends; gives how the tail ended when that was lost. */
export async function follow(from: number): Promise<string> {
  for await (const { record } of held.chains.tail!("a", { from })) {
    return new TextDecoder().decode(record);
  }
  return "ended";
}

export async function outcomeOfFollow(from: number): Promise<string> {
  return outcome(follow(from));
}

/** Commits a megabyte again and again until that fails. */
export async function fill(most: number): Promise<string> {
  for (let i = 0; i < most; i++) {
    const ended = await commitBytes(1_000_000);
    if (ended !== "done") return ended;
  }
  return "done";
}

/** Commits this many bytes to all three stores. */
export async function commitBytes(length: number): Promise<string> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(length, at + 65_536)));
  }
  const third = bytes.subarray(0, Math.floor(length / 3));
  return outcome(
    held.commit({
      append: { chain: "b", expected: await held.chains.head("b"), records: [third] },
      blobs: [{ cid: cidOf(third, RAW), bytes: third }],
      state: [{ key: text("last"), value: third }],
    }),
  );
}

/** What is there of the commits above, of which each leaves one more record and blob. */
export async function sizes(): Promise<{ records: number; blobs: number; whole: boolean }> {
  const records: Uint8Array[] = [];
  for await (const { record } of held.chains.read("b", { from: 0 })) records.push(record);
  const blobs = await held.blobs.getMany(records.map((record) => cidOf(record, RAW)));
  const last = await held.state.get(text("last"));
  const same = (a: Uint8Array | undefined, b: Uint8Array): boolean =>
    a !== undefined && cidOf(a, RAW).equals(cidOf(b, RAW));
  return {
    records: records.length,
    blobs: await held.blobs.count(),
    whole:
      blobs.every((bytes, i) => same(bytes, records[i]!)) &&
      (records.length === 0 || same(last, records.at(-1)!)),
  };
}

/** Deletes all blobs of the commits above. */
export async function deleteBlobs(): Promise<string> {
  const cids = [];
  for await (const cid of held.blobs.list()) cids.push(cid);
  return outcome(held.blobs.delete(cids));
}

export async function close(): Promise<void> {
  await held.close();
}

export async function outcomeOfOpening(name: string, abortAfter?: number): Promise<string> {
  const signal = abortAfter === undefined ? undefined : AbortSignal.timeout(abortAfter);
  const opening = indexeddbStorage({ name, ...(signal && { signal }) });
  return outcome(opening.then((storage) => storage.close()));
}

/** What another program does to the database; gives the events that it saw. */
export async function tamper(name: string, version: number | "delete"): Promise<string[]> {
  const seen: string[] = [];
  const request =
    version === "delete" ? indexedDB.deleteDatabase(name) : indexedDB.open(name, version);
  for (const event of ["blocked", "upgradeneeded"]) {
    request.addEventListener(event, () => seen.push(event));
  }
  const database = (await settled(request)) as IDBDatabase | undefined;
  database?.close();
  return seen;
}

let foreign: IDBDatabase;

/** Opens a database and does not let go of it. */
export async function occupy(name: string): Promise<void> {
  foreign = await settled(indexedDB.open(name));
}

export async function leave(): Promise<void> {
  foreign.close();
}

/** Begins to delete a database, and does not wait for it. */
export async function startDeleting(name: string): Promise<void> {
  indexedDB.deleteDatabase(name);
}

/** Puts other bytes under a name that is taken; gives those that are there then. */
export async function putAgain(): Promise<string> {
  const cid = cidOf(text("first"), RAW);
  await held.blobs.put([{ cid, bytes: text("first") }]);
  await held.blobs.put([{ cid, bytes: text("second") }]);
  return new TextDecoder().decode(await held.blobs.get(cid));
}

/**
 * Opens a store on a database whose transactions go another way than they should.
 *
 * @param change - applied to every transaction that writes
 */
async function withTransactions(
  name: string,
  change: (transaction: IDBTransaction) => void,
): Promise<IndexeddbStorage> {
  const factory: IndexeddbFactory = {
    open(...call) {
      const request = indexedDB.open(...call);
      request.addEventListener("success", () => {
        const database = request.result;
        const transaction = database.transaction.bind(database);
        database.transaction = (...args) => {
          const made = transaction(...args);
          if (made.mode === "readwrite") change(made);
          return made;
        };
      });
      return request as never;
    },
  };
  return indexeddbStorage({ name, indexedDB: factory });
}

/** Appends where the browser gives up a commit after every request has succeeded. */
export async function appendAborted(name: string): Promise<string[]> {
  const storage = await withTransactions(name, (transaction) => {
    transaction.commit = () => transaction.abort();
  });
  const ends = [
    await outcome(storage.chains.append("a", genesis, [text("r")])),
    await outcome(storage.blobs.put([{ cid: cidOf(text("b"), RAW), bytes: text("b") }])),
    String((await storage.chains.head("a")).size),
    String(await storage.blobs.count()),
  ];
  await storage.close();
  return ends;
}

/** Appends where a transaction is aborted before it is committed. */
export async function appendInterrupted(name: string): Promise<string[]> {
  const storage = await withTransactions(name, (transaction) => transaction.abort());
  const ends = [
    await outcome(storage.chains.append("a", genesis, [text("r")])),
    String((await storage.chains.head("a")).size),
  ];
  await storage.close();
  return ends;
}

/** Which durability transactions are opened with, in a browser that knows none and in this one. */
export async function durabilities(name: string): Promise<unknown> {
  const asked: unknown[] = [];
  const factory: IndexeddbFactory = {
    open(...call) {
      const request = indexedDB.open(...call);
      request.addEventListener("success", () => {
        const database = request.result;
        const transaction = database.transaction.bind(database);
        database.transaction = (stores, mode, options) => {
          asked.push(options?.durability);
          const made = transaction(stores, mode);
          Object.defineProperty(made, "durability", { value: undefined });
          return made;
        };
      });
      return request as never;
    },
  };
  const storage = await indexeddbStorage({ name, indexedDB: factory });
  await storage.chains.append("a", genesis, [text("r")]);
  await storage.close();
  return { without: storage.chains.caps.durability, asked: [...new Set(asked)] };
}

/** Writes rows that make no sense, as damage or another program would. */
export async function damage(
  name: string,
  what: "gap" | "head" | "value" | "short" | "last",
): Promise<string> {
  await hold(name);
  let head = await held.chains.head("a");
  for (const record of ["1", "2", "3"]) head = await held.chains.append("a", head, [text(record)]);
  const database = await settled(indexedDB.open(name));
  const transaction = database.transaction(["heads", "records"], "readwrite");
  const [heads, records] = ["heads", "records"].map((store) => transaction.objectStore(store));
  if (what === "gap") await settled(records!.delete([1, 1]));
  if (what === "last") await settled(records!.delete([1, 2]));
  if (what === "value") await settled(records!.put("2", [1, 1]));
  if (what === "short") await settled(records!.put([], [1, 1]));
  if (what === "head") await settled(heads!.put({ id: 1, size: 3 }, "a"));
  database.close();
  const ended = await outcome(read());
  await held.close();
  return ended;
}

/** Every row of the database, bytes as hex: what `docs/spec/storage.md` writes down. */
export async function layout(name: string): Promise<Record<string, string>> {
  const storage = await indexeddbStorage({ name });
  await storage.commit({
    append: { chain: "ledger", expected: genesis, records: [text("record 0")] },
    blobs: [text("hello"), text("world")].map((bytes) => ({ cid: cidOf(bytes, RAW), bytes })),
    state: [{ key: text("k"), value: text("v") }],
  });
  await storage.blobs.delete([cidOf(text("hello"), RAW)]);
  await storage.close();
  const database = await settled(indexedDB.open(name));
  const rows: Record<string, string> = {};
  for (const name of database.objectStoreNames) {
    const store = database.transaction(name).objectStore(name);
    const [keys, values] = await Promise.all([
      settled(store.getAllKeys()),
      settled(store.getAll()),
    ]);
    keys.forEach((key, i) => {
      rows[`${name} key`] = shown(key);
      rows[`${name} value`] = shown(values[i]);
    });
  }
  rows["version"] = String(database.version);
  database.close();
  return rows;
}

function shown(value: unknown): string {
  if (value instanceof ArrayBuffer) return shown(new Uint8Array(value));
  if (value instanceof Uint8Array) {
    return [...value].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    return Object.entries(value)
      .map(([key, part]) => `${key}: ${shown(part)}`)
      .join(", ");
  }
  return JSON.stringify(value);
}
