import type { RequestQuery } from "../../consent/model/request.ts";
import { resolvePeriod, type Period } from "../../consent/model/time.ts";
import { findZone } from "../../consent/model/zone.ts";
import type { FoldedRecord } from "../records/current-record.ts";

/** The parts that every record's envelope has. */
export const RECORD_PARTS: readonly string[] = ["manifest", "content"];

/** Whether a query asks for a record. */
export function isAskedFor(record: FoldedRecord, query: RequestQuery): boolean {
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
