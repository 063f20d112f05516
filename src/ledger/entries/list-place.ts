import { equalBytes } from "../../bytes/compare.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
import { InputError } from "../../errors.ts";
import type { Catalogue } from "./catalogue.ts";
import type { CatalogueItem } from "./catalogue-item.ts";

/**
 * The place of an entry in a list of a person's entries, after which the list continues. An erased entry
 * keeps its place, and so does one about somebody whom the person was ever joined with.
 *
 * @param id - of the entry, 32 bytes
 * @param list - the person that the list is about, the kind of its entries, and which of those it holds
 * @throws {InputError} `ERR_INPUT_INVALID` when the entry is not on the ledger, or not in that list
 */
export async function placeInList(
  catalogue: Pick<Catalogue, "find" | "joinedWith">,
  id: Uint8Array,
  list: {
    readonly local: Uint8Array;
    readonly kind: string;
    readonly holds: (item: CatalogueItem) => boolean;
  },
): Promise<EntryPlace> {
  const { local, kind, holds } = list;
  const { everybody } = await catalogue.joinedWith(local);
  const isListed = (whom: Uint8Array): boolean =>
    [local, ...everybody].some((one) => equalBytes(one, whom));
  const found = await catalogue.find(id);
  if (found.status === "present") {
    const { item } = found;
    if (item.kind === kind && isListed(item.manifest.local) && holds(item)) {
      return item.place;
    }
  } else if (found.status !== "missing" && found.kind === kind) {
    // It may no longer be known whom the entry was about: then its place alone counts.
    const whom = found.status === "erased" ? found.local : undefined;
    if (whom === undefined || isListed(whom)) return found.place;
  }
  throw new InputError("ERR_INPUT_INVALID", "after names an entry that was never in this list");
}
