/** Work that marks with `yield` where it may be interrupted. */
export type Steps<T> = Generator<void, T, void>;

/** Runs steps without a pause. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** Number of visits between two places where a walk can be interrupted; about a millisecond. */
const STEP = 2048;

/**
 * A walk through nested values by mutually recursive functions, which cannot be interrupted by
 * themselves. The functions count their visits. Once a step's worth is used up, every loop defers
 * the rest of its list and returns. So code after a loop must not rely on the loop being finished,
 * except through {@link Walk.after}.
 *
 * ```ts
 * for (let at = start; at < items.length; at++) {
 *   if (walk.left-- <= 0) return walk.later(() => visitAll(items, at));
 *   visit(items[at]);
 * }
 * ```
 */
export interface Walk {
  /** Number of visits left in the step. */
  left: number;
  /** Defers work. Inner loops defer before the loops around them, and resume before them. */
  later(work: () => void): void;
  /** Runs work once everything that earlier calls had to visit has been visited. */
  after(work: () => void): void;
  /**
   * Loops over a list in this way, for lists that are not visited often enough to need a loop of
   * their own.
   */
  each<T>(items: readonly T[], visit: (item: T) => void): void;
  /** Whether any work is deferred. */
  isUnfinished(): boolean;
  /** Runs the deferred work, in the order of the values. */
  finish(): Steps<void>;
}

/** Prepares a walk. A walk shorter than a step costs as much as plain loops. */
export function createWalk(): Walk {
  /** The work deferred in this step, innermost first. */
  const rest: (() => void)[] = [];

  function visitFrom<T>(items: readonly T[], visit: (item: T) => void, start: number): void {
    for (let at = start; at < items.length; at++) {
      if (walk.left-- <= 0) return walk.later(() => visitFrom(items, visit, at));
      visit(items[at]!);
    }
  }

  const walk: Walk = {
    left: STEP,
    later: (work) => void rest.push(work),
    after(work) {
      if (walk.left > 0) work();
      else rest.push(work);
    },
    each: (items, visit) => visitFrom(items, visit, 0),
    isUnfinished: () => rest.length > 0,
    *finish() {
      /** The deferred work, as a stack: the next item is last. */
      const waiting: (() => void)[] = [];
      for (;;) {
        while (rest.length > 0) waiting.push(rest.pop()!);
        const next = waiting.pop();
        if (next === undefined) return;
        if (walk.left <= 0) {
          yield;
          walk.left = STEP;
        }
        next();
      }
    },
  };
  return walk;
}
