import { describe, expect, it } from "vitest";
import type { Rule } from "../../../src/consent/model/model.ts";
import type { Period } from "../../../src/consent/model/time.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { opened, ward } from "../../support/ward.ts";

const absent = {
  extension: [
    { url: "http://hl7.org/fhir/StructureDefinition/data-absent-reason", valueCode: "unknown" },
  ],
};

/** By id: what an Observation says of its time, beside having been issued in 2024. */
const TIMES: Readonly<Record<string, object>> = {
  "of-2009": { effectiveDateTime: "2009-05-01" },
  "of-2022": { effectiveDateTime: "2022-05-01T10:00:00Z" },
  "of-2024": { effectivePeriod: { start: "2024-01-01", end: "2024-01-02" } },
  "no-offset": { effectiveDateTime: "2009-05-01T10:00:00" },
  "no-date": { effectiveDateTime: "May 2009" },
  null: { effectiveDateTime: null },
  absent: { _effectiveDateTime: absent },
  half: { effectivePeriod: { start: "2009-05-01T10:00:00", end: "2024" } },
  "half-null": { effectivePeriod: { start: null, end: "2024" } },
  empty: { effectivePeriod: {} },
  events: { effectiveTiming: { event: ["2024-01-01", null] } },
  untold: {},
};

const { effectiveDateTime: _, ...timeless } = JSON.parse(observation("o")) as Record<
  string,
  unknown
>;

const issued = "2024-02-02T08:00:00Z";
const OBSERVATIONS = Object.entries(TIMES).map(([id, time]) => ({
  ...{ ...timeless, id, issued },
  ...time,
}));

/** What is released of them all, recorded as a bundle, by a rule about a period. */
async function releasedBy(
  effect: Rule["effect"],
  period: Period,
  resources: readonly object[] = OBSERVATIONS,
): Promise<string[]> {
  const w = await ward();
  const entry = resources.map((resource) => ({ resource }));
  const bundle = JSON.stringify({ resourceType: "Bundle", type: "collection", entry });
  expect((await w.hl.recordBundle(w.me, bundle)).recorded).toHaveLength(entry.length);
  const combine = "deny-overrides";
  const ofPeriod: Rule = { id: "period", effect, combine, when: { data: { period } } };
  const treatment = { id: "treatment", combine, when: { purposes: ["TREAT"] } } as const;
  const root: Rule =
    effect === "permit"
      ? { ...treatment, effect: "deny", rules: [ofPeriod] }
      : { ...treatment, effect: "permit", rules: [ofPeriod] };
  await w.hl.consent(w.me, treatmentOnly(w.patient, { root }), { signer: w.patient });
  const answer = await w.hl.request(w.b, { patient: MRN, purposes: ["TREAT"] });
  return (await opened(answer)).map(({ resource }) => String(resource!["id"])).sort();
}

describe("a period in consent", () => {
  it("refuses what may be of it, whenever it was issued", async () => {
    expect(await releasedBy("deny", { to: "2019" })).toEqual(["of-2022", "of-2024"]);
  });

  it("permits only what is known to be of it", async () => {
    expect(await releasedBy("permit", { from: "2020" })).toEqual(["of-2022", "of-2024"]);
  });

  it("refuses a year out of the midst", async () => {
    // by 2024-02 at the latest: not in 2025
    expect(await releasedBy("deny", { from: "2025" })).toEqual([
      "of-2009",
      "of-2022",
      "of-2024",
      "untold",
    ]);
    expect(await releasedBy("deny", { from: "2021", to: "2023" })).toEqual(["of-2009", "of-2024"]);
  });
});

/** A result within a report of 2015. */
const report = (id: string, ...contained: readonly object[]): object => ({
  resourceType: "DiagnosticReport",
  id,
  status: "final",
  code: { coding: [{ system: "http://loinc.org", code: "8480-6" }] },
  subject: { reference: "Patient/p1" },
  effectiveDateTime: "2015-06-01",
  result: contained.map((_, i) => ({ reference: `#c${i}` })),
  contained: contained.map((one, i) => ({ ...timeless, ...one, id: `c${i}` })),
});
const of2009 = { effectiveDateTime: "2009-05-01" };
const panel = { hasMember: [{ reference: "#c1" }], effectiveDateTime: "2015-06-01" };
const condition = { resourceType: "Condition", onsetDateTime: "2009", abatementDateTime: "2009" };
const composition = {
  ...report("composition", condition),
  resourceType: "Composition",
  event: [{ period: { start: "2015", end: "2015" } }],
};
const REPORTS: readonly object[] = [
  report("plain"),
  report("same", { effectiveDateTime: "2015-05-30" }),
  report("untold", {}),
  report("old", of2009),
  report("member", panel, of2009),
  report("no-offset", { effectiveDateTime: "2009-05-01T10:00:00" }),
  report("recorded", { resourceType: "Condition", recordedDate: "2009-05-01" }),
  composition,
];

describe("a period in consent, and results within a report", () => {
  it("refuses a report for the old result in it", async () => {
    const released = await releasedBy("deny", { from: "2009", to: "2009" }, REPORTS);
    expect(released).toEqual(["plain", "same", "untold"]);
  });

  it("permits a report only where all in it is of the period", async () => {
    const released = await releasedBy("permit", { from: "2015", to: "2015" }, REPORTS);
    expect(released).toEqual(["plain", "same", "untold"]);
    expect(await releasedBy("permit", { from: "2009", to: "2015" }, REPORTS)).toEqual([
      "composition",
      "member",
      "old",
      "plain",
      "same",
      "untold",
    ]);
  });
});

const about = { ...timeless, status: "completed", issued: undefined };
const RANGES: readonly object[] = [
  { ...about, resourceType: "MedicationDispense", id: "dispense", whenPrepared: "2009-12-30" },
  {
    ...{ ...about, resourceType: "MedicationDispense", id: "handed-over" },
    ...{ whenPrepared: "2009-12-30", whenHandedOver: "2015-01-04" },
  },
  { ...about, resourceType: "QuestionnaireResponse", id: "answers", authored: "2015-01-04" },
  {
    ...{ ...about, resourceType: "Media", id: "media" },
    createdPeriod: { start: "2009", end: "2015" },
  },
  {
    ...{ ...about, resourceType: "DetectedIssue", id: "issue", identifiedDateTime: "2009" },
    mitigation: [{ action: { text: "stopped" }, date: "2015" }],
  },
  { ...about, resourceType: "Media", id: "taken", createdDateTime: "2015" },
];

describe("a period in consent, and times that are ranges", () => {
  it("refuses what reaches into it from either side", async () => {
    expect(await releasedBy("deny", { to: "2009" }, RANGES)).toEqual(["taken"]);
    expect(await releasedBy("deny", { from: "2014" }, RANGES)).toEqual([]);
  });

  it("permits what is of it from end to end", async () => {
    expect(await releasedBy("permit", { from: "2010" }, RANGES)).toEqual(["taken"]);
    expect(await releasedBy("permit", { from: "2009", to: "2015" }, RANGES)).toEqual([
      "handed-over",
      "issue",
      "media",
      "taken",
    ]);
  });
});
