import { EncodingError, InputError, LedgerError, StorageError } from "../errors.ts";
import { AmbiguousAppend, AppendConflict } from "./errors.ts";
import type { StorageAdapter } from "./types.ts";
import { sleep } from "./sleep.ts";

/** A clock and waits, so that whoever simulates decides them. */
export interface Timers {
  /** Clock in ms that never runs backwards. */
  now(): number;
  /** Waits so many ms, or until the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** The platform's. */
export const platformTimers: Timers = { now: () => performance.now(), sleep };

/** Default time for settling the outcome of a write, in milliseconds. */
export const SETTLE_WITHIN = 10_000;

const FIRST_PAUSE = 10;
const LONGEST_PAUSE = 1000;

export interface SettleOptions {
  /** Milliseconds after which no new attempt is made; default {@link SETTLE_WITHIN}. */
  readonly within?: number;
  /** Longest pause between two attempts, in milliseconds; default 1000. */
  readonly longest?: number;
  /** Once aborted, no new attempt is made. */
  readonly signal?: AbortSignal;
  /** Default: the platform's. */
  readonly timers?: Timers | undefined;
}

/** Bounds retries by time, with growing pauses. */
export interface Patience {
  /** Pauses, letting timers and other work run; resolves to `false` at once if no time is left. */
  pause(): Promise<boolean>;
  /** Restarts, with short pauses and the full time. */
  renew(): void;
}

/** Starts the clock. */
export function createPatience({
  within = SETTLE_WITHIN,
  longest = LONGEST_PAUSE,
  signal,
  timers = platformTimers,
}: SettleOptions = {}): Patience {
  const { now, sleep: wait } = timers;
  // Not the wall clock, which may run backwards.
  let end = now() + within;
  let next = Math.min(FIRST_PAUSE, longest);
  return {
    async pause() {
      const left = end - now();
      if (!(left > 0) || signal?.aborted) return false;
      await wait(Math.min(next, left), signal ?? new AbortController().signal);
      next = Math.min(2 * next, longest);
      return signal?.aborted !== true;
    },
    renew() {
      end = now() + within;
      next = Math.min(FIRST_PAUSE, longest);
    },
  };
}

/** Errors of writes that were retried until the time was up. */
const givenUp = /* @__PURE__ */ new WeakSet<object>();

/**
 * Repeats a write until its outcome is known.
 *
 * After an attempt without an answer, the failure of a later one does not tell whether the first
 * wrote; only success or a conflict does. So the write is repeated, with pauses, until one of these
 * comes.
 *
 * @param write - safe to repeat: an append of the same records at the same position, or values
 *   under the same names; its data must not change meanwhile
 * @throws {AmbiguousAppend} when the time is up, the signal aborts or the store is closed before
 *   that
 */
export async function untilSettled<T>(
  write: () => Promise<T>,
  options: SettleOptions = {},
): Promise<T> {
  const { signal } = options;
  let patience: Patience | undefined;
  for (;;) {
    try {
      return await write();
    } catch (error) {
      const code = error instanceof LedgerError ? error.code : undefined;
      if (code === "ERR_STORAGE_CONFLICT" || givenUp.has(error as object)) throw error;
      const isDoubt = code === "ERR_STORAGE_AMBIGUOUS" || !isAnswer(error, signal);
      if (!isDoubt && patience === undefined) throw error;
      patience ??= createPatience(options);
      if (code === "ERR_STORAGE_CLOSED" || !(await patience.pause())) {
        const doubt = code === "ERR_STORAGE_AMBIGUOUS" ? (error as LedgerError) : undefined;
        throw giveUp(doubt ?? new AmbiguousAppend(error));
      }
    }
  }
}

function giveUp(error: LedgerError): LedgerError {
  givenUp.add(error);
  return error;
}

/** Whether an error is an answer: the store certainly wrote nothing. */
function isAnswer(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted === true && error === signal.reason) return true;
  return error instanceof LedgerError || error instanceof TypeError || error instanceof RangeError;
}

/** Wraps a storage so that each of its writes is repeated until its outcome is known. */
export function repeatWrites<S extends StorageAdapter>(storage: S, options: SettleOptions = {}): S {
  const { chains, blobs, state } = storage;
  const settled = <T>(write: () => Promise<T>, signal?: AbortSignal): Promise<T> =>
    untilSettled(write, { ...options, ...(signal === undefined ? {} : { signal }) });
  return {
    ...storage,
    ...(chains && {
      chains: {
        caps: chains.caps,
        head: (chain) => chains.head(chain),
        append: (chain, expected, records, how) =>
          settled(() => chains.append(chain, expected, records, how), how?.signal),
        read: (chain, how) => chains.read(chain, how),
        ...(chains.tail && { tail: (chain, how) => chains.tail!(chain, how) }),
        list: () => chains.list(),
        close: () => chains.close(),
      },
    }),
    ...(blobs && {
      blobs: {
        caps: blobs.caps,
        put: (list) => settled(() => blobs.put(list)),
        get: (cid) => blobs.get(cid),
        getMany: (cids) => blobs.getMany(cids),
        has: (cid) => blobs.has(cid),
        delete: (cids) => settled(() => blobs.delete(cids)),
        list: () => blobs.list(),
        count: () => blobs.count(),
        close: () => blobs.close(),
      },
    }),
    ...(state && {
      state: {
        caps: state.caps,
        get: (key) => state.get(key),
        getMany: (keys) => state.getMany(keys),
        batch: (changes, how) => settled(() => state.batch(changes, how)),
        scan: (range) => state.scan(range),
        close: () => state.close(),
      },
    }),
    ...(storage.commit && {
      commit: (batch, how) => settled(() => storage.commit!(batch, how), how?.signal),
    }),
    ...(storage.compact && { compact: () => storage.compact!() }),
    close: () => storage.close(),
    [Symbol.asyncDispose]: () => storage[Symbol.asyncDispose](),
  } satisfies StorageAdapter as StorageAdapter as S;
}

/**
 * Runs the work that follows an acknowledged write. If it fails, the caller must not be told that
 * nothing was written.
 *
 * @throws {StorageError} `ERR_STORAGE_AMBIGUOUS` instead of an error that would say so
 */
export async function afterWriting<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isDenial(error)) throw error;
    throw new StorageError(
      "ERR_STORAGE_AMBIGUOUS",
      "the write happened, but the call failed before all of its work was done",
      { cause: error },
    );
  }
}

/** Whether the documentation of an error says that the call wrote nothing. */
function isDenial(error: unknown): boolean {
  if (!(error instanceof LedgerError)) return false;
  // A conflict from outside the store says what to do about the recorded data.
  return (
    error instanceof AppendConflict ||
    error instanceof InputError ||
    error instanceof EncodingError ||
    DENIALS.includes(error.code)
  );
}

const DENIALS: readonly string[] = [
  ...["ERR_STORAGE_FAILED", "ERR_STORAGE_CLOSED", "ERR_STORAGE_LIMIT"],
  ...["ERR_CHAIN_REFUSED", "ERR_CHAIN_CLOSED", "ERR_CHAIN_BUSY", "ERR_CHAIN_CLOCK"],
  ...["ERR_CHAIN_READ_ONLY", "ERR_CHAIN_POLICY", "ERR_RECORD_NOT_FOUND", "ERR_RECORD_RETRACTED"],
];
