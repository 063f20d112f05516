import { type DatePrecision, type DateSpan } from "../../src/fhir/date.ts";
import { manifestElements, type TimeElement } from "../../src/fhir/manifest-elements.ts";
import type { DescribedPeriod } from "../../src/fhir/period.ts";
import {
  type FhirResource,
  isObject,
  type JsonObject,
  list,
  text,
  valuesAt,
} from "../../src/fhir/resource.ts";

// What `parseDate` and the period of a description must agree with: written for the reader, by a
// regular expression, and by every time element of a type in turn.

const DATE =
  /^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,18}))?)?(Z|[+-]\d{2}:\d{2}))?)?)?$/;
const DAY = 86_400_000;

/** As `parseDate`. */
export function parseSlowly(value: string): DateSpan | undefined {
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

function zoneOffset(zone: string): number | undefined {
  if (zone === "Z") return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4));
  if (hours > 14 || minutes > 59) return undefined;
  return (zone.startsWith("-") ? -1 : 1) * (hours * 60 + minutes);
}

function startOf(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra =
    yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return (era * 146_097 + dayOfEra - 719_468) * DAY;
}

interface Written extends DateSpan {
  readonly text: string;
}

interface Ends {
  readonly start?: Written;
  readonly end?: Written;
}

type Times = readonly Ends[] | undefined;

interface ToldTime {
  readonly starts: readonly Ends[];
  readonly ends: readonly Ends[];
}

function toldTime(
  resource: FhirResource,
  elements: readonly TimeElement[],
  malformed: string[],
): ToldTime | "untold" | undefined {
  for (const element of elements) {
    const paths = pathsOf(element);
    const starts = allTimesAt(resource, paths.starts, malformed);
    const isOne = paths.ends === paths.starts;
    const ends = isOne ? starts : allTimesAt(resource, paths.ends, malformed);
    if (starts === undefined || ends === undefined) return undefined;
    if (starts.length === 0 && ends.length === 0) continue;
    const isDone = typeof element === "object" && "done" in element;
    return {
      starts: starts.length > 0 ? starts : isDone ? ends : OPEN,
      ends: ends.length > 0 ? ends : OPEN,
    };
  }
  return "untold";
}

const OPEN: readonly Ends[] = [{}];

function pathsOf(element: TimeElement): {
  readonly starts: readonly string[];
  readonly ends: readonly string[];
} {
  if (typeof element !== "string") {
    if ("by" in element) return { starts: [], ends: [element.by] };
    if ("since" in element) return { starts: [element.since], ends: [] };
    if ("done" in element) return { starts: [element.begun], ends: [element.done] };
    if (!("all" in element)) return { starts: [element[0]], ends: [element[1]] };
  }
  const paths = typeof element === "string" ? [element] : element.all;
  return { starts: paths, ends: paths };
}

function allTimesAt(resource: FhirResource, paths: readonly string[], malformed: string[]): Times {
  const found: Ends[] = [];
  for (const path of paths) {
    const times = timesAt(resource, path, malformed);
    if (times === undefined) return undefined;
    found.push(...times);
  }
  return found;
}

function periodOf({ starts, ends }: ToldTime): DescribedPeriod {
  let precision: DatePrecision = "millisecond";
  for (const { start, end } of starts === ends ? starts : [...starts, ...ends]) {
    for (const date of [start, end]) {
      if (date !== undefined && COARSE.indexOf(date.precision) < COARSE.indexOf(precision)) {
        precision = date.precision;
      }
    }
  }
  const first = extreme(
    starts.map(({ start }) => start),
    (a, b) => a.from < b.from,
  );
  const last = extreme(
    ends.map(({ end }) => end),
    (a, b) => a.to > b.to,
  );
  return {
    ...(first && { from: first.zoned ? first.from : first.text }),
    ...(last && { to: last.zoned ? last.to : last.text }),
    precision,
  };
}

function extreme(
  dates: readonly (Written | undefined)[],
  beyond: (a: Written, b: Written) => boolean,
): Written | undefined {
  let furthest = dates[0];
  for (const date of dates) {
    if (date === undefined) return undefined;
    if (beyond(date, furthest!)) furthest = date;
  }
  return furthest;
}

const COARSE: readonly DatePrecision[] = ["year", "month", "day", "second", "millisecond"];

function timesAt(resource: FhirResource, path: string, malformed: string[]): Times {
  const at = path.lastIndexOf(".");
  const parents = at < 0 ? [resource] : valuesAt(resource, path.slice(0, at));
  const step = path.slice(at + 1);
  const found: Ends[] = [];
  let isThere = false;
  let isRead = true;
  for (const parent of parents) {
    const names = isObject(parent) ? choicesOf(step, parent) : [];
    isThere ||= names.length > 0;
    isRead &&= names.length > 0;
    for (const name of names) {
      const times = timesOf(parent as JsonObject, name, path, malformed);
      if (times === undefined) isRead = false;
      else found.push(...times);
    }
  }
  return !isThere ? [] : isRead ? found : undefined;
}

function timesOf(parent: JsonObject, name: string, path: string, malformed: string[]): Times {
  const value = parent[name];
  const values = Array.isArray(value) ? value : [value];
  const found: Ends[] = [];
  let isRead = values.length > 0;
  for (const one of values) {
    const times = isObject(one) ? endsOf(one, path, malformed) : atOnce(one, path, malformed);
    if (times === undefined) isRead = false;
    else found.push(...times);
  }
  return isRead ? found : undefined;
}

function atOnce(value: unknown, path: string, malformed: string[]): Times {
  // `onsetString` and the like are prose, not malformed dates
  const date = dateSlowlyAt(value, path, path.endsWith("[x]") ? [] : malformed);
  return date && [{ start: date, end: date }];
}

function endsOf(value: JsonObject, path: string, malformed: string[]): Times {
  const found: Ends[] = [];
  let isRead = true;
  const ends: { start?: Written; end?: Written } = {};
  for (const end of ["start", "end"] as const) {
    if (choicesOf(end, value).length === 0) continue;
    const date = dateSlowlyAt(value[end], `${path}.${end}`, malformed);
    if (date === undefined) isRead = false;
    else ends[end] = date;
  }
  if (ends.start !== undefined || ends.end !== undefined) found.push(ends);
  if (choicesOf("event", value).length > 0) {
    const events = timesOf(value, "event", `${path}.event`, malformed);
    if (events === undefined) isRead = false;
    else found.push(...events);
  }
  if ("repeat" in value) {
    // a repetition without bounds, or bounded by a duration, may continue for ever
    const bounds = isObject(value["repeat"]) ? value["repeat"]["boundsPeriod"] : undefined;
    const times = isObject(bounds)
      ? endsOf(bounds, `${path}.repeat.boundsPeriod`, malformed)
      : undefined;
    if (times === undefined) isRead = false;
    else found.push(...times);
  }
  return isRead && found.length > 0 ? found : undefined;
}

/** As `dateAt`. */
export function dateSlowlyAt(
  value: unknown,
  path: string,
  malformed: string[],
): Written | undefined {
  if (value === undefined) return undefined;
  const span = typeof value === "string" ? parseSlowly(value) : undefined;
  if (span === undefined) malformed.push(path);
  return span && { ...span, text: value as string };
}

/** As `wholePeriodSteps`. */
export function wholePeriodSlowly(
  resource: FhirResource,
  malformed: string[],
): DescribedPeriod | undefined {
  const own = toldTime(resource, manifestElements(resource.resourceType).dates, malformed);
  const parts: ToldTime[] = [];
  let known = true;
  for (const one of list(resource["contained"])) {
    if (!addContained(one, parts, malformed, 1)) known = false;
  }
  if (own === undefined || own === "untold" || !known) return undefined;
  if (parts.length === 0) return periodOf(own);
  const starts = [...own.starts];
  const ends = [...own.ends];
  for (const part of parts) {
    starts.push(...part.starts);
    ends.push(...part.ends);
  }
  return periodOf({ starts, ends });
}

const MAX_DEPTH = 1000;

function addContained(
  value: unknown,
  into: ToldTime[],
  malformed: string[],
  depth: number,
): boolean {
  if (depth > MAX_DEPTH) return false;
  if (Array.isArray(value)) {
    // visits all of them, so that every malformed date is named
    return value.map((one) => addContained(one, into, malformed, depth + 1)).every(Boolean);
  }
  if (!isObject(value)) return true;
  let known = true;
  for (const name of Object.keys(value)) {
    if (!addContained(value[name], into, malformed, depth + 1)) known = false;
  }
  if (text(value["resourceType"]) === undefined) return known;
  const paths: string[] = [];
  const resource = value as FhirResource;
  const told = toldTime(resource, manifestElements(resource.resourceType).dates, paths);
  for (const path of paths) malformed.push(`contained.${path}`);
  if (told === undefined) return false;
  if (told === "untold") return known && !hasDate(resource, 0);
  into.push(told);
  return known;
}

const OTHER_ELEMENTS: ReadonlySet<string> = new Set([
  "meta",
  "id",
  "identifier",
  "name",
  "telecom",
  "address",
  "birthDate",
  "qualification",
  "coding",
  "code",
  "display",
  "version",
]);

function hasDate(value: JsonObject, depth: number): boolean {
  if (depth > MAX_DEPTH) return true;
  return Object.keys(value).some((name) => {
    const isOther = OTHER_ELEMENTS.has(name.startsWith("_") ? name.slice(1) : name);
    return !isOther && isOrHasDate(value[name], depth + 1);
  });
}

function isOrHasDate(value: unknown, depth: number): boolean {
  if (Array.isArray(value)) return value.some((one) => isOrHasDate(one, depth + 1));
  if (isObject(value)) return text(value["resourceType"]) === undefined && hasDate(value, depth);
  return typeof value === "string" && parseSlowly(value) !== undefined;
}

function choicesOf(step: string, value: JsonObject): readonly string[] {
  const names = new Set(
    Object.keys(value).map((name) => (name.startsWith("_") ? name.slice(1) : name)),
  );
  if (!step.endsWith("[x]")) return names.has(step) ? [step] : [];
  return [...names].filter((name) => isChoiceOf(step.slice(0, -3), name));
}

function isChoiceOf(stem: string, name: string): boolean {
  if (!name.startsWith(stem)) return false;
  const initial = name.charCodeAt(stem.length);
  return initial >= 0x41 && initial <= 0x5a;
}
