import type { CID } from "../../codec/cid.ts";
import type { CompiledDirective } from "./lineage.ts";
import type { Coding, Overlay } from "../model/model.ts";
import { compileScope, type Scope } from "./scope.ts";
import type { SnapshotOverlay } from "../model/snapshot.ts";
import { ACT_CODE, canonicalSystem, type Terminology } from "../terminology/terminology.ts";
import { resolvePeriod } from "../model/time.ts";
import { compileTree, type CompiledRule, type CompiledTree } from "./tree.ts";
import { formOf } from "../model/trust.ts";
import { findZone } from "../model/zone.ts";

/** A legal overlay ready to be evaluated. */
export interface CompiledOverlay {
  readonly cid: CID;
  readonly overlay: Overlay;
  readonly start: number;
  readonly end: number;
  /** This engine does not know its zone: its permits never count, its refusals may. */
  readonly unreadable: boolean;
  readonly tree: CompiledTree;
  readonly scope: Scope | undefined;
}

/**
 * Prepares overlays for evaluation, each once and in an order independent of the list's. An overlay
 * whose zone this engine does not know is always in force.
 */
export function compileOverlays(
  overlays: readonly SnapshotOverlay[],
  terminology: Terminology,
  oneObject: (cid: CID) => CID,
): readonly CompiledOverlay[] {
  const byName = new Map(overlays.map((one) => [one.cid.toString(), one]));
  const ordered = [...byName].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one);
  return ordered.map(({ cid, overlay }) => {
    const zone = findZone(overlay.validity.zone);
    const interval = zone === undefined ? undefined : resolvePeriod(overlay.validity, zone);
    return {
      cid: oneObject(cid),
      overlay,
      start: interval?.start ?? -Infinity,
      end: interval?.end ?? Infinity,
      unreadable: interval === undefined,
      tree: compileTree(overlay.root, zone, terminology),
      scope: compileScope(
        overlay.jurisdictions === undefined ? {} : { jurisdictions: overlay.jurisdictions },
        terminology,
      ),
    };
  });
}

/** Whether one of the patient's permitting rules meets all the requirements of an overlay. */
export function anyRuleSatisfies(
  permitting: readonly { readonly node: CompiledRule; readonly directive: CompiledDirective }[],
  overlay: Overlay,
  terminology: Terminology,
): boolean {
  return permitting.some(({ node, directive }) =>
    satisfiedBy(node, directive, overlay, terminology),
  );
}

/** Whether a permitting rule meets all the requirements of an overlay. */
export function satisfiedBy(
  node: CompiledRule,
  directive: CompiledDirective,
  overlay: Overlay,
  terminology: Terminology,
): boolean {
  const { namesLabel, grantorCapacity, recipientNamed, form } = overlay.require ?? {};
  if (form !== undefined && !form.includes(formOf(directive.source))) return false;
  const { capacity } = directive.source.directive.grantor;
  if (grantorCapacity !== undefined && !grantorCapacity.includes(capacity)) return false;
  let recipient = false;
  let label = false;
  for (let at: CompiledRule | undefined = node; at !== undefined; at = at.parent) {
    const { actors, data } = at.rule.when;
    if (actors !== undefined) recipient = true;
    if (namesLabel !== undefined) {
      label ||= data?.labels?.some((own) => related(own, namesLabel, terminology)) === true;
    }
  }
  return (recipientNamed !== true || recipient) && (namesLabel === undefined || label);
}

function related(own: Coding, wanted: Coding, terminology: Terminology): boolean {
  const system = canonicalSystem(own.system);
  if (system !== canonicalSystem(wanted.system)) return false;
  if (own.code === wanted.code) return true;
  if (system !== ACT_CODE) return false;
  return (
    terminology.labelsBelow(own.code)?.has(wanted.code) === true ||
    terminology.labelsBelow(wanted.code)?.has(own.code) === true
  );
}
