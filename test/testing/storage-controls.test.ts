import { describe, expect, it } from "vitest";
import { runKit } from "../../src/testing/kit.ts";
import { ALL_FEATURES } from "../../src/testing/memory-subject.ts";
import { storageControls } from "../../src/testing/storage-controls.ts";
import { storageCases } from "../../src/testing/storage-kit.ts";

describe("storageControls", () => {
  it.each(storageControls)("$name: fails the kit", async ({ make, fails }) => {
    const cases = storageCases.filter(({ name }) => name.includes(fails));
    expect(cases.length).toBeGreaterThan(0);
    const results = await runKit(cases, make, { features: ALL_FEATURES, timeout: 5000 });
    expect(results.map(({ outcome }) => outcome)).toContain("failed");
  });
});

describe("runKit", () => {
  it("skips cases that require what the subject does not offer", async () => {
    const some = storageCases.filter(({ requires = [] }) => requires.length > 0);
    const results = await runKit(some, () => Promise.reject(new Error("no store")), {
      features: [],
    });
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(["skipped"]));
  });

  it("fails a case that does not end", async () => {
    const endless = [{ name: "endless", run: () => new Promise<void>(() => {}) }];
    const [result] = await runKit(endless, undefined, { features: [], timeout: 10 });
    expect(result).toMatchObject({ outcome: "failed" });
  });
});
