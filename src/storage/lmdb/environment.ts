import {
  mkdirSync,
  openSync,
  closeSync,
  fsyncSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import { bytesToUtf8 } from "../../bytes/utf8.ts";
import { InputError, StorageError } from "../../errors.ts";
import { blobIndex, type BlobIndex } from "./blob-index.ts";
import type { LmdbClient, LmdbDatabase, LmdbEnvironment } from "./client.ts";
import { readUint64 } from "./keys.ts";
import { FORMAT, FORMAT_VALUE, NEXT } from "./manifest.ts";

/**
 * An LMDB environment and its databases. A store is a folder of numbered environments; the lowest
 * one that has a format and no `next` is the store, the others are being made or no longer valid.
 */
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

/** Opens or creates the LMDB environment in a folder; the caller sees to its format. */
export function openEnvironment(
  path: string,
  number: number,
  { client, maxReaders }: EnvironmentOptions,
): Environment {
  const encodings = { keyEncoding: "binary", encoding: "binary" } as const;
  let root: LmdbEnvironment;
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    root = client.open({
      path,
      maxDbs: 8,
      maxReaders,
      // What a reader sees is then already on disk: LMDB shows a commit only after the flush.
      overlappingSync: false,
      permissionsMode: 0o600,
      ...encodings,
    });
  } catch (cause) {
    throw new StorageError("ERR_STORAGE_FAILED", "the store cannot be opened", { cause });
  }
  const database = (name: string): LmdbDatabase => root.openDB({ name, ...encodings });
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

/** The folder of an environment. */
export function environmentPath(folder: string, number: number): string {
  return join(folder, `env-${String(number).padStart(8, "0")}`);
}

/** Numbers of the environments in a folder, rising. */
export function environmentNumbers(folder: string): number[] {
  return readdirSync(folder)
    .map((name) => /^env-(\d{8})$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** The environment that took the place of this one, if one did. */
export function successor({ meta }: Environment): number | undefined {
  const bytes = meta.get(NEXT);
  return bytes && readUint64(bytes);
}

/** Makes the names in a folder durable. */
export function syncFolder(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Opens the valid environment of a store, creating the store if there is none.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when the store has another format
 */
export async function openCurrent(
  folder: string,
  options: EnvironmentOptions,
): Promise<Environment> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const numbers = environmentNumbers(folder);
    for (const number of numbers) {
      const environment = openEnvironment(environmentPath(folder, number), number, options);
      const format = environment.meta.get(FORMAT);
      if (format !== undefined && successor(environment) === undefined) {
        if (bytesToUtf8(format) === bytesToUtf8(FORMAT_VALUE)) return environment;
        await environment.root.close();
        throw new InputError("ERR_INPUT_UNSUPPORTED", "the store has another format");
      }
      // Without a format it was removed by a compaction just before we opened it.
      await environment.root.close();
    }
    await create(folder, (numbers.at(-1) ?? 0) + 1, options);
  }
  throw new StorageError("ERR_STORAGE_FAILED", "the store cannot be opened: it keeps moving");
}

async function create(folder: string, number: number, options: EnvironmentOptions): Promise<void> {
  const draft = join(folder, `draft-${process.pid}-${process.hrtime.bigint()}`);
  const environment = openEnvironment(draft, number, options);
  environment.root.transactionSync(() => {
    environment.meta.putSync(FORMAT, FORMAT_VALUE);
  });
  await environment.root.close();
  publish(folder, draft, number);
}

/**
 * Gives a finished environment its number.
 *
 * @returns whether it did; `false` when another process was first
 */
export function publish(folder: string, draft: string, number: number): boolean {
  try {
    syncFolder(draft);
    renameSync(draft, environmentPath(folder, number));
    syncFolder(folder);
    return true;
  } catch (cause) {
    rmSync(draft, { recursive: true, force: true });
    const code = (cause as { code?: unknown }).code;
    // ENOENT: a compaction that ran meanwhile took the draft for one that was left.
    if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOENT") return false;
    throw new StorageError("ERR_STORAGE_FAILED", "the store cannot be created", { cause });
  }
}

/** Removes environments below a number, and what unfinished work left. */
export function removeOlder(folder: string, number: number): void {
  for (const name of readdirSync(folder)) {
    const digits = /^env-(\d{8})$/.exec(name)?.[1];
    if (digits !== undefined && Number(digits) < number) {
      // Renamed first, so that nobody opens what is half removed.
      const doomed = join(folder, `removed-${digits}-${process.pid}-${process.hrtime.bigint()}`);
      renameSync(join(folder, name), doomed);
      rmSync(doomed, { recursive: true, force: true });
    } else if (name.startsWith("removed-")) {
      rmSync(join(folder, name), { recursive: true, force: true });
    }
  }
  syncFolder(folder);
}
