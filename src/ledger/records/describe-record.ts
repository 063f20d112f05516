import { equalBytes } from "../../bytes/compare.ts";
import type { LabelOptions, Labeller } from "../../consent/labels/labeller.ts";
import { isOwn, uniteLabels } from "../../consent/labels/unite-labels.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import { readSteps, type ResourceText } from "../../fhir/bundle.ts";
import { bySlices } from "../../loop/give-turn.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { Manifest } from "../entries/manifest.ts";
import { currentRecords, sourceOf, type FoldedRecord } from "./current-record.ts";
import { describeText, FHIR_JSON, type Description } from "./describe-text.ts";
import { besideAttachments, freshLabels } from "./fresh-labels.ts";
import { labelBySlices } from "./label-context.ts";
import type { Marks } from "./marks.ts";
import type { RecordContents } from "./record-content.ts";
import type { LivingRecord } from "./record-versions.ts";

/** The description of a correction, and the labels that its author gave. */
export interface Correction extends Description, Pick<Manifest, "fullUrl" | "source">, Marks {
  readonly given?: ResourceLabels | null | undefined;
  readonly attachments?: readonly unknown[] | undefined;
}

/** The manifest of a correction. */
export interface Corrected extends Description, Pick<Manifest, "fullUrl" | "source">, Marks {
  readonly op: "amend";
}

/** Describes and labels records. */
export interface Describing {
  /** @param labels - used instead of the labeller's */
  manifestOf(
    text: ResourceText,
    labels: ResourceLabels | null | undefined,
    within?: LabelOptions,
  ): Promise<Description>;
  /** The manifest of a correction; if it brings no labels, it keeps those that others had set. */
  corrected(record: LivingRecord, correction: Correction): Promise<Corrected>;
  /** The record's labels by the current rules, taking the person's other records into account. */
  freshLabelsOf(record: LivingRecord, former?: Labeller): Promise<ResourceLabels | null>;
  /** The labeller's labels; findings of others who judged only part of the record are kept. */
  labellersOwn(record: LivingRecord): Promise<ResourceLabels | null>;
}

/** A record keeps its original `fullUrl`: its references are resolved against it. */
const addressOf = ({ manifest: { fullUrl } }: CatalogueItem): Pick<Manifest, "fullUrl"> =>
  fullUrl === undefined ? {} : { fullUrl };

/** The description in the newest version of a record, to be repeated in another version. */
export const describe = (
  record: FoldedRecord,
): Description & Pick<Manifest, "fullUrl" | "source"> & Marks => {
  const { head, labels } = record;
  const {
    mediaType = FHIR_JSON,
    resource,
    source,
    nobody,
    refers,
    identifiers,
    awaits,
  } = head.manifest;
  return {
    labels,
    mediaType,
    ...(resource === undefined ? {} : { resource }),
    ...addressOf(head),
    ...(nobody === undefined ? {} : { nobody }),
    ...(refers === undefined ? {} : { refers }),
    ...(identifiers === undefined ? {} : { identifiers }),
    ...(awaits === undefined ? {} : { awaits }),
    ...sourceOf(record),
    // The content is the same, so its digest is too.
    ...(source?.text === undefined ? {} : { source }),
  };
};

/** Describes records by a labeller. */
export function describing({
  labeller,
  catalogue,
  contents,
}: {
  readonly labeller: Labeller;
  readonly catalogue: Catalogue;
  readonly contents: RecordContents;
}): Describing {
  const manifestOf: Describing["manifestOf"] = (text, labels, within) =>
    describeText(labeller, text, labels, within);

  /** The labeller's labels for a record's newest content. */
  async function labelsOf(head: CatalogueItem): Promise<ResourceLabels | null> {
    const { resource } = await bySlices(readSteps(await contents.textOf(head)));
    const labels = await labelBySlices(labeller, resource);
    return besideAttachments(labels, head.manifest.attachments);
  }

  /** The labels of a correction that brings no labels of its own. */
  async function keptLabels(
    record: LivingRecord,
    fresh: ResourceLabels | null,
  ): Promise<ResourceLabels | null> {
    const { head, labels: current } = record;
    if (current?.stamp != null && isOwn(current.stamp, labeller)) return fresh;
    return uniteLabels(fresh, current, await labelsOf(head), labeller);
  }

  async function freshLabelsOf(
    record: LivingRecord,
    former?: Labeller,
  ): Promise<ResourceLabels | null> {
    const { local } = record.subject;
    // Without those of persons who are joined with this one: the labels outlast a parting.
    const own = (await catalogue.itemsOf(local)).filter(({ manifest }) =>
      equalBytes(manifest.local, local),
    );
    const among = currentRecords(own).values();
    return freshLabels(record, { labeller, former, among: [...among], textOf: contents.textOf });
  }

  async function labellersOwn(record: LivingRecord): Promise<ResourceLabels | null> {
    if (record.labels !== null && record.labels.stamp === null) return freshLabelsOf(record);
    return labelsOf(record.head);
  }

  async function corrected(
    record: LivingRecord,
    { given, attachments = record.head.manifest.attachments, ...manifest }: Correction,
  ): Promise<Corrected> {
    const correction = {
      op: "amend",
      ...sourceOf(record),
      ...manifest,
      ...addressOf(record.head),
    } as const;
    if (given !== undefined) return { ...correction, labels: given };
    const kept = await keptLabels(record, manifest.labels);
    return { ...correction, labels: besideAttachments(kept, attachments) };
  }

  return { manifestOf, corrected, freshLabelsOf, labellersOwn };
}
