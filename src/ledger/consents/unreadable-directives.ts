import { MAX_TRANSACTION_ENTRIES } from "../../block/limits.ts";
import { toHex } from "../../bytes/hex.ts";
import type { EntryPlace } from "../../chain/make-receipt.ts";
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
  /** The error that names the entry. */
  readonly error: unknown;
}

/** Whether an error means that filed data is gone or damaged, rather than that a store did not answer. */
export const isUnreadable = (error: unknown): boolean =>
  isDamage(error) || (error instanceof StorageError && error.code === "ERR_STORAGE_MISSING");

/** A consent entry's place in ledger order. */
export const placeOf = ({ place }: Pick<CatalogueItem, "place">): SnapshotDirective["place"] => ({
  height: place.height,
  // Ledger order within a block.
  index: place.transaction * MAX_TRANSACTION_ENTRIES + place.entry,
});

/** The place of an entry in its block's transaction. */
export const entryPlaceOf = ({ height, index }: SnapshotDirective["place"]): EntryPlace => ({
  height,
  transaction: Math.floor(index / MAX_TRANSACTION_ENTRIES),
  entry: index % MAX_TRANSACTION_ENTRIES,
});

/**
 * Makes stand-ins for unreadable directives, one in each lineage where a valid `replace` names such a
 * directive as a predecessor. A stand-in is the head of its lineage for its time, and denies everything
 * until the directive that replaces it is in force. So anybody who may speak for the person can get rid of
 * a damaged directive by filing a new one.
 *
 * @throws the error of the first unreadable directive that no other replaces: what it refuses is unknown
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
 * Erased consents that a valid `replace` names; usually they were given up because nobody could read them.
 * Their replacement must keep replacing the directives before them, which would otherwise come back.
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
    // A name that no key is attested for: nothing checks whether this grantor may still speak.
    grantor: { actor: `unreadable:${toHex(item.id)}`, capacity: "self", evidence: [] },
    basis: { uri: "urn:healthledger:unreadable", version: "1" },
    validity: { from: -MAX_INSTANT, zone: "UTC" },
    default: "deny",
    root: {
      ...{ id: "unreadable", effect: "deny", combine: "deny-overrides", when: {} },
      // The unreadable directive may have said so.
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
