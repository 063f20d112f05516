import { recordCreatedBy, toEntryId, type EntryId, type RecordId } from "../../codec/ids.ts";
import type { ConsentResource, ResourceLabels } from "../../consent/model/resource.ts";
import { toConsentResource } from "../../fhir/consent-resource.ts";
import { isOutdated, type Labeller } from "../../consent/labels/labeller.ts";
import { cidFromDigest, type Codec } from "../../codec/cid.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { copyManifest } from "../entries/manifest.ts";
import { comparePlaces, type CatalogueItem } from "../entries/catalogue-item.ts";
import { isNormal, labelsOfBoth } from "../../consent/labels/unite-labels.ts";

/** One of the entries about a record, with what its envelope says of itself. */
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

/** A record as the catalogue's items make it. */
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
  /** Those that were created behind this place on the ledger. */
  readonly behind?: EntryPlace;
  /** At most so many. */
  readonly limit?: number;
}

/** A record while its entries are gone through. */
type Growing = { -readonly [Name in keyof FoldedRecord]: FoldedRecord[Name] } & {
  readonly history: CatalogueItem[];
};

/**
 * Folds a person's entries into records: amendments replace content, relabelling replaces labels,
 * retraction and re-attribution end a record. What follows an entry that is not there is left out.
 * Who labelled without having seen what another had said last takes away nothing of that.
 *
 * @param page - which of the records, by the order of the entries that created them; default all
 * @returns by that order
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
    if (op === "create" || op === "reattribute") {
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
 * A record as it is given to whoever calls: nothing that he can change is the index's own. What tells of
 * its content and its labels is frozen, and shared.
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
 * What the labels of a record are worth under the current rules: older rules stamped as judged what
 * these may find sensitive, or cannot judge. What they found stands.
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
    /** By whose rules a stamp of older ones is told. */
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
    // An unstamped `null` must not fall back to what the resource says of itself.
    labels: labels ?? { codes: [], stamp: null },
    controller,
    ...(jurisdictions === undefined ? {} : { jurisdictions }),
    recordedAt: head.recordedAt,
  });
}
