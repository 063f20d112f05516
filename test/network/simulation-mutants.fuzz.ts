import { describe, expect, it } from "vitest";
import { effort } from "../support/effort.ts";
import { networkMutants } from "./simulation/mutants.ts";
import { planOf, type Plan } from "./simulation/plan.ts";
import { play } from "./simulation/scenario.ts";

/** Seeds after the one that is known to notice a mistake. */
const SEEDS = effort("HEALTHLEDGER_MUTANT_SEEDS", { full: 400, short: 100 });

describe("mistakes in the source of the network", () => {
  it.each(networkMutants)("are noticed: $name", async ({ name, seed: first, of = {} }) => {
    // Which the plugin of mutant-plugin.ts loads anew, with the mistake.
    const address = `./simulation/scenario.ts?mutant=${name}`;
    const mutated = (await import(/* @vite-ignore */ address)) as { play: typeof play };
    expect(mutated.play).not.toBe(play);
    const isMet = (seed: number): boolean => {
      const plan: Plan = planOf(seed);
      return Object.entries(of).every(([field, value]) => plan[field as keyof Plan] === value);
    };
    const all = Array.from({ length: 10 * SEEDS }, (_, i) => i + 1);
    for (const seed of [first, ...all.filter(isMet).slice(0, SEEDS)]) {
      const { problems } = await mutated.play(seed);
      if (problems.length === 0) continue;
      console.log(`${name}: seed ${seed}: ${problems.join("; ")}`);
      return;
    }
    expect.fail("no seed notices");
  });
});
