import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseDate } from "../../src/fhir/date.ts";
import { describeResource } from "../../src/fhir/describe-resource.ts";
import { manifestElements } from "../../src/fhir/manifest-elements.ts";
import type { FhirResource } from "../../src/fhir/resource.ts";
import { describeSlowly } from "../support/slow-describe.ts";
import { drawFrom, exampleResources, mutateJson } from "../support/mutate-json.ts";
import { parseSlowly } from "../support/slow-period.ts";

/** Values that break something, or are read in another way than what they replace. */
const VALUES: readonly unknown[] = [
  ...[null, true, 0, -1, "", [], {}, [[]], [null], [{}], "2024", "2024-02-30", "2023-11-05T10:00Z"],
  ...["value", "valueString", "valueCode", "effectiveDateTime", "_effectiveDateTime", "onsetAge"],
  ...["code", "category", "reasonCode", "extension", "note", "text", "reference", "contained"],
  ...["identifier", "period", "performer", "author", "encounter", "security", "__proto__"],
  ...["occurrencePeriod", "_period", "performedPeriod", "item", "medicationReference", "status"],
  { coding: [{ system: "urn:s", code: "c" }, { code: "c" }, { system: "urn:s" }, null, "x"] },
  { coding: { system: "urn:s", code: "d" }, text: "words" },
  { concept: { coding: [{ system: "urn:s", code: 'q"\\' }] }, reference: { reference: "X/1" } },
  { text: "words" },
  { code: ["a", 1, null, {}], system: "urn:l" },
  { url: "urn:x", valueCode: "c" },
  { url: "http://hl7.org/fhir/x", valueCode: "c" },
  { value: 1, unit: "mg", code: "mg" },
  { reference: "Patient/1", type: "Patient", display: "Jane" },
  { reference: { reference: "Encounter/2" }, identifier: { system: " ", value: " v " } },
  { identifier: { system: "urn:i", value: "v" } },
  { start: "2020-01", end: "2021-02-03" },
  { start: "2020-01", end: null },
  { _start: {}, end: "2021" },
  { event: ["2020-01-01", "2019"], repeat: { boundsPeriod: { start: "2018", end: "2019" } } },
  { event: [null] },
  { repeat: {} },
  { resourceType: "Observation", code: { text: "t" }, effectivePeriod: { start: "2001" } },
  { resourceType: "Condition", recordedDate: "2002-03-04", onsetDateTime: "1999" },
  { resourceType: "Unheard", when: "2011-12-13" },
  { status: "additional", div: "<div/>" },
  { status: "generated", div: "<div/>" },
];

const DATES: readonly unknown[] = [
  ...["2024", "2023-05", "2022-01-02", "2021-03-04T05:06:07Z", "2020-01-01T00:00:00.5+01:00", "x"],
  ...[{ start: "2019-01", end: "2021-02-03" }, { start: "2018" }, { end: "2017-06-05" }],
  ["2016", "2015-01-01"],
];
const SUFFIXES = ["DateTime", "Period", "CodeableConcept", "Reference", "Age", ""];
/** Types with elements of their own, which may be missing among the examples. */
const MORE_TYPES = ["MedicationDispense", "DeviceDispense", "Communication", "DetectedIssue"];

const agree = (resource: FhirResource): void =>
  expect(describeResource(resource)).toEqual(describeSlowly(resource));

describe("describeResource, against a plain one", () => {
  const examples = exampleResources();

  it("says the same of every example", () => {
    for (const resource of examples) agree(resource);
  });

  it("says the same of examples with random changes", () => {
    for (let seed = 1; seed <= 6000; seed++) {
      const draw = drawFrom(seed * 7919);
      const resource = mutateJson(examples[draw(examples.length)]!, draw, VALUES);
      if (draw(4) === 0) Object.assign(resource, { contained: [examples[draw(examples.length)]] });
      if (typeof resource.resourceType === "string") agree(resource);
    }
  });

  it("says the same of resources with random values in the elements that count", () => {
    const types = [...new Set(examples.map(({ resourceType }) => resourceType)), ...MORE_TYPES];
    const pathsOf = (type: string): readonly string[] => {
      const { codes, dates, authors, encounter, status } = manifestElements(type);
      const times = dates.flatMap((one) => (typeof one === "string" ? [one] : Object.values(one)));
      return [...codes, ...authors, ...encounter, ...times.flat(), status, "meta.security"];
    };
    for (let seed = 1; seed <= 12_000; seed++) {
      const draw = drawFrom(seed * 104_729);
      const make = (type: string): FhirResource => {
        const resource: Record<string, unknown> = { resourceType: type };
        const paths = pathsOf(type);
        for (let i = draw(5); i >= 0; i--) {
          const steps = paths[draw(paths.length)]!.replaceAll("[x]", SUFFIXES[draw(6)]!).split(".");
          let at = resource;
          for (const step of steps.slice(0, -1)) {
            const below = at[step];
            if (typeof below !== "object" || below === null) at[step] = draw(3) > 0 ? {} : [{}];
            at = at[step] as Record<string, unknown>;
            if (Array.isArray(at)) at = at[0] as Record<string, unknown>;
            if (typeof at !== "object" || at === null) break;
          }
          const value = draw(2) === 0 ? DATES[draw(DATES.length)] : VALUES[draw(VALUES.length)];
          const name = `${draw(12) === 0 ? "_" : ""}${steps.at(-1)!}`;
          if (typeof at === "object" && at !== null) at[name] = structuredClone(value);
        }
        return resource as FhirResource;
      };
      const type = types[draw(types.length)]!;
      const contained = draw(3) === 0 ? [make(types[draw(types.length)]!), make(type)] : undefined;
      agree({ ...make(type), ...(contained && { contained }) });
    }
  });

  it("says the same where lists are long, names many and values deep", () => {
    const coding = (count: number): unknown[] =>
      Array.from({ length: count }, (_, i) => ({ system: `urn:${i % 97}`, code: `"${i % 1009}` }));
    const code = { coding: coding(30_000) };
    const performer = Array.from({ length: 5000 }, (_, i) => ({ reference: `P/${i % 700}` }));
    const names = Object.fromEntries(performer.map((one, i) => [`effective${i}`, one]));
    const upper = Object.fromEntries(performer.map((one, i) => [`valueA${i}`, { coding: [one] }]));
    let deep: unknown = { coding: coding(3), note: "prose" };
    for (let i = 0; i < 700; i++) deep = { extension: [deep] };
    let prose: unknown = "prose";
    for (let i = 0; i < 1100; i++) prose = [prose];
    const contained = Array.from({ length: 3000 }, (_, i) => ({
      ...{ resourceType: "Observation", code: { coding: coding(i % 40) }, issued: "2020" },
    }));
    for (const part of [{ code }, { performer }, names, upper, { x: deep }, { y: prose }]) {
      agree({ resourceType: "Observation", ...part });
      agree({ resourceType: "List", ...part, contained });
    }
    agree({ resourceType: "Observation", contained, component: contained, extension: [code] });
  });

  it("tells authors apart by every member", () => {
    const author: unknown[] = [];
    for (const reference of [undefined, "a", "b"]) {
      for (const type of [undefined, "t", "u"]) {
        for (const system of [undefined, "s"]) {
          for (const value of [undefined, "v", "w"]) {
            author.push({ reference, type, identifier: { system, value } }, { reference, type });
          }
        }
      }
    }
    for (let count = 1; count <= author.length; count++) {
      const some = author.slice(0, count);
      agree({ resourceType: "Composition", author: [...some, ...some.toReversed()] });
    }
  });

  it("keeps as many units of other codes, whatever escapes they need", () => {
    for (const sign of ["c", '"', "\u0001", "é"]) {
      const extension = Array.from({ length: 4000 }, (_, i) => ({
        valueCoding: { system: "urn:s", code: `${sign.repeat(i % 7)}${i}` },
      }));
      agree({ resourceType: "Observation", code: { coding: [{ code: "k" }] }, extension });
    }
  });
});

describe("parseDate, against a regular expression", () => {
  it("reads the same dates, and nothing else", () => {
    const sign = fc.constantFrom(..."0123456789-:TZ.+ \n", "٣");
    const dates = [
      ...["2024", "2024-02", "2024-02-29", "2024-02-29T23:59Z", "2024-02-29T23:59:60+14:00"],
      ...["2024-12-31T00:00:00.1239999-05:30", "0001-01-01T00:00:00.000000000000000000Z"],
    ];
    const change = fc.tuple(fc.nat(), fc.nat({ max: 2 }), fc.array(sign, { maxLength: 3 }));
    fc.assert(
      fc.property(fc.constantFrom(...dates), fc.array(change, { maxLength: 3 }), (date, all) => {
        let text = date;
        for (const [at, length, put] of all) {
          const place = at % (text.length + 1);
          text = text.slice(0, place) + put.join("") + text.slice(place + length);
        }
        expect(parseDate(text)).toEqual(parseSlowly(text));
      }),
      { numRuns: 30_000 },
    );
  });

  it("reads the same numbers in every position", () => {
    for (let i = 0; i < 100; i++) {
      const two = String(i).padStart(2, "0");
      for (const text of [
        ...[`${two}00`, `20${two}`, `2024-${two}`, `2023-02-${two}`, `2024-04-${two}T00:00Z`],
        ...[`2024-01-01T${two}:00:00Z`, `2024-01-01T00:${two}:00Z`, `2024-01-01T00:00:${two}Z`],
        ...[`2024-01-01T00:00:00.${two}Z`, `2024-01-01T00:00:00+${two}:00`],
        ...[`2024-01-01T00:00:00-01:${two}`, `2024-01-01T00:00:00.${"1".repeat(i)}Z`],
      ]) {
        expect(parseDate(text)).toEqual(parseSlowly(text));
      }
    }
  });
});
