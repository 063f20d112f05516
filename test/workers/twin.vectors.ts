import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readBundle } from "../../src/fhir/bundle.ts";
import { describeVectors } from "../support/vectors.ts";
import { expectTwin } from "./twin.ts";

describeVectors("synthea's bundles, described by another thread", "synthea", (folder) => {
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));

  it("gives the same manifests, labels and drafts", async () => {
    let resources = 0;
    for (const name of names) {
      const bundle = readBundle(readFileSync(join(folder, name)));
      resources += bundle.resources.length;
      await expectTwin(bundle);
    }
    expect(names.length).toBeGreaterThanOrEqual(10);
    expect(resources).toBeGreaterThan(1000);
  });
});
