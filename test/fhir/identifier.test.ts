import { describe, expect, it } from "vitest";
import { patientIdentifiers, preferredIdentifier } from "../../src/fhir/identifier.ts";

const type = (code: string) => ({
  coding: [{ system: "http://terminology.hl7.org/CodeSystem/v2-0203", code }],
});
const patient = (...identifier: unknown[]) => ({ resourceType: "Patient", identifier });

describe("preferredIdentifier", () => {
  it("prefers a medical record number", () => {
    const chosen = preferredIdentifier(
      patient(
        { system: "http://hl7.org/fhir/sid/us-ssn", value: "999-11-2222", type: type("SS") },
        { system: "urn:x:other", value: "7", use: "official" },
        { system: "urn:oid:1.2.3", value: "MRN-1", type: type("MR") },
      ),
    );
    expect(chosen).toEqual({ system: "urn:oid:1.2.3", value: "MRN-1" });
  });

  it("prefers the caller's systems to that", () => {
    const chosen = preferredIdentifier(
      patient(
        { system: "urn:oid:1.2.3", value: "MRN-1", type: type("MR") },
        { system: "urn:nhs", value: "943 476 5919" },
      ),
      { systems: ["urn:absent", "urn:nhs"] },
    );
    expect(chosen).toEqual({ system: "urn:nhs", value: "943 476 5919" });
  });

  it("takes civil registries last", () => {
    const chosen = preferredIdentifier(
      patient(
        { system: "urn:dl", value: "D1", type: type("DL"), use: "official" },
        { system: "urn:local", value: "L1", use: "secondary" },
      ),
    );
    expect(chosen).toEqual({ system: "urn:local", value: "L1" });
  });

  it("knows the type by its code system, not by its code", () => {
    const chosen = preferredIdentifier(
      patient(
        { system: "urn:a", value: "1", use: "official" },
        { system: "urn:b", value: "2", type: { coding: [{ system: "urn:mine", code: "MR" }] } },
      ),
    );
    expect(chosen).toEqual({ system: "urn:a", value: "1" });
  });

  it("leaves out old, empty and incomplete identifiers", () => {
    const all = patient(
      { system: "urn:a", value: "1", use: "old" },
      { system: "urn:a" },
      { value: "3" },
      { system: "", value: "4" },
      null,
      "5",
    );
    expect(patientIdentifiers(all)).toEqual([]);
    expect(preferredIdentifier(all)).toBeUndefined();
    expect(preferredIdentifier({ resourceType: "Patient" })).toBeUndefined();
  });
});
