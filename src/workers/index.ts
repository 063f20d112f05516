import type * as threads from "node:worker_threads";
import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { WorkerError } from "../errors.ts";
import { makeWorkers, type Workers } from "../ledger/workers.ts";
import { describedByJob, describeJob, type DescribedByJob } from "./describe-job.ts";
import { openPool } from "./pool.ts";
import { sealedByJob, sealJob, type SealedByJob } from "./seal-job.ts";

export type { Workers };

/** Options of {@link nodeWorkers}. */
export interface NodeWorkersOptions {
  /** How many threads a ledger may start, 1 to 64. Default 1. */
  readonly count?: number;
  /**
   * Milliseconds for which a thread may work on one job, a part of a bundle, 1 to 2^31 − 1. A thread that takes longer is
   * ended, and the calls that wait for it reject with `ERR_WORKER_FAILED`. Default 60,000.
   */
  readonly timeout?: number;
  /**
   * The file that each thread runs, for an application that is bundled into files of its own: a bundle of the package's
   * `dist/workers/thread.js`. Default: that file.
   */
  readonly thread?: URL;
}

const NODE_WORKERS_OPTIONS: OptionsOf<NodeWorkersOptions> = {
  ...{ count: true, timeout: true, thread: true },
};
const MOST_THREADS = 64;
/**
 * Size of a thread's young generation. What it makes lives for one job, and is rarely copied by the garbage collector
 * if a job fits.
 */
const YOUNG_MEBIBYTES = 64;

/**
 * Has a ledger describe, label and seal the resources of bundles and of NDJSON on threads of Node.js, which start when
 * there is work and end when the ledger is closed. Ledgers do not share them.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` for an unknown option
 * @throws {RangeError} when a number is out of its range
 * @throws {TypeError} when `thread` is no URL
 * @example
 * import { createReadStream } from "node:fs";
 *
 * const workers = nodeWorkers({ count: 2 });
 * const hl = await openLedger({ storage, keys, genesis, workers });
 * await hl.recordNdjson(createReadStream("Observation.ndjson"), { source: "ehr-1" });
 * await hl.close();
 */
export function nodeWorkers(options: NodeWorkersOptions = {}): Workers {
  assertOptions(options, NODE_WORKERS_OPTIONS, "nodeWorkers");
  const { count = 1, timeout = 60_000, thread = ownThread() } = options;
  assertWithin(count, MOST_THREADS, "count");
  assertWithin(timeout, 2 ** 31 - 1, "timeout");
  if (!(thread instanceof URL)) throw new TypeError("thread must be a URL");
  return makeWorkers(count, async (labeller) => {
    const { Worker } = await threadsOfPlatform();
    const pool = openPool({
      ...{ count, timeout },
      start: () =>
        new Worker(thread, {
          workerData: labeller,
          // What the application's own flags load is not needed there.
          execArgv: [],
          resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MEBIBYTES },
        }),
    });
    return {
      async describe(bundle, wanted, signal) {
        const gave = await pool.run(() => describeJob(bundle, wanted), signal);
        return asAnswered(() => describedByJob(gave as DescribedByJob, wanted));
      },
      async seal(terms, envelopes, secrets) {
        try {
          const gave = await pool.run(() => sealJob(terms, envelopes, secrets));
          return asAnswered(() => sealedByJob(gave as SealedByJob, secrets));
        } catch (error) {
          for (const { cek } of secrets) cek.fill(0);
          throw error;
        }
      },
      close: pool.close,
    };
  });
}

function assertWithin(value: number, most: number, name: string): void {
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new RangeError(`${name} must be an integer from 1 to ${most}`);
  }
}

/** Reads an answer; threads are not trusted to be whole. */
function asAnswered<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new WorkerError("ERR_WORKER_FAILED", "a thread gave what cannot be read", { cause });
  }
}

function ownThread(): URL {
  // Apart: bundlers take the two together for a file that they are to copy, which would lack what it imports.
  const here = import.meta.url;
  return new URL("./thread.js", here);
}

async function threadsOfPlatform(): Promise<typeof threads> {
  try {
    return await import("node:worker_threads");
  } catch (cause) {
    throw new WorkerError("ERR_WORKER_UNSUPPORTED", "nodeWorkers needs Node.js", { cause });
  }
}
