/** Work that says by `yield` where it may be interrupted. */
export type Steps<T> = Generator<void, T, void>;

/** Runs steps without a pause. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** Visits between two places where a walk can be interrupted; a millisecond or so. */
const STEP = 2048;

/**
 * A walk through nested values by functions that call one another, which nobody can interrupt. They
 * count their visits, and once a step's worth was made every loop gives up: it puts off what is left
 * of its list and returns. Nothing that comes after a loop may count on it, but by {@link Walk.after}.
 *
 * @example
 * for (let at = start; at < items.length; at++) {
 *   if (walk.left-- <= 0) return walk.later(() => visitAll(items, at));
 *   visit(items[at]);
 * }
 */
export interface Walk {
  /** Visits that are left of the step. */
  left: number;
  /** Puts work off. Inner loops give up before those around them, and go on before them. */
  later(work: () => void): void;
  /** Works when all that the calls before it were to visit has been visited. */
  after(work: () => void): void;
  /** Such a loop, for lists that are not visited often enough to deserve one of their own. */
  each<T>(items: readonly T[], visit: (item: T) => void): void;
  /** Whether anything was put off. */
  isUnfinished(): boolean;
  /** Goes on with what was put off, in the order of the values. */
  finish(): Steps<void>;
}

/** Prepares a walk. One that is shorter than a step costs what plain loops do. */
export function createWalk(): Walk {
  /** What was put off in this step, the innermost first. */
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
      /** The next last. */
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
