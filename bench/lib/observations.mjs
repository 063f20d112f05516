// @ts-check

let numbered = 0;

/**
 * A laboratory result as it comes from a FHIR server; no two alike.
 *
 * @param {(number: number) => string} [patientOf] - id of the patient whom the result with this number is about
 */
export function observation(patientOf = () => "p1") {
  const number = ++numbered;
  const id = `obs-${number}`;
  return {
    resourceType: "Observation",
    id,
    meta: { versionId: "1", lastUpdated: "2026-01-05T08:30:00Z" },
    identifier: [{ system: "urn:oid:1.2.36.1", value: id }],
    status: "final",
    category: [
      {
        coding: [
          {
            system: "http://terminology.hl7.org/CodeSystem/observation-category",
            code: "laboratory",
            display: "Laboratory",
          },
        ],
      },
    ],
    code: {
      coding: [{ system: "http://loinc.org", code: "2339-0", display: "Glucose in Blood" }],
      text: "Glucose",
    },
    subject: { reference: `Patient/${patientOf(number)}` },
    encounter: { reference: "Encounter/e1" },
    effectiveDateTime: "2026-01-05T08:15:00Z",
    issued: "2026-01-05T08:30:00Z",
    performer: [{ reference: "Organization/lab" }],
    valueQuantity: {
      value: (number % 97) + 60.25,
      unit: "mg/dL",
      system: "http://unitsofmeasure.org",
      code: "mg/dL",
    },
    referenceRange: [{ low: { value: 70, unit: "mg/dL" }, high: { value: 99, unit: "mg/dL" } }],
  };
}

/**
 * Bundles of one patient's results as the text that arrives.
 *
 * @param {number} count
 * @param {number} resources - of each
 */
export function makeBundles(count, resources) {
  return Array.from({ length: count }, () =>
    JSON.stringify({
      resourceType: "Bundle",
      type: "collection",
      entry: Array.from({ length: resources }, () => ({ resource: observation() })),
    }),
  );
}
