/** The precision of a FHIR date. */
export type DatePrecision = "year" | "month" | "day" | "second" | "millisecond";

/**
 * The span of time that a FHIR `date`, `dateTime` or `instant` names, in milliseconds since 1970.
 *
 * The span of a date without a time depends on the reader's time zone: `zoned` is then false, and
 * the span is given for UTC.
 */
export interface DateSpan {
  /** First millisecond, inclusive. */
  readonly from: number;
  /** Last millisecond, inclusive. */
  readonly to: number;
  readonly precision: DatePrecision;
  readonly zoned: boolean;
}

const DAY = 86_400_000;

/**
 * Reads a FHIR date of any precision: `2024`, `2024-02`, `2024-02-29`,
 * `2024-02-29T23:59:60+01:00`.
 *
 * @returns the span, or `undefined` if the text is not a FHIR date
 * @see FHIR R4 §2.24.0.1 (date, dateTime, instant)
 * @example
 * parseDate("2024-02")?.from; // Date.UTC(2024, 1, 1)
 * parseDate("2024-13"); // undefined
 */
export function parseDate(value: string): DateSpan | undefined {
  const { length } = value;
  const y = digits(value, 0, 4);
  if (y <= 0) return undefined;
  if (length === 4) return daySpan(startOf(y, 1, 1), startOf(y + 1, 1, 1), "year");
  const m = after(value, 4, "-");
  if (m < 1 || m > 12) return undefined;
  const next = m === 12 ? startOf(y + 1, 1, 1) : startOf(y, m + 1, 1);
  if (length === 7) return daySpan(startOf(y, m, 1), next, "month");
  const day = after(value, 7, "-");
  const midnight = startOf(y, m, day);
  if (day < 1 || midnight >= next) return undefined;
  if (length === 10) return daySpan(midnight, midnight + DAY, "day");

  const h = after(value, 10, "T");
  const minute = after(value, 13, ":");
  // Positions after the parts that may be absent.
  const hasSecond = value[16] === ":";
  const s = hasSecond ? after(value, 16, ":") : 0;
  const hasFraction = hasSecond && value[19] === ".";
  let zone = hasSecond ? 19 : 16;
  if (hasFraction)
    do zone++;
    while (digits(value, zone, 1) >= 0);
  const places = zone - 20;
  const offset = zoneOffset(value, zone);
  if (h < 0 || h > 23 || minute < 0 || minute > 59 || s < 0 || s > 60) return undefined;
  if (offset === undefined || (hasFraction && (places < 1 || places > 18))) return undefined;
  const at = midnight + ((h * 60 + minute - offset) * 60 + s) * 1000;
  // R4 requires seconds; without them (as R5 allows) the value still names a whole minute
  if (!hasSecond) return { from: at, to: at + 59_999, precision: "second", zoned: true };
  if (!hasFraction) return { from: at, to: at + 999, precision: "second", zoned: true };
  const known = Math.min(places, 3);
  const exact = at + digits(value, 20, known) * 10 ** (3 - known);
  return { from: exact, to: exact, precision: "millisecond", zoned: true };
}

function daySpan(from: number, end: number, precision: DatePrecision): DateSpan {
  return { from, to: end - 1, precision, zoned: false };
}

/** The number that some decimal digits mean; -1 if others are there, or none. */
function digits(value: string, start: number, count: number): number {
  let number = 0;
  for (let at = start; at < start + count; at++) {
    const digit = value.charCodeAt(at) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return -1;
    number = number * 10 + digit;
  }
  return number;
}

/** The number of two digits after a mark; -1 if they are not there. */
const after = (value: string, at: number, mark: string): number =>
  value[at] === mark ? digits(value, at + 1, 2) : -1;

/** Minutes east of UTC, by the zone that the text from a position on consists of. */
function zoneOffset(value: string, at: number): number | undefined {
  const sign = value[at];
  if (sign === "Z") return value.length === at + 1 ? 0 : undefined;
  if ((sign !== "+" && sign !== "-") || value.length !== at + 6) return undefined;
  const hours = digits(value, at + 1, 2);
  const minutes = after(value, at + 3, ":");
  if (hours < 0 || hours > 14 || minutes < 0 || minutes > 59) return undefined;
  return (sign === "-" ? -1 : 1) * (hours * 60 + minutes);
}

/** Midnight UTC of a day of the proleptic Gregorian calendar; days past the month's end roll over. */
function startOf(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return (era * 146_097 + dayOfEra - 719_468) * DAY;
}
