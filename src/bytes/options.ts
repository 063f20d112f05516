import { InputError } from "../errors.ts";
import { isPlainObject } from "./guards.ts";
import { nearestName } from "./nearest.ts";

/** A table of every option of `T`, of any of its members if it is a union; one that lacks an option does not compile. */
export type OptionsOf<T> = Readonly<Record<T extends unknown ? keyof T & string : never, true>>;

/**
 * Refuses options that a call does not have: a misspelt one would count as left out, and its default
 * would apply. So would what an object does not list as its own.
 *
 * @param given - left out altogether: accepted
 * @param call - names the call in the message
 * @throws {InputError} `ERR_INPUT_INVALID` naming the option and the one that is spelt most alike
 */
export function assertOptions(
  given: unknown,
  known: Readonly<Record<string, true>>,
  call: string,
): void {
  if (given === undefined) return;
  if (!isPlainObject(given)) {
    throw new InputError("ERR_INPUT_INVALID", `${call} takes a plain object of options`);
  }
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(known, name)) continue;
    const nearest = nearestName(name, Object.keys(known));
    const hint = nearest === undefined ? "" : `; the closest is "${nearest.name}"`;
    throw new InputError("ERR_INPUT_INVALID", `${call} has no option "${name}"${hint}`);
  }
}
