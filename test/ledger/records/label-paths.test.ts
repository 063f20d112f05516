import { describe, expect, it } from "vitest";
import {
  ACT_CODE,
  createLabeller,
  DEFAULT_LABEL_RULES,
  extendLabelRules,
  type Coding,
  type ResourceLabels,
} from "../../../src/consent/index.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { MRN, treatmentOnly } from "../../support/hospital.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const LOINC = "http://loinc.org";
const ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm";
const RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm";
const judged = (version: string, more: readonly string[] = []) =>
  createLabeller(
    extendLabelRules(DEFAULT_LABEL_RULES, {
      name: "paths",
      version,
      notSensitive: [{ codes: { [LOINC]: ["2339-0"], [RXNORM]: ["10180"] } }],
      rules: more.length === 0 ? [] : [{ labels: ["HIV"], codes: { [LOINC]: more } }],
    }),
  );
const labeller = judged("1");

const concept = (system: string, code: string) => ({ coding: [{ system, code }] });
const A = "https://a.example/fhir/";
const B = "https://b.example/fhir/";
const patient = { resourceType: "Patient", id: "p1", identifier: [MRN] };
const subject = { reference: "Patient/p1" };
const glucose = (id: string, more: object = {}) => ({
  resourceType: "Observation",
  id,
  status: "final",
  subject,
  code: concept(LOINC, "2339-0"),
  ...more,
});
const condition = (code: string, more: object = {}) => ({
  resourceType: "Condition",
  id: "7",
  subject: { reference: `${A}Patient/p1` },
  code: concept(ICD10CM, code),
  ...more,
});
const order = (more: object = {}) => ({
  resourceType: "MedicationRequest",
  id: "2",
  status: "active",
  intent: "order",
  subject,
  medicationCodeableConcept: concept(RXNORM, "10180"),
  reasonReference: [{ reference: "Condition/7" }],
  ...more,
});
type Entry = readonly [fullUrl: string, resource: object];
const bundleOf = (entries: readonly Entry[], more: object = {}): string =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "collection",
    ...more,
    entry: entries.map(([fullUrl, resource]) => ({ fullUrl, resource })),
  });

/** Treatment yes, but nothing with these labels. */
function without(w: Ward, labels: readonly Coding[]) {
  const directive = treatmentOnly(w.patient);
  const [treatment] = directive.root!.rules!;
  const [sensitive] = treatment!.rules!;
  const rules = [{ ...treatment!, rules: [{ ...sensitive!, when: { data: { labels } } }] }];
  return { ...directive, root: { ...directive.root!, rules } };
}
const HIV = [{ system: ACT_CODE, code: "HIV" }];
const names = (labels: ResourceLabels | null): string[] => (labels?.codes ?? []).map((c) => c.code);

/** Types and ids of what hospital B gets for treatment. */
async function released(hl: Ledger, w: Ward): Promise<string[]> {
  const answer = await hl.request(w.b, { patient: MRN, purposes: ["TREAT"] });
  const all = (await opened(answer)).map(
    ({ resource }) => resource as { id: string; resourceType: string },
  );
  return all.map(({ id, resourceType }) => `${resourceType}/${id}`).sort();
}

async function filed(bundle: string, labels = HIV): Promise<Ward> {
  const w = await ward({ policy: { labeller } });
  await w.hl.recordBundle(null, bundle);
  await w.hl.consent(w.me, without(w, labels), { signer: w.patient });
  return w;
}

const home: Entry = [`${A}Patient/p1`, patient];
const plain: Entry = [`${A}Observation/plain`, glucose("plain")];
const NULL_FLAVOR = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor";

describe("a refusal of HIV, from FHIR text to answer", () => {
  it.each<[string, object]>([
    [
      "a null flavour beside text",
      { method: { ...concept(NULL_FLAVOR, "UNK"), text: "HIV infection" } },
    ],
    ["ICD-10 without its dot", { category: [concept(ICD10CM, "O98711")] }],
    [
      "a SNOMED CT expression",
      { category: [concept("http://snomed.info/sct", "86406008:246112005=24484000")] },
    ],
    [
      "a contained Binary",
      { contained: [{ resourceType: "Binary", id: "b", contentType: "text/plain", data: "SElW" }] },
    ],
    [
      "a label of HL7's by its OID",
      { meta: { security: [{ system: "urn:oid:2.16.840.1.113883.5.4", code: "HIV" }] } },
    ],
    ["a label of nobody's", { meta: { security: [{ system: "urn:labels", code: "VIP" }] } }],
    [
      "a reason in an R5 extension",
      {
        extension: [
          {
            url: "http://hl7.org/fhir/5.0/StructureDefinition/extension-ServiceRequest.reason",
            extension: [{ url: "reference", valueReference: { reference: "Condition/7" } }],
          },
        ],
      },
    ],
  ])("withholds %s", async (_, more) => {
    const reason: Entry = [`${A}Condition/7`, condition("B20")];
    const w = await filed(
      bundleOf([home, plain, reason, [`${A}Observation/x`, glucose("x", more)]]),
    );
    expect(await released(w.hl, w)).toEqual(["Observation/plain", "Patient/p1"]);
  });

  it("reads a reason by the server of the order, when recording and when labelling anew", async () => {
    const theirs: Entry = [`${B}Condition/7`, condition("I10", { id: "7" })];
    const ours: Entry = [`${A}Condition/7`, condition("B20")];
    const w = await filed(bundleOf([home, theirs, [`${A}MedicationRequest/2`, order()], ours]));
    expect(await released(w.hl, w)).toEqual(["Condition/7", "Patient/p1"]);
    const hl = await w.again({ policy: { labeller: judged("2") } });
    expect(await hl.relabelStale()).toMatchObject({ relabelled: 4 });
    expect(await released(hl, w)).toEqual(["Condition/7", "Patient/p1"]);
    const labels = (await hl.records(w.me)).find(
      ({ head }) => head.manifest.resource!.type === "MedicationRequest",
    )!.labels!;
    expect(names(labels)).toEqual(["HIV", "R"]);
    expect(labels.stamp).toEqual({ labeller: "paths", version: "2" });
  });

  it("takes a reason of another server alone for unknown", async () => {
    const theirs: Entry = [`${B}Condition/7`, condition("I10")];
    const w = await filed(bundleOf([home, theirs, [`${A}MedicationRequest/2`, order()]]));
    expect(await released(w.hl, w)).toEqual(["Condition/7", "Patient/p1"]);
  });

  it("counts every version of a reason", async () => {
    const version = (versionId: string, code: string): Entry => [
      `${A}Condition/7`,
      condition(code, { meta: { versionId } }),
    ];
    for (const versions of [
      [version("2", "B20"), version("1", "I10")],
      [version("1", "I10"), version("2", "B20")],
    ]) {
      const w = await filed(bundleOf([home, ...versions, [`${A}MedicationRequest/2`, order()]]));
      expect(await released(w.hl, w)).not.toContain("MedicationRequest/2");
    }
  });

  it("hears a label of a system of one's own by its name", async () => {
    const vip = { system: "urn:hospital:labels", code: "VIP" };
    const marked: Entry = [`${A}Observation/vip`, glucose("vip", { meta: { security: [vip] } })];
    const w = await ward({ policy: { labeller } });
    const { recorded } = await w.hl.recordBundle(null, bundleOf([home, plain, marked]));
    expect(recorded[2]!.labels).toEqual({ codes: [vip], stamp: null });
    await w.hl.consent(w.me, without(w, HIV), { signer: w.patient });
    expect(await released(w.hl, w)).toEqual(["Observation/plain", "Patient/p1"]);
  });

  it("holds what a Bundle or a document says of itself for true of all in it", async () => {
    const security = HIV;
    const all = [home, plain];
    const marked = await filed(bundleOf(all, { meta: { security } }));
    expect(await released(marked.hl, marked)).toEqual([]);
    const composition = {
      resourceType: "Composition",
      id: "c",
      status: "final",
      subject,
      type: concept(LOINC, "2339-0"),
      meta: { security },
    };
    const entries: Entry[] = [[`${A}Composition/c`, composition], ...all];
    const document = await filed(bundleOf(entries, { type: "document" }));
    expect(await released(document.hl, document)).toEqual([]);
    // And still does when they are labelled anew.
    const hl = await document.again({ policy: { labeller: judged("2") } });
    for (const how of [{}, { former: labeller }]) {
      await hl.relabelStale(how);
      expect(await released(hl, document)).toEqual([]);
    }
  });
});

describe("stamps of older rules", () => {
  it("count for nothing until the record is labelled anew", async () => {
    const w = await filed(bundleOf([home, plain]));
    expect(await released(w.hl, w)).toEqual(["Observation/plain", "Patient/p1"]);
    // Somebody learnt what the code means.
    const hl = await w.again({ policy: { labeller: judged("2", ["2339-0"]) } });
    expect(await released(hl, w)).toEqual([]);
    await hl.relabelStale();
    expect(await released(hl, w)).toEqual(["Patient/p1"]);
  });

  it("are those of the rules that the current ones were made of, too", async () => {
    const stamp = { labeller: "healthledger-default", version: "4" };
    const w = await ward({ policy: { labeller } });
    const codes = [
      { system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "N" },
    ];
    const old = await w.hl.record(w.me, JSON.stringify(glucose("old")), {
      labels: { codes, stamp },
    });
    const others = { labeller: "registrar", version: "1" };
    await w.hl.record(w.me, JSON.stringify(glucose("theirs")), {
      labels: { codes, stamp: others },
    });
    await w.hl.consent(w.me, without(w, HIV), { signer: w.patient });
    expect(await released(w.hl, w)).toEqual(["Observation/theirs"]);
    await w.hl.relabelStale();
    expect(await released(w.hl, w)).toEqual(["Observation/old", "Observation/theirs"]);
    expect((await w.hl.records(w.me))[0]!.labels!.stamp!.labeller).toBe("paths");
    expect(old.labels!.stamp).toEqual(stamp);
  });

  it("leave what they found sensitive refused", async () => {
    const w = await filed(bundleOf([home, [`${A}Condition/7`, condition("B20")]]));
    const hl = await w.again({ policy: { labeller: judged("2") } });
    const question = { requester: w.b.signer.actor, purposes: ["TREAT"] };
    const { records } = await hl.decide(w.me, question);
    // The patient's own record may be about HIV, the condition is.
    expect(records.map(({ decision }) => decision.outcome).sort()).toEqual([
      ...["deny", "indeterminate"],
    ]);
  });
});
