import { describe, expect, it } from "vitest";
import {
  createLabeller,
  DEFAULT_LABEL_RULES,
  extendLabelRules,
  extendTerminology,
  HL7_TERMINOLOGY,
  labelRulesFromValueSets,
  makeTerminology,
} from "../../../src/consent/index.ts";

const SNOMED = "http://snomed.info/sct";
const LOINC = "http://loinc.org";
const composed = (...include: readonly object[]) => ({
  resourceType: "ValueSet",
  compose: { include },
});
const listing = (system: string, ...codes: readonly string[]) =>
  composed({ system, concept: codes.map((code) => ({ code, display: "x" })) });
const expanded = (contains: readonly object[], more: object = {}) => ({
  resourceType: "ValueSet",
  expansion: { timestamp: "2026-01-01", contains, ...more },
});

describe("labelRulesFromValueSets", () => {
  it("makes rules of sensitive lists, and lists of what was judged", () => {
    const additions = labelRulesFromValueSets([
      { valueSet: listing(SNOMED, "111880001"), labels: ["HIV"] },
      { valueSet: listing(LOINC, "8480-6", "8462-4"), labels: "not sensitive" },
    ]);
    expect(additions).toEqual({
      rules: [{ labels: ["HIV"], codes: { [SNOMED]: ["111880001"] } }],
      notSensitive: [{ codes: { [LOINC]: ["8480-6", "8462-4"] } }],
    });
    const labeller = createLabeller(
      extendLabelRules(DEFAULT_LABEL_RULES, { name: "ours", version: "1", ...additions }),
    );
    const label = (system: string, code: string) =>
      labeller
        .label({ resourceType: "Condition", code: { coding: [{ system, code }] } })
        ?.codes.map((one) => one.code);
    expect(label(SNOMED, "111880001")).toEqual(["HIV", "R"]);
    expect(label(LOINC, "8480-6")).toEqual(["N"]);
    expect(label(LOINC, "8867-4")).toBeUndefined();
  });

  it("reads a whole expansion, headings and what is below them", () => {
    const contains = [
      {
        system: SNOMED,
        abstract: true,
        display: "heading",
        contains: [{ system: SNOMED, code: "2" }],
      },
      { system: SNOMED, code: "1", contains: [{ system: LOINC, code: "3-0" }] },
    ];
    const valueSet = {
      ...composed({ system: SNOMED, filter: [{}] }),
      ...expanded(contains, { total: 4 }),
    };
    expect(labelRulesFromValueSets([{ valueSet, labels: ["PSY", "MH"] }]).rules).toEqual([
      { labels: ["PSY", "MH"], codes: { [SNOMED]: ["2", "1"], [LOINC]: ["3-0"] } },
    ]);
  });

  const one = { system: SNOMED, code: "1" };
  it.each<[string, unknown, string]>([
    ["what is no value set", { resourceType: "CodeSystem" }, "must be a ValueSet"],
    ["nothing", null, "must be a ValueSet"],
    ["an empty list", composed(), "lists no code"],
    ["an empty expansion", expanded([]), "lists no code"],
    ["neither", { resourceType: "ValueSet" }, "compose is missing"],
    [
      "a filter",
      composed({ system: SNOMED, filter: [{ property: "concept", op: "is-a", value: "1" }] }),
      "filter needs an expansion",
    ],
    [
      "a filter beside codes",
      composed({ system: SNOMED, concept: [{ code: "1" }], filter: [] }),
      "filter needs",
    ],
    ["another value set", composed({ valueSet: ["http://x"] }), "valueSet needs an expansion"],
    ["a whole system", composed({ system: SNOMED }), "needs an expansion"],
    [
      "an exclusion",
      {
        resourceType: "ValueSet",
        compose: { include: [{ system: SNOMED, concept: [{ code: "1" }] }], exclude: [{}] },
      },
      "exclude needs an expansion",
    ],
    ["a code without a system", composed({ concept: [{ code: "1" }] }), "needs a code system"],
    [
      "a system that is a name",
      composed({ system: "SNOMED", concept: [{ code: "1" }] }),
      "needs a code system",
    ],
    [
      "a concept without a code",
      composed({ system: SNOMED, concept: [{ display: "x" }] }),
      "needs a code",
    ],
    ["a blank code", expanded([{ system: SNOMED, code: " " }]), "needs a code"],
    ["an entry without a code", expanded([one, { system: SNOMED, display: "x" }]), "needs a code"],
    ["one page of several", expanded([one], { total: 2 }), "is a part"],
    ["a later page", expanded([one], { offset: 100 }), "is a part"],
    [
      "a page that says how it was asked for",
      expanded([one], { parameter: [{ name: "offset", valueInteger: 100 }], total: 1 }),
      "is a part",
    ],
    [
      "a first page that does not say how much there is",
      expanded([one], { parameter: [{ name: "count", valueInteger: 1 }] }),
      "is a part",
    ],
    [
      "a first page of more",
      expanded([one], { parameter: [{ name: "count", valueInteger: 1 }], total: 2 }),
      "is a part",
    ],
    ["a total that is no number", expanded([one], { total: "2" }), "is a part"],
    [
      "a mistyped system",
      composed({ system: "http://snomed.info/sctt", concept: [{ code: "1" }] }),
      "code system that neither",
    ],
    [
      "a mistyped system in an expansion, below a heading",
      expanded([{ ...one, contains: [{ system: "http://loinc.com", code: "1-8" }] }]),
      "code system that neither",
    ],
    ["a page with a next", expanded([one], { next: "http://x" }), "is a part"],
    [
      "an expansion that was too costly",
      expanded([one], {
        extension: [
          { url: "http://hl7.org/fhir/StructureDefinition/valueset-toocostly", valueBoolean: true },
        ],
      }),
      "is a part",
    ],
    [
      "an expansion that is open",
      expanded([one], {
        extension: [
          { url: "http://hl7.org/fhir/StructureDefinition/valueset-unclosed", valueBoolean: true },
        ],
      }),
      "is a part",
    ],
    [
      "a limited expansion",
      expanded([one], { parameter: [{ name: "limitedExpansion", valueBoolean: true }] }),
      "is a part",
    ],
    ["no list", { resourceType: "ValueSet", compose: { include: {} } }, "must be a list"],
  ])("refuses %s", (_, valueSet, why) => {
    for (const labels of [["HIV"], "not sensitive"] as const) {
      const make = () => labelRulesFromValueSets([{ valueSet, labels }]);
      expect(make).toThrow(expect.objectContaining({ code: "ERR_INPUT_INVALID" }));
      expect(make).toThrow(why);
    }
  });

  it("takes a page that says that it is all", () => {
    const parameter = [
      { name: "offset", valueInteger: 0 },
      { name: "count", valueInteger: 1000 },
    ];
    const valueSet = expanded([one], { parameter, total: 1 });
    expect(labelRulesFromValueSets([{ valueSet, labels: ["HIV"] }]).rules).toEqual([
      { labels: ["HIV"], codes: { [SNOMED]: ["1"] } },
    ]);
  });

  it("knows systems in other spellings, those of the caller, and no others", () => {
    const own = "urn:oid:1.2.3.4";
    const systems = { [own]: { covers: "part" } } as const;
    const make = (system: string, options = {}) =>
      labelRulesFromValueSets([{ valueSet: listing(system, "1"), labels: ["HIV"] }], options);
    for (const spelt of ["urn:oid:2.16.840.1.113883.6.96", "https://loinc.org/"]) {
      expect(make(spelt).rules).toHaveLength(1);
    }
    expect(make(own, { systems }).rules).toEqual([{ labels: ["HIV"], codes: { [own]: ["1"] } }]);
    expect(() => make(own)).toThrow("neither the default rules nor `systems`");
    expect(() => make(`${own}5`, { systems })).toThrow("neither the default rules nor `systems`");
    // A `*` stands for the names of a registry, among which every mistyped one would be.
    expect(() => make("urn:ietf:bcp:4711")).toThrow("neither the default rules nor `systems`");
  });

  it("knows the labels of its terminology only", () => {
    const valueSet = listing(SNOMED, "1");
    for (const labels of [[], ["hiv"], ["HIV", "SCANDAL"], "harmless", undefined]) {
      expect(() => labelRulesFromValueSets([{ valueSet, labels: labels as string[] }])).toThrow(
        expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
      );
    }
    const sensitivity = { SCANDAL: ["in the newspapers", "TBOO"] } as const;
    const terminology = makeTerminology(
      extendTerminology(HL7_TERMINOLOGY, { name: "own", version: "1", sensitivity }),
    );
    expect(
      labelRulesFromValueSets([{ valueSet, labels: ["SCANDAL"] }], { terminology }).rules,
    ).toHaveLength(1);
  });
});
