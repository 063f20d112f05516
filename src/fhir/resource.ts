import { isJsonObject } from "../bytes/guards.ts";

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

export { isJsonObject as isObject };

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
  follow(root, stepsOf(path), 0, values);
  return values;
}

function follow(from: unknown, steps: readonly Step[], at: number, into: unknown[]): void {
  const step = steps[at];
  if (step === undefined) {
    into.push(from);
    return;
  }
  if (!isJsonObject(from)) return;
  if (step.stem === undefined) {
    if (Object.hasOwn(from, step.name)) followAll(from[step.name], steps, at + 1, into);
    return;
  }
  for (const name of Object.keys(from)) {
    if (isChoiceOf(step.stem, name)) followAll(from[name], steps, at + 1, into);
  }
}

function followAll(value: unknown, steps: readonly Step[], at: number, into: unknown[]): void {
  if (value === undefined || value === null) return;
  if (!Array.isArray(value)) follow(value, steps, at, into);
  else for (const one of value) follow(one, steps, at, into);
}

/** A step of a path. */
interface Step {
  readonly name: string;
  /** For a step such as `value[x]`: `value`. */
  readonly stem: string | undefined;
}

/** Keeps paths taken apart: this library uses few. */
const paths = /* @__PURE__ */ new Map<string, readonly Step[]>();
const MOST_PATHS = 1024;

function stepsOf(path: string): readonly Step[] {
  let steps = paths.get(path);
  if (steps === undefined) {
    steps = path.split(".").map((name) => ({ name, stem: choiceStem(name) }));
    if (paths.size >= MOST_PATHS) paths.clear();
    paths.set(path, steps);
  }
  return steps;
}

/** The part of a step before `[x]`, if it has one. */
export const choiceStem = (step: string): string | undefined =>
  step.endsWith("[x]") ? step.slice(0, -3) : undefined;

/**
 * Names of an object's elements that a step means, including those with only an extension
 * (`_effectiveDateTime`), without the underscore.
 */
export function choicesOf(step: string, value: JsonObject): readonly string[] {
  const stem = choiceStem(step);
  if (stem === undefined) {
    return Object.hasOwn(value, step) || Object.hasOwn(value, `_${step}`) ? [step] : [];
  }
  let names: Set<string> | undefined;
  for (const own of Object.keys(value)) {
    const name = elementOf(own);
    if (isChoiceOf(stem, name)) (names ??= new Set()).add(name);
  }
  return names === undefined ? [] : [...names];
}

/** The element that a member belongs to: `_birthDate` has the extensions of `birthDate`. */
export const elementOf = (name: string): string => (name.startsWith("_") ? name.slice(1) : name);

/** Whether a step means an element of that name. */
export function isNameOf(step: string, name: string): boolean {
  const stem = choiceStem(step);
  return stem === undefined ? name === step : isChoiceOf(stem, name);
}

/** Whether a name is a stem and a type, whose first letter is a capital. */
export function isChoiceOf(stem: string, name: string): boolean {
  if (!name.startsWith(stem)) return false;
  const initial = name.charCodeAt(stem.length);
  return initial >= 0x41 && initial <= 0x5a;
}

/** The codings of a `Coding`, `CodeableConcept` or (R5) `CodeableReference`. */
export function codingsOf(value: unknown): readonly FhirCoding[] {
  if (!isJsonObject(value)) return [];
  if (isJsonObject(value["concept"])) return codingsOf(value["concept"]);
  const codings: FhirCoding[] = [];
  for (const coding of Array.isArray(value["coding"]) ? value["coding"] : [value]) {
    if (!isJsonObject(coding)) continue;
    const code = text(coding["code"]);
    const system = text(coding["system"]);
    if (code !== undefined) codings.push(system === undefined ? { code } : { system, code });
  }
  return codings;
}

/** A `Reference` (or the reference inside an R5 `CodeableReference`), or `undefined`. */
export function referenceOf(value: unknown): FhirReference | undefined {
  if (!isJsonObject(value)) return undefined;
  if (isJsonObject(value["reference"])) return referenceOf(value["reference"]);
  const reference = text(value["reference"]);
  const type = text(value["type"]);
  const identifier = isJsonObject(value["identifier"]) ? value["identifier"] : undefined;
  if (identifier === undefined) {
    if (reference === undefined) return undefined;
    return type === undefined ? { reference } : { reference, type };
  }
  const system = trimmed(identifier["system"]);
  const of = trimmed(identifier["value"]);
  return {
    ...(reference !== undefined && { reference }),
    ...(type !== undefined && { type }),
    identifier: {
      ...(system !== undefined && { system }),
      ...(of !== undefined && { value: of }),
    },
  };
}
