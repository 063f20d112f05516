import type { CompiledLayer } from "./lineage.ts";
import type { CompiledOverlay } from "./overlay.ts";
import type { ConsentSnapshot } from "../model/snapshot.ts";
import { resolvePeriod } from "../model/time.ts";
import type { CompiledRule } from "./tree.ts";
import { findZone } from "../model/zone.ts";

/**
 * The last instants before anything in a snapshot starts or ends: between two of them, time alone
 * changes no decision.
 *
 * @returns instants in ascending order
 */
export function collectBoundaries(
  snapshot: ConsentSnapshot,
  layers: readonly CompiledLayer[],
  overlays: readonly CompiledOverlay[],
): readonly number[] {
  const found = new Set<number>();
  const add = (start: number | undefined, end: number | undefined): void => {
    if (start !== undefined && Number.isFinite(start)) found.add(start - 1);
    if (end !== undefined && Number.isFinite(end)) found.add(end);
  };
  const visit = (node: CompiledRule, zoneName: string): void => {
    const { validity } = node.rule.when;
    const zone = validity === undefined ? undefined : findZone(zoneName);
    const interval = zone === undefined ? undefined : resolvePeriod(validity!, zone);
    add(interval?.start, interval?.end);
    for (const child of node.children) visit(child, zoneName);
  };
  for (const layer of layers) {
    for (const lineage of layer.lineages) {
      for (const { start, end, tree, source } of lineage.directives) {
        add(start, end);
        if (tree !== undefined) visit(tree.root, source.directive.validity.zone);
      }
    }
  }
  for (const { start, end, tree, overlay } of overlays) {
    add(start, end);
    visit(tree.root, overlay.validity.zone);
  }
  for (const facts of [snapshot.memberships, snapshot.roles, snapshot.capacities]) {
    for (const { from, to } of facts) add(from, to);
  }
  return [...found].sort((a, b) => a - b);
}

/** Index of the first boundary at or after an instant; past the end if there is none. */
export function nextBoundaryIndex(boundaries: readonly number[], instant: number): number {
  let low = 0;
  let high = boundaries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (boundaries[middle]! < instant) low = middle + 1;
    else high = middle;
  }
  return low;
}
