import { toHex } from "../../bytes/hex.ts";
import type { BundleReading, BundleResource } from "../../fhir/bundle.ts";
import { isImpersonal } from "../../fhir/nobody.ts";
import type { ServerName } from "../../fhir/source-name.ts";
import { nameOfEntry } from "./entry-name.ts";
import type { NobodyMark } from "../entries/manifest.ts";
import { copyOf } from "../entries/source-names.ts";
import type { Subject } from "../entries/subjects.ts";
import { serve, type CopyProgress, type FiledCopy, type Wanted } from "./copies.ts";
import { bareName, type AwaitedResource } from "./kept.ts";
import type { Marks } from "./marks.ts";
import type { BundleTools, SentItem } from "./sent.ts";
import type { Serving } from "./serving.ts";

/** How a bundle's resources that name nobody are filed. */
export interface NobodyPlan {
  /** The name at its source of a resource that the custodian keeps for everybody. */
  keptAs(one: BundleResource): ServerName | undefined;
  /** What the manifest of any resource says of those that name nobody. */
  marksOf(one: BundleResource): Marks;
}

/** Whose bundle it is, if the caller says so, and where it comes from. */
interface Origin {
  readonly subject: Subject | null;
  readonly source: string | undefined;
}

/** Decides how a bundle's resources that name nobody are filed. */
export async function planNobody(
  bundle: BundleReading,
  serving: Serving,
  { subject, source }: Origin,
  { catalogue, kept }: BundleTools,
): Promise<NobodyPlan> {
  const mark: NobodyMark = subject === null ? "served" : "filed";
  const names = new Map<BundleResource, ServerName>();
  if (source !== undefined) {
    for (const one of bundle.resources) {
      const isKept = isImpersonal(one.resource.resourceType) && serving.namesNobody(one);
      const name = isKept ? nameOfEntry(one, bundle.type) : undefined;
      if (name !== undefined && name !== "unclear") names.set(one, name);
    }
  }
  const marksWithin = (one: BundleResource): Marks =>
    serving.marksOf(one, names.has(one) ? "kept" : mark);
  const missing = await namesMissing();
  return {
    keptAs: (one) => names.get(one),
    marksOf(one) {
      const marks = marksWithin(one);
      const isNamed = source !== undefined && isServerName(nameOfEntry(one, bundle.type));
      const awaits = isNamed ? (marks.refers ?? []).filter((name) => missing.has(name)) : [];
      const bare = new Set(awaits.flatMap((name) => bareName(name) ?? []));
      return { ...marks, ...(bare.size > 0 && { awaits: [...bare] }) };
    },
  };

  /** Names of what the bundle's resources refer to that is neither in it nor on record of the source. */
  async function namesMissing(): Promise<ReadonlySet<string>> {
    if (source === undefined) return new Set();
    const within = new Set<string>();
    for (const [one, { type, id }] of names) {
      within.add(`${type}/${id}`);
      for (const { system, value } of marksWithin(one).identifiers ?? []) {
        within.add(`${type}?identifier=${system}|${value}`);
      }
    }
    const outside = new Set<string>();
    for (const one of bundle.resources) {
      for (const name of marksWithin(one).refers ?? []) {
        const bare = bareName(name);
        if (bare !== undefined && !within.has(bare)) outside.add(name);
      }
    }
    if (outside.size === 0) return outside;
    await catalogue.catchUp();
    const found = await kept.named(source, outside);
    return new Set([...outside].filter((name) => found.get(name)?.record.retracted !== false));
  }
}

const isServerName = (name: ServerName | "unclear" | undefined): boolean =>
  name !== undefined && name !== "unclear";

/** A resource of a source that is filed about a person. */
interface Mine {
  readonly one: BundleResource;
  readonly person: Subject;
}

/**
 * Files, once a bundle's resources are on record, copies of what they refer to that the custodian keeps, and
 * copies of what the bundle brought for those who awaited it.
 *
 * @param arrived - what was kept anew, or in a newer version
 */
export async function serveAfter(
  { subject, source }: Origin & { readonly source: string },
  {
    mine,
    arrived,
  }: { readonly mine: readonly Mine[]; readonly arrived: readonly AwaitedResource[] },
  { marksOf, keptAs }: Pick<NobodyPlan, "marksOf" | "keptAs">,
  how: CopyProgress,
  tools: BundleTools,
): Promise<readonly FiledCopy[]> {
  const wanted: Wanted[] = mine
    .filter(({ one }) => keptAs(one) === undefined)
    .map(({ one, person }) => ({ subject: person, names: marksOf(one).refers ?? [] }));
  if (arrived.length > 0) {
    await tools.catalogue.catchUp();
    const people = await tools.kept.awaiting(arrived);
    for (const [i, { resource, base = "" }] of arrived.entries()) {
      const names = [`${base}${resource.type}/${resource.id}`];
      for (const person of people[i]!) wanted.push({ subject: person, names });
    }
  }
  const copies = [...(await serve(source, wanted, how, tools))];
  if (subject === null) return copies;
  const own = mine.flatMap(({ one }) => {
    const name = keptAs(one);
    return name === undefined ? [] : [`${name.base ?? ""}${name.type}/${name.id}`];
  });
  const hasWritten = () => how.hasWritten() || copies.length > 0;
  const filed = await serve(
    source,
    [{ subject, names: own }],
    { ...how, hasWritten },
    tools,
    "filed",
  );
  return [...copies, ...filed];
}

/**
 * The same version of a resource for each person whom it serves, where it may have data about them and is
 * therefore not kept for everybody.
 */
export const copiesOf = (item: SentItem, people: readonly Subject[]): readonly SentItem[] =>
  people.map((subject): SentItem => {
    const person = toHex(subject.local);
    const resource = { ...item.resource, copy: copyOf(subject.local) };
    return item.kind === "version"
      ? { ...item, subject, person, resource }
      : { ...item, person, resource };
  });
