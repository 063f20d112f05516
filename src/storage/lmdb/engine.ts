import { constants } from "node:os";
import { StorageError } from "../../errors.ts";
import { AmbiguousAppend } from "../errors.ts";
import { closedError } from "../guards.ts";
import type { Compaction } from "../types.ts";
import { compactInto, environmentSize } from "./compact.ts";
import { isLmdbError, storageError } from "./errors.ts";
import { successor, type Environment, type EnvironmentOptions } from "./environment.ts";
import { openFolder } from "./folder.ts";

/**
 * The only owner of an open store in this process. It runs writes in LMDB transactions and
 * acknowledges them when they are flushed, notices when another process compacted the store, and
 * maintains the index of blobs.
 */
export interface Engine {
  /** Runs a function on a fresh snapshot; it must not write or wait. */
  read<T>(action: (environment: Environment) => T): Promise<T>;
  /**
   * Runs a function in a write transaction. Concurrent calls share one transaction and one flush,
   * so the function must not throw after its first write; an error of LMDB itself in a write fails
   * the whole transaction. (A nested transaction per call would halve the throughput.) Resolves
   * when durable.
   */
  write<T>(action: (environment: Environment) => T): Promise<T>;
  compact(): Promise<Compaction>;
  /** Resolves when no upkeep of the index is in progress. */
  upkeepDone(): Promise<void>;
  close(): Promise<void>;
}

/** Failures after which LMDB has certainly not changed what the next reader sees. */
const NOT_WRITTEN: ReadonlySet<number> = new Set([
  constants.errno.ENOSPC,
  constants.errno.EDQUOT,
  constants.errno.EFBIG,
  constants.errno.EROFS,
  constants.errno.EACCES,
  constants.errno.ENOMEM,
  -30792, // MDB_MAP_FULL
  -30788, // MDB_TXN_FULL
  -30782, // MDB_BAD_TXN: a write failed before the commit
]);

const SUPERSEDED = Symbol("superseded");

/** Opens the store in a folder that exists. */
export function openEngine(path: string, options: EnvironmentOptions): Engine {
  const folder = openFolder(path, options);
  let current: Environment;
  try {
    current = folder.openCurrent();
  } catch (error) {
    void folder.close();
    throw error;
  }
  let closing: Promise<void> | undefined;
  let moving: Promise<unknown> = Promise.resolve();
  let upkeep: Promise<void> | undefined;
  const writing = new Set<Promise<unknown>>();

  /** Switches to the environment that a compaction created as the successor. */
  function follow(old: Environment): Promise<unknown> {
    const step = moving.then(async () => {
      if (old !== current) return;
      await idle();
      current = folder.openCurrent();
      await old.root.close();
    });
    moving = step.catch(() => {});
    return step;
  }

  async function idle(): Promise<void> {
    while (writing.size > 0) await Promise.allSettled([...writing]);
  }

  async function read<T>(action: (environment: Environment) => T): Promise<T> {
    for (;;) {
      if (closing) throw closedError();
      const environment = current;
      try {
        environment.root.resetReadTxn();
        if (successor(environment) === undefined) return action(environment);
      } catch (cause) {
        throw storageError(cause, "the store cannot be read");
      }
      await follow(environment);
    }
  }

  async function write<T>(action: (environment: Environment) => T): Promise<T> {
    const result = await writeQuietly(action);
    maintain();
    return result;
  }

  async function writeQuietly<T>(action: (environment: Environment) => T): Promise<T> {
    for (;;) {
      if (closing) throw closedError();
      const waited = moving;
      await waited;
      if (waited !== moving || closing) continue;
      const environment = current;
      const done = transact(environment, action);
      writing.add(done);
      try {
        const result = await done;
        if (result !== SUPERSEDED) return result;
      } finally {
        writing.delete(done);
      }
      await follow(environment);
    }
  }

  async function transact<T>(
    environment: Environment,
    action: (environment: Environment) => T,
  ): Promise<T | typeof SUPERSEDED> {
    let thrown: { readonly error: unknown } | undefined;
    try {
      return (await environment.root.transaction(() => {
        if (successor(environment) !== undefined) return SUPERSEDED;
        try {
          return action(environment);
        } catch (error) {
          environment.index.reset();
          thrown = { error };
          throw error;
        }
      })) as T | typeof SUPERSEDED;
    } catch (error) {
      if (thrown !== undefined && thrown.error === error) throw asStorageError(error);
      environment.index.reset();
      throw await commitFailure(error);
    }
  }

  /** Makes runs of the index in the background, after writes, without delaying them. */
  function maintain(): void {
    if (upkeep !== undefined || closing || !current.index.due()) return;
    upkeep = (async () => {
      // Failed upkeep is retried after the next write; nothing depends on it.
      try {
        while (!closing) {
          const planned = await read((environment) => {
            return { environment, plan: environment.index.plan() };
          });
          if (planned.plan === undefined) return;
          await writeQuietly((environment) => {
            if (environment === planned.environment) planned.plan!.apply();
          });
        }
      } catch {
        current.index.reset();
      } finally {
        upkeep = undefined;
      }
    })();
  }

  async function compact(): Promise<Compaction> {
    for (;;) {
      if (closing) throw closedError();
      const old = current;
      const result = moving.then(async () => {
        if (old !== current || closing) return undefined;
        await idle();
        const before = environmentSize(folder.path(old.number));
        if (!(await compactInto(folder, old, options))) return undefined;
        current = folder.openCurrent();
        await old.root.close();
        return { before, after: environmentSize(folder.path(current.number)) };
      });
      moving = result.catch(() => {});
      const done = await result.catch(compactionFailure);
      if (done !== undefined) return done;
      await read(() => {});
    }
  }

  return {
    read,
    write,
    compact,
    async upkeepDone() {
      await upkeep;
    },
    close() {
      closing ??= (async () => {
        await moving;
        await upkeep;
        await idle();
        await current.root.close();
        await folder.close();
      })();
      return closing;
    },
  };
}

/** Converts an error of LMDB to this library's; a signal's own reason is left alone. */
function asStorageError(error: unknown): unknown {
  const isOurs = isLmdbError(error) || error instanceof RangeError || error instanceof TypeError;
  return isOurs ? storageError(error, "the write failed; nothing was written") : error;
}

function compactionFailure(cause: unknown): never {
  throw storageError(cause, "the compaction failed; the store is unchanged");
}

async function commitFailure(error: unknown): Promise<StorageError> {
  let cause = error;
  const { commitError } = error as { commitError?: Promise<unknown> };
  if (commitError !== undefined) {
    await commitError.catch((reason: unknown) => {
      cause = reason;
    });
  }
  return NOT_WRITTEN.has((cause as { code?: number }).code ?? 0)
    ? new StorageError("ERR_STORAGE_FAILED", "the write failed; nothing was written", { cause })
    : new AmbiguousAppend(cause);
}
