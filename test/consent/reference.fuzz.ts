import { describe, expect, it } from "vitest";
import { agreeOn } from "./agreement.ts";

describe("evaluate", () => {
  it("agrees with a literal reading of the specification on 100,000 triples", () => {
    const seeds = Number(process.env["CONSENT_TRIPLES"] ?? 100_000);
    const { outcomes } = agreeOn(seeds, 1_000_000);
    for (const outcome of ["permit", "deny", "indeterminate", "not-applicable"] as const) {
      expect(outcomes.get(outcome) ?? 0, outcome).toBeGreaterThanOrEqual(seeds / 14);
    }
  });
});
