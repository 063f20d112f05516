import { describe, expect, it } from "vitest";
import { readBundle } from "../../src/fhir/bundle.ts";
import { patientIdentifiers, preferredIdentifier } from "../../src/fhir/identifier.ts";

const A = "http://example.org/fhir";
const B = "http://example.com/fhir";
const NOW = Date.parse("2026-03-01T12:00:00Z");
const SSN = "http://hl7.org/fhir/sid/us-ssn";

const bundle = (...entry: unknown[]) => ({ resourceType: "Bundle", type: "collection", entry });
const patient = (id: string | undefined, ...identifier: unknown[]) => ({
  resourceType: "Patient",
  ...(id !== undefined && { id }),
  ...(identifier.length > 0 && { identifier }),
});
const number = (value: string, more: object = {}) => ({ system: "urn:ids", value, ...more });
const observation = (subject: object | undefined, more: object = {}) => ({
  resourceType: "Observation",
  status: "final",
  ...(subject && { subject }),
  ...more,
});

/** For each resource, the numbers of those that it is about; `?` for who has none. */
function numbers(input: unknown): string[] {
  const { resources, patients } = readBundle(input, { now: NOW });
  return resources.map((one) =>
    one.patients.map((at) => patients[at]!.identifier?.value ?? "?").join("+"),
  );
}

const codes = (input: unknown): string[] =>
  readBundle(input, { now: NOW }).problems.map(({ code, path }) => `${code} ${path}`);

describe("references between servers", () => {
  // as in FHIR's own example Bundle-bundle-references, which says of each how it resolves
  const example = bundle(
    { fullUrl: `${A}/Patient/23`, resource: patient("23", number("1234567")) },
    { fullUrl: "urn:uuid:04121321-4af5-424c-a0e1-ed3aab1c349d", resource: patient(undefined) },
    { fullUrl: `${A}/Observation/123`, resource: observation({ reference: "Patient/23" }) },
    { fullUrl: `${A}/Observation/124`, resource: observation({ reference: `${A}/Patient/23` }) },
    { fullUrl: `${B}/Observation/14`, resource: observation({ reference: "Patient/23" }) },
    { fullUrl: `${B}/Observation/15`, resource: observation({ reference: `${A}/Patient/23` }) },
    {
      fullUrl: "urn:uuid:47600e0f-b6b5-4308-84b5-5dec157f7637",
      resource: observation({ reference: "Patient/23" }),
    },
    {
      fullUrl: `${A}/Observation/16`,
      resource: observation({ reference: "urn:uuid:04121321-4af5-424c-a0e1-ed3aab1c349d" }),
    },
  );

  it("takes a relative reference for the referring entry's server's", () => {
    expect(numbers(example)).toEqual([
      "1234567",
      "?",
      "1234567",
      "1234567",
      "?",
      "1234567",
      "",
      "?",
    ]);
    const { resources, patients } = readBundle(example);
    expect(patients[resources[4]!.patients[0]!]).toEqual({ reference: `${B}/Patient/23` });
    expect(codes(example)).toEqual(["unresolved-patient Bundle.entry[6]"]);
  });

  it("does so for what leads to the patient, too", () => {
    const input = bundle(
      { fullUrl: `${A}/Patient/23`, resource: patient("23", number("1")) },
      {
        fullUrl: `${A}/Encounter/5`,
        resource: { resourceType: "Encounter", subject: { reference: "Patient/23" } },
      },
      {
        fullUrl: `${B}/Observation/1`,
        resource: observation(undefined, { encounter: { reference: "Encounter/5" } }),
      },
      {
        fullUrl: `${A}/Observation/1`,
        resource: observation(undefined, { encounter: { reference: "Encounter/5" } }),
      },
    );
    expect(numbers(input)).toEqual(["1", "1", "", "1"]);
  });

  it("means what is to be created by its id in the bundle, unless it may mean another", () => {
    const created = (of: string) => ({
      resource: patient("23", number(of)),
      request: { method: "POST", url: "Patient" },
    });
    const seen = { resource: observation({ reference: "Patient/23" }) };
    expect(numbers(bundle(created("1"), seen))).toEqual(["1", "1"]);
    expect(numbers(bundle(created("1"), created("2"), seen))).toEqual(["1", "2", ""]);
    const put = { resource: patient("23", number("3")) };
    expect(numbers(bundle(created("1"), put, seen))).toEqual(["1", "3", "3"]);
  });

  it("takes two encounters of one name for two where they lead to two", () => {
    const encounter = (of: string) => ({
      resource: {
        resourceType: "Encounter",
        id: "1",
        subject: { identifier: number(of) },
      },
    });
    const seen = {
      resource: observation(undefined, { encounter: { reference: "Encounter/1" } }),
    };
    expect(numbers(bundle(encounter("1"), encounter("2"), seen))).toEqual(["1", "2", ""]);
    expect(numbers(bundle(encounter("1"), encounter("1"), seen))).toEqual(["1", "1", "1"]);
  });
});

describe("conditional references", () => {
  it.each([
    ["12", "identifier=urn:ids|12"],
    ["12", "identifier=urn%3Aids%7C12"],
    ["12", "active=true&identifier=urn:ids|12"],
    ["1,2", "identifier=urn:ids|1\\,2"],
    ["1,2", "identifier=urn:ids|1%5C%2C2"],
    ["1|2", "identifier=urn:ids|1\\|2"],
    ["1|2", "identifier=urn%3Aids%7C1%5C%7C2"],
    ["1$2", "identifier=urn:ids|1\\$2"],
    ["1\\2", "identifier=urn:ids|1\\\\2"],
    ["a b", "identifier=urn:ids|a%20b"],
    ["a+b", "identifier=urn:ids|a%2Bb"],
  ])("read %s from %s", (value, query) => {
    const here = bundle(
      { fullUrl: `${A}/Patient/1`, resource: patient("1", number(value)) },
      { resource: observation({ reference: `Patient?${query}` }) },
    );
    expect(numbers(here)).toEqual([value, value]);
    expect(readBundle(here).patients).toHaveLength(1);
    const elsewhere = bundle({ resource: observation({ reference: `Patient?${query}` }) });
    expect(readBundle(elsewhere).patients).toEqual([{ identifier: number(value) }]);
  });

  it.each([
    "identifier=urn:ids|12,urn:ids|13",
    "identifier=urn:ids|12,13",
    "identifier=urn:ids|12%2Curn:ids|13",
    "identifier=urn:ids|12&identifier=urn:ids|13",
    "identifier=urn:ids|12&identifier=urn:ids|12",
    "identifier=urn:ids|1|2",
    "identifier=urn:ids|12\\",
    "identifier=urn:ids|1\\2",
    "identifier=urn:ids|1+2",
    "identifier=urn:ids|%",
    "identifier=12",
    "identifier=|12",
    "identifier=urn:ids|",
    "identifier=urn:ids|unknown",
    "identifier:not=urn:ids|12",
    "identifier",
    "name=Smith",
  ])("that name none or several are not resolved: %s", (query) => {
    const input = bundle(
      { fullUrl: `${A}/Patient/1`, resource: patient("1", number("12")) },
      { resource: observation({ reference: `Patient?${query}` }) },
    );
    expect(numbers(input)).toEqual(["12", ""]);
    expect(codes(input)).toEqual(["unresolved-patient Bundle.entry[1]"]);
  });

  it("by an expired number are not resolved: it may be another's by now", () => {
    const input = bundle(
      {
        fullUrl: `${A}/Patient/1`,
        resource: patient("1", number("12", { period: { end: "2001" } }), number("13")),
      },
      { resource: observation({ reference: "Patient?identifier=urn:ids|12" }) },
      { resource: observation({ identifier: { system: "urn:ids", value: "12" } }) },
    );
    expect(numbers(input)).toEqual(["13", "", ""]);
  });
});

describe("who a patient is", () => {
  it.each([
    "999-99-9999",
    "000-00-0000",
    "00000",
    "0",
    "unknown",
    "UNK",
    "N/A",
    "n.a.",
    "XXX-XX-XXXX",
  ])("is not told by %s", (value) => {
    const one = patient("1", { system: SSN, value });
    expect(preferredIdentifier(one)).toBeUndefined();
    expect(patientIdentifiers(one)).toEqual([]);
    const input = bundle(
      { fullUrl: `${A}/Patient/1`, resource: one },
      { resource: observation({ identifier: { system: SSN, value } }) },
      { fullUrl: `${A}/Observation/1`, resource: observation({ reference: "Patient/1" }) },
    );
    expect(numbers(input)).toEqual(["?", "", "?"]);
  });

  it.each(["999-11-2222", "1", "10000", "99", "MRN-0012345", "NA12", "7777", "0x1"])(
    "may be told by %s",
    (value) => expect(preferredIdentifier(patient("1", number(value)))?.value).toBe(value),
  );

  it.each([
    [{ period: { end: "2001-01-01" } }, false],
    [{ period: { end: "2026-03-01T11:59:59Z" } }, false],
    [{ period: { end: "2026-03-01T12:00:01Z" } }, true],
    [{ period: { end: "2026-03-01" } }, true],
    [{ period: { start: "2030" } }, false],
    [{ period: { start: "2001" } }, true],
    [{ period: { start: "2001", end: "2030" } }, true],
    [{ period: { end: "1.1.2001" } }, false],
    [{ period: { end: null } }, false],
    [{ period: { _end: { extension: [] } } }, false],
    [{ period: {} }, false],
    [{ period: null }, false],
    [{ use: "old" }, false],
  ])("is told by an identifier of %j: %s", (more, isTold) => {
    const all = patient("1", number("first", more), number("second"));
    expect(preferredIdentifier(all, { now: NOW })?.value).toBe(isTold ? "first" : "second");
    expect(numbers(bundle({ resource: all }))).toEqual([isTold ? "first" : "second"]);
  });

  it("is not told by an identifier that has an end, where nobody says what time it is", () => {
    const all = patient("1", number("first", { period: { end: "2030" } }), number("second"));
    expect(preferredIdentifier(all)?.value).toBe("second");
    const started = patient("1", number("first", { period: { start: "2001" } }));
    expect(preferredIdentifier(started)?.value).toBe("first");
  });

  it("is two, where two of one name share no number", () => {
    const input = bundle(
      { resource: patient("1", number("1")) },
      { resource: patient("1", number("2")) },
      { resource: observation({ reference: "Patient/1" }) },
    );
    expect(numbers(input)).toEqual(["1", "2", ""]);
    expect(codes(input)).toEqual([
      "duplicate Bundle.entry[1]",
      "same-name Bundle.entry[1]",
      "unresolved-patient Bundle.entry[2]",
    ]);
    const versions = bundle(
      { resource: patient("1", number("1")) },
      { resource: patient("1", number("9", { use: "old" }), number("1")) },
      { resource: observation({ reference: "Patient/1" }) },
    );
    expect(numbers(versions)).toEqual(["1", "1", "1"]);
    const nobody = bundle({ resource: patient("1") }, { resource: patient("1", number("2")) });
    expect(numbers(nobody)).toEqual(["?", "2"]);
  });

  it("is not told by a number that two bear whose other numbers differ", () => {
    const other = (value: string) => ({ system: "urn:other", value });
    const two = (...more: object[]) =>
      bundle(
        { fullUrl: `${A}/Patient/1`, resource: patient("1", number("1"), other("x")) },
        { fullUrl: `${B}/Patient/1`, resource: patient("1", number("1"), ...more) },
        { fullUrl: `${A}/Observation/1`, resource: observation({ reference: "Patient/1" }) },
      );
    expect(numbers(two(other("y")))).toEqual(["?", "?", "?"]);
    expect(codes(two(other("y")))).toEqual(["same-identifier Bundle.entry[1]"]);
    expect(numbers(two(other("y"), other("x")))).toEqual(["1", "1", "1"]);
    expect(numbers(two({ system: "urn:third", value: "y" }))).toEqual(["1", "1", "1"]);
    expect(numbers(two())).toEqual(["1", "1", "1"]);
  });

  it("is one in all versions at one address, with or without a number", () => {
    const input = bundle(
      { fullUrl: `${A}/Patient/1`, resource: patient("1") },
      { fullUrl: `${A}/Patient/1`, resource: patient("1", number("2")) },
      { fullUrl: `${A}/Observation/1`, resource: observation({ reference: "Patient/1" }) },
    );
    expect(numbers(input)).toEqual(["2", "2", "2"]);
  });

  it("is in doubt where a reference gives another number than the patient has", () => {
    const input = bundle(
      { fullUrl: `${A}/Patient/1`, resource: patient("1", number("1")) },
      {
        fullUrl: `${A}/Observation/1`,
        resource: observation({ reference: "Patient/1", identifier: number("2") }),
      },
      {
        fullUrl: `${A}/Observation/2`,
        resource: observation({ reference: "Patient/1", identifier: number("1") }),
      },
      {
        fullUrl: `${A}/Observation/3`,
        resource: observation({ reference: "Patient/1", identifier: { system: SSN, value: "1" } }),
      },
      {
        fullUrl: `${A}/Observation/4`,
        resource: observation(
          { reference: "#p", identifier: number("2") },
          { contained: [patient("p", number("1"))] },
        ),
      },
    );
    expect(numbers(input)).toEqual(["1", "", "1", "1", ""]);
  });

  it("is in doubt where two references of one name give two numbers", () => {
    const of = (value?: string) => ({
      fullUrl: `${B}/Observation/${value}`,
      resource: observation({
        reference: "Patient/7",
        ...(value !== undefined && { identifier: number(value) }),
      }),
    });
    expect(numbers(bundle(of(), of("1"), of("2")))).toEqual(["1", "1", ""]);
  });

  it.each([
    { display: "the baby" },
    { identifier: { value: "2" } },
    { identifier: { system: "urn:ids" } },
    { reference: "#p" },
    { type: "Patient", reference: "#p" },
    { reference: "Practitioner/9" },
    { reference: `${B}/RelatedPerson/9` },
    { type: "Practitioner", identifier: number("1") },
    {},
  ])("is not told by an encounter where the subject is named in other ways: %j", (subject) => {
    const encounter = {
      fullUrl: `${A}/Encounter/1`,
      resource: { resourceType: "Encounter", subject: { identifier: number("1") } },
    };
    const seen = (of: object | undefined) => ({
      fullUrl: `${A}/Observation/1`,
      resource: observation(of, { encounter: { reference: "Encounter/1" } }),
    });
    expect(numbers(bundle(encounter, seen(undefined)))).toEqual(["1", "1"]);
    expect(numbers(bundle(encounter, seen(subject)))).toEqual(["1", ""]);
    expect(codes(bundle(encounter, seen(subject)))).toEqual(["unresolved-patient Bundle.entry[1]"]);
  });

  it("is in doubt with others who are named by words only", () => {
    const one = { reference: `${A}/Patient/1`, identifier: number("1") };
    const members = (...all: object[]) => ({
      resource: { resourceType: "Group", member: all.map((entity) => ({ entity })) },
    });
    const linked = (...all: object[]) => ({
      resource: { resourceType: "Person", link: all.map((target) => ({ target })) },
    });
    for (const of of [members, linked]) {
      expect(numbers(bundle(of(one)))).toEqual(["1"]);
      expect(numbers(bundle(of(one, { display: "Bob" })))).toEqual([""]);
    }
    const contained = [patient("p", number("1")), patient("p", number("2"))];
    expect(numbers(bundle({ resource: observation({ reference: "#p" }, { contained }) }))).toEqual([
      "",
    ]);
  });

  it("is several, where elements name several", () => {
    const input = bundle(
      { fullUrl: `${A}/Patient/1`, resource: patient("1", number("1")) },
      { fullUrl: `${A}/Patient/2`, resource: patient("2", number("2")) },
      {
        fullUrl: `${A}/Flag/1`,
        resource: {
          resourceType: "Flag",
          subject: { reference: "Patient/1" },
          patient: { reference: "Patient/2" },
        },
      },
      {
        fullUrl: `${A}/Encounter/1`,
        resource: { resourceType: "Encounter", subject: { reference: "Patient/2" } },
      },
      {
        fullUrl: `${A}/Observation/1`,
        resource: observation(
          { reference: "Patient/1" },
          { encounter: { reference: "Encounter/1" } },
        ),
      },
    );
    expect(numbers(input)).toEqual(["1", "2", "1+2", "2", "1"]);
    expect(codes(input)).toEqual([
      "several-patients Bundle.entry[2]",
      "other-patient Bundle.entry[4]",
    ]);
  });

  it("is the patient to whom blood is dispensed, as R5 defines the element", () => {
    const dispense = {
      resourceType: "BiologicallyDerivedProductDispense",
      product: { reference: "BiologicallyDerivedProduct/1" },
      patient: { reference: `${A}/Patient/1` },
    };
    const input = bundle(
      { fullUrl: `${A}/Patient/1`, resource: patient("1", number("1")) },
      { resource: dispense },
    );
    expect(numbers(input)).toEqual(["1", "1"]);
  });

  it("is remarked where the patient is linked to another record", () => {
    const link = [{ other: { reference: "Patient/2" }, type: "replaced-by" }];
    const input = bundle({ resource: { ...patient("1", number("1")), link } });
    expect(codes(input)).toEqual(["linked-patient Bundle.entry[0]"]);
  });

  it("is not one whose number is the same only when written in one piece", () => {
    for (const [type, system, value] of [
      ["Patient", "urn:ids1", "2 3"],
      ["Patient", "urn:id", "s12 3"],
      ["Patient7", "urn:ids", "12 3"],
      ["Patien", "turn:ids", "12 3"],
    ]) {
      const subject = { type, identifier: { system, value } };
      const input = bundle(
        { resource: patient("1", { system: "urn:ids", value: "12 3" }) },
        { resource: { resourceType: "Observation", subject } },
      );
      expect(numbers(input)[1]).not.toBe("12 3");
    }
  });

  it("is not in doubt for a practitioner who is", () => {
    const actor = (reference: string) => ({ actor: { reference } });
    const appointment = {
      resourceType: "Appointment",
      participant: [actor(`${A}/Patient/1`), actor("Practitioner?identifier=urn:npi|1,2")],
    };
    const input = bundle(
      { fullUrl: `${A}/Patient/1`, resource: patient("1", number("1")) },
      { resource: appointment },
    );
    expect(numbers(input)).toEqual(["1", "1"]);
  });
});
