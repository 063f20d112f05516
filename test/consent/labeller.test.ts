import { describe, expect, it } from "vitest";
import { createLabeller, type ResourceLabels } from "../../src/consent/index.ts";

const labeller = createLabeller();
const SNOMED = "http://snomed.info/sct";
const LOINC = "http://loinc.org";
const ICD10 = "http://hl7.org/fhir/sid/icd-10-cm";
const RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm";

const concept = (system: string, code: string, text?: string): Record<string, unknown> => ({
  coding: [{ system, code }],
  ...(text === undefined ? {} : { text }),
});
const names = (labels: ResourceLabels | null): string[] => (labels?.codes ?? []).map((c) => c.code);
const stamped = (labels: ResourceLabels | null): boolean => labels?.stamp != null;
const glucose = { resourceType: "Observation", code: concept(LOINC, "2339-0") };

describe("createLabeller", () => {
  it.each([
    ["F10.20", ["ETH", "ETHUD", "SUD", "R"]],
    ["F11.20", ["ETH", "OPIOIDUD", "SUD", "R"]],
    ["F33.1", ["BH", "MH", "PSY", "R"]],
    ["B20", ["HIV", "R"]],
    ["O80", ["PREGNANT", "SEX", "R"]],
    ["Z30.011", ["SEX", "R"]],
    ["T74.21XA", ["SDV", "R"]],
    ["F17.210", ["N"]],
    ["E11.9", ["N"]],
  ])("labels ICD-10-CM %s", (code, expected) => {
    const labels = labeller.label({ resourceType: "Condition", code: concept(ICD10, code) });
    expect(names(labels)).toEqual(expected);
    expect(stamped(labels)).toBe(true);
  });

  it("stamps with its name and version, and names its rules by CID", () => {
    expect(labeller.label(glucose)).toEqual({
      codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "N" }],
      stamp: { labeller: "healthledger-default", version: "1" },
    });
    expect(labeller.cid.equals(createLabeller().cid)).toBe(true);
  });

  const hiv = concept(SNOMED, "86406008");
  it.each<[string, Record<string, unknown>]>([
    ["code", { ...glucose, code: hiv }],
    ["reasonCode", { ...glucose, resourceType: "Encounter", reasonCode: [hiv] }],
    [
      "medicationCodeableConcept",
      {
        resourceType: "MedicationRequest",
        medicationCodeableConcept: concept(RXNORM, "276237"),
        x: [hiv],
      },
    ],
    ["vaccineCode", { resourceType: "Immunization", vaccineCode: hiv }],
    ["type", { resourceType: "Encounter", type: [hiv] }],
    ["category", { ...glucose, category: [hiv] }],
    ["valueCodeableConcept", { ...glucose, valueCodeableConcept: hiv }],
    ["component.code", { ...glucose, component: [{ code: hiv }] }],
    [
      "component.valueCodeableConcept",
      { ...glucose, component: [{ code: concept(LOINC, "2339-0"), valueCodeableConcept: hiv }] },
    ],
    [
      "diagnosis.diagnosisCodeableConcept",
      { ...glucose, resourceType: "Claim", diagnosis: [{ diagnosisCodeableConcept: hiv }] },
    ],
    ["item.productOrService", { resourceType: "Claim", item: [{ productOrService: hiv }] }],
    [
      "activity.detail.code",
      { ...glucose, resourceType: "CarePlan", activity: [{ detail: { code: hiv } }] },
    ],
    [
      "dosageInstruction.asNeededCodeableConcept",
      { ...glucose, dosageInstruction: [{ asNeededCodeableConcept: hiv }] },
    ],
    [
      "an extension's valueCoding",
      { ...glucose, extension: [{ url: "x", valueCoding: { system: SNOMED, code: "86406008" } }] },
    ],
    [
      "an extension inside a CodeableConcept",
      {
        ...glucose,
        code: { ...concept(LOINC, "2339-0"), extension: [{ url: "x", valueCodeableConcept: hiv }] },
      },
    ],
    [
      "a contained medication",
      {
        ...glucose,
        contained: [{ resourceType: "Medication", id: "m", code: concept(RXNORM, "68244") }],
      },
    ],
    [
      "a contained medication's ingredient",
      {
        ...glucose,
        contained: [
          {
            resourceType: "Medication",
            ingredient: [{ itemCodeableConcept: concept(RXNORM, "68244") }],
          },
        ],
      },
    ],
    ["a CodeableReference of R5", { ...glucose, reason: [{ concept: hiv }] }],
    [
      "a second coding",
      {
        ...glucose,
        code: {
          coding: [
            { system: "urn:local", code: "x" },
            hiv["coding"] && { system: SNOMED, code: "86406008" },
          ],
        },
      },
    ],
  ])("finds a code in %s", (_, resource) => {
    expect(names(labeller.label(resource))).toEqual(["HIV", "R"]);
  });

  it.each<[string, unknown]>([
    ["text without a code", { resourceType: "Condition", code: { text: "sad" } }],
    ["no code at all", { resourceType: "Condition" }],
    [
      "a code of an unknown system",
      { resourceType: "Condition", code: concept("urn:local", "17") },
    ],
    ["a code without a system", { resourceType: "Condition", code: { coding: [{ code: "17" }] } }],
    ["a note", { ...glucose, note: [{ text: "patient reports relapse" }] }],
    ["a string value", { ...glucose, valueString: "positive for something" }],
    [
      "an attachment",
      { ...glucose, content: [{ attachment: { contentType: "text/plain", data: "eA==" } }] },
    ],
    [
      "a narrative that adds something",
      { ...glucose, text: { status: "additional", div: "<div/>" } },
    ],
    ["dosage in prose", { ...glucose, dosageInstruction: [{ text: "for anxiety" }] }],
    [
      "a reason that is not at hand",
      { ...glucose, reasonReference: [{ reference: "Condition/1" }] },
    ],
    ["a reason that is only displayed", { ...glucose, reasonReference: [{ display: "relapse" }] }],
    ["something that is no resource", "Observation"],
    ["nothing", null],
  ])("takes %s for unknown, not for harmless", (_, resource) => {
    expect(labeller.label(resource)).toBeNull();
  });

  it("keeps what it found beside something unknown, without a stamp", () => {
    const labels = labeller.label({ ...glucose, code: hiv, note: [{ text: "x" }] });
    expect(names(labels)).toEqual(["HIV", "R"]);
    expect(stamped(labels)).toBe(false);
  });

  it("follows what a resource is about, also round in circles", () => {
    const bundle: Record<string, unknown> = {
      "Condition/1": {
        resourceType: "Condition",
        code: concept(SNOMED, "7200002"),
        addresses: [{ reference: "MedicationRequest/1" }],
      },
      "MedicationRequest/1": { ...glucose, reasonReference: [{ reference: "Condition/1" }] },
    };
    const labels = labeller.label(bundle["MedicationRequest/1"], {
      resolve: (reference) => bundle[reference],
    });
    expect(names(labels)).toEqual(["ETH", "ETHUD", "SUD", "R"]);
    expect(stamped(labels)).toBe(true);
  });

  it("does not take names and addresses for prose", () => {
    const patient = {
      resourceType: "Patient",
      name: [{ text: "Jo Doe" }],
      address: [{ text: "x" }],
    };
    expect(names(labeller.label(patient))).toEqual(["N"]);
  });

  it("is bounded on hostile resources", () => {
    let deep: unknown = hiv;
    for (let i = 0; i < 5_000; i++) deep = { deep };
    expect(labeller.label({ ...glucose, deep })).toBeNull();
    const wide = { ...glucose, wide: Array.from({ length: 300_000 }, () => ({})) };
    expect(labeller.label(wide)).toBeNull();
  });

  it("labels extracted codes", () => {
    expect(names(labeller.labelCodes([{ system: ICD10, code: "B20" }]))).toEqual(["HIV", "R"]);
    expect(labeller.labelCodes([])).toBeNull();
    expect(labeller.labelCodes([{ system: "urn:local", code: "1" }])).toBeNull();
  });
});
