import type { Walk } from "../bytes/steps.ts";

/**
 * A FHIR resource as parsed JSON, of any version: a structural type that assumes only
 * `resourceType`.
 */
export interface FhirResource {
  readonly resourceType: string;
  readonly [element: string]: unknown;
}

/** A FHIR `Reference`, with the members that this library uses. */
export interface FhirReference {
  readonly reference?: string;
  readonly type?: string;
  readonly identifier?: { readonly system?: string; readonly value?: string };
}

/** A FHIR `Coding` that has a code. */
export interface FhirCoding {
  readonly system?: string;
  readonly code: string;
}

/** A JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a value is a JSON object (no array, not null). */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A non-empty string, or `undefined`. */
export function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A string without surrounding spaces, which are not part of a number; `undefined` if empty. */
export function trimmed(value: unknown): string | undefined {
  return text(text(value)?.trim());
}

/** The values of an element that may repeat: none, one or several. */
export function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

/**
 * The values at a dotted path of element names, through every repetition.
 *
 * A step `value[x]` means each element named `value` and a type.
 */
export function valuesAt(root: unknown, path: string): readonly unknown[] {
  const values: unknown[] = [];
  visitAt(root, path, (value) => void values.push(value));
  return values;
}

/** As {@link valuesAt}, one value after another. */
export function visitAt(
  root: unknown,
  path: string,
  visit: (value: unknown) => void,
  walk?: Walk,
): void {
  follow(root, path.split("."), 0, { visit, walk });
}

interface Following {
  readonly visit: (value: unknown) => void;
  readonly walk: Walk | undefined;
}

function follow(from: unknown, steps: readonly string[], at: number, how: Following): void {
  if (at === steps.length) return how.visit(from);
  if (!isObject(from)) return;
  const step = steps[at]!;
  if (!step.endsWith("[x]")) {
    if (Object.hasOwn(from, step)) followAll(from[step], steps, at + 1, how);
    return;
  }
  const stem = step.slice(0, -3);
  for (const name of Object.keys(from)) {
    if (isChoiceOf(stem, name)) followAll(from[name], steps, at + 1, how);
  }
}

function followAll(value: unknown, steps: readonly string[], at: number, how: Following): void {
  if (value === undefined || value === null) return;
  if (!Array.isArray(value)) follow(value, steps, at, how);
  else if (how.walk !== undefined) how.walk.each(value, (one) => follow(one, steps, at, how));
  else for (const one of value) follow(one, steps, at, how);
}

/**
 * Names of an object's elements that a step means, including those with only an extension
 * (`_effectiveDateTime`), without the underscore.
 */
export function choicesOf(step: string, value: JsonObject): readonly string[] {
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

/** The codings of a `Coding`, `CodeableConcept` or (R5) `CodeableReference`. */
export function codingsOf(value: unknown): readonly FhirCoding[] {
  if (!isObject(value)) return [];
  if (isObject(value["concept"])) return codingsOf(value["concept"]);
  const codings: FhirCoding[] = [];
  for (const coding of Array.isArray(value["coding"]) ? value["coding"] : [value]) {
    if (!isObject(coding)) continue;
    const code = text(coding["code"]);
    const system = text(coding["system"]);
    if (code !== undefined) codings.push(system === undefined ? { code } : { system, code });
  }
  return codings;
}

/** A `Reference` (or the reference inside an R5 `CodeableReference`), or `undefined`. */
export function referenceOf(value: unknown): FhirReference | undefined {
  if (!isObject(value)) return undefined;
  if (isObject(value["reference"])) return referenceOf(value["reference"]);
  const reference = text(value["reference"]);
  const type = text(value["type"]);
  const identifier = isObject(value["identifier"]) ? value["identifier"] : undefined;
  if (reference === undefined && identifier === undefined) return undefined;
  const system = trimmed(identifier?.["system"]);
  const of = trimmed(identifier?.["value"]);
  return {
    ...(reference !== undefined && { reference }),
    ...(type !== undefined && { type }),
    ...(identifier && {
      identifier: {
        ...(system !== undefined && { system }),
        ...(of !== undefined && { value: of }),
      },
    }),
  };
}
