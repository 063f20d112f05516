import { describe, expect, it } from "vitest";
import { toConsentResource } from "../../src/fhir/consent-resource.ts";
import { describeResource } from "../../src/fhir/describe-resource.ts";

const confidentiality = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

describe("toConsentResource", () => {
  it("carries over what consent is judged by", () => {
    const description = describeResource({
      resourceType: "Condition",
      id: "c",
      meta: { versionId: "2", security: [{ system: confidentiality, code: "R" }] },
      code: { coding: [{ system: "http://snomed.info/sct", code: "86406008" }, { code: "local" }] },
      onsetDateTime: "2019",
      abatementDateTime: "2020-02-01T00:00:00Z",
      recorder: { identifier: { system: "urn:npi", value: "1" } },
      encounter: { reference: "Encounter/e" },
    });
    expect(toConsentResource(description, { controller: "did:key:z", recordedAt: 5 })).toEqual({
      id: "Condition/c",
      versionId: "2",
      type: "Condition",
      codes: [{ system: "http://snomed.info/sct", code: "86406008" }],
      otherCodes: [{ system: confidentiality, code: "R" }],
      uncoded: true,
      labels: { codes: [{ system: confidentiality, code: "R" }], stamp: null },
      period: { from: "2019", to: Date.parse("2020-02-01T00:00:00.999Z") },
      authors: ["urn:npi|1"],
      encounter: "Encounter/e",
      references: ["Encounter/e"],
      controller: "did:key:z",
      recordedAt: 5,
    });
  });

  it("prefers a labeller's labels, and has none without a labeller", () => {
    const description = describeResource({ resourceType: "Condition" });
    expect(toConsentResource(description).labels).toBeNull();
    const labels = { codes: [], stamp: { labeller: "rules", version: "1" } };
    expect(toConsentResource(description, { labels }).labels).toBe(labels);
  });

  it("says that its codes are not all, where something has only words or a code of no system", () => {
    const coded = { coding: [{ system: "http://loinc.org", code: "2339-0" }] };
    const seen = (code: unknown, category: unknown = coded) =>
      toConsentResource(
        describeResource({ resourceType: "Observation", code, category: [category] } as never),
      );
    expect(seen(coded).uncoded).toBeUndefined();
    expect(seen({ text: "HIV test" }).uncoded).toBe(true);
    expect(seen(coded, { text: "HIV" }).uncoded).toBe(true);
    expect(seen({ coding: [{ code: "HIVAB" }] }).uncoded).toBe(true);
    expect(seen(undefined).uncoded).toBe(true);
  });

  it("says so too of a description that does not tell which codes stand elsewhere", () => {
    const code = { coding: [{ system: "http://loinc.org", code: "2339-0" }] };
    const { otherCodes, ...old } = describeResource({ resourceType: "Observation", code });
    expect(otherCodes).toEqual([]);
    expect(toConsentResource(old).uncoded).toBe(true);
    expect(toConsentResource({ ...old, otherCodes: [] }).uncoded).toBeUndefined();
  });
});
