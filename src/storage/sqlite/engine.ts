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

/** Runs all that is done on one connection. No transaction is open while anything is awaited. */
export interface Engine {
  /** Runs a function that only reads; it sees one moment if it has one statement. */
  read<T>(action: () => T): Promise<T>;
  /** Runs a function that only reads, all as of one moment. */
  readTogether<T>(action: () => T): Promise<T>;
  /**
   * Runs a function in a write transaction. What is called before the event loop comes round
   * shares one transaction and one sync, so the function may throw `AppendConflict` only before
   * its first write. Resolves when durable.
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

/** A refusal is told only when what it refers to is durable. */
type Outcome = "written" | { readonly refusal: unknown };

/** Most calls that share a transaction, so that others get their turn. */
const MOST_TOGETHER = 256;
/** Milliseconds between two attempts where another process is in the way. */
const LONGEST_PAUSE = 50;

/**
 * Runs a function until no other connection is in its way.
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
 * Makes the engine of a connection that was set up.
 *
 * @param patience - milliseconds for which a call is tried again while another process is writing
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
      // By then all that arrived together is there.
      await new Promise((resolve) => setImmediate(resolve));
      await transact(queue.splice(0, MOST_TOGETHER));
    }
    draining = undefined;
  }

  /** Runs jobs in one transaction, and then tells each how it ended. */
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
        // Who is not to blame is given a transaction of his own.
        for (const job of jobs) await transact([job]);
      } else {
        const reason = failure(error, "the write failed; nothing was written");
        for (const { reject } of jobs) reject(reason);
      }
    }
  }

  /**
   * One attempt at a transaction, from its begin to its end.
   *
   * @returns what became of each job
   * @throws when nothing was written, or it is unknown what was
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
      // Without room, the frame that commits was not written whole. After any other error it may
      // stand in the log: this process does not see it, and who recovers the log after a crash may.
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
          // SQLite syncs no log that it has cut short; what is written next is synced with it. Else what
          // was deleted might stand in the log again after a loss of power.
          await patiently(patience, () =>
            database.exec(`PRAGMA user_version = ${Number(pragma(database, "user_version"))}`),
          );
          return { before, after: fileSize() };
        } catch (error) {
          throw failure(
            error,
            "the compaction failed; nothing was lost, and it can be tried again",
          );
        }
      })(),
    );
  }

  /** What was deleted stands in the log until the log is empty. */
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
