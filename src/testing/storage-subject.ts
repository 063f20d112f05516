import { cidOf, RAW, type CID } from "../codec/cid.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { sha256 } from "#crypto";
import type {
  NamedBlob,
  BlobStore,
  ChainStore,
  FullStorage,
  Head,
  ScanOptions,
  StateStore,
} from "../storage/types.ts";
import type { StorageAdapter } from "../storage/types.ts";
import { check, collect, type KitCase } from "./kit.ts";

/**
 * Features that an adapter offers to the kit: the three stores that it has, `commit` and `compact`
 * if it has them, `tail` according to its caps, `reopen` if a closed store can be opened again.
 *
 * The other features are conditions that the subject can stage: `kill` if it has
 * {@link StorageSubject.startProcess}, `processes` if that process and others may have the store
 * open at a time (`caps.multiProcess`), `small` if it has {@link StorageSubject.small}, and
 * `traced` if it has {@link StorageSubject.startTraced}.
 */
export type StorageFeature =
  | "chains"
  | "blobs"
  | "state"
  | "commit"
  | "compact"
  | "tail"
  | "reopen"
  | "kill"
  | "processes"
  | "small"
  | "traced";

export interface StorageLimits {
  readonly maxAppendBytes?: number;
  readonly maxBatch?: number;
}

/**
 * Another process, worker or page that has opened the subject's store and runs `serveStorage`.
 * Lines must not contain line breaks; lines that arrive before {@link onLine} is called are kept
 * for it.
 */
export interface StorageProcess {
  send(line: string): void;
  /** Sets the receiver of the lines, in their order; called once. */
  onLine(listener: (line: string) => void): void;
  /** Ends it at once and without notice, as SIGKILL does; resolves when it is gone. */
  kill(): Promise<void>;
  /** Resolves when it has ended for any reason, with its last output. */
  readonly ended: Promise<string>;
}

/** A process whose system calls are recorded. */
export interface TracedProcess extends StorageProcess {
  /** The output of `strace -f -y`; call it when the process has ended. */
  trace(): Promise<string>;
  /**
   * A path prefix of all files and folders of the store. Without it everything that the process
   * writes must be synced.
   */
  readonly store?: string;
  /**
   * Files of the store that may be lost with the power: locks, and files that are rebuilt from
   * others.
   */
  transient?(path: string): boolean;
}

/** A store with room for a few megabytes. */
export interface SmallStore {
  /** Opens a handle on it; one is open at a time. */
  open(): Promise<StorageAdapter>;
  /**
   * Makes room for some more megabytes, as an operator would, whether or not the handle is open.
   */
  makeRoom(): Promise<void>;
}

/** A new, empty store for one case. */
export interface StorageSubject {
  /** Opens a handle on it; several may be open at a time. */
  open(limits?: StorageLimits): Promise<StorageAdapter>;
  /**
   * Starts a process that opens the store. Without the feature `processes` it is the only one with
   * the store open: the kit has closed its own handles.
   */
  startProcess?(): Promise<StorageProcess>;
  /** As `startProcess`, with its system calls recorded. */
  startTraced?(): Promise<TracedProcess>;
  /** Makes another store, with little room. */
  small?(): Promise<SmallStore>;
  /**
   * Claims of the adapter that this subject cannot stage, such as `kill`, `processes` or `traced`.
   * A claim that no case tests and that is not listed here fails the kit. List only claims that are
   * tested elsewhere.
   */
  readonly notTried?: readonly StorageFeature[];
  /** Closes open handles, ends started processes and removes the stores. */
  dispose(): Promise<void>;
}

export type MakeStorage = () => Promise<StorageSubject>;
export type StorageCase = KitCase<MakeStorage, StorageFeature>;

/** Runs a case on a store of its own, with one handle open. */
export async function withStorage(
  make: MakeStorage,
  run: (storage: StorageAdapter, subject: StorageSubject) => Promise<void>,
  limits?: StorageLimits,
): Promise<void> {
  const subject = await make();
  try {
    await run(await subject.open(limits), subject);
  } finally {
    await subject.dispose();
  }
}

export function chainsOf({ chains }: StorageAdapter): ChainStore {
  check(chains, "the subject claims chains and has none");
  return chains;
}

export function blobsOf({ blobs }: StorageAdapter): BlobStore {
  check(blobs, "the subject claims blobs and has none");
  return blobs;
}

export function stateOf({ state }: StorageAdapter): StateStore {
  check(state, "the subject claims state and has none");
  return state;
}

export function fullOf(storage: StorageAdapter): FullStorage {
  const { chains, blobs, state, commit } = storage;
  check(chains && blobs && state && commit, "the subject claims commit and lacks a part of it");
  return storage as FullStorage;
}

export const EMPTY: Head = { size: 0, hash: null };

/** A range that holds every key of the kit. */
export const ANY_KEY: Pick<ScanOptions, "gte" | "lt"> = {
  gte: Uint8Array.of(0),
  lt: Uint8Array.of(255),
};

/** UTF-8 bytes of a text. */
export const bytes: (text: string) => Uint8Array = utf8ToBytes;

/** `count` distinct records. */
export function records(count: number, label = "record"): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => bytes(`${label} ${i}`));
}

/** The head of a chain of exactly these records. */
export function headAfter(all: readonly Uint8Array[]): Head {
  const last = all.at(-1);
  return { size: all.length, hash: last === undefined ? null : sha256(last) };
}

/** Pseudorandom numbers in [0, 1) from a seed (mulberry32). */
export function seededNumbers(seed: number): () => number {
  let x = seed >>> 0;
  return () => {
    x = (x + 0x6d2b79f5) >>> 0;
    let t = Math.imul(x ^ (x >>> 15), x | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** Pseudorandom bytes from a seed. */
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

/** Overwrites the bytes of a CID, as a caller may who reuses its memory. */
export function overwriteCid({ bytes: whole, multihash }: CID): void {
  for (const part of [whole, multihash.bytes, multihash.digest]) part.fill(0);
}

export function blobOf(content: Uint8Array): NamedBlob {
  return { cid: cidOf(content, RAW), bytes: content };
}

/** `count` distinct blobs of about `length` bytes. */
export function someBlobs(count: number, length = 100, seed = 1): NamedBlob[] {
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
