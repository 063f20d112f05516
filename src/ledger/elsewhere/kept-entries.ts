import { decodeEntry, entryId, isCustom } from "../../block/entry.ts";
import { decodeSubjectEntry, subjectEntryKind } from "../../block/subject-entry.ts";
import type { TransactionWithEntries } from "../../block/transaction.ts";
import { equalBytes } from "../../bytes/compare.ts";
import type { CID } from "../../codec/cid.ts";
import { entryIdBytes, toEntryId, type EntryId, type RecordId } from "../../codec/ids.ts";
import { ChainError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { isPresent, type CatalogueItem } from "../entries/catalogue-item.ts";
import { openManifest } from "../entries/own-envelope.ts";
import type { IndexItem } from "../index/rows.ts";
import { currentRecords } from "../records/current-record.ts";
import { BINDING, type Outbox, type Waiting } from "./outbox.ts";

/** An access entry that is kept in the outbox. */
export interface KeptAccess {
  /** Its place is none: it has the height of the next block. */
  readonly item: CatalogueItem;
  /** The transaction that holds it, signed by this member. */
  readonly signed: TransactionWithEntries;
  /** Name of the transaction in the outbox. */
  readonly kept: string;
  /** Why it will not be recorded. */
  readonly refused?: string;
}

/** Entries of this member in its outbox, opened. */
export interface KeptEntries {
  /** The access entries whose refusal, if they were refused, nobody has dismissed. */
  accesses(): Promise<readonly KeptAccess[]>;
  /** The access entry that answers a request, unless it was refused. */
  answering(request: Uint8Array): Promise<KeptAccess | undefined>;
  /**
   * @param persons - local ids of a person and of those joined with them
   * @throws {ChainError} `ERR_CHAIN_PENDING` while a consent, a link or an erasure is kept that may concern them,
   *   whoever waits for it
   */
  assertNothingBinds(persons: readonly Uint8Array[]): Promise<void>;
  /**
   * @param whose - `unawaited`: leaves out what somebody waits for, for who decides again behind it
   * @throws {ChainError} `ERR_CHAIN_PENDING` while a retraction or new labels of one of these records are kept
   */
  assertNoneEnds(records: readonly RecordId[], whose: "all" | "unawaited"): Promise<void>;
}

/** Operations of links that change nothing about who may see what. */
const HARMLESS: readonly string[] = ["reviewed", "deliver", "delivered"];
/** Operations by which a record is released no more, or by other labels. */
const ENDING: readonly string[] = ["retract", "relabel"];
/** Operations that concern everybody. */
const FOR_ALL: readonly string[] = ["witnesses"];

/** Reads what an outbox keeps. */
export function keptEntries(
  context: LedgerContext & { readonly catalogue: Catalogue },
  outbox: Outbox,
): KeptEntries {
  const { catalogue, chain, signer } = context;
  const opened = new WeakMap<Waiting, Promise<readonly IndexItem[]>>();

  async function open({ row, prepared: { kinds } }: Waiting): Promise<readonly IndexItem[]> {
    const items: IndexItem[] = [];
    for (const [entry, bytes] of row.signed.entries.entries()) {
      const [kind, envelope] = [kinds[entry]!, bodyOf(bytes)];
      if (envelope === undefined) continue;
      const place = { height: chain.size, transaction: 0, entry };
      const id = entryId(chain.ledger, signer.actor, bytes);
      const told = await openManifest(context, { kind, envelope, place });
      const { manifest } = told ?? {};
      items.push({
        ...{ id, place, kind, envelope, recordedAt: row.since },
        ...(manifest === undefined ? {} : { manifest }),
      });
    }
    return items;
  }

  function itemsOf(waiting: Waiting): Promise<readonly IndexItem[]> {
    let items = opened.get(waiting);
    if (items === undefined) {
      items = open(waiting);
      opened.set(waiting, items);
      items.catch(() => opened.delete(waiting));
    }
    return items;
  }

  /** Transactions with entries of these kinds whose refusal, if they were refused, nobody has heard of. */
  const withKinds = (kinds: readonly string[]): readonly Waiting[] =>
    outbox
      .waiting()
      .filter(
        ({ row, isTold, prepared }) =>
          !row.told && !isTold && prepared.kinds.some((kind) => kinds.includes(kind)),
      );

  async function accesses(): Promise<readonly KeptAccess[]> {
    const found: KeptAccess[] = [];
    for (const waiting of withKinds(["access"])) {
      const { refused } = waiting.row;
      const signed = copyOf(waiting.row.signed);
      for (const item of await itemsOf(waiting)) {
        if (item.kind !== "access" || !isPresent(item)) continue;
        const kept = String(waiting.order);
        found.push({ item, kept, signed, ...(refused === undefined ? {} : { refused }) });
      }
    }
    return found;
  }

  return {
    accesses,
    async answering(request) {
      return (await accesses()).find(
        ({ item: { manifest }, refused }) =>
          refused === undefined &&
          manifest.request !== undefined &&
          equalBytes(manifest.request, request),
      );
    },
    async assertNothingBinds(persons) {
      const binds = ({ kind, manifest }: IndexItem): boolean => {
        if (!BINDING.includes(kind)) return false;
        if (manifest === undefined || FOR_ALL.includes(manifest.op)) return true;
        const named = [manifest.local, ...(manifest.other === undefined ? [] : [manifest.other])];
        return (
          !HARMLESS.includes(manifest.op) &&
          named.some((one) => persons.some((person) => equalBytes(one, person)))
        );
      };
      let isFree = outbox.isWhole();
      for (const waiting of withKinds(BINDING)) {
        if (isHere(waiting)) continue;
        if ((await itemsOf(waiting)).some(binds)) isFree = false;
      }
      if (isFree) return;
      throw new ChainError(
        "ERR_CHAIN_PENDING",
        "a consent, a link or an erasure that may concern this person waits in the outbox: see `outbox`",
      );
    },
    async assertNoneEnds(records, whose) {
      const follows = new Map<EntryId, EntryId>();
      const ending: EntryId[] = [];
      let isFree = true;
      for (const waiting of withKinds(["record"])) {
        if (isHere(waiting)) continue;
        const counts = whose === "all" || waiting.callers === undefined;
        for (const { id, kind, manifest } of await itemsOf(waiting)) {
          if (kind !== "record") continue;
          if (manifest === undefined) isFree &&= !counts;
          if (manifest?.replaces === undefined) continue;
          follows.set(toEntryId(id), manifest.replaces);
          if (counts && ENDING.includes(manifest.op)) ending.push(manifest.replaces);
        }
      }
      for (let id of ending) {
        // What it follows may be kept, too.
        while (follows.has(id)) id = follows.get(id)!;
        const record = await recordOf(id);
        if (record !== undefined && records.includes(record)) isFree = false;
      }
      if (isFree) return;
      throw new ChainError(
        "ERR_CHAIN_PENDING",
        "a retraction or new labels of a record that is asked for wait in the outbox: see `outbox`",
      );
    },
  };

  /** Those in a block that is here are decided by. */
  function isHere({ place }: Waiting): boolean {
    return place !== undefined && place.height < chain.size;
  }

  /** The record that an entry on the ledger is about. */
  async function recordOf(entry: EntryId): Promise<RecordId | undefined> {
    const id = entryIdBytes(entry);
    const found = await catalogue.find(id);
    if (found.status !== "present") return undefined;
    const { local } = found.item.manifest;
    const [record] = currentRecords(await catalogue.recordItems(local, id)).keys();
    return record;
  }
}

/** It is given out, and the outbox's own must not change. */
const copyOf = ({ tx, alg, sig, entries }: TransactionWithEntries): TransactionWithEntries => ({
  ...{ alg, tx: tx.slice(), sig: sig.slice() },
  entries: entries.map((entry) => entry.slice()),
});

/** CID of the envelope that an entry names. */
export function bodyOf(bytes: Uint8Array): CID | undefined {
  if (subjectEntryKind(bytes) !== undefined) return decodeSubjectEntry(bytes)?.body;
  const entry = decodeEntry(bytes);
  return !isCustom(entry) && "body" in entry ? entry.body : undefined;
}
