import { equalBytes } from "../../bytes/compare.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { InputError } from "../../errors.ts";
import type { Catalogue } from "./catalogue.ts";
import type { CatalogueItem } from "./catalogue-item.ts";

/**
 * The place of an entry in a list of a person's entries, where the list goes on behind it. An entry that
 * was erased has its place still.
 *
 * @param id - of the entry, 32 bytes
 * @param list - about whom the list is, of which kind of entries, and which of these are in it
 * @throws {InputError} `ERR_INPUT_INVALID` when the entry is not on the ledger, or is not of that list
 */
export async function placeInList(
  catalogue: Pick<Catalogue, "find">,
  id: Uint8Array,
  list: {
    readonly local: Uint8Array;
    readonly kind: string;
    readonly holds: (item: CatalogueItem) => boolean;
  },
): Promise<EntryPlace> {
  const { local, kind, holds } = list;
  const found = await catalogue.find(id);
  if (found.status === "present") {
    const { item } = found;
    if (item.kind === kind && equalBytes(item.manifest.local, local) && holds(item)) {
      return item.place;
    }
  } else if (found.status !== "missing" && found.kind === kind) {
    // Nobody may be able to tell any more whom it was about: then its place is all that counts.
    const whom = found.status === "erased" ? found.local : undefined;
    if (whom === undefined || equalBytes(whom, local)) return found.place;
  }
  throw new InputError("ERR_INPUT_INVALID", "after names nothing that this list ever held");
}
