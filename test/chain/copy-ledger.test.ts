import { afterEach, describe, expect, it } from "vitest";
import { encodeGenesis } from "../../src/block/genesis.ts";
import { CID, cidOf, RAW } from "../../src/codec/cid.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { copyLedger, type CopyProgress } from "../../src/chain/copy-ledger.ts";
import { StorageError } from "../../src/errors.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { memoryData, memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage, StateChange } from "../../src/storage/types.ts";
import { bytesOfState, MRN, observation } from "../support/hospital.ts";
import { bytesFor, foundLedger } from "../support/ledger.ts";
import { flipBit, smallLedger, smallRule, storeOf } from "../support/small-ledger.ts";
import { collect, texts, ward, type Ward } from "../support/ward.ts";
import { folder } from "../storage/lmdb-subject.ts";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function lmdb(): Promise<FullStorage> {
  const { path, remove } = await folder();
  const storage = await lmdbStorage({ path });
  cleanups.push(remove, () => storage.close());
  return storage;
}

/** A hospital with some records, a consent, an erasure and an access, closed. */
async function closedWard(inner: FullStorage = memoryStorage()): Promise<Ward> {
  const w = await ward({ inner });
  await w.permit();
  for (let i = 0; i < 3; i++) await w.hl.record(w.me, observation(`o${i}`));
  const gone = await w.hl.record(w.me, observation("gone"));
  await w.hl.erase(w.me, { records: [gone.id], reason: "asked" });
  await w.ask();
  await w.hl.checkpoint();
  await w.hl.close();
  return w;
}

/** Everything in a storage, comparable. */
async function contents(storage: FullStorage) {
  const chains: Record<string, string[]> = {};
  for (const chain of (await collect(storage.chains.list())).sort()) {
    const records = await collect(storage.chains.read(chain, { from: 0 }));
    chains[chain] = records.map(({ record }) => Buffer.from(record).toString("hex"));
  }
  const blobs: Record<string, string> = {};
  for (const cid of await collect(storage.blobs.list())) {
    blobs[cid.toString()] = Buffer.from((await storage.blobs.get(cid))!).toString("hex");
  }
  return { chains, blobs, state: await bytesOfState(storage) };
}

/** A storage whose writes, of any kind, fail from the n-th on; small batches, so there are many. */
function failingFrom(inner: FullStorage, n: number): FullStorage {
  let writes = 0;
  const through = async <T>(write: () => Promise<T>): Promise<T> => {
    if (writes++ >= n) throw new StorageError("ERR_STORAGE_FAILED", "injected");
    return write();
  };
  const caps = { ...inner.blobs.caps, maxBatch: 7 };
  return {
    ...inner,
    chains: { ...inner.chains, caps, append: (...a) => through(() => inner.chains.append(...a)) },
    blobs: {
      ...inner.blobs,
      caps,
      put: (blobs) => through(() => inner.blobs.put(blobs)),
      delete: (cids) => through(() => inner.blobs.delete(cids)),
    },
    state: { ...inner.state, caps, batch: (...a) => through(() => inner.state.batch(...a)) },
  };
}

describe("copyLedger", () => {
  it("copies a hospital's ledger into another adapter, byte for byte, and back", async () => {
    const w = await closedWard();
    const target = await lmdb();
    const seen: CopyProgress[] = [];
    const copied = await copyLedger(w.storage, target, {
      genesis: w.genesis,
      onProgress: (progress) => seen.push(progress),
    });
    const before = await contents(w.storage as FullStorage);
    expect(await contents(target)).toEqual(before);
    const back = memoryStorage();
    await copyLedger(target, back, { genesis: w.genesis });
    expect(await contents(back)).toEqual(before);

    expect(copied.blobs).toBe(Object.keys(before.blobs).length);
    expect(copied.records).toBe(Object.values(before.chains).flat().length);
    expect(copied.ledgers[0]).toMatchObject({ ok: true, size: w.hl.chain.size });
    for (const part of ["blobs", "state", "records"] as const) {
      const ofPart = seen.filter((progress) => progress.part === part);
      expect(ofPart.at(-1)!.done).toBe(copied[part]);
    }

    const moved = await w.open({ storage: target });
    const answer = await moved.request(w.b, { patient: MRN, purposes: ["TREAT"] });
    expect((await texts(answer)).sort()).toEqual([0, 1, 2].map((i) => observation(`o${i}`)));
    expect(await moved.verify()).toMatchObject({ ok: true });
    expect((await moved.verifyBlobs()).damaged).toEqual([]);
    await moved.close();
  });

  it("goes on after failing at any write, and is refused by openLedger until it is whole", async () => {
    const w = await closedWard();
    const before = await contents(w.storage as FullStorage);
    let failures = 0;
    for (let n = 0; ; n++) {
      const target = memoryStorage();
      const first = copyLedger(w.storage, failingFrom(target, n), { genesis: w.genesis });
      const failed = await first.then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failed === undefined) break;
      failures++;
      expect(failed).toMatchObject({ code: "ERR_STORAGE_FAILED" });
      if (n > 0) {
        await expect(w.open({ storage: target })).rejects.toMatchObject({
          code: "ERR_STORAGE_INCOMPLETE",
        });
      }
      await copyLedger(w.storage, target, { genesis: w.genesis });
      expect(await contents(target)).toEqual(before);
    }
    expect(failures).toBeGreaterThan(10);
  });

  it("stops at its signal with the signal's reason, and goes on from there", async () => {
    const w = await closedWard();
    const target = await lmdb();
    for (const part of ["blobs", "state", "records"] as const) {
      const stop = new AbortController();
      const copy = copyLedger(w.storage, target, {
        genesis: w.genesis,
        signal: stop.signal,
        onProgress: (progress) => {
          if (progress.part === part) stop.abort(new Error(`enough ${part}`));
        },
      });
      await expect(copy).rejects.toThrow(`enough ${part}`);
    }
    await copyLedger(w.storage, target, { genesis: w.genesis });
    expect(await contents(target)).toEqual(await contents(w.storage as FullStorage));
  });

  it("removes from an unfinished copy what was erased from the source since", async () => {
    const w = await ward();
    const record = await w.hl.record(w.me, observation("later erased"));
    await w.hl.record(w.me, observation("kept"));
    const target = memoryStorage();
    await expect(
      copyLedger(w.storage, failingFrom(target, 5), { genesis: w.genesis }),
    ).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    const [stale] = [await contents(target)];
    await w.hl.erase(w.me, { records: [record.id], reason: "asked" });
    await w.hl.close();
    await copyLedger(w.storage, target, { genesis: w.genesis });
    const now = await contents(target);
    expect(now).toEqual(await contents(w.storage as FullStorage));
    const left = Object.keys(stale!.blobs).filter((cid) => !(cid in now.blobs));
    expect(left.length).toBeGreaterThan(0);
  });

  it("stops before the first block that does not stand, and names it", async () => {
    const { genesis, forge, records } = await smallLedger();
    for (let height = 0; height < records.length; height++) {
      const damaged = records.map((record, i) => (i === height ? flipBit(record, 8 * 60) : record));
      const source = { ...memoryStorage(), chains: await storeOf(forge, damaged) };
      const target = { ...failingFrom(memoryStorage(), Infinity) };
      await expect(
        copyLedger(source, target, { genesis, kinds: [smallRule] }),
      ).rejects.toMatchObject({
        code: "ERR_CHAIN_INVALID",
        message: expect.stringContaining(`block ${height}`),
      });
      const { size } = await target.chains.head(blocksChain(forge.ledger));
      expect(size).toBeLessThanOrEqual(height);
    }
  });

  it("judges the checkpoint it is given", async () => {
    const { genesis, forge, records, note } = await smallLedger();
    const copyOf = async (kept: readonly Uint8Array[]) =>
      copyLedger({ ...memoryStorage(), chains: await storeOf(forge, kept) }, memoryStorage(), {
        genesis,
        kinds: [smallRule],
        checkpoint: note,
      });
    expect((await copyOf(records)).ledgers[0]!.witnesses).not.toEqual([]);
    for (const kept of [records.slice(0, -1), []]) {
      await expect(copyOf(kept)).rejects.toMatchObject({
        code: "ERR_CHAIN_INVALID",
        message: expect.stringContaining("checkpoint-beyond-the-ledger"),
      });
    }
  });

  it("refuses a blob that is not what its name says, and one that vanishes", async () => {
    const w = await closedWard();
    const source = w.storage as FullStorage;
    const [victim] = await collect(source.blobs.list());
    const read = async (change: (bytes: Uint8Array) => Uint8Array | undefined) =>
      copyLedger(
        {
          ...source,
          blobs: {
            ...source.blobs,
            getMany: async (cids) =>
              (await source.blobs.getMany(cids)).map((bytes, i) =>
                cids[i]!.equals(victim) ? change(bytes!) : bytes,
              ),
          },
        },
        memoryStorage(),
        { genesis: w.genesis },
      );
    await expect(read((bytes) => flipBit(bytes, 3))).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
      message: expect.stringContaining(victim!.toString()),
    });
    await expect(read(() => undefined)).rejects.toMatchObject({ code: "ERR_STORAGE_CONFLICT" });
  });

  it("refuses a target that holds anything else", async () => {
    const w = await closedWard();
    const refused = async (prepare: (target: FullStorage) => Promise<unknown>) => {
      const target = memoryStorage();
      await prepare(target);
      const before = await contents(target);
      await expect(copyLedger(w.storage, target, { genesis: w.genesis })).rejects.toMatchObject({
        code: "ERR_INPUT_INVALID",
      });
      expect(await contents(target)).toEqual(before);
    };
    const [cid] = await collect((w.storage as FullStorage).blobs.list());
    await refused((t) => t.chains.append("other", { size: 0, hash: null }, [bytesFor("x")]));
    await refused((t) => t.blobs.put([{ cid: cid!, bytes: bytesFor("x") }]));
    await refused((t) => t.state.batch([{ key: bytesFor("k"), value: bytesFor("x") }]));
    await refused((t) =>
      t.state.batch([{ key: new Uint8Array(1024).fill(0xff), value: bytesFor("x") }]),
    );
    // A finished copy may be in use: it is not gone on with.
    await refused((t) => copyLedger(w.storage, t, { genesis: w.genesis }));
    // Nor is the unfinished copy of another store, which the mark tells.
    const { genesis } = await foundLedger({ a: ["custodian", "sequencer"], b: ["auditor"] });
    await refused((t) =>
      copyLedger(memoryStorage(), failingFrom(t, 1), { genesis }).catch(() => undefined),
    );
  });

  it("does not continue after a history that is not the source's", async () => {
    const { genesis, forge, records } = await smallLedger();
    const kinds = [smallRule];
    const target = memoryStorage();
    const source = { ...memoryStorage(), chains: await storeOf(forge, records) };
    await expect(
      copyLedger(source, failingFrom(target, 1), { genesis, kinds }),
    ).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    const chain = blocksChain(forge.ledger);
    await target.chains.append(chain, { size: 0, hash: null }, [flipBit(records[0]!, 3)]);
    const again = () => copyLedger(source, target, { genesis, kinds });
    await expect(again()).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    const head = await target.chains.head(chain);
    await target.chains.append(
      chain,
      head,
      records.map((record) => record),
    );
    await expect(again()).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
  });

  it("wants the genesis of every ledger in the store, and copies other chains unseen", async () => {
    const one = await closedWard();
    const source = one.storage as FullStorage;
    const other = await foundLedger(
      { a: ["custodian", "sequencer"], b: ["auditor"] },
      { nonce: bytesFor("n2") },
    );
    const empty = encodeGenesis(other.parsed);
    await source.chains.append("a vendor's own", { size: 0, hash: null }, [bytesFor("r")]);
    const copied = await copyLedger(source, await lmdb(), { genesis: [one.genesis, empty] });
    expect(copied.ledgers.map(({ size }) => size)).toEqual([one.hl.chain.size, 0]);
    await expect(copyLedger(source, memoryStorage(), { genesis: empty })).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
      message: expect.stringContaining(one.hl.id.toString()),
    });
  });

  it("refuses a source that is itself an unfinished copy, whatever it begins with", async () => {
    const w = await closedWard();
    const part = memoryStorage();
    await expect(
      copyLedger(w.storage, failingFrom(part, 12), { genesis: w.genesis }),
    ).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    const target = memoryStorage();
    for (const to of [target, part]) {
      const before = await contents(to);
      await expect(copyLedger(part, to, { genesis: w.genesis })).rejects.toMatchObject({
        code: "ERR_STORAGE_INCOMPLETE",
      });
      expect(await contents(to)).toEqual(before);
    }
  });

  it("refuses to copy a store into itself, by whichever handle, and leaves it", async () => {
    const w = await closedWard();
    const before = await contents(w.storage as FullStorage);
    await expect(copyLedger(w.storage, w.storage, { genesis: w.genesis })).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
    const { path, remove } = await folder();
    const [one, two] = [await lmdbStorage({ path }), await lmdbStorage({ path })];
    cleanups.push(
      remove,
      () => one.close(),
      () => two.close(),
    );
    await copyLedger(w.storage, one, { genesis: w.genesis });
    await expect(copyLedger(one, two, { genesis: w.genesis })).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
    expect(await contents(one)).toEqual(before);
  });

  it("does not go on with other ledgers than it began with", async () => {
    const w = await closedWard();
    const other = encodeGenesis(
      (
        await foundLedger(
          { a: ["custodian", "sequencer"], b: ["auditor"] },
          { nonce: bytesFor("n3") },
        )
      ).parsed,
    );
    const target = memoryStorage();
    await expect(
      copyLedger(w.storage, failingFrom(target, 12), { genesis: w.genesis }),
    ).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    await expect(
      copyLedger(w.storage, target, { genesis: [w.genesis, other] }),
    ).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    await copyLedger(w.storage, target, { genesis: [w.genesis, w.genesis] });
    expect(await contents(target)).toEqual(await contents(w.storage as FullStorage));
  });

  it("keeps to the limits of the target, in what it copies and in what it removes", async () => {
    const source = memoryStorage();
    const entry = (key: string, value: string | null) => ({
      key: bytesFor(key),
      value: value === null ? null : bytesFor(value),
    });
    const blobs = Array.from({ length: 40 }, (_, i) => {
      const bytes = new Uint8Array(i === 7 ? 900 : 20).fill(i);
      return { cid: cidOf(bytes, RAW), bytes };
    });
    // Of a codec of two bytes, too.
    blobs.push({ cid: CID.createV1(0x0129, blobs[0]!.cid.multihash), bytes: blobs[0]!.bytes });
    await source.blobs.put(blobs);
    const names = Array.from({ length: 40 }, (_, i) => `key ${i}`);
    await source.state.batch(names.map((name) => entry(name, name)) as StateChange[]);
    const records = names.map(bytesFor);
    await source.chains.append("own", { size: 0, hash: null }, records);

    const data = memoryData();
    const target = memoryStorage({ data, maxBatch: 3, maxAppendBytes: 1000 });
    const { genesis } = await foundLedger({ a: ["custodian", "sequencer"], b: ["auditor"] });
    const stopped = new AbortController();
    await expect(
      copyLedger(source, target, {
        genesis,
        signal: stopped.signal,
        onProgress: ({ part }) => {
          if (part === "state") stopped.abort(new Error("stopped"));
        },
      }),
    ).rejects.toThrow("stopped");
    const gone = names.slice(5).map((name) => entry(name, null));
    await source.state.batch(gone as StateChange[]);
    await copyLedger(source, target, { genesis });
    expect(await contents(memoryStorage({ data }))).toEqual(await contents(source));

    const small = memoryStorage({ maxAppendBytes: 899 });
    await expect(copyLedger(source, small, { genesis })).rejects.toMatchObject({
      code: "ERR_STORAGE_LIMIT",
    });
  });

  it("says when the target's chain does not end where the source's does", async () => {
    const { genesis, forge, records } = await smallLedger();
    const source = { ...memoryStorage(), chains: await storeOf(forge, records) };
    const target = memoryStorage();
    // One that acknowledges what it does not write.
    const append: FullStorage["chains"]["append"] = async (_chain, { size }, list) => ({
      size: size + list.length,
      hash: new Uint8Array(32),
    });
    const forgetful = { ...target, chains: { ...target.chains, append } };
    await expect(
      copyLedger(source, forgetful, { genesis, kinds: [smallRule] }),
    ).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
  });

  it("holds few bytes of large values at a time", async () => {
    const source = memoryStorage();
    for (let i = 0; i < 10; i++) {
      await source.state.batch([{ key: bytesFor(`${i}`), value: new Uint8Array(3 << 20) }]);
    }
    const target = memoryStorage();
    let most = 0;
    const batch: FullStorage["state"]["batch"] = (changes) => {
      most = Math.max(
        most,
        changes.reduce((sum, { value }) => sum + (value?.length ?? 0), 0),
      );
      return target.state.batch(changes);
    };
    const { genesis } = await foundLedger({ a: ["custodian", "sequencer"], b: ["auditor"] });
    await copyLedger(source, { ...target, state: { ...target.state, batch } }, { genesis });
    expect(most).toBe(9 << 20);
  });

  it("says when the source was written to meanwhile, and copies the rest when called again", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("o0"));
    const target = memoryStorage();
    let wrote: Promise<unknown> | undefined;
    const first = copyLedger(
      {
        ...w.storage,
        chains: {
          ...(w.storage as FullStorage).chains,
          async *read(chain, options) {
            yield* w.storage.chains!.read(chain, options);
            wrote ??= w.hl.record(w.me, observation("o1"));
            await wrote;
          },
        },
      },
      target,
      { genesis: w.genesis },
    );
    await expect(first).rejects.toMatchObject({ code: "ERR_STORAGE_CONFLICT" });
    await w.hl.close();
    await copyLedger(w.storage, target, { genesis: w.genesis });
    expect(await contents(target)).toEqual(await contents(w.storage as FullStorage));
  });
});
