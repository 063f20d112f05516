import { equalBytes } from "../../bytes/compare.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import {
  recordIdBytes,
  toEntryId,
  toRecordId,
  type EntryId,
  type RecordId,
} from "../../codec/ids.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import { RecordError, StorageError } from "../../errors.ts";
import { afterWriting } from "../../storage/settle.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { Filed, Filing } from "../entries/filing.ts";
import type { Manifest } from "../entries/manifest.ts";
import { lostEntry } from "../entries/own-envelope.ts";
import type { Subject } from "../entries/subjects.ts";
import { personName, sharedOfAll, type Turns } from "../turns.ts";
import { currentRecords, sourceOf, type FoldedRecord } from "./current-record.ts";
import type { RecordContent, RecordContents } from "./record-content.ts";

/** A version of a record that was filed. */
export interface RecordedVersion {
  /** Names the record through all its versions. */
  readonly id: RecordId;
  /** Names the entry of this version. */
  readonly entry: EntryId;
  readonly place: EntryPlace;
  /** Labels by which consent will judge the version; `null` if nothing could be told. */
  readonly labels: ResourceLabels | null;
}

/** An existing record, and the person it is about. */
export type LivingRecord = FoldedRecord & { readonly subject: Subject };

export const changedMeanwhile = (): RecordError =>
  new RecordError("ERR_RECORD_CONFLICT", "another process changed this record meanwhile");

const wasErased = (): RecordError => new RecordError("ERR_RECORD_ERASED", "this record was erased");

export function assertLiving({ retracted }: FoldedRecord): void {
  if (retracted) {
    throw new RecordError(
      "ERR_RECORD_RETRACTED",
      "this record was retracted, or moved to another person",
    );
  }
}

/** Id of the entry that the next entry about a record must follow. */
export const newestOf = ({ history }: FoldedRecord): Uint8Array => history.at(-1)!.id;

/** Dependencies of filing versions of records. */
export interface VersionTools {
  readonly catalogue: Catalogue;
  readonly filing: Filing;
  readonly turns: Turns;
  readonly contents: RecordContents;
  /** Destroys entries that were filed about a record while it was erased. */
  readonly abandon: (subject: Subject, ids: readonly Uint8Array[]) => Promise<void>;
}

/** Finds records by their ids, and files operations on them. */
export interface RecordVersions {
  /** The record that an entry belongs to, as it is now. */
  findBy(id: Uint8Array): Promise<LivingRecord>;
  /** The record with an id, as it is now. */
  find(id: RecordId): Promise<LivingRecord>;
  /**
   * Changes a record while nobody else in this process changes it. The persons cannot be forgotten
   * meanwhile.
   */
  change<T>(
    id: RecordId,
    work: (record: LivingRecord) => Promise<T>,
    ...others: readonly Subject[]
  ): Promise<T>;
  /** Files one operation on an existing record. */
  appendVersion(
    record: LivingRecord,
    manifest: Omit<Manifest, "v" | "local" | "replaces">,
    content?: RecordContent,
  ): Promise<RecordedVersion>;
  /** Files a correction of an existing record. */
  amend(
    record: LivingRecord,
    manifest: Omit<Manifest, "v" | "local" | "replaces">,
    content: RecordContent,
  ): Promise<RecordedVersion>;
  /** Entries that another process filed about a record, unseen, before this entry. */
  concurrentEntries(
    subject: Subject,
    entry: Uint8Array,
    replaces: Uint8Array,
  ): Promise<readonly CatalogueItem[]>;
  /**
   * Makes sure that an entry was not erased, unseen, before others followed it: those would outlive
   * the entry that they follow.
   */
  assertKept(
    replaces: Uint8Array,
    followers: readonly { readonly subject: Subject; readonly id: Uint8Array }[],
  ): Promise<void>;
}

/** The version that a filing made: the first version of a record, unless a record is named. */
export const version = (
  { id, place }: Filed,
  labels: ResourceLabels | null,
  record: RecordId = toRecordId(id),
): RecordedVersion => ({ id: record, entry: toEntryId(id), place, labels });

/** Finds and changes the records of a ledger. */
export function recordVersions({
  catalogue,
  filing,
  turns,
  contents,
  abandon,
}: VersionTools): RecordVersions {
  async function findBy(id: Uint8Array): Promise<LivingRecord> {
    await catalogue.catchUp();
    const found = await catalogue.find(id);
    if (found.status === "erased") {
      throw wasErased();
    }
    if (found.status === "lost") throw lostEntry(found.kind, id);
    if (found.status === "missing" || found.item.kind !== "record") {
      throw new RecordError("ERR_RECORD_NOT_FOUND", "this custodian has no such record");
    }
    const subject = { local: found.item.manifest.local };
    const record = await foldedWith(subject, id);
    if (record !== undefined) return { ...record, subject };
    throw new StorageError(
      "ERR_STORAGE_MISSING",
      "the record's first version is missing from the store",
    );
  }

  /** The record that an entry about a person belongs to. */
  async function foldedWith({ local }: Subject, id: Uint8Array): Promise<FoldedRecord | undefined> {
    const [record] = currentRecords(await catalogue.recordItems(local, id)).values();
    return record?.history.some((item) => equalBytes(item.id, id)) === true ? record : undefined;
  }

  async function find(id: RecordId): Promise<LivingRecord> {
    const found = await findBy(recordIdBytes(id));
    if (found.record === id) return found;
    throw new RecordError(
      "ERR_RECORD_NOT_FOUND",
      "this id names one version: the id of a record is that of the entry that created it",
    );
  }

  async function change<T>(
    id: RecordId,
    work: (record: LivingRecord) => Promise<T>,
    ...others: readonly Subject[]
  ): Promise<T> {
    const { record, subject } = await find(id);
    const people = [subject, ...others].map(personName);
    return sharedOfAll(turns, people, () =>
      turns.exclusive(`record ${record}`, async () => {
        const living = await find(id);
        assertLiving(living);
        return work(living);
      }),
    );
  }

  async function concurrentEntries(
    subject: Subject,
    entry: Uint8Array,
    replaces: Uint8Array,
  ): Promise<readonly CatalogueItem[]> {
    await catalogue.catchUp();
    const { history = [] } = (await foldedWith(subject, entry)) ?? {};
    const placeOf = (wanted: Uint8Array): number =>
      history.findIndex(({ id }) => equalBytes(id, wanted));
    return history.slice(placeOf(replaces) + 1, Math.max(0, placeOf(entry)));
  }

  async function assertKept(
    replaces: Uint8Array,
    followers: readonly { readonly subject: Subject; readonly id: Uint8Array }[],
  ): Promise<void> {
    if ((await catalogue.find(replaces)).status !== "erased") return;
    for (const { subject, id } of followers) await abandon(subject, [id]);
    throw wasErased();
  }

  async function appendVersion(
    record: LivingRecord,
    manifest: Omit<Manifest, "v" | "local" | "replaces">,
    content?: RecordContent,
  ): Promise<RecordedVersion> {
    const replaces = newestOf(record);
    const prepared = content?.upload?.manifest.replaces;
    if (prepared !== undefined) {
      // Another process may have changed the record while the attachments were being sealed.
      const current = await findBy(replaces);
      if (prepared !== toEntryId(newestOf(current))) throw changedMeanwhile();
    }
    const full = { ...sourceOf(record), ...manifest, replaces: toEntryId(replaces) };
    const sealed = await contents.seal(record.subject, full, content);
    const filed = (await filing.file([sealed]))[0]!;
    const unseen = await afterWriting(async () => {
      const others = await concurrentEntries(record.subject, filed.id, replaces);
      await assertKept(replaces, [{ subject: record.subject, id: filed.id }]);
      return others;
    });
    if (manifest.op !== "retract" && unseen.length > 0) throw changedMeanwhile();
    return version(filed, manifest.labels ?? null, record.record);
  }

  const amend = async (
    record: LivingRecord,
    manifest: Omit<Manifest, "v" | "local" | "replaces">,
    content: RecordContent,
  ): Promise<RecordedVersion> => {
    const full = { ...manifest, replaces: toEntryId(newestOf(record)) };
    return contents.prepare(record.subject, full, content, (ready) =>
      appendVersion(record, manifest, ready),
    );
  };

  return { findBy, find, change, appendVersion, amend, concurrentEntries, assertKept };
}
