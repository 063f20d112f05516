import { isWorkBeside } from "../crypto/beside.ts";
import { areTurnsAwaited } from "../loop/give-turn.ts";

/** A clock that stands still while anything goes on, and then jumps to what comes next. */
export interface SimulationClock {
  /** Milliseconds since the start. */
  readonly now: number;
  /**
   * Notes what happens later. What is due at one moment happens in the order of `by`, then of the calls.
   *
   * @returns takes it back
   */
  at(time: number, by: string, happen: () => void): () => void;
  /** Counts work that ends by itself: the clock stands still until it has. */
  working<T>(work: Promise<T>): Promise<T>;
  /** Lets happen what comes next, if it is due by then; `false` if nothing is. */
  step(until: number): Promise<boolean>;
  /** Resolves once nothing goes on by itself. */
  settle(): Promise<void>;
}

interface Coming {
  readonly time: number;
  readonly by: string;
  readonly turn: number;
  happen(): void;
}

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    if (typeof setImmediate === "function") setImmediate(resolve);
    else setTimeout(resolve, 0);
  });

/** Turns of the event loop without work, after which there is none. */
const QUIET = 3;

/** @param settled - called each time once nothing goes on by itself */
export function simulationClock(settled: () => void): SimulationClock {
  const coming = new Set<Coming>();
  let now = 0;
  let turns = 0;
  let working = 0;

  async function settle(): Promise<void> {
    for (let quiet = 0; quiet < QUIET;) {
      await turn();
      quiet = working > 0 || isWorkBeside() || areTurnsAwaited() ? 0 : quiet + 1;
    }
    settled();
  }

  function nextBy(until: number): Coming | undefined {
    let first: Coming | undefined;
    for (const one of coming) {
      if (one.time <= until && (first === undefined || isBefore(one, first))) first = one;
    }
    return first;
  }

  return {
    get now() {
      return now;
    },
    at(time, by, happen) {
      // Whole milliseconds: a clock since 1970 has no others.
      const one = { time: Math.max(now, Math.ceil(time)), by, turn: turns++, happen };
      coming.add(one);
      return () => void coming.delete(one);
    },
    working(work) {
      working++;
      const ended = (): void => void working--;
      work.then(ended, ended);
      return work;
    },
    async step(until) {
      const next = nextBy(until);
      if (next === undefined) {
        now = Math.max(now, until);
        return false;
      }
      coming.delete(next);
      now = next.time;
      next.happen();
      await settle();
      return true;
    },
    settle,
  };
}

function isBefore(one: Coming, other: Coming): boolean {
  if (one.time !== other.time) return one.time < other.time;
  return one.by === other.by ? one.turn < other.turn : one.by < other.by;
}
