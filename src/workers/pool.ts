import type { Worker } from "node:worker_threads";
import { WorkerError } from "../errors.ts";
import { buffersOf, type Answer, type Job } from "./job.ts";
import { toldError } from "./told-error.ts";

/** Threads that do jobs. */
export interface Pool {
  /**
   * Has a job done by the thread that has the least to do.
   *
   * @param make - writes the job, once a thread has room for it
   */
  run(make: () => Job, signal?: AbortSignal): Promise<Extract<Answer, { gave: unknown }>["gave"]>;
  /** Ends the threads; jobs that are not done reject. */
  close(): Promise<void>;
}

/** Jobs that a thread has at most: one that it does, and what it does next without waiting for this thread. */
const AT_ONCE = 3;

/** A job that is not done yet. */
interface Waiting {
  readonly make: () => Job;
  resolve(gave: Extract<Answer, { gave: unknown }>["gave"]): void;
  reject(error: unknown): void;
}

interface Thread {
  readonly worker: Worker;
  /** By number, in the order in which it begins them. */
  readonly jobs: Map<number, Waiting>;
  /** The job that it must answer before the timer ends. */
  first: number | undefined;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Opens a pool. A thread is started when a job needs it, and one that ended is replaced then: no job is tried twice,
 * so what ends a thread ends it once. Jobs that wait for a thread are not written yet, and take no memory of theirs.
 *
 * @param options.timeout - longest time for one job, in ms
 */
export function openPool(options: {
  readonly count: number;
  readonly timeout: number;
  readonly start: () => Worker;
}): Pool {
  const { count, timeout, start } = options;
  const threads = new Set<Thread>();
  let queue: Waiting[] = [];
  let numbered = 0;
  let isClosed = false;
  let closing: Promise<void> | undefined;

  /** A thread that has room for a job. */
  function idlest(): Thread | undefined {
    let best: Thread | undefined;
    for (const thread of threads) {
      if (best === undefined || thread.jobs.size < best.jobs.size) best = thread;
    }
    if (best?.jobs.size !== 0 && threads.size < count) return startThread();
    return best!.jobs.size < AT_ONCE ? best : undefined;
  }

  function startThread(): Thread {
    let worker: Worker;
    try {
      worker = start();
    } catch (cause) {
      throw new WorkerError("ERR_WORKER_FAILED", "a thread cannot be started", { cause });
    }
    const thread: Thread = { worker, jobs: new Map(), first: undefined, timer: undefined };
    threads.add(thread);
    worker.on("message", (answer: unknown) => take(thread, answer));
    worker.on("messageerror", (error) => fail(thread, error));
    worker.on("error", (error) => fail(thread, error));
    worker.on("exit", () => fail(thread, undefined));
    return thread;
  }

  function dispatch(): void {
    while (queue.length > 0) {
      const waiting = queue[0]!;
      let thread: Thread | undefined;
      try {
        thread = idlest();
        if (thread === undefined) return;
        const job = waiting.make();
        const id = numbered++;
        thread.worker.postMessage({ id, job }, [...buffersOf(job)]);
        thread.jobs.set(id, waiting);
        begin(thread);
      } catch (error) {
        waiting.reject(error);
      }
      queue = queue.filter((one) => one !== waiting);
    }
  }

  /** A job of a thread begins: the process waits for it, but not for ever. */
  function begin(thread: Thread): void {
    const [first] = thread.jobs.keys();
    if (first === thread.first) return;
    thread.first = first;
    clearTimeout(thread.timer);
    if (first === undefined) {
      // The process may end while nothing waits for this thread.
      thread.worker.unref();
      return;
    }
    thread.worker.ref();
    thread.timer = setTimeout(() => {
      // What came while this thread was busy is not told yet.
      setImmediate(() => {
        if (thread.jobs.has(first)) fail(thread, new Error(`no answer within ${timeout} ms`));
      });
    }, timeout);
  }

  function take(thread: Thread, answer: unknown): void {
    if (!isAnswer(answer)) {
      fail(thread, new Error("an answer that cannot be read"));
      return;
    }
    const waiting = thread.jobs.get(answer.id);
    // Answered before, or never asked.
    if (waiting === undefined) return;
    thread.jobs.delete(answer.id);
    begin(thread);
    if ("gave" in answer) waiting.resolve(answer.gave);
    else waiting.reject("refused" in answer ? toldError(answer.refused) : answer.failed);
    dispatch();
  }

  /** A thread ended, or is to end: its jobs fail, and those that wait for a thread go to another. */
  function fail(thread: Thread, cause: unknown): void {
    if (!threads.delete(thread)) return;
    clearTimeout(thread.timer);
    const error = new WorkerError(
      "ERR_WORKER_FAILED",
      isClosed
        ? "the ledger's threads are closed"
        : "a thread ended before its work was done, or took too long",
      cause === undefined ? {} : { cause },
    );
    for (const { reject } of thread.jobs.values()) reject(error);
    thread.jobs.clear();
    void thread.worker.terminate();
    dispatch();
  }

  return {
    run(make, signal) {
      return new Promise((resolve, reject) => {
        if (isClosed) {
          reject(new WorkerError("ERR_WORKER_FAILED", "the ledger's threads are closed"));
          return;
        }
        if (signal?.aborted === true) {
          reject(signal.reason);
          return;
        }
        const onAbort = (): void => {
          queue = queue.filter((one) => one !== waiting);
          waiting.reject(signal!.reason);
        };
        const waiting: Waiting = {
          make,
          resolve(gave) {
            signal?.removeEventListener("abort", onAbort);
            resolve(gave);
          },
          reject(error) {
            signal?.removeEventListener("abort", onAbort);
            reject(error);
          },
        };
        signal?.addEventListener("abort", onAbort);
        queue.push(waiting);
        dispatch();
      });
    },
    close() {
      isClosed = true;
      closing ??= (async () => {
        const error = new WorkerError("ERR_WORKER_FAILED", "the ledger's threads are closed");
        for (const { reject } of queue) reject(error);
        queue = [];
        const ending = [...threads].map(({ worker }) => worker.terminate());
        for (const thread of threads) fail(thread, undefined);
        await Promise.all(ending);
      })();
      return closing;
    },
  };
}

function isAnswer(value: unknown): value is Answer {
  if (typeof value !== "object" || value === null) return false;
  if (typeof (value as { readonly id?: unknown }).id !== "number") return false;
  return "gave" in value || "refused" in value || "failed" in value;
}
