import { appendTo } from "../bytes/lists.ts";
import type { Period } from "../consent/model/time.ts";
import { type DatePrecision, type DateSpan, parseDate } from "./date.ts";
import type { TimeElement } from "./manifest-elements.ts";
import {
  choicesOf,
  elementOf,
  type FhirResource,
  isNameOf,
  isObject,
  type JsonObject,
  valuesAt,
} from "./resource.ts";

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
  const times = timesOfType(elements);
  const present = presentAmong(resource, times);
  for (const [at, { starts: from, ends: to, isDone }] of times.elements.entries()) {
    if ((present & (1 << at)) === 0) continue;
    const starts = allTimesAt(resource, from, malformed);
    const ends = to === from ? starts : allTimesAt(resource, to, malformed);
    if (starts === undefined || ends === undefined) return undefined;
    if (starts.length === 0 && ends.length === 0) continue;
    return {
      starts: starts.length > 0 ? starts : isDone ? ends : OPEN,
      ends: ends.length > 0 ? ends : OPEN,
    };
  }
  return "untold";
}

/** The time elements of a resource type, compiled. */
interface TypeTimes {
  readonly elements: readonly {
    /** Empty if an element states only an end. */
    readonly starts: readonly string[];
    readonly ends: readonly string[];
    /** Whether the end is when it was done, and so when it began at the latest. */
    readonly isDone: boolean;
  }[];
  /** The first steps of all paths, each with the bit of its element. */
  readonly firsts: readonly { readonly step: string; readonly bit: number }[];
  /** Bits of the elements that a name may begin, for names that occurred. */
  readonly known: Map<string, number>;
}

const compiled = /* @__PURE__ */ new Map<readonly TimeElement[], TypeTimes>();

function timesOfType(elements: readonly TimeElement[]): TypeTimes {
  let times = compiled.get(elements);
  if (times === undefined) {
    const paths = elements.map(pathsOf);
    const firsts = paths.flatMap(({ starts, ends }, at) =>
      [...starts, ...ends].map((path) => ({ step: path.split(".")[0]!, bit: 1 << at })),
    );
    times = { elements: paths, firsts, known: new Map() };
    compiled.set(elements, times);
  }
  return times;
}

/** Most names that are kept for a type, and their greatest length. */
const MOST_KNOWN = 256;
const LONGEST_KNOWN = 64;

/** Bits of the elements of which a resource may have a value. */
function presentAmong(resource: FhirResource, { firsts, known }: TypeTimes): number {
  let present = 0;
  for (const own of Object.keys(resource)) {
    let bits = known.get(own);
    if (bits === undefined) {
      bits = 0;
      for (const { step, bit } of firsts) if (isNameOf(step, elementOf(own))) bits |= bit;
      if (known.size < MOST_KNOWN && own.length <= LONGEST_KNOWN) known.set(own, bits);
    }
    present |= bits;
  }
  return present;
}

/** The open time: no element states it. */
const OPEN: readonly Ends[] = [{}];

function pathsOf(element: TimeElement): TypeTimes["elements"][number] {
  if (typeof element !== "string") {
    if ("by" in element) return { starts: [], ends: [element.by], isDone: false };
    if ("since" in element) return { starts: [element.since], ends: [], isDone: false };
    if ("done" in element) return { starts: [element.begun], ends: [element.done], isDone: true };
    if (!("all" in element)) return { starts: [element[0]], ends: [element[1]], isDone: false };
  }
  const paths = typeof element === "string" ? [element] : element.all;
  return { starts: paths, ends: paths, isDone: false };
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
  let rank = coarsest(starts, COARSE.length - 1);
  if (ends !== starts) rank = coarsest(ends, rank);
  const precision = COARSE[rank]!;
  const first = earliest(starts);
  const last = latest(ends);
  const from = first && (first.zoned ? first.from : first.text);
  const to = last && (last.zoned ? last.to : last.text);
  if (from === undefined) return to === undefined ? { precision } : { to, precision };
  return to === undefined ? { from, precision } : { from, to, precision };
}

/** The first start, or `undefined` if any is missing. */
function earliest(times: readonly Ends[]): Written | undefined {
  let found: Written | undefined;
  for (const { start } of times) {
    if (start === undefined) return undefined;
    if (found === undefined || start.from < found.from) found = start;
  }
  return found;
}

/** The last end, or `undefined` if any is missing. */
function latest(times: readonly Ends[]): Written | undefined {
  let found: Written | undefined;
  for (const { end } of times) {
    if (end === undefined) return undefined;
    if (found === undefined || end.to > found.to) found = end;
  }
  return found;
}

/** The position in {@link COARSE} of the coarsest precision. */
function coarsest(times: readonly Ends[], least: number): number {
  let rank = least;
  for (const { start, end } of times) {
    if (start !== undefined) rank = Math.min(rank, COARSE.indexOf(start.precision));
    if (end !== undefined) rank = Math.min(rank, COARSE.indexOf(end.precision));
  }
  return rank;
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
  if (span === undefined) return undefined;
  const { from, to, precision, zoned } = span;
  return { from, to, precision, zoned, text: value as string };
}
