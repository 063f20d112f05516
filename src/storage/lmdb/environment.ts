import { mkdirSync } from "node:fs";
import { StorageError } from "../../errors.ts";
import { blobIndex, type BlobIndex } from "./blob-index.ts";
import type { LmdbClient, LmdbDatabase, LmdbEnvironment } from "./client.ts";
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
}

const ENCODINGS = { keyEncoding: "binary", encoding: "binary" } as const;

/** Opens or creates an LMDB environment in a folder. */
export function openRoot(
  path: string,
  { client, maxReaders }: EnvironmentOptions,
): LmdbEnvironment {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return client.open({
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
  } catch (cause) {
    throw new StorageError("ERR_STORAGE_FAILED", "the store cannot be opened", { cause });
  }
}

/** Opens or creates an environment with the databases of a store; the caller sees to its format. */
export function openEnvironment(
  path: string,
  number: number,
  options: EnvironmentOptions,
): Environment {
  const root = openRoot(path, options);
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
  return { number, root, ...parts, index: blobIndex(parts), heads: new Map() };
}

/** The environment that took the place of this one, if one did. */
export function successor({ meta }: Environment): number | undefined {
  const bytes = meta.get(NEXT);
  return bytes && readUint64(bytes);
}
