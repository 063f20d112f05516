import { AmbiguousAppend, AppendConflict } from "../errors.ts";
import { closedError } from "../guards.ts";
import type { Compaction } from "../types.ts";
import {
  failure,
  isBusy,
  pragma,
  prepare,
  resultCode,
  type Row,
  type SqliteDatabase,
} from "./client.ts";
import { rollBack } from "./schema.ts";

/** Runs all work on one connection. No transaction is open across an `await`. */
export interface Engine {
  /** Runs a read-only function; a single statement in it sees one moment. */
  read<T>(action: () => T): Promise<T>;
  /** Runs a read-only function, all of which sees one moment. */
  readTogether<T>(action: () => T): Promise<T>;
  /**
   * Runs a function in a write transaction. Calls in the same turn of the event loop share one
   * transaction and one sync, so the function may throw `AppendConflict` only before its first
   * write. Resolves when durable.
   */
  write(action: () => void, signal: AbortSignal | undefined): Promise<void>;
  compact(): Promise<Compaction>;
  close(): Promise<void>;
}

interface Job {
  readonly action: () => void;
  readonly signal: AbortSignal | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A refusal is reported only when the state that it refers to is durable. */
type Outcome = "written" | { readonly refusal: unknown };

/** Most calls that share a transaction, so that others get their turn. */
const MOST_TOGETHER = 256;
/** Longest pause between two attempts while another process is in the way, in milliseconds. */
const LONGEST_PAUSE = 50;

/**
 * Retries a function while another connection is in its way.
 *
 * @param patience - milliseconds after which the error of the last attempt is thrown
 */
export async function patiently<T>(patience: number, action: () => T): Promise<T> {
  const deadline = Date.now() + patience;
  for (let pause = 1; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      return action();
    } catch (error) {
      if (!isBusy(error) || Date.now() >= deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/**
 * Makes the engine of a prepared connection.
 *
 * @param patience - milliseconds for which a call is retried while another process is writing
 */
export function createEngine(database: SqliteDatabase, patience: number): Engine {
  const begin = prepare(database, "BEGIN");
  const beginWrite = prepare(database, "BEGIN IMMEDIATE");
  const commit = prepare(database, "COMMIT");
  let closing: Promise<void> | undefined;
  const queue: Job[] = [];
  let draining: Promise<void> | undefined;
  const busy = new Set<Promise<unknown>>();

  function assertOpen(): void {
    if (closing) throw closedError();
  }

  /** Lets `close` wait for a call. */
  async function track<T>(call: Promise<T>): Promise<T> {
    busy.add(call);
    try {
      return await call;
    } finally {
      busy.delete(call);
    }
  }

  async function read<T>(action: () => T): Promise<T> {
    assertOpen();
    try {
      return action();
    } catch (error) {
      if (!isBusy(error)) throw failure(error, "the database cannot be read");
    }
    return track(patiently(patience, action)).catch((error: unknown) => {
      throw failure(error, "the database cannot be read");
    });
  }

  function together<T>(action: () => T): T {
    begin.run();
    try {
      return action();
    } finally {
      rollBack(database);
    }
  }

  function write(action: () => void, signal: AbortSignal | undefined): Promise<void> {
    assertOpen();
    return new Promise((resolve, reject) => {
      queue.push({ action, signal, resolve, reject });
      draining ??= drain();
    });
  }

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      // By then every call of this turn has arrived.
      await new Promise((resolve) => setImmediate(resolve));
      await transact(queue.splice(0, MOST_TOGETHER));
    }
    draining = undefined;
  }

  /** Runs jobs in one transaction, and then settles each. */
  async function transact(jobs: readonly Job[]): Promise<void> {
    try {
      const outcomes = await patiently(patience, () => attempt(jobs));
      jobs.forEach(({ resolve, reject }, i) => {
        const outcome = outcomes[i]!;
        if (outcome === "written") resolve();
        else reject(outcome.refusal);
      });
    } catch (error) {
      if (jobs.length > 1 && !(error instanceof AmbiguousAppend)) {
        // Retry each job in its own transaction, so that one bad job does not fail the rest.
        for (const job of jobs) await transact([job]);
      } else {
        const reason = failure(error, "the write failed; nothing was written");
        for (const { reject } of jobs) reject(reason);
      }
    }
  }

  /**
   * One attempt at a transaction, from begin to commit.
   *
   * @returns the outcome of each job
   * @throws when nothing was written, or when that is unknown
   */
  function attempt(jobs: readonly Job[]): readonly Outcome[] {
    beginWrite.run();
    let outcomes: Outcome[];
    try {
      outcomes = jobs.map(perform);
    } catch (error) {
      rollBack(database);
      throw error;
    }
    if (!outcomes.includes("written")) {
      rollBack(database);
      return outcomes;
    }
    try {
      commit.run();
    } catch (error) {
      rollBack(database);
      // Without space, the commit frame was not written completely. After any other error it may be
      // in the log: this process does not see it, but recovery of the log after a crash may.
      const code = resultCode(error);
      throw code === "FULL" || code === "BUSY" ? error : new AmbiguousAppend(error);
    }
    return outcomes;
  }

  function perform({ action, signal }: Job): Outcome {
    if (signal?.aborted) return { refusal: signal.reason };
    try {
      action();
      return "written";
    } catch (error) {
      if (error instanceof AppendConflict) return { refusal: error };
      throw error;
    }
  }

  async function compact(): Promise<Compaction> {
    assertOpen();
    return track(
      (async () => {
        try {
          const before = fileSize();
          await patiently(patience, () => database.exec("VACUUM"));
          await patiently(patience, truncateLog);
          // SQLite does not sync a log that it has truncated, but syncs it with the next write.
          // Without one, deleted data might be in the log again after a loss of power.
          await patiently(patience, () =>
            database.exec(`PRAGMA user_version = ${Number(pragma(database, "user_version"))}`),
          );
          return { before, after: fileSize() };
        } catch (error) {
          throw failure(error, "the compaction failed; nothing was lost: try it again");
        }
      })(),
    );
  }

  /** Empties the log, which contains deleted data until then. */
  function truncateLog(): void {
    const row = prepare(database, "PRAGMA wal_checkpoint(TRUNCATE)").get() as Row;
    if (row["busy"] !== 0) {
      throw Object.assign(new Error("a reader holds the log"), { code: "SQLITE_BUSY" });
    }
  }

  function fileSize(): number {
    return Number(pragma(database, "page_count")) * Number(pragma(database, "page_size"));
  }

  return {
    read,
    readTogether: (action) => read(() => together(action)),
    write,
    compact,
    close() {
      closing ??= (async () => {
        await draining;
        await Promise.allSettled([...busy]);
      })();
      return closing;
    },
  };
}
