import type { CID } from "../../codec/cid.ts";
import type { EntryId } from "../../codec/ids.ts";
import type { ConsentSnapshot, SnapshotDirective } from "../model/snapshot.ts";
import { hasCapacity } from "./capacity.ts";

/** The names of a filed directive: its entry, and the entries of custodians that delivered it. */
export const idsOf = ({ entry, aliases = [] }: SnapshotDirective): Set<EntryId> =>
  new Set([entry, ...aliases]);

/** Whether its grantor lacked the capacity when it was recorded. */
export const isLacking = (source: SnapshotDirective, snapshot: ConsentSnapshot): boolean =>
  source.recordedAt !== undefined && !hasCapacity(source, snapshot, source.recordedAt);

/**
 * The names of statements that were filed several times, by any of which others may follow them: also one that came
 * later, as where a custodian delivers what another one has delivered on before.
 */
export function namesOf(
  list: readonly SnapshotDirective[],
  snapshot: ConsentSnapshot,
  oneObject: (cid: CID) => CID,
): ReadonlyMap<CID, Set<EntryId>> {
  const names = new Map<CID, Set<EntryId>>();
  for (const source of list) {
    const { cid, directive, standing, waits } = source;
    // A revocation on another's word may have no effect.
    const isSaid = standing === "valid" && waits !== true && directive.mode !== "revoke";
    if (!isSaid || isLacking(source, snapshot)) continue;
    const known = names.get(oneObject(cid));
    if (known === undefined) names.set(oneObject(cid), idsOf(source));
    else for (const id of idsOf(source)) known.add(id);
  }
  return names;
}
