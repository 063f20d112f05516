import type { ConsentSnapshot, SnapshotDirective } from "./snapshot.ts";
import type { DirectiveForm } from "./witness.ts";

/** How far a custodian accepts a directive as the person's word. */
export type WitnessTrust = 0 | 1 | 2;

/**
 * Witnessed by an organisation no longer believed, or with a stolen key: only its refusals count.
 */
export const DOUBTED = 0;

/**
 * Witnessed by another, believed organisation: it must not weaken the custodian's own directives.
 */
export const ELSEWHERE = 1;

/** Signed by a key that the custodian attests, or witnessed by itself. */
export const OWN = 2;

/** How far the custodian of a snapshot accepts a directive in it as the person's word. */
export function trustOf({ witness }: SnapshotDirective, snapshot: ConsentSnapshot): WitnessTrust {
  if (witness === undefined) return OWN;
  if (witness.doubted === true) return DOUBTED;
  if (witness.by === snapshot.custodian) return OWN;
  return snapshot.witnesses?.includes(witness.by) === true ? ELSEWHERE : DOUBTED;
}

/** How a directive was made. */
export const formOf = ({ witness }: SnapshotDirective): DirectiveForm => witness?.form ?? "signed";
