import type { ConsentSnapshot, SnapshotDirective } from "./snapshot.ts";
import type { DirectiveForm } from "./witness.ts";

/** How far a custodian takes a directive for the person's word. */
export type WitnessTrust = 0 | 1 | 2;

/** Witnessed by who is not believed any more, or by a key that was stolen: its refusals alone count. */
export const DOUBTED = 0;

/** Witnessed by another organisation, which is believed: it weakens nothing that is the custodian's own. */
export const ELSEWHERE = 1;

/** Signed by a key that the custodian attests, or witnessed by itself. */
export const OWN = 2;

/** How far the custodian of a snapshot takes a directive in it for the person's word. */
export function trustOf({ witness }: SnapshotDirective, snapshot: ConsentSnapshot): WitnessTrust {
  if (witness === undefined) return OWN;
  if (witness.doubted === true) return DOUBTED;
  if (witness.by === snapshot.custodian) return OWN;
  return snapshot.witnesses?.includes(witness.by) === true ? ELSEWHERE : DOUBTED;
}

/** How a directive came about. */
export const formOf = ({ witness }: SnapshotDirective): DirectiveForm => witness?.form ?? "signed";
