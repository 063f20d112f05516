import { describe, expect, it } from "vitest";
import { effort } from "../support/effort.ts";
import { custodiansPlanOf } from "./simulation/custodians/plan.ts";
import { playCustodians } from "./simulation/custodians/scene.ts";
import { custodianMutants, networkMutants, type SourceMutant } from "./simulation/mutants.ts";
import { planOf } from "./simulation/plan.ts";
import { play } from "./simulation/scenario.ts";

/** Seeds after the one that is known to notice a mistake. */
const SEEDS = effort("HEALTHLEDGER_MUTANT_SEEDS", { full: 400, short: 100 });

type Played = (seed: number) => Promise<{ readonly problems: readonly string[] }>;

/** Plays the seed that is known to notice a mistake, and then others that may meet it, until one notices. */
async function expectNoticed(
  { name, seed: first, of = {} }: SourceMutant,
  planFor: (seed: number) => object,
  played: Played,
): Promise<void> {
  const isMet = (seed: number): boolean => {
    const plan = planFor(seed) as Readonly<Record<string, unknown>>;
    return Object.entries(of).every(([field, value]) => plan[field] === value);
  };
  const all = Array.from({ length: 10 * SEEDS }, (_, i) => i + 1);
  for (const seed of [first, ...all.filter(isMet).slice(0, SEEDS)]) {
    const { problems } = await played(seed);
    if (problems.length === 0) continue;
    console.log(`${name}: seed ${seed}: ${problems.join("; ")}`);
    return;
  }
  expect.fail("no seed notices");
}

describe("mistakes in the source of the network", () => {
  it.each(networkMutants)("are noticed: $name", async (mutant) => {
    // Which the plugin of mutant-plugin.ts loads anew, with the mistake.
    const address = `./simulation/scenario.ts?mutant=${mutant.name}`;
    const mutated = (await import(/* @vite-ignore */ address)) as { play: typeof play };
    expect(mutated.play).not.toBe(play);
    await expectNoticed(mutant, planOf, mutated.play);
  });
});

describe("mistakes in how custodians ask and answer", () => {
  it.each(custodianMutants)("are noticed: $name", async (mutant) => {
    const address = `./simulation/custodians/scene.ts?mutant=${mutant.name}`;
    const mutated = (await import(/* @vite-ignore */ address)) as {
      playCustodians: typeof playCustodians;
    };
    expect(mutated.playCustodians).not.toBe(playCustodians);
    await expectNoticed(mutant, custodiansPlanOf, mutated.playCustodians);
  });
});
