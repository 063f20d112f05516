import { isPlainObject } from "../bytes/guards.ts";
import { editDistance } from "../bytes/nearest.ts";

/**
 * Forms of options whose values in any other form would leave more open than was meant: a string has
 * `includes` as a list has, `NaN` never exceeds a limit, and the string `false` counts as true.
 */
const FORMS: Readonly<
  Record<Form, { readonly holds: (value: unknown) => boolean; readonly says: string }>
> = {
  any: { holds: () => true, says: "" },
  flag: { holds: (value) => typeof value === "boolean", says: "true or false" },
  list: { holds: (value) => Array.isArray(value), says: "a list" },
  codes: {
    holds: (value) => Array.isArray(value) && value.every((code) => typeof code === "string"),
    says: "a list of strings",
  },
  duration: {
    holds: (value) => typeof value === "number" && value >= 0,
    says: "milliseconds, 0 or more",
  },
};

type Form = "any" | "flag" | "list" | "codes" | "duration";

/** Names that a group of options may hold; a nested group has a table of its own. */
export interface KnownNames {
  readonly [name: string]: Form | KnownNames;
}

/** A table of every option of `T`; a table that lacks one does not compile. */
export type NamesOf<T> = { readonly [Name in keyof T]-?: Form | KnownNames };

/**
 * Refuses options that a table does not list, groups that are not plain objects, and values of the wrong form.
 * Each of these would otherwise count as absent or as valid, and leave more open than was meant.
 *
 * @throws {TypeError} naming the option, and either the known option whose spelling is closest or the form that
 *   is required
 */
export function assertKnown(given: unknown, all: KnownNames): void {
  assertGroup(given, all, "", all);
}

function assertGroup(given: unknown, known: KnownNames, path: string, all: KnownNames): void {
  if (!isPlainObject(given)) {
    throw new TypeError(
      path === "" ? "openLedger takes a plain object of options" : `${path} must be a plain object`,
    );
  }
  for (const [name, value] of Object.entries(given)) {
    const full = path === "" ? name : `${path}.${name}`;
    const names = Object.hasOwn(known, name) ? known[name] : undefined;
    if (names === undefined) {
      const closest = nearest(full, all);
      throw new TypeError(`openLedger has no option "${full}"; the closest is "${closest}"`);
    }
    if (value === undefined) continue;
    if (typeof names !== "string") assertGroup(value, names, full, all);
    else if (!FORMS[names].holds(value)) {
      throw new TypeError(`${full} must be ${FORMS[names].says}`);
    }
  }
}

/** The known option whose spelling is closest to `given`, in any group; the same group wins a tie. */
function nearest(given: string, all: KnownNames): string {
  const name = lastName(given);
  const [best] = pathsOf(all, "")
    .map((path) => {
      const whole = editDistance(given, path);
      return { path, whole, least: Math.min(whole, editDistance(name, lastName(path))) };
    })
    .sort((a, b) => a.least - b.least || a.whole - b.whole);
  return best!.path;
}

const lastName = (path: string): string => path.slice(path.lastIndexOf(".") + 1);

function pathsOf(known: KnownNames, path: string): string[] {
  return Object.entries(known).flatMap(([name, names]) => {
    const full = path === "" ? name : `${path}.${name}`;
    return typeof names === "string" ? [full] : [full, ...pathsOf(names, full)];
  });
}
