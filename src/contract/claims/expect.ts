import { expectMap, expectString, type Fields } from "../../codec/shape.ts";
import { EncodingError } from "../../errors.ts";
import { dayNumber } from "./day.ts";
import type { Day } from "./model.ts";

const wrong = (what: string, wanted: string): EncodingError =>
  new EncodingError("ERR_ENCODING_SHAPE", `${what} must be ${wanted}`);

const MOST_CHARACTERS = 256;

/** Checks a name that may become the key of a map: `__proto__` would change what the map is. */
export function expectName(value: unknown, what: string): string {
  const name = expectString(value, what, MOST_CHARACTERS);
  if (name === "" || name === "__proto__") throw wrong(what, "a name");
  return name;
}

/** Checks a code of a service. */
export const expectCode: (value: unknown, what: string) => string = expectName;

/** Checks the code of a currency. @see ISO 4217 */
export function expectCurrency(value: unknown, what: string): string {
  const currency = expectString(value, what, 3);
  if (!/^[A-Z]{3}$/.test(currency)) throw wrong(what, "a currency of three capital letters");
  return currency;
}

/** Checks a day from 1900 on. */
export function expectDay(value: unknown, what: string): Day {
  const day = expectString(value, what, 10);
  if (dayNumber(day) === undefined || day < "1900") throw wrong(what, "a day YYYY-MM-DD");
  return day;
}

/** Checks a flag, which is only ever written where it holds. */
export function expectTrue(value: unknown, what: string): void {
  if (value !== true) throw wrong(what, "true, or absent");
}

/** The field of a map whose other fields depend on it. */
export function expectOwn(value: unknown, what: string, field: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, field)) {
    throw wrong(`${what}.${field}`, "present");
  }
  return (value as Fields)[field];
}

/** Checks a map of at most so many names, and each of its values. */
export function expectTable(
  value: unknown,
  what: string,
  most: number,
  check: (value: unknown, what: string) => unknown,
): Fields {
  if (typeof value !== "object" || value === null) throw wrong(what, "a map");
  const names = Object.keys(value);
  if (names.length > most) throw wrong(what, `a map of at most ${most} names`);
  const table = expectMap(value, what, [], names);
  // Names of members may be among them: no message repeats one.
  for (const name of names) check(table[expectName(name, `a key of ${what}`)], `${what}.…`);
  return table;
}
