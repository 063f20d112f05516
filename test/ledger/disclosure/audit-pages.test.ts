import { describe, expect, it } from "vitest";
import type { EntryId } from "../../../src/codec/ids.ts";
import type { Access, UnreadableAccess } from "../../../src/ledger/disclosure/audit.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { collect, readable, ward, type Ward } from "../../support/ward.ts";

const invalid = { code: "ERR_INPUT_INVALID" };
const SOMEBODY = { system: MRN.system, value: "MRN-2" };
const STAMP = { labeller: "another", version: "1" };
const ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const PSY = { codes: [{ system: ACT_CODE, code: "PSY" }], stamp: STAMP };

/** Notes which blobs are read; those in `damaged` are other bytes. */
function noting(): { storage: FullStorage; reads: string[]; damaged: Set<string> } {
  const inner = memoryStorage();
  const reads: string[] = [];
  const damaged = new Set<string>();
  const storage: FullStorage = {
    ...inner,
    blobs: {
      ...inner.blobs,
      async get(cid, ...rest) {
        reads.push(cid.toString());
        const bytes = await inner.blobs.get(cid, ...rest);
        return damaged.has(cid.toString()) ? bytes?.map((byte) => byte ^ 1) : bytes;
      },
    },
  };
  return { storage, reads, damaged };
}

const idsOf = async (source: AsyncIterable<Access | UnreadableAccess>): Promise<EntryId[]> =>
  (await readable(source)).map(({ id }) => id);

/** Six accesses, the third of which released less than it had said. */
async function sixAccesses(w: Ward): Promise<EntryId[]> {
  await w.permit();
  const { id } = await w.hl.record(w.me, observation("one"));
  const other = await w.again();
  const found: EntryId[] = [];
  for (let i = 0; i < 6; i++) {
    if (i === 2) w.traps.before = async () => void (await other.relabel(id, PSY));
    found.push((await w.ask()).access!);
    if (i === 2) await w.hl.relabel(id, { codes: [], stamp: STAMP });
  }
  await other.close();
  return found;
}

describe("an audit that goes on behind an access", () => {
  it("yields the accesses after it, oldest first, with those that were withdrawn", async () => {
    const w = await ward();
    const all = await sixAccesses(w);
    expect(await idsOf(w.hl.audit(w.me))).toEqual(all);
    expect(await idsOf(w.hl.audit(w.me, {}))).toEqual(all);
    for (const [i, after] of all.entries()) {
      const behind = await readable(w.hl.audit(w.me, { after }));
      expect(behind.map(({ id }) => id)).toEqual(all.slice(i + 1));
      for (const { id, records } of behind) {
        expect(records.map(({ released }) => released)).toEqual([id !== all[2]]);
      }
    }
  });

  it("yields each once while accesses are erased and come between", async () => {
    const w = await ward();
    const all = await sixAccesses(w);
    const seen: EntryId[] = [];
    for (let round = 0; round < 4; round++) {
      for await (const { id } of w.hl.audit(w.me, { after: seen.at(-1) })) {
        seen.push(id);
        if (seen.length % 3 === 0) break;
      }
      const accesses = [seen.at(-1)!];
      await w.hl.erase(w.me, { class: "audit", accesses, reason: "asked for" });
      all.push((await w.ask()).access!);
    }
    // Three, three, the two that had come by then, and one.
    expect(seen).toEqual(all.slice(0, 9));
    expect(await idsOf(w.hl.audit(w.me, { after: all[8]! }))).toEqual([all[9]]);
    // An index that is built again does not know about whom it was what was erased.
    const again = await w.again({ repair: { index: true } });
    const me = await again.ensureSubject(MRN);
    expect(await idsOf(again.audit(me, { after: all[2]! }))).toEqual(
      all.filter((_, i) => [3, 4, 6, 9].includes(i)),
    );
  });

  it("opens nothing of what it skips, nor of what is not asked for", async () => {
    const { storage, reads, damaged } = noting();
    const w = await ward({ inner: storage });
    const all = await sixAccesses(w);
    /** The blobs that are read for each access. */
    const readFor = async (
      hl: Ledger,
      options: { readonly after?: EntryId; readonly most?: number } = {},
    ): Promise<Map<EntryId, string[]>> => {
      const { most = Infinity, ...page } = options;
      const found = new Map<EntryId, string[]>();
      const me = await hl.ensureSubject(MRN);
      reads.length = 0;
      for await (const { id } of hl.audit(me, page)) {
        found.set(id, reads.splice(0));
        if (found.size >= most) break;
      }
      expect(reads).toEqual([]);
      return found;
    };
    const each = await readFor(await w.again());
    expect([...each.keys()]).toEqual(all);
    expect([...each.values()].every((cids) => cids.length > 0)).toBe(true);
    const cids = [...each.values()].flat();
    expect(new Set(cids).size).toBe(cids.length);
    // And its difference.
    expect(each.get(all[2]!)!.length).toBeGreaterThan(each.get(all[3]!)!.length);
    expect([...(await readFor(await w.again(), { most: 1 }))]).toEqual([
      [all[0], each.get(all[0]!)],
    ]);
    for (const after of [1, 2, 3]) {
      const next = all[after + 1]!;
      const found = await readFor(await w.again(), { after: all[after]!, most: 1 });
      expect([...found]).toEqual([[next, each.get(next)]]);
    }
    // What cannot be read has its place too.
    for (const cid of each.get(all[1]!)!) damaged.add(cid);
    const hl = await w.again();
    const [, second] = await collect(hl.audit(w.me));
    expect(second).toMatchObject({ id: all[1], unreadable: expect.any(String) as string });
    expect(await idsOf(hl.audit(w.me, { after: all[1]! }))).toEqual(all.slice(2));
  });

  it("refuses an id that is not an access to the person's data", async () => {
    const w = await ward();
    const { id: record } = await w.hl.record(w.me, observation("one"));
    const directive = await w.permit();
    const mine = (await w.ask()).access!;
    await w.ask(w.b, { patient: SOMEBODY });
    await w.ask(w.b, { patient: SOMEBODY });
    const strange = await idsOf(w.hl.audit(null));
    expect(strange).toHaveLength(2);
    expect(await idsOf(w.hl.audit(null, { after: strange[0]! }))).toEqual([strange[1]]);
    const somebody = await w.hl.ensureSubject(SOMEBODY);
    await w.ask(w.b, { patient: SOMEBODY });
    const [theirs] = await idsOf(w.hl.audit(somebody));
    for (const after of [record, directive, theirs, strange[0], "00".repeat(32), "", null, 7]) {
      const options = { after: after as EntryId };
      await expect(collect(w.hl.audit(w.me, options))).rejects.toMatchObject(invalid);
    }
    for (const after of [mine, theirs!]) {
      await expect(collect(w.hl.audit(null, { after }))).rejects.toMatchObject(invalid);
    }
    await w.hl.erase(somebody, { class: "audit", accesses: [theirs!], reason: "asked for" });
    await expect(collect(w.hl.audit(w.me, { after: theirs! }))).rejects.toMatchObject(invalid);
    expect(await idsOf(w.hl.audit(somebody, { after: theirs! }))).toEqual([]);
  });

  it("takes its options when it is called", async () => {
    const w = await ward();
    await w.permit();
    const one = (await w.ask()).access!;
    const two = (await w.ask()).access!;
    const options = { after: one };
    const accesses = w.hl.audit(w.me, options);
    options.after = two;
    expect(await idsOf(accesses)).toEqual([two]);
  });
});
