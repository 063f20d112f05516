import { describe, expect, it } from "vitest";
import { decodeEntry, type SubjectEntry } from "../../../src/block/entry.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { decodeLacking, encodeLacking } from "../../../src/ledger/index/rows.ts";
import { observation } from "../../support/hospital.ts";
import { fileAs } from "../../support/by-hand.ts";
import { collect, ward } from "../../support/ward.ts";

/** A record whose header is gone, indexed as what does not open. */
async function lostRecord() {
  const w = await ward();
  const { id, entry, place } = await w.hl.record(w.me, observation("bp-1"));
  await w.hl.close();
  const { block } = await w.hl.chain.readBlock(place.height);
  const bytes = block.transactions[place.transaction]!.entries[place.entry]!;
  const { body } = decodeEntry(bytes) as SubjectEntry;
  const header = (await w.storage.blobs!.get(body))!;
  await w.storage.blobs!.delete([body]);
  const hl = await w.again({ repair: { index: true } });
  return { w, hl, id, entry, restore: () => w.storage.blobs!.put([{ cid: body, bytes: header }]) };
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

describe("a person whom nobody knows", () => {
  it("is refused, not said to have nothing", async () => {
    const w = await ward();
    const nobody = { local: new Uint8Array(16).fill(9) };
    const { size } = w.hl.chain;
    const question = { requester: w.b.signer.actor, purposes: ["TREAT"] };
    const calls: readonly (() => Promise<unknown>)[] = [
      () => w.hl.records(nobody),
      () => w.hl.directives(nobody),
      () => collect(w.hl.audit(nobody)),
      () => w.hl.decide(nobody, question),
      () => w.hl.erase(nobody, { all: true, reason: "asked for" }),
      () => w.hl.placeHold(nobody, "a rule"),
      () => w.hl.liftHold(nobody),
      () => w.hl.record(nobody, observation("bp-1")),
    ];
    const unknown = { code: "ERR_INPUT_UNKNOWN_SUBJECT" };
    for (const call of calls) await expect(call(), String(call)).rejects.toMatchObject(unknown);
    expect(w.hl.chain.size).toBe(size);
    // Who was forgotten was known.
    await w.hl.record(w.me, observation("bp-1"));
    await w.hl.erase(w.me, { all: true, reason: "asked for", forgetSubject: true });
    expect(await w.hl.records(w.me)).toEqual([]);
    expect(await collect(w.hl.audit(w.me))).toEqual([]);
  });
});

describe("giving up", () => {
  it("takes a directive and an attested key that cannot be read, and none that can", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    const permit = await w.permit();
    expect((await w.ask()).count).toBe(1);
    const directive = await fileAs(w, "consent", Uint8Array.of(0xa0));
    const key = await fileAs(w, "link", Uint8Array.of(0xa0));
    const reason = { reason: "no backup" };
    await expect(w.ask()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await expect(w.hl.giveUp([permit], reason)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
    await w.hl.giveUp([directive], reason);
    await expect(w.ask()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await w.hl.giveUp([key], reason);
    expect((await w.ask()).count).toBe(1);
    expect(await w.hl.directives(w.me)).toHaveLength(1);
    const rebuilt = await w.again({ repair: { index: true } });
    expect(await rebuilt.lost()).toEqual([]);
    expect(await rebuilt.directives(w.me)).toHaveLength(1);
  });

  it("destroys nothing that opens again since the store was restored", async () => {
    const { w, hl, id, entry, restore } = await lostRecord();
    expect((await hl.lost()).map((one) => one.id)).toEqual([entry]);
    await restore();
    await expect(hl.giveUp([entry], { reason: "no backup" })).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
      message: expect.stringContaining("repair.index"),
    });
    await hl.close();
    const rebuilt = await w.again({ repair: { index: true } });
    expect(await rebuilt.lost()).toEqual([]);
    expect(bytesToUtf8(await rebuilt.read(id))).toBe(observation("bp-1"));
  });

  it("gives up what does not open still", async () => {
    const { w, hl, id, entry } = await lostRecord();
    await hl.giveUp([entry], { reason: "no backup" });
    expect(await hl.lost()).toEqual([]);
    await expect(hl.read(id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    expect(await hl.records(w.me)).toEqual([]);
  });
});
