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

const DATE =
  /^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,18}))?)?(Z|[+-]\d{2}:\d{2}))?)?)?$/;
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
  const match = DATE.exec(value);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction, zone] = match;
  const y = Number(year);
  if (y === 0) return undefined;
  if (month === undefined) return span(startOf(y, 1, 1), startOf(y + 1, 1, 1), "year");
  const m = Number(month);
  if (m < 1 || m > 12) return undefined;
  const next = m === 12 ? startOf(y + 1, 1, 1) : startOf(y, m + 1, 1);
  if (day === undefined) return span(startOf(y, m, 1), next, "month");
  const midnight = startOf(y, m, Number(day));
  if (Number(day) < 1 || midnight >= next) return undefined;
  if (hour === undefined) return span(midnight, midnight + DAY, "day");

  const offset = zoneOffset(zone!);
  const h = Number(hour);
  const s = Number(second ?? 0);
  if (h > 23 || Number(minute) > 59 || s > 60 || offset === undefined) return undefined;
  const at = midnight + ((h * 60 + Number(minute) - offset) * 60 + s) * 1000;
  // R4 requires seconds; without them (as R5 allows) the value still names a whole minute
  if (second === undefined) return { ...span(at, at + 60_000, "second"), zoned: true };
  if (fraction === undefined) return { ...span(at, at + 1000, "second"), zoned: true };
  const exact = at + Number(fraction.slice(0, 3).padEnd(3, "0"));
  return { from: exact, to: exact, precision: "millisecond", zoned: true };
}

function span(from: number, end: number, precision: DatePrecision): DateSpan {
  return { from, to: end - 1, precision, zoned: false };
}

/** Minutes east of UTC. */
function zoneOffset(zone: string): number | undefined {
  if (zone === "Z") return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4));
  if (hours > 14 || minutes > 59) return undefined;
  return (zone.startsWith("-") ? -1 : 1) * (hours * 60 + minutes);
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
