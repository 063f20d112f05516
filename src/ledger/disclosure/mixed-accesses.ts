import { equalBytes } from "../../bytes/compare.ts";
import { appendTo } from "../../bytes/lists.ts";
import { entryIdBytes, type EntryId } from "../../codec/ids.ts";
import type { LedgerContext } from "../context.ts";
import { byPlace, type CatalogueItem } from "../entries/catalogue-item.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import { personsIn } from "../persons/fold-links.ts";
import { findLink } from "../persons/find-link.ts";
import { openAccesses, type Access, type UnreadableAccess } from "./audit.ts";

/**
 * Yields the accesses that released records of a person in answer to a question about another one, only
 * because a merge joined the two, oldest first. Each has only the records that were released.
 *
 * @throws {RecordError} `ERR_RECORD_NOT_FOUND`, `ERR_RECORD_ERASED` when there is no such merge
 */
export async function* findMixedAccesses(
  context: LedgerContext,
  catalogue: Catalogue,
  link: EntryId,
): AsyncIterable<Access | UnreadableAccess> {
  await catalogue.catchUp();
  const merge = await findLink(catalogue, link);
  const { everybody } = await catalogue.joinedWith(merge.manifest.local);
  const items: CatalogueItem[] = [];
  for (const local of everybody) {
    const all = await catalogue.itemsOf(local, ["access", "erase"]);
    appendTo(
      items,
      all.filter(({ kind, manifest }) => kind === "access" && equalBytes(manifest.local, local)),
    );
  }
  const isWanted = (item: CatalogueItem) => isMixedBy(catalogue, merge, item);
  for await (const access of openAccesses(context, catalogue, items.sort(byPlace), isWanted)) {
    if (access.unreadable !== undefined) yield access;
    else {
      const records = access.records.filter(({ released }) => released);
      if (records.length > 0) yield { ...access, records };
    }
  }
}

/** Whether the person whose records an access is about was joined with the person asked about by a merge. */
async function isMixedBy(
  catalogue: Catalogue,
  merge: CatalogueItem,
  { manifest: { local, replaces }, place }: CatalogueItem,
): Promise<boolean> {
  // The access of the person asked about names no other access.
  if (replaces === undefined) return false;
  const first = await catalogue.find(entryIdBytes(replaces));
  const asked = first.status === "present" ? first.item.manifest.local : undefined;
  const whom = first.status === "erased" ? first.local : asked;
  // It was decided by the blocks before its own.
  const { merges } = await catalogue.joinedWith(local, place.height - 1);
  if (!merges.some(({ id }) => equalBytes(id, merge.id))) return false;
  const others = merges.filter(({ id }) => !equalBytes(id, merge.id));
  // Whom it was asked about may be lost: then any merge in effect may be why.
  return whom === undefined || !personsIn(others, local).some((one) => equalBytes(one, whom));
}
