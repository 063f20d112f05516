import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { describeResource } from "../../src/fhir/describe-resource.ts";

const utc = (iso: string) => Date.parse(iso);
const loinc = (code: string) => ({ coding: [{ system: "http://loinc.org", code }] });
const snomed = (code: string) => ({ coding: [{ system: "http://snomed.info/sct", code }] });

describe("describeResource", () => {
  it("describes an Observation with components", () => {
    const description = describeResource({
      resourceType: "Observation",
      id: "bp",
      meta: {
        versionId: "3",
        lastUpdated: "2024-03-01T10:00:00.000Z",
        profile: ["http://hl7.org/fhir/StructureDefinition/bp"],
        security: [
          { system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "R" },
        ],
      },
      status: "final",
      category: [{ coding: [{ code: "vital-signs" }] }],
      code: loinc("85354-9"),
      effectiveDateTime: "2024-03-01T09:30:00+01:00",
      performer: [{ reference: "Practitioner/1" }],
      encounter: { reference: "Encounter/5" },
      component: [
        { code: loinc("8480-6"), valueQuantity: { value: 120, code: "mm[Hg]", unit: "mmHg" } },
        { code: loinc("8462-4"), valueCodeableConcept: snomed("1") },
      ],
    });
    expect(description).toEqual({
      type: "Observation",
      id: "bp",
      versionId: "3",
      lastUpdated: utc("2024-03-01T10:00:00Z"),
      status: "final",
      codes: [
        { system: "http://loinc.org", code: "85354-9", element: "code" },
        { code: "vital-signs", element: "category" },
        { system: "http://loinc.org", code: "8480-6", element: "component.code" },
        { system: "http://loinc.org", code: "8462-4", element: "component.code" },
        { system: "http://snomed.info/sct", code: "1", element: "component.value[x]" },
      ],
      otherCodes: [
        { system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "R" },
      ],
      labels: [{ system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "R" }],
      profiles: ["http://hl7.org/fhir/StructureDefinition/bp"],
      period: {
        from: utc("2024-03-01T08:30:00Z"),
        to: utc("2024-03-01T08:30:00.999Z"),
        precision: "second",
      },
      authors: [{ reference: "Practitioner/1" }],
      encounter: { reference: "Encounter/5" },
      references: ["Practitioner/1", "Encounter/5"],
      freeText: false,
      uncoded: false,
      malformed: [],
    });
  });

  it.each([
    [
      { resourceType: "Condition", onsetDateTime: "2020", abatementDateTime: "2021-03" },
      "2020",
      "2021-03",
    ],
    [{ resourceType: "Condition", onsetDateTime: "2020-05-01" }, "2020-05-01", undefined],
    [
      {
        resourceType: "Encounter",
        period: { start: "2020-01-01T10:00:00Z", end: "2020-01-01T11:00:00Z" },
      },
      utc("2020-01-01T10:00:00Z"),
      utc("2020-01-01T11:00:00.999Z"),
    ],
    [{ resourceType: "Encounter", actualPeriod: { start: "2020-01-01" } }, "2020-01-01", undefined],
    [
      { resourceType: "Procedure", performedPeriod: { end: "2020-01-02" } },
      undefined,
      "2020-01-02",
    ],
    [{ resourceType: "Procedure", occurrenceDateTime: "2020-01-02" }, "2020-01-02", "2020-01-02"],
    [
      { resourceType: "ServiceRequest", occurrenceTiming: { event: ["2020-01-09", "2020-01-02"] } },
      "2020-01-02",
      "2020-01-09",
    ],
    [
      {
        resourceType: "ServiceRequest",
        occurrenceTiming: { repeat: { boundsPeriod: { start: "2020-01" } } },
      },
      "2020-01",
      undefined,
    ],
    [
      {
        resourceType: "DocumentReference",
        context: { period: { start: "2020", end: "2020" } },
        date: "2024-01-01T00:00:00Z",
      },
      "2020",
      "2020",
    ],
    [
      { resourceType: "Appointment", start: "2020-01-01T10:00:00Z", end: "2020-01-01T10:30:00Z" },
      utc("2020-01-01T10:00:00Z"),
      utc("2020-01-01T10:30:00.999Z"),
    ],
    [
      {
        resourceType: "Claim",
        item: [{ servicedDate: "2020-02-03" }, { servicedDate: "2020-02" }],
      },
      "2020-02",
      "2020-02",
    ],
    [{ resourceType: "SomethingNew", date: "2020-02" }, undefined, "2020-02"],
  ])("tells when it was: %j", (resource, from, to) => {
    const { period } = describeResource(resource);
    expect(period?.from).toBe(from);
    expect(period?.to).toBe(to);
  });

  it("gives the coarser precision of two ends", () => {
    const { period } = describeResource({
      resourceType: "Encounter",
      period: { start: "2020-01-01T10:00:00Z", end: "2021" },
    });
    expect(period).toEqual({ from: utc("2020-01-01T10:00:00Z"), to: "2021", precision: "year" });
  });

  it("names malformed dates and goes on", () => {
    const description = describeResource({
      resourceType: "Encounter",
      meta: { lastUpdated: "yesterday" },
      period: { start: "2020-02-30", end: 5 },
    });
    expect(description.period).toBeUndefined();
    expect(description.malformed).toEqual(["meta.lastUpdated", "period.start", "period.end"]);
  });

  it("collects codes that tell what a resource is about", () => {
    const codes = (resource: object) =>
      describeResource({ resourceType: "?", ...resource }).codes.map(({ code }) => code);
    expect(
      codes({
        resourceType: "MedicationRequest",
        medicationCodeableConcept: snomed("1"),
        reasonCode: [snomed("2")],
      }),
    ).toEqual(["1", "2"]);
    expect(
      codes({ resourceType: "MedicationRequest", medication: { concept: snomed("1") } }),
    ).toEqual(["1"]);
    expect(codes({ resourceType: "Immunization", vaccineCode: snomed("1") })).toEqual(["1"]);
    expect(
      codes({
        resourceType: "MedicationRequest",
        contained: [{ resourceType: "Medication", id: "m", code: snomed("9") }],
        medicationReference: { reference: "#m" },
      }),
    ).toEqual(["9"]);
    expect(
      codes({ resourceType: "Claim", diagnosis: [{ diagnosisCodeableConcept: snomed("4") }] }),
    ).toEqual(["4"]);
    expect(codes({ resourceType: "Encounter", class: { system: "urn:x", code: "AMB" } })).toEqual([
      "AMB",
    ]);
  });

  it("says where a meaning stands in words only", () => {
    const of = (resource: object) => describeResource({ resourceType: "Observation", ...resource });
    expect(of({ code: { text: "mood" } }).uncoded).toBe(true);
    expect(of({}).uncoded).toBe(true);
    expect(of({ category: [snomed("1")] }).uncoded).toBe(true);
    expect(of({ code: snomed("1") }).uncoded).toBe(false);
    expect(of({ code: snomed("1"), note: [{ text: "drinks" }] }).freeText).toBe(true);
    expect(of({ code: snomed("1"), valueString: "positive" }).freeText).toBe(true);
    expect(of({ code: snomed("1"), text: { status: "generated", div: "<div/>" } }).freeText).toBe(
      false,
    );
    expect(of({ code: snomed("1"), text: { status: "additional", div: "<div/>" } }).freeText).toBe(
      true,
    );
    expect(describeResource({ resourceType: "Patient" }).uncoded).toBe(false);
  });

  it("survives anything", () => {
    fc.assert(
      fc.property(
        fc.constantFrom("Observation", "Condition", "DocumentReference", "Claim", "?"),
        fc.dictionary(
          fc.constantFrom(
            "code",
            "meta",
            "period",
            "onsetDateTime",
            "abatement",
            "performer",
            "contained",
            "context",
            "component",
            "text",
            "identifier",
          ),
          fc.anything({
            maxDepth: 3,
            key: fc.constantFrom(
              "coding",
              "code",
              "start",
              "end",
              "reference",
              "system",
              "security",
              "type",
              "resourceType",
              "div",
              "value",
            ),
          }),
        ),
        (resourceType, elements) => {
          const description = describeResource({ ...elements, resourceType });
          expect(description.type).toBe(resourceType);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
