import type { Coding } from "../model/model.ts";
import { NO, UNKNOWN, YES, type Match } from "./truth.ts";

const REST =
  /^(?:(\S*)\/)?([A-Z][A-Za-z]{1,63})\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/;

interface NameParts {
  /** The kind of name. Names of different spaces may mean the same thing. */
  readonly space: string;
  /** The server, if a FHIR reference states one. */
  readonly base: string | undefined;
  /** The name without server and version. */
  readonly tail: string;
  /** The tail in lower case. */
  readonly loose: string;
}

/** Caches parts: names are few and recur, and parsing takes longer than looking up. */
const known = new Map<string, NameParts>();
const MAX_KNOWN = 4096;

function partsOf(name: string): NameParts {
  let parts = known.get(name);
  if (parts === undefined) {
    if (known.size >= MAX_KNOWN) known.clear();
    known.set(name, (parts = readName(name)));
  }
  return parts;
}

function readName(name: string): NameParts {
  const rest = REST.exec(name);
  if (rest !== null) {
    const [, base, type, id] = rest;
    const tail = `${type}/${id}`;
    return { space: `${type}/`, base, tail, loose: tail.toLowerCase() };
  }
  const own = { base: undefined, tail: name, loose: name.toLowerCase() };
  const bar = name.lastIndexOf("|");
  if (bar >= 0) return { space: name.slice(0, bar + 1), ...own };
  const scheme = /^(?:urn:(?:uuid|oid)|did:[a-z0-9]+|[a-z][a-z0-9+.-]*):/i.exec(name);
  return { space: scheme === null ? "" : scheme[0].toLowerCase(), ...own };
}

/**
 * The kind of a name: a FHIR reference to one resource type, an identifier of one system, a did of
 * one method, … A party known by a name of one kind may also have a name of another kind.
 */
export function spaceOf(name: string): string {
  return partsOf(name).space;
}

/** A key that is equal for all names of one kind that {@link compareNames} does not tell apart. */
export function looseName(name: string): string {
  return partsOf(name).loose;
}

/**
 * Whether two names of resources or parties mean the same. FHIR references are compared without
 * versions. References of equal type and id, of which only one states a server, and names of
 * different kinds may or may not mean the same.
 */
export function compareNames(named: string, own: string): Match {
  if (named === own) return YES;
  const a = partsOf(named);
  const b = partsOf(own);
  if (a.space !== b.space) return isRest(a) && isRest(b) ? NO : UNKNOWN;
  if (a.tail !== b.tail) return a.loose === b.loose ? UNKNOWN : NO;
  if (a.base === b.base) return YES;
  if (a.base === undefined || b.base === undefined) return UNKNOWN;
  return looseUri(a.base) === looseUri(b.base) ? UNKNOWN : NO;
}

const isRest = ({ space }: NameParts): boolean => space.endsWith("/");

/** Folds common variants of one URI: case, scheme, a trailing version, a trailing slash. */
function looseUri(uri: string): string {
  return uri
    .trim()
    .toLowerCase()
    .replace(/\|.*$/, "")
    .replace(/^https:/, "http:")
    .replace(/\/+$/, "");
}

/** Folds common variants of one code: case, spaces, dots. */
const looseCode = (code: string): string => code.toLowerCase().replace(/[\s.]/g, "");

/** A key that is equal for codings that may be two spellings of one. */
export function looseCoding(coding: Coding): string {
  let loose = looseOf.get(coding);
  if (loose === undefined) {
    looseOf.set(coding, (loose = `${looseUri(coding.system)}|${looseCode(coding.code)}`));
  }
  return loose;
}

/** Cached per coding object: a record is matched against many rules. */
const looseOf = new WeakMap<Coding, string>();

const SNOMED = "http://snomed.info/sct";

/** Whether codes of a system can be composed into expressions. */
export function isComposable(system: string): boolean {
  return looseUri(system) === SNOMED;
}

/** Whether a coding is an expression, which may mean what a single code means. */
export function isExpression({ system, code }: Coding): boolean {
  return isComposable(system) && /[^0-9]/.test(code.trim());
}

/** Whether a system is written as code systems are: a URI without a version, not a value set. */
export function isSystemName(system: string): boolean {
  return /^[A-Za-z][A-Za-z0-9+.-]*:[^\s|]+$/.test(system) && !/\/ValueSet\//i.test(system);
}

/** Whether a coding in a rule can be compared with those of records at all. */
export function isComparable({ system, code }: Coding): boolean {
  return (
    isSystemName(system) &&
    code === code.trim() &&
    !code.includes("|") &&
    !isExpression({ system, code })
  );
}

/** Whether a name states no server, version or code system, which other systems may not know. */
export function isPlainName(name: string): boolean {
  return /^[A-Za-z0-9\-.]{1,64}(?:\/[A-Za-z0-9\-.]{1,64})?$/.test(name);
}
