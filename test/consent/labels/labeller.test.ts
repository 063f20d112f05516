import { describe, expect, it } from "vitest";
import {
  ACT_CODE,
  CONFIDENTIALITY,
  createLabeller,
  DEFAULT_LABEL_RULES,
  extendLabelRules,
  type ResourceLabels,
} from "../../../src/consent/index.ts";

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
/** The shipped rules, and that glucose is not sensitive: else everything beside it would be unknown. */
const labeller = createLabeller(
  extendLabelRules(DEFAULT_LABEL_RULES, {
    name: "glucose",
    version: "1",
    notSensitive: [{ codes: { [LOINC]: ["2339-0"] } }],
  }),
);

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
    ["Z29.81", ["HIV", "R"]],
    ["Z91.410", ["SDV", "R"]],
    ["Z15.01", ["GDIS", "R"]],
    ["O98.711", ["HIV", "PREGNANT", "SEX", "R"]],
    ["Z81.2", ["N"]],
  ])("labels ICD-10-CM %s", (code, expected) => {
    const labels = labeller.label({ resourceType: "Condition", code: concept(ICD10, code) });
    expect(names(labels)).toEqual(expected);
    expect(stamped(labels)).toBe(true);
  });

  // Where the WHO's classification and the American one differ.
  it.each([
    ["B24", ["HIV", "R"]],
    ["F10.2", ["ETH", "ETHUD", "SUD", "R"]],
    ["F17.2", ["N"]],
    ["X60", ["BH", "MH", "PSY", "R"]],
    ["Y05", ["SDV", "R"]],
    ["Z86.4", ["ETH", "SUD", "R"]],
    ["E11", ["N"]],
  ])("labels ICD-10 of the WHO %s", (code, expected) => {
    const system = "http://hl7.org/fhir/sid/icd-10";
    const labels = labeller.label({ resourceType: "Condition", code: concept(system, code) });
    expect(names(labels)).toEqual(expected);
  });

  it("stamps as before when somebody changed a stamp that it gave", () => {
    const given = labeller.label(glucose)!.stamp as { version: string };
    expect(() => {
      given.version = "2";
    }).toThrow(TypeError);
    expect(labeller.label(glucose)!.stamp).toEqual({ labeller: "glucose", version: "1" });
  });

  it("stamps with its name and version, and names its rules by CID", () => {
    const shipped = createLabeller();
    expect(shipped.label({ resourceType: "Condition", code: concept(ICD10, "E11.9") })).toEqual({
      codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "N" }],
      stamp: { labeller: "healthledger-default", version: "4" },
    });
    expect(shipped.cid.equals(createLabeller(DEFAULT_LABEL_RULES).cid)).toBe(true);
    expect(shipped.cid.equals(labeller.cid)).toBe(false);
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
        category: [hiv],
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

  // HL7 publishes these systems, and says nothing of what their codes reveal.
  it.each([
    "http://hl7.org/fhir/sid/icd-9-cm",
    "http://hl7.org/fhir/sid/ndc",
    "http://terminology.hl7.org/CodeSystem/service-type",
    "https://www.nubc.org/CodeSystem/RevenueCodes",
    "urn:oid:1.2.3",
  ])("takes what is coded by %s for unknown beside something harmless", (system) => {
    expect(labeller.label({ ...glucose, category: [concept(system, "042")] })).toBeNull();
  });

  it.each<[string, Record<string, unknown>]>([
    ["several words in an element of any name", { anything: "shared needles" }],
    ["a title", { title: "Relapse" }],
    [
      "an attachment by address only",
      { content: [{ attachment: { contentType: "x/y", url: "u" } }] },
    ],
    ["a vendor's extension in text", { extension: [{ url: "urn:x", valueString: "positive" }] }],
    ["a vendor's extension by its name", { extension: [{ url: "urn:hiv", valueBoolean: true }] }],
    ["a vendor's extension by a bare code", { extension: [{ url: "urn:x", valueCode: "hiv" }] }],
    [
      "an extension with a short name of its own",
      { extension: [{ url: "hiv", valueBoolean: true }] },
    ],
    [
      "a part of a vendor's extension",
      { extension: [{ url: "urn:x", extension: [{ url: "hiv", valueBoolean: true }] }] },
    ],
    [
      "a coding with a name only",
      { extension: [{ url: "urn:x", valueCoding: { display: "HIV" } }] },
    ],
    [
      "what turns its meaning round",
      { modifierExtension: [{ url: "urn:not", valueBoolean: true }] },
    ],
    [
      "a contained resource in prose",
      { contained: [{ resourceType: "Condition", code: { text: "sad" } }] },
    ],
    [
      "a contained resource with a note",
      { contained: [{ resourceType: "Condition", note: [{ text: "sad" }] }] },
    ],
    [
      "a contained narrative",
      { contained: [{ resourceType: "Basic", text: { status: "additional", div: "<p>x</p>" } }] },
    ],
  ])("takes %s for unknown beside something harmless", (_, more) => {
    expect(labeller.label({ ...glucose, ...more })).toBeNull();
  });

  it("knows what HL7's own extensions mean", () => {
    const extension = [
      { url: "http://hl7.org/fhir/StructureDefinition/x", valueCode: "final" },
      {
        url: "http://hl7.org/fhir/StructureDefinition/y",
        extension: [{ url: "part", valueBoolean: true }],
      },
    ];
    expect(names(labeller.label({ ...glucose, extension }))).toEqual(["N"]);
  });

  it("looks for codes in what extensions say of a person", () => {
    const extension = [{ url: "urn:x", extension: [{ url: "y", valueCodeableConcept: hiv }] }];
    expect(names(labeller.label({ resourceType: "Patient", extension }))).toEqual(["HIV", "R"]);
  });

  const security = (...codes: readonly string[]) => ({
    meta: {
      security: codes.map((code) => ({
        system: code.length === 1 ? CONFIDENTIALITY : ACT_CODE,
        code,
      })),
    },
  });

  it("keeps the labels that a resource bears, and never lowers them", () => {
    expect(names(labeller.label({ ...glucose, ...security("PSY") }))).toEqual(["PSY", "R"]);
    expect(names(labeller.label({ ...glucose, ...security("V") }))).toEqual(["V"]);
    expect(names(labeller.label({ ...glucose, code: hiv, ...security("U") }))).toEqual([
      "HIV",
      "R",
    ]);
    const inside = { contained: [{ resourceType: "Observation", ...security("SDV") }] };
    expect(names(labeller.label({ ...glucose, ...inside }))).toEqual(["SDV", "R"]);
    const document = { securityLabel: [{ coding: security("SUD").meta.security }] };
    expect(names(labeller.label({ ...glucose, ...document }))).toEqual(["SUD", "R"]);
    const old = { system: "http://hl7.org/fhir/v3/ActCode", code: "HIV" };
    expect(names(labeller.label({ ...glucose, meta: { security: [old] } }))).toEqual(["HIV", "R"]);
  });

  it("believes no label that says all is well", () => {
    const note = { note: [{ text: "x" }] };
    expect(labeller.label({ ...glucose, ...note, ...security("N") })).toBeNull();
    expect(labeller.label({ ...glucose, ...note, ...security("U") })).toBeNull();
    const labels = labeller.label({ ...glucose, ...note, ...security("HIV") });
    expect(names(labels)).toEqual(["HIV", "R"]);
    expect(stamped(labels)).toBe(false);
  });

  const SYSTEMS = [SNOMED, LOINC, RXNORM, "http://www.ama-assn.org/go/cpt"] as const;
  const UNLISTED = ["22298006", "2345-7", "10180", "99213"] as const;
  it.each(SYSTEMS.map((system, i) => [system, UNLISTED[i]!]))(
    "takes a code of %s that nobody judged for unknown, unless somebody says harmless",
    (system, code) => {
      const record = { resourceType: "Condition", code: concept(system, code) };
      const shipped = createLabeller();
      expect(shipped.label(record)).toBeNull();
      expect(shipped.unjudged(record)).toEqual({ codes: [{ system, code }], others: [] });
      const told = (additions: object) =>
        createLabeller(
          extendLabelRules(DEFAULT_LABEL_RULES, { name: "told", version: "1", ...additions }),
        ).label(record);
      expect(
        names(told({ systems: { [system]: { covers: "part", unlisted: "harmless" } } })),
      ).toEqual(["N"]);
      expect(names(told({ notSensitive: [{ codes: { [system]: [code] } }] }))).toEqual(["N"]);
      expect(
        names(told({ notSensitive: [{ prefixes: { [system]: [code.slice(0, 3)] } }] })),
      ).toEqual(["N"]);
      expect(told({ systems: { [system]: { covers: [code.slice(1)] } } })).toBeNull();
    },
  );

  it("covers ICD-10 by chapters, and takes what is beside them for unknown", () => {
    const shipped = createLabeller();
    const condition = (code: string) => ({ resourceType: "Condition", code: concept(ICD10, code) });
    for (const code of ["I10", "J45.909", "S72.001A", "R05", "Z72.0"]) {
      expect(names(shipped.label(condition(code))), code).toEqual(["N"]);
    }
    // Hepatitis C, Kaposi's sarcoma, drug screening, a poisoning with intent, prison as a place.
    for (const code of ["B18.2", "C46.0", "Z02.83", "T42.4X2A", "Y92.149", "Z79.891"]) {
      expect(shipped.label(condition(code)), code).toBeNull();
    }
  });

  it("finds a code sensitive though a list says that it is not", () => {
    const contrary = createLabeller(
      extendLabelRules(DEFAULT_LABEL_RULES, {
        name: "contrary",
        version: "1",
        notSensitive: [{ codes: { [SNOMED]: ["86406008"] } }],
      }),
    );
    expect(names(contrary.label({ resourceType: "Condition", code: hiv }))).toEqual(["HIV", "R"]);
  });

  it("labels extracted codes", () => {
    expect(names(labeller.labelCodes([{ system: ICD10, code: "B20" }]))).toEqual(["HIV", "R"]);
    expect(labeller.labelCodes([])).toBeNull();
    expect(labeller.labelCodes([{ system: "urn:local", code: "1" }])).toBeNull();
  });
});

describe("extendLabelRules", () => {
  const local = concept("urn:our-lab", "17");
  const ours = extendLabelRules(DEFAULT_LABEL_RULES, {
    name: "our-rules",
    version: "1",
    systems: { "urn:our-lab": { covers: "all" } },
    administrativeSystems: ["urn:our-wards:*"],
    rules: [
      { labels: ["HIV"], codes: { "urn:our-lab": ["17"] } },
      { labels: ["CEL"], prefixes: { [ICD10]: ["E11"] } },
    ],
  });
  const extended = createLabeller(ours);
  const condition = (...coded: readonly unknown[]) => ({
    resourceType: "Condition",
    category: coded,
  });

  it("adds systems and rules, under another name and CID", () => {
    expect(names(extended.label(condition(local)))).toEqual(["HIV", "R"]);
    expect(names(extended.label(condition(concept("urn:our-lab", "18"))))).toEqual(["N"]);
    expect(names(extended.label(condition(concept(ICD10, "E11.9"))))).toEqual(["CEL", "R"]);
    expect(extended.label(condition(local))!.stamp).toEqual({
      labeller: "our-rules",
      version: "1",
    });
    const ward = concept("urn:our-wards:north", "3");
    expect(names(extended.label(condition(ward, concept(ICD10, "J45"))))).toEqual(["N"]);
    expect(labeller.label(condition(ward, concept(ICD10, "J45")))).toBeNull();
    expect(extended.cid.equals(labeller.cid)).toBe(false);
  });

  it("takes nothing away", () => {
    expect(names(extended.label(condition(concept(ICD10, "B20"))))).toEqual(["HIV", "R"]);
  });

  it("leaves the shipped rules as they were", () => {
    expect(labeller.label(condition(local))).toBeNull();
    expect(DEFAULT_LABEL_RULES.notSensitive).toEqual([]);
  });

  it("refuses the name and version of the rules that it extends", () => {
    const { name, version } = DEFAULT_LABEL_RULES;
    expect(() => extendLabelRules(DEFAULT_LABEL_RULES, { name, version })).toThrow(RangeError);
  });

  it("is refused as rules without name, version or labels", () => {
    expect(() => createLabeller({ ...ours, name: "" })).toThrow(RangeError);
    expect(() => createLabeller({ ...ours, version: "" })).toThrow(RangeError);
    expect(() => createLabeller({ ...ours, rules: [{ labels: [] }] })).toThrow(RangeError);
  });
});
