import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { StorageError } from "../../src/errors.ts";
import { combineStorage, type CombinedStorage } from "../../src/storage/combine.ts";
import { AmbiguousAppend, AppendConflict } from "../../src/storage/errors.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { memoryData, memoryStorage, type MemoryData } from "../../src/storage/memory.ts";
import { s3Storage } from "../../src/storage/s3.ts";
import type { Commit, FullStorage, Head, StorageAdapter } from "../../src/storage/types.ts";
import { storageCases, type MakeStorage } from "../../src/testing/storage-kit.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { texts, ward } from "../support/ward.ts";
import { fakeBucket, fakeClient } from "./s3-fake.ts";

/** Chains whose appends are made, but answered as unknown while a doubt is open. */
function doubtful({ chains }: Pick<FullStorage, "chains">) {
  const doubt = { open: true };
  const append: typeof chains.append = async (...call) => {
    const head = await chains.append(...call);
    if (doubt.open) throw new AmbiguousAppend();
    return head;
  };
  return { chains: { ...chains, append }, doubt };
}

const EMPTY: Head = { size: 0, hash: null };
const FEATURES = ["chains", "blobs", "state", "commit", "compact", "tail", "reopen"];
const s3 = (bucket = fakeBucket()) =>
  s3Storage({ client: fakeClient(bucket), bucket: "b", pollInterval: 5, probe: false });

/** Objects in a bucket and state in memory, of which every handle of a process has one. */
const subjects: MakeStorage = async () => {
  const bucket = fakeBucket();
  const data = memoryData();
  const state = memoryStorage({ data });
  const ends: (() => Promise<void>)[] = [];
  return {
    async open(limits) {
      const options = { client: fakeClient(bucket), bucket: "b", pollInterval: 5, probe: false };
      const objects = await s3Storage(options);
      // One state store for all, which no handle closes.
      const kept: StorageAdapter = { ...state, close: async () => {} };
      const storage = await combineStorage({ chains: objects, blobs: objects, state: kept });
      ends.push(storage.close);
      return limits === undefined ? storage : limited(objects, kept, limits);
    },
    async dispose() {
      for (const end of ends) await end();
    },
  };
};

/** The limits of a combination are those of what it is made of. */
async function limited(
  objects: StorageAdapter,
  state: StorageAdapter,
  { maxBatch = 1000, maxAppendBytes = 1 << 20 }: { maxBatch?: number; maxAppendBytes?: number },
): Promise<StorageAdapter> {
  const caps = {
    ...objects.chains!.caps,
    maxBatch: maxBatch + 1,
    maxAppendBytes: 2 * maxAppendBytes,
  };
  const chains = { ...objects.chains!, caps };
  return combineStorage({ chains: { ...objects, chains }, blobs: objects, state });
}

describe("combineStorage", () => {
  const cases = storageCases.filter(({ requires = [] }) =>
    requires.every((feature) => FEATURES.includes(feature)),
  );
  it.each(cases)("$name", ({ run }) => run(subjects));

  it("promises the least of what it is made of, and one process", async () => {
    const storage = await combineStorage({
      chains: await s3(),
      blobs: memoryStorage(),
      state: memoryStorage({ maxBatch: 10 }),
    });
    expect(storage.chains.caps).toMatchObject({
      durability: "none",
      multiProcess: false,
      maxBatch: 9,
      atomicBlobs: false,
    });
  });

  it("refuses storages that lack what they are to give, and compacts only what all can", async () => {
    const [objects, memory] = [await s3(), memoryStorage()];
    const all = { chains: memory, blobs: memory, state: memory };
    await expect(combineStorage({ ...all, state: objects })).rejects.toBeInstanceOf(TypeError);
    expect((await combineStorage(all)).compact).toBeDefined();
    const { compact: _, ...uncompacted } = memory;
    expect((await combineStorage({ ...all, blobs: uncompacted })).compact).toBeUndefined();
  });

  const commitOf = (expected: Head, label: string): Commit => ({
    append: { chain: "a", expected, records: [utf8ToBytes(label)] },
    blobs: [{ cid: cidOf(utf8ToBytes(label), RAW), bytes: utf8ToBytes(label) }],
    state: [{ key: utf8ToBytes("last"), value: utf8ToBytes(label) }],
  });

  /** Stores that stop working for good after so many writes, as for a process that is killed. */
  function dying(all: FullStorage, survives: number, lastHappens: boolean): FullStorage {
    let left = survives;
    const write = async <T>(work: () => Promise<T>): Promise<T> => {
      if (left-- > 0) return work();
      if (left === -1 && lastHappens) await work();
      throw new AmbiguousAppend(new Error("killed"));
    };
    return {
      ...all,
      chains: { ...all.chains, append: (...call) => write(() => all.chains.append(...call)) },
      blobs: { ...all.blobs, put: (...call) => write(() => all.blobs.put(...call)) },
      state: { ...all.state, batch: (...call) => write(() => all.state.batch(...call)) },
    };
  }

  const over = (storage: FullStorage): Promise<CombinedStorage> =>
    combineStorage({ chains: storage, blobs: storage, state: storage });

  const stateOf = async (storage: StorageAdapter): Promise<string | undefined> => {
    const value = await storage.state!.get(utf8ToBytes("last"));
    return value && Buffer.from(value).toString();
  };

  const fresh = (data: MemoryData): FullStorage => {
    const all = memoryStorage({ data });
    // A state store of its own identity, as a process that starts has it.
    return { ...all, state: { ...all.state } };
  };

  it("leaves an append and its state whole or not there, wherever it is cut short", async () => {
    const seen = new Set<string>();
    for (const lastHappens of [false, true]) {
      for (let survives = 0; survives < 5; survives++) {
        const data = memoryData();
        const before = await over(fresh(data));
        const head = (await before.commit(commitOf(EMPTY, "one")))!;
        const victim = await over(dying(fresh(data), survives, lastHappens));
        const outcome = await victim.commit(commitOf(head, "two")).then(
          () => "done",
          () => "cut",
        );
        const after = await over(fresh(data));
        const { size } = await after.chains.head("a");
        expect(await stateOf(after)).toBe(size === 2 ? "two" : "one");
        if (outcome === "done") expect(size).toBe(2);
        if (size === 2) expect(await after.blobs.count()).toBe(2);
        seen.add(`${outcome} ${size}`);
        // And the same call again is answered, and does nothing twice.
        expect(await after.commit(commitOf(head, "two"))).toMatchObject({ size: 2 });
        expect(await stateOf(after)).toBe("two");
      }
    }
    expect([...seen].sort()).toEqual(["cut 1", "cut 2", "done 2"]);
  });

  it("carries out by the next call what may have been written down, however often that is unknown", async () => {
    const data = memoryData();
    const all = fresh(data);
    let lost = 0;
    const state = {
      ...all.state,
      batch: async (...call: Parameters<typeof all.state.batch>) => {
        await all.state.batch(...call);
        if (lost-- > 0) throw new AmbiguousAppend();
      },
    };
    const storage = await combineStorage({ chains: all, blobs: all, state: { ...all, state } });
    lost = 1;
    const commit = commitOf(EMPTY, "one");
    await expect(storage.commit(commit)).rejects.toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS" });
    expect(await stateOf(storage)).toBe("one");
    expect(await storage.chains.head("a")).toMatchObject({ size: 1 });
    expect(await storage.commit(commit)).toMatchObject({ size: 1 });
    expect(await all.state.get(utf8ToBytes("combine/pending"))).toBeUndefined();
  });

  it("appends nothing of a pending commit that a disk changed", async () => {
    const data = memoryData();
    const all = fresh(data);
    // Written down, and not appended.
    await expect(
      (await over(dying(all, 2, false))).commit(commitOf(EMPTY, "one")),
    ).rejects.toThrow();
    const key = utf8ToBytes("combine/pending");
    const written = (await all.state.get(key))!;
    for (let at = 0; at < written.length; at++) {
      const value = written.slice();
      value[at]! ^= 4;
      await all.state.batch([{ key, value }]);
      await expect(over(fresh(data)), `byte ${at}`).rejects.toMatchObject({
        code: "ERR_STORAGE_CORRUPT",
      });
    }
    expect(await all.chains.head("a")).toMatchObject({ size: 0 });
  });

  it("gives up what was cut short where the chain went on without it", async () => {
    const data = memoryData();
    const head = (await (await over(fresh(data))).commit(commitOf(EMPTY, "one")))!;
    // Dies at the append, which does not happen: the state store holds it as pending.
    const victim = await over(dying(fresh(data), 2, false));
    await expect(victim.commit(commitOf(head, "two"))).rejects.toBeInstanceOf(AmbiguousAppend);
    await fresh(data).chains.append("a", head, [utf8ToBytes("another's")]);
    const after = await over(fresh(data));
    expect(await stateOf(after)).toBe("one");
    await expect(after.commit(commitOf(head, "two"))).rejects.toBeInstanceOf(AppendConflict);
    expect(await stateOf(after)).toBe("one");
    expect(data.state.size).toBe(1);
  });

  it("keeps what was cut short while the chain cannot be asked", async () => {
    const data = memoryData();
    // Dies when the append has happened and nobody heard of it.
    const victim = await over(dying(fresh(data), 2, true));
    await expect(victim.commit(commitOf(EMPTY, "one"))).rejects.toBeInstanceOf(AmbiguousAppend);
    const all = fresh(data);
    const away = async (): Promise<never> => {
      throw new StorageError("ERR_STORAGE_FAILED", "forbidden");
    };
    const opened = over({ ...all, chains: { ...all.chains, append: away } });
    await expect(opened).rejects.toBeInstanceOf(AmbiguousAppend);
    expect(await stateOf(await over(fresh(data)))).toBe("one");
  });

  it("settles a doubt before anything else reads or changes the state", async () => {
    const data = memoryData();
    const all = fresh(data);
    const { chains, doubt } = doubtful(all);
    const storage = await over({ ...all, chains });
    await expect(storage.commit(commitOf(EMPTY, "one"))).rejects.toBeInstanceOf(AmbiguousAppend);
    await expect(storage.state.get(utf8ToBytes("last"))).rejects.toBeInstanceOf(AmbiguousAppend);
    doubt.open = false;
    expect(await stateOf(storage)).toBe("one");
    expect(await storage.commit(commitOf(EMPTY, "one"))).toMatchObject({ size: 1 });
  });

  it("does not carry out again what another handle has under way when it is opened", async () => {
    const all = fresh(memoryData());
    let reached = (): void => {};
    const underWay = new Promise<void>((resolve) => (reached = resolve));
    let goOn = (): void => {};
    const gate = new Promise<void>((resolve) => (goOn = resolve));
    const chains = {
      ...all.chains,
      async append(...call: Parameters<typeof all.chains.append>) {
        const head = await all.chains.append(...call);
        reached();
        await gate;
        return head;
      },
    };
    const first = await combineStorage({ chains: { ...all, chains }, blobs: all, state: all });
    const one = first.commit(commitOf(EMPTY, "one"));
    await underWay;
    const later = first.state.batch([{ key: utf8ToBytes("last"), value: null }]);
    // Opened while the journal holds what is not done, over a state store that is behind it.
    const second = over(all);
    await new Promise((resolve) => setImmediate(resolve));
    goOn();
    await Promise.all([one, later]);
    expect(await stateOf(await second), "what was deleted behind it").toBeUndefined();
  });

  it("puts no blob again that was erased before an append in doubt is called again", async () => {
    const all = fresh(memoryData());
    const { chains, doubt } = doubtful(all);
    const storage = await over({ ...all, chains });
    for (const withState of [false, true]) {
      doubt.open = false;
      const label = `state ${withState}`;
      const { state, ...rest } = commitOf(await storage.chains.head("a"), label);
      // The chain's end is known, so that it need not be asked for.
      const known = (await storage.commit({ append: rest.append! }))!;
      const batch = commitOf(known, `${label}, in doubt`);
      const call = withState ? { ...batch, state: state! } : { ...batch, state: [] };
      doubt.open = true;
      await expect(storage.commit(call)).rejects.toBeInstanceOf(AmbiguousAppend);
      doubt.open = false;
      const { cid } = batch.blobs![0]!;
      await storage.blobs.delete([cid]);
      expect((await storage.commit(call))!.size).toBe(known.size + 1);
      expect(await storage.blobs.has(cid), label).toBe(false);
    }
  });

  it("forgets an append that certainly failed", async () => {
    const all = fresh(memoryData());
    let broken = true;
    const storage = await over({
      ...all,
      chains: {
        ...all.chains,
        async append(...call) {
          if (broken) throw new StorageError("ERR_STORAGE_FAILED", "no");
          return all.chains.append(...call);
        },
      },
    });
    const call = storage.commit(commitOf(EMPTY, "one"));
    await expect(call).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    broken = false;
    expect(await stateOf(storage)).toBeUndefined();
    expect(await storage.commit(commitOf(EMPTY, "two"))).toMatchObject({ size: 1 });
    expect(await stateOf(storage)).toBe("two");
  });

  it("carries a ledger: found, record, ask, erase and open again", async () => {
    const path = await mkdtemp(join(tmpdir(), "healthledger-combine-"));
    const bucket = fakeBucket();
    const open = async () => {
      const objects = await s3(bucket);
      return combineStorage({
        chains: objects,
        blobs: objects,
        state: await lmdbStorage({ path }),
      });
    };
    try {
      const inner = await open();
      const w = await ward({ inner: inner as FullStorage });
      const directive = treatmentOnly(w.patient);
      await w.hl.consent(w.me, directive, { signer: w.patient });
      const kept = await w.hl.record(w.me, observation("bp-1"));
      const gone = await w.hl.record(w.me, observation("bp-2"));
      const both = [observation("bp-1"), observation("bp-2")].sort();
      expect((await texts(await w.ask())).sort()).toEqual(both);
      const { erased } = await w.hl.erase(w.me, { records: [gone.id], reason: "withdrawn" });
      expect(erased).toEqual([gone.id]);
      await w.hl.close();
      await inner.close();

      const again = await open();
      const hl = await w.again({ storage: again });
      const answer = await hl.request(w.b, { patient: { ...MRN }, purposes: ["TREAT"] });
      expect(await texts(answer)).toEqual([observation("bp-1")]);
      expect(Buffer.from(await hl.read(kept.id)).toString()).toBe(observation("bp-1"));
      expect(await hl.verify()).toMatchObject({ ok: true });
      expect(await hl.verifyBlobs()).toMatchObject({ damaged: [] });
      await hl.close();
      await again.close();
    } finally {
      await rm(path, { recursive: true });
    }
  });
});
