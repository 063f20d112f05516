import type { Labeller } from "../consent/labeller.ts";
import type { ResourceLabels } from "../consent/resource.ts";
import { CONFIDENTIALITY } from "../consent/terminology.ts";
import { readResource } from "../fhir/bundle.ts";
import type { CatalogueItem } from "./catalogue.ts";
import type { CurrentRecord } from "./records.ts";
import { uniteLabels } from "./unite-labels.ts";

/** What labelling a record anew stands on. */
export interface FreshLabelsOptions {
  readonly labeller: Labeller;
  /** The labeller before this one. */
  readonly former?: Labeller | undefined;
  /** The person's other records: what this one refers to tells about it. */
  readonly among: Iterable<CurrentRecord>;
  textOf(item: CatalogueItem): Promise<Uint8Array>;
}

/**
 * The labels of a record by the current rules, its content being the same.
 *
 * Whoever else judged the whole of it is believed as before, and only added to. What the rules could
 * judge once and cannot any more keeps its labels and loses the stamp.
 */
export async function freshLabels(
  record: CurrentRecord,
  options: FreshLabelsOptions,
): Promise<ResourceLabels | null> {
  const { labeller, former } = options;
  const { labels: current } = record;
  const { resource } = readResource(await options.textOf(record.head));
  const judge = async (by: Labeller): Promise<ResourceLabels | null> =>
    besideAttachments(await labelAmong(resource, by, options), record.head.manifest.attachments);
  const fresh = await judge(labeller);
  const stamp = current?.stamp ?? null;
  if (current === null || stamp === null) {
    const before = former === undefined ? fresh : await judge(former);
    const united = uniteLabels(fresh, current, before, labeller.name);
    // What could be judged and bears no stamp, somebody left open: nobody else closes it.
    if (united === null || before === null || before.stamp === null) return united;
    return current === null && united.codes.every(isNormal) ? null : { ...united, stamp: null };
  }
  const own = stamp.labeller === labeller.name || stamp.labeller === former?.name;
  if (own && fresh !== null && fresh.stamp !== null) return fresh;
  const codes = joined(current, fresh);
  if (!own) return { codes, stamp };
  return codes.every(isNormal) ? null : { codes, stamp: null };
}

/**
 * What the labels of a resource are worth for a record that has attachments too: nobody has judged
 * those, so that there is no stamp.
 */
export function besideAttachments(
  labels: ResourceLabels | null,
  attachments: readonly unknown[] | undefined,
): ResourceLabels | null {
  if (labels === null || attachments === undefined || attachments.length === 0) return labels;
  return labels.codes.every(isNormal) ? null : { ...labels, stamp: null };
}

/** Labels a resource, looking up what it refers to, round by round. */
async function labelAmong(
  resource: unknown,
  labeller: Labeller,
  { among, textOf }: FreshLabelsOptions,
): Promise<ResourceLabels | null> {
  const found = new Map<string, unknown>();
  for (;;) {
    const wanted = new Set<string>();
    const labels = labeller.label(resource, {
      resolve(reference) {
        if (!found.has(reference)) wanted.add(reference);
        return found.get(reference);
      },
    });
    if (wanted.size === 0 || found.size > MAX_FOUND) return labels;
    for (const reference of wanted) {
      const target = recordNamed(reference, among);
      const text = target === undefined ? undefined : await textOf(target.head);
      found.set(reference, text && readResource(text).resource);
    }
  }
}

const MAX_FOUND = 256;

/** By `Type/id`, by an address that ends so, or by the URN that a bundle gave. */
function recordNamed(reference: string, among: Iterable<CurrentRecord>): CurrentRecord | undefined {
  for (const record of among) {
    const resource = record.head.manifest.resource;
    if (resource?.id === undefined || record.retracted) continue;
    const name = `${resource.type}/${resource.id}`;
    if (reference === name || reference.endsWith(`/${name}`)) return record;
    if (reference === `urn:uuid:${resource.id}`) return record;
  }
  return undefined;
}

type Code = ResourceLabels["codes"][number];
const nameOf = ({ system, code }: Code): string => JSON.stringify([system, code]);
const isNormal = ({ system, code }: Code): boolean => system === CONFIDENTIALITY && code === "N";

function joined(current: ResourceLabels, fresh: ResourceLabels | null): readonly Code[] {
  const added = (fresh?.codes ?? []).filter((code) => !isNormal(code));
  const kept = added.length > 0 ? current.codes.filter((code) => !isNormal(code)) : current.codes;
  return [...new Map([...kept, ...added].map((code) => [nameOf(code), code])).values()];
}

/** Whether two sets of labels say the same, in whatever order. */
export function isSameLabels(one: ResourceLabels | null, other: ResourceLabels | null): boolean {
  const key = (labels: ResourceLabels | null): string =>
    JSON.stringify(
      labels === null
        ? null
        : [labels.codes.map(nameOf).sort(), labels.stamp?.labeller, labels.stamp?.version],
    );
  return key(one) === key(other);
}
