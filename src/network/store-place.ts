import type { CID } from "../codec/cid.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectMap, expectOneOf, expectVersion } from "../codec/shape.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { EncodingError, InputError } from "../errors.ts";
import type { StateStore } from "../storage/types.ts";
import { openKeptHeads } from "./kept-heads.ts";

/** Whose blocks a store holds: those that are ordered there, or those of a home elsewhere. */
export type StorePlace = "home" | "copy";

const PLACES = ["home", "copy"] as const;

const keyOf = (ledger: CID): Uint8Array => utf8ToBytes(`network/${ledger.toString()}/place`);

async function placeOf(state: StateStore, ledger: CID): Promise<StorePlace | undefined> {
  const bytes = await state.get(keyOf(ledger));
  if (bytes === undefined) return undefined;
  try {
    const map = expectMap(decode(bytes), "place", ["v", "place"]);
    expectVersion(map["v"], "place");
    return expectOneOf(map["place"], "place", PLACES);
  } catch (error) {
    // Damaged: what the store has accepted tells too.
    if (error instanceof EncodingError) return undefined;
    throw error;
  }
}

/**
 * Refuses a store that has the other place: whoever appends to a copy writes a second history, and no block of a
 * home may come from elsewhere.
 *
 * @throws {InputError} `ERR_INPUT_INVALID`
 */
export async function assertStorePlace(
  state: StateStore,
  ledger: CID,
  place: StorePlace,
): Promise<void> {
  // A copy that has accepted a checkpoint before copies were marked is known by that.
  const known =
    (await placeOf(state, ledger)) ??
    ((await openKeptHeads(state, ledger).accepted()) === undefined ? place : "copy");
  if (known === place) return;
  throw new InputError(
    "ERR_INPUT_INVALID",
    place === "home"
      ? "this store is a copy, and appending to it would fork the ledger: give the `home` that orders " +
          "it, or open the copy `readOnly`"
      : "this store is the home's, which takes no blocks from elsewhere: leave out `home`, or give a copy " +
          "a store of its own",
  );
}

/** Remembers a store's place for all openings to come. */
export async function keepStorePlace(
  state: StateStore,
  ledger: CID,
  place: StorePlace,
): Promise<void> {
  if ((await placeOf(state, ledger)) === place) return;
  await state.batch([{ key: keyOf(ledger), value: encode({ v: 1, place }) }]);
}
