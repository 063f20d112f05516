import { equalBytes } from "../../bytes/compare.ts";
import { appendTo } from "../../bytes/lists.ts";
import { toHex } from "../../bytes/hex.ts";
import { toEntryId } from "../../codec/ids.ts";
import type { Decision } from "../../consent/model/decision.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import type { LedgerContext } from "../context.ts";
import { decisionOf } from "./access.ts";
import { readAccess } from "./audit.ts";

/**
 * What the access entries of one request say was released.
 *
 * @param first - the first of the entries
 * @param asked - SHA-256 of the signed request
 * @param all - accesses and differences, its own among others, each at least once
 * @returns decisions by the name of a record's version; `undefined` if the first entry is erased, or answers
 *   another request
 */
export async function recordedRelease(
  context: LedgerContext & { readonly catalogue: Catalogue },
  first: CatalogueItem,
  asked: Uint8Array,
  all: readonly CatalogueItem[],
): Promise<ReadonlyMap<string, Decision> | undefined> {
  const { catalogue } = context;
  const content = await readAccess(context, catalogue, first);
  if (content?.asked === undefined || !equalBytes(content.asked, asked)) return undefined;
  const released = new Map<string, Decision>();
  const withheld = new Set<string>();
  const ids = new Set([toEntryId(first.id)]);
  const differences = [];
  for (const item of all) {
    const { op, replaces } = item.manifest;
    const isFirst = equalBytes(item.id, first.id);
    if (op === "difference") differences.push(item);
    if (op !== "access" || !(isFirst || (replaces !== undefined && ids.has(replaces)))) continue;
    ids.add(toEntryId(item.id));
    const access = isFirst ? content : await readAccess(context, catalogue, item);
    for (const one of access?.items ?? []) {
      if (one.outcome !== "permit") continue;
      released.set(`${one.record} ${toHex(one.entry)}`, decisionOf(access!, one));
    }
  }
  for (const item of differences) {
    if (item.manifest.replaces === undefined || !ids.has(item.manifest.replaces)) continue;
    for (const one of (await readAccess(context, catalogue, item))?.items ?? []) {
      withheld.add(`${one.record} ${toHex(one.entry)}`);
    }
  }
  for (const name of withheld) released.delete(name);
  return released;
}

/** The accesses and differences on the ledger about some persons; each at least once. */
export async function accessesAbout(
  catalogue: Catalogue,
  persons: readonly Uint8Array[],
): Promise<readonly CatalogueItem[]> {
  const items: CatalogueItem[] = [];
  for (const local of new Map(persons.map((one) => [toHex(one), one])).values()) {
    appendTo(items, await catalogue.itemsOf(local, ["access"]));
  }
  return items;
}
