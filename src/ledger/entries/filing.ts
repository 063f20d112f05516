import type { CID } from "multiformats/cid";
import { encodeEntry, entryId, type ErasureClass } from "../../block/entry.ts";
import { MAX_LANES, MAX_TRANSACTION_ENTRIES } from "../../block/limits.ts";
import { encodeSubjectEntry } from "../../block/subject-entry.ts";
import { subjectTag } from "../../block/tag.ts";
import { createAuthor, type Author } from "../../chain/author.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import type { SubmissionWrites, Sequencer, WaitingEntries } from "../../chain/sequencer.ts";
import { seqKey } from "../../chain/state.ts";
import { TransactionRefused, type DurablePlace } from "../../chain/submission.ts";
import type { PartContent, SealedEnvelope } from "../../envelope/seal.ts";
import { signEnvelopes } from "../../envelope/seal.ts";
import { ChainError, StorageError } from "../../errors.ts";
import { bySlices, giveTurn, nextTurn } from "../../loop/give-turn.ts";
import type { NamedBlob, StateChange } from "../../storage/types.ts";
import type { LedgerContext } from "../context.ts";
import { inOrder, withDecoys, type Arranged } from "./decoys.ts";
import { manifestSteps, type Manifest } from "./manifest.ts";
import type { EnvelopeToSeal } from "./seal-together.ts";
import { sealInGroups } from "./sealing.ts";

/** A sealed entry that is not filed yet. */
export interface SealedEntry {
  readonly id: Uint8Array;
  readonly entry: Uint8Array;
  readonly envelope: CID;
  readonly manifest: Manifest;
  /** The manifest's bytes, as they were sealed. */
  readonly encoded: Uint8Array;
  /** Blobs and state that must be durable with the entry: header, ciphertext, the custodian's own key. */
  readonly blobs: readonly NamedBlob[];
  readonly state: readonly StateChange[];
}

/** An entry to make for an envelope that is already sealed. */
export type EntryToMake = {
  readonly manifest: Manifest;
  /** The manifest's bytes. */
  readonly encoded: Uint8Array;
} & (
  | { readonly kind: "record" | "consent" | "access"; readonly subjectKey: Uint8Array }
  | { readonly kind: "link" }
  | { readonly kind: "erase"; readonly class: ErasureClass }
);

type WithoutBytes<T> = T extends unknown ? Omit<T, "encoded"> : never;

/** An entry to seal: what it is about, and its content. */
export type EntryToSeal = WithoutBytes<EntryToMake> & {
  /** Bytes of the manifest, if already encoded. */
  readonly encoded?: Uint8Array;
  /** Sealed beside the manifest; borrowed. */
  readonly parts: readonly PartContent[];
  /** Root over values that can be disclosed one by one. */
  readonly disclosed?: Uint8Array;
};

/** A filed entry. */
export interface Filed {
  readonly id: Uint8Array;
  readonly place: EntryPlace;
  readonly envelope: CID;
}

/** Name under which the vault stores an envelope's content key. */
export const contentKeyName = (context: Pick<LedgerContext, "vault">, envelope: CID): Uint8Array =>
  context.vault.name("cek", envelope.bytes);

/** Seals an entry's envelope and makes the entry. */
export async function sealEntry(context: LedgerContext, what: EntryToSeal): Promise<SealedEntry> {
  return (await sealEntries(context, [what]))[0]!;
}

/**
 * Seals entries' envelopes, on other threads if there are any, and makes the entries. Signatures are made together,
 * where the signer is.
 */
export async function sealEntries(
  context: LedgerContext,
  all: readonly EntryToSeal[],
): Promise<readonly SealedEntry[]> {
  const { signer } = context;
  const made: EntryToMake[] = [];
  const envelopes: EnvelopeToSeal[] = [];
  for (const what of all) {
    const encoded = what.encoded ?? (await bySlices(manifestSteps(what.manifest)));
    const { kind, parts, disclosed } = what;
    made.push({ ...what, encoded });
    envelopes.push({
      kind,
      parts: [{ id: "manifest", bytes: encoded }, ...parts],
      ...(disclosed === undefined ? {} : { disclosed }),
    });
  }
  const entries: SealedEntry[] = [];
  for await (const unsigned of sealInGroups(context, envelopes)) {
    for (const one of await signEnvelopes(unsigned, signer)) {
      if (entries.length > 0) await giveTurn();
      const blobs = [{ cid: one.cid, bytes: one.header }, ...one.blocks];
      entries.push(entryOf(context, made[entries.length]!, one, blobs));
    }
  }
  return entries;
}

/**
 * Makes the entry that names an envelope; wipes the envelope's content key.
 *
 * @param blobs - blobs of the envelope that become durable with the entry
 * @param state - changes of state that become durable with the entry
 */
export function entryOf(
  context: LedgerContext,
  what: EntryToMake,
  sealed: Pick<SealedEnvelope, "cid" | "cek">,
  blobs: readonly NamedBlob[],
  state: readonly StateChange[] = [],
): SealedEntry {
  const { chain, vault, signer, random } = context;
  const { ledger } = chain;
  const author = signer.actor;
  const { cid: body, cek } = sealed;
  const salt = random(16);
  let entry: Uint8Array;
  if (what.kind === "link") {
    entry = encodeEntry({ v: 1, kind: "link", salt, body });
  } else if (what.kind === "erase") {
    entry = encodeEntry({ v: 1, kind: "erase", salt, class: what.class, body });
  } else {
    const tag = subjectTag(what.subjectKey, { ledger, author, kind: what.kind, salt, body });
    entry = encodeSubjectEntry(what.kind, salt, tag, body);
  }
  const key = vault.put(contentKeyName(context, body), cek);
  cek.fill(0);
  return {
    id: entryId(ledger, author, entry),
    entry,
    envelope: body,
    manifest: what.manifest,
    encoded: what.encoded,
    blobs,
    state: [key, ...state],
  };
}

/** Files sealed entries on the ledger; one transaction may hold entries of many callers. */
export interface Filing {
  /**
   * Files entries together with all others that are waiting, so that one transaction holds entries about
   * many persons. Resolves once they are durable.
   */
  file(entries: readonly SealedEntry[]): Promise<Filed[]>;
  /**
   * Files entries in a transaction of their own.
   *
   * @param withBlock - becomes durable with the block, never before it
   * @param patience - ms to wait for the block where the entries are kept in an outbox meanwhile
   */
  fileAlone(
    entries: readonly SealedEntry[],
    withBlock?: readonly StateChange[],
    patience?: number,
  ): Promise<Filed[]>;
  /** Files entries that seal nothing, in a transaction of their own. */
  fileClear(entries: readonly Uint8Array[]): Promise<DurablePlace>;
  /** What was filed, also before this process began, and is neither on the ledger nor refused. */
  waiting(): readonly WaitingEntries[];
  /** Resolves once no filing is in progress. */
  idle(): Promise<void>;
}

/** Maximum number of entries in one transaction of this layer. */
export const MAX_FILED_TOGETHER: number = Math.min(1000, MAX_TRANSACTION_ENTRIES);
/** Maximum bytes of headers and ciphertext in one transaction of this layer; one call may exceed it alone. */
export const MAX_BYTES_TOGETHER: number = 8 * 1024 * 1024;

/** Bytes that become durable with an entry. */
export const sizeOfSealed = ({ entry, blobs }: SealedEntry): number =>
  blobs.reduce((sum, { bytes }) => sum + bytes.length, entry.length);

/** How often a transaction is signed before its caller gets the error that other processes were faster. */
const TRIES = 64;

/**
 * Starts filing. Every process starts on lane 0. A process that finds its lane taken, because its sequence
 * number is already used, retries the same entries on random lanes until it has one of its own.
 *
 * @param ownLane - the lane to stay on, if the application assigns lanes
 */
export async function createFiling(
  context: LedgerContext,
  sequencer: Sequencer,
  ownLane: number | undefined,
): Promise<Filing> {
  const { chain, signer, now, random } = context;
  let author: Author = await authorOn(ownLane ?? 0);
  let moving: Promise<void> | undefined;

  async function authorOn(lane: number): Promise<Author> {
    await chain.state.load([seqKey(signer.key, lane)]);
    const lastSeq = Math.max(
      chain.state.seq(signer.key, lane) ?? -1,
      sequencer.lastWaiting?.(signer.key, lane) ?? -1,
    );
    return createAuthor({ ledger: chain.ledger, sequencer, signer, lane, lastSeq, now });
  }

  async function move(): Promise<void> {
    const [high = 0, low = 0] = random(2);
    author = await authorOn(ownLane ?? ((high << 8) | low) % MAX_LANES);
  }

  /** Writes entries as a transaction. A refused one is certainly not there, so it may be signed again. */
  async function place(
    entries: readonly Uint8Array[],
    writes: SubmissionWrites,
  ): Promise<DurablePlace> {
    for (let tries = 1; ; tries++) {
      const mine = author;
      try {
        return await (
          await mine.write(entries, writes)
        ).durable;
      } catch (error) {
        if (!isSequenceTaken(error) || tries === TRIES) throw error;
        if (mine === author) {
          moving ??= move().finally(() => {
            moving = undefined;
          });
          await moving;
        }
      }
    }
  }

  interface Waiting {
    readonly entries: readonly SealedEntry[];
    readonly bytes: number;
    resolve(filed: Filed[]): void;
    reject(error: unknown): void;
  }
  let waiting: Waiting[] = [];
  let isRunning = false;
  const underway = new Set<Promise<unknown>>();

  function track<T>(work: Promise<T>): Promise<T> {
    underway.add(work);
    const done = () => void underway.delete(work);
    work.then(done, done);
    return work;
  }

  async function write(
    entries: readonly SealedEntry[],
    { all, places }: Arranged,
    withBlock: readonly StateChange[] = [],
    patience?: number,
  ): Promise<Filed[]> {
    const placed = await place(all, {
      blobs: entries.flatMap(({ blobs }) => blobs),
      state: entries.flatMap((one) => one.state),
      withBlock,
      ...(patience === undefined ? {} : { patience }),
    });
    return entries.map(({ id, envelope }, i) => ({
      id,
      envelope,
      place: { ...placed, entry: places[i]! },
    }));
  }

  async function run(): Promise<void> {
    isRunning = true;
    while (waiting.length > 0) {
      // Calls made together arrive at different instants: one transaction each would cost one signature each.
      await nextTurn();
      const groups: Waiting[][] = [];
      while (waiting.length > 0) groups.push(takeGroup());
      // Concurrently: the sequencer makes them durable together.
      await Promise.all(groups.map(writeGroup));
    }
    isRunning = false;
  }

  /** Takes one transaction's share of the waiting entries, in order. */
  function takeGroup(): Waiting[] {
    let count = 0;
    let bytes = 0;
    let taken = 0;
    for (const next of waiting) {
      count += next.entries.length;
      bytes += next.bytes;
      if (taken > 0 && (count > MAX_FILED_TOGETHER || bytes > MAX_BYTES_TOGETHER)) break;
      taken++;
    }
    const group = waiting.slice(0, taken);
    waiting = waiting.slice(taken);
    return group;
  }

  async function writeGroup(group: readonly Waiting[]): Promise<void> {
    try {
      const all = group.flatMap(({ entries }) => entries);
      // Without decoys: nobody can tell whose the other entries are, and decoys would tell that two are of one.
      const filed = await write(all, inOrder(all));
      let at = 0;
      for (const { entries, resolve } of group) resolve(filed.slice(at, (at += entries.length)));
    } catch (error) {
      if (group.length > 1 && isCertainlyNotWritten(error)) {
        // One caller's bad entries must not make the others fail.
        for (const one of group) await writeGroup([one]);
      } else {
        for (const { reject } of group) reject(error);
      }
    }
  }

  return {
    file(entries) {
      return track(
        new Promise<Filed[]>((resolve, reject) => {
          const bytes = entries.reduce((sum, entry) => sum + sizeOfSealed(entry), 0);
          waiting.push({ entries, bytes, resolve, reject });
          if (!isRunning) void run();
        }),
      );
    },
    fileAlone: (entries, ...how) => track(write(entries, withDecoys(context, entries), ...how)),
    fileClear: (entries) => track(place(entries, {})),
    waiting: () => sequencer.waiting?.() ?? [],
    async idle() {
      while (underway.size > 0) await Promise.allSettled(underway);
    },
  };
}

function isSequenceTaken(error: unknown): boolean {
  return error instanceof TransactionRefused && error.refused.reason === "replayed-sequence";
}

/** Whether filing failed in a way that rules out that any of the entries reaches the ledger. */
export function isCertainlyNotWritten(error: unknown): boolean {
  return (
    error instanceof TransactionRefused ||
    (error instanceof ChainError && error.code === "ERR_CHAIN_CLOCK") ||
    (error instanceof StorageError && error.code === "ERR_STORAGE_LIMIT")
  );
}
