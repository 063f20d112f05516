import { appendTo } from "../bytes/lists.ts";
import type { Steps } from "../bytes/steps.ts";
import { parseDate } from "./date.ts";
import { manifestElements } from "./manifest-elements.ts";
import { type DescribedPeriod, periodOf, type ToldTime, toldTime } from "./period.ts";
import { type FhirResource, isObject, type JsonObject, list, text } from "./resource.ts";

/**
 * When what a resource tells was so, and what the resources contained in it tell: a result of 2009
 * in a report of 2015 makes it one of 2009 to 2015. By steps.
 *
 * What is contained and tells no time is of the time of what contains it.
 *
 * @param malformed - receives the paths of what should be a date and is none
 * @returns `undefined` where the resource tells no time, or any of them cannot be read in full
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

/** Contained resources between two places where looking at them can be interrupted. */
const PIECE = 256;

/** Resources nest no deeper than this; `readBundle` refuses what does. */
const MAX_DEPTH = 1000;

/** Adds the times of resources wherever they are contained; whether all of them are known. */
function addContained(
  value: unknown,
  into: ToldTime[],
  malformed: string[],
  depth: number,
): boolean {
  if (depth > MAX_DEPTH) return false;
  if (Array.isArray(value)) {
    // all of them, so that all that is malformed is named
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

/** Elements whose dates tell nothing of when something was so, and those that hold other words. */
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

/** Whether a date stands in any other element: a time that is told, but not of what. */
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
