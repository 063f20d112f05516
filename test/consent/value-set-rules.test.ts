import { describe, expect, it } from "vitest";
import {
  createLabeller,
  DEFAULT_LABEL_RULES,
  extendLabelRules,
  extendTerminology,
  HL7_TERMINOLOGY,
  labelRulesFromValueSets,
  makeTerminology,
} from "../../src/consent/index.ts";

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
    ["no list", { resourceType: "ValueSet", compose: { include: {} } }, "must have lists"],
  ])("refuses %s", (_, valueSet, why) => {
    for (const labels of [["HIV"], "not sensitive"] as const) {
      const make = () => labelRulesFromValueSets([{ valueSet, labels }]);
      expect(make).toThrow(expect.objectContaining({ code: "ERR_INPUT_INVALID" }));
      expect(make).toThrow(why);
    }
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
