import { toHex } from "../../bytes/hex.ts";
import { appendTo } from "../../bytes/lists.ts";
import { equalBytes } from "../../bytes/compare.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import type { BundleReading, BundleResource } from "../../fhir/bundle.ts";
import { identifierName } from "../../fhir/links.ts";
import { isImpersonal, mayBeAboutNobody } from "../../fhir/nobody.ts";
import type { ServerName } from "../../fhir/source-name.ts";
import { nameOfEntry } from "./entry-name.ts";
import { isEnteredInError, statedVersion } from "../../fhir/version-order.ts";
import type { Subject } from "../entries/subjects.ts";
import type { RecordedBundle } from "./bundle-options.ts";
import type { FiledCopy } from "./copies.ts";
import { copiesOf, type NobodyPlan } from "./feed-nobody.ts";
import type { Described } from "./describe-entry.ts";
import type { AwaitedResource } from "./kept.ts";
import type { Marks } from "./marks.ts";
import { WHY_SKIPPED, type BundleTools, type Outcome, type SentItem } from "./sent.ts";
import type { Mine, SortedOut } from "./sort-out.ts";

/** The lists of what became of a bundle's resources. */
export const emptyResult = (): Lists => ({
  ...{ kept: [], copied: [], recorded: [] },
  ...{ retracted: [], known: [] },
});

/** Lists that are being filled. */
interface Lists {
  readonly kept: RecordedBundle["kept"][number][];
  readonly copied: FiledCopy[];
  readonly recorded: RecordedBundle["recorded"][number][];
  readonly retracted: RecordedBundle["retracted"][number][];
  readonly known: RecordedBundle["known"][number][];
}

/** Lists what became of something that a source sent. */
export function addOutcome(
  outcome: Outcome,
  into: Lists & { readonly skipped: RecordedBundle["skipped"][number][] },
): void {
  const { index, resource } = outcome.sent;
  const { type } = resource;
  if (outcome.does === "skip") {
    into.skipped.push({ type, index, why: outcome.why });
    return;
  }
  const { record: id, entry, subject } = outcome;
  if (outcome.does === "know") {
    into.known.push({ id, entry, as: outcome.as, subject, type, index });
    return;
  }
  const { place, labels, amends, byArrival } = outcome;
  const version = { id, entry, place, labels, subject, type, index };
  if (outcome.does === "retract") {
    const why = outcome.sent.kind === "deletion" ? "deleted" : "entered in error";
    into.retracted.push({ ...version, why });
    return;
  }
  into.recorded.push({
    ...version,
    ...(amends === undefined ? {} : { amends }),
    ...(byArrival ? { byArrival } : {}),
  });
}

/** Lists what became of a resource that the custodian keeps for everybody. */
export function addKept(outcome: Exclude<Outcome, { does: "skip" }>, into: Lists): void {
  const { index, resource } = outcome.sent;
  const { source, type, id } = resource;
  const as = outcome.does === "know" ? outcome.as : KEPT_AS[outcome.does];
  into.kept.push({ type, index, resource: { source, type, id }, as });
}

const KEPT_AS = { create: "created", amend: "amended", retract: "retracted" } as const;

/** What refers to a resource that arrives may name it so. */
export function arrivalOf(
  { one, name }: SortedOut["kept"][number],
  source: string,
  { marksOf }: Pick<NobodyPlan, "marksOf">,
): AwaitedResource {
  const { type, id, base } = name;
  return { resource: { source, type, id }, base, names: namesIn(name, marksOf(one)) };
}

const namesIn = ({ type, id }: ServerName, { identifiers = [] }: Marks): readonly string[] => [
  `${type}/${id}`,
  ...identifiers.map((one) => identifierName(type, one)),
];

/**
 * What may have data about a person, for each whom it serves: within its bundle, by what is on record and awaits
 * it, or because they have a copy.
 */
export async function personalItems(
  all: SortedOut["personal"],
  source: string,
  toItem: (one: Mine & { readonly name: ServerName }) => SentItem,
  {
    catalogue,
    kept,
    plan,
  }: Pick<BundleTools, "catalogue" | "kept"> & { readonly plan: NobodyPlan },
  skipped: RecordedBundle["skipped"][number][],
): Promise<readonly SentItem[]> {
  if (all.length === 0) return [];
  await catalogue.catchUp();
  const arrived = all.map((one) => arrivalOf(one, source, plan));
  const awaiting = await kept.awaiting(arrived);
  const holders = await kept.holders(arrived.map(({ resource }) => resource));
  return all.flatMap(({ one, name, persons }, i) => {
    const people = new Map(
      [...persons, ...awaiting[i]!, ...holders[i]!].map((each) => [toHex(each.local), each]),
    );
    const { resource, index } = one;
    if (people.size === 0) skipped.push({ type: resource.resourceType, index, why: NOT_KEPT });
    return [...people.values()].flatMap((person) =>
      copiesOf(toItem({ one, name, person }), [person]),
    );
  });
}

const NOT_KEPT =
  "it names nobody and may have data about somebody, and nothing about a known person refers to it yet";

export function itemOf(
  one: BundleResource,
  subject: Subject,
  { type, id, base }: ServerName,
  how: {
    readonly source: string;
    readonly tools: BundleTools;
    readonly describe: (one: BundleResource) => Promise<Described | undefined>;
    readonly labels: (one: BundleResource) => Promise<ResourceLabels | null | undefined>;
  },
): SentItem {
  const { text, resource, index } = one;
  return {
    kind: "version",
    index,
    text,
    subject,
    base,
    person: toHex(subject.local),
    resource: { source: how.source, type, id },
    stated: statedVersion(resource),
    digest: toHex(how.tools.sources.digestOf(text)),
    isError: isEnteredInError(resource),
    describe: () => how.describe(one),
    labels: () => how.labels(one),
  };
}

/** The deletions of a bundle, also of copies of what they delete. */
export async function deletionsOf(
  bundle: BundleReading,
  subject: Subject | null,
  source: string,
  { catalogue, kept }: Pick<BundleTools, "catalogue" | "kept">,
  skipped: RecordedBundle["skipped"][number][],
): Promise<readonly SentItem[]> {
  const person = subject === null ? undefined : toHex(subject.local);
  const all: SentItem[] = [];
  for (const one of bundle.deletions ?? []) {
    const { index, stated } = one;
    const name = nameOfEntry(one, bundle.type);
    if (name === undefined || name === "unclear") {
      const type =
        /^(?:.*\/)?([A-Z][A-Za-z]{1,63})(?:[/?]|$)/.exec(one.request.url)?.[1] ?? "Resource";
      skipped.push({ type, index, why: "its deletion does not name one resource" });
      continue;
    }
    const { type, id, base } = name;
    const resource = { source, type, id };
    const item: SentItem = { kind: "deletion", index, stated, person, base, resource };
    all.push(item);
    if (!mayBeAboutNobody(type)) continue;
    await catalogue.catchUp();
    const [holders] = await kept.holders([resource]);
    if (subject !== null) {
      const isTheirs = holders!.some(({ local }) => equalBytes(local, subject.local));
      appendTo(all, copiesOf(item, isTheirs ? [subject] : []));
    } else if (!isImpersonal(type)) {
      // Nothing is kept of it for everybody, from which the copies would follow.
      appendTo(all, copiesOf(item, holders!));
    }
  }
  return all;
}

/** What was skipped, but for deletions of what is on record as copies only. */
export function settled(
  skipped: RecordedBundle["skipped"],
  { retracted, known }: Lists,
): RecordedBundle["skipped"] {
  const done = new Set([...retracted, ...known].map(({ index }) => index));
  return skipped.filter(
    ({ index, why }) => why !== WHY_SKIPPED["not on record"] || !done.has(index),
  );
}
