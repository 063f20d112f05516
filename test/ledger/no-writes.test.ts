import { describe, expect, it } from "vitest";
import type { RecordId } from "../../src/codec/ids.ts";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { StorageError } from "../../src/errors.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { observation } from "../support/hospital.ts";
import { collect, ward } from "../support/ward.ts";

const full = () => new StorageError("ERR_STORAGE_FAILED", "the disk is full");

/** A store that takes no writes once `full` is set. */
function fillable(inner: FullStorage): { storage: FullStorage; disk: { full: boolean } } {
  const disk = { full: false };
  const room = (): void => {
    if (disk.full) throw full();
  };
  const storage: FullStorage = {
    ...inner,
    chains: {
      ...inner.chains,
      append: async (...args) => (room(), inner.chains.append(...args)),
    },
    blobs: {
      ...inner.blobs,
      put: async (...args) => (room(), inner.blobs.put(...args)),
      delete: async (...args) => (room(), inner.blobs.delete(...args)),
    },
    state: { ...inner.state, batch: async (...args) => (room(), inner.state.batch(...args)) },
    commit: async (...args) => (room(), inner.commit(...args)),
    compact: async () => (room(), inner.compact()),
  };
  return { storage, disk };
}

describe("a ledger on a store that takes no writes", () => {
  for (const reopened of [false, true]) {
    it(`is read ${reopened ? "when it is opened so" : "on"}, and records nothing`, async () => {
      const { storage, disk } = fillable(memoryStorage());
      const w = await ward({ inner: storage });
      await w.permit();
      const ids: RecordId[] = [];
      for (let i = 0; i < 5; i++) ids.push((await w.hl.record(w.me, observation(`bp-${i}`))).id);
      disk.full = true;
      const hl = reopened ? await w.again() : w.hl;
      expect(bytesToUtf8(await hl.read(ids[0]!))).toBe(observation("bp-0"));
      expect(await hl.records(w.me)).toHaveLength(5);
      expect(await hl.directives(w.me)).toHaveLength(1);
      expect(await collect(hl.audit(w.me))).toEqual([]);
      expect(await collect(hl.pendingReviews())).toEqual([]);
      expect(await hl.verify()).toMatchObject({ ok: true });
      await expect(hl.record(w.me, observation("bp-9"))).rejects.toMatchObject({
        code: "ERR_STORAGE_FAILED",
      });
      await hl.close();
      disk.full = false;
      const after = await w.again();
      expect(await after.records(w.me)).toHaveLength(5);
      await after.record(w.me, observation("bp-10"));
      expect(await after.records(w.me)).toHaveLength(6);
    });
  }

  it("reads on where it was to be compacted", async () => {
    const { storage, disk } = fillable(memoryStorage());
    const w = await ward({ inner: storage, compaction: "later" });
    const gone = await w.hl.record(w.me, observation("bp-1"));
    const kept = await w.hl.record(w.me, observation("bp-2"));
    await w.hl.erase(w.me, { records: [gone.id], reason: "asked" });
    disk.full = true;
    const again = await w.again();
    expect(bytesToUtf8(await again.read(kept.id))).toBe(observation("bp-2"));
    await expect(again.read(gone.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    expect(await again.pendingErasures()).toHaveLength(1);
  });
});
