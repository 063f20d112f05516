import { entryIdBytes, type EntryId } from "../../codec/ids.ts";
import { RecordError } from "../../errors.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { Catalogue } from "../entries/catalogue.ts";

/**
 * The entry of a merge, whether or not it is in effect.
 *
 * @throws {RecordError} `ERR_RECORD_NOT_FOUND`, `ERR_RECORD_ERASED`
 */
export async function findLink(
  catalogue: Pick<Catalogue, "find">,
  link: EntryId,
): Promise<CatalogueItem> {
  const found = await catalogue.find(entryIdBytes(link));
  if (found.status === "erased") {
    throw new RecordError("ERR_RECORD_ERASED", "this merge was erased");
  }
  if (found.status === "present" && found.item.manifest.op === "merge") return found.item;
  throw new RecordError("ERR_RECORD_NOT_FOUND", "this custodian has no such merge");
}
