import type { RecordId } from "../../codec/ids.ts";
import type { RequestQuery } from "../../consent/model/request.ts";
import { resolvePeriod, type Period } from "../../consent/model/time.ts";
import { findZone } from "../../consent/model/zone.ts";
import { comparePlaces } from "../entries/catalogue-item.ts";
import type { FoldedRecord } from "../records/current-record.ts";

/** The parts that every record's envelope has. */
export const RECORD_PARTS: readonly string[] = ["manifest", "content"];

/** A person's records as they were folded, in the order in which they were created. */
type Folded = ReadonlyMap<RecordId, FoldedRecord>;

/** Which of the records have one of several values. */
type Lookup = (records: Folded) => ReadonlyMap<string, readonly FoldedRecord[]>;

const codeName = ({ system, code }: Partial<NonNullable<RequestQuery["codes"]>[number]>): string =>
  JSON.stringify([system, code]);
const referenceOf = ({ head: { manifest } }: FoldedRecord): string =>
  `${manifest.resource?.type}/${manifest.resource?.id}`;

const byType = /* @__PURE__ */ lookup(({ head }) => [head.manifest.resource?.type ?? ""]);
const byCode = /* @__PURE__ */ lookup(
  ({ head }) => head.manifest.resource?.codes.map(codeName) ?? [],
);
const byId = /* @__PURE__ */ lookup((record) => [record.record, referenceOf(record)]);

/** Makes a lookup; what it finds out about records is kept as long as they are. */
function lookup(valuesOf: (record: FoldedRecord) => readonly string[]): Lookup {
  const known = new WeakMap<Folded, Map<string, FoldedRecord[]>>();
  return (records) => {
    let found = known.get(records);
    if (found !== undefined) return found;
    known.set(records, (found = new Map()));
    for (const record of records.values()) {
      for (const value of valuesOf(record)) {
        const same = found.get(value);
        if (same === undefined) found.set(value, [record]);
        else same.push(record);
      }
    }
    return found;
  };
}

/**
 * The records that a query asks for, ended ones included, in the order in which they were created. If it names ids,
 * codes or types, this takes no longer for many records that have none of them.
 */
export function askedAmong(records: Folded, query: RequestQuery): readonly FoldedRecord[] {
  const { types, ids, codes } = query;
  const some =
    (ids && named(byId(records), ids)) ??
    (codes && named(byCode(records), codes.map(codeName))) ??
    (types && named(byType(records), types));
  const asked = [...(some ?? records.values())].filter((record) => isAskedFor(record, query));
  const created = ({ history: [first] }: FoldedRecord) => first!.place;
  return some ? asked.sort((a, b) => comparePlaces(created(a), created(b))) : asked;
}

const named = (found: ReturnType<Lookup>, values: readonly string[]): ReadonlySet<FoldedRecord> =>
  new Set(values.flatMap((value) => found.get(value) ?? []));

/** Whether a query asks for a record. */
function isAskedFor(record: FoldedRecord, query: RequestQuery): boolean {
  const resource = record.head.manifest.resource;
  const { types, ids, codes, period, parts } = query;
  if (types !== undefined && !types.includes(resource?.type ?? "")) return false;
  if (ids !== undefined) {
    const reference = `${resource?.type}/${resource?.id}`;
    if (!ids.includes(record.record) && !ids.includes(reference)) return false;
  }
  if (codes !== undefined) {
    const has = resource?.codes.some(({ system, code }) =>
      codes.some((wanted) => wanted.system === system && wanted.code === code),
    );
    if (has !== true) return false;
  }
  if (parts !== undefined && !parts.some((part) => RECORD_PARTS.includes(part))) return false;
  return period === undefined || overlaps(resource?.period, period);
}

/** Whether a resource's period overlaps the requested one; dates are interpreted in UTC. */
function overlaps(told: Period | undefined, wanted: Period): boolean {
  if (told === undefined) return false;
  const utc = findZone("UTC")!;
  const [one, other] = [resolvePeriod(told, utc), resolvePeriod(wanted, utc)];
  if (one === undefined || other === undefined) return false;
  return one.start <= other.end && other.start <= one.end;
}
