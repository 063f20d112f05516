import { describe, expect, it } from "vitest";
import { atOnce } from "../../../src/bytes/steps.ts";
import { DEFAULT_LABEL_RULES } from "../../../src/consent/labels/default-rules.ts";
import {
  codeSteps,
  type FoundCodes,
  type ResolveReference,
} from "../../../src/consent/labels/label-codes.ts";
import { compileRules } from "../../../src/consent/labels/label-rules.ts";
import { defaultTerminology } from "../../../src/consent/terminology/terminology.ts";
import type { FhirResource } from "../../../src/fhir/resource.ts";
import { drawFrom, exampleResources, mutateJson } from "../../support/mutate-json.ts";
import { findSlowly } from "../../support/slow-labels.ts";

const LOINC = "http://loinc.org";
const ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const NULL_FLAVOR = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor";
const UCUM = "http://unitsofmeasure.org";

/** Values that are judged in another way than what they replace. */
const VALUES: readonly unknown[] = [
  ...[
    null,
    true,
    7,
    "",
    [],
    {},
    [[]],
    [null],
    "2024",
    "2024-13-01",
    "12:30",
    "1.2.3",
    "free words",
  ],
  ...["mg/dL", "copies of HIV", "%", "+1 555 0100", "id-1", "v2", "Family", "http://x/1", "a b"],
  ...["code", "coding", "text", "display", "extension", "modifierExtension", "meta", "contained"],
  ...["reference", "_reference", "identifier", "unit", "value", "name", "alias", "class", "data"],
  ...["contentType", "security", "securityLabel", "confidentiality", "profile", "_birthDate"],
  ...["status", "version", "telecom", "address", "url", "valueUri", "resourceType", "invented"],
  { coding: [{ system: LOINC, code: "2339-0", display: "Glucose" }], text: " glucose " },
  { coding: [{ system: LOINC, code: "2339-0", display: "Glucose" }], text: "other" },
  { coding: [{ system: LOINC, code: "55277-8" }, { system: NULL_FLAVOR, code: "UNK" }, 4, {}] },
  { coding: [{ system: NULL_FLAVOR, code: "UNK", display: "said" }], text: "said" },
  { coding: [{ system: ACT_CODE, code: " HIV " }] },
  { coding: [{ system: "urn:unknown", code: "c", display: "D" }], text: 3 },
  { coding: [], text: "words" },
  { coding: [] },
  { value: 1, unit: "mg", system: UCUM, code: "mg" },
  { value: 1, unit: "copies", system: UCUM, code: "{HIV copies}" },
  { code: 5 },
  { code: "x", system: 3 },
  { reference: "Patient/1", display: "Jane" },
  { reference: "Encounter/1", display: "Visit" },
  { reference: "Observation/1", display: "Glucose" },
  { reference: "#p" },
  { reference: "#absent" },
  { reference: "http://x/Condition/9/_history/2", type: "Condition" },
  { reference: "Condition?identifier=x|1" },
  { identifier: { system: "urn:s", value: "a b" } },
  { display: "Dr Who", _x: 1 },
  { display: "Dr Who", other: 1 },
  { url: "http://hl7.org/fhir/StructureDefinition/x", valueString: "said" },
  { url: "http://hl7.org/fhir/StructureDefinition/patient-birthPlace", valueString: "said" },
  { url: "urn:other", extension: [{ url: "part", valueUri: "http://x" }] },
  { contentType: "text/plain", data: "aGk=" },
  { status: "generated", div: "<div/>" },
  { status: "additional", div: "<div/>" },
  { security: [{ system: ACT_CODE, code: "PSY" }, { code: "x" }], profile: ["urn:p", null] },
  { security: { coding: [{ system: ACT_CODE, code: "ETH" }] }, profile: "urn:p" },
  { resourceType: "Observation", id: "p", code: { coding: [{ system: LOINC, code: "1-8" }] } },
  { resourceType: "Unheard", id: 4, subject: { reference: "Patient/1" } },
];

const terminology = defaultTerminology();
const isLabel = (code: string): boolean => terminology.labelsBelow(code) !== undefined;
const rules = compileRules(DEFAULT_LABEL_RULES);
/** In the order in which they were found, of which the first are kept. */
const shown = ({ labels, borne, unjudged: { codes, others } }: FoundCodes): unknown => ({
  ...{ labels: [...labels], borne, codes, others: [...others] },
});

function agree(resource: unknown, resolve?: ResolveReference): void {
  const fast = atOnce(codeSteps(resource, rules, isLabel, resolve));
  expect(shown(fast)).toEqual(shown(findSlowly(resource, rules, isLabel, resolve)));
}

describe("codes for labels, against plain loops", () => {
  const examples = exampleResources();

  it("are the same in every example", () => {
    for (const resource of examples) agree(resource);
  });

  it("are the same in examples with random changes, with and without other resources", () => {
    for (let seed = 1; seed <= 6000; seed++) {
      const draw = drawFrom(seed * 15_485_863);
      const resource: FhirResource = mutateJson(examples[draw(examples.length)]!, draw, VALUES);
      const others = [examples[draw(examples.length)]!, resource];
      const targets = [undefined, others[0], others, [undefined], "no resource"][draw(5)];
      agree(resource, draw(3) === 0 ? undefined : () => targets);
    }
  });

  it("are the same of what is no resource", () => {
    for (const value of [...VALUES, undefined]) agree(value);
  });

  it("are the same where lists are long and values deep", () => {
    const codings = Array.from({ length: 6000 }, (_, i) => ({
      ...{ system: i % 3 === 0 ? LOINC : "urn:s", code: `${i}-${i % 10}`, display: `Name ${i}` },
    }));
    const code = { coding: codings, text: " name  5999" };
    let deep: unknown = "words";
    for (let i = 0; i < 80; i++) deep = { item: [deep], note: i % 7 === 0 ? { text: "t" } : i };
    const strings = Array.from({ length: 5000 }, (_, i) => `word ${i}`);
    const component = codings.map((coding) => ({ code: { coding: [coding], text: "Name 7" } }));
    const security = codings.map((coding) => ({ ...coding, system: ACT_CODE }));
    const contained = codings.map((coding, i) => ({ resourceType: "X", id: i, code: [coding] }));
    for (const part of [{ code }, { item: deep }, { name: strings }, { component }]) {
      agree({ resourceType: "Observation", ...part });
      agree({
        resourceType: "Observation",
        contained,
        meta: { security, profile: strings },
        ...part,
      });
    }
    agree({ resourceType: "Bundle", entry: Array.from({ length: 40 }, () => component) });
  });

  it("are the same at the greatest depth and number of values", () => {
    for (let depth = 50; depth < 75; depth++) {
      for (const leaf of [1, "2024", "words", null, [1], ["2024"], {}]) {
        let deep: unknown = leaf;
        for (let i = 0; i < depth; i++) deep = { item: deep };
        agree({ resourceType: "Observation", item: deep });
      }
    }
    for (let count = 99_990; count <= 100_010; count += 2) {
      const item = Array.from({ length: count }, () => ({ rank: 1 }));
      agree({ resourceType: "Observation", item, status: "final", rank: 1 });
    }
  });
});

describe("judgements that are kept", () => {
  it("are those of the system and the code, before and after many others", () => {
    const systems = [LOINC, "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10-cm", "urn:s"];
    const codes = ["55277-8", "2339-0", "B20", "F10.2", "86406008", "1", "x".repeat(600)];
    const pairs = systems.flatMap((system) => codes.map((code) => [system, code] as const));
    const fresh = pairs.map(([system, code]) =>
      compileRules(DEFAULT_LABEL_RULES).judge(system, code),
    );
    const judgeAll = () => pairs.map(([system, code]) => rules.judge(system, code));
    expect(judgeAll()).toEqual(fresh);
    for (let i = 0; i < 9000; i++) rules.judge(systems[i % 4]!, `n${i}`);
    expect(judgeAll()).toEqual(fresh);
    expect(new Set(fresh.map((one) => JSON.stringify(one))).size).toBeGreaterThan(2);
  });
});
