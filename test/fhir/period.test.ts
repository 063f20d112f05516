import { describe, expect, it } from "vitest";
import { describeResource } from "../../src/fhir/describe-resource.ts";

const OF = "2009-05-01T10:00:00";
const LATER = "2024-02-02T08:00:00Z";
const LATER_MS = Date.UTC(2024, 1, 2, 8);
const absent = {
  extension: [
    { url: "http://hl7.org/fhir/StructureDefinition/data-absent-reason", valueCode: "unknown" },
  ],
};

describe("a time that cannot be read", () => {
  it.each([
    // without offset, no date, a date that does not exist
    ["Observation", { effectiveDateTime: OF, issued: LATER }],
    ["Observation", { effectiveDateTime: "01.05.2009", issued: LATER }],
    ["Observation", { effectiveDateTime: "2009-02-30", issued: LATER }],
    ["Observation", { effectiveDateTime: "", issued: LATER }],
    ["Observation", { effectiveDateTime: " 2009", issued: LATER }],
    ["Observation", { effectiveInstant: OF, effectiveDateTime: "2009", issued: LATER }],
    // null, in whole and in part
    ["Observation", { effectiveDateTime: null, issued: LATER }],
    ["Observation", { _effectiveDateTime: absent, issued: LATER }],
    ["Observation", { effectivePeriod: { start: null, end: "2024" }, issued: LATER }],
    ["Observation", { effectivePeriod: { _start: absent, end: "2024" }, issued: LATER }],
    ["Observation", { effectivePeriod: { start: OF, end: LATER }, issued: LATER }],
    ["Observation", { effectivePeriod: { start: "2020", end: OF } }],
    ["Observation", { effectivePeriod: {}, issued: LATER }],
    ["Observation", { effectivePeriod: absent, issued: LATER }],
    ["Observation", { effectiveTiming: { event: ["2024", null] }, issued: LATER }],
    ["Observation", { effectiveTiming: { event: [] }, issued: LATER }],
    ["Observation", { effectiveTiming: { event: [null], _event: [absent] }, issued: LATER }],
    ["Observation", { effectiveTiming: { code: { text: "daily" } }, issued: LATER }],
    // how often, or how long, but not when
    ["ServiceRequest", { occurrenceTiming: { repeat: { frequency: 1 } }, authoredOn: LATER }],
    [
      "ServiceRequest",
      { occurrenceTiming: { event: ["2024"], repeat: { boundsDuration: { value: 9 } } } },
    ],
    // told, but not as a date
    ["Condition", { onsetString: "in youth", recordedDate: "2020-05-01" }],
    ["Condition", { onsetAge: { value: 12, unit: "a" }, recordedDate: "2020-05-01" }],
    ["Condition", { onsetRange: { low: { value: 12 } }, recordedDate: "2020-05-01" }],
    ["Condition", { onsetDateTime: "2020", abatementString: "last year" }],
    ["Condition", { onsetDateTime: "2020", abatementBoolean: true }],
    ["Condition", { onsetDateTime: OF, abatementDateTime: "2020" }],
    ["Procedure", { performedString: "as a child", recorded: LATER }],
    ["Immunization", { occurrenceString: "at birth", recorded: "2024" }],
    ["Goal", { startCodeableConcept: { text: "admission" }, statusDate: "2024" }],
    ["Encounter", { period: { start: OF } }],
    ["Encounter", { period: 7, actualPeriod: { start: "2024" } }],
    ["Claim", { billablePeriod: { start: OF }, created: "2024" }],
    ["Claim", { item: [{ servicedDate: "2024" }, { servicedDate: null }], created: "2024" }],
    ["Claim", { item: [{ servicedDate: "2024" }, {}], created: "2024" }],
    ["Claim", { item: [null, { servicedDate: "2024" }], created: "2024" }],
    ["DocumentReference", { context: { period: { end: OF } }, date: LATER }],
    ["SomethingNew", { period: { start: OF }, date: "2024" }],
  ])("leaves the period of a %s unknown: %j", (resourceType, elements) => {
    expect(describeResource({ resourceType, ...elements }).period).toBeUndefined();
  });

  it("names what is malformed in it, and not what is prose", () => {
    const of = (elements: object) =>
      describeResource({ resourceType: "Encounter", ...elements }).malformed;
    expect(of({ period: { start: OF, end: "2024" } })).toEqual(["period.start"]);
    expect(of({ period: null })).toEqual(["period"]);
    expect(of({ _period: absent })).toEqual([]);
  });
});

describe("when something was written down", () => {
  it.each([
    ["Observation", { issued: LATER }, { to: LATER_MS + 999 }],
    ["DiagnosticReport", { issued: LATER }, { to: LATER_MS + 999 }],
    ["FamilyMemberHistory", { date: "2024" }, { to: "2024" }],
    ["List", { date: "2024" }, { to: "2024" }],
    ["ClaimResponse", { created: "2024" }, { to: "2024" }],
    ["Immunization", { recorded: "2024" }, { to: "2024" }],
    ["DocumentReference", { date: LATER }, { to: LATER_MS + 999 }],
    ["Composition", { date: "2024-02-02" }, { to: "2024-02-02" }],
    ["ServiceRequest", { authoredOn: "2024-02-02" }, { from: "2024-02-02" }],
    ["MedicationRequest", { authoredOn: "2024-02-02" }, { from: "2024-02-02" }],
    ["DeviceRequest", { authoredOn: "2024-02-02" }, { from: "2024-02-02" }],
    ["NutritionOrder", { dateTime: "2024-02-02" }, { from: "2024-02-02" }],
    ["VisionPrescription", { dateWritten: "2024-02-02" }, { from: "2024-02-02" }],
    ["AllergyIntolerance", { onsetDateTime: "2005", lastOccurrence: "2024" }, { from: "2005" }],
    ["Goal", { startDate: "2024-02-02" }, { from: "2024-02-02" }],
    ["Appointment", { created: "2024-02-02" }, { from: "2024-02-02" }],
  ])("bounds the time that a %s does not tell: %j", (resourceType, elements, bounds) => {
    const { period } = describeResource({ resourceType, ...elements });
    const { precision: _, ...rest } = period!;
    expect(rest).toEqual(bounds);
  });

  it("says nothing of what may have gone on before and after", () => {
    for (const resource of [
      { resourceType: "Condition", recordedDate: "2024" },
      { resourceType: "AllergyIntolerance", recordedDate: "2024", lastOccurrence: "2023" },
      { resourceType: "MedicationStatement", dateAsserted: "2024" },
      { resourceType: "DeviceUseStatement", recordedOn: "2024" },
    ])
      expect(describeResource(resource).period).toBeUndefined();
  });

  it("of a prescription ends where its validity does", () => {
    const { period } = describeResource({
      resourceType: "MedicationRequest",
      authoredOn: "2024-02-02",
      dispenseRequest: { validityPeriod: { start: "2024-02-03", end: "2024-05-01" } },
    });
    expect(period).toEqual({ from: "2024-02-02", to: "2024-05-01", precision: "day" });
  });

  it("does not stand beside a time that is told", () => {
    const { period } = describeResource({
      resourceType: "Observation",
      effectiveDateTime: "2009",
      issued: LATER,
    });
    expect(period).toEqual({ from: "2009", to: "2009", precision: "year" });
  });
});

describe("a time that is a range", () => {
  it.each([
    // R4 4.0.1 and R5 5.0.0: created[x] and identified[x] are a dateTime or a Period
    [
      "Media",
      { createdPeriod: { start: "2009", end: "2015" }, issued: LATER },
      { from: "2009", to: "2015" },
    ],
    ["Media", { createdDateTime: "2009-05", issued: LATER }, { from: "2009-05", to: "2009-05" }],
    [
      "DetectedIssue",
      { identifiedPeriod: { start: "2009", end: "2015" } },
      { from: "2009", to: "2015" },
    ],
    [
      "DetectedIssue",
      { identifiedDateTime: "2009", mitigation: [{ date: "2011" }, { date: "2013-02" }] },
      { from: "2009", to: "2013-02" },
    ],
    ["DetectedIssue", { identifiedDateTime: "2009" }, { from: "2009", to: "2009" }],
    // prepared, and then handed over
    [
      "MedicationDispense",
      { whenPrepared: "2009-12-30", whenHandedOver: "2010-01-04" },
      { from: "2009-12-30", to: "2010-01-04" },
    ],
    ["MedicationDispense", { whenPrepared: "2009-12-30" }, { from: "2009-12-30" }],
    [
      "MedicationDispense",
      { whenHandedOver: "2010-01-04" },
      { from: "2010-01-04", to: "2010-01-04" },
    ],
    // R5: "when the dispense activity started"
    ["MedicationDispense", { recorded: "2009-12-30" }, { from: "2009-12-30" }],
    [
      "DeviceDispense",
      { preparedDate: "2009-12-30", whenHandedOver: "2010-01-04" },
      { from: "2009-12-30", to: "2010-01-04" },
    ],
    ["Communication", { sent: "2009-12-30", received: "2010" }, { from: "2009-12-30", to: "2010" }],
    ["Communication", { received: "2010" }, { from: "2010", to: "2010" }],
    // "when this set of answers were last changed"
    ["QuestionnaireResponse", { authored: "2015" }, { to: "2015" }],
    // what it recommends is to come
    ["ImmunizationRecommendation", { date: "2015" }, { from: "2015" }],
    ["DeviceUsage", { timingPeriod: { start: "2009", end: "2015" } }, { from: "2009", to: "2015" }],
  ])("is read as one of a %s: %j", (resourceType, elements, bounds) => {
    const { precision: _, ...rest } = describeResource({ resourceType, ...elements }).period!;
    expect(rest).toEqual(bounds);
  });

  it.each([
    ["MedicationDispense", { whenPrepared: OF, whenHandedOver: "2010" }],
    ["MedicationDispense", { whenPrepared: "2009", _whenHandedOver: absent }],
    ["DetectedIssue", { identifiedDateTime: "2009", mitigation: [{ date: "2011" }, {}] }],
    ["Communication", { sent: "2009", received: null }],
  ])("is unknown where an end of it cannot be read, of a %s: %j", (resourceType, elements) => {
    expect(describeResource({ resourceType, ...elements }).period).toBeUndefined();
  });
});

describe("what is contained in a resource", () => {
  const of = (...contained: unknown[]) =>
    describeResource({
      resourceType: "DiagnosticReport",
      effectiveDateTime: "2015-06-01",
      contained,
    });
  const bounds = (...contained: unknown[]) => {
    const { precision: _, ...rest } = of(...contained).period!;
    return rest;
  };
  const result = { resourceType: "Observation" };

  it("is of the period too", () => {
    expect(bounds({ ...result, effectiveDateTime: "2009" })).toEqual({
      from: "2009",
      to: "2015-06-01",
    });
    expect(
      bounds(
        { resourceType: "Condition", onsetDateTime: "2011", abatementDateTime: "2012" },
        { ...result, effectiveDateTime: "2019-02-02T08:00:00Z" },
      ),
    ).toEqual({ from: "2011", to: Date.UTC(2019, 1, 2, 8) + 999 });
    expect(of({ ...result, effectiveDateTime: "2009" }).period!.precision).toBe("year");
  });

  it("leaves open what it leaves open", () => {
    expect(bounds({ ...result, issued: "2009-01-01T00:00:00Z" })).toEqual({ to: "2015-06-01" });
    expect(bounds({ resourceType: "Condition", onsetDateTime: "2009" })).toEqual({ from: "2009" });
    expect(bounds({ resourceType: "ServiceRequest", authoredOn: "2016" })).toEqual({
      from: "2015-06-01",
    });
  });

  it("is found however deep it is contained", () => {
    const entry = [{ resource: { ...result, effectiveDateTime: "2009" } }];
    expect(bounds({ resourceType: "Bundle", type: "collection", entry })).toEqual({
      from: "2009",
      to: "2015-06-01",
    });
    expect(bounds({ ...result, contained: [{ ...result, effectiveDateTime: "2009" }] })).toEqual({
      from: "2009",
      to: "2015-06-01",
    });
  });

  it("leaves the period unknown where it cannot be read", () => {
    for (const contained of [
      { ...result, effectiveDateTime: OF },
      { ...result, _effectiveDateTime: absent },
      { resourceType: "Condition", onsetString: "in youth" },
      // dates of elements that tell no period
      { resourceType: "Condition", recordedDate: "2009" },
      { resourceType: "MedicationStatement", dateAsserted: "2009-05-01" },
      { resourceType: "GenomicStudy", analysis: [{ date: "2009-05-01T10:00:00Z" }] },
      { resourceType: "SomethingNew", when: "2009" },
    ]) {
      expect(of(contained).period).toBeUndefined();
      expect(of({ ...result, effectiveDateTime: "2015" }, contained).period).toBeUndefined();
      expect(of(contained, { ...result, effectiveDateTime: "2015" }).period).toBeUndefined();
    }
    expect(of({ ...result, effectiveDateTime: OF }, { ...result, issued: 7 }).malformed).toEqual([
      "contained.issued",
    ]);
  });

  it("is of the time of what contains it where it tells none", () => {
    const from2015 = { from: "2015-06-01", to: "2015-06-01" };
    for (const contained of [
      result,
      { resourceType: "Condition", code: { text: "asthma" } },
      {
        resourceType: "Practitioner",
        meta: { lastUpdated: "2020-01-01T00:00:00Z" },
        identifier: [{ value: "2009", period: { start: "2001" } }],
        birthDate: "1970-01-01",
        qualification: [{ period: { start: "1999" } }],
      },
    ]) {
      expect(bounds(contained)).toEqual(from2015);
    }
  });

  it("does not make known when a resource was that does not tell", () => {
    const contained = [{ ...result, effectiveDateTime: "2009" }];
    expect(
      describeResource({ resourceType: "DiagnosticReport", contained }).period,
    ).toBeUndefined();
  });
});
