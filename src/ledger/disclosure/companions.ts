import type { Decision } from "../../consent/model/decision.ts";
import type { RecordId } from "../../codec/ids.ts";
import type { ConsentResource, ResourceLabels } from "../../consent/model/resource.ts";
import type { RequestQuery } from "../../consent/model/request.ts";
import { isNormal, labelName } from "../../consent/labels/unite-labels.ts";
import { identifierName, MAX_REFERS } from "../../fhir/links.ts";
import { isPersonOrPlace, saysWhat } from "../../fhir/nobody.ts";
import { isSameServer, serverNameIn } from "../../fhir/source-name.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { partFinder, type PartFinder } from "../records/wholes.ts";
import { currentRecords, sourceOf, type FoldedRecord } from "../records/current-record.ts";
import { askedAmong } from "./asked-for.ts";

/** How each record is decided about. */
interface Deciding<T> {
  /** The form in which consent judges a record by itself. */
  form(record: FoldedRecord, parts: PartFinder): ConsentResource;
  /** @param inside - decisions about the records of the resources inside it, each of which must permit too */
  decide(record: FoldedRecord, resource: ConsentResource, inside: readonly Decision[]): T;
}

/**
 * Decides about the records that a query asks for, and about those that name nobody and that a permitted one
 * refers to: they go out with it, each by its own decision, although the query does not ask for them.
 *
 * What names nobody tells of what refers to it, such as a drug of its prescription: it is withheld while
 * everything that refers to it is. So is a copy that was filed for what refers to it, if nothing does any more.
 *
 * A refusal that covers what a record refers to covers the record too, as if it contained it. If nothing tells
 * what that is, the refusal may cover it.
 *
 * A document goes out only if the records of the resources in it do, and none of these has ended.
 */
export function decideWithCompanions<T extends { readonly decision: Decision }>(
  items: readonly CatalogueItem[],
  query: RequestQuery,
  { form, decide }: Deciding<T>,
): readonly T[] {
  const records = currentRecords(items);
  const { counting, parts, companions } = prepared(records);
  const forms = new Map<FoldedRecord, ConsentResource>();
  const formOf = (record: FoldedRecord): ConsentResource => {
    let own = forms.get(record);
    if (own === undefined) forms.set(record, (own = form(record, parts)));
    return own;
  };
  const made = new Map<FoldedRecord, T>();
  const making = new Set<FoldedRecord>();
  const by = (record: FoldedRecord): T => {
    let one = made.get(record);
    if (one === undefined) {
      making.add(record);
      const inside = parts.recordsInside(record).filter((part) => !making.has(part));
      const decisions = inside.map((part) => by(part).decision);
      made.set(record, (one = decide(record, judgedWith(record, companions, formOf), decisions)));
      making.delete(record);
    }
    return one;
  };

  const isPermitted = (record: FoldedRecord): boolean => by(record).decision.outcome === "permit";

  /** Whether what names nobody may go out, since something does that leads to it. */
  const isLedTo = new Map<FoldedRecord, boolean>();
  function maySend(record: FoldedRecord): boolean {
    if (!isPermitted(record)) return false;
    if (record.head.manifest.nobody === undefined) return true;
    const known = isLedTo.get(record);
    if (known !== undefined) return known;
    const seen = new Set([record]);
    let isFound = false;
    for (const one of seen) {
      const referring = companions.referringTo(one);
      isFound ||= referring.size === 0 && one.head.manifest.nobody === "filed";
      // What refers to this one or to another opens it only if nothing that may refer to it is withheld.
      const isOpen = [...referring.keys()].every(isPermitted);
      for (const [other, isSure] of isFound ? [] : referring) {
        if (seen.has(other) || !isPermitted(other) || !(isSure || isOpen)) continue;
        if (other.head.manifest.nobody === undefined) isFound = true;
        else seen.add(other);
      }
      if (isFound) break;
    }
    // Where nothing leads to it, nothing leads to what leads to it.
    for (const one of isFound ? [record] : seen) isLedTo.set(one, isFound);
    return isFound;
  }

  const decided = new Map<FoldedRecord, T>();
  const waiting: FoldedRecord[] = [];
  for (const record of askedAmong(records, query)) {
    if (!counting.has(record)) continue;
    const one = by(record);
    const maySendIt = maySend(record);
    if (maySendIt) waiting.push(record);
    const isClosed = !maySendIt && isPermitted(record);
    const closed = { ...one, decision: { ...one.decision, outcome: "deny" as const } };
    decided.set(record, isClosed ? closed : one);
  }
  for (const record of waiting) {
    for (const { record: one } of companions.of(record)) {
      if (one === undefined || decided.has(one)) continue;
      decided.set(one, by(one));
      if (isPermitted(one)) waiting.push(one);
    }
  }
  return [...decided.values()];
}

/** A person's records, prepared for decisions about any of them. */
interface Prepared {
  /** Those that have not ended, nor any part of them. */
  readonly counting: ReadonlySet<FoldedRecord>;
  readonly parts: PartFinder;
  readonly companions: Companions;
}

/** What was prepared of records that are kept; it depends on nothing else. */
const PREPARED = /* @__PURE__ */ new WeakMap<ReadonlyMap<RecordId, FoldedRecord>, Prepared>();

function prepared(records: ReadonlyMap<RecordId, FoldedRecord>): Prepared {
  const known = PREPARED.get(records);
  if (known !== undefined) return known;
  const parts = partFinder(records.values());
  const all = [...records.values()].filter(
    (record) => !record.retracted && !parts.hasEndedPart(record),
  );
  const made: Prepared = { counting: new Set(all), parts, companions: companionsAmong(all) };
  PREPARED.set(records, made);
  return made;
}

/** What a name in a record's manifest leads to. */
interface Companion {
  /** The type that the name states. */
  readonly type: string | undefined;
  /** The only record that it can mean. */
  readonly record: FoldedRecord | undefined;
  /** All records that it may mean. */
  readonly candidates: readonly FoldedRecord[];
}

interface Companions {
  /** What a record refers to that names nobody. */
  of(record: FoldedRecord): readonly Companion[];
  /** The records that may refer to one that names nobody, and whether each can mean no other. */
  referringTo(record: FoldedRecord): ReadonlyMap<FoldedRecord, boolean>;
}

/** Finds out which records that name nobody others refer to. */
function companionsAmong(records: readonly FoldedRecord[]): Companions {
  const byName = new Map<string, FoldedRecord[]>();
  for (const record of records) {
    if (record.head.manifest.nobody === undefined) continue;
    for (const name of namesOf(record)) {
      const key = keyOf(record, name);
      const same = byName.get(key);
      if (same === undefined) byName.set(key, [record]);
      else same.push(record);
    }
  }
  const found = new Map<FoldedRecord, readonly Companion[]>();

  function find(record: FoldedRecord, name: string): Companion {
    const at = serverNameIn(name);
    const type = at?.type ?? /^([A-Z][A-Za-z]{1,63})\?/.exec(name)?.[1];
    const key = keyOf(record, at === undefined ? name : `${at.type}/${at.id}`);
    const candidates = (byName.get(key) ?? []).filter(
      (one) => one !== record && (at === undefined || isSameServer(serverOf(one), at.base)),
    );
    // Without a source, nothing tells that what names no server comes from this one.
    const sure = candidates.filter(
      (one) =>
        at === undefined || sourceOf(record).source !== undefined || serverOf(one) === at.base,
    );
    return { type, record: sure.length === 1 ? sure[0] : undefined, candidates };
  }

  function of(record: FoldedRecord): readonly Companion[] {
    const { refers = [] } = record.head.manifest;
    if (refers.length === 0) return [];
    let own = found.get(record);
    if (own === undefined) found.set(record, (own = refers.map((name) => find(record, name))));
    return own;
  }

  let referring: Map<FoldedRecord, Map<FoldedRecord, boolean>> | undefined;
  function allReferring(): Map<FoldedRecord, Map<FoldedRecord, boolean>> {
    const by = new Map<FoldedRecord, Map<FoldedRecord, boolean>>();
    for (const record of byName.size === 0 ? [] : records) {
      for (const { candidates } of of(record)) {
        for (const one of candidates) {
          const some = by.get(one) ?? new Map<FoldedRecord, boolean>();
          by.set(one, some.set(record, some.get(record) === true || candidates.length === 1));
        }
      }
    }
    return by;
  }

  return {
    of,
    referringTo(record) {
      referring ??= allReferring();
      return referring.get(record) ?? new Map<FoldedRecord, boolean>();
    },
  };
}

/** Names are those of one source: equal ids of two sources are two resources. */
const keyOf = (record: FoldedRecord, name: string): string =>
  JSON.stringify([sourceOf(record).source?.name ?? null, name]);

const serverOf = ({ head, history }: FoldedRecord): string | undefined =>
  [head, ...history]
    .map(({ manifest }) => serverNameIn(manifest.fullUrl)?.base)
    .find((base) => base !== undefined);

/** The names by which others refer to a record. */
function namesOf(record: FoldedRecord): readonly string[] {
  const { resource, fullUrl, identifiers = [] } = record.head.manifest;
  const { source } = sourceOf(record);
  const at = serverNameIn(fullUrl);
  const type = resource?.type ?? "";
  const names = identifiers.map((one) => identifierName(type, one));
  if (fullUrl !== undefined && at === undefined) names.push(fullUrl);
  // A resource that was to be created has another id at its server.
  const own = fullUrl === undefined ? resource?.id : at?.id;
  const id = source?.id ?? own;
  if (id !== undefined) names.push(`${type}/${id}`);
  return names;
}

/** Most records that one is judged together with; what more there is may be anything. */
const MOST_OTHERS = 256;

/** The form in which consent judges a record together with what it refers to. */
function judgedWith(
  record: FoldedRecord,
  companions: Companions,
  form: (record: FoldedRecord) => ConsentResource,
): ConsentResource {
  const own = form(record);
  const seen = new Set<FoldedRecord>([record]);
  const others: ConsentResource[] = [];
  let isUnknown = false;
  let isCut = false;
  // What a drug consists of may be named by further references.
  for (const one of seen) {
    isUnknown ||= (one.head.manifest.refers?.length ?? 0) >= MAX_REFERS;
    for (const { type, candidates } of companions.of(one)) {
      if (candidates.length === 0) isUnknown ||= saysWhat(type);
      for (const candidate of candidates) {
        if (seen.has(candidate)) continue;
        const it = form(candidate);
        if (isPersonOrPlace(it.type)) continue;
        if (others.length === MOST_OTHERS) {
          isCut = true;
          break;
        }
        seen.add(candidate);
        others.push(it);
      }
    }
  }
  isUnknown ||= isCut;
  return withOthers(own, others, isUnknown, isCut);
}

/** A resource as if it, and each of those inside it, contained some others. */
function withOthers(
  own: ConsentResource,
  others: readonly ConsentResource[],
  isUnknown: boolean,
  isCut: boolean,
): ConsentResource {
  const { otherCodes = [], contains } = own;
  // A resource inside may refer to any product that is inside, too.
  const products = (contains ?? []).filter(({ type }) => saysWhat(type));
  const inner = [...others, ...products];
  if (inner.length === 0 && !isUnknown) return own;
  const codes = distinctCodes(others);
  const uncoded = own.uncoded === true || isUnknown || others.some((one) => one.uncoded === true);
  const labels = others.map((one) => one.labels);
  const innerCodes = distinctCodes(inner);
  const isUncoded = isUnknown || inner.some((one) => one.uncoded === true);
  const inside = contains?.map((part) => ({
    ...part,
    otherCodes: [...(part.otherCodes ?? []), ...innerCodes],
    ...(isUncoded && { uncoded: true as const }),
    ...(labels.length > 0 && { labels: joined(part.labels, labels, isCut) }),
  }));
  return {
    ...own,
    ...(codes.length > 0 && { otherCodes: [...otherCodes, ...codes] }),
    ...(uncoded && { uncoded }),
    labels: labels.length > 0 || isCut ? joined(own.labels, labels, isCut) : own.labels,
    ...(inside !== undefined && { contains: inside }),
  };
}

function distinctCodes(resources: readonly ConsentResource[]): ConsentResource["codes"] {
  const all = resources.flatMap((one) => [...one.codes, ...(one.otherCodes ?? [])]);
  return [...new Map(all.map((one) => [JSON.stringify([one.system, one.code]), one])).values()];
}

/** Labels of a record with what those of others add; they are complete if all were. */
function joined(
  own: ResourceLabels | null,
  others: readonly (ResourceLabels | null)[],
  isCut: boolean,
): ResourceLabels | null {
  const isJudged = !isCut && others.every((labels) => labels?.stamp != null);
  const stamp = isJudged ? (own?.stamp ?? null) : null;
  const all = [own, ...others].flatMap((labels) => labels?.codes ?? []);
  const found = new Map(
    all.filter((code) => !isNormal(code)).map((code) => [labelName(code), code]),
  );
  const codes = found.size > 0 ? [...found.values()] : (own?.codes ?? []);
  return codes.length === 0 && stamp === null ? null : { codes, stamp };
}
