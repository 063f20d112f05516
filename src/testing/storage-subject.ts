import { cidOf, RAW } from "../codec/cid.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { sha256 } from "#crypto";
import type {
  NamedBlob,
  BlobStore,
  ChainStore,
  FullStorage,
  Head,
  StateStore,
} from "../storage/types.ts";
import type { StorageAdapter } from "../storage/types.ts";
import { check, collect, type KitCase } from "./kit.ts";

/**
 * What an adapter offers to the kit: the three stores it has, `commit` and `compact` if it has
 * them, `tail` as its caps say, `reopen` if a store that was closed can be opened again.
 *
 * The rest is what the subject can stage: `kill` where {@link StorageSubject.startProcess} is there,
 * `processes` where that process and others may have the store open at a time
 * (`caps.multiProcess`), `small` where {@link StorageSubject.small} is there, and `traced` where
 * {@link StorageSubject.startTraced} is.
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
 * Lines hold no line breaks; what comes before {@link onLine} is called is kept for it.
 */
export interface StorageProcess {
  send(line: string): void;
  /** Says who gets the lines, in their order; called once. */
  onLine(listener: (line: string) => void): void;
  /** Ends it at once and without notice to it, as SIGKILL does; resolves when it is gone. */
  kill(): Promise<void>;
  /** Resolves when it ended by itself or otherwise, with what it had to say about that. */
  readonly ended: Promise<string>;
}

/** A process whose system calls are recorded. */
export interface TracedProcess extends StorageProcess {
  /** What `strace -f -y` wrote; to be called when the process has ended. */
  trace(): Promise<string>;
  /**
   * A path with which those of all files and folders of the store begin. Without it whatever the
   * process writes must be synced.
   */
  readonly store?: string;
  /** Files of the store that may go with the power: locks, and what is made anew from others. */
  transient?(path: string): boolean;
}

/** A store where there is room for a few megabytes. */
export interface SmallStore {
  /** Opens a handle on it; one is open at a time. */
  open(): Promise<StorageAdapter>;
  /** Makes room for some more megabytes, as an operator would, with the handle open or not. */
  makeRoom(): Promise<void>;
}

/** A new, empty store for one case. */
export interface StorageSubject {
  /** Opens a handle on it; several may be open at a time. */
  open(limits?: StorageLimits): Promise<StorageAdapter>;
  /**
   * Starts a process that opens the store. Without the feature `processes` it is the only one that
   * has it open: the kit has closed its own handles.
   */
  startProcess?(): Promise<StorageProcess>;
  /** As `startProcess`, with the system calls recorded. */
  startTraced?(): Promise<TracedProcess>;
  /** Makes another store, where room is short. */
  small?(): Promise<SmallStore>;
  /**
   * What the adapter claims and this subject cannot stage: `kill`, `processes` or `traced`, say.
   * Without it a claim that no case tries fails the kit. Name here what is tried elsewhere only.
   */
  readonly notTried?: readonly StorageFeature[];
  /** Closes what is open, ends what was started and removes the stores. */
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
