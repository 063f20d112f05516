import { InputError } from "../../errors.ts";
import { isObject, type JsonObject } from "../resource.ts";

/** Deepest nesting of objects and lists; twelve levels of rules need far less. */
const MAX_DEPTH = 64;
/** Values in the whole resource. */
const MAX_NODES = 1_000_000;
/** Items of one list. */
const MAX_ITEMS = 10_000;
/** Elements of a Consent that are not searched. */
const UNREAD: ReadonlySet<string> = new Set(["contained", "text", "meta"]);
const ELEMENT = /^[A-Za-z]{1,40}$/;

/** Error for a malformed value. */
export function invalid(path: string, what: string): InputError {
  return new InputError("ERR_INPUT_INVALID", `${path} ${what}`);
}

/** Error for valid FHIR that a directive cannot express, or that needs an option to be read. */
export function unsupported(path: string, what: string): InputError {
  return new InputError("ERR_INPUT_UNSUPPORTED", `${path} ${what}`);
}

/** Error for a value beyond the limits. */
export function tooLarge(path: string, what: string): InputError {
  return new InputError("ERR_INPUT_TOO_LARGE", `${path} ${what}`);
}

/**
 * Bounds a parsed resource before anything reads it, cycles included, and refuses modifiers that
 * change the meaning of an element in an unknown way.
 *
 * @returns paths of its extensions, which are not read: their content is lost
 */
export function checkResource(resource: JsonObject): readonly string[] {
  const extensions: string[] = [];
  let nodes = 0;
  const visit = (value: object, path: string, depth: number, foreign: boolean): void => {
    if (depth > MAX_DEPTH) throw tooLarge("Consent", `nests deeper than ${MAX_DEPTH}`);
    if (Array.isArray(value)) {
      if (value.length === 0) throw invalid(path, "is an empty list");
      if (value.length > MAX_ITEMS) throw tooLarge(path, `has more than ${MAX_ITEMS} items`);
    } else if (!foreign && Object.hasOwn(value, "modifierExtension")) {
      throw unsupported(`${path}.modifierExtension`, "changes the meaning in an unknown way");
    }
    const keys = Object.keys(value);
    nodes += keys.length + 1;
    if (nodes > MAX_NODES) throw tooLarge("Consent", `has more than ${MAX_NODES} values`);
    for (const key of keys) {
      const child: unknown = (value as JsonObject)[key];
      if (typeof child !== "object" || child === null) continue;
      const name = Array.isArray(value) ? `[${key}]` : `.${ELEMENT.test(key) ? key : "…"}`;
      if (!foreign && (key === "extension" || key.startsWith("_"))) {
        extensions.push(path + (key.startsWith("_") ? `.${key.slice(1)}` : name));
      }
      const skip = foreign || key === "extension" || (depth === 0 && UNREAD.has(key));
      visit(child, path + name, depth + 1, skip);
    }
  };
  visit(resource, "Consent", 0, false);
  if (Object.hasOwn(resource, "implicitRules")) {
    throw unsupported("Consent.implicitRules", "names unknown rules");
  }
  return extensions;
}

/** Refuses unlisted elements: a mistyped condition would be a condition that is not applied. */
export function checkElements(value: JsonObject, path: string, known: ReadonlySet<string>): void {
  for (const key of Object.keys(value)) {
    const bare = key.startsWith("_") ? key.slice(1) : key;
    if (bare !== key && !Object.hasOwn(value, bare) && known.has(bare)) {
      throw unsupported(`${path}.${bare}`, "has an extension but no value");
    }
    if (bare === "id" || bare === "extension" || known.has(bare)) continue;
    throw invalid(
      ELEMENT.test(bare) ? `${path}.${bare}` : path,
      "is not an element of this version of FHIR",
    );
  }
}

/** Returns an object, or throws. */
export function object(value: unknown, path: string): JsonObject {
  if (!isObject(value)) throw invalid(path, "must be an object");
  return value;
}

/** The items of a repeating element, with their paths; empty if it is absent. */
export function items(
  value: unknown,
  path: string,
  max: number = MAX_ITEMS,
): readonly { readonly value: JsonObject; readonly path: string }[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalid(path, "must be a list");
  if (value.length > max) throw tooLarge(path, `has more than ${max} items`);
  return value.map((item: unknown, index) => {
    const own = `${path}[${index}]`;
    return { value: object(item, own), path: own };
  });
}

/** A string of bounded length, or `undefined` if absent; otherwise throws. */
export function optionalText(value: unknown, path: string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string" || value.trim() === "") {
    throw invalid(path, "must be a non-empty string");
  }
  return bounded(value, path);
}

/** Joins a value and its system to one name of bounded length, or throws. */
export function token(system: string, value: string, path: string): string {
  return bounded(`${system}|${value}`, path);
}

function bounded(text: string, path: string): string {
  if (text.length > 512) throw tooLarge(path, "is longer than 512 characters");
  return text;
}
