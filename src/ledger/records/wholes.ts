import { equalBytes } from "../../bytes/compare.ts";
import { encode } from "../../codec/dag-cbor.ts";
import { isNormal, labelName, labelsOfBoth } from "../../consent/labels/unite-labels.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import { labelsWithin } from "../../fhir/consent-resource.ts";
import type { PartDescription } from "../../fhir/describe-resource.ts";
import { isSameServer, serverNameIn } from "../../fhir/source-name.ts";
import { comparePlaces, type CatalogueItem } from "../entries/catalogue-item.ts";
import { MAX_URL } from "../entries/manifest.ts";
import type { FoldedRecord } from "./current-record.ts";

/** Finds the records of the resources that are parts of documents and other Bundles. */
export interface PartFinder {
  /** The records that a part of a record is, as far as their names tell. */
  recordsOf(part: PartDescription, whole: FoldedRecord): readonly FoldedRecord[];
  /** The records of all parts of a record that have not ended. */
  recordsInside(whole: FoldedRecord): readonly FoldedRecord[];
  /** Whether a part of a record was retracted, deleted or moved, so that the whole must not go out. */
  hasEndedPart(whole: FoldedRecord): boolean;
  /** The labels of a part: those of its own record, as far as there is one, else what the whole tells. */
  labelsOf(
    part: PartDescription,
    whole: FoldedRecord,
    believed: (record: FoldedRecord) => ResourceLabels | null,
  ): ResourceLabels | null;
}

/** Prepares finding parts among a person's records. */
export function partFinder(records: Iterable<FoldedRecord>): PartFinder {
  let byName: Map<string, FoldedRecord[]> | undefined;
  const all = [...records];

  function named(name: string): readonly FoldedRecord[] {
    if (byName === undefined) {
      byName = new Map();
      for (const record of all) {
        for (const own of namesOfRecord(record)) {
          const same = byName.get(own);
          if (same === undefined) byName.set(own, [record]);
          else same.push(record);
        }
      }
    }
    return byName.get(name) ?? [];
  }

  function recordsOf(part: PartDescription, whole: FoldedRecord): readonly FoldedRecord[] {
    const found = new Set(namesOf(part, part.fullUrl).flatMap(named));
    return [...found].filter((record) => record !== whole && canBe(part, whole, record));
  }

  /** Without records that were filed twice. */
  const countingOf = (part: PartDescription, whole: FoldedRecord): readonly FoldedRecord[] =>
    recordsOf(part, whole).filter(({ repeats }) => repeats === undefined);

  function hasEnded(part: PartDescription, whole: FoldedRecord): boolean {
    const found = countingOf(part, whole);
    const ended = found.filter(({ retracted }) => retracted);
    const living = found.filter(({ retracted }) => !retracted);
    // What came back since is another text; a whole that was sent after the end has the one that came back.
    const isRevived = (one: FoldedRecord): boolean =>
      endedBefore(one, whole) && living.some((other) => isSameResource(one, other));
    return !ended.every(isRevived);
  }

  /** Whether anything has ended that may be a part which is not described. */
  const someHasEnded = (): boolean =>
    all.some(({ retracted, repeats }) => retracted && repeats === undefined);

  return {
    recordsOf,
    recordsInside(whole) {
      const found = partsOf(whole).flatMap((part) => countingOf(part, whole));
      return [...new Set(found)].filter(({ retracted }) => !retracted);
    },
    hasEndedPart: (whole) =>
      (whole.head.manifest.resource?.moreParts === true && someHasEnded()) ||
      partsOf(whole).some((part) => hasEnded(part, whole)),
    labelsOf(part, whole, believed) {
      const living = countingOf(part, whole).filter(({ retracted }) => !retracted);
      const ofWhole = believed(whole);
      if (living.length === 0) return labelsWithin(ofWhole);
      const own = living.map(believed).reduce(labelsOfBoth);
      if (living.every(({ head }) => isDescribedAs(part, head))) return own;
      // Another version is on record: what was judged is not what is in the whole.
      const codes = [...(own?.codes ?? []), ...(ofWhole?.codes ?? [])];
      const sensitive = codes.filter((code) => !isNormal(code));
      return {
        codes: [...new Map(sensitive.map((code) => [labelName(code), code])).values()],
        stamp: null,
      };
    },
  };
}

const partsOf = ({ head }: FoldedRecord): readonly PartDescription[] =>
  head.manifest.resource?.parts ?? [];

/**
 * Whether any version of a record certainly contains one of some other records: the same resource of the same
 * source or server, or one that is described alike.
 */
export function containsSome(
  whole: FoldedRecord,
  parts: PartFinder,
  some: ReadonlySet<FoldedRecord>,
): boolean {
  return whole.history.some(({ manifest: { resource } }) =>
    (resource?.parts ?? []).some((part) =>
      parts
        .recordsOf(part, whole)
        .some((record) => some.has(record) && isCertain(part, whole, record)),
    ),
  );
}

function isCertain(part: PartDescription, whole: FoldedRecord, record: FoldedRecord): boolean {
  const source = sourceNameOf(whole);
  if (part.id !== undefined && source !== undefined && source === sourceNameOf(record)) return true;
  const base = serverNameIn(part.fullUrl)?.base;
  return record.history.some(
    (item) =>
      (base !== undefined && serverNameIn(item.manifest.fullUrl)?.base === base) ||
      isDescribedAs(part, item),
  );
}

/** The names by which a resource and the same resource inside another one know each other. */
function namesOf({ type, id }: Pick<PartDescription, "type" | "id">, fullUrl?: string): string[] {
  const names: string[] = [];
  const address = serverNameIn(fullUrl);
  if (id !== undefined) names.push(`${type}/${id}`);
  if (address !== undefined) names.push(`${address.type}/${address.id}`);
  else if (fullUrl !== undefined && fullUrl.length <= MAX_URL) names.push(`${type} ${fullUrl}`);
  // Of those without a name, each may be any other.
  return names.length > 0 ? [...new Set(names)] : [type];
}

function namesOfRecord({ history }: FoldedRecord): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { manifest } of history) {
    const { resource, fullUrl } = manifest;
    if (resource === undefined) continue;
    for (const name of namesOf(resource, fullUrl)) names.add(name);
  }
  return names;
}

/**
 * Whether the sources and servers of a part and of a record, as far as they are known, are the same. Two sources
 * may pass on the resource of one server.
 */
function canBe(part: PartDescription, whole: FoldedRecord, record: FoldedRecord): boolean {
  const base = serverNameIn(part.fullUrl)?.base;
  const bases = record.history.map(({ manifest }) => serverNameIn(manifest.fullUrl)?.base);
  if (!bases.every((one) => isSameServer(base, one))) return false;
  const [mine, yours] = [whole, record].map(sourceNameOf);
  const areTwo = mine !== undefined && yours !== undefined && mine !== yours;
  return !areTwo || (base !== undefined && bases.includes(base));
}

const sourceNameOf = ({ history }: FoldedRecord): string | undefined =>
  history.find(({ manifest }) => manifest.source !== undefined)?.manifest.source?.name;

/** Whether two records certainly are of one resource, if their types and ids are equal. */
function isSameResource(one: FoldedRecord, other: FoldedRecord): boolean {
  const [mine, yours] = [one, other].map(sourceNameOf);
  if (mine !== undefined || yours !== undefined) return mine === yours;
  const [here, there] = [one, other].map(({ head }) => serverNameIn(head.manifest.fullUrl)?.base);
  return here !== undefined && here === there;
}

const endedBefore = ({ history }: FoldedRecord, { head }: FoldedRecord): boolean =>
  history.every(
    ({ manifest, place }) => manifest.op !== "retract" || comparePlaces(place, head.place) < 0,
  );

function isDescribedAs(
  described: PartDescription,
  { manifest: { resource: own } }: CatalogueItem,
): boolean {
  const part: Partial<Record<keyof PartDescription, unknown>> = { ...described };
  // The name that it has in the whole is no part of what it is.
  delete part.fullUrl;
  return own !== undefined && equalBytes(encode(part), encode(own));
}
