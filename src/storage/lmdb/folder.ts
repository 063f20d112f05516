import { readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { equalBytes } from "../../bytes/compare.ts";
import { least } from "../../bytes/lists.ts";
import { InputError, StorageError } from "../../errors.ts";
import {
  openEnvironment,
  openRoot,
  successor,
  type Environment,
  type EnvironmentOptions,
} from "./environment.ts";
import { corrupt, storageError } from "./errors.ts";
import { syncFolder } from "./folders.ts";
import { readUint64, uint64 } from "./keys.ts";
import { CURRENT, FORMAT, FORMAT_VALUE } from "./run-list.ts";

/**
 * The folder of a store: environments with rising numbers, of which one is current, and a small
 * one, `control`, that names the current one. Its write lock is held while any of them is opened or
 * removed. (A name in the file system would not do: between looking it up and opening it, a
 * compaction could remove it, and LMDB would create a new, empty environment of that name.)
 */
export interface StoreFolder {
  /** Opens the current environment, creating the store if there is none. */
  openCurrent(): Environment;
  /** The folder of an environment. */
  path(number: number): string;
  close(): Promise<void>;
}

/**
 * Opens the folder of a store.
 *
 * @throws {StorageError} `ERR_STORAGE_FAILED` when it cannot be used
 */
export function openFolder(folder: string, options: EnvironmentOptions): StoreFolder {
  const control = openRoot(join(folder, "control"), options, "may be new");

  function path(number: number): string {
    return join(folder, `env-${String(number).padStart(8, "0")}`);
  }

  /** Creates the first environment, under a temporary name until it is complete. */
  function found(first: string): void {
    const half = join(folder, "founding");
    rmSync(half, { recursive: true, force: true });
    const environment = openEnvironment(half, 1, options, "may be new");
    environment.root.transactionSync(() => {
      environment.meta.putSync(FORMAT, FORMAT_VALUE);
    });
    void environment.root.close();
    syncFolder(half);
    renameSync(half, first);
    syncFolder(folder);
  }

  function about(environment: Environment) {
    try {
      return { format: environment.meta.get(FORMAT), next: successor(environment) };
    } catch (error) {
      void environment.root.close();
      throw error;
    }
  }

  function openLocked(): Environment {
    const stored = control.get(CURRENT);
    if (stored !== undefined && (stored.length !== 8 || !(readUint64(stored) > 0))) {
      throw corrupt("the pointer to the store's newest file is damaged");
    }
    let number = stored === undefined ? lowest(folder) : readUint64(stored);
    if (number === undefined) {
      number = 1;
      found(path(number));
    }
    for (;;) {
      const environment = openEnvironment(path(number), number, options, "must be there");
      const { format, next } = about(environment);
      if (next === undefined) {
        if (format === undefined || !equalBytes(format, FORMAT_VALUE)) {
          void environment.root.close();
          throw new InputError(
            "ERR_INPUT_UNSUPPORTED",
            "the store has a format that this version does not support",
          );
        }
        // Not written if it is there already: a store on a full disk can still be read.
        if (stored === undefined || readUint64(stored) !== number) {
          control.putSync(CURRENT, uint64(number));
        }
        return environment;
      }
      void environment.root.close();
      number = next;
    }
  }

  return {
    path,
    openCurrent() {
      let opened: Environment | undefined;
      try {
        control.resetReadTxn();
        control.transactionSync(() => {
          opened = openLocked();
        });
      } catch (cause) {
        void opened?.root.close();
        throw storageError(cause, "the store cannot be opened");
      }
      const { number } = opened!;
      // Only after the number is durable; removing older ones needs no lock, since none is opened
      // again.
      removeOlder(folder, number);
      return opened!;
    },
    close: () => control.close(),
  };
}

/**
 * The lowest number of an existing environment. If nothing names the current one, as in a folder
 * restored without `control`, this one leads to it: each replaced environment names its successor.
 */
function lowest(folder: string): number | undefined {
  const numbers = environments(folder).map(({ number }) => number);
  return numbers.length === 0 ? undefined : least(numbers);
}

function environments(folder: string): { readonly name: string; readonly number: number }[] {
  return readdirSync(folder).flatMap((name) => {
    const digits = /^env-(\d{8,})$/.exec(name)?.[1];
    return digits === undefined ? [] : [{ name, number: Number(digits) }];
  });
}

function removeOlder(folder: string, number: number): void {
  let removed = false;
  for (const { name, number: older } of environments(folder)) {
    if (older >= number) continue;
    try {
      rmSync(join(folder, name), { recursive: true, force: true });
    } catch (cause) {
      throw new StorageError(
        "ERR_STORAGE_FAILED",
        "the old files cannot be removed after compaction",
        {
          cause,
        },
      );
    }
    removed = true;
  }
  if (removed) syncFolder(folder);
}
