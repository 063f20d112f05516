import { describe, expect, it } from "vitest";
import { editDistance, nearestName } from "../../src/bytes/nearest.ts";

describe("editDistance", () => {
  // Counted by hand.
  it.each([
    ["HVI", "HIV", 1],
    ["kitten", "sitting", 3],
    ["", "abc", 3],
    ["ca", "abc", 3],
    ["Policy", "policies", 3],
    ["restricted", "R", 9],
    ["acess", "access", 1],
  ])("%s and %s: %i", (one, other, steps) => {
    expect(editDistance(one, other)).toBe(steps);
    expect(editDistance(other, one)).toBe(steps);
  });
});

describe("nearestName", () => {
  it("gives the first of the closest, and nothing of nothing", () => {
    expect(nearestName("tream", ["team", "treat", "cream"])).toEqual({ name: "team", distance: 1 });
    expect(nearestName("x", [])).toBeUndefined();
  });
});
