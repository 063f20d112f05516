import { appendTo } from "../bytes/lists.ts";
/** A FHIR resource as parsed JSON, of any version: structural, nothing is assumed but its type. */
export interface FhirResource {
  readonly resourceType: string;
  readonly [element: string]: unknown;
}

/** A FHIR `Reference`, as far as it is used. */
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

/** JSON object, or not. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a value is a JSON object (no array, not null). */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A non-empty string, or `undefined`. */
export function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A string without the blanks around it, which are no part of a number; `undefined` where none is left. */
export function trimmed(value: unknown): string | undefined {
  return text(text(value)?.trim());
}

/** The values of an element that may repeat: none, one or many. */
export function list(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return [];
  return Array.isArray(value) ? value : [value];
}

/**
 * The values that a dotted path of element names leads to, through every repetition.
 *
 * `value[x]` as a step leads to each element whose name is `value` and a type.
 */
export function valuesAt(root: unknown, path: string): readonly unknown[] {
  let values: readonly unknown[] = [root];
  for (const step of path.split(".")) {
    const next: unknown[] = [];
    for (const value of values) {
      if (!isObject(value)) continue;
      if (!step.endsWith("[x]")) {
        if (Object.hasOwn(value, step)) appendTo(next, list(value[step]));
        continue;
      }
      const stem = step.slice(0, -3);
      for (const name of Object.keys(value)) {
        if (isChoiceOf(stem, name)) appendTo(next, list(value[name]));
      }
    }
    values = next;
  }
  return values;
}

/**
 * Names of an object's elements that a step means, also of those that hold an extension only
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
