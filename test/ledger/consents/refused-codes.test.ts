import { describe, expect, it } from "vitest";
import type { Rule } from "../../../src/consent/model/model.ts";
import { opened, ward } from "../../support/ward.ts";

// The whole path: records as text, a directive on codes, a request, what is released. Places are those
// of FHIR's own definitions (R4 4.0.1, R5 5.0.0), none of them in the table of elements.

const LOINC = "http://loinc.org";
const SNOMED = "http://snomed.info/sct";
const HIV = { system: SNOMED, code: "86406008" };
const concept = { coding: [HIV] };
const mine = { subject: { reference: "Patient/p1" } };
const record = (id: string, more: object, resourceType = "Observation"): string =>
  JSON.stringify({
    resourceType,
    id,
    status: "final",
    code: { coding: [{ system: LOINC, code: "8480-6" }] },
    ...mine,
    ...more,
  });

const KEEP = record("keep", {
  valueQuantity: { value: 120, unit: "mmHg", code: "mm[Hg]" },
  interpretation: [{ coding: [{ system: SNOMED, code: "281302008" }] }],
});

/** The refused code, written as a code. */
const SURE: Readonly<Record<string, string>> = {
  method: record("method", { method: concept }),
  interpretation: record("interpretation", { interpretation: [{ coding: [{}, HIV] }] }),
  component: record("component", {
    component: [{ code: { coding: [{ system: LOINC, code: "1" }] }, dataAbsentReason: concept }],
  }),
  tag: record("tag", { meta: { tag: [HIV] } }),
  quantity: record("quantity", { valueQuantity: { value: 1, unit: "x", ...HIV } }),
  extension: record("extension", { extension: [{ url: "urn:x", valueCoding: HIV }] }),
  nested: record("nested", {
    extension: [{ url: "urn:x", extension: [{ url: "y", valueCodeableConcept: concept }] }],
  }),
  modifier: record("modifier", { modifierExtension: [{ url: "urn:x", valueCoding: HIV }] }),
  primitive: record("primitive", { _status: { extension: [{ url: "urn:x", valueCoding: HIV }] } }),
  "in-display": record("in-display", {
    code: {
      coding: [
        {
          system: LOINC,
          code: "8480-6",
          _display: { extension: [{ url: "urn:x", valueCoding: HIV }] },
        },
      ],
    },
  }),
  contained: record("contained", {
    contained: [{ resourceType: "Observation", id: "c", status: "final", method: concept }],
  }),
  "in-bundle": record("in-bundle", {
    contained: [
      { resourceType: "Bundle", id: "c", entry: [{ resource: { resourceType: "X", code: HIV } }] },
    ],
  }),
  identifier: record("identifier", { identifier: [{ type: concept, value: "1" }] }),
  r5: record("r5", { diagnosis: [{ condition: [{ concept }] }] }, "Encounter"),
  family: JSON.stringify({
    resourceType: "FamilyMemberHistory",
    id: "family",
    status: "completed",
    patient: mine.subject,
    relationship: { coding: [{ system: "urn:r", code: "FTH" }] },
    procedure: [{ code: { coding: [{ system: SNOMED, code: "1" }] }, outcome: concept }],
  }),
  claim: JSON.stringify({
    resourceType: "Claim",
    id: "claim",
    status: "active",
    patient: mine.subject,
    type: { coding: [{ system: "urn:t", code: "professional" }] },
    item: [{ detail: [{ subDetail: [{ productOrService: concept }] }] }],
  }),
  answers: record(
    "answers",
    { item: [{ item: [{ item: [{ linkId: "3", answer: [{ valueCoding: HIV }] }] }] }] },
    "QuestionnaireResponse",
  ),
};

/** What may be the refused code. */
const PERHAPS: Readonly<Record<string, string>> = {
  "no-system": record("no-system", { method: { coding: [{ code: "86406008" }] } }),
  "no-code": record("no-code", { method: { coding: [{ system: SNOMED, display: "HIV" }] } }),
  number: record("number", { method: { coding: [{ system: SNOMED, code: 86406008 }] } }),
  "one-coding": record("one-coding", { method: { coding: { code: "86406008" } } }),
  spelt: record("spelt", { method: { coding: [{ ...HIV, code: " 86406008" }] } }),
  version: record("version", {
    method: { coding: [{ ...HIV, system: `${SNOMED}|http://snomed.info/sct/900000000000207008` }] },
  }),
  expression: record("expression", {
    extension: [{ url: "urn:x", valueCoding: { ...HIV, code: "404684003:363698007=86406008" } }],
  }),
  plain: record("plain", { extension: [{ url: "urn:x", valueCode: "86406008" }] }),
  many: record("many", {
    method: { coding: Array.from({ length: 5000 }, (_, i) => ({ system: LOINC, code: `${i}` })) },
  }),
};

const root = (more: object): Rule => ({
  id: "r",
  effect: "permit",
  combine: "deny-overrides",
  when: {},
  ...more,
});
const on = (codes: readonly object[]): object => ({ when: { data: { codes } } });
const butFor = (code: object): Rule =>
  root({ rules: [{ id: "d", effect: "deny", combine: "deny-overrides", ...on([code]) }] });

async function released(texts: readonly string[], rules: Rule): Promise<unknown[]> {
  const w = await ward();
  for (const text of texts) await w.hl.record(w.me, text);
  await w.permit({ root: rules });
  return (await opened(await w.ask())).map(({ resource }) => resource?.["id"]);
}

describe("a code that a patient refuses", () => {
  it("keeps back every record in which it stands, wherever that is", async () => {
    expect(await released([KEEP, ...Object.values(SURE)], butFor(HIV))).toEqual(["keep"]);
  });

  it("keeps back what may have it, and what has more codes than are told", async () => {
    expect(await released([KEEP, ...Object.values(PERHAPS)], butFor(HIV))).toEqual(["keep"]);
  });

  it("is the only reason: without it, or refusing another, these records are released", async () => {
    const texts = [KEEP, ...Object.values(SURE)];
    const ids = ["keep", ...Object.keys(SURE)].filter((id) => id !== "interpretation");
    const other = { system: "http://hl7.org/fhir/sid/icd-10", code: "B24" };
    expect(await released(texts, butFor(other))).toEqual(ids);
    expect(await released(texts, root({}))).toEqual(["keep", ...Object.keys(SURE)]);
  });

  it("is found where too many codes to be told come after it", async () => {
    const first = { coding: [HIV, ...JSON.parse(PERHAPS["many"]!).method.coding] };
    expect(await released([KEEP, record("first", { method: first })], butFor(HIV))).toEqual([
      "keep",
    ]);
  });
});

describe("a code that a patient permits", () => {
  it("releases records whose own code it is, and none that only mention it", async () => {
    const texts = [record("is", { code: concept }), ...Object.values(SURE)];
    expect(await released(texts, root(on([HIV])))).toEqual(["is"]);
  });
});
