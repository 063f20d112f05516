import { appendTo } from "../bytes/lists.ts";
import type { Period } from "../consent/model/time.ts";
import { type DatePrecision, type DateSpan, parseDate } from "./date.ts";
import type { TimeElement } from "./manifest-elements.ts";
import { choicesOf, type FhirResource, isObject, type JsonObject, valuesAt } from "./resource.ts";

/**
 * When what a resource tells was so, both ends inclusive; an open end is absent.
 *
 * An end is an instant in milliseconds, or the date as written (`2024`, `2024-02`, `2024-02-29`),
 * which means the whole of it in a time zone that is for the reader to choose.
 */
export interface DescribedPeriod extends Period {
  /** The coarser precision of the two ends. */
  readonly precision: DatePrecision;
}

/** A date as written and as read. */
interface Written extends DateSpan {
  readonly text: string;
}

/** One or both ends of a time. */
interface Ends {
  readonly start?: Written;
  readonly end?: Written;
}

/** What elements say of a time; `undefined` where any of it is there and cannot be read. */
type Times = readonly Ends[] | undefined;

/**
 * When what a resource tells was so, by the first of its elements that is there.
 *
 * @param malformed - receives the paths of what should be a date and is none
 * @returns `undefined` where no element is there, or the one that is cannot be read in full: a
 *   date that is none, a time without an offset, an age, prose, `null`, or an extension only. It is
 *   not looked for elsewhere then, for a later element tells another time.
 */
export function periodOf(
  resource: FhirResource,
  elements: readonly TimeElement[],
  malformed: string[],
): DescribedPeriod | undefined {
  for (const element of elements) {
    const [startPath, endPath] = pathsOf(element);
    const starts = timesAt(resource, startPath, malformed);
    const ends = endPath === undefined ? starts : timesAt(resource, endPath, malformed);
    if (starts === undefined || ends === undefined) return undefined;
    if (starts.length === 0 && ends.length === 0) continue;
    const whole = union(starts, ends);
    if (typeof element === "string" || Array.isArray(element)) return whole;
    const { from: _from, ...latest } = whole;
    const { to: _to, ...earliest } = whole;
    return "by" in element ? latest : earliest;
  }
  return undefined;
}

function pathsOf(element: TimeElement): readonly [string, string | undefined] {
  if (typeof element === "string") return [element, undefined];
  if ("by" in element) return [element.by, undefined];
  return "since" in element ? [element.since, undefined] : element;
}

/** From the first start to the last end; what any of them leaves open, or none tells, is open. */
function union(starts: readonly Ends[], ends: readonly Ends[]): DescribedPeriod {
  let precision: DatePrecision = "millisecond";
  for (const { start, end } of [...starts, ...ends]) {
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

/** The date furthest out, or `undefined` when one of them, or all, are missing. */
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

/**
 * The times at a path: none where it leads nowhere. Where it repeats, all of them must be there.
 */
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
      else appendTo(found, times);
    }
  }
  return !isThere ? [] : isRead ? found : undefined;
}

/** What one element says; all of what repeats in it, and neither nothing nor an extension only. */
function timesOf(parent: JsonObject, name: string, path: string, malformed: string[]): Times {
  const value = parent[name];
  const values = Array.isArray(value) ? value : [value];
  const found: Ends[] = [];
  let isRead = values.length > 0;
  for (const one of values) {
    const times = isObject(one) ? endsOf(one, path, malformed) : atOnce(one, path, malformed);
    if (times === undefined) isRead = false;
    else appendTo(found, times);
  }
  return isRead ? found : undefined;
}

function atOnce(value: unknown, path: string, malformed: string[]): Times {
  // `onsetString` and the like are prose, not malformed dates
  const date = dateAt(value, path, path.endsWith("[x]") ? [] : malformed);
  return date && [{ start: date, end: date }];
}

/** The ends of a Period, or those of a Timing's events and bounds. */
function endsOf(value: JsonObject, path: string, malformed: string[]): Times {
  const found: Ends[] = [];
  let isRead = true;
  const ends: { start?: Written; end?: Written } = {};
  for (const end of ["start", "end"] as const) {
    if (choicesOf(end, value).length === 0) continue;
    const date = dateAt(value[end], `${path}.${end}`, malformed);
    if (date === undefined) isRead = false;
    else ends[end] = date;
  }
  if (ends.start !== undefined || ends.end !== undefined) found.push(ends);
  if (choicesOf("event", value).length > 0) {
    const events = timesOf(value, "event", `${path}.event`, malformed);
    if (events === undefined) isRead = false;
    else appendTo(found, events);
  }
  if ("repeat" in value) {
    // what repeats without bounds, or for so and so long, may go on for ever
    const bounds = isObject(value["repeat"]) ? value["repeat"]["boundsPeriod"] : undefined;
    const times = isObject(bounds)
      ? endsOf(bounds, `${path}.repeat.boundsPeriod`, malformed)
      : undefined;
    if (times === undefined) isRead = false;
    else appendTo(found, times);
  }
  return isRead && found.length > 0 ? found : undefined;
}

/** Reads a date; what is there and is none is malformed, but for a mere extension. */
export function dateAt(value: unknown, path: string, malformed: string[]): Written | undefined {
  if (value === undefined) return undefined;
  const span = typeof value === "string" ? parseDate(value) : undefined;
  if (span === undefined) malformed.push(path);
  return span && { ...span, text: value as string };
}
