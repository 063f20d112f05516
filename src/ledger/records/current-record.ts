import { recordCreatedBy, toEntryId, type EntryId, type RecordId } from "../../codec/ids.ts";
import type { ConsentResource, ResourceLabels } from "../../consent/model/resource.ts";
import { toConsentResource } from "../../fhir/consent-resource.ts";
import { isOutdated, type Labeller } from "../../consent/labels/labeller.ts";
import { cidFromDigest, type Codec } from "../../codec/cid.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { copyManifest } from "../entries/manifest.ts";
import { comparePlaces, createsRecord, type CatalogueItem } from "../entries/catalogue-item.ts";
import { isNormal, labelsOfBoth } from "../../consent/labels/unite-labels.ts";

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
  /** Entered in error, or moved to another person. */
  readonly retracted: boolean;
}

/** A record as folded from the catalogue's items. */
export interface FoldedRecord {
  readonly record: RecordId;
  /** The entry whose envelope holds the newest content. */
  readonly head: CatalogueItem;
  readonly labels: ResourceLabels | null;
  /** Every entry about it, in ledger order. */
  readonly history: readonly CatalogueItem[];
  /** Entered in error, or moved to another person. */
  readonly retracted: boolean;
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
 * @param page - selects records by the order of the entries that created them; default all
 * @returns the records in that order
 */
export function currentRecords(
  items: readonly CatalogueItem[],
  page: RecordPage = {},
): Map<RecordId, FoldedRecord> {
  const { behind, limit = Infinity } = page;
  const records = new Map<RecordId, Growing>();
  const recordOf = new Map<EntryId, RecordId>();
  for (const item of items) {
    if (item.kind !== "record") continue;
    const { op, replaces, labels } = item.manifest;
    if (createsRecord(item.kind, item.manifest)) {
      if (behind !== undefined && comparePlaces(item.place, behind) <= 0) continue;
      if (records.size >= limit) continue;
      const id = toEntryId(item.id);
      const record = recordCreatedBy(id);
      recordOf.set(id, record);
      const history = [item];
      records.set(record, {
        record,
        head: item,
        labels: labels ?? null,
        history,
        retracted: false,
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
      current.head = item;
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
  return records;
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

/**
 * The labels of a record that can be trusted under the current rules. If outdated rules stamped
 * them, "normal" and the stamp are dropped, since the current rules may find more, or may be unable
 * to judge it; every label that the older rules found is kept.
 */
function believedLabels(
  labels: ResourceLabels | null,
  labeller: Pick<Labeller, "name" | "version" | "replaces">,
): ResourceLabels | null {
  if (labels?.stamp == null || !isOutdated(labels.stamp, labeller)) return labels;
  return { codes: labels.codes.filter((code) => !isNormal(code)), stamp: null };
}

/** A record in the form in which consent judges it. */
export function judgedForm(
  record: FoldedRecord,
  {
    controller,
    labeller,
    jurisdictions,
  }: {
    readonly controller: string;
    /** Tells whose rules an older stamp came from. */
    readonly labeller: Pick<Labeller, "name" | "version" | "replaces">;
    readonly jurisdictions?: readonly string[];
  },
): ConsentResource {
  const { head } = record;
  const labels = believedLabels(record.labels, labeller);
  const description = head.manifest.resource;
  if (description === undefined) {
    return {
      type: "unknown",
      codes: [],
      labels,
      controller,
      ...(jurisdictions === undefined ? {} : { jurisdictions }),
      recordedAt: head.recordedAt,
    };
  }
  return toConsentResource(description, {
    // An unstamped `null` must not fall back to the labels in the resource itself.
    labels: labels ?? { codes: [], stamp: null },
    controller,
    ...(jurisdictions === undefined ? {} : { jurisdictions }),
    recordedAt: head.recordedAt,
  });
}
