import { describe, expect, it } from "vitest";
import { decodeEntry, type SubjectEntry } from "../../../src/block/entry.ts";
import type { RecordId } from "../../../src/codec/ids.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { snapshotOf, storageFrom } from "../../support/loss-scene.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";
import { cases } from "../../support/share.ts";

const reason = "the same person";
const B = { system: "urn:oid:2.2.2", value: "7" };
const SOURCE = { source: "ehr-1" } as const;
const ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode";

const weighed = (versionId: string, value: string): object => ({
  ...(JSON.parse(observation("o", value)) as object),
  meta: { versionId },
  subject: { reference: "Patient/p" },
});
/** The same about whoever has a number, in a bundle without the Patient. */
const observed = (number: object, versionId: string, value: string, more: object = {}): string =>
  bundle([put({ ...weighed(versionId, value), subject: { identifier: number }, ...more })]);
const named = (...identifier: object[]): object => ({
  resourceType: "Patient",
  id: "p",
  identifier,
});
const put = (resource: object, base?: string): object => {
  const { resourceType, id } = resource as { resourceType: string; id: string };
  const url = `${resourceType}/${id}`;
  return {
    ...(base === undefined ? {} : { fullUrl: `${base}/${url}` }),
    request: { method: "PUT", url },
    resource,
  };
};
const deletion = { request: { method: "DELETE", url: "Observation/o" } };
const bundle = (entry: readonly object[], more: object = {}): string =>
  JSON.stringify({ resourceType: "Bundle", type: "transaction", ...more, entry });

const released = async (w: Ward): Promise<readonly unknown[]> =>
  (await opened(await w.ask()))
    .filter(({ resource }) => resource!.resourceType === "Observation")
    .map(({ resource }) => (resource!["valueQuantity"] as { value: number }).value);

describe("a text on record that comes again with a label of its bundle", () => {
  it("is withheld from then on, and amended once", async () => {
    const w = await ward();
    await w.permit();
    const said = (meta: object): string =>
      bundle([put(named(MRN)), put(weighed("1", "111"))], meta);
    await w.hl.recordBundle(null, said({}), SOURCE);
    expect(await released(w)).toEqual([111]);
    const psychiatric = { meta: { security: [{ system: ACT_CODE, code: "PSY" }] } };
    const labelled = await w.hl.recordBundle(null, said(psychiatric), SOURCE);
    expect(labelled.recorded.map(({ amends }) => amends !== undefined)).toEqual([true, true]);
    expect(await released(w)).toEqual([]);
    const again = await w.hl.recordBundle(null, said(psychiatric), SOURCE);
    expect(again.known.map(({ as }) => as)).toEqual(["recorded", "recorded"]);
    await w.hl.recordBundle(null, said({}), SOURCE);
    expect(await released(w)).toEqual([]);
  });
});

describe("a resource on record of two persons, who are joined", () => {
  it("is released once, in its newest version, whoever had it first", async () => {
    const w = await ward();
    await w.permit();
    const other = await w.hl.ensureSubject(B);
    const send = (number: object, versionId: string, value: string) =>
      w.hl.recordBundle(null, observed(number, versionId, value), SOURCE);
    await send(MRN, "1", "111");
    await send(B, "2", "222");
    expect(await released(w)).toEqual([111]);
    const link = await w.hl.merge(other, w.me, { reason });
    expect(await released(w)).toEqual([222]);
    await send(B, "3", "333");
    expect(await released(w)).toEqual([333]);
    await send(MRN, "4", "444");
    expect(await released(w)).toEqual([444]);
    await w.hl.unmerge(link, { reason });
    expect(await released(w)).toEqual([444]);
  });

  it("is listed in the same state on every page as on one", async () => {
    const w = await ward();
    const other = await w.hl.ensureSubject(B);
    for (const [number, version, value] of [
      [MRN, "1", "111"],
      [B, "2", "222"],
    ] as const) {
      await w.hl.recordBundle(null, observed(number, version, value), SOURCE);
    }
    await w.hl.merge(other, w.me, { reason });
    const all = await w.hl.records(w.me);
    expect(all).toHaveLength(2);
    expect(all.filter(({ retracted }) => retracted)).toHaveLength(1);
    const pages = [];
    for (let after: RecordId | undefined; ; after = pages.at(-1)!.record) {
      const page = await w.hl.records(w.me, { limit: 1, after });
      pages.push(...page);
      if (page.length === 0) break;
    }
    expect(pages).toEqual(all);
    expect(await w.hl.records(w.me, { limit: 1 })).toEqual(all.slice(0, 1));
  });

  it("is not released once its newest version was entered in error", async () => {
    const w = await ward();
    await w.permit();
    const other = await w.hl.ensureSubject(B);
    const wrong = { status: "entered-in-error" };
    await w.hl.recordBundle(null, observed(MRN, "1", "111"), SOURCE);
    await w.hl.recordBundle(null, observed(B, "2", "222", wrong), SOURCE);
    await w.hl.merge(other, w.me, { reason });
    expect(await released(w)).toEqual([]);
  });
});

describe("unmerge", () => {
  it("lists records that were amended under the other's number", async () => {
    const w = await ward();
    const other = await w.hl.ensureSubject(B);
    await w.hl.recordBundle(null, bundle([put(named(MRN)), put(weighed("1", "111"))]), SOURCE);
    const [observed] = await w.hl.find({ ...SOURCE, type: "Observation", id: "o" });
    const link = await w.hl.merge(other, w.me, { reason });
    await w.hl.recordBundle(null, bundle([put(named(B)), put(weighed("2", "222"))]), SOURCE);
    const { filed } = await w.hl.unmerge(link, { reason });
    expect(filed.records).toContainEqual({ record: observed!.id, subject: w.me });
  });
});

describe("a DELETE", () => {
  it("ends nothing if it does not say which of two servers it means", async () => {
    const w = await ward();
    await w.permit();
    for (const [base, value] of [
      ["https://a.example", "111"],
      ["https://b.example", "222"],
    ] as const) {
      const entries = [put(named(MRN), base), put(weighed("1", value), base)];
      await w.hl.recordBundle(null, bundle(entries), SOURCE);
    }
    const said = await w.hl.recordBundle(null, bundle([deletion]), SOURCE);
    expect(said.retracted).toEqual([]);
    expect(said.skipped).toHaveLength(1);
    expect(await released(w)).toEqual([111, 222]);
  });

  it("of a record that the store lost is refused, not taken for one of what never was", async () => {
    const inner = memoryStorage();
    const options = { signedHeads: "store" } as const;
    const w = await ward({ inner, ...options });
    await w.hl.recordBundle(null, bundle([put(named(MRN))]), SOURCE);
    const { recorded } = await w.hl.recordBundle(
      null,
      bundle([put(named(MRN)), put(weighed("1", "111"))]),
      SOURCE,
    );
    const { block } = await w.hl.chain.readBlock(recorded[0]!.place.height);
    await w.hl.close();
    const storage = await storageFrom(await snapshotOf(inner));
    const { body } = decodeEntry(block.transactions[0]!.entries[0]!) as SubjectEntry;
    await storage.blobs.delete([body]);
    const hl = await w.open({ storage, ...options, repair: { index: true } });
    await expect(hl.recordBundle(null, bundle([deletion]), SOURCE)).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
    });
  });
});

describe("a Patient with very many numbers", () => {
  const numbers = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ system: "urn:oid:9.9.9", value: `n-${i}` }));

  it("is found by each, or not filed", { timeout: 60_000 }, async () => {
    const w = await ward();
    const few = await w.hl.recordBundle(null, bundle([put(named(...numbers(200)))]), SOURCE);
    expect(await w.hl.findSubject(numbers(200)[199]!)).toEqual(few.recorded[0]!.subject);
    const many = await w.hl.recordBundle(
      null,
      bundle([put({ ...named(...numbers(1200).slice(150)), id: "q" })]),
      SOURCE,
    );
    expect(many.recorded).toEqual([]);
    expect(many.skipped).toHaveLength(1);
  });

  it("takes no longer than its text", { timeout: 30_000 }, async () => {
    const w = await ward();
    const line = JSON.stringify({ ...named(), identifier: numbers(cases(200_000, 4)) });
    const said = await w.hl.recordNdjson([`${line}\n`], SOURCE);
    expect(said.problems).toMatchObject([{ line: 1, code: "skipped", type: "Patient" }]);
  });
});

describe("a Patient of a source that comes with new numbers only", () => {
  it("is filed under nobody, and proposed to be the person on record under its name", async () => {
    const w = await ward();
    await w.hl.recordBundle(null, bundle([put(named(MRN)), put(weighed("1", "111"))]), SOURCE);
    const a = await w.hl.findSubject(MRN);
    const other = { ...weighed("1", "222"), id: "n" };
    const said = bundle([put(named(B)), put(other)]);
    for (const time of [1, 2]) {
      const result = await w.hl.recordBundle(null, said, SOURCE);
      expect(result.recorded, `time ${time}`).toEqual([]);
      expect(result.skipped.map(({ type }) => type)).toEqual(["Patient", "Observation"]);
      expect(result.proposals).toEqual([{ subjects: [a], because: B }]);
      expect(await w.hl.findSubject(B)).toBeUndefined();
    }
    // Another source's Patient of that name is another's.
    const elsewhere = await w.hl.recordBundle(null, said, { source: "ehr-2" });
    expect(elsewhere.recorded).toHaveLength(2);
  });

  it("is the person once the number is said to be theirs", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.recordBundle(null, bundle([put(named(MRN)), put(weighed("1", "111"))]), SOURCE);
    const a = (await w.hl.findSubject(MRN))!;
    const other = { ...weighed("1", "222"), id: "n" };
    await w.hl.identify(a, [B]);
    const result = await w.hl.recordBundle(null, bundle([put(named(B)), put(other)]), SOURCE);
    expect(result.recorded.map(({ subject }) => subject)).toEqual([a, a]);
    expect(await released(w)).toEqual([111, 222]);
  });
});
