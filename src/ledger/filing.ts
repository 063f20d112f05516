import type { CID } from "multiformats/cid";
import { encodeEntry, entryId, type ErasureClass } from "../block/entry.ts";
import { MAX_TRANSACTION_ENTRIES } from "../block/limits.ts";
import { encodeSubjectEntry } from "../block/subject-entry.ts";
import { subjectTag } from "../block/tag.ts";
import { createAuthor, type Author } from "../chain/author.ts";
import type { EntryPlace } from "../chain/make-receipt.ts";
import type { Sequencer } from "../chain/sequencer.ts";
import { seqKey } from "../chain/state.ts";
import { TransactionRefused } from "../chain/submission.ts";
import type { PartContent, SealedEnvelope } from "../envelope/seal.ts";
import { sealEnvelope } from "../envelope/seal.ts";
import { StorageError } from "../errors.ts";
import type { Blob, StateChange } from "../storage/types.ts";
import type { LedgerContext } from "./context.ts";
import { encodeManifest, type Manifest } from "./manifest.ts";

/** A sealed entry that is not filed yet. */
export interface SealedEntry {
  readonly id: Uint8Array;
  readonly entry: Uint8Array;
  readonly envelope: CID;
  readonly manifest: Manifest;
  /** What must be durable with the entry: header, ciphertext, the custodian's own key. */
  readonly blobs: readonly Blob[];
  readonly state: readonly StateChange[];
}

/** What an entry is about. */
export type EntryToMake = { readonly manifest: Manifest } & (
  | { readonly kind: "record" | "consent" | "access"; readonly subjectKey: Uint8Array }
  | { readonly kind: "link" }
  | { readonly kind: "erase"; readonly class: ErasureClass }
);

/** What an entry is about and says. */
export type EntryToSeal = EntryToMake & {
  /** Sealed beside the manifest; borrowed. */
  readonly parts: readonly PartContent[];
  /** Root over values that can be shown one by one. */
  readonly disclosed?: Uint8Array;
};

/** A filed entry. */
export interface Filed {
  readonly id: Uint8Array;
  readonly place: EntryPlace;
  readonly envelope: CID;
}

/** Name under which the vault keeps an envelope's content key. */
export const contentKeyName = (context: Pick<LedgerContext, "vault">, envelope: CID): Uint8Array =>
  context.vault.name("cek", envelope.bytes);

/** Seals an entry's envelope and makes the entry. */
export async function sealEntry(context: LedgerContext, what: EntryToSeal): Promise<SealedEntry> {
  const { chain, signer, random, suite } = context;
  const { disclosed } = what;
  const sealed = await sealEnvelope({
    context: { ledger: chain.ledger, author: signer.actor, kind: what.kind },
    parts: [{ id: "manifest", bytes: encodeManifest(what.manifest) }, ...what.parts],
    signer,
    random,
    suite,
    ...(disclosed === undefined ? {} : { disclosed }),
  });
  return entryOf(context, what, sealed, [
    { cid: sealed.cid, bytes: sealed.header },
    ...sealed.blocks,
  ]);
}

/**
 * Makes the entry that names an envelope; wipes its content key.
 *
 * @param blobs - those of the envelope that become durable with the entry
 * @param state - what else does
 */
export function entryOf(
  context: LedgerContext,
  what: EntryToMake,
  sealed: Pick<SealedEnvelope, "cid" | "cek">,
  blobs: readonly Blob[],
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
    blobs,
    state: [key, ...state],
  };
}

/** Files sealed entries on the ledger, those of many callers in one transaction. */
export interface Filing {
  /**
   * Files entries together with whatever else is waiting, so that entries of one transaction
   * are of many persons. Resolves when durable.
   */
  file(entries: readonly SealedEntry[]): Promise<Filed[]>;
  /** Files entries as a transaction of their own. */
  fileAlone(entries: readonly SealedEntry[], state?: readonly StateChange[]): Promise<Filed[]>;
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
}

/** Most entries that one transaction of this layer takes. */
export const MAX_FILED_TOGETHER: number = Math.min(1000, MAX_TRANSACTION_ENTRIES);
/** Bytes of headers and ciphertext beyond which a transaction of this layer takes no more. */
export const MAX_BYTES_TOGETHER: number = 8 * 1024 * 1024;

/** Bytes that become durable with an entry. */
export const sizeOfSealed = ({ entry, blobs }: SealedEntry): number =>
  blobs.reduce((sum, { bytes }) => sum + bytes.length, entry.length);

/** Starts filing; `lane` separates processes that write with one key. */
export async function createFiling(
  context: LedgerContext,
  sequencer: Sequencer,
  lane: number,
): Promise<Filing> {
  const { chain, signer, now } = context;
  await chain.state.load([seqKey(signer.key, lane)]);
  const author: Author = createAuthor({
    ledger: chain.ledger,
    sequencer,
    signer,
    lane,
    lastSeq: chain.state.seq(signer.key, lane) ?? -1,
    now,
  });
  interface Waiting {
    readonly entries: readonly SealedEntry[];
    readonly bytes: number;
    resolve(filed: Filed[]): void;
    reject(error: unknown): void;
  }
  let waiting: Waiting[] = [];
  let running: Promise<void> | undefined;
  const underway = new Set<Promise<unknown>>();

  function track<T>(work: Promise<T>): Promise<T> {
    underway.add(work);
    const done = () => void underway.delete(work);
    work.then(done, done);
    return work;
  }

  async function write(
    entries: readonly SealedEntry[],
    state: readonly StateChange[] = [],
  ): Promise<Filed[]> {
    const submission = await author.write(
      entries.map(({ entry }) => entry),
      {
        blobs: entries.flatMap(({ blobs }) => blobs),
        state: [...entries.flatMap((one) => one.state), ...state],
      },
    );
    const place = await submission.durable;
    return entries.map(({ id, envelope }, entry) => ({ id, envelope, place: { ...place, entry } }));
  }

  async function run(): Promise<void> {
    while (waiting.length > 0) {
      const groups: Waiting[][] = [];
      while (waiting.length > 0) groups.push(takeGroup());
      // All at once: the sequencer makes them durable together.
      await Promise.all(groups.map(writeGroup));
    }
  }

  /** Takes from what waits one transaction's share, in order. */
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
      const filed = await write(group.flatMap(({ entries }) => entries));
      let at = 0;
      for (const { entries, resolve } of group) resolve(filed.slice(at, (at += entries.length)));
    } catch (error) {
      if (group.length > 1 && isCertainlyNotWritten(error)) {
        // What one caller brought must not take the others down with it.
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
          running ??= Promise.resolve()
            .then(run)
            .finally(() => {
              running = undefined;
            });
        }),
      );
    },
    fileAlone: (entries, state) => track(write(entries, state)),
    async idle() {
      while (underway.size > 0) await Promise.allSettled(underway);
    },
  };
}

/** Whether filing failed so that nothing of it can come to stand on the ledger. */
export function isCertainlyNotWritten(error: unknown): boolean {
  return (
    error instanceof TransactionRefused ||
    (error instanceof StorageError && error.code === "ERR_STORAGE_LIMIT")
  );
}
