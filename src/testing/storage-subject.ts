import { cidOf, RAW } from "../codec/cid.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { sha256 } from "#crypto";
import type {
  Blob,
  BlobStore,
  ChainStore,
  FullStorage,
  Head,
  StateStore,
} from "../storage/types.ts";
import type { Storage } from "../storage/types.ts";
import { check, collect, type KitCase } from "./kit.ts";

/**
 * What an adapter offers to the kit: the three stores it has, `commit` and `compact` if it has
 * them, `tail` as its caps say, and `reopen` if a store that was closed can be opened again.
 */
export type StorageFeature =
  "chains" | "blobs" | "state" | "commit" | "compact" | "tail" | "reopen";

export interface StorageLimits {
  readonly maxAppendBytes?: number;
  readonly maxBatch?: number;
}

/** A new, empty store for one case. */
export interface StorageSubject {
  /** Opens a handle on it; several may be open at a time. */
  open(limits?: StorageLimits): Promise<Storage>;
  /** Closes what is open and removes the store. */
  dispose(): Promise<void>;
}

export type MakeStorage = () => Promise<StorageSubject>;
export type StorageCase = KitCase<MakeStorage, StorageFeature>;

/** Runs a case on a store of its own, with one handle open. */
export async function withStorage(
  make: MakeStorage,
  run: (storage: Storage, subject: StorageSubject) => Promise<void>,
  limits?: StorageLimits,
): Promise<void> {
  const subject = await make();
  try {
    await run(await subject.open(limits), subject);
  } finally {
    await subject.dispose();
  }
}

export function chainsOf({ chains }: Storage): ChainStore {
  check(chains, "the subject claims chains and has none");
  return chains;
}

export function blobsOf({ blobs }: Storage): BlobStore {
  check(blobs, "the subject claims blobs and has none");
  return blobs;
}

export function stateOf({ state }: Storage): StateStore {
  check(state, "the subject claims state and has none");
  return state;
}

export function fullOf(storage: Storage): FullStorage {
  const { chains, blobs, state, commit } = storage;
  check(chains && blobs && state && commit, "the subject claims commit and lacks a part of it");
  return storage as FullStorage;
}

export const EMPTY: Head = { size: 0, hash: null };

/** Bytes of a text. */
export const bytes: (text: string) => Uint8Array = utf8ToBytes;

/** `count` distinct records. */
export function records(count: number, label = "record"): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => bytes(`${label} ${i}`));
}

/** The head after these records, which are all there are. */
export function headAfter(all: readonly Uint8Array[]): Head {
  const last = all.at(-1);
  return { size: all.length, hash: last === undefined ? null : sha256(last) };
}

/** Bytes without pattern, the same for the same seed. */
export function noise(length: number, seed: number): Uint8Array {
  const result = new Uint8Array(length);
  let x = (seed * 2_654_435_761 + 1) >>> 0;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    result[i] = x;
  }
  return result;
}

export function blobOf(content: Uint8Array): Blob {
  return { cid: cidOf(content, RAW), bytes: content };
}

/** `count` distinct blobs of about `length` bytes. */
export function someBlobs(count: number, length = 100, seed = 1): Blob[] {
  return Array.from({ length: count }, (_, i) =>
    blobOf(noise(length + (i % 7), seed * 100_003 + i)),
  );
}

export async function readAll(chains: ChainStore, chain: string, from = 0): Promise<Uint8Array[]> {
  const items = await collect(chains.read(chain, { from }));
  items.forEach(({ index }, i) =>
    check(index === from + i, `record ${from + i} is numbered ${index}`),
  );
  return items.map(({ record }) => record);
}
