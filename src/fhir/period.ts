import { appendTo } from "../bytes/lists.ts";
import type { Period } from "../consent/model/time.ts";
import { type DatePrecision, type DateSpan, parseDate } from "./date.ts";
import type { TimeElement } from "./manifest-elements.ts";
import { choicesOf, type FhirResource, isObject, type JsonObject, valuesAt } from "./resource.ts";

/**
 * When the events that a resource describes happened, both ends inclusive; an open end is absent.
 *
 * An end is an instant in milliseconds, or the date as written (`2024`, `2024-02`, `2024-02-29`),
 * which means the whole of it in a time zone of the reader's choice.
 */
export interface DescribedPeriod extends Period {
  /** The coarser precision of the two ends. */
  readonly precision: DatePrecision;
}

/** A date, as text and as a span. */
interface Written extends DateSpan {
  readonly text: string;
}

/** One or both ends of a time. */
interface Ends {
  readonly start?: Written;
  readonly end?: Written;
}

/** Times in elements; `undefined` if one of them is present and cannot be read. */
type Times = readonly Ends[] | undefined;

/** When something happened, by all elements that state it: the starts and the ends. */
export interface ToldTime {
  readonly starts: readonly Ends[];
  readonly ends: readonly Ends[];
}

/**
 * When the events in a resource happened, by the first of its time elements that is present.
 *
 * @param malformed - receives the paths of elements that should hold a date and do not
 * @returns `"untold"` if no element is present; `undefined` if the one that is present cannot be
 *   read in full: an invalid date, a time without an offset, an age, prose, `null`, or only an
 *   extension. Later elements are not tried then, since they state another time.
 */
export function toldTime(
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

/** The open time: no element states it. */
const OPEN: readonly Ends[] = [{}];

/**
 * Paths of the elements for the start and for the end; empty if an element states only the other.
 */
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
    appendTo(found, times);
  }
  return found;
}

/** From the first start to the last end; an end that any of them leaves open is open. */
export function periodOf({ starts, ends }: ToldTime): DescribedPeriod {
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

/** The outermost date, or `undefined` if any is missing. */
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
 * The times at a path: empty if it leads nowhere. If it repeats, all of them must be readable.
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

/** The times in one element; all of its repetitions must have a value. */
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

/** The ends of a Period, or of a Timing's events and bounds. */
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
    // a repetition without bounds, or bounded by a duration, may continue for ever
    const bounds = isObject(value["repeat"]) ? value["repeat"]["boundsPeriod"] : undefined;
    const times = isObject(bounds)
      ? endsOf(bounds, `${path}.repeat.boundsPeriod`, malformed)
      : undefined;
    if (times === undefined) isRead = false;
    else appendTo(found, times);
  }
  return isRead && found.length > 0 ? found : undefined;
}

/** Reads a date; any other value except a mere extension is malformed. */
export function dateAt(value: unknown, path: string, malformed: string[]): Written | undefined {
  if (value === undefined) return undefined;
  const span = typeof value === "string" ? parseDate(value) : undefined;
  if (span === undefined) malformed.push(path);
  return span && { ...span, text: value as string };
}
