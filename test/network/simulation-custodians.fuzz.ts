import { describe, expect, it } from "vitest";
import { effort } from "../support/effort.ts";
import { playCustodians } from "./simulation/custodians/scene.ts";

const SEEDS = effort("HEALTHLEDGER_CUSTODIAN_SEEDS", { full: 1000, short: 160 });

describe("a simulated network of custodians that ask one another and deliver", () => {
  it(`keeps its rules in ${SEEDS} seeds`, async () => {
    // Loaded by the plugin of mutant-plugin.ts, so that each record has a page of its own.
    const address = "./simulation/custodians/scene.ts?mutant=small-pages";
    const small = (await import(/* @vite-ignore */ address)) as {
      playCustodians: typeof playCustodians;
    };
    expect(small.playCustodians).not.toBe(playCustodians);
    const broken: string[] = [];
    const sums = new Map<string, number>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { problems, counts } = await (seed % 2 === 0
        ? small.playCustodians(seed)
        : playCustodians(seed));
      if (problems.length > 0) broken.push(`${seed}: ${problems.join("; ")}`);
      for (const [what, count] of Object.entries(counts)) {
        sums.set(what, (sums.get(what) ?? 0) + count);
      }
    }
    expect(broken).toEqual([]);
    // None of it may be true of nothing.
    const least = {
      asks: 2,
      released: 1,
      again: 0.5,
      withdrawn: 0.25,
      stale: 0.1,
      delivered: 1,
      held: 0.2,
    };
    for (const [what, each] of Object.entries(least)) {
      expect([what, sums.get(what)! > each * SEEDS]).toEqual([what, true]);
    }
    const told = [...sums].map(([what, count]) => `${count} ${what}`).join(", ");
    console.log(`${SEEDS} seeds: ${told}`);
  });
});
