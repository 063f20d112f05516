/**
 * Longest time in milliseconds that work runs before timers, I/O and other work get their turn.
 * Indivisible work (a native call on a large value, a step of another caller) adds to it.
 */
export const SLICE = 10;

// Captured at load time: under a test's fake timers, work would never resume.
const { setImmediate: immediate, setTimeout: later } = globalThis as {
  readonly setImmediate?: (work: () => void) => unknown;
  readonly setTimeout: (work: () => void, ms: number) => unknown;
};

/** Start of the running slice. */
let since = -Infinity;
const waiting: (() => void)[] = [];
/** Whether a resumption of the waiting callers is already scheduled. */
let isResuming = false;
let channel: MessageChannel | undefined;

/** How many hold the turns. */
let holders = 0;

/**
 * Lets work go on without a pause, however long it takes, until that is taken back: whoever simulates must
 * not have the order of things depend on how fast the machine is.
 */
export function holdTurns(): () => void {
  holders++;
  return () => void holders--;
}

/**
 * Gives timers, I/O and other work their turn once all callers together have worked for a slice
 * without a pause. Waiting callers resume one by one, in the order in which they came.
 *
 * @returns `undefined` if work may continue at once, which costs one reading of the clock
 */
export function giveTurn(): Promise<void> | undefined {
  if (holders > 0) return undefined;
  return waiting.length === 0 && isWithinSlice() ? undefined : nextTurn();
}

/**
 * Runs work that marks with `yield` where it may be interrupted. The part before the first `yield`
 * runs before this function returns.
 */
export async function bySlices<T>(steps: Generator<void, T, void>): Promise<T> {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    const turn = giveTurn();
    if (turn !== undefined) await turn;
  }
}

/** Resumes as many waiting callers as fit in a slice. */
async function resume(): Promise<void> {
  since = performance.now();
  do {
    waiting.shift()!();
    // The resumed caller runs up to its next pause before this function continues.
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
  // Negative: the clock was set back.
  return spent >= 0 && spent < SLICE;
}

/**
 * Resolves once all callers that already wait have resumed; if none waits, in the next turn of the
 * event loop.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (!isResuming) resumeInNextTurn();
  });
}

/** Whether callers wait for their turn: for tests, which must know when nothing goes on by itself. */
export const areTurnsAwaited = (): boolean => waiting.length > 0;

/** Runs `resume` in the next turn of the event loop. */
function inNextTurn(work: typeof resume): void {
  if (immediate !== undefined) return void immediate(work);
  // In a browser, where 0 ms timers take 4 ms.
  if (typeof MessageChannel === "undefined") return void later(work, 0);
  if (channel === undefined) {
    channel = new MessageChannel();
    channel.port1.addEventListener("message", work);
    channel.port1.start();
  }
  channel.port2.postMessage(undefined);
}
