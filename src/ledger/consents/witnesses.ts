import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectArray,
  expectMap,
  expectNoNuls,
  expectString,
  expectVersion,
} from "../../codec/shape.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { MAX_MEMBERS } from "../../block/limits.ts";
import { InputError } from "../../errors.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { LedgerContext } from "../context.ts";

/** The local id under which this custodian files its lists of trusted witnesses. */
export const witnessesLocal = ({ vault }: Pick<LedgerContext, "vault">): Uint8Array =>
  vault.name("trusted witnesses").slice(0, 16);

/**
 * Writes the list of organisations whose witnessed directives are trusted: the content of a `link` entry
 * of the custodian's own, which replaces the previous list.
 *
 * @throws {InputError} `ERR_INPUT_INVALID` when it is not a list of distinct names
 */
export function encodeWitnesses(witnesses: readonly string[]): Uint8Array {
  if (
    !Array.isArray(witnesses) ||
    witnesses.length > MAX_MEMBERS ||
    new Set(witnesses).size < witnesses.length ||
    witnesses.some((one) => typeof one !== "string" || !/^did:[!-~]{1,123}$/.test(one))
  ) {
    throw new InputError(
      "ERR_INPUT_INVALID",
      `trusted witnesses must be a list of at most ${MAX_MEMBERS} distinct DIDs`,
    );
  }
  return encode({ v: 1, witnesses: [...witnesses].sort() });
}

/** @throws {EncodingError} when the bytes are not such a list */
export function decodeWitnesses(bytes: Uint8Array): readonly string[] {
  const map = expectMap(decode(bytes), "trusted witnesses", ["v", "witnesses"]);
  expectVersion(map["v"], "trusted witnesses");
  expectNoNuls(map, "trusted witnesses");
  return expectArray(map["witnesses"], "trusted witnesses", MAX_MEMBERS).map((one) =>
    expectString(one, "trusted witness", 128),
  );
}

/** One list, and where it was filed. */
export interface FiledWitnesses {
  readonly item: CatalogueItem;
  readonly witnesses: readonly string[];
}

/** Whether one place on the ledger is before another. */
export const isBefore = (one: EntryPlace, other: EntryPlace): boolean =>
  (one.height - other.height || one.transaction - other.transaction || one.entry - other.entry) < 0;

/** The list in force just before a place; the lists must be in ledger order. */
export function witnessesBefore(
  lists: readonly FiledWitnesses[],
  place: EntryPlace,
): readonly string[] {
  return lists.findLast(({ item }) => isBefore(item.place, place))?.witnesses ?? [];
}
