/**
 * Offsets of time zones. This file is the only place in `consent` that asks the JavaScript engine
 * for anything: IANA zones come from its `Intl` database, which differs between engine versions for
 * dates whose law changed. If two parties must agree to the millisecond for ever, write directives
 * in `UTC` or a fixed offset.
 */
const MINUTE = 60_000;
const CACHE_LIMIT = 1024;

/** A zone that gives its offset from UTC at an instant. */
export interface Zone {
  readonly name: string;
  /** Whether its offset never changes. */
  readonly fixed: boolean;
  /** Milliseconds to add to an instant for local time. */
  offsetAt(instant: number): number;
}

const NAME = /^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/;
const FIXED = /^([+-])(\d{2}):(\d{2})$/;
const zones = new Map<string, Zone | null>();

/** Whether a string is written like a zone: `UTC`, `+01:00` or an IANA name. */
export function isZoneName(name: string): boolean {
  return fixedOffset(name) !== undefined || NAME.test(name);
}

/**
 * Finds a zone by name; `undefined` if this engine does not know it.
 *
 * @example
 * const zone = findZone("Europe/Berlin");
 * zone?.offsetAt(Date.UTC(2026, 6, 1)); // 7_200_000
 */
export function findZone(name: string): Zone | undefined {
  const known = zones.get(name);
  if (known !== undefined) return known ?? undefined;
  const zone = makeZone(name);
  if (zones.size >= CACHE_LIMIT) zones.clear();
  zones.set(name, zone);
  return zone ?? undefined;
}

function fixedOffset(name: string): number | undefined {
  if (name === "UTC") return 0;
  const parts = FIXED.exec(name);
  if (parts === null) return undefined;
  const hours = Number(parts[2]);
  const minutes = Number(parts[3]);
  if (hours > 14 || minutes > 59) return undefined;
  return (parts[1] === "-" ? -1 : 1) * (hours * 60 + minutes) * MINUTE;
}

function makeZone(name: string): Zone | null {
  const fixed = fixedOffset(name);
  if (fixed !== undefined) return { name, fixed: true, offsetAt: () => fixed };
  if (!NAME.test(name)) return null;
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: name,
      hourCycle: "h23",
      calendar: "gregory",
      numberingSystem: "latn",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
  } catch {
    return null;
  }
  return {
    name,
    fixed: false,
    offsetAt(instant) {
      const field: Record<string, number> = {};
      for (const part of format.formatToParts(instant)) field[part.type] = Number(part.value);
      const local =
        daysFromCivil(field["year"]!, field["month"]!, field["day"]!) * 86_400_000 +
        (field["hour"]! * 3600 + field["minute"]! * 60 + field["second"]!) * 1000;
      return local - Math.floor(instant / 1000) * 1000;
    },
  };
}

/** Days from 1970-01-01 to a date of the proleptic Gregorian calendar. */
export function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}
