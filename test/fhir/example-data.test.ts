import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { readBundle } from "../../src/fhir/bundle.ts";
import { describeResource } from "../../src/fhir/describe-resource.ts";

const NOBODY = ["Organization", "Practitioner", "Location"];

describe("the example patients", () => {
  it.each([
    ["ostrowe", "HL-0048213", '"value": 7.10,'],
    ["vandermoor", "HL-0059377", '"value": 1.84e6,'],
  ])("%s reads without a problem", (name, value, digits) => {
    const path = new URL(`../../examples/data/${name}.json`, import.meta.url);
    const { type, patients, resources, problems } = readBundle(readFileSync(path));
    expect({ type, problems }).toEqual({ type: "transaction", problems: [] });
    expect(patients.map(({ identifier }) => identifier)).toEqual([
      { system: "urn:oid:2.16.840.1.113883.19.5", value },
    ]);
    expect(resources.some(({ text }) => bytesToUtf8(text).includes(digits))).toBe(true);
    for (const { resource, patients: about } of resources) {
      const { period, uncoded, malformed } = describeResource(resource);
      const nobody = NOBODY.includes(resource.resourceType);
      expect(about).toEqual(nobody ? [] : [0]);
      expect(malformed).toEqual([]);
      if (nobody || resource.resourceType === "Patient") continue;
      // When an allergy was written down says nothing of when it is so.
      const undated = resource.resourceType === "AllergyIntolerance" && !resource["onsetDateTime"];
      expect(period === undefined).toBe(undated);
      expect(uncoded).toBe(false);
    }
  });
});
