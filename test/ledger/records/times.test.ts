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

/** What is released of them all, recorded as a bundle, by a rule about a period. */
async function releasedBy(effect: Rule["effect"], period: Period): Promise<string[]> {
  const w = await ward();
  const entry = Object.entries(TIMES).map(([id, time]) => ({
    resource: { ...timeless, id, issued: "2024-02-02T08:00:00Z", ...time },
  }));
  const bundle = JSON.stringify({ resourceType: "Bundle", type: "collection", entry });
  expect((await w.hl.recordBundle(w.me, bundle)).recorded).toHaveLength(entry.length);
  const combine = "deny-overrides";
  const ofPeriod: Rule = { id: "period", effect, combine, when: { data: { period } } };
  const treatment = { id: "treatment", combine, when: { purposes: ["TREAT"] } } as const;
  const root: Rule =
    effect === "permit"
      ? { ...treatment, effect: "deny", rules: [ofPeriod] }
      : { ...treatment, effect: "permit", rules: [ofPeriod] };
  await w.hl.consent(w.me, treatmentOnly(w.patient, { root }), { grantor: w.patient });
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
