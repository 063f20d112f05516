import { expect, it } from "vitest";
import { createLabeller, DEFAULT_LABEL_RULES, extendLabelRules } from "../../src/consent/index.ts";
import { JUDGED_TYPES } from "../../src/consent/labels/data/fhir-elements.ts";
import { describeWith } from "../support/describe-with.ts";
import { loadDefinitions, placesOf, type Definitions, type Place } from "./definitions.ts";

const LOINC = "http://loinc.org";
const NULL_FLAVOR = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor";
const rules = extendLabelRules(DEFAULT_LABEL_RULES, {
  name: "places",
  version: "1",
  notSensitive: [{ codes: { [LOINC]: ["2339-0"] } }],
});
const labeller = createLabeller(rules);

/** One sensitive code of each system, in spellings that real data has. */
const SPELLINGS: readonly (readonly [system: string, code: string])[] = (
  [
    [
      "http://snomed.info/sct",
      "2.16.840.1.113883.6.96",
      ["86406008", " 86406008 ", "86406008 |HIV|", "86406008:246112005=24484000", "111880001"],
    ],
    [LOINC, "2.16.840.1.113883.6.1", ["7917-8", " 7917-8", "5221-7"]],
    [
      "http://hl7.org/fhir/sid/icd-10-cm",
      "2.16.840.1.113883.6.90",
      ["B20", "b20", "O98.711", "O98711", "B20-B24"],
    ],
    [
      "http://hl7.org/fhir/sid/icd-10",
      "2.16.840.1.113883.6.3",
      ["B24", "b24 ", "B20.1", "B201", "B20†"],
    ],
    ["http://www.nlm.nih.gov/research/umls/rxnorm", "2.16.840.1.113883.6.88", ["6813", " 6813"]],
    ["http://www.ama-assn.org/go/cpt", "2.16.840.1.113883.6.12", ["86701", "86701-25"]],
    [
      "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
      "2.16.840.1.113883.6.285",
      ["H0020", "h0020"],
    ],
    [
      "http://terminology.hl7.org/CodeSystem/v3-ActCode",
      "2.16.840.1.113883.5.4",
      ["HIV", "MENPOL"],
    ],
    ["urn:local", "1.2.3", ["HIVVL"]],
  ] as const
).flatMap(([system, oid, codes]) =>
  [system, `${system}|2024`, `${system}/`, `urn:oid:${oid}`].flatMap((name) =>
    codes.map((code) => [name, code] as const),
  ),
);
const CONDITION = {
  resourceType: "Condition",
  id: "hiv",
  code: { coding: [{ system: "http://hl7.org/fhir/sid/icd-10-cm", code: "B20" }] },
};
const TEXT = "HIV infection";

/** What is put at a place of a type: none of it may be stamped harmless. */
function sensitiveValues(type: string): readonly unknown[] {
  switch (type) {
    case "CodeableConcept":
      return [
        ...SPELLINGS.map(([system, code]) => ({ coding: [{ system, code }] })),
        { text: TEXT },
        { coding: [{ system: NULL_FLAVOR, code: "UNK" }], text: TEXT },
        { coding: [{ system: NULL_FLAVOR, code: "UNK", display: TEXT }] },
        { coding: [{ system: LOINC, code: "2339-0" }], text: TEXT },
        {
          coding: [
            { system: LOINC, code: "2339-0" },
            { system: "urn:local", code: "HIVVL" },
          ],
        },
      ];
    case "Coding":
      return [...SPELLINGS.map(([system, code]) => ({ system, code })), { display: TEXT }];
    case "Reference":
      return [
        { reference: "Condition/hiv" },
        { reference: "urn:uuid:hiv" },
        { reference: "#none" },
      ];
    case "Extension":
      return [{ url: "http://example.org/hiv", valueBoolean: true }];
    case "Resource":
      return [CONDITION, { resourceType: "Binary", contentType: "text/plain", data: "SElW" }];
    case "Narrative":
      return [{ status: "additional", div: `<div>${TEXT}</div>` }];
    case "string":
    case "markdown":
      return [TEXT, "HIV"];
    case "xhtml":
      return [`<div>${TEXT}</div>`];
    case "base64Binary":
      return ["SElW"];
    case "uri":
    case "url":
    case "canonical":
      return ["http://example.org/hiv-infection"];
    default:
      return [];
  }
}

/**
 * Places that are left alone, and why: names of people and places, of servers and namespaces, numbers
 * that somebody gave out, the name of a code.
 */
const LEFT_ALONE: readonly RegExp[] = [
  // Ids of elements, and FHIR's own.
  /\.(?:id|linkId)$/,
  /(?:name|Name|HumanName|maidenName)\.(?:text|family|given|prefix|suffix)$/,
  /(?:[aA]ddress|Address|address)\.(?:text|line|city|district|state|postalCode|country)$/,
  /(?:telecom|ContactPoint|contact)\.value$/,
  /^(?:Organization|Location|Practitioner|PractitionerRole|Patient|Person|RelatedPerson)\.(?:name|alias)$/,
  /\.system$/,
  /\.meta\.source$/,
  /\.(?:value|accountNumber|deviceIdentifier|distinctIdentifier|lotNumber|modelNumber|preAuthRef|referenceNumber|serialNumber|subscriberId|state|status|type)$/,
];

const missing = "run npm ci --prefix test/places";
const releases = loadDefinitions();
const resolve = (reference: string): unknown =>
  reference === "Condition/hiv" || reference === "urn:uuid:hiv" ? CONDITION : undefined;

function merge(resource: Record<string, unknown>, more: unknown): Record<string, unknown> {
  const { meta, ...rest } = more as Record<string, unknown>;
  const own = resource["meta"] as object;
  return { ...resource, ...rest, meta: { ...own, ...(meta as object | undefined) } };
}

/** Values at a place that are stamped although nothing was found. */
function stampedAt(place: Place, base: Record<string, unknown>): string[] {
  return sensitiveValues(place.type).flatMap((value) => {
    const labels = labeller.label(merge(base, place.put(value)), { resolve });
    if (labels?.stamp == null) return [];
    // HIV by every code but those of treatment with opioids.
    const found = labels.codes.some(({ code }) => code === "HIV" || code === "SUD");
    return found ? [] : [`${place.path} = ${JSON.stringify(value)}`];
  });
}

describeWith("labels by place", releases === undefined ? missing : undefined, () => {
  for (const [release, definitions] of releases ?? new Map<string, Definitions>()) {
    const types = [...definitions.values()].filter(
      ({ kind, abstract }) => kind === "resource" && !abstract,
    );
    it(`are found or unknown in every place of ${release}`, { timeout: 1_800_000 }, () => {
      const stamped: string[] = [];
      let places = 0;
      for (const { type } of types) {
        const tag = [{ system: LOINC, code: "2339-0" }];
        // A judged code where it is in nobody's way, so that it would be stamped but for the place.
        const base = { resourceType: type, language: "en", meta: { tag } };
        expect(labeller.label(base)?.stamp != null, type).toBe(JUDGED_TYPES.has(type));
        for (const place of placesOf(definitions, type)) {
          const withCode = place.path.startsWith(`${type}.meta.tag`)
            ? { ...base, contained: [{ resourceType: "Basic", code: { coding: tag } }] }
            : base;
          places++;
          if (LEFT_ALONE.some((one) => one.test(place.path))) continue;
          stamped.push(...stampedAt(place, withCode));
        }
      }
      expect(stamped).toEqual([]);
      expect(places).toBeGreaterThan(10_000);
    });
  }
});
