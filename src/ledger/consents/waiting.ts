import { toEntryId } from "../../codec/ids.ts";
import type { SnapshotDirective } from "../../consent/model/snapshot.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { LedgerContext } from "../context.ts";
import { decodeIdentifiers } from "../index/rows.ts";
import {
  CONSENT_PARTS,
  decodeFiledForm,
  judgeFiled,
  namingEntry,
  openParts,
  type FiledConsents,
} from "./read-consents.ts";
import { placeOf } from "./unreadable-directives.ts";

/** Parts of held directives that were opened, for as long as the catalogue keeps the item. */
const opened = new WeakMap<CatalogueItem, ReadonlyMap<string, Uint8Array>>();

/**
 * Adds the held directives that now would be valid, as ones that wait: what they refuse must not be unheard until
 * they are filed. One whose grantor or witness nothing here vouches for is left out.
 *
 * @param items - the person's consent and link entries up to the height
 */
export async function withWaiting(
  context: LedgerContext,
  catalogue: Catalogue,
  items: readonly CatalogueItem[],
  consents: FiledConsents,
  height: number,
): Promise<FiledConsents> {
  const filed = new Set(items.map(({ manifest }) => manifest.replaces));
  const waiting: SnapshotDirective[] = [];
  for (const item of items) {
    if (item.manifest.op !== "held" || filed.has(toEntryId(item.id))) continue;
    const parts = opened.get(item) ?? (await openParts(context, catalogue, item, CONSENT_PARTS));
    if (parts === undefined) continue;
    opened.set(item, parts);
    const one = await namingEntry(item, () => judge(context, item, parts, consents, height));
    if (one.standing === "valid" && one.witness?.doubted !== true) waiting.push(one);
  }
  return waiting.length === 0
    ? consents
    : { ...consents, directives: [...consents.directives, ...waiting] };
}

/** Judges a held directive as of when it was kept, by all that is attested now. */
async function judge(
  context: LedgerContext,
  item: CatalogueItem,
  parts: ReadonlyMap<string, Uint8Array>,
  { keys, witnesses }: FiledConsents,
  height: number,
): Promise<SnapshotDirective> {
  const { id, manifest, place, recordedAt } = item;
  const judged = await judgeFiled(context, decodeFiledForm(parts.get("content")!), {
    ledger: context.chain.ledger,
    salt: parts.get("salt")!,
    identifiers: decodeIdentifiers(parts.get("identifier")!),
    ...{ keys, witnesses },
    filedAt: { height: place.height, time: recordedAt },
    height,
  });
  const named = manifest.origin === undefined ? {} : { aliases: [manifest.origin] };
  const own = { entry: toEntryId(id), place: placeOf(item), recordedAt, waits: true } as const;
  return { ...own, ...named, ...judged };
}
