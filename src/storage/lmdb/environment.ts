import { statSync } from "node:fs";
import { join } from "node:path";
import { blobIndex, type BlobIndex } from "./blob-index.ts";
import type { LmdbClient, LmdbDatabase, LmdbEnvironment } from "./client.ts";
import { corrupt, storageError } from "./errors.ts";
import { makeFolder, syncFolder } from "./folders.ts";
import { inspectEnvironment, type InspectionDepth } from "./inspect.ts";
import { readUint64 } from "./keys.ts";
import { NEXT } from "./manifest.ts";

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
  /** Heads that were read as durable, by chain. */
  readonly heads: Map<string, { readonly size: number; readonly hash: Uint8Array }>;
}

export interface EnvironmentOptions {
  readonly client: LmdbClient;
  readonly maxReaders: number;
  /** How much of what is there is looked at before LMDB opens it. */
  readonly inspection: InspectionDepth;
}

const ENCODINGS = { keyEncoding: "binary", encoding: "binary" } as const;

/** Whether an environment may be made where none is. */
export type Presence = "may be new" | "must be there";

/**
 * Opens an LMDB environment in a folder, whose names are then durable.
 *
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when what is there is damaged, `ERR_STORAGE_FAILED`
 *   when it cannot be used
 */
export function openRoot(
  path: string,
  { client, maxReaders, inspection }: EnvironmentOptions,
  presence: Presence,
): LmdbEnvironment {
  try {
    const size = statSync(join(path, "data.mdb"), { throwIfNoEntry: false })?.size ?? 0;
    // LMDB would make a new one of the same name, and nobody would miss what was lost.
    if (size === 0 && presence === "must be there") throw corrupt("the store's file is lost");
    makeFolder(path);
    inspectEnvironment(path, inspection);
    const root = client.open({
      path,
      maxDbs: 8,
      maxReaders,
      // What a reader sees is then already on disk: LMDB shows a commit only after the flush.
      overlappingSync: false,
      // Its batches have a promise that nobody holds, whose rejection would end the process.
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

/** Opens an environment with the databases of a store; the caller sees to its format. */
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
 * The environment that took the place of this one, if one did.
 *
 * @throws {StorageError} `ERR_STORAGE_CORRUPT` when that is not the one after it
 */
export function successor({ meta, number }: Environment): number | undefined {
  const bytes = meta.get(NEXT);
  if (bytes === undefined) return undefined;
  if (bytes.length !== 8 || readUint64(bytes) !== number + 1) {
    throw corrupt("what names the store's newest file is damaged");
  }
  return number + 1;
}
