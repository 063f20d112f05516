import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { toEntryId } from "../../codec/ids.ts";
import type { Decision } from "../../consent/model/decision.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { LedgerContext } from "../context.ts";
import { decisionOf } from "./access.ts";
import { readAccess } from "./audit.ts";

/**
 * What the access entries of one request say was released.
 *
 * @param id - the first of the entries
 * @param asked - SHA-256 of the signed request
 * @param persons - local ids of all whose records it may be about
 * @returns decisions by the name of a record's version; `undefined` if the first entry is erased, or answers
 *   another request
 */
export async function recordedRelease(
  context: LedgerContext & { readonly catalogue: Catalogue },
  id: Uint8Array,
  asked: Uint8Array,
  persons: readonly Uint8Array[],
): Promise<ReadonlyMap<string, Decision> | undefined> {
  const { catalogue } = context;
  const found = await catalogue.find(id);
  if (found.status !== "present") return undefined;
  const first = await readAccess(context, catalogue, found.item);
  if (first?.asked === undefined || !equalBytes(first.asked, asked)) return undefined;
  const released = new Map<string, Decision>();
  const withheld = new Set<string>();
  const ids = new Set([toEntryId(id)]);
  const differences = [];
  const locals = new Map([found.item.manifest.local, ...persons].map((one) => [toHex(one), one]));
  for (const local of locals.values()) {
    for (const item of await catalogue.itemsOf(local, ["access"])) {
      const { op, replaces } = item.manifest;
      const isFirst = equalBytes(item.id, id);
      if (op === "difference") differences.push(item);
      if (op !== "access" || !(isFirst || (replaces !== undefined && ids.has(replaces)))) continue;
      ids.add(toEntryId(item.id));
      const access = isFirst ? first : await readAccess(context, catalogue, item);
      for (const one of access?.items ?? []) {
        if (one.outcome !== "permit") continue;
        released.set(`${one.record} ${toHex(one.entry)}`, decisionOf(access!, one));
      }
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
