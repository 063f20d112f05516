import { assertOptions, type OptionsOf } from "../bytes/options.ts";
import { atOnce, createWalk, type Steps } from "../bytes/steps.ts";
import { bytesToUtf8, utf8ToBytes } from "../bytes/utf8.ts";
import { InputError } from "../errors.ts";
import { type JsonSpan, scanSteps } from "./json-text.ts";

/** One value of a resource, exactly as written. */
export interface ResourceField {
  /** JSON pointer (RFC 6901), such as `/code/coding/0/code`. */
  readonly path: string;
  /** The value's JSON text exactly as in the resource, in UTF-8. */
  readonly value: Uint8Array;
}

const SPLIT_FIELDS_OPTIONS: OptionsOf<NonNullable<Parameters<typeof splitFields>[1]>> = {
  maxDepth: true,
};

/**
 * Splits FHIR JSON into its values: strings, numbers, literals, and empty objects or arrays, in the
 * order of the text. The paths and exact texts of all fields together make up the resource, except
 * for white space. So fields that are disclosed one by one are what was recorded: `1.50` is not
 * `1.5`.
 *
 * @param resource - UTF-8 bytes or a string; parsed JSON would have lost digits
 * @throws {InputError} `ERR_INPUT_INVALID` when it is not well-formed JSON with an object at the
 *   top
 * @example
 * const fields = splitFields('{"resourceType":"Observation","status":"final"}');
 * fields[1]?.path; // "/status"
 */
export function splitFields(
  resource: Uint8Array | string,
  options: { readonly maxDepth?: number } = {},
): readonly ResourceField[] {
  assertOptions(options, SPLIT_FIELDS_OPTIONS, "splitFields");
  return atOnce(fieldSteps(resource, options));
}

/** As {@link splitFields}, by steps; the first step reads the whole resource. */
export function* fieldSteps(
  resource: Uint8Array | string,
  options: { readonly maxDepth?: number } = {},
): Steps<readonly ResourceField[]> {
  const text = typeof resource === "string" ? resource : bytesToUtf8(resource);
  const { maxDepth = 100 } = options;
  const root = yield* scanSteps(text, { name: "resource", maxDepth, keepDepth: maxDepth });
  if (root.kind !== "object") {
    throw new InputError("ERR_INPUT_INVALID", "a resource must be a JSON object");
  }
  const fields: ResourceField[] = [];
  const walk = createWalk();
  const visit = (path: string, span: JsonSpan): void => {
    const children: readonly (readonly [string | number, JsonSpan])[] =
      span.members !== undefined ? [...span.members] : [...(span.items?.entries() ?? [])];
    if (children.length === 0) {
      fields.push({ path, value: utf8ToBytes(text.slice(span.start, span.end)) });
    }
    walk.each(children, ([name, child]) => {
      const step = String(name).replaceAll("~", "~0").replaceAll("/", "~1");
      visit(`${path}/${step}`, child);
    });
  };
  visit("", root);
  yield* walk.finish();
  return fields;
}
