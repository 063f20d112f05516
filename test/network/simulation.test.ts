import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { sourceChanges } from "./simulation/mutants.ts";
import { playCustodians } from "./simulation/custodians/scene.ts";
import { play } from "./simulation/scenario.ts";

// A few of the seeds of simulation.fuzz.ts: of each kind, one with a member elsewhere, and one that found a mistake.
const SEEDS = [1, 15, 21, 58];
// And a few of simulation-custodians.fuzz.ts: one where a member is removed, one with a proxy, a witness and a forger.
const CUSTODIANS = [787, 43];

describe("a simulated network", () => {
  it("keeps its rules, and gives the same trace for the same seed", async () => {
    const first = [];
    for (const seed of SEEDS) first.push(await play(seed));
    expect(first.map(({ problems }) => problems)).toEqual(SEEDS.map(() => []));
    expect(new Set(first.map(({ plan: { kind } }) => kind)).size).toBeGreaterThan(1);
    const again = await Promise.all(SEEDS.slice(0, 3).map(play));
    expect(again.map(({ hash }) => hash)).toEqual(first.slice(0, 3).map(({ hash }) => hash));
  });
});

describe("a simulated network of custodians", () => {
  it("keeps its rules, and gives the same trace for the same seed", async () => {
    const first = [];
    for (const seed of CUSTODIANS) first.push(await playCustodians(seed));
    expect(first.map(({ problems }) => problems)).toEqual(CUSTODIANS.map(() => []));
    const again = await playCustodians(CUSTODIANS[0]!);
    expect(again.hash).toBe(first[0]!.hash);
  });
});

describe("a mistake of simulation/mutants.ts", () => {
  it.each(sourceChanges)("can be put into the source as it is: $name", ({ patches }) => {
    for (const { file, find } of patches) {
      const text = readFileSync(resolve(import.meta.dirname, "../../src", file), "utf8");
      expect(text.split(find)).toHaveLength(2);
    }
  });
});
