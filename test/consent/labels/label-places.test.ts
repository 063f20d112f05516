import { describe, expect, it } from "vitest";
import {
  ACT_CODE,
  CONFIDENTIALITY,
  createLabeller,
  DEFAULT_LABEL_RULES,
  extendLabelRules,
  extendTerminology,
  HL7_TERMINOLOGY,
  makeTerminology,
  type ResourceLabels,
} from "../../../src/consent/index.ts";

/*
 * What each place and spelling must come to is said here by hand: a compact part of what test/places
 * generates from FHIR's own structure definitions.
 */
const SNOMED = "http://snomed.info/sct";
const LOINC = "http://loinc.org";
const ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm";
const ICD10 = "http://hl7.org/fhir/sid/icd-10";
const RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm";
const CPT = "http://www.ama-assn.org/go/cpt";
const HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets";
const NULL_FLAVOR = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor";
const ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
const CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category";

const rules = extendLabelRules(DEFAULT_LABEL_RULES, {
  name: "places",
  version: "1",
  notSensitive: [
    {
      codes: {
        [LOINC]: ["2339-0", "11502-2"],
        [SNOMED]: ["80146002", "6736007"],
        [RXNORM]: ["10180"],
      },
    },
  ],
});
const labeller = createLabeller(rules);
const coding = (system: string, code: string, display?: string) =>
  display === undefined ? { system, code } : { system, code, display };
const concept = (...codings: readonly object[]) => ({ coding: codings });
const names = (labels: ResourceLabels | null): string[] => (labels?.codes ?? []).map((c) => c.code);
const glucose = {
  resourceType: "Observation",
  id: "o",
  status: "final",
  code: concept(coding(LOINC, "2339-0", "Glucose")),
};
const hiv = concept(coding(ICD10CM, "B20"));
const condition = (code: object) => ({ resourceType: "Condition", id: "c", code });

it("stamps what it is all about", () => {
  expect(names(labeller.label(glucose))).toEqual(["N"]);
  expect(labeller.label(glucose)!.stamp).toEqual({ labeller: "places", version: "1" });
  expect(labeller.unjudged(glucose)).toEqual({ codes: [], others: [] });
});

describe("spellings", () => {
  // As in claims (without the dot), as typed, by OID, with a version or an edition.
  it.each([
    [ICD10CM, "O98711", "HIV"],
    [ICD10CM, "T401X1A", "OPIOIDUD"],
    [ICD10CM, "R45851", "PSY"],
    [ICD10CM, "f10.20", "ETHUD"],
    [ICD10CM, " F10.20 ", "ETHUD"],
    [ICD10CM, "F1020", "ETHUD"],
    [ICD10, "T401", "OPIOIDUD"],
    [ICD10, "B20†", "HIV"],
    [`${ICD10CM}/`, "B20", "HIV"],
    ["https://hl7.org/fhir/sid/icd-10-cm", "B20", "HIV"],
    [`${ICD10CM}|2024`, "B20", "HIV"],
    ["urn:oid:2.16.840.1.113883.6.90", "B20", "HIV"],
    ["2.16.840.1.113883.6.90", "B20", "HIV"],
    ["urn:oid:2.16.840.1.113883.6.3", "B20", "HIV"],
    ["urn:oid:2.16.840.1.113883.6.96", "86406008", "HIV"],
    ["https://snomed.info/sct", "86406008", "HIV"],
    [`${SNOMED}/731000124108`, "86406008", "HIV"],
    [`${SNOMED}/731000124108/version/20240301`, "86406008", "HIV"],
    [`${SNOMED}|20240301`, " 86406008", "HIV"],
    [SNOMED, "86406008 |Human immunodeficiency virus infection|", "HIV"],
    ["HTTP://LOINC.ORG/", "7917-8", "HIV"],
    ["urn:oid:2.16.840.1.113883.6.1", "7917-8", "HIV"],
    ["urn:oid:2.16.840.1.113883.6.88", "6813", "OPIOIDUD"],
    ["urn:oid:2.16.840.1.113883.6.12", "86701", "HIV"],
    [HCPCS, "h0020", "OPIOIDUD"],
    ["urn:oid:2.16.840.1.113883.6.285", "H0020", "OPIOIDUD"],
  ])("labels %s %s", (system, code, label) => {
    const labels = labeller.label(condition(concept(coding(system, code))));
    expect(names(labels)).toContain(label);
    expect(labels!.stamp).not.toBeNull();
  });

  it.each([
    [SNOMED, "86406008:246112005=24484000", "HIV"],
    [SNOMED, "=== 80146002 + 86406008", "HIV"],
    [ICD10CM, "B20-B24", "HIV"],
    [ICD10CM, "I10, B20", "HIV"],
  ])("finds what is in %s %s, and stamps nothing", (system, code, label) => {
    const labels = labeller.label(condition(concept(coding(system, code))));
    expect(names(labels)).toContain(label);
    expect(labels!.stamp).toBeNull();
  });

  it.each([
    // Not one code of its system.
    [SNOMED, "80146002:363698007=66754008"],
    [ICD10CM, "I10-I15"],
    [ICD10CM, "hypertension"],
    [CPT, "99213-25"],
    [LOINC, "2339"],
    // A heading, below which a rule finds something.
    [ICD10CM, "T40"],
    [ICD10CM, "Z71"],
    [ICD10, "K29"],
    // Systems that nobody covers.
    ["http://fhir.de/CodeSystem/bfarm/icd-10-gm", "F11.2"],
    ["http://www.whocc.no/atc", "N07BC02"],
    ["http://hl7.org/fhir/sid/ndc", "0054-0218-25"],
    ["", "B20"],
  ])("takes %s %s for unknown", (system, code) => {
    expect(labeller.label({ ...glucose, category: [concept(coding(system, code))] })).toBeNull();
  });

  it("tells codes of systems of one's own apart where they are harmless only", () => {
    const own = createLabeller(
      extendLabelRules(DEFAULT_LABEL_RULES, {
        name: "own",
        version: "1",
        systems: { "urn:lab": { covers: "part" } },
        rules: [{ labels: ["HIV"], codes: { "urn:lab": ["HIV.VL"] } }],
        notSensitive: [{ codes: { "urn:lab": ["Glu"] } }],
      }),
    );
    const labels = (code: string) => own.label(condition(concept(coding("urn:lab", code))));
    expect(names(labels("hivvl"))).toEqual(["HIV", "R"]);
    expect(names(labels("Glu"))).toEqual(["N"]);
    expect(labels("GLU")).toBeNull();
    expect(labels("Glu\u200b")).toBeNull();
    expect(labels("other")).toBeNull();
  });
});

describe("concepts", () => {
  it.each<[string, object]>([
    ["a null flavour beside text", { coding: [coding(NULL_FLAVOR, "UNK")], text: "HIV infection" }],
    ["a null flavour that displays", concept(coding(NULL_FLAVOR, "OTH", "HIV infection"))],
    ["an absence beside text", { coding: [coding(ABSENT, "unsupported")], text: "HIV" }],
    [
      "a null flavour beside a local code",
      concept(coding("urn:x", "HIVVL"), coding(NULL_FLAVOR, "OTH")),
    ],
    [
      "a category beside a local code",
      concept(coding("urn:x", "HIVVL"), coding(CATEGORY, "laboratory")),
    ],
    ["a category beside text", { coding: [coding(CATEGORY, "laboratory")], text: "HIV clinic" }],
    [
      "a general code beside a local one",
      concept(coding("urn:x", "HIVVL"), coding(LOINC, "11502-2")),
    ],
    [
      "a text that is not its code's name",
      { coding: [coding(LOINC, "2339-0", "Glucose")], text: "HIV" },
    ],
    ["a coding without a code", { coding: [{ system: SNOMED, display: "HIV" }] }],
    [
      "a version of a null flavour beside text",
      { coding: [coding(`${NULL_FLAVOR}|1`, "UNK", "HIV")], text: "HIV" },
    ],
  ])("takes %s for unknown", (_, method) => {
    expect(labeller.label({ ...glucose, method })).toBeNull();
  });

  it("takes a text that repeats the name of a code for its name", () => {
    const code = { coding: [coding(LOINC, "2339-0", "Glucose")], text: " glucose" };
    expect(names(labeller.label({ ...glucose, code }))).toEqual(["N"]);
  });
});

describe("places", () => {
  const at: Record<string, unknown> = {
    "Condition/hiv": condition(hiv),
    "Condition/other": condition(concept(coding(ICD10CM, "I10"))),
    "Encounter/e": { resourceType: "Encounter", id: "e", reasonCode: [hiv] },
  };
  const resolve = (reference: string): unknown => at[reference];
  const reference = (name: string) => ({ reference: name });
  const r = reference("Condition/hiv");

  it.each<[string, object]>([
    ["basedOn", { basedOn: [r] }],
    ["derivedFrom", { derivedFrom: [r] }],
    ["evidence.detail", { evidence: [{ detail: [r] }] }],
    ["evidence as CodeableReference", { evidence: [{ reference: r }] }],
    ["section.entry", { section: [{ code: concept(coding(LOINC, "11502-2")), entry: [r] }] }],
    ["entry.item", { entry: [{ item: r }] }],
    ["activity.reference", { activity: [{ reference: r }] }],
    ["usedReference", { usedReference: [r] }],
    ["authorizingPrescription", { authorizingPrescription: [r] }],
    ["complicationDetail", { complicationDetail: [r] }],
    ["problem", { problem: [r] }],
    ["implicated", { implicated: [r] }],
    ["request", { request: [r] }],
    ["supportingInfo", { supportingInfo: [r] }],
    ["focus", { focus: [r] }],
    ["subject", { subject: r }],
    ["encounter", { encounter: r }],
    [
      "a published extension",
      {
        extension: [
          { url: "http://hl7.org/fhir/StructureDefinition/condition-dueTo", valueReference: r },
        ],
      },
    ],
    ["an entry that is an encounter", { entry: [{ item: reference("Encounter/e") }] }],
  ])("finds what is referred to by %s", (_, more) => {
    const labels = labeller.label({ ...glucose, ...more }, { resolve });
    expect(names(labels)).toEqual(["HIV", "R"]);
    expect(labels!.stamp).not.toBeNull();
    // What is not at hand is unknown; an encounter is where, and a subject who.
    if (!("subject" in more || "encounter" in more)) {
      expect(labeller.label({ ...glucose, ...more })).toBeNull();
    }
  });

  it("counts every version that is at hand", () => {
    const both = { resolve: () => [at["Condition/other"], at["Condition/hiv"]] };
    expect(names(labeller.label({ ...glucose, basedOn: [r] }, both))).toEqual(["HIV", "R"]);
  });

  it("asks by the resource that the reference stands in", () => {
    const inner = { ...condition(concept(coding(ICD10CM, "I10"))), evidence: [{ detail: [r] }] };
    const asked: unknown[] = [];
    labeller.label(
      { ...glucose, basedOn: [reference("Condition/1")] },
      {
        resolve(name, from) {
          asked.push([name, (from as { readonly resourceType: string }).resourceType]);
          return name === "Condition/1" ? inner : undefined;
        },
      },
    );
    expect(asked).toEqual([
      ["Condition/1", "Observation"],
      ["Condition/hiv", "Condition"],
    ]);
  });

  const who = {
    subject: { reference: "Patient/1", display: "Jo Doe" },
    performer: [{ reference: "Practitioner/1", display: "Dr Who" }, { display: "Somebody" }],
    encounter: reference("Encounter/e"),
  };
  it("leaves alone who, where and in which encounter", () => {
    expect(names(labeller.label({ ...glucose, ...who }, { resolve }))).toEqual(["N"]);
    expect(names(labeller.label({ ...glucose, ...who }))).toEqual(["N"]);
  });

  it.each<[string, object]>([
    [
      "the name of an encounter",
      { encounter: { reference: "Encounter/e", display: "HIV clinic" } },
    ],
    ["a name where a reason belongs", { basedOn: [{ display: "HIV test" }] }],
    [
      "a person where a reason belongs, and a name",
      { entry: [{ item: { reference: "Patient/1", display: "HIV" } }] },
    ],
    [
      "a contained Binary",
      { contained: [{ resourceType: "Binary", id: "b", contentType: "text/plain", data: "SElW" }] },
    ],
    ["what is not contained", { basedOn: [{ reference: "#x" }] }],
    [
      "a contained patient with a note",
      {
        contained: [
          { resourceType: "Patient", extension: [{ url: "urn:hiv", valueBoolean: true }] },
        ],
      },
    ],
    ["a type that FHIR has not", { contained: [{ resourceType: "Hiv", id: "b" }] }],
    ["an element that FHIR has not", { hivPositive: true }],
    ["a word in an element that FHIR has not", { diagnosis2: "HIV" }],
    [
      "a word of an extension beside a value",
      { _status: { extension: [{ url: "urn:x", valueString: "HIV" }] } },
    ],
    ["a name of a code beside a number", { valueQuantity: { value: 5, unit: "HIV" } }],
    ["a code beside a number", { valueQuantity: { value: 5, system: "urn:x", code: "HIV" } }],
    ["a tag", { meta: { tag: [coding("urn:local", "HIV")] } }],
    ["a profile of one's own", { meta: { profile: ["urn:hiv-result"] } }],
    ["rules that one must know", { implicitRules: "urn:hiv" }],
    ["a protocol by its name", { instantiatesCanonical: ["http://x/PlanDefinition/methadone"] }],
    ["a questionnaire by its name", { questionnaire: "http://x/Questionnaire/phq-9" }],
    ["an extension without a value", { extension: [{ url: "urn:hiv" }] }],
    [
      "a code by an extension of somebody's",
      { extension: [{ url: "urn:hiv", valueCoding: coding(LOINC, "2339-0") }] },
    ],
    [
      "a vendor's extension in a published one",
      {
        extension: [
          {
            url: "http://hl7.org/fhir/StructureDefinition/x",
            extension: [{ url: "urn:hiv", valueBoolean: true }],
          },
        ],
      },
    ],
    [
      "a kind of identifier",
      { identifier: [{ type: concept(coding("urn:x", "hiv")), value: "1" }] },
    ],
    ["prose in an identifier", { identifier: [{ value: "HIV infection" }] }],
    ["a list in a list", { category: [[hiv]] }],
    // A name has a prefix; an action has one that says what it is.
    ["a prefix of no name", { action: [{ prefix: "HIV" }] }],
    ["a policy by ActCode", { category: [concept(coding(ACT_CODE, "MENPOL"))] }],
  ])("takes %s for unknown", (_, more) => {
    expect(labeller.label({ ...glucose, ...more }, { resolve })).toBeNull();
    expect(labeller.unjudged({ ...glucose, ...more }, { resolve })).not.toEqual({
      codes: [],
      others: [],
    });
  });

  it.each<[string, object]>([
    ["meta.tag", { meta: { tag: [coding(SNOMED, "86406008")] } }],
    ["identifier.type", { identifier: [{ type: hiv, value: "1" }] }],
    ["a label as a code", { category: [concept(coding(ACT_CODE, "HIV"))] }],
    [
      "a contained Patient",
      { contained: [{ resourceType: "Patient", contained: [condition(hiv)] }] },
    ],
  ])("finds a code in %s", (_, more) => {
    expect(names(labeller.label({ ...glucose, ...more }))).toEqual(["HIV", "R"]);
  });

  it.each<[string, object]>([
    ["a narrative that adds something", { text: { status: "additional", div: "<div>HIV</div>" } }],
    ["an extension of somebody's", { extension: [{ url: "http://x/hiv", valueBoolean: true }] }],
    [
      "an extension in words",
      {
        extension: [
          { url: "http://hl7.org/fhir/StructureDefinition/x", valueString: "HIV positive" },
        ],
      },
    ],
    ["a photograph", { photo: [{ contentType: "image/png", data: "SElW" }] }],
    ["a relationship in words", { contact: [{ relationship: [{ text: "HIV counsellor" }] }] }],
  ])("takes %s of a Patient for unknown", (_, more) => {
    expect(labeller.label({ resourceType: "Patient", ...more })).toBeNull();
  });

  it("finds what is contained in a Patient, and leaves alone what he is called", () => {
    const patient = {
      resourceType: "Patient",
      id: "1",
      name: [{ text: "Jo Doe", family: "Doe", given: ["Jo"] }],
      telecom: [{ system: "phone", value: "(555) 123 4567" }],
      address: [{ line: ["1 High Street"], city: "Oxford", text: "1 High Street, Oxford" }],
      birthDate: "1980-01-01",
      gender: "other",
    };
    expect(names(labeller.label(patient))).toEqual(["N"]);
    const inside = { ...patient, contained: [condition(hiv)] };
    expect(names(labeller.label(inside))).toEqual(["HIV", "R"]);
    const place = { resourceType: "Organization", name: "General", type: [hiv] };
    expect(names(labeller.label(place))).toEqual(["HIV", "R"]);
  });
});

describe("labels that a resource bears", () => {
  const bearing = (...security: readonly object[]) => ({ ...glucose, meta: { security } });

  it.each([
    "http://hl7.org/fhir/v3/ActCode",
    "urn:oid:2.16.840.1.113883.5.4",
    `${ACT_CODE}|2018-08-12`,
    ` ${ACT_CODE}/`,
  ])("are known as labels of %s", (system) => {
    expect(names(labeller.label(bearing(coding(system, " HIV"))))).toEqual(["HIV", "R"]);
  });

  it("are kept where they are of a system of one's own, and leave the rest unknown", () => {
    const vip = coding("urn:hospital:labels", "VIP");
    expect(labeller.label(bearing(vip))).toEqual({ codes: [vip], stamp: null });
    const labels = labeller.label({ ...bearing(vip), code: hiv })!;
    expect(names(labels)).toEqual(["HIV", "VIP", "R"]);
    expect(labels.stamp).toBeNull();
  });

  it.each<[string, object]>([
    ["without a code", { system: ACT_CODE, display: "HIV" }],
    ["without a system", { code: "HIV" }],
  ])("leave everything unknown %s", (_, label) => {
    expect(labeller.label(bearing(label))).toBeNull();
  });

  it("are of the terminology in force", () => {
    const own = extendTerminology(HL7_TERMINOLOGY, {
      name: "own",
      version: "1",
      sensitivity: { SCANDAL: ["in the newspapers", "TBOO"] },
    });
    const scandal = bearing(coding(ACT_CODE, "SCANDAL"));
    const knowing = createLabeller(rules, { terminology: makeTerminology(own) }).label(scandal)!;
    expect(names(knowing)).toEqual(["SCANDAL", "R"]);
    expect(knowing.stamp).not.toBeNull();
    const unknowing = labeller.label(scandal)!;
    expect(names(unknowing)).toEqual(["SCANDAL"]);
    expect(unknowing.stamp).toBeNull();
  });

  it("are obligations and tests too, which say nothing of the content", () => {
    const labels = labeller.label(
      bearing(
        coding(ACT_CODE, "NORDSCLCD"),
        coding("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST"),
      ),
    );
    expect(names(labels)).toEqual(["N"]);
  });

  it("are those of a document by its confidentiality", () => {
    const document = {
      resourceType: "Composition",
      type: concept(coding(LOINC, "11502-2")),
      confidentiality: "V",
    };
    expect(names(labeller.label(document))).toEqual(["V"]);
  });

  it("come from what a resource is part of, without a stamp", () => {
    const bundle = { resourceType: "Bundle", meta: { security: [coding(ACT_CODE, "HIV")] } };
    const labels = labeller.label(glucose, { within: [bundle] })!;
    expect(names(labels)).toEqual(["HIV", "R"]);
    expect(labels.stamp).toBeNull();
    const restricted = { resourceType: "Composition", confidentiality: "R" };
    expect(labeller.label(glucose, { within: [restricted] })).toEqual({
      codes: [{ system: CONFIDENTIALITY, code: "R" }],
      stamp: null,
    });
    const normal = { resourceType: "Bundle", meta: { security: [coding(CONFIDENTIALITY, "N")] } };
    expect(names(labeller.label(glucose, { within: [normal] }))).toEqual(["N"]);
    const foreign = { resourceType: "Bundle", meta: { security: [{ display: "HIV" }] } };
    expect(labeller.label(glucose, { within: [foreign] })).toBeNull();
  });
});
