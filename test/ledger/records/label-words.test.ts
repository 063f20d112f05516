import { describe, expect, it } from "vitest";
import {
  ACT_CODE,
  createLabeller,
  DEFAULT_LABEL_RULES,
  extendLabelRules,
} from "../../../src/consent/index.ts";
import { MRN, treatmentOnly } from "../../support/hospital.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const HL7 = "http://terminology.hl7.org/CodeSystem";
const LOINC = "http://loinc.org";
const UCUM = "http://unitsofmeasure.org";
const ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm";
const ICD10 = "http://hl7.org/fhir/sid/icd-10";
const labeller = createLabeller(
  extendLabelRules(DEFAULT_LABEL_RULES, {
    name: "words",
    version: "1",
    notSensitive: [{ codes: { [LOINC]: ["2339-0"] } }],
  }),
);

const subject = { reference: "Patient/p1" };
const patient = { resourceType: "Patient", id: "p1", identifier: [MRN] };
const coded = (system: string, code: string) => ({ coding: [{ system, code }] });
const glucose = (id: string, more: object = {}) => ({
  resourceType: "Observation",
  id,
  status: "final",
  subject,
  code: coded(LOINC, "2339-0"),
  ...more,
});
const condition = (id: string, system: string, code: string) => ({
  resourceType: "Condition",
  id,
  subject,
  code: coded(system, code),
});
const quantity = (unit: string, code: string) => ({
  valueQuantity: { value: 50, unit, system: UCUM, code },
});

type Resource = { readonly resourceType: string; readonly id: string };
const bundleOf = (resources: readonly Resource[], more: object = {}): string =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "collection",
    ...more,
    entry: [patient, ...resources].map((resource) => ({
      fullUrl: `https://a.example/fhir/${resource.resourceType}/${resource.id}`,
      resource,
    })),
  });

/** Treatment is allowed, but for what bears one of the labels. */
async function refuse(w: Ward, codes: readonly string[]): Promise<void> {
  const labels = codes.map((code) => ({ system: ACT_CODE, code }));
  const directive = treatmentOnly(w.patient);
  const [treatment] = directive.root!.rules!;
  const [sensitive] = treatment!.rules!;
  const rules = [{ ...treatment!, rules: [{ ...sensitive!, when: { data: { labels } } }] }];
  await w.hl.consent(
    w.me,
    { ...directive, root: { ...directive.root!, rules } },
    { signer: w.patient },
  );
}

async function released(w: Ward): Promise<unknown[]> {
  const all = await opened(await w.hl.request(w.b, { patient: MRN, purposes: ["TREAT"] }));
  const ids = all.map(({ resource }) => resource!["id"]).filter((id) => id !== "p1");
  return ids.sort();
}

/** Ids of what is released of a bundle to somebody to whom the patient refuses some labels. */
async function releasedOf(
  resources: readonly Resource[],
  codes: readonly string[],
  more: object = {},
): Promise<unknown[]> {
  const w = await ward({ policy: { labeller } });
  await w.hl.recordBundle(null, bundleOf(resources, more));
  await refuse(w, codes);
  return released(w);
}

describe("a refusal of HIV", () => {
  it("withholds what says so beside its codes", async () => {
    const diabetes = {
      ...condition("diabetes", ICD10CM, "E11.9"),
      code: { coding: [{ system: ICD10CM, code: "E11.9", display: "Type 2 diabetes" }] },
    };
    const because = (id: string, display: string) =>
      glucose(id, { hasMember: [{ reference: "Condition/diabetes", display }] });
    const resources = [
      diabetes,
      glucose("plain", quantity("mg/dL", "mg/dL")),
      glucose("scored", quantity("{score}", "{score}")),
      because("named", "type 2  Diabetes"),
      // The unit tells what is counted.
      glucose("unit", quantity("HIV-1 RNA copies/mL", "{copies}/mL")),
      glucose("annotation", quantity("copies/mL", "{HIV_RNA}{copies}/mL")),
      // A reference may be displayed as anything.
      because("displayed", "HIV infection"),
      // A code that is a mere word, or a number.
      { ...glucose("word", { component: [{ code: coded(LOINC, "2339-0") }] }), code: "HIV" },
      glucose("number", {
        extension: [
          {
            url: "http://hl7.org/fhir/StructureDefinition/workflow-reasonCode",
            valueCoding: { system: "http://snomed.info/sct", code: 86406008 },
          },
        ],
      }),
      glucose("narrative", {
        text: {
          status: "generated",
          div: "<div/>",
          extension: [{ url: "https://ehr.example/note", valueString: "HIV" }],
        },
      }),
      {
        resourceType: "Coverage",
        id: "programme",
        status: "active",
        beneficiary: subject,
        class: [{ type: coded(`${HL7}/coverage-class`, "plan"), value: "RyanWhite-HIV" }],
      },
      // ICD-9, a code of Germany's edition, and the letter O.
      condition("icd-9", ICD10, "V08"),
      condition("icd-10-gm", ICD10, "U60.1"),
      condition("letter-o", ICD10CM, "B2O"),
    ];
    expect(await releasedOf(resources, ["HIV"])).toEqual(["diabetes", "named", "plain", "scored"]);
  });

  it("holds what a Composition says for true of its document, wherever it stands", async () => {
    const composition = {
      resourceType: "Composition",
      id: "c",
      status: "final",
      subject,
      type: coded(LOINC, "2339-0"),
      meta: { security: [{ system: ACT_CODE, code: "HIV" }] },
    };
    const resources = [glucose("o"), composition];
    expect(await releasedOf(resources, ["HIV"], { type: "document" })).toEqual([]);
  });

  it("survives that a record of a labelled Bundle is labelled anew, one by one", async () => {
    const w = await ward({ policy: { labeller } });
    const meta = { security: [{ system: ACT_CODE, code: "HIV" }] };
    const { recorded } = await w.hl.recordBundle(null, bundleOf([glucose("o")], { meta }));
    await refuse(w, ["HIV"]);
    for (const { id } of recorded) await w.hl.relabel(id);
    expect(await released(w)).toEqual([]);
  });
});

describe("ICD-10, which the rules that ship know by its chapters", () => {
  // Titles of the ICD-10-CM tabular list and of WHO's ICD-10 tell what each is.
  it.each<[string, string, readonly string[], readonly string[]]>([
    // Mood disorder due to known physiological condition; auditory hallucinations; violent
    // behaviour; abuse of steroids; transsexualism; paracetamol, intentional self-harm; psychiatric
    // examination; suicide in ICD-9.
    [
      "MH",
      ICD10CM,
      ["F06.31", "R44.0", "R45.6", "F55.3", "F64.0", "T39.1X2A", "Z04.6", "E950"],
      [],
    ],
    // Mental disorders complicating pregnancy; suspected mental disorder; psychotherapy; sequelae of
    // self-harm; psychological trauma.
    ["MH", ICD10, ["O99.3", "Z03.2", "Z50.4", "Y87.0", "Z91.4", "F52.0"], ["I10", "E11.9"]],
    // Finding of opiates in blood; alcoholism in family; alcohol-induced Cushing; newborn affected
    // by opiates; opioid in an unknown way (self-harm or not).
    ["SUD", ICD10CM, ["R78.1", "Z63.72", "E24.4", "P04.14", "T50.901A"], ["I10", "E11.9", "S72.0"]],
    // Accidental poisoning by narcotics, by alcohol; blood-alcohol test.
    ["SUD", ICD10, ["X42", "X45", "Z04.0"], ["W19"]],
    // Gonococcal salpingitis, cardiovascular syphilis, gonococcal bursitis.
    ["STD", ICD10, ["N74.3", "I98.0", "M73.0"], ["N20.0"]],
    // Sexual harassment at work; assault by strike; confirmed abuse.
    ["SDV", ICD10CM, ["Z56.81", "Y04.2XXA", "T74.21XA"], ["W19.XXXA"]],
    // Thalassaemia, sphingolipidosis, sickle cell, genetic counselling.
    ["GDIS", ICD10CM, ["D56.1", "E75.22", "D57.1", "Z31.5"], ["D50.9"]],
    // Oral contraceptive; HPV in the cervix.
    ["SEX", ICD10CM, ["Z79.3", "R87.810"], ["Z79.4"]],
  ])("withholds of a refusal of %s by %s", async (label, system, sensitive, others) => {
    const resources = [...sensitive, ...others].map((code) =>
      condition(code.toLowerCase(), system, code),
    );
    const harmless = others.map((code) => code.toLowerCase());
    expect(await releasedOf(resources, [label])).toEqual(harmless.sort());
  });

  it("withholds what was done where addiction is treated", async () => {
    const place = (id: string, code: string) =>
      glucose(id, { category: [coded(`${HL7}/ex-serviceplace`, code)] });
    const resources = [place("office", "11"), place("opioids", "58"), place("residential", "55")];
    expect(await releasedOf(resources, ["SUD"])).toEqual(["office"]);
  });
});
