import { afterEach, describe, expect, it, vi } from "vitest";
import { bySlices, giveTurn, SLICE } from "../../src/loop/give-turn.ts";

/** A clock of which each look at it takes a millisecond. */
function slowClock(): void {
  let now = 1e6;
  vi.spyOn(performance, "now").mockImplementation(() => ++now);
}

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Counts steps of work between two turns of the event loop. */
async function stepsBetweenTurns(work: (step: () => void) => Promise<unknown>): Promise<number> {
  let steps = 0;
  let most = 0;
  let isDone = false;
  const turn = (): void => {
    most = Math.max(most, steps);
    steps = 0;
    if (!isDone) setImmediate(turn);
  };
  setImmediate(turn);
  await work(() => void steps++);
  isDone = true;
  return Math.max(most, steps);
}

describe("giveTurn", () => {
  it("lets the loop turn once a slice of time is over, and not before", async () => {
    slowClock();
    const most = await stepsBetweenTurns(async (step) => {
      for (let i = 0; i < 1000; i++) {
        step();
        await giveTurn();
      }
    });
    expect(most).toBeGreaterThan(SLICE / 2);
    expect(most).toBeLessThanOrEqual(SLICE + 1);
  });

  it("counts the work of all callers together, and serves them in order", async () => {
    slowClock();
    const order: number[] = [];
    const most = await stepsBetweenTurns((step) =>
      Promise.all(
        Array.from({ length: 50 }, async (_, caller) => {
          for (let i = 0; i < 20; i++) {
            step();
            order.push(caller);
            await giveTurn();
          }
        }),
      ),
    );
    // all begin before any of them waits
    expect(most).toBeLessThanOrEqual(50 + SLICE);
    const inTurn = Array.from({ length: 50 }, (_, caller) => caller);
    expect(order.slice(50, 100)).toEqual(inTurn);
    expect(order.slice(-50)).toEqual(inTurn);
  });

  it("serves as many of those who wait as a slice holds, not one in each turn of the loop", async () => {
    slowClock();
    let turns = 0;
    let isDone = false;
    const turn = (): void => {
      turns++;
      if (!isDone) setImmediate(turn);
    };
    setImmediate(turn);
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        for (let i = 0; i < 20; i++) await giveTurn();
      }),
    );
    isDone = true;
    // 1000 pauses, of which each takes a look at the clock, or two, of a millisecond
    expect(turns).toBeGreaterThan((1000 / SLICE) * 0.9);
    expect(turns).toBeLessThan((2 * 1000) / SLICE + 10);
  });

  it("goes on under a test's fake timers", async () => {
    await giveTurn();
    vi.useFakeTimers();
    await bySlices(
      (function* () {
        for (let i = 0; i < 100; i++) yield;
      })(),
    );
  });
});

describe("bySlices", () => {
  it("has done the first step when it returns, and hands on what the work gives or throws", async () => {
    let done = 0;
    function* work(fails: boolean): Generator<void, string, void> {
      done++;
      yield;
      done++;
      if (fails) throw new Error("spoilt");
      return "whole";
    }
    const first = bySlices(work(false));
    expect(done).toBeGreaterThan(0);
    await expect(first).resolves.toBe("whole");
    await expect(bySlices(work(true))).rejects.toThrow("spoilt");
    expect(done).toBe(4);
  });
});
