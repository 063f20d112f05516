import { describe, expect, it } from "vitest";
import { decodeEntry, type SubjectEntry } from "../../src/block/entry.ts";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { decodeLacking, encodeLacking } from "../../src/ledger/index/rows.ts";
import { observation } from "../support/hospital.ts";
import { ward } from "../support/ward.ts";

/** A record whose header is gone, indexed as what does not open. */
async function lostRecord() {
  const w = await ward();
  const { id, place } = await w.hl.record(w.me, observation("bp-1"));
  await w.hl.close();
  const { block } = await w.hl.chain.readBlock(place.height);
  const bytes = block.transactions[place.transaction]!.entries[place.entry]!;
  const { body } = decodeEntry(bytes) as SubjectEntry;
  const header = (await w.storage.blobs!.get(body))!;
  await w.storage.blobs!.delete([body]);
  const hl = await w.again({ rebuildIndex: true });
  return { w, hl, id, restore: () => w.storage.blobs!.put([{ cid: body, bytes: header }]) };
}

describe("the list of what does not open", () => {
  it("leaves none out", () => {
    const one = { id: new Uint8Array(32), kind: "consent" };
    const all = Array.from({ length: 100_001 }, () => one);
    expect(decodeLacking(encodeLacking(all.slice(1)))).toHaveLength(100_000);
    expect(() => encodeLacking(all)).toThrow(
      expect.objectContaining({ code: "ERR_STORAGE_CORRUPT" }),
    );
  });
});

describe("giving up", () => {
  it("destroys nothing that opens again since the store was restored", async () => {
    const { w, hl, id, restore } = await lostRecord();
    expect((await hl.lost()).map((one) => one.id)).toEqual([id]);
    await restore();
    await expect(hl.giveUp([id], { reason: "no backup" })).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
      message: expect.stringContaining("rebuildIndex"),
    });
    await hl.close();
    const rebuilt = await w.again({ rebuildIndex: true });
    expect(await rebuilt.lost()).toEqual([]);
    expect(bytesToUtf8(await rebuilt.read(id))).toBe(observation("bp-1"));
  });

  it("gives up what does not open still", async () => {
    const { w, hl, id } = await lostRecord();
    await hl.giveUp([id], { reason: "no backup" });
    expect(await hl.lost()).toEqual([]);
    await expect(hl.read(id)).rejects.toMatchObject({ code: "ERR_STORAGE_ERASED" });
    expect(await hl.records(w.me)).toEqual([]);
  });
});
