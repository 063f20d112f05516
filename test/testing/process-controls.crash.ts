import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { runKit } from "../../src/testing/kit.ts";
import { ALL_FEATURES } from "../../src/testing/memory-subject.ts";
import { logSubjects, processControls } from "../../src/testing/process-controls.ts";
import { fileCases } from "../../src/testing/storage-files.ts";
import { storageCases } from "../../src/testing/storage-kit.ts";
import { processCases } from "../../src/testing/storage-processes.ts";
import { staged } from "../support/host-features.ts";

const script = fileURLToPath(new URL("./log-child.ts", import.meta.url));
const execArgv = ["--conditions=healthledger-source", "--import", "tsx"];
const cases = [...(await staged(processCases({ rounds: 8 }))), ...fileCases];

describe("logStorage without a flaw", () => {
  it.each([...storageCases, ...cases])("$name", ({ run }) =>
    run(logSubjects(script, {}, execArgv)),
  );
});

describe("processControls", () => {
  const controls = processControls(script, execArgv);
  const possible = controls.filter(({ fails }) => cases.some(({ name }) => name.includes(fails)));
  it.each(possible)("$name: fails the kit", async ({ make, fails }) => {
    const own = cases.filter(({ name }) => name.includes(fails));
    const features = [...ALL_FEATURES, "kill", "processes", "small", "traced"] as const;
    const results = await runKit(own, make, { features, timeout: 120_000 });
    expect(results.map(({ outcome }) => outcome)).toContain("failed");
    for (const result of results) {
      if (result.outcome === "failed") expect(String(result.error)).toMatch(/KitFailure/);
    }
  });
});
