import { expectArray, expectBytes, expectMap } from "../../codec/shape.ts";
import { expectActor } from "../../block/key.ts";
import { EncodingError, InputError } from "../../errors.ts";
import { parseActor } from "../../identity/actor.ts";

/** Erased entries and the members that were entitled to them: each entry keeps its number. */
export interface ErasedEntitlement {
  readonly entitled: readonly string[];
  /** Ids of the entries, 32 bytes each. */
  readonly ids: readonly Uint8Array[];
}

/** Most members that are entitled to one entry. */
const MAX_ENTITLED = 64;
/** Bound on the entries that one erase entry names. */
const MAX_ERASED = 1_000_000;

/**
 * Takes the names of members that a caller gives.
 *
 * @returns them once each, in the order of a manifest
 * @throws {InputError} `ERR_INPUT_INVALID` when one is no did:key, or there are more than 64
 */
export function checkedMembers(given: readonly string[], option: string): readonly string[] {
  if (!Array.isArray(given) || given.length > MAX_ENTITLED) {
    throw new InputError(
      "ERR_INPUT_INVALID",
      `${option} must list at most ${MAX_ENTITLED} members`,
    );
  }
  for (const name of given) {
    try {
      parseActor(name);
    } catch (cause) {
      throw new InputError("ERR_INPUT_INVALID", `${option} must list did:keys`, { cause });
    }
  }
  return [...new Set<string>(given)].sort();
}

/** The field of a manifest that says who is entitled to an entry. */
export const entitledField = (
  members: readonly string[],
): { readonly entitled?: readonly string[] } => (members.length === 0 ? {} : { entitled: members });

/** Checks the fields of an encoded manifest that say who is entitled to what. */
export function expectEntitlements(entitled: unknown, erased: unknown): void {
  if (entitled !== undefined) expectMembers(entitled, "manifest.entitled");
  for (const one of expectArray(erased ?? [], "manifest.erased", MAX_ERASED)) {
    const { entitled: members, ids } = expectMap(one, "manifest.erased", ["entitled", "ids"]);
    expectMembers(members, "manifest.erased.entitled");
    for (const id of expectArray(ids, "manifest.erased.ids", MAX_ERASED)) {
      expectBytes(id, "manifest.erased.ids", 32);
    }
  }
}

function expectMembers(value: unknown, what: string): void {
  const names = expectArray(value, what, MAX_ENTITLED).map((name) => expectActor(name, what));
  if (names.length > 0 && names.every((name, i) => i === 0 || names[i - 1]! < name)) return;
  throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be distinct, and in order`);
}

/** The field of an erase entry's manifest that says who was entitled to what it erases. */
export function erasedField(
  targets: readonly {
    readonly id: Uint8Array;
    readonly manifest?: { readonly entitled?: readonly string[] };
  }[],
): { readonly erased?: readonly ErasedEntitlement[] } {
  const groups = new Map<string, { entitled: readonly string[]; ids: Uint8Array[] }>();
  for (const { id, manifest } of targets) {
    const entitled = manifest?.entitled;
    if (entitled === undefined) continue;
    const known = groups.get(entitled.join());
    if (known === undefined) groups.set(entitled.join(), { entitled, ids: [id] });
    else known.ids.push(id);
  }
  return groups.size === 0 ? {} : { erased: [...groups.values()] };
}
