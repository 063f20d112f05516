import { createWalk, type Steps } from "../bytes/steps.ts";
import { EncodingError } from "../errors.ts";
import { CID, SHA2_256 } from "./cid.ts";

const wrong = (what: string, wanted: string) =>
  new EncodingError("ERR_ENCODING_SHAPE", `${what} must be ${wanted}`);

/** A decoded map whose keys have been checked. */
export type Fields = Readonly<Record<string, unknown>>;

/**
 * Checks that a decoded value is a map with exactly these keys.
 *
 * @param required - keys that must be there
 * @param optional - keys that may be there; any other key is refused
 * @throws {EncodingError} `ERR_ENCODING_SHAPE`
 */
export function expectMap(
  value: unknown,
  what: string,
  required: readonly string[],
  optional: readonly string[] = [],
): Fields {
  if (
    typeof value !== "object" ||
    value === null ||
    Array.isArray(value) ||
    value instanceof Uint8Array ||
    value instanceof CID
  ) {
    throw wrong(what, "a map");
  }
  const fields = value as Record<string, unknown>;
  for (const key of required) {
    if (!Object.hasOwn(fields, key)) throw wrong(`${what}.${key}`, "present");
  }
  const count = Object.keys(fields).length;
  let known = required.length;
  for (const key of optional) if (Object.hasOwn(fields, key)) known++;
  if (count !== known) throw wrong(what, "without unknown fields");
  return fields;
}

/** Checks a byte string, and its exact length if one is given. */
export function expectBytes(value: unknown, what: string, length?: number): Uint8Array {
  if (!(value instanceof Uint8Array)) throw wrong(what, "bytes");
  if (length !== undefined && value.length !== length) throw wrong(what, `${length} bytes`);
  return value;
}

/** Checks an unsigned safe integer of at most `max`. */
export function expectUint(
  value: unknown,
  what: string,
  max: number = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw wrong(what, `an integer from 0 to ${max}`);
  }
  return value;
}

/** Checks a string of at most `maxLength` UTF-16 units. */
export function expectString(value: unknown, what: string, maxLength = 1024): string {
  if (typeof value !== "string" || value.length > maxLength) {
    throw wrong(what, `a string of at most ${maxLength} characters`);
  }
  return value;
}

/** Checks that a value is one of the given strings. */
export function expectOneOf<T extends string>(value: unknown, what: string, of: readonly T[]): T {
  if (!of.includes(value as T)) throw wrong(what, `one of ${of.join(", ")}`);
  return value as T;
}

/** Checks an array of at most `maxLength` items. */
export function expectArray(value: unknown, what: string, maxLength: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > maxLength) {
    throw wrong(what, `an array of at most ${maxLength} items`);
  }
  return value;
}

/** Checks a CIDv1 of SHA-256, and its codec if one is given. */
export function expectCid(value: unknown, what: string, codec?: number): CID {
  // Not CID.asCID: it takes maps such as {"/": "x", "bytes": "x"} for CIDs, and decode() makes
  // CIDs of this class only.
  if (
    !(value instanceof CID) ||
    value.version !== 1 ||
    value.multihash.code !== SHA2_256 ||
    value.multihash.digest.length !== 32 ||
    (codec !== undefined && value.code !== codec)
  ) {
    throw wrong(what, "a CID of SHA-256");
  }
  return value;
}

/** Checks the version that every structure carries. */
export function expectVersion(value: unknown, what: string): 1 {
  if (value !== 1) throw wrong(`${what}.v`, "1");
  return 1;
}

/**
 * Refuses text with U+0000 anywhere in a decoded value. No text in this library's formats contains
 * it; an encoder of earlier versions wrote it in place of short text that it lost.
 */
export function expectNoNuls(value: unknown, what: string): void {
  if (hasNuls(value)) throw wrong(what, "without U+0000");
}

/**
 * Refuses text that consists only of U+0000 anywhere in a decoded value: an encoder of earlier
 * versions wrote it in place of short text that it lost. For values that hold text from outside
 * this library, which may contain U+0000.
 */
export function expectNoLostText(value: unknown, what: string): void {
  if (hasText(value, isLost)) throw wrong(what, "without text that consists only of U+0000");
}

/** Like {@link expectNoLostText}, in steps. */
export function* expectNoLostTextSteps(value: unknown, what: string): Steps<void> {
  const walk = createWalk();
  const visit = (one: unknown): void => {
    if (Array.isArray(one)) return walk.each(one as readonly unknown[], visit);
    if (
      typeof one === "object" &&
      one !== null &&
      Object.getPrototypeOf(one) === Object.prototype
    ) {
      const fields = one as Record<string, unknown>;
      return walk.each(Object.keys(fields), (key) => {
        visit(key);
        visit(fields[key]);
      });
    }
    expectNoLostText(one, what);
  };
  visit(value);
  yield* walk.finish();
}

const isLost = (text: string): boolean => text.startsWith("\0") && /^\0+$/.test(text);

/** Whether an encodable value contains text with U+0000. */
export function hasNuls(value: unknown): boolean {
  return hasText(value, (text) => text.includes("\0"));
}

function hasText(value: unknown, is: (text: string) => boolean): boolean {
  if (typeof value === "string") return is(value);
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) if (hasText(value[i], is)) return true;
    return false;
  }
  if (value instanceof Uint8Array || value instanceof CID) return false;
  const fields = value as Record<string, unknown>;
  // Unlike `Object.keys`, this makes no list; what is inherited is looked at too, which refuses no less.
  for (const key in fields) if (is(key) || hasText(fields[key], is)) return true;
  return false;
}
