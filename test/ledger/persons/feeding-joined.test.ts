import { describe, expect, it } from "vitest";
import { observation } from "../../support/hospital.ts";
import { ward } from "../../support/ward.ts";

const reason = "the same person";
const A = { system: "urn:oid:1.1.1", value: "1" };
const B = { system: "urn:oid:2.2.2", value: "7" };
const SOURCE = { source: "ehr-1" } as const;

/** A bundle of a source about whoever bears a number, with one observation in one version. */
const bundle = (number: object, versionId: string, value: string): string =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "transaction",
    entry: [
      {
        fullUrl: "urn:uuid:p",
        request: { method: "PUT", url: "Patient/p" },
        resource: { resourceType: "Patient", id: "p", identifier: [number] },
      },
      {
        fullUrl: "urn:uuid:o",
        request: { method: "PUT", url: "Observation/o" },
        resource: {
          ...(JSON.parse(observation("o", value)) as object),
          meta: { versionId },
          subject: { reference: "urn:uuid:p" },
        },
      },
    ],
  });

/** A bundle with the same observation about whoever bears a number, without a Patient. */
const alone = (identifier: object, versionId: string, value: string): string =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "transaction",
    entry: [
      {
        request: { method: "PUT", url: "Observation/o" },
        resource: {
          ...(JSON.parse(observation("o", value)) as object),
          meta: { versionId },
          subject: { identifier },
        },
      },
    ],
  });

async function joined() {
  const w = await ward();
  const one = await w.hl.ensureSubject(A);
  const other = await w.hl.ensureSubject(B);
  await w.hl.recordBundle(null, bundle(A, "1", "120"), SOURCE);
  const link = await w.hl.merge(one, other, { reason });
  return { ...w, one, other, link };
}

describe("a source that sends resources of persons who are joined", () => {
  it("amends what is on record of either, whichever number it sends", async () => {
    const w = await joined();
    const done = await w.hl.recordBundle(null, bundle(B, "2", "130"), SOURCE);
    const observations = done.recorded.filter(({ type }) => type === "Observation");
    expect(observations.map(({ subject, amends }) => [subject, amends !== undefined])).toEqual([
      [w.one, true],
    ]);
    const found = await w.hl.find({ ...SOURCE, type: "Observation", id: "o" });
    expect(found.map(({ subject, ended }) => [subject, ended])).toEqual([[w.one, false]]);
    const records = await w.hl.records(w.other);
    expect(records.map(({ head }) => head.manifest.resource!.type).sort()).toEqual([
      "Observation",
      "Patient",
    ]);
    // the same again does nothing
    const again = await w.hl.recordBundle(null, bundle(B, "2", "130"), SOURCE);
    expect(again.recorded).toEqual([]);
  });

  it("files a record of each once they are parted, and keeps them apart", async () => {
    const w = await joined();
    await w.hl.unmerge(w.link, { reason });
    const done = await w.hl.recordBundle(null, alone(B, "2", "130"), SOURCE);
    expect(done.recorded.map(({ subject, amends }) => [subject, amends])).toEqual([
      [w.other, undefined],
    ]);
    expect(await w.hl.records(w.one)).toHaveLength(2);
    // joined again, a newer version goes to the one whose number it has
    await w.hl.merge(w.one, w.other, { reason });
    const newer = await w.hl.recordBundle(null, bundle(A, "3", "140"), SOURCE);
    const observations = newer.recorded.filter(({ type }) => type === "Observation");
    expect(observations.map(({ subject }) => subject)).toEqual([w.one]);
  });
});

describe("a Patient of a source, on record of one person, who comes with the number of another", () => {
  it("is filed under neither, and of whom the two are once they are joined", async () => {
    const w = await joined();
    await w.hl.unmerge(w.link, { reason });
    const apart = await w.hl.recordBundle(null, bundle(B, "2", "130"), SOURCE);
    expect(apart.recorded).toEqual([]);
    expect(apart.skipped.map(({ why }) => why)).toEqual(
      Array.from(
        { length: 2 },
        () => "its patient's numbers and name at the source are of different persons known here",
      ),
    );
    expect(apart.proposals).toEqual([{ subjects: [w.one, w.other], because: B }]);
    await w.hl.merge(w.one, w.other, { reason });
    const together = await w.hl.recordBundle(null, bundle(B, "2", "130"), SOURCE);
    expect(together.recorded).toHaveLength(2);
  });

  it("is that other's once the custodian moved the Patient there", async () => {
    const w = await joined();
    await w.hl.unmerge(w.link, { reason });
    const [patient] = await w.hl.find({ ...SOURCE, type: "Patient", id: "p" });
    await w.hl.reattribute(patient!.id, w.other, "of the other");
    const moved = await w.hl.recordBundle(null, bundle(B, "2", "130"), SOURCE);
    expect(moved.recorded.map(({ subject }) => subject)).toEqual([w.other, w.other]);
  });
});

describe("Patient.link", () => {
  it("proposes to merge the two, and merges nobody", async () => {
    const w = await ward();
    const linked = (...more: object[]): string =>
      JSON.stringify({
        resourceType: "Bundle",
        type: "collection",
        entry: [
          {
            fullUrl: "urn:uuid:p",
            resource: {
              resourceType: "Patient",
              id: "p",
              identifier: [A],
              link: [{ other: { reference: "urn:uuid:q" }, type: "seealso" }, ...more],
            },
          },
          {
            fullUrl: "urn:uuid:q",
            resource: {
              resourceType: "Patient",
              id: "q",
              identifier: [B],
              link: [{ other: { reference: "urn:uuid:p" }, type: "seealso" }],
            },
          },
        ],
      });
    const third = await w.hl.ensureSubject({ system: "urn:oid:3.3.3", value: "3" });
    const more = [
      { other: { identifier: { system: "urn:oid:3.3.3", value: "3" } }, type: "refer" },
      { other: { identifier: { system: "urn:oid:3.3.3", value: "nobody" } }, type: "refer" },
      { other: { reference: "Patient/elsewhere" }, type: "refer" },
    ];
    const done = await w.hl.recordBundle(null, linked(...more));
    const one = await w.hl.findSubject(A);
    const other = await w.hl.findSubject(B);
    expect(done.proposals).toEqual([
      { subjects: [one, other], because: "Patient.link" },
      { subjects: [one, third], because: "Patient.link" },
    ]);
    expect(await w.hl.records(one!)).toHaveLength(1);
    await w.hl.merge(one!, other!, { reason });
    const again = await w.hl.recordBundle(null, linked());
    expect(again.proposals).toEqual([]);
  });
});

describe("a single recording with a key, about persons who are joined", () => {
  it("is made once, whichever of them it is repeated for", async () => {
    const w = await joined();
    const how = { idempotencyKey: "message-1" };
    const first = await w.hl.record(w.one, observation("once"), how);
    const second = await w.hl.record(w.other, observation("once"), how);
    expect(second.id).toBe(first.id);
    await w.hl.unmerge(w.link, { reason });
    const third = await w.hl.record(w.other, observation("once"), how);
    expect(third.id).not.toBe(first.id);
  });
});
