import { describe, expect, it } from "vitest";
import { agreeOn } from "./agreement.ts";

describe("evaluate", () => {
  it("agrees with a literal reading of the specification, in every outcome", () => {
    const seeds = 600;
    const { outcomes, depth } = agreeOn(seeds);
    expect(depth).toBe(3);
    for (const outcome of ["permit", "deny", "indeterminate", "not-applicable"] as const) {
      expect(outcomes.get(outcome) ?? 0, outcome).toBeGreaterThanOrEqual(seeds / 14);
    }
  });
});
