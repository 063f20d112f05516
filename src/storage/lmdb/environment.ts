import { statSync } from "node:fs";
import { join } from "node:path";
import { blobIndex, type BlobIndex } from "./blob-index.ts";
import type { LmdbClient, LmdbDatabase, LmdbEnvironment } from "./client.ts";
import { corrupt, storageError } from "./errors.ts";
import { makeFolder, syncFolder } from "./folders.ts";
import { inspectEnvironment, type InspectionDepth } from "./inspect.ts";
import { readUint64 } from "./keys.ts";
import { NEXT } from "./run-list.ts";

/** An LMDB environment and its databases. */
export interface Environment {
  readonly number: number;
  readonly root: LmdbEnvironment;
  readonly meta: LmdbDatabase;
  /** Name of each chain under its key. */
  readonly names: LmdbDatabase;
  /** Records under chain key and index. */
  readonly chains: LmdbDatabase;
  /** Tables and bytes of packs under their numbers. */
  readonly tables: LmdbDatabase;
  readonly packs: LmdbDatabase;
  /** Buckets and filters of the index. */
  readonly runs: LmdbDatabase;
  readonly state: LmdbDatabase;
  readonly index: BlobIndex;
  /** Durable heads that were read, by chain. */
  readonly heads: Map<string, { readonly size: number; readonly hash: Uint8Array }>;
}

export interface EnvironmentOptions {
  readonly client: LmdbClient;
  readonly maxReaders: number;
  /** How much is inspected before LMDB opens the file. */
  readonly inspection: InspectionDepth;
}

const ENCODINGS = { keyEncoding: "binary", encoding: "binary" } as const;

/** Whether an environment may be created if there is none. */
export type Presence = "may be new" | "must be there";

/**
 * Opens an LMDB environment in a folder, and makes the names in the folder durable.
 *
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when the environment is damaged,
 *   `ERR_STORAGE_FAILED` when it cannot be used
 */
export function openRoot(
  path: string,
  { client, maxReaders, inspection }: EnvironmentOptions,
  presence: Presence,
): LmdbEnvironment {
  try {
    const size = statSync(join(path, "data.mdb"), { throwIfNoEntry: false })?.size ?? 0;
    // LMDB would create a new file of the same name, and the loss would go unnoticed.
    if (size === 0 && presence === "must be there")
      throw corrupt("the store's file is missing or empty: restore it");
    makeFolder(path);
    inspectEnvironment(path, inspection);
    const root = client.open({
      path,
      maxDbs: 8,
      maxReaders,
      // So that readers see only data on disk: LMDB then shows a commit only after the flush.
      overlappingSync: false,
      // Its batches have a promise that nothing handles, and whose rejection would end the process.
      eventTurnBatching: false,
      permissionsMode: 0o600,
      ...ENCODINGS,
    });
    if (size === 0) syncFolder(path);
    return root;
  } catch (cause) {
    throw storageError(cause, "the store cannot be opened");
  }
}

/** Opens an environment with the databases of a store; the caller must check the format. */
export function openEnvironment(
  path: string,
  number: number,
  options: EnvironmentOptions,
  presence: Presence,
): Environment {
  const root = openRoot(path, options, presence);
  try {
    return { number, root, ...databasesOf(root), heads: new Map() };
  } catch (cause) {
    void root.close();
    throw storageError(cause, "the store cannot be opened");
  }
}

function databasesOf(root: LmdbEnvironment) {
  const database = (name: string): LmdbDatabase => root.openDB({ name, ...ENCODINGS });
  const parts = {
    meta: database("meta"),
    names: database("names"),
    chains: database("chains"),
    tables: database("tables"),
    packs: database("packs"),
    runs: database("runs"),
    state: database("state"),
  };
  return { ...parts, index: blobIndex(parts) };
}

/**
 * The environment that replaced this one, if one did.
 *
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when it is not the next one
 */
export function successor({ meta, number }: Environment): number | undefined {
  const bytes = meta.get(NEXT);
  if (bytes === undefined) return undefined;
  if (bytes.length !== 8 || readUint64(bytes) !== number + 1) {
    throw corrupt("the pointer to the store's newest file is damaged");
  }
  return number + 1;
}
