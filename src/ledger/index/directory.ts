import { bytesKey } from "../../bytes/bytes-key.ts";
import {
  getFromMap,
  loadMapNodes,
  memoryNodes,
  updateMap,
  type MapChange,
} from "../../merkle/sparse-map.ts";
import { isEmptySubtree, readMapNode } from "../../merkle/map-node.ts";
import type { StateChange, StateStore } from "../../storage/types.ts";

/** A sparse map in the state store: its root proves each name's value, or that it has none. */
export interface Directory {
  /**
   * Reads values, in the order of their names; `undefined` if a name provably has no value.
   *
   * @throws {ProofError} if nodes of this root are missing from the store or wrong
   */
  read(
    root: Uint8Array,
    names: readonly Uint8Array[],
  ): Promise<readonly (Uint8Array | undefined)[]>;
  /**
   * Makes the store changes for changes of the map: new nodes, and the removal of nodes that the
   * new root does not reach.
   *
   * @throws as {@link read}
   */
  update(
    root: Uint8Array,
    changes: readonly MapChange[],
  ): Promise<{
    readonly root: Uint8Array;
    readonly added: readonly StateChange[];
    readonly removed: readonly StateChange[];
  }>;
}

/** Most nodes held in memory; others are read again. */
const CACHED_NODES = 50_000;

/** Opens a directory whose nodes are stored under `keyOf(hash)`. */
export function openDirectory(
  state: Pick<StateStore, "getMany">,
  keyOf: (hash: Uint8Array) => Uint8Array,
): Directory {
  let nodes = memoryNodes();
  const fetch = (hashes: readonly Uint8Array[]): ReturnType<StateStore["getMany"]> =>
    state.getMany(hashes.map(keyOf));

  async function load(root: Uint8Array, names: readonly Uint8Array[]): Promise<typeof nodes> {
    if (nodes.size > CACHED_NODES) nodes = memoryNodes();
    const into = nodes;
    await loadMapNodes(root, names, fetch, into);
    return into;
  }

  return {
    async read(root, names) {
      const from = await load(root, names);
      return names.map((name) => getFromMap(root, name, from));
    },
    async update(root, changes) {
      const from = await load(
        root,
        changes.map(([name]) => name),
      );
      const known = new Map<string, Uint8Array>();
      const before = new Map<string, Uint8Array>();
      const updated = updateMap(root, changes, {
        get(hash) {
          const bytes = from.get(hash);
          if (bytes !== undefined) {
            const key = bytesKey(hash);
            known.set(key, bytes);
            before.set(key, hash);
          }
          return bytes;
        },
      });
      const created = new Map<string, (typeof updated.created)[number]>();
      for (const node of updated.created) {
        const key = bytesKey(node.hash);
        created.set(key, node);
        known.set(key, node.bytes);
        from.set(node.hash, node.bytes);
      }
      const kept = reached(updated.root, known);
      const removed: StateChange[] = [];
      for (const [key, hash] of before) {
        if (kept.has(key)) continue;
        const bytes = known.get(key)!;
        removed.push({ key: keyOf(hash), value: null });
        const node = readMapNode(hash, 0, { get: () => bytes });
        if (node.kind === "leaf" && !kept.has(bytesKey(node.valueHash))) {
          removed.push({ key: keyOf(node.valueHash), value: null });
        }
      }
      const added = [...created]
        .filter(([key]) => kept.has(key))
        .map(([, { hash, bytes }]) => ({ key: keyOf(hash), value: bytes }));
      return { root: updated.root, added, removed };
    },
  };
}

/** Keys of the nodes and values that a root reaches, as far as known. */
function reached(root: Uint8Array, known: ReadonlyMap<string, Uint8Array>): Set<string> {
  const found = new Set<string>();
  const waiting: Uint8Array[] = [root];
  for (let hash = waiting.pop(); hash !== undefined; hash = waiting.pop()) {
    const key = bytesKey(hash);
    const bytes = known.get(key);
    if (isEmptySubtree(hash) || found.has(key)) continue;
    found.add(key);
    if (bytes === undefined) continue;
    const node = readMapNode(hash, 0, { get: () => bytes });
    if (node.kind === "leaf") found.add(bytesKey(node.valueHash));
    else waiting.push(node.left, node.right);
  }
  return found;
}
