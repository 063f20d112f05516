import { readdirSync } from "node:fs";
import { expect, it } from "vitest";
import { collect, ward } from "../../support/ward.ts";
import { describeVectors, readVector } from "../../support/vectors.ts";

for (const version of ["fhir-r4", "fhir-r5"]) {
  describeVectors(`published examples, ${version}`, version, (folder) => {
    it("are recorded as they are, or it is said why not", { timeout: 120_000 }, async () => {
      const { hl } = await ward();
      const lines = readdirSync(folder)
        .filter((file) => file.endsWith(".json"))
        .map((file) => JSON.stringify(JSON.parse(readVector(version, file))));
      // The patients whom they name are in no example here: each gets a number of its own.
      const named = lines.flatMap((line) => [...line.matchAll(/"Patient\/([A-Za-z0-9.-]+)"/g)]);
      const patients = Array.from(new Set(named.map(([, id]) => id)), (id) => {
        const identifier = [{ system: "urn:oid:1.2.3", value: `number of ${id}` }];
        return JSON.stringify({ resourceType: "Patient", id, identifier });
      });
      await hl.recordNdjson([patients.join("\n")], { source: version });
      const said = await hl.recordNdjson([lines.join("\n")], { source: version });
      expect(said.recorded).toBeGreaterThan(lines.length / 3);
      expect(said.recorded + said.amended + said.known + said.skipped).toBe(lines.length);
      expect(said.problems).toHaveLength(said.skipped);
      expect(said.problems.every(({ why }) => why.length > 10)).toBe(true);
      const someone = await hl.ensureSubject({ system: "urn:oid:1.2.3", value: "whose it is" });
      const listed = await collect(hl.unassigned({ source: version }));
      const unassigned = new Set(listed.map(({ type, id }) => `${type}/${id}`));
      const skipped = new Set(said.problems.map(({ line }) => line - 1));
      for (const [i, line] of lines.entries()) {
        if (skipped.has(i)) continue;
        const { resourceType: type, id } = JSON.parse(line) as { resourceType: string; id: string };
        const resource = { source: version, type, id };
        if (unassigned.has(`${type}/${id}`)) await hl.assign(resource, someone);
        const found = await hl.find(resource);
        const texts = await Promise.all(
          found.map(async ({ id: record }) => new TextDecoder().decode(await hl.read(record))),
        );
        expect(texts).toContain(line);
      }
    });
  });
}
