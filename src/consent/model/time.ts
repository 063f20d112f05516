import { daysFromCivil, type Zone } from "./zone.ts";

const DAY = 86_400_000;
/** Largest instant that is accepted, either side of 1970: the range of ECMAScript dates. */
export const MAX_INSTANT = 8_640_000_000_000_000;

/**
 * A point in time in directives and manifests: an instant in integer milliseconds since
 * 1970-01-01T00:00Z, or a date of year, month or day precision (`2026`, `2026-03`, `2026-03-31`)
 * that means the whole of the year, month or day, in the directive's zone.
 */
export type DateValue = number | string;

/** A stretch of time; both ends are inclusive, an absent end is open. */
export interface Period {
  readonly from?: DateValue;
  readonly to?: DateValue;
}

/** A resolved stretch of instants; both ends are inclusive. */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

const DATE = /^(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?$/;
const DATE_TIME =
  /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/;

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
const daysInMonth = (year: number, month: number): number =>
  month === 2 ? (isLeap(year) ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;

interface CivilDays {
  /** First day of the date, counted from 1970-01-01. */
  readonly first: number;
  /** First day after the date. */
  readonly next: number;
}

function civilDays(text: string): CivilDays | undefined {
  const parts = DATE.exec(text);
  if (parts === null) return undefined;
  const year = Number(parts[1]);
  if (year === 0) return undefined;
  if (parts[2] === undefined) {
    return { first: daysFromCivil(year, 1, 1), next: daysFromCivil(year + 1, 1, 1) };
  }
  const month = Number(parts[2]);
  if (month < 1 || month > 12) return undefined;
  const length = daysInMonth(year, month);
  const first = daysFromCivil(year, month, 1);
  if (parts[3] === undefined) return { first, next: first + length };
  const day = Number(parts[3]);
  if (day < 1 || day > length) return undefined;
  return { first: first + day - 1, next: first + day };
}

/** Whether a value is an instant or a date that exists. */
export function isDateValue(value: unknown): value is DateValue {
  if (typeof value === "number") {
    return Number.isSafeInteger(value) && Math.abs(value) <= MAX_INSTANT;
  }
  return typeof value === "string" && civilDays(value) !== undefined;
}

/** First instant of a value, or `undefined` if it is not a date. */
export function startOf(value: DateValue, zone: Zone): number | undefined {
  if (typeof value === "number") return isDateValue(value) ? value : undefined;
  const days = civilDays(value);
  return days === undefined ? undefined : startOfDay(days.first, zone);
}

/** Last millisecond of a value, or `undefined` if it is not a date. */
export function endOf(value: DateValue, zone: Zone): number | undefined {
  if (typeof value === "number") return isDateValue(value) ? value : undefined;
  const days = civilDays(value);
  return days === undefined ? undefined : startOfDay(days.next, zone) - 1;
}

/**
 * The instants of a period in a zone, or `undefined` if a date in it does not exist or it ends
 * before it begins.
 */
export function resolvePeriod(period: Period, zone: Zone): Interval | undefined {
  const start = period.from === undefined ? -Infinity : startOf(period.from, zone);
  const end = period.to === undefined ? Infinity : endOf(period.to, zone);
  return start === undefined || end === undefined || start > end ? undefined : { start, end };
}

/**
 * First instant of a local day: if clocks skip midnight, the instant that they skip to; if midnight
 * comes twice, the first one on that day.
 */
function startOfDay(day: number, zone: Zone): number {
  if (zone.fixed) return day * DAY - zone.offsetAt(0);
  let days = daysOf.get(zone);
  if (days === undefined) daysOf.set(zone, (days = new Map()));
  let start = days.get(day);
  if (start === undefined) {
    if (days.size >= DAYS_LIMIT) days.clear();
    days.set(day, (start = findStartOfDay(day, zone)));
  }
  return start;
}

/** Caches days: computing an offset costs microseconds, and the same days are needed repeatedly. */
const daysOf = new WeakMap<Zone, Map<number, number>>();
const DAYS_LIMIT = 50_000;

function findStartOfDay(day: number, zone: Zone): number {
  const local = day * DAY;
  // Around a clock change either offset may be in force at midnight.
  const before = local - zone.offsetAt(local - DAY);
  const after = local - zone.offsetAt(local + DAY);
  for (const instant of before < after ? [before, after] : [after, before]) {
    if (instant + zone.offsetAt(instant) >= local) return instant;
  }
  return Math.max(before, after);
}

/**
 * Reads a FHIR date or dateTime as a {@link DateValue}: dates stay as they are, times become
 * instants.
 *
 * @param end - whether the text ends a period: seconds then mean their last millisecond
 * @returns `undefined` if the text is neither, or is a time without a zone
 */
export function fromFhirDateTime(text: string, end = false): DateValue | undefined {
  if (civilDays(text) !== undefined) return text;
  const parts = DATE_TIME.exec(text);
  if (parts === null) return undefined;
  const days = civilDays(text.slice(0, 10));
  const hour = Number(parts[4]);
  const minute = Number(parts[5]);
  const second = Number(parts[6]);
  if (days === undefined || hour > 23 || minute > 59 || second > 60) return undefined;
  const fraction = parts[7];
  const milliseconds =
    fraction === undefined ? (end ? 999 : 0) : Number(fraction.padEnd(3, "0").slice(0, 3));
  const name = parts[8]!;
  const offset =
    name === "Z"
      ? 0
      : Number(`${name[0]}1`) * (Number(name.slice(1, 3)) * 60 + Number(name.slice(4)));
  return days.first * DAY + ((hour * 60 + minute - offset) * 60 + second) * 1000 + milliseconds;
}

/** Formats an instant as `YYYY-MM-DDThh:mm:ss.sssZ`. */
export function isoInstant(instant: number): string {
  const days = Math.floor(instant / DAY);
  const [year, month, day] = civilFromDays(days);
  const rest = instant - days * DAY;
  const two = (value: number): string => String(value).padStart(2, "0");
  const time = `${two(Math.floor(rest / 3_600_000))}:${two(Math.floor(rest / 60_000) % 60)}:${two(Math.floor(rest / 1000) % 60)}.${String(rest % 1000).padStart(3, "0")}`;
  return `${String(year).padStart(4, "0")}-${two(month)}-${two(day)}T${time}Z`;
}

function civilFromDays(days: number): readonly [year: number, month: number, day: number] {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  return [
    yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1,
  ];
}
