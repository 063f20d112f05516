import fc from "fast-check";
import { expect, it } from "vitest";
import { createLabeller } from "../../../src/consent/labels/labeller.ts";
import { readBundle } from "../../../src/fhir/bundle.ts";
import { describerOf } from "../../../src/ledger/records/describer.ts";
import { labelsWithin } from "../../../src/ledger/records/label-context.ts";

const ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
const RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm";
const ICD10 = "http://hl7.org/fhir/sid/icd-10-cm";

// Zidovudine and the HIV infection bear labels; the others bear none, or are on no list.
const code = fc
  .constantFrom(
    { system: RXNORM, code: "11413" },
    { system: ICD10, code: "B20" },
    { system: ICD10, code: "F10.20" },
    { system: ICD10, code: "J06.9" },
    { system: "urn:other", code: "x" },
  )
  .map((coding) => ({ coding: [coding] }));
const meta = fc.option(
  fc
    .constantFrom(
      { system: CONFIDENTIALITY, code: "R" },
      { system: CONFIDENTIALITY, code: "V" },
      { system: ACT_CODE, code: "PSY" },
      { system: "urn:other", code: "secret" },
    )
    .map((label) => ({ security: [label] })),
  { nil: undefined },
);
const id = fc.constantFrom("0", "1", "2", "3");
const resource = fc.oneof(
  fc.record({ resourceType: fc.constant("Medication"), id, code, meta }),
  fc.record({ resourceType: fc.constant("Condition"), id, code, meta }),
  fc.record({
    resourceType: fc.constant("MedicationRequest"),
    ...{ id, meta },
    medicationReference: id.map((of) => ({ reference: `Medication/${of}` })),
    reasonReference: id.map((of) => [{ reference: `Condition/${of}` }]),
  }),
);

it("labels a resource alone as it does where it describes the whole of it", async () => {
  const found = new Set<string>();
  const labeller = createLabeller();
  await fc.assert(
    fc.asyncProperty(
      fc.array(resource, { minLength: 1, maxLength: 6 }),
      meta,
      meta,
      async (resources, own, around) => {
        const bundle = readBundle(
          JSON.stringify({
            ...{ resourceType: "Bundle", type: "collection", meta: own },
            entry: resources.map((one) => ({ resource: one })),
          }),
        );
        const within = labelsWithin(bundle, [{ resourceType: "Bundle", meta: around }]);
        const describer = describerOf(
          bundle,
          { within, type: "collection", source: "ehr-1", fields: false, marksOf: () => ({}) },
          undefined,
          {
            sources: { digestOf: () => new Uint8Array(32) } as never,
            labeller,
            workers: undefined,
          },
        );
        for (const one of bundle.resources) {
          const { manifest } = await describer.describe(one);
          expect(await describer.labelsOf(one)).toEqual(manifest.labels);
          for (const label of manifest.labels?.codes ?? []) found.add(label.code);
        }
      },
    ),
    { numRuns: 200 },
  );
  // Labels of the resource itself, of what it refers to, and of what is around it.
  expect([...found]).toEqual(expect.arrayContaining(["HIV", "PSY", "R", "V", "secret"]));
});
