import { describe, expect, it } from "vitest";
import { effort } from "../support/effort.ts";
import { play, type Outcome } from "./simulation/scenario.ts";

const SEEDS = effort("HEALTHLEDGER_SEEDS", { full: 1000, short: 200 });

describe("a simulated network of homes, copies, members and witnesses", () => {
  it(`keeps its rules in ${SEEDS} seeds`, async () => {
    const broken: string[] = [];
    const played: Outcome[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const outcome = await play(seed);
      if (outcome.problems.length > 0) broken.push(`${seed}: ${outcome.problems.join("; ")}`);
      played.push(outcome);
    }
    expect(broken).toEqual([]);
    // None of it may be true of nothing.
    const sum = (of: (outcome: Outcome) => number): number =>
      played.reduce((total, outcome) => total + of(outcome), 0);
    expect(sum(({ acknowledged }) => acknowledged)).toBeGreaterThan(4 * SEEDS);
    expect(sum(({ convicted }) => convicted)).toBeGreaterThan(SEEDS / 10);
    expect(sum(({ promised }) => promised)).toBeGreaterThan(SEEDS / 5);
    expect(sum(({ refused }) => refused)).toBeGreaterThan(SEEDS / 25);
    const traces = played.map(({ trace }) => trace.join("\n"));
    for (const what of ["lost", "flipped", "cut", "stalled", "repeated", "swapped", "crashed"]) {
      const often = traces.filter((trace) => trace.includes(` ${what}`)).length;
      expect([what, often > SEEDS / 20]).toEqual([what, true]);
    }
    console.log(
      `${SEEDS} seeds: ${sum(({ blocks }) => blocks)} blocks, ${sum(({ acknowledged }) => acknowledged)} acknowledged, ` +
        `${sum(({ promised }) => promised)} through an outbox, ${sum(({ convicted }) => convicted)} convictions, ${sum(({ trace }) => trace.length)} events`,
    );
  });
});
