import { describe, expect, it } from "vitest";
import { StorageError } from "../../../src/errors.ts";
import type { Ledger } from "../../../src/index.ts";
import { planSent, type SentVersion } from "../../../src/ledger/records/source-plan.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { MRN } from "../../support/hospital.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";
import { bundleOf, del, put, type Entry } from "./source-situations.ts";

const NAME = { source: "ehr-1", type: "Observation", id: "1" };
const send = (hl: Ledger, ...entries: Entry[]) =>
  hl.recordBundle(null, bundleOf({ entries, expect: [] }), { source: "ehr-1" });
const values = async (w: Ward): Promise<readonly number[]> =>
  (await opened(await w.ask()))
    .map(({ resource }) => (resource!["valueQuantity"] as { value: number }).value)
    .sort((a, b) => a - b);
const living = async ({ hl, me }: Ward) =>
  (await hl.records(me)).filter(({ retracted }) => !retracted);

describe("find", () => {
  it("gives the records of a resource, and whose they are", async () => {
    const w = await ward();
    expect(await w.hl.find(NAME)).toEqual([]);
    const { recorded } = await send(w.hl, put("1", 1));
    await send(w.hl, put("1", 2, { mrn: "other" }));
    const other = await w.hl.findSubject({ ...MRN, value: "other" });
    const mine = { id: recorded[0]!.id, subject: w.me, ended: false };
    const [first, second, ...rest] = await w.hl.find(NAME);
    expect([first, rest]).toEqual([mine, []]);
    expect(second).toMatchObject({ subject: other, ended: false });
    for (const change of [{ source: "ehr-2" }, { type: "Condition" }, { id: "2" }]) {
      expect(await w.hl.find({ ...NAME, ...change })).toEqual([]);
    }
    await w.hl.retract(recorded[0]!.id, "a mistake");
    expect((await w.hl.find(NAME))[0]).toEqual({ ...mine, ended: true });
  });

  it.each([
    { source: "" },
    { source: "s".repeat(257) },
    { source: "a\0" },
    { source: undefined },
    { type: "" },
    { id: "1".repeat(65) },
    { id: 1 },
  ])("refuses %o", async (change) => {
    const w = await ward();
    await expect(w.hl.find({ ...NAME, ...change } as typeof NAME)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
    if (!("source" in change) || change.source === undefined) return;
    const bundle = bundleOf({ entries: [put("1", 1)], expect: [] });
    await expect(w.hl.recordBundle(null, bundle, change)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
  });
});

describe("a resource of a source", () => {
  it("keeps its versions in order, and their exact text", async () => {
    const w = await ward();
    const history = bundleOf({
      type: "history",
      entries: [3, 1, 2].map((n) => put("1", n, { v: `${n}` })),
      expect: [],
    });
    await w.hl.recordBundle(null, history, { source: "ehr-1" });
    const [record] = await w.hl.records(w.me);
    const versions = record!.history.map(({ manifest }) => manifest.resource!.versionId);
    expect(versions).toEqual(["1", "2", "3"]);
    expect(record!.history.map(({ manifest }) => manifest.op)).toEqual([
      "create",
      "amend",
      "amend",
    ]);
    const text = new TextDecoder().decode(await w.hl.read(record!.record));
    expect(history).toContain(text);
    expect(text).toContain('"value":3');
  });

  it("says how far it is, and stops when told to", async () => {
    const w = await ward();
    const entries = Array.from({ length: 60 }, (_, i) => put(`o${i}`, i));
    const told: unknown[] = [];
    const bundle = bundleOf({ entries, expect: [] });
    const onProgress = (progress: unknown): void => void told.push(progress);
    await w.hl.recordBundle(null, bundle, { source: "ehr-1", onProgress });
    expect(told).toEqual([
      { done: 0, sealed: 25, total: 60 },
      { done: 0, sealed: 50, total: 60 },
      { done: 60, sealed: 60, total: 60 },
    ]);
    const why = new Error("enough");
    const signal = AbortSignal.abort(why);
    await expect(w.hl.recordBundle(null, bundle, { source: "ehr-1", signal })).rejects.toBe(why);
  });

  it("is mixed with others if asked, and its own versions stay in order", async () => {
    const w = await ward();
    const entries = [put("1", 1, { v: "1" }), put("2", 9), put("1", 2, { v: "2" })];
    const bundle = bundleOf({ type: "collection", entries, expect: [] });
    const { recorded } = await w.hl.recordBundle(null, bundle, { source: "ehr-1", mix: true });
    const places = recorded.map(({ place }) => `${place.height} ${place.transaction}`);
    expect(new Set(places).size).toBe(2);
    await w.permit();
    expect(await values(w)).toEqual([2, 9]);
  });

  it("keeps the labels that somebody added, whatever version comes", async () => {
    const w = await ward();
    await w.permit();
    const { recorded } = await send(w.hl, put("1", 1, { v: "1" }), put("2", 2));
    const actCode = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
    await w.hl.relabel(recorded[0]!.id, { codes: [{ system: actCode, code: "PSY" }], stamp: null });
    expect(await values(w)).toEqual([2]);
    await send(w.hl, put("1", 3, { v: "2" }));
    expect(await values(w)).toEqual([2]);
  });

  it("does not come back once the custodian retracted it", async () => {
    const w = await ward();
    await w.permit();
    const { recorded } = await send(w.hl, put("1", 1, { v: "1" }));
    await w.hl.retract(recorded[0]!.id, "a mistake");
    const { known } = await send(w.hl, put("1", 2, { v: "2" }));
    expect(known).toMatchObject([{ as: "ended" }]);
    expect(await values(w)).toEqual([]);
  });

  it("is found with the person to whom it was moved", async () => {
    const w = await ward();
    await w.permit();
    const { recorded } = await send(w.hl, put("1", 1, { v: "1", mrn: "other" }));
    const moved = await w.hl.reattribute(recorded[0]!.id, w.me, "mixed up");
    const again = await send(w.hl, put("1", 1, { v: "1", mrn: "other" }), put("1", 2, { v: "2" }));
    expect(again.known).toMatchObject([{ as: "ended", id: recorded[0]!.id }]);
    expect(again.recorded).toMatchObject([{ id: moved.id }]);
    expect(await values(w)).toEqual([2]);
    await send(w.hl, del("1"));
    expect(await values(w)).toEqual([]);
  });

  it("stays one record when it is amended by hand", async () => {
    const w = await ward();
    await w.permit();
    const { recorded } = await send(w.hl, put("1", 1, { v: "1" }));
    const text = bundleOf({ entries: [put("1", 7, { v: "1" })], expect: [] });
    const { resource } = (JSON.parse(text) as { entry: { resource: object }[] }).entry[0]!;
    await w.hl.amend(recorded[0]!.id, JSON.stringify(resource));
    expect((await send(w.hl, put("1", 1, { v: "1" }))).known).toMatchObject([{ as: "newer" }]);
    expect(await values(w)).toEqual([7]);
    expect((await send(w.hl, put("1", 2, { v: "2" }))).recorded).toHaveLength(1);
    expect(await values(w)).toEqual([2]);
    expect(await living(w)).toHaveLength(1);
  });

  it("keeps the attachments that it was given here", async () => {
    const w = await ward();
    await w.permit();
    const { recorded } = await send(w.hl, put("1", 1, { v: "1" }), put("2", 2, { v: "1" }));
    for (const { id } of recorded) {
      const text = await w.hl.read(id);
      const source = Uint8Array.of(1, 2, 3);
      await w.hl.amend(id, text, { attachments: [{ mediaType: "image/png", source }] });
    }
    const after = await send(
      w.hl,
      put("1", 3, { v: "2" }),
      put("2", 4, { v: "2", status: "entered-in-error" }),
      put("3", 5),
    );
    expect(after.recorded).toHaveLength(3);
    expect(after.retracted).toMatchObject([{ index: 1, why: "entered in error" }]);
    expect(await w.hl.attachments(recorded[0]!.id)).toMatchObject([{ mediaType: "image/png" }]);
    expect((await living(w)).map(({ head }) => head.manifest.resource?.id)).toEqual(["1", "3"]);
  });

  it("is recorded anew once it was erased", async () => {
    const w = await ward();
    const { recorded } = await send(w.hl, put("1", 1, { v: "1" }), put("2", 2));
    await send(w.hl, put("1", 3, { v: "2" }));
    const records = [recorded[0]!.id];
    await w.hl.erase(w.me, { records, reason: "asked for" } as never);
    expect(await w.hl.find(NAME)).toEqual([]);
    const again = await send(w.hl, put("1", 1, { v: "1" }), put("2", 2));
    expect(again.recorded).toMatchObject([{ index: 0 }]);
    expect(await living(w)).toHaveLength(2);
  });

  it("names its patient by the source's reference: the Patient's person, if that is on record", async () => {
    const w = await ward();
    await w.permit();
    const subject = { reference: "Patient/123" };
    const patient = put("123", 0, { type: "Patient", more: { identifier: [MRN] } });
    await send(w.hl, patient);
    const { recorded } = await send(w.hl, put("1", 1, { subject }));
    expect(recorded.map((one) => one.subject)).toEqual([w.me]);
    // Another source's is another's.
    const elsewhere = bundleOf({ entries: [put("2", 2, { subject })], expect: [] });
    const other = await w.hl.recordBundle(null, elsewhere, { source: "ehr-2" });
    expect(other.recorded.map((one) => one.subject)).not.toEqual([w.me]);
    // So is that of a Patient whom the source deleted: nobody can ask for it by a number.
    await send(w.hl, del("123", { type: "Patient" }));
    const later = await send(w.hl, put("3", 3, { subject }));
    expect(later.recorded.map((one) => one.subject)).not.toEqual([w.me]);
    expect(await values(w)).toEqual([1]);
  });
});

describe("two processes of one source", () => {
  it.each([
    ["the same version", put("1", 1, { v: "1" }), put("1", 1, { v: "1" }), 1, "recorded"],
    ["a newer version second", put("1", 1, { v: "1" }), put("1", 2, { v: "2" }), 2, undefined],
    ["an older version second", put("1", 2, { v: "2" }), put("1", 1, { v: "1" }), 2, "newer"],
  ] as const)("make one record of %s", async (_, one, two, expected, as) => {
    const w = await ward();
    await w.permit();
    const other = await w.again();
    await other.find(NAME);
    w.traps.before = async () => void (await send(other, one));
    const said = await send(w.hl, two);
    if (as === undefined) expect(said.recorded).toMatchObject([{ amends: expect.any(String) }]);
    else expect(said.known).toMatchObject([{ as }]);
    expect(await values(w)).toEqual([expected]);
    expect(await living(w)).toHaveLength(1);
    const [record] = await living(w);
    expect(await w.hl.find(NAME)).toEqual([{ id: record!.record, subject: w.me, ended: false }]);
    // Erasing the record must not bring back what was filed twice.
    await w.hl.erase(w.me, { records: [record!.record], reason: "asked for" } as never);
    expect(await living(w)).toEqual([]);
    expect(await values(w)).toEqual([]);
  });

  it("never show two current records, nor an older one, while both are on the ledger", async () => {
    const w = await ward();
    await w.permit();
    const other = await w.again();
    await send(w.hl, put("1", 1, { v: "1" }));
    await other.find(NAME);
    // The other process amends first; this one's older version comes behind it.
    w.traps.before = async () => void (await send(other, put("1", 3, { v: "3" })));
    await send(w.hl, put("1", 2, { v: "2" })).catch(() => undefined);
    expect(await values(w)).toEqual([3]);
    expect((await send(w.hl, put("1", 3, { v: "3" }))).known).toMatchObject([{ as: "recorded" }]);
  });
});

describe("a store that lost something of a source", () => {
  it("never makes a known resource unknown", { timeout: 120_000 }, async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    await send(w.hl, put("1", 1, { v: "1" }), put("2", 2), del("9", { t: 5 }));
    await send(w.hl, put("1", 3, { v: "2" }));
    await w.hl.close();
    const all: { key: Uint8Array; value: Uint8Array }[] = [];
    const everything = { gte: Uint8Array.of(0), lt: new Uint8Array(64).fill(0xff) };
    for await (const row of inner.state.scan(everything)) all.push(row);
    const expected = await (await w.again()).find(NAME);
    expect(expected).toHaveLength(1);
    let refused = 0;
    for (const { key, value } of all) {
      await inner.state.batch([{ key, value: null }]);
      try {
        const hl = await w.again({ readOnly: true });
        expect(await hl.find(NAME)).toEqual(expected);
      } catch (error) {
        if (!(error instanceof StorageError) && !(error instanceof Error && "code" in error))
          throw error;
        refused++;
      }
      await inner.state.batch([{ key, value }]);
    }
    expect(refused).toBeGreaterThan(3);
  });
});

describe("planSent", () => {
  it("ends what was entered in error and whose end was not filed", async () => {
    const w = await ward();
    const { recorded } = await send(w.hl, put("1", 1));
    const [record] = await w.hl.records(w.me);
    const digest = "d";
    const sent: SentVersion = {
      ...{ kind: "version", person: "p", stated: {}, digest, isError: true, base: undefined },
    };
    const { head, history } = record!;
    const text = new Uint8Array(32);
    const source = { name: "ehr-1", type: "Observation", id: "1", text };
    const item = { ...head, id: text, manifest: { ...head.manifest, source } };
    const folded = { ...record!, head: item, history: history.map(() => item) };
    const known = {
      resource: NAME,
      byPerson: new Map([["p", [folded as never]]]),
      claims: [],
      deletions: [],
    };
    const plan = planSent([{ ...sent, digest: "0".repeat(64) }], known);
    expect(plan.map(({ does }) => does)).toEqual(["know", "retract"]);
    expect(recorded).toHaveLength(1);
  });
});
