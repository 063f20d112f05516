import { utf8ToBytes } from "../bytes/utf8.ts";
import {
  getFromMap,
  loadMapNodes,
  proveMap,
  updateMap,
  memoryNodes,
  type MapProof,
  type StoredNode,
} from "../merkle/sparse-map.ts";
import { isEmptySubtree, readMapNode } from "../merkle/map-node.ts";
import { systemState, type SystemState } from "./state.ts";

/** Fetches nodes and values of the state by their hash, wherever they are kept. */
export type FetchNodes = (
  hashes: readonly Uint8Array[],
) => Promise<readonly (Uint8Array | undefined)[]>;

/** The authenticated state at one height, moved on block by block. */
export interface LedgerState extends SystemState {
  /** Root of the state; 32 bytes. */
  readonly root: Uint8Array;
  /** Makes keys readable; a key that was not loaded reads as absent. */
  load(keys: readonly string[]): Promise<void>;
  /**
   * Applies changes of loaded keys.
   *
   * @returns the nodes and values that came to be, for the store
   */
  apply(changes: ReadonlyMap<string, Uint8Array | null>): readonly StoredNode[];
  /** Forgets what was loaded and goes on from another root. */
  reset(root: Uint8Array): void;
}

/**
 * Opens the state at a root.
 *
 * @param fetch - asked for what is not in memory; for a state that lives in memory only, one that
 *   finds nothing
 */
export function openState(initialRoot: Uint8Array, fetch: FetchNodes): LedgerState {
  let root = initialRoot;
  let nodes = memoryNodes();
  let values = new Map<string, Uint8Array | undefined>();
  let live = 0;

  function reset(to: Uint8Array): void {
    root = to;
    nodes = memoryNodes();
    values = new Map();
    live = 0;
  }

  /** Keeps of the loaded nodes only those that the root still reaches. */
  function collect(): void {
    const kept = memoryNodes();
    const visit = (hash: Uint8Array, depth: number): void => {
      const bytes = isEmptySubtree(hash) ? undefined : nodes.get(hash);
      if (bytes === undefined) return;
      kept.set(hash, bytes);
      const node = readMapNode(hash, depth, nodes);
      if (node.kind === "leaf") {
        const value = nodes.get(node.valueHash);
        if (value !== undefined) kept.set(node.valueHash, value);
      } else {
        visit(node.left, depth + 1);
        visit(node.right, depth + 1);
      }
    };
    visit(root, 0);
    nodes = kept;
    live = kept.size;
  }

  return {
    ...systemState({ get: (key) => values.get(key) }),
    get root() {
      return root;
    },
    async load(keys) {
      for (;;) {
        const unknown = keys.filter((key) => !values.has(key));
        if (unknown.length === 0) return;
        const paths = unknown.map(utf8ToBytes);
        const at = root;
        const into = nodes;
        await loadMapNodes(at, paths, fetch, into);
        // While nodes are fetched, a block may move the state on.
        if (root !== at || nodes !== into) continue;
        for (const [i, key] of unknown.entries()) values.set(key, getFromMap(at, paths[i]!, into));
        return;
      }
    },
    apply(changes) {
      if (changes.size === 0) return [];
      const update = updateMap(
        root,
        Array.from(changes, ([key, value]) => [utf8ToBytes(key), value] as const),
        nodes,
      );
      root = update.root;
      for (const { hash, bytes } of update.created) nodes.set(hash, bytes);
      for (const [key, value] of changes) values.set(key, value ?? undefined);
      if (nodes.size > Math.max(10_000, 2 * live)) collect();
      return update.created;
    },
    reset,
  };
}

/** Proves what the state with a given root says of a key. */
export async function proveState(
  root: Uint8Array,
  key: string,
  fetch: FetchNodes,
): Promise<{ readonly value: Uint8Array | null; readonly proof: MapProof }> {
  const nodes = memoryNodes();
  const path = utf8ToBytes(key);
  await loadMapNodes(root, [path], fetch, nodes);
  return { value: getFromMap(root, path, nodes) ?? null, proof: proveMap(root, path, nodes) };
}
