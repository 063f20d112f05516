import { MAX_TRANSACTION_ENTRIES } from "../../block/limits.ts";
import { toHex } from "../../bytes/hex.ts";
import { directiveCid } from "../../consent/model/directive.ts";
import type { Directive } from "../../consent/model/model.ts";
import type { SnapshotDirective } from "../../consent/model/snapshot.ts";
import { MAX_INSTANT } from "../../consent/model/time.ts";
import { entryIdBytes, toEntryId, type EntryId } from "../../codec/ids.ts";
import { StorageError } from "../../errors.ts";
import { decodeEntry } from "../../block/entry.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { CatalogueItem } from "../entries/catalogue-item.ts";
import { isDamage } from "../entries/own-envelope.ts";
import type { LedgerContext } from "../context.ts";

/** A consent entry whose directive cannot be read, though nothing erased it. */
export interface UnreadableDirective {
  readonly item: Pick<CatalogueItem, "id" | "place" | "recordedAt">;
  /** What says so, naming the entry. */
  readonly error: unknown;
}

/** Whether an error says that what was filed is gone or damaged, and not that a store did not answer. */
export const isUnreadable = (error: unknown): boolean =>
  isDamage(error) || (error instanceof StorageError && error.code === "ERR_STORAGE_MISSING");

/** A consent entry's place in ledger order. */
export const placeOf = ({ place }: Pick<CatalogueItem, "place">): SnapshotDirective["place"] => ({
  height: place.height,
  // Ledger order within a block.
  index: place.transaction * MAX_TRANSACTION_ENTRIES + place.entry,
});

/**
 * Stands in for directives that nobody can read, in each lineage where a valid `replace` names one as
 * a predecessor: there it is the head of its time and denies everything, until what replaces it is in
 * force. So whoever may speak for the person gets rid of a damaged directive by a new one.
 *
 * @throws the error of the first that no directive replaces: nobody can say what it refuses
 */
export function standIns(
  unreadable: readonly UnreadableDirective[],
  directives: readonly SnapshotDirective[],
): SnapshotDirective[] {
  return unreadable.flatMap(({ item, error }) => {
    const id = toEntryId(item.id);
    const lineages = new Set(
      directives
        .filter((one) => replaces(one) && one.directive.predecessors.includes(id))
        .map(({ directive }) => directive.lineage),
    );
    if (lineages.size === 0) throw error;
    return [...lineages].map((lineage) => standIn(item, lineage));
  });
}

const replaces = ({ standing, directive: { mode } }: SnapshotDirective): boolean =>
  standing === "valid" && mode === "replace";

/**
 * Erased consents that a valid `replace` names: given up, as a rule, since nobody could read them. What
 * replaced one goes on replacing what stood before it, rather than what stood before coming back.
 */
export async function erasedPredecessors(
  { chain }: LedgerContext,
  catalogue: Catalogue,
  directives: readonly SnapshotDirective[],
  unreadable: readonly UnreadableDirective[],
): Promise<UnreadableDirective[]> {
  const seen = new Set([...directives.map(({ entry }) => entry), ...idsOf(unreadable)]);
  const erased: UnreadableDirective[] = [];
  for (const name of directives.filter(replaces).flatMap((one) => one.directive.predecessors)) {
    if (seen.has(name)) continue;
    seen.add(name);
    const id = entryIdBytes(name);
    const found = await catalogue.find(id);
    if (found.status !== "erased") continue;
    const { place } = found;
    const { block, header } = await chain.readBlock(place.height);
    const { kind } = decodeEntry(block.transactions[place.transaction]!.entries[place.entry]!);
    if (kind !== "consent") continue;
    erased.push({ item: { id, place, recordedAt: header.time }, error: undefined });
  }
  return erased;
}

const idsOf = (all: readonly UnreadableDirective[]): EntryId[] =>
  all.map(({ item }) => toEntryId(item.id));

function standIn(item: UnreadableDirective["item"], lineage: string): SnapshotDirective {
  const directive: Directive = {
    v: 1,
    lineage,
    predecessors: [],
    mode: "replace",
    // A name that no key is attested for: whether he may still speak is not asked.
    grantor: { actor: `unreadable:${toHex(item.id)}`, capacity: "self", evidence: [] },
    basis: { uri: "urn:healthledger:unreadable", version: "1" },
    validity: { from: -MAX_INSTANT, zone: "UTC" },
    default: "deny",
    root: {
      ...{ id: "unreadable", effect: "deny", combine: "deny-overrides", when: {} },
      // It may have said so.
      breakGlass: "never",
    },
  };
  return {
    entry: toEntryId(item.id),
    place: placeOf(item),
    cid: directiveCid(directive),
    directive,
    recordedAt: item.recordedAt,
    standing: "valid",
    unreadable: true,
  };
}
