import type { NodeSource } from "../merkle/map-node.ts";
import type { DerivedData } from "./derived.ts";

/**
 * Finds nodes of a state that blocks would make: those that are in no store yet, and all others in the chain's.
 *
 * @returns in the order of the hashes; `undefined` where a node is in neither
 */
export async function stagedNodes(
  created: NodeSource,
  derived: Pick<DerivedData, "stateNodes">,
  hashes: readonly Uint8Array[],
): Promise<readonly (Uint8Array | undefined)[]> {
  const found = hashes.map((hash) => created.get(hash));
  const missing = hashes.filter((_, i) => found[i] === undefined);
  const stored = (missing.length === 0 ? [] : await derived.stateNodes(missing)).values();
  return found.map((node) => node ?? stored.next().value);
}
