import { describe, expect, it } from "vitest";
import { parseRecordId, type RecordId } from "../../../src/codec/ids.ts";
import type { FhirResource } from "../../../src/fhir/resource.ts";
import type { Subject } from "../../../src/ledger/entries/subjects.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { ward } from "../../support/ward.ts";

const invalid = { code: "ERR_INPUT_INVALID" };
const SOMEBODY = { system: MRN.system, value: "MRN-2" };

const bundle = (count: number): FhirResource => ({
  resourceType: "Bundle",
  type: "collection",
  entry: Array.from({ length: count }, (_, i) => ({
    resource: JSON.parse(observation(`o-${i}`)) as FhirResource,
  })),
});

const idsOf = async (hl: Ledger, ...call: Parameters<Ledger["records"]>): Promise<RecordId[]> =>
  (await hl.records(...call)).map(({ record }) => record);

/** Numbers from 0 to `below` - 1, the same in every run. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
}

/** What a person's records must be: a list that grows at its end, and of each what became of it. */
interface Model {
  readonly ids: RecordId[];
  readonly entries: Map<RecordId, number>;
  readonly retracted: Set<RecordId>;
  readonly erased: Set<RecordId>;
}

/** Files something about a person, and says so in the model. */
async function change(
  hl: Ledger,
  me: Subject,
  model: Model,
  roll: (below: number) => number,
  last: RecordId | undefined,
): Promise<void> {
  const { ids, entries, retracted, erased } = model;
  const open = ids.filter((id) => !erased.has(id) && !retracted.has(id));
  const any = open[roll(open.length)]!;
  const what = roll(6);
  if (what < 2) {
    const { id } = await hl.record(me, observation(`new-${ids.length}`));
    ids.push(id);
    entries.set(id, 1);
  } else if (what < 4) {
    await hl.amend(any, observation("amended", `${ids.length}.${entries.get(any)}`));
    entries.set(any, entries.get(any)! + 1);
  } else if (what === 4) {
    await hl.retract(any, "entered in error");
    retracted.add(any);
    entries.set(any, entries.get(any)! + 1);
  } else {
    // Now and then the very record that the next page is to follow.
    const gone = last !== undefined && !erased.has(last) && roll(2) === 0 ? last : any;
    await hl.erase(me, { records: [gone], reason: "asked for" });
    erased.add(gone);
  }
}

describe("records in pages", () => {
  it("gives each record once, whatever is filed between two pages", async () => {
    const { hl, me } = await ward();
    const filed = await hl.recordBundle(me, bundle(300));
    // The ledger's order, which is not the bundle's.
    const recorded = [...filed.recorded].sort((a, b) => a.place.entry - b.place.entry);
    const model: Model = {
      ids: recorded.map(({ id }) => id),
      entries: new Map(recorded.map(({ id }) => [id, 1])),
      retracted: new Set(),
      erased: new Set(),
    };
    const { ids, entries, retracted, erased } = model;
    const roll = dice(7);
    let cursorsErased = 0;
    for (const limit of [1000, 90, 31, 8]) {
      const before = ids.filter((id) => !erased.has(id));
      const seen: RecordId[] = [];
      let last: RecordId | undefined;
      for (;;) {
        const page = await hl.records(me, { after: last, limit });
        const from = last === undefined ? 0 : ids.indexOf(last) + 1;
        const expected = ids
          .slice(from)
          .filter((id) => !erased.has(id))
          .slice(0, limit);
        expect(
          page.map(({ record, history, retracted: ended }) => [record, history.length, ended]),
        ).toEqual(expected.map((id) => [id, entries.get(id), retracted.has(id)]));
        seen.push(...expected);
        if (page.length < limit) break;
        last = page.at(-1)!.record;
        const many = limit > 50 ? 12 : 2;
        for (let i = 0; i < many; i++) await change(hl, me, model, roll, last);
        if (erased.has(last)) cursorsErased++;
      }
      expect(new Set(seen).size).toBe(seen.length);
      expect(before.filter((id) => !erased.has(id) && !seen.includes(id))).toEqual([]);
    }
    expect(cursorsErased).toBeGreaterThan(0);
    expect(retracted.size).toBeGreaterThan(0);
    expect(ids.length).toBeGreaterThan(310);
    const all = ids.filter((id) => !erased.has(id));
    expect(await idsOf(hl, me)).toEqual(all);
    expect(await idsOf(hl, me, {})).toEqual(all);
    expect(await idsOf(hl, me, { after: all[4]! })).toEqual(all.slice(5));
  });

  it("continues after a record that was erased, even if the index was rebuilt since", async () => {
    const w = await ward();
    const ids: RecordId[] = [];
    for (const name of "abcde") ids.push((await w.hl.record(w.me, observation(name))).id);
    await w.hl.erase(w.me, { records: [ids[1]!, ids[2]!], reason: "asked for" });
    for (const hl of [w.hl, await w.again(), await w.again({ repair: { index: true } })]) {
      const me = await hl.ensureSubject(MRN);
      expect(await idsOf(hl, me, { after: ids[0]!, limit: 1 })).toEqual([ids[3]]);
      expect(await idsOf(hl, me, { after: ids[1]!, limit: 1 })).toEqual([ids[3]]);
      expect(await idsOf(hl, me, { after: ids[2]! })).toEqual([ids[3], ids[4]]);
      expect(await idsOf(hl, me, { after: ids[4]!, limit: 9 })).toEqual([]);
    }
    await w.hl.erase(w.me, { all: true, reason: "asked for" });
    expect(await idsOf(w.hl, w.me, { after: ids[2]! })).toEqual([]);
  });

  it("gives a record that was moved here last, and at its place where it was", async () => {
    const { hl, me } = await ward();
    const somebody = await hl.ensureSubject(SOMEBODY);
    const { id: theirs } = await hl.record(somebody, observation("theirs"));
    const { id: first } = await hl.record(me, observation("first"));
    const { id: second } = await hl.record(me, observation("second"));
    const { id: third } = await hl.record(somebody, observation("third"));
    const { id: moved } = await hl.reattribute(first, somebody, "another person's");
    expect(await idsOf(hl, somebody, { after: theirs })).toEqual([third, moved]);
    expect(await idsOf(hl, somebody, { after: moved })).toEqual([]);
    const page = await hl.records(me, { limit: 1 });
    expect(page.map(({ record, retracted }) => [record, retracted])).toEqual([[first, true]]);
    expect(await idsOf(hl, me, { after: first })).toEqual([second]);
  });

  it("refuses to continue after an id that is not one of the person's records", async () => {
    const w = await ward();
    const { hl, me } = w;
    const { id, entry: created } = await hl.record(me, observation("mine"));
    expect(created).toBe(id);
    const { entry: version } = await hl.amend(id, observation("mine", "1.0"));
    const directive = await w.permit();
    const { access } = await w.ask();
    const somebody = await hl.ensureSubject(SOMEBODY);
    const { id: theirs } = await hl.record(somebody, observation("theirs"));
    const { id: erased } = await hl.record(somebody, observation("erased"));
    await hl.erase(somebody, { records: [erased], reason: "asked for" });
    for (const other of [version, directive, access, theirs, erased, "00".repeat(32)]) {
      const after = parseRecordId(other!);
      await expect(hl.records(me, { after })).rejects.toMatchObject(invalid);
      await expect(hl.records(me, { after, limit: 3 })).rejects.toMatchObject(invalid);
    }
    for (const other of ["", "A".repeat(64), `${id}0`, 7, null, new Uint8Array(32)]) {
      const after = other as RecordId;
      await expect(hl.records(me, { after })).rejects.toMatchObject(invalid);
    }
    expect(await idsOf(hl, somebody, { after: theirs })).toEqual([]);
    expect(await idsOf(hl, somebody, { after: erased })).toEqual([]);
  });

  it.each([0, -1, 1.5, NaN, Infinity, 2 ** 53, "3", null])(
    "refuses a limit of %s",
    async (limit) => {
      const { hl, me } = await ward();
      await hl.record(me, observation("one"));
      const options = { limit: limit as number };
      await expect(hl.records(me, options)).rejects.toMatchObject(invalid);
    },
  );

  it("takes its options when it is called", async () => {
    const { hl, me } = await ward();
    const { id } = await hl.record(me, observation("one"));
    const { id: next } = await hl.record(me, observation("two"));
    const options: { after?: RecordId; limit: number } = { limit: 1 };
    const listing = idsOf(hl, me, options);
    Object.assign(options, { limit: 2, after: id });
    expect(await listing).toEqual([id]);
    expect(await idsOf(hl, me, options)).toEqual([next]);
  });
});
