import { appendTo } from "../bytes/lists.ts";
import type { Steps } from "../bytes/steps.ts";
import { parseDate } from "./date.ts";
import { manifestElements } from "./manifest-elements.ts";
import { type DescribedPeriod, periodOf, type ToldTime, toldTime } from "./period.ts";
import { type FhirResource, isObject, type JsonObject, list, text } from "./resource.ts";

/**
 * When the events in a resource and in its contained resources happened: a result of 2009 contained
 * in a report of 2015 makes it 2009 to 2015. By steps.
 *
 * A contained resource without a time has the time of its container.
 *
 * @param malformed - receives the paths of elements that should hold a date and do not
 * @returns `undefined` if the resource states no time, or any of the times cannot be read in full
 */
export function* wholePeriodSteps(
  resource: FhirResource,
  malformed: string[],
): Steps<DescribedPeriod | undefined> {
  const own = toldTime(resource, manifestElements(resource.resourceType).dates, malformed);
  const parts: ToldTime[] = [];
  let known = true;
  for (const [at, one] of list(resource["contained"]).entries()) {
    if (at % PIECE === PIECE - 1) yield;
    if (!addContained(one, parts, malformed, 1)) known = false;
  }
  if (own === undefined || own === "untold" || !known) return undefined;
  if (parts.length === 0) return periodOf(own);
  const starts = [...own.starts];
  const ends = [...own.ends];
  for (const part of parts) {
    appendTo(starts, part.starts);
    appendTo(ends, part.ends);
  }
  return periodOf({ starts, ends });
}

/** Contained resources between two points at which reading can be interrupted. */
const PIECE = 256;

/** Deepest nesting of resources; `readBundle` refuses deeper ones. */
const MAX_DEPTH = 1000;

/** Adds the times of resources contained at any depth; returns whether all of them are known. */
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

/** Elements whose dates do not say when something happened, and those that hold other text. */
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

/** Whether any other element holds a date: a time is stated, but not of what. */
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
  return typeof value === "string" && parseDate(value) !== undefined;
}
