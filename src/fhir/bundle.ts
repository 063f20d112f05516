import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { atOnce } from "../bytes/steps.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { InputError } from "../errors.ts";
import { parseDate } from "./date.ts";
import { type JsonSpan, scanSteps } from "./json-text.ts";
import { AT_ONCE, parseSteps } from "./parse-steps.ts";
import { type BundlePatient, type PatientProblem, patientSteps } from "./patients.ts";
import { type FhirResource, isObject, text } from "./resource.ts";
import type { StatedVersion } from "./version-order.ts";
import { type PastVersion, pastVersions } from "./versions.ts";

export type { BundlePatient } from "./patients.ts";

const TYPE = /^[A-Z][A-Za-z]{1,63}$/;

/** A resource with the exact JSON it was written in. */
export interface ResourceText {
  /** The parsed resource, for inspection. Its numbers may have lost digits. */
  readonly resource: FhirResource;
  /** The resource's JSON exactly as in the input, in UTF-8: seal and return this. */
  readonly text: Uint8Array;
}

/**
 * Most objects and lists, and most other values, in one resource; a bundle has eight times as many at most. Without a
 * limit, text of two bytes a value would need a hundred times its length in memory. A resource of 32 MiB has some
 * 400,000 objects and a million values.
 */
const MAX_CONTAINERS = 1_000_000;
const MAX_VALUES = 4_000_000;

/** One resource of a bundle. */
export interface BundleResource extends ResourceText {
  /** Its position in `Bundle.entry`. */
  readonly index: number;
  readonly fullUrl?: string;
  /** The operation that the bundle requests for it, in a transaction, batch or history. */
  readonly request?: { readonly method: string; readonly url: string };
  /** Indexes into {@link BundleReading.patients}: none, one, or several. */
  readonly patients: readonly number[];
}

/** The deletion of a resource that a bundle requests, or that a history reports. */
export interface BundleDeletion {
  /** Its position in `Bundle.entry`. */
  readonly index: number;
  readonly fullUrl?: string;
  readonly request: { readonly method: string; readonly url: string };
  /** The version that the deletion made, as far as the bundle says. */
  readonly stated: StatedVersion;
}

/** A problem in a bundle that a caller should consider before recording it. */
export interface BundleProblem {
  readonly code:
    | PatientProblem
    /** An entry has no resource (a deletion, a response). */
    | "no-resource"
    /** An entry requests a read, a deletion or a patch, so its resource is not a new record. */
    | "not-a-write"
    /**
     * A resource is not current: the bundle has a newer version, or its history ends in a deletion.
     */
    | PastVersion
    /** Two resources have the same name and version. */
    | "duplicate"
    /** A Bundle or Parameters is inside the bundle: the resources in it are not read. */
    | "nested";
  /** Its path, for example `Bundle.entry[3]`. */
  readonly path: string;
}

/** Result of {@link readBundle}. */
export interface BundleReading {
  /** `Bundle.type`: `transaction`, `collection`, `searchset`, … */
  readonly type: string;
  /** `Bundle.meta` as parsed: it describes the bundle as a whole. */
  readonly meta?: unknown;
  /**
   * The Bundle itself, if it is a document or a message: its identifier, timestamp and signature are about
   * all of it, as it is written.
   */
  readonly whole?: ResourceText;
  /**
   * Every patient that a resource is about, whether or not the bundle has their Patient resource.
   */
  readonly patients: readonly BundlePatient[];
  readonly resources: readonly BundleResource[];
  /** Entries that request a deletion, in the order of the bundle; absent if there are none. */
  readonly deletions?: readonly BundleDeletion[];
  readonly problems: readonly BundleProblem[];
}

export interface FhirReadOptions {
  /** Largest input, in UTF-16 units of its text; 256 Mi by default. */
  readonly maxLength?: number;
  /** Deepest nesting of objects and arrays; 100 by default. */
  readonly maxDepth?: number;
  /** Most entries of a bundle; 100,000 by default. */
  readonly maxEntries?: number;
  /**
   * The current time, in ms since 1970. Without it, identifiers with a stated end count as expired.
   */
  readonly now?: number;
}

const READ_BUNDLE_OPTIONS: OptionsOf<FhirReadOptions> = {
  ...{ maxLength: true, maxDepth: true, maxEntries: true, now: true },
};

/**
 * Reads a FHIR R4 or R5 Bundle of any type: its resources with their exact text, and the patients
 * that each is about.
 *
 * @param input - JSON as UTF-8 bytes or a string. A parsed value is accepted too, but details that
 *   its parser lost (`1.0` for `1`) are gone
 * @throws {InputError} `ERR_INPUT_INVALID` with a path when it is malformed JSON, has duplicate
 *   names, or is not a Bundle; `ERR_INPUT_TOO_LARGE` beyond the limits
 * @example
 * const { patients, resources, problems } = readBundle(await readFile("bundle.json"));
 */
export function readBundle(input: unknown, options: FhirReadOptions = {}): BundleReading {
  assertOptions(options, READ_BUNDLE_OPTIONS, "readBundle");
  return atOnce(bundleSteps(input, options));
}

/** As {@link readBundle}, by steps; the first step reads the whole input. */
export function* bundleSteps(
  input: unknown,
  options: FhirReadOptions = {},
): Generator<void, BundleReading, void> {
  const json = inputText(input, options);
  const maxDepth = options.maxDepth ?? 100;
  const root = yield* scanSteps(json, {
    ...{ name: "Bundle", maxDepth, keepDepth: 3 },
    ...{ maxContainers: 8 * MAX_CONTAINERS, maxValues: 8 * MAX_VALUES },
  });
  if (stringAt(json, root.members?.get("resourceType")) !== "Bundle") {
    throw invalid("Bundle.resourceType", 'must be "Bundle"');
  }
  const type = stringAt(json, root.members?.get("type"));
  if (type === undefined) throw invalid("Bundle.type", "is missing");
  const about = root.members?.get("meta");
  const meta = about && (JSON.parse(json.slice(about.start, about.end)) as unknown);
  const entry = root.members?.get("entry");
  if (entry !== undefined && entry.kind !== "array")
    throw invalid("Bundle.entry", "must be a list");
  const entries = entry?.items ?? [];
  const maxEntries = options.maxEntries ?? 100_000;
  if (entries.length > maxEntries) throw tooLarge(`Bundle.entry has more than ${maxEntries} items`);

  const problems: BundleProblem[] = [];
  const found: Omit<BundleResource, "patients">[] = [];
  const seen = new Set<string>();
  const deletions: BundleDeletion[] = [];
  // A history says of each deletion when it was made.
  const timestamp = stringAt(json, root.members?.get("timestamp"));
  const asOf = type === "history" ? undefined : timeOf(timestamp, meta);
  for (const [index, span] of entries.entries()) {
    yield;
    const path = `Bundle.entry[${index}]`;
    if (span.kind !== "object") throw invalid(path, "must be an object");
    const slice = span.members!.get("resource");
    const asked = span.members!.get("request");
    const request = asked && requestOf(yield* parseSteps(json, asked));
    const fullUrl = fullUrlOf(json, span.members!.get("fullUrl"), path);
    if (request?.method === "DELETE") {
      const response = span.members!.get("response");
      const stated = deletedAt(response && (yield* parseSteps(json, response)), asOf);
      deletions.push({ index, request, stated, ...(fullUrl !== undefined && { fullUrl }) });
    }
    if (slice === undefined) {
      problems.push({ code: "no-resource", path });
      continue;
    }
    const { resource, text: bytes } = yield* resourceSteps(json, slice, `${path}.resource`);
    if (!isWritten({ request })) {
      problems.push({ code: "not-a-write", path });
    }
    if (resource.resourceType === "Bundle" || resource.resourceType === "Parameters") {
      problems.push({ code: "nested", path });
    }
    const name = entryName(resource, fullUrl);
    if (name !== undefined && seen.has(name)) problems.push({ code: "duplicate", path });
    if (name !== undefined) seen.add(name);
    found.push({
      index,
      resource,
      text: bytes,
      ...(fullUrl !== undefined && { fullUrl }),
      ...(request && { request }),
    });
  }

  for (const [index, code] of pastVersions(type, [...found.filter(isWritten), ...deletions])) {
    problems.push({ code, path: `Bundle.entry[${index}]` });
  }
  const reading = yield* peopleSteps(found, problems, options.now);
  const whole = isWhole(type) ? yield* resourceSteps(json, root, "Bundle") : undefined;
  return {
    type,
    ...(whole !== undefined && { whole }),
    ...(meta !== undefined && { meta }),
    ...(deletions.length > 0 && { deletions }),
    ...reading,
  };
}

/** Whether a Bundle of a type is more than its resources: it says something of them as a whole. */
export const isWhole = (type: unknown): boolean => type === "document" || type === "message";

/** Reads resources that are in no bundle as if they were the entries of one. */
export function* resourcesSteps(
  found: readonly Omit<BundleResource, "patients">[],
  now: number | undefined,
): Generator<void, BundleReading, void> {
  return { type: "collection", ...(yield* peopleSteps(found, [], now)) };
}

/** Finds out whom resources are about, and adds what is unclear about it to the problems. */
function* peopleSteps(
  found: readonly Omit<BundleResource, "patients">[],
  problems: BundleProblem[],
  now: number | undefined,
): Generator<void, Pick<BundleReading, "patients" | "resources" | "problems">, void> {
  const { patients, about, remarks } = yield* patientSteps(found, now);
  for (const { at, code } of remarks) {
    problems.push({ code, path: `Bundle.entry[${found[at]!.index}]` });
  }
  const resources = found.map((resource, at) => ({ ...resource, patients: about[at]! }));
  return { patients, resources, problems };
}

/** The time as of which a bundle says what it says: `timestamp`, else `meta.lastUpdated`. */
function timeOf(timestamp: string | undefined, meta: unknown): number | undefined {
  return instant(timestamp) ?? (isObject(meta) ? instant(meta["lastUpdated"]) : undefined);
}

function deletedAt(response: unknown, asOf: number | undefined): StatedVersion {
  const said = isObject(response) ? response : {};
  const lastUpdated = instant(said["lastModified"]) ?? asOf;
  const versionId = /^W\/"([A-Za-z0-9\-.]{1,64})"$/.exec(text(said["etag"]) ?? "")?.[1];
  return {
    ...(versionId !== undefined && { versionId }),
    ...(lastUpdated !== undefined && { lastUpdated }),
  };
}

/** The first millisecond that an instant names, if it is one. */
function instant(value: unknown): number | undefined {
  const parsed = typeof value === "string" ? parseDate(value) : undefined;
  return parsed?.zoned === true && parsed.from >= 0 ? parsed.from : undefined;
}

const READ_RESOURCE_OPTIONS: OptionsOf<FhirReadOptions> = {
  ...{ maxLength: true, maxDepth: true, maxEntries: true, now: true },
};

/**
 * Reads one FHIR resource, keeping its exact text.
 *
 * @param input - as for {@link readBundle}
 * @throws {InputError} `ERR_INPUT_INVALID` with a path when it is malformed or has no
 *   `resourceType`; `ERR_INPUT_TOO_LARGE` beyond the limits
 * @example
 * const { resource, text } = readResource(await readFile("observation.json"));
 * resource.resourceType; // "Observation"
 */
export function readResource(input: unknown, options: FhirReadOptions = {}): ResourceText {
  assertOptions(options, READ_RESOURCE_OPTIONS, "readResource");
  return atOnce(readSteps(input, options));
}

/** As {@link readResource}, by steps; the first step reads the whole input. */
export function* readSteps(
  input: unknown,
  options: FhirReadOptions = {},
): Generator<void, ResourceText, void> {
  const json = inputText(input, options);
  const maxDepth = options.maxDepth ?? 100;
  const root = yield* scanSteps(json, {
    // What is parsed in one piece needs no positions of its members.
    ...{ name: "resource", maxDepth, keepDepth: json.length > AT_ONCE ? 1 : 0 },
    ...{ maxContainers: MAX_CONTAINERS, maxValues: MAX_VALUES },
  });
  return yield* resourceSteps(json, root, "resource");
}

function inputText(input: unknown, options: FhirReadOptions): string {
  const maxLength = options.maxLength ?? 2 ** 28;
  if (input instanceof Uint8Array && input.length > 3 * maxLength) throw tooLarge("input");
  let json: string | undefined;
  try {
    if (typeof input === "string") json = input;
    else if (input instanceof Uint8Array) json = bytesToUtf8(input);
    else if (isObject(input)) json = JSON.stringify(input);
  } catch (cause) {
    throw new InputError("ERR_INPUT_INVALID", "input is not JSON in UTF-8", { cause });
  }
  if (json === undefined) throw new TypeError("input must be JSON as bytes, a string or an object");
  if (json.length > maxLength) throw tooLarge("input");
  return json.startsWith("\uFEFF") ? json.slice(1) : json;
}

function* resourceSteps(
  json: string,
  span: JsonSpan,
  path: string,
): Generator<void, ResourceText, void> {
  if (span.kind !== "object") throw invalid(path, "must be an object");
  const resource = (yield* parseSteps(json, span)) as Record<string, unknown>;
  const type = resource["resourceType"];
  if (typeof type !== "string" || !TYPE.test(type)) {
    throw invalid(`${path}.resourceType`, "must name a resource type");
  }
  const text = utf8ToBytes(json.slice(span.start, span.end));
  return { resource: resource as FhirResource, text };
}

function stringAt(json: string, span: JsonSpan | undefined): string | undefined {
  if (span?.kind !== "string") return undefined;
  return JSON.parse(json.slice(span.start, span.end)) as string;
}

function fullUrlOf(json: string, span: JsonSpan | undefined, path: string): string | undefined {
  if (span === undefined) return undefined;
  const fullUrl = stringAt(json, span);
  if (fullUrl === undefined) throw invalid(`${path}.fullUrl`, "must be a string");
  return fullUrl === "" ? undefined : fullUrl;
}

function requestOf(value: unknown): BundleResource["request"] {
  const { method, url } = isObject(value) ? value : {};
  if (typeof method !== "string") return undefined;
  return { method, url: typeof url === "string" ? url : "" };
}

/** Whether an entry is to be written: it requests no read, deletion or patch. */
function isWritten({ request }: { readonly request?: BundleResource["request"] }): boolean {
  return request === undefined || request.method === "POST" || request.method === "PUT";
}

function entryName(resource: FhirResource, fullUrl: string | undefined): string | undefined {
  const id = text(resource["id"]);
  if (fullUrl === undefined && id === undefined) return undefined;
  const meta = resource["meta"];
  const version = isObject(meta) ? (text(meta["versionId"]) ?? "") : "";
  // The length keeps apart what the two hold.
  return `${version.length} ${version}${fullUrl ?? `${resource.resourceType}/${id}`}`;
}

function invalid(path: string, what: string): InputError {
  return new InputError("ERR_INPUT_INVALID", `${path} ${what}`);
}

function tooLarge(what: string): InputError {
  return new InputError("ERR_INPUT_TOO_LARGE", what === "input" ? "input is too large" : what);
}
