/**
 * Longest that work goes on before timers, I/O and other work have their turn, in milliseconds. What
 * cannot be divided (a native call on a large value, a step of others) comes on top of it.
 */
export const SLICE = 10;

// As they were at the start: under a test's fake timers work would never go on.
const { setImmediate: immediate, setTimeout: later } = globalThis as {
  readonly setImmediate?: (work: () => void) => unknown;
  readonly setTimeout: (work: () => void, ms: number) => unknown;
};

/** When the slice began that is running. */
let since = -Infinity;
const waiting: (() => void)[] = [];
/** Whether those who wait will be served without being asked for. */
let isResuming = false;
let channel: MessageChannel | undefined;

/**
 * Gives timers, I/O and other work their turn once work that was done without a pause, by all callers
 * together, has taken a slice. Those who wait go on one after the other, in the order in which they came.
 *
 * @returns `undefined` where work may go on at once, which costs a look at the clock
 */
export function giveTurn(): Promise<void> | undefined {
  return waiting.length === 0 && isWithinSlice() ? undefined : nextTurn();
}

/**
 * Runs work that says by `yield` where it may be interrupted; as far as the first such place before
 * this returns.
 */
export async function bySlices<T>(steps: Generator<void, T, void>): Promise<T> {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    const turn = giveTurn();
    if (turn !== undefined) await turn;
  }
}

/** Lets those who wait go on, as many as a slice holds. */
async function resume(): Promise<void> {
  since = performance.now();
  do {
    waiting.shift()!();
    // Whoever goes on does so before this does, as far as his next pause.
    await undefined;
  } while (waiting.length > 0 && isWithinSlice());
  isResuming = false;
  if (waiting.length > 0) resumeInNextTurn();
}

function resumeInNextTurn(): void {
  isResuming = true;
  inNextTurn(resume);
}

function isWithinSlice(): boolean {
  const spent = performance.now() - since;
  // Below nought: somebody set this clock back.
  return spent >= 0 && spent < SLICE;
}

/** Resolves when all who wait already have gone on, in a turn of the loop that has yet to begin if none does. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (!isResuming) resumeInNextTurn();
  });
}

/** Runs `resume` in the next turn of the loop. */
function inNextTurn(work: typeof resume): void {
  if (immediate !== undefined) return void immediate(work);
  // A browser, where timers of 0 ms take four.
  if (typeof MessageChannel === "undefined") return void later(work, 0);
  if (channel === undefined) {
    channel = new MessageChannel();
    channel.port1.addEventListener("message", work);
    channel.port1.start();
  }
  channel.port2.postMessage(undefined);
}
