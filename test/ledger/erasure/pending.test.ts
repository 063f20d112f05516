import { describe, expect, it } from "vitest";
import { decodeEntry } from "../../../src/block/entry.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { StorageError } from "../../../src/errors.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { ward, type Ward } from "../../support/ward.ts";

const bundleOf = (from: number, count: number): string => {
  const entry = Array.from({ length: count }, (_, i) => ({
    resource: JSON.parse(observation(`o${from + i}`)) as unknown,
  }));
  return JSON.stringify({ resourceType: "Bundle", type: "collection", entry });
};

/** A store that refuses to delete blobs, as for a role that may not. */
function undeletable(inner: FullStorage): { storage: FullStorage; trap: { error?: Error } } {
  const trap: { error?: Error } = {};
  const storage: FullStorage = {
    ...inner,
    blobs: {
      ...inner.blobs,
      async delete(cids) {
        if (trap.error !== undefined) throw trap.error;
        await inner.blobs.delete(cids);
      },
    },
  };
  return { storage, trap };
}

const eraseEntries = async (w: Ward): Promise<number> => {
  let count = 0;
  for (let height = 0; height < w.hl.chain.size; height++) {
    const { block } = await w.hl.chain.readBlock(height);
    for (const { entries } of block.transactions) {
      count += entries.filter((entry) => decodeEntry(entry).kind === "erase").length;
    }
  }
  return count;
};
describe("erasing more than one step or entry takes", () => {
  it("goes in steps of what the store takes in one batch", async () => {
    const inner = memoryStorage({ maxBatch: 64 });
    const w = await ward({ inner });
    const ids: string[] = [];
    for (let i = 0; i < 23; i++) ids.push((await w.hl.record(w.me, observation(`o${i}`))).entry);
    const statement = await w.hl.erase(w.me, { all: true, reason: "x", forgetSubject: true });
    // And the entry that says who the person is.
    expect(statement.erased.slice(0, -1)).toEqual(ids);
    expect(statement.blobs).toBe(46 + 23 + 4);
    expect(statement.entries).toEqual([statement.id]);
    expect(await w.hl.findSubject(MRN)).toBeUndefined();
    expect(await w.hl.pendingWork()).toEqual([]);
    const again = await w.again();
    expect(await again.findSubject(MRN)).toBeUndefined();
  });

  it("files as many entries as it takes, and finds them again as one erasure", async () => {
    const w = await ward();
    for (let from = 0; from < 2002; from += 1001) {
      await w.hl.recordBundle(w.me, bundleOf(from, 1001));
    }
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    const kept = await w.hl.record(other, observation("kept"));
    const statement = await w.hl.erase(w.me, { all: true, reason: "x" });
    expect(statement.erased).toHaveLength(2002);
    expect(statement.entries).toHaveLength(2);
    expect(await eraseEntries(w)).toBe(2);
    expect(await w.hl.records(w.me)).toEqual([]);
    const same = await w.hl.erase(w.me, { all: true, reason: "x" });
    expect(same.entries).toEqual(statement.entries);
    expect(same.erased).toHaveLength(2002);
    const again = await w.again({ repair: { index: true } });
    expect(await again.records(w.me)).toEqual([]);
    expect(bytesToUtf8(await again.read(kept.id))).toBe(observation("kept"));
    expect(await again.verifyBlobs()).toMatchObject({ damaged: [] });
  });

  it("writes more rows of one block than a batch takes", async () => {
    const inner = memoryStorage({ maxBatch: 1_000_000 });
    const w = await ward({ inner });
    await w.hl.recordBundle(w.me, bundleOf(0, 60));
    const { caps } = inner.state;
    const narrow = { ...inner, state: { ...inner.state, caps: { ...caps, maxBatch: 16 } } };
    const sizes: number[] = [];
    narrow.state.batch = async (changes, options) => {
      sizes.push(changes.length);
      if (changes.length > 16) throw new StorageError("ERR_STORAGE_LIMIT", "too many");
      await inner.state.batch(changes, options);
    };
    const again = await w.open({ storage: narrow, lane: 7, repair: { index: true } });
    expect(await again.records(w.me)).toHaveLength(60);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(16);
    await again.close();
  });
});

describe("an erasure that cannot be carried out", () => {
  it("leaves the ledger open, is named, refuses this person, and is completed later", async () => {
    const { storage, trap } = undeletable(memoryStorage());
    const w = await ward({ inner: storage });
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    const theirs = await w.hl.record(other, observation("bp-2"));
    trap.error = new StorageError("ERR_STORAGE_FAILED", "permission denied");
    await expect(w.hl.erase(w.me, { all: true, reason: "x" })).rejects.toMatchObject({
      code: "ERR_STORAGE_PENDING",
      cause: trap.error,
    });
    const again = await w.again();
    for (const hl of [w.hl, again]) {
      const work = await hl.pendingWork();
      expect(work).toMatchObject([{ what: "erasure", error: trap.error }]);
      expect(work[0]!.subject).toEqual(w.me);
      const named = {
        code: "ERR_STORAGE_PENDING",
        message: expect.stringContaining(work[0]!.entry!),
        cause: trap.error,
      };
      await expect(hl.records(w.me)).rejects.toMatchObject(named);
      await expect(hl.read(id)).rejects.toMatchObject(named);
      await expect(hl.directives(w.me)).rejects.toMatchObject(named);
      await expect(hl.request(w.b, { patient: MRN, purposes: ["TREAT"] })).rejects.toMatchObject(
        named,
      );
      // Nobody else notices.
      expect(bytesToUtf8(await hl.read(theirs.id))).toBe(observation("bp-2"));
      await hl.record(other, observation("bp-3"));
    }
    expect(await again.records(other)).toHaveLength(3);
    await expect(again.erase(w.me, { all: true, reason: "x" })).rejects.toMatchObject({
      code: "ERR_STORAGE_PENDING",
      cause: trap.error,
    });
    delete trap.error;
    const statement = await again.erase(w.me, { all: true, reason: "x" });
    expect(statement.erased).toEqual([id]);
    expect(await eraseEntries(w)).toBe(1);
    expect(await again.pendingWork()).toEqual([]);
    expect(await again.records(w.me)).toEqual([]);
    await expect(again.read(id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    // Opening completes it as well.
    const third = await w.again();
    expect(await third.pendingWork()).toEqual([]);
    expect(await third.records(w.me)).toEqual([]);
    expect(await third.pendingErasures()).toEqual([]);
  });

  it("is completed by the next opening", async () => {
    const { storage, trap } = undeletable(memoryStorage());
    const w = await ward({ inner: storage, settleWithin: 1 });
    await w.hl.record(w.me, observation("bp-1"));
    trap.error = new Error("not even typed");
    await expect(w.hl.erase(w.me, { all: true, reason: "x" })).rejects.toMatchObject({
      code: "ERR_STORAGE_PENDING",
      // The store's failure, as the library words it.
      cause: expect.objectContaining({ cause: trap.error }),
    });
    await w.hl.close();
    const again = await w.again({ settleWithin: 1 });
    expect(await again.pendingWork()).toHaveLength(1);
    await again.close();
    delete trap.error;
    const third = await w.again({ settleWithin: 1 });
    expect(await third.pendingWork()).toEqual([]);
    expect(await third.pendingErasures()).toEqual([]);
    expect(await third.records(w.me)).toEqual([]);
    // The erasure's report, and who the person is.
    expect(await storage.blobs.count()).toBe(3 + 4);
  });

  it("is an entry whose content is gone", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    await w.hl.record(w.me, observation("bp-1"));
    const before = new Set<string>();
    for await (const cid of inner.blobs.list()) before.add(cid.toString());
    // The other process that carries this out too finds the entry's ciphertext gone.
    const second = await w.again();
    await second.records(w.me);
    await w.hl.erase(w.me, { all: true, reason: "x" });
    for await (const cid of inner.blobs.list()) {
      if (!before.has(cid.toString()) && cid.code === 0x55) await inner.blobs.delete([cid]);
    }
    const third = await w.again();
    expect(await third.records(w.me)).toEqual([]);
    const rebuilt = await w.again({ repair: { index: true } });
    // Neither the record nor the entry that erased it opens: whom they are about, nobody can say.
    const lost = await rebuilt.lost();
    expect(lost.map(({ kind }) => kind).sort()).toEqual(["erase", "record"]);
    await rebuilt.giveUp(
      lost.map(({ id }) => id),
      { reason: "no backup has them" },
    );
    const other = await rebuilt.ensureSubject({ ...MRN, value: "other" });
    await rebuilt.record(other, observation("bp-2"));
    expect(await rebuilt.records(other)).toHaveLength(1);
  });
});

describe("an upload that cannot be cleared", () => {
  it("leaves the ledger open and is named", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    await w.hl.record(w.me, observation("bp-1"));
    const failing = new StorageError("ERR_STORAGE_CORRUPT", "a row does not open");
    let armed = true;
    const storage: FullStorage = {
      ...inner,
      state: {
        ...inner.state,
        scan(options) {
          // The marks of open uploads, and of their activity, are looked for last while opening.
          if (armed && new Error().stack!.includes("uploads.ts")) throw failing;
          return inner.state.scan(options);
        },
      },
    };
    const hl = await w.open({ storage, lane: 3 });
    armed = false;
    const pending = await hl.pendingWork();
    expect(pending.length).toBeGreaterThan(0);
    for (const work of pending) expect(work).toEqual({ what: "upload", error: failing });
    expect(await hl.records(w.me)).toHaveLength(1);
  });
});
