import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { recordCreatedBy, toEntryId, type EntryId, type RecordId } from "../../codec/ids.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import { isSameServer, serverNameIn } from "../../fhir/source-name.ts";
import { compareVersions } from "../../fhir/version-order.ts";
import { cidFromDigest, type Codec } from "../../codec/cid.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { copyManifest, type Manifest } from "../entries/manifest.ts";
import { comparePlaces, createsRecord, type CatalogueItem } from "../entries/catalogue-item.ts";
import { labelsOfBoth } from "../../consent/labels/unite-labels.ts";

/** One of the entries about a record, with what its envelope says about itself. */
export interface RecordEntry extends Pick<
  CatalogueItem,
  "place" | "kind" | "envelope" | "recordedAt" | "manifest"
> {
  readonly id: EntryId;
}

/** A record as it is now: its newest content, its newest labels. */
export interface CurrentRecord {
  /** Names the record through all its versions. */
  readonly record: RecordId;
  /** The entry whose envelope holds the newest content. */
  readonly head: RecordEntry;
  readonly labels: ResourceLabels | null;
  /** Every entry about it, in ledger order. */
  readonly history: readonly RecordEntry[];
  /** Entered in error, deleted at its source, moved to another person, or filed twice. */
  readonly retracted: boolean;
  /** The record that it repeats: two processes filed the same at once. */
  readonly repeats?: RecordId;
}

/** A record as folded from the catalogue's items. */
export interface FoldedRecord {
  readonly record: RecordId;
  /** The entry whose envelope holds the newest content. */
  readonly head: CatalogueItem;
  readonly labels: ResourceLabels | null;
  /** Every entry about it, in ledger order. */
  readonly history: readonly CatalogueItem[];
  /** Entered in error, deleted at its source, moved to another person, or filed twice. */
  readonly retracted: boolean;
  /** The record that it repeats. */
  readonly repeats?: RecordId;
}

/** Some of a person's records. */
export interface RecordPage {
  /** Only records created after this place on the ledger. */
  readonly behind?: EntryPlace;
  /** At most this many. */
  readonly limit?: number;
}

/** A record while its entries are being folded. */
type Growing = { -readonly [Name in keyof FoldedRecord]: FoldedRecord[Name] } & {
  readonly history: CatalogueItem[];
};

/**
 * Folds a person's entries into records: amendments replace content, relabelling replaces labels,
 * retraction and re-attribution end a record. Entries that follow a missing entry are left out. A
 * concurrent relabel never removes labels that it had not seen.
 *
 * A resource of a source is one record, and so is what was recorded with one idempotency key: of
 * two that were created at once the first on the ledger counts, and the other one has ended. Of two amendments made at once, the older version by what
 * the source says of both never becomes the newest content.
 *
 * @param page - selects records by the order of the entries that created them; default all
 * @returns the records in that order
 */
export function currentRecords(
  items: readonly CatalogueItem[],
  page: RecordPage = {},
): ReadonlyMap<RecordId, FoldedRecord> {
  const { behind, limit = Infinity } = page;
  if (behind !== undefined || limit !== Infinity) return fold(items, behind, limit);
  const known = items.length === 0 ? undefined : FOLDS.get(items[0]!);
  // The same list again, of which every entry is about a record.
  if (known?.items === items) return known.records;
  const some = items.filter(({ kind }) => kind === "record");
  const recording = some.length === items.length ? items : some;
  if (recording.length < WORTH_KEEPING) return fold(recording, undefined, Infinity);
  const [first] = recording;
  const before = FOLDS.get(first!);
  const isSame =
    before?.items.length === recording.length &&
    before.items.every((item, at) => item === recording[at]);
  const records = isSame ? before.records : fold(recording, undefined, Infinity);
  FOLDS.set(first!, { items: recording, records });
  return records;
}

/** From so many entries on, records that were folded are kept for the next call. */
const WORTH_KEEPING = 256;

/** What the entries that begin with one were folded into the last time. Nothing changes it any more. */
const FOLDS = /* @__PURE__ */ new WeakMap<
  CatalogueItem,
  {
    readonly items: readonly CatalogueItem[];
    readonly records: ReadonlyMap<RecordId, FoldedRecord>;
  }
>();

function fold(
  items: readonly CatalogueItem[],
  behind: EntryPlace | undefined,
  limit: number,
): ReadonlyMap<RecordId, FoldedRecord> {
  const records = new Map<RecordId, Growing>();
  const recordOf = new Map<EntryId, RecordId>();
  const repeated = openRepeats();
  for (const item of items) {
    if (item.kind !== "record") continue;
    const { op, replaces, labels } = item.manifest;
    const repeats = repeated.take(item);
    if (createsRecord(item.kind, item.manifest)) {
      if (behind !== undefined && comparePlaces(item.place, behind) <= 0) continue;
      if (records.size >= limit) continue;
      const id = toEntryId(item.id);
      const record = recordCreatedBy(id);
      recordOf.set(id, record);
      records.set(record, {
        record,
        head: item,
        labels: labels ?? null,
        history: [item],
        retracted: repeats !== undefined,
        ...(repeats !== undefined && { repeats }),
      });
      continue;
    }
    const name = replaces === undefined ? undefined : recordOf.get(replaces);
    const current = name === undefined ? undefined : records.get(name);
    if (name === undefined || current === undefined) continue;
    recordOf.set(toEntryId(item.id), name);
    const { history } = current;
    const said = labels ?? null;
    const seen = replaces === toEntryId(history.at(-1)!.id);
    if (op === "amend") {
      current.labels = seen ? said : labelsOfBoth(said, current.labels);
      if (seen || !isOlderAtSource(item, current.head)) current.head = item;
    } else if (op === "relabel") {
      const judged = history.slice(history.indexOf(current.head));
      const same = seen || judged.some((one) => toEntryId(one.id) === replaces);
      const both = same ? labelsOfBoth(said, current.labels) : labelsOfBoth(current.labels, said);
      current.labels = seen ? said : both;
    } else if (op === "retract") {
      current.retracted = true;
    } else continue;
    history.push(item);
  }
  for (const one of records.values()) preferNewer(one, records);
  return records;
}

/**
 * Of two persons who were joined, each may have a record of the resource. The one with the newer version counts,
 * whoever had theirs first: an older version must not be shown as the current one.
 */
function preferNewer(later: Growing, records: ReadonlyMap<RecordId, Growing>): void {
  const first = later.repeats === undefined ? undefined : records.get(later.repeats);
  if (first === undefined || first.repeats !== undefined) return;
  const [mine, yours] = [later.history[0]!, first.history[0]!];
  if (mine.manifest.source === undefined) return;
  if (equalBytes(mine.manifest.local, yours.manifest.local)) return;
  const said = [later, first].map(({ head }) => head.manifest.resource ?? {});
  const order = compareVersions(said[0]!, said[1]!);
  const isLast = comparePlaces(later.head.place, first.head.place) > 0;
  if (order !== "newer" && !(order === "unknown" && isLast)) return;
  const end = later.history.findLast(({ manifest: { op } }) => op === "retract");
  // What the custodian ended or moved by hand says nothing of the other person's record.
  if (end !== undefined && end.manifest.ending === undefined) return;
  later.retracted = end !== undefined;
  delete later.repeats;
  first.retracted = true;
  first.repeats = later.record;
}

/** The resource of a source that a record is, to be named in every entry about it. */
export function sourceOf({
  history,
}: Pick<FoldedRecord, "history">): Pick<Manifest, "source" | "nobody"> {
  const said = history.find(({ manifest }) => manifest.source !== undefined)?.manifest;
  if (said?.source === undefined) return {};
  const { name, type, id } = said.source;
  const { nobody } = said;
  return { source: { name, type, id }, ...(nobody === undefined ? {} : { nobody }) };
}

/**
 * Notices resources of a source that were created again while their record had not ended, and records
 * that were created again with one idempotency key.
 */
function openRepeats(): {
  /** Takes in the next entry; returns the record that it repeats, if it creates a second one. */
  take(item: CatalogueItem): RecordId | undefined;
} {
  interface Living {
    readonly record: RecordId;
    readonly base: string | undefined;
    readonly among: Set<Living>;
  }
  const byResource = new Map<string, Set<Living>>();
  /** The records by the entries about them. */
  const byEntry = new Map<EntryId, Living>();
  const byKey = new Map<string, RecordId>();
  return {
    take({ id, manifest: { op, source, replaces, fullUrl, idempotency } }) {
      const entry = toEntryId(id);
      if (idempotency !== undefined && op === "create") {
        const key = toHex(idempotency);
        const first = byKey.get(key);
        if (first !== undefined) return first;
        byKey.set(key, recordCreatedBy(entry));
      }
      if (source === undefined) return undefined;
      if (op !== "create" && op !== "reattribute") {
        const living = replaces === undefined ? undefined : byEntry.get(replaces);
        if (living === undefined) return undefined;
        byEntry.set(entry, living);
        if (op === "retract") living.among.delete(living);
        return undefined;
      }
      const name = JSON.stringify([source.name, source.type, source.id]);
      const among = byResource.get(name) ?? new Set<Living>();
      byResource.set(name, among);
      const base = serverNameIn(fullUrl)?.base;
      const first = [...among].find((one) => isSameServer(one.base, base));
      if (first !== undefined && op === "create") return first.record;
      const living = { record: recordCreatedBy(entry), base, among };
      among.add(living);
      byEntry.set(entry, living);
      return undefined;
    },
  };
}

/** Whether an amendment that did not know the newest content is older than that by its source. */
function isOlderAtSource({ manifest: one }: CatalogueItem, { manifest: head }: CatalogueItem) {
  if (one.source === undefined || one.resource === undefined || head.resource === undefined) {
    return false;
  }
  return compareVersions(one.resource, head.resource) === "older";
}

/**
 * A record as returned to callers: they cannot change the index through it. The values that
 * describe its content and labels are frozen, and shared.
 */
export function giveRecord(record: FoldedRecord): CurrentRecord {
  const history = record.history.map(giveItem);
  const head = history[record.history.indexOf(record.head)]!;
  return { ...record, head, history };
}

function giveItem(item: CatalogueItem): RecordEntry {
  const { id, place, kind, envelope, recordedAt, manifest } = item;
  return {
    id: toEntryId(id),
    place: { ...place },
    kind,
    recordedAt,
    envelope: cidFromDigest(envelope.multihash.digest, envelope.code as Codec),
    manifest: copyManifest(manifest),
  };
}
