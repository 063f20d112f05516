import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { readBundle, readResource } from "../../src/fhir/bundle.ts";
import { describeResource } from "../../src/fhir/describe-resource.ts";
import { describeVectors } from "../support/vectors.ts";

const jsonFiles = (folder: string) => readdirSync(folder).filter((name) => name.endsWith(".json"));

describeVectors("synthea bundles", "synthea", (folder) => {
  it.each(jsonFiles(folder))("reads %s", (name) => {
    const bytes = readFileSync(join(folder, name));
    const parsed = JSON.parse(bytes.toString("utf8"));
    const { type, patients, resources, problems } = readBundle(bytes);
    expect(type).toBe("transaction");
    expect(problems).toEqual([]);
    expect(resources).toHaveLength(parsed.entry.length);
    expect(patients).toHaveLength(1);
    const source = bytes.toString("utf8");
    resources.forEach((read, index) => {
      const text = bytesToUtf8(read.text);
      expect(source.includes(text)).toBe(true);
      expect(read.fullUrl).toBe(parsed.entry[index].fullUrl);
      expect(read.resource).toEqual(parsed.entry[index].resource);
      expect(read.patients).toEqual(
        ["Organization", "Practitioner"].includes(read.resource.resourceType) ? [] : [0],
      );
      const description = describeResource(read.resource);
      expect(description.malformed).toEqual([]);
      const undated = ["Patient", "Organization", "Practitioner", "Goal"];
      if (!undated.includes(description.type)) expect(description.period).toBeDefined();
    });
  });

  it("prefers the medical record number to the social security number", () => {
    for (const name of jsonFiles(folder)) {
      const bytes = readFileSync(join(folder, name));
      const mrn = JSON.parse(bytes.toString("utf8")).entry[0].resource.identifier.find(
        (identifier: { type?: { coding: { code: string }[] } }) =>
          identifier.type?.coding[0]?.code === "MR",
      );
      const { patients } = readBundle(bytes);
      expect(patients[0]!.identifier).toEqual({ system: mrn.system, value: mrn.value });
    }
  });
});

for (const version of ["fhir-r4", "fhir-r5"]) {
  describeVectors(`${version} examples`, version, (folder) => {
    it.each(jsonFiles(folder))("reads and describes %s", (name) => {
      const bytes = readFileSync(join(folder, name));
      const { resource, text } = readResource(bytes);
      expect(bytesToUtf8(text)).toBe(bytes.toString("utf8").trim());
      const description = describeResource(resource);
      expect(description.type).toBe(name.split("-")[0]);
      expect(description.malformed).toEqual([]);
    });

    it("finds the patient of every Consent, Claim and Coverage that names one", () => {
      for (const name of jsonFiles(folder).filter((file) =>
        /^(Consent|Claim|Coverage)-/.test(file),
      )) {
        const resource = readFileSync(join(folder, name), "utf8");
        const parsed = JSON.parse(resource);
        const named = parsed.patient ?? parsed.subject ?? parsed.beneficiary;
        const { patients } = readBundle(
          `{"resourceType":"Bundle","type":"collection","entry":[{"resource":${resource}}]}`,
        );
        // by a literal reference, a contained resource, or an identifier only
        const literal = /^[^#]/.test(named?.reference ?? "") ? named.reference : undefined;
        expect(patients.map(({ reference }) => reference)).toEqual(
          named === undefined ? [] : [literal],
        );
      }
    });
  });
}
