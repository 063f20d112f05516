import { describe, expect, it } from "vitest";
import { compareNames, isComparable, looseCoding } from "../../../src/consent/rules/alike.ts";
import { NO, UNKNOWN, YES } from "../../../src/consent/rules/truth.ts";

const uuid = "urn:uuid:0b9d6d6e-7f2a-4c1e-9a57-3f1f3c1b2a10";

describe("compareNames", () => {
  it.each([
    ["Observation/1", "Observation/1", YES],
    ["Observation/1/_history/3", "Observation/1", YES],
    ["http://a.example/fhir/Observation/1/_history/3", "http://a.example/fhir/Observation/1", YES],
    ["Observation/1", "Observation/2", NO],
    ["Observation/1", "Condition/1", NO],
    ["Observation/k", "Observation/K", UNKNOWN],
    ["http://a.example/fhir/Observation/1", "Observation/1", UNKNOWN],
    ["Observation/1", "http://a.example/fhir/Observation/1", UNKNOWN],
    ["http://a.example/fhir/Observation/1", "http://b.example/fhir/Observation/1", NO],
    ["https://A.example/fhir/Observation/1", "http://a.example/fhir/Observation/1", UNKNOWN],
    ["http://a.example/fhir/Observation/1", "http://a.example/fhir/Observation/2", NO],
    ["1", "Observation/1", UNKNOWN],
    [uuid, "Observation/1", UNKNOWN],
    [uuid, uuid.toUpperCase().replace("URN:UUID", "urn:uuid"), UNKNOWN],
    [uuid, "urn:uuid:0b9d6d6e-7f2a-4c1e-9a57-3f1f3c1b2a11", NO],
    ["urn:oid:1.2|77", "urn:oid:1.2|78", NO],
    ["urn:oid:1.2|77", "urn:oid:1.3|77", UNKNOWN],
    ["did:key:zA", "did:key:zB", NO],
    ["did:key:zA", "Organization/a", UNKNOWN],
    ["dr-x", "dr-y", NO],
    ["dr-x", "Dr-X", UNKNOWN],
    ["dr-x", "Practitioner/x", UNKNOWN],
  ])("of %s and %s", (named, own, match) => {
    expect(compareNames(named, own)).toBe(match);
    expect(compareNames(own, named)).toBe(match);
  });
});

describe("looseCoding", () => {
  it.each([
    ["http://loinc.org", "718-7", "https://LOINC.org/|2.77", "718-7 "],
    ["http://hl7.org/fhir/sid/icd-10-cm", "F10.20", "http://hl7.org/fhir/sid/icd-10-cm", "f1020"],
  ])("takes %s|%s and %s|%s for one", (system, code, other, spelling) => {
    expect(looseCoding({ system, code })).toBe(looseCoding({ system: other, code: spelling }));
  });

  it("tells codes and systems apart", () => {
    const codings = [
      ["http://loinc.org", "718-7"],
      ["http://loinc.org", "718-8"],
      ["http://snomed.info/sct", "718-7"],
    ].map(([system, code]) => looseCoding({ system: system!, code: code! }));
    expect(new Set(codings).size).toBe(3);
  });
});

describe("isComparable", () => {
  it.each([
    ["http://loinc.org", "718-7", true],
    ["urn:oid:2.16.840.1.113883.6.1", "718-7", true],
    ["http://loinc.org|2.77", "718-7", false],
    ["http://hl7.org/fhir/ValueSet/observation-codes", "718-7", false],
    ["loinc", "718-7", false],
    ["http://loinc.org", " 718-7", false],
    ["http://snomed.info/sct", "86406008", true],
    ["http://snomed.info/sct", "64572001:246075003=19030005", false],
  ])("of %s|%s is %s", (system, code, comparable) => {
    expect(isComparable({ system, code })).toBe(comparable);
  });
});
