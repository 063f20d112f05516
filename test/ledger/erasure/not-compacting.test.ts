import { describe, expect, it } from "vitest";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { StorageAdapter } from "../../../src/storage/types.ts";
import { foundWorld, MRN, observation } from "../../support/hospital.ts";

/** A memory store that lacks a part, as a browser's database lacks `compact`. */
function without(part: "compact" | "commit"): StorageAdapter {
  const { [part]: _, ...storage } = memoryStorage();
  return storage;
}

describe("openLedger on a storage that cannot be compacted", () => {
  it("erases, and says that the files may still contain the deleted data", async () => {
    const world = await foundWorld(without("compact"));
    await using hl = await world.open();
    const me = await hl.ensureSubject(MRN);
    const { id } = await hl.record(me, observation("bp-1"));
    const statement = await hl.erase(me, { records: [id], reason: "withdrawn" });
    expect(statement).not.toHaveProperty("compaction");
    expect(statement.outOfReach).toContain("cannot be compacted");
    expect(statement.blobs).toBeGreaterThan(0);
    await expect(hl.read(id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
  });

  it("says nothing of the kind where it can", async () => {
    const world = await foundWorld();
    await using hl = await world.open();
    const me = await hl.ensureSubject(MRN);
    const { id } = await hl.record(me, observation("bp-1"));
    const statement = await hl.erase(me, { records: [id], reason: "withdrawn" });
    expect(statement.compaction).toEqual({ before: 0, after: 0 });
    expect(statement.outOfReach).not.toContain("compacted");
  });

  it("refuses one without an atomic commit", async () => {
    await expect((await foundWorld(without("commit"))).open()).rejects.toThrow(TypeError);
  });
});
