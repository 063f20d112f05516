import type { Labeller } from "../../consent/labels/labeller.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import { readSteps } from "../../fhir/bundle.ts";
import type { Addressable } from "../../fhir/references.ts";
import type { FhirResource } from "../../fhir/resource.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { bySlices } from "../../loop/give-turn.ts";
import { findVersions } from "./label-bundle.ts";
import { labelBySlices } from "./label-context.ts";
import type { FoldedRecord } from "./current-record.ts";
import { isNormal, isOwn, labelName, uniteLabels } from "../../consent/labels/unite-labels.ts";

/** Dependencies of relabelling a record. */
export interface FreshLabelsOptions {
  readonly labeller: Labeller;
  /** The previous labeller. */
  readonly former?: Labeller | undefined;
  /** The person's other records: those that this one refers to affect its labels. */
  readonly among: Iterable<FoldedRecord>;
  textOf(item: CatalogueItem): Promise<Uint8Array>;
}

/**
 * The labels of a record by the current rules, its content being unchanged.
 *
 * Labels by anyone else who judged the whole record are trusted as before, and only added to. A
 * record that the rules could judge once but cannot judge any more keeps its labels and loses the
 * stamp.
 */
export async function freshLabels(
  record: FoldedRecord,
  options: FreshLabelsOptions,
): Promise<ResourceLabels | null> {
  const { labeller, former } = options;
  const { labels: current } = record;
  const { resource } = await bySlices(readSteps(await options.textOf(record.head)));
  const judge = async (by: Labeller): Promise<ResourceLabels | null> =>
    besideAttachments(
      await labelAmong(record, resource, by, options),
      record.head.manifest.attachments,
    );
  const fresh = await judge(labeller);
  const stamp = current?.stamp ?? null;
  if (current === null || stamp === null) {
    const before = former === undefined ? fresh : await judge(former);
    const united = uniteLabels(fresh, current, before, labeller);
    // A record that could be judged but has no stamp was left open: nobody else may close it.
    if (united === null || before === null || before.stamp === null) return united;
    return current === null && united.codes.every(isNormal) ? null : { ...united, stamp: null };
  }
  const own = isOwn(stamp, labeller) || stamp.labeller === former?.name;
  if (own && fresh !== null && fresh.stamp !== null) return fresh;
  const codes = joined(current, fresh);
  if (!own) return { codes, stamp };
  return codes.every(isNormal) ? null : { codes, stamp: null };
}

/**
 * The effective labels of a resource for a record that also has attachments: nobody has judged the
 * attachments, so there is no stamp.
 */
export function besideAttachments(
  labels: ResourceLabels | null,
  attachments: readonly unknown[] | undefined,
): ResourceLabels | null {
  if (labels === null || attachments === undefined || attachments.length === 0) return labels;
  return labels.codes.every(isNormal) ? null : { ...labels, stamp: null };
}

/** Labels a resource, looking up its references round by round. */
async function labelAmong(
  record: FoldedRecord,
  resource: FhirResource,
  labeller: Labeller,
  { among, textOf }: FreshLabelsOptions,
): Promise<ResourceLabels | null> {
  const find = findVersions(Array.from(among, addressOf).filter((one) => one !== undefined));
  const loaded = new Map<FoldedRecord, FhirResource>();
  const home = new Map<object, Addressable>([[resource, addressOf(record) ?? { resource }]]);
  for (;;) {
    const wanted = new Set<AddressedRecord>();
    const labels = await labelBySlices(labeller, resource, {
      resolve(reference, from) {
        const named = find(reference, home.get(from) ?? { resource });
        const missing = named.filter((one) => !loaded.has(one.record));
        for (const one of missing) wanted.add(one);
        return missing.length > 0 ? undefined : named.map((one) => loaded.get(one.record));
      },
    });
    if (wanted.size === 0 || loaded.size > MAX_FOUND) return labels;
    for (const one of wanted) {
      const { resource: target } = await bySlices(readSteps(await textOf(one.record.head)));
      loaded.set(one.record, target);
      home.set(target, one);
    }
  }
}

const MAX_FOUND = 256;

interface AddressedRecord extends Addressable {
  readonly record: FoldedRecord;
}

/** A record under the names that references use: its `fullUrl`, and its type and id. */
function addressOf(record: FoldedRecord): AddressedRecord | undefined {
  const { resource, fullUrl } = record.head.manifest;
  if (resource === undefined || record.retracted) return undefined;
  return {
    record,
    resource: {
      resourceType: resource.type,
      ...(resource.id === undefined ? {} : { id: resource.id }),
    },
    ...(fullUrl === undefined ? {} : { fullUrl }),
  };
}

type Code = ResourceLabels["codes"][number];

function joined(current: ResourceLabels, fresh: ResourceLabels | null): readonly Code[] {
  const added = (fresh?.codes ?? []).filter((code) => !isNormal(code));
  const kept = added.length > 0 ? current.codes.filter((code) => !isNormal(code)) : current.codes;
  return [...new Map([...kept, ...added].map((code) => [labelName(code), code])).values()];
}

/** Whether two sets of labels are equal, in any order. */
export function isSameLabels(one: ResourceLabels | null, other: ResourceLabels | null): boolean {
  const key = (labels: ResourceLabels | null): string =>
    JSON.stringify(
      labels === null
        ? null
        : [labels.codes.map(labelName).sort(), labels.stamp?.labeller, labels.stamp?.version],
    );
  return key(one) === key(other);
}
