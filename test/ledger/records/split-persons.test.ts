import { describe, expect, it } from "vitest";
import { memorySigner } from "../../../src/identity/signer.ts";
import { readBundle } from "../../../src/fhir/bundle.ts";
import { observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const MRN = "urn:oid:1.2.3";
const OTHER = "urn:oid:9.9.9";
const INSURANCE = "urn:oid:5.5.5";
const TYPE = {
  coding: [{ system: "http://terminology.hl7.org/CodeSystem/v2-0203", code: "MR" }],
};
const mrn = (value: string, more: object = {}) => ({ system: MRN, value, ...more });
const other = (value: string) => ({ system: OTHER, value, type: TYPE, use: "official" });
const insured = (value: string) => ({ system: INSURANCE, value });

const patient = (id: string, ...identifier: object[]) => ({
  fullUrl: `urn:uuid:${id}`,
  resource: { resourceType: "Patient", id, identifier },
});
const seen = (id: string, subject: object, more: object = {}) => ({
  fullUrl: `urn:uuid:${id}`,
  resource: { ...(JSON.parse(observation(id)) as object), subject, ...more },
});
const of = (id: string) => ({ reference: `urn:uuid:${id}` });
const bundleOf = (...entry: object[]): string =>
  JSON.stringify({ resourceType: "Bundle", type: "collection", entry });

/** What whoever is known by a number says: all for treatment, or nothing at all. */
async function says(w: Ward, number: { system: string; value: string }, effect: "permit" | "deny") {
  const key = memorySigner({ alg: "Ed25519", secret: bytesFor(`key ${number.value}`) });
  const when = { purposes: ["TREAT"] };
  const root = { id: "all", effect, combine: "deny-overrides", when } as const;
  const { system, value } = number;
  const subject = await w.hl.ensureSubject({ system, value });
  await w.hl.consent(subject, treatmentOnly(key, { root }), { signer: key });
}

/** Ids of what is released under some numbers, whoever bears them by now. */
async function released(w: Ward, ...numbers: { system: string; value: string }[]) {
  const ids: unknown[] = [];
  for (const { system, value } of numbers) {
    if ((await w.hl.findSubject({ system, value })) === undefined) continue;
    const answer = await w.hl.request(w.b, { patient: { system, value }, purposes: ["TREAT"] });
    ids.push(...(await opened(answer)).map(({ resource }) => resource!["id"]));
  }
  return ids.sort();
}

describe("a person who is known by one number", () => {
  it.each<[string, object[]]>([
    ["another hospital's before his", [patient("p", other("7"), mrn("1"))]],
    ["two of one system", [patient("p", mrn("2"), mrn("1"))]],
    [
      "his in a later version only",
      [
        { fullUrl: "http://a.example/Patient/p", resource: patient("p", other("7")).resource },
        {
          fullUrl: "http://a.example/Patient/p",
          resource: patient("p", other("7"), mrn("1")).resource,
        },
        seen("v", { reference: "http://a.example/Patient/p" }),
      ],
    ],
    [
      "his in a reference only",
      [patient("p", other("7")), seen("r", { ...of("p"), identifier: mrn("1") })],
    ],
    [
      "his by another Patient that shares a number",
      [patient("p", other("7"), insured("i")), patient("q", insured("i"), mrn("1"))],
    ],
    [
      "his contained in a record",
      [
        seen(
          "c",
          { reference: "#x" },
          {
            contained: [{ ...patient("x", other("7"), mrn("1")).resource }],
          },
        ),
        patient("p", other("7")),
      ],
    ],
  ])("is that person in a bundle that gives %s: what he refused holds", async (_, entries) => {
    const w = await ward();
    await says(w, mrn("1"), "deny");
    const done = await w.hl.recordBundle(null, bundleOf(...entries, seen("o", of("p"))));
    await says(w, other("8"), "permit");
    const known = await w.hl.findSubject(mrn("1"));
    expect(done.recorded.length).toBeGreaterThan(1);
    for (const { subject } of done.recorded) expect(subject.local).toEqual(known!.local);
    expect(done.subjects.map(({ subject }) => subject.local)).toEqual([known!.local]);
    const given = JSON.stringify(entries);
    for (const number of [other("7"), mrn("2"), insured("i")]) {
      const { system, value } = number;
      const bearer = await w.hl.findSubject({ system, value });
      // every number in the bundle finds him from now on, and no other does
      const isGiven = given.includes(JSON.stringify({ system, value }).slice(1, -1));
      expect(bearer?.local).toEqual(isGiven ? known!.local : undefined);
    }
    expect(await released(w, mrn("1"))).toEqual([]);
  });

  it("is released what he permits, filed under another number that comes first", async () => {
    const w = await ward();
    await says(w, mrn("1"), "permit");
    await w.hl.recordBundle(null, bundleOf(patient("p", other("7"), mrn("1")), seen("o", of("p"))));
    expect(await released(w, mrn("1"))).toEqual(["o", "p"]);
  });

  it("is not certain by a former number of the patient, and not found by one that is too long", async () => {
    const w = await ward();
    await says(w, mrn("1"), "permit");
    const done = await w.hl.recordBundle(
      null,
      bundleOf(patient("p", mrn("1", { use: "old" }), other("7"), insured("x".repeat(2000)))),
    );
    // filed under another number, what he refused would not hold; under his, what he permitted might
    // concern somebody else
    const known = await w.hl.findSubject(mrn("1"));
    expect(done.subjects).toEqual([]);
    expect(done.recorded).toEqual([]);
    expect(done.skipped.map(({ why }) => why)).toEqual([
      expect.stringMatching(/which person known here/),
    ]);
    expect(done.proposals).toEqual([{ subjects: [known], because: mrn("1") }]);
    expect(await released(w, mrn("1"))).toEqual([]);
  });
});

describe("numbers of two persons who are known", () => {
  it("file a patient under neither, and it is said", async () => {
    const w = await ward();
    await says(w, mrn("1"), "deny");
    await says(w, other("7"), "permit");
    const done = await w.hl.recordBundle(
      null,
      bundleOf(
        patient("p", other("7"), mrn("1")),
        seen("o", of("p")),
        patient("q", mrn("3")),
        seen("n", of("q")),
      ),
    );
    expect(done.recorded.map(({ index }) => index)).toEqual([2, 3]);
    expect(done.skipped).toEqual([
      { type: "Patient", index: 0, why: expect.stringMatching(/which person known here/) },
      { type: "Observation", index: 1, why: expect.stringMatching(/which person known here/) },
    ]);
    expect(done.problems).toEqual([
      { code: "unresolved-patient", path: "Bundle.entry[0]" },
      { code: "unresolved-patient", path: "Bundle.entry[1]" },
    ]);
    expect(await released(w, mrn("1"), other("7"))).toEqual([]);
  });

  it("leave it to the caller who names one of them", async () => {
    const w = await ward();
    await says(w, mrn("1"), "deny");
    await says(w, other("7"), "permit");
    const him = (await w.hl.findSubject(mrn("1")))!;
    const both = bundleOf(patient("p", other("7"), mrn("1")), seen("o", of("p")));
    expect((await w.hl.recordBundle(him, both)).recorded).toHaveLength(2);
    const refused = { code: "ERR_INPUT_OTHER_PERSON" };
    const hers = bundleOf(patient("p", other("7")), seen("o", of("p")));
    await expect(w.hl.recordBundle(him, hers)).rejects.toMatchObject(refused);
    const { resource } = patient("p", other("7"));
    await expect(w.hl.record(him, JSON.stringify(resource))).rejects.toMatchObject(refused);
    expect(await w.hl.records(him)).toHaveLength(2);
  });
});

describe("patients of one bundle who share a number", () => {
  it("are one new person where nothing speaks against it", async () => {
    const w = await ward();
    const done = await w.hl.recordBundle(
      null,
      bundleOf(
        patient("p", other("7"), insured("i")),
        patient("q", insured("i")),
        seen("l", of("q")),
      ),
    );
    const { subjects } = done;
    expect(subjects.map(({ identifier }) => identifier)).toEqual([{ system: OTHER, value: "7" }]);
    expect(await w.hl.records(subjects[0]!.subject)).toHaveLength(3);
  });

  it("are two where their own numbers differ, and neither is whom the shared one names", async () => {
    const family = bundleOf(
      patient("mother", mrn("1", { type: TYPE }), insured("i")),
      patient("child", mrn("2", { type: TYPE }), insured("i")),
      seen("hers", of("mother")),
      seen("its", of("child")),
      seen("whose", { identifier: insured("i") }),
    );
    const w = await ward();
    await says(w, mrn("1"), "permit");
    await says(w, mrn("2"), "deny");
    const done = await w.hl.recordBundle(null, family);
    expect(done.skipped.map(({ index }) => index)).toEqual([4]);
    expect(await released(w, mrn("1"), mrn("2"))).toEqual(["hers", "mother"]);

    const other = await ward();
    await says(other, insured("i"), "deny");
    await says(other, mrn("1"), "permit");
    const again = await other.hl.recordBundle(null, family);
    expect(again.recorded).toEqual([]);
    expect(await released(other, mrn("1"), mrn("2"), insured("i"))).toEqual([]);
  });
});

describe("a record whose encounter is another patient's", () => {
  it("is filed under nobody, and it is said", async () => {
    const w = await ward();
    await says(w, mrn("1"), "permit");
    await says(w, mrn("2"), "deny");
    const done = await w.hl.recordBundle(
      null,
      bundleOf(
        patient("p", mrn("1")),
        patient("q", mrn("2")),
        {
          fullUrl: "urn:uuid:e",
          resource: { resourceType: "Encounter", id: "e", subject: of("q") },
        },
        seen("o", of("p"), { encounter: of("e") }),
      ),
    );
    expect(done.skipped).toEqual([
      { type: "Observation", index: 3, why: expect.stringMatching(/different patient/) },
    ]);
    expect(done.problems).toEqual([{ code: "other-patient", path: "Bundle.entry[3]" }]);
    expect(await released(w, mrn("1"), mrn("2"))).toEqual(["p"]);
  });
});

describe("a bundle that names people in thousands of ways", () => {
  it("is told apart in time that grows with it, whoever shares what", () => {
    const many = Array.from({ length: 20_000 }, (_, n) => ({
      resource: patient(`p${n}`, { system: `urn:s${n}`, value: "1" }, insured("i")).resource,
    }));
    const began = performance.now();
    const { patients } = readBundle(bundleOf(...many));
    expect(patients).toHaveLength(20_000);
    expect(performance.now() - began).toBeLessThan(10_000);
  });
});
