import { describe, expect, it } from "vitest";
import { ConsentError } from "../../../src/errors.ts";
import {
  HL7_TERMINOLOGY,
  makeTerminology,
  matches,
  toSearchParameters,
  type ConsentResource,
  type ResidualSearch,
} from "../../../src/consent/index.ts";
import { diceOf, type Dice } from "../random.ts";
import { leftOf, namedRecord, residualOf } from "./residual-support.ts";
import { confidentiality, deny, permit, resourceOf, sensitivity } from "../support.ts";
import { cases } from "../../support/share.ts";

const butHiv = residualOf(
  permit({}, { id: "all", rules: [deny({ data: { labels: [sensitivity("HIV")] } })] }),
);

/** A server's view of a record: dates in its own zone, one date element, one code element. */
interface Held {
  readonly record: ConsentResource;
  /** Offset from UTC, in hours. */
  readonly zone: number;
  /** The date that a manifest took stands in another element than the one that is searched. */
  readonly dateElsewhere: boolean;
}

/** Splits where no backslash stands before, as FHIR search has it. */
const split = (text: string, by: string): string[] =>
  text.split(new RegExp(`(?<!\\\\)\\${by}`)).map((one) => one.replace(/\\(.)/g, "$1"));

function range(value: number | string | undefined, zone: number, last: boolean): number {
  if (value === undefined) return last ? Infinity : -Infinity;
  if (typeof value === "number") return value;
  const [y, m = 1, d = 1] = value.split("-").map(Number) as [number, number?, number?];
  const next =
    value.length === 4
      ? Date.UTC(y + 1, 0)
      : value.length === 7
        ? Date.UTC(y, m)
        : Date.UTC(y, m - 1, d + 1);
  return (last ? next - 1 : Date.UTC(y, m - 1, d)) - zone * 3_600_000;
}

/** What a FHIR server finds, from the search parameters' own definitions. */
function finds(
  { types, parameters }: ResidualSearch,
  { record, zone, dateElsewhere }: Held,
): boolean {
  if (types.length > 0 && !types.includes(record.type)) return false;
  const labels = (record.labels?.codes ?? []).map(({ system, code }) => `${system}|${code}`);
  const codes = record.codes.slice(0, 1).map(({ system, code }) => `${system}|${code}`);
  const { from, to } = record.period ?? {};
  const missing = dateElsewhere || (from === undefined && to === undefined);
  return parameters.every(([name, value]) => {
    const tokens = (): string[] =>
      value.split(/(?<!\\),/).map((token) => split(token, "|").join("|"));
    switch (name) {
      case "_security":
        return tokens().some((token) => labels.includes(token));
      case "_security:not":
        return !tokens().some((token) => labels.includes(token));
      case "code:not":
        return !tokens().some((token) => codes.includes(token));
      case "_id":
        return value.split(",").includes(record.id!.split("/").at(-1)!);
      case "date:missing":
        return missing === (value === "true");
      case "date": {
        if (missing) return false;
        const moment = Date.parse(value.slice(2));
        expect(moment, value).not.toBeNaN();
        return value.startsWith("ge")
          ? range(to, zone, true) >= moment
          : range(from, zone, false) <= moment;
      }
      default:
        throw new Error(`no such parameter: ${name}`);
    }
  });
}

const OTHER_NAMES: Readonly<Record<string, string>> = {
  "http://terminology.hl7.org/CodeSystem/v3-ActCode": "urn:oid:2.16.840.1.113883.5.4",
  "http://terminology.hl7.org/CodeSystem/v3-Confidentiality":
    "http://hl7.org/fhir/v3/Confidentiality",
};

function heldOf(dice: Dice): Held {
  const record = namedRecord(dice, dice.chance(0.5));
  const { labels } = record;
  const lower = dice.chance(0.1) ? [confidentiality("L")] : [];
  const codes = [...(labels?.codes ?? []), ...lower].map(({ system, code }) => ({
    system: dice.chance(0.2) ? (OTHER_NAMES[system] ?? system) : system,
    code,
  }));
  return {
    record: { ...record, labels: labels && { ...labels, codes } },
    zone: dice.pick(-12, 0, 0, 14),
    dateElsewhere: dice.chance(0.2),
  };
}

describe("toSearchParameters", () => {
  it("finds everything that is permitted, and nothing else where it says so", () => {
    const seen = { permitted: 0, refused: 0, spared: 0, exact: 0, exactly: 0 };
    const parameters = new Set<string>();
    const seeds = cases(1_200, 4);
    for (let seed = 0; seed < seeds; seed++) {
      const dice = diceOf(seed);
      const left = leftOf(dice, dice.pick("UTC", "+14:00", "-12:00"));
      if (left === undefined) continue;
      const { value, inexact } = toSearchParameters(left.residual);
      if (inexact.length === 0) seen.exact++;
      for (const one of value) for (const [name] of one.parameters) parameters.add(name);
      for (let i = 0; i < 12; i++) {
        const held = heldOf(dice);
        const permitted = left.permits(held.record);
        const found = value.filter((search) => finds(search, held));
        if (permitted && found.length === 0) expect.fail(`${seed}: missed`);
        if (permitted) seen.permitted++;
        else seen.refused++;
        if (!permitted && found.length === 0) seen.spared++;
        for (const search of found) {
          if (search.inexact.length > 0) continue;
          if (!permitted) expect.fail(`${seed}: said to be exact`);
          seen.exactly++;
        }
      }
    }
    expect(seen.permitted).toBeGreaterThan((seeds * 5) / 12);
    expect(seen.spared).toBeGreaterThan(seen.refused / 10);
    expect(seen.exact).toBeGreaterThan(seeds / 240);
    expect(seen.exactly).toBeGreaterThan(seeds / 60);
    expect([...parameters].sort()).toEqual([
      "_id",
      "_security",
      "_security:not",
      "code:not",
      "date",
      "date:missing",
    ]);
  });

  it("excludes labels, and says that unlabelled records cannot be told from harmless ones", () => {
    const { value, inexact } = toSearchParameters(butHiv);
    expect(value).toHaveLength(1);
    expect(value[0]!.parameters).toEqual([
      ["_security:not", "http://terminology.hl7.org/CodeSystem/v3-ActCode|HIV"],
    ]);
    expect(inexact.join()).toContain("without labels");
  });

  it("asks for types and every label below the one named, under every name of the system", () => {
    const root = permit({ data: { types: ["Observation"], labels: [sensitivity("SUD")] } });
    const [search] = toSearchParameters(residualOf(root)).value;
    expect(search!.types).toEqual(["Observation"]);
    const [name, codes] = search!.parameters[0]!;
    expect(name).toBe("_security");
    for (const code of ["SUD", "ETHUD", "OPIOIDUD"]) expect(codes).toContain(`|${code}`);
    expect(codes).toContain("urn:oid:2.16.840.1.113883.5.4|SUD");
  });

  it("bounds dates from both sides, as wide as zones can be apart, and looks for records without", () => {
    const year = { from: "2022-01-01", to: "2022-12-31" };
    const root = permit({ data: { types: ["Observation"], period: year } });
    const { value } = toSearchParameters(residualOf(root));
    // 26 hours before the first moment and after the last, in UTC
    expect(value.map((one) => one.parameters)).toEqual([
      [
        ["date", "ge2021-12-30T22:00:00.000Z"],
        ["date", "le2023-01-02T01:59:59.999Z"],
      ],
      [["date:missing", "true"]],
    ]);
  });

  it.each([
    ["+14:00", { to: "2022-12" }, "2022-12-31", -12],
    ["-12:00", { from: "2022" }, "2022-01-01", 14],
  ])("finds the last and the first day of a period in %s, whatever the server's zone", (...row) => {
    const [zone, period, day, server] = row;
    const root = permit({ data: { types: ["Observation"], period } });
    const record = resourceOf({ period: { from: day, to: day } });
    const residual = residualOf(root, zone);
    expect(matches(residual, record)).toBe(true);
    const held = { record, zone: server, dateElsewhere: false };
    expect(finds(toSearchParameters(residual).value[0]!, held)).toBe(true);
  });

  it("does not search by date where types keep theirs under another name", () => {
    const period = { from: "2022-01-01" };
    for (const data of [{ period }, { period, types: ["Observation", "MedicationRequest"] }]) {
      const { value, inexact } = toSearchParameters(residualOf(permit({ data })));
      expect(value.map((one) => one.parameters)).toEqual([[]]);
      expect(inexact.join()).toContain("exact period");
    }
  });

  it("does not search by codes: a record can have them elsewhere", () => {
    const data = { codes: [{ system: "http://loinc.org", code: "75622-1" }] };
    const { value, inexact } = toSearchParameters(residualOf(permit({ data })));
    expect(value[0]!.parameters).toEqual([]);
    expect(inexact).toEqual(["the codes in a record"]);
  });

  it("names single records exactly, and no identifiers that are no ids", () => {
    const one = (reference: string) =>
      toSearchParameters(
        residualOf(permit({ data: { refs: [{ meaning: "instance", reference }] } })),
      );
    expect(one("Observation/7")).toEqual({
      value: [{ types: ["Observation"], parameters: [["_id", "7"]], inexact: [] }],
      inexact: [],
    });
    expect(one("urn:example|Observation-7").value[0]!.parameters).toEqual([]);
    expect(one("Observation/7,8").value[0]!.parameters).toEqual([]);
  });

  it("escapes what would end a value", () => {
    const codes = [{ system: "urn:x|y", code: "a,b$c\\d|e" }];
    const root = permit({}, { id: "all", rules: [deny({ data: { codes } })] });
    expect(toSearchParameters(residualOf(root)).value[0]!.parameters).toEqual([
      ["code:not", "urn:x\\|y|a\\,b\\$c\\\\d\\|e"],
    ]);
  });

  it("refuses another terminology", () => {
    const other = makeTerminology({ ...HL7_TERMINOLOGY, name: "other" });
    expect(() => toSearchParameters(butHiv, other)).toThrow(ConsentError);
  });
});
