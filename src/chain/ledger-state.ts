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

/** Fetches nodes and values of the state by their hash. */
export type FetchNodes = (
  hashes: readonly Uint8Array[],
) => Promise<readonly (Uint8Array | undefined)[]>;

/** The authenticated state at one height, to be read. */
export interface ReadableState extends SystemState {
  /** Root of the state; 32 bytes. */
  readonly root: Uint8Array;
  /** Loads keys; a key that was not loaded reads as absent. */
  load(keys: readonly string[]): Promise<void>;
}

/** The authenticated state at one height, advanced block by block. */
export interface LedgerState extends ReadableState {
  /**
   * Applies changes of loaded keys.
   *
   * @returns the new nodes and values, for the store
   */
  apply(changes: ReadonlyMap<string, Uint8Array | null>): readonly StoredNode[];
  /** Forgets what was loaded and continues from another root. */
  reset(root: Uint8Array): void;
}

/**
 * Number of nodes, or keys, in memory beyond which those not read recently are forgotten: about 10
 * MB.
 */
const MOST_AT_ONCE = 25_000;

/**
 * Opens the state at a root. If nodes can be fetched, memory is bounded: data are kept in two
 * generations, so that loaded data stay available for a while.
 *
 * @param fetch - fetches what is not in memory; absent for a state held only in memory, which then
 *   grows with its content
 * @param most - number of nodes, or keys, in one generation
 */
export function openState(
  initialRoot: Uint8Array,
  fetch?: FetchNodes,
  most: number = MOST_AT_ONCE,
): LedgerState {
  let root = initialRoot;
  let nodes = memoryNodes();
  let values = new Map<string, Uint8Array | undefined>();
  let oldNodes = memoryNodes();
  let oldValues = new Map<string, Uint8Array | undefined>();
  let live = 0;

  function reset(to: Uint8Array): void {
    root = to;
    nodes = memoryNodes();
    values = new Map();
    oldNodes = memoryNodes();
    oldValues = new Map();
    live = 0;
  }

  /** The younger generation; a read that only the older one can answer moves the data over. */
  const reach = {
    get(hash: Uint8Array): Uint8Array | undefined {
      const bytes = nodes.get(hash);
      if (bytes !== undefined) return bytes;
      const kept = oldNodes.get(hash);
      if (kept !== undefined) nodes.set(hash, kept);
      return kept;
    },
    set: (hash: Uint8Array, bytes: Uint8Array): void => nodes.set(hash, bytes),
  };

  /**
   * Drops the older generation once the younger is large. Each generation holds the paths of its
   * keys.
   */
  function age(): void {
    if (fetch === undefined) {
      if (values.size > most) {
        oldValues = values;
        values = new Map();
      }
      if (nodes.size > Math.max(10_000, 2 * live)) collect();
    } else if (nodes.size > most || values.size > most) {
      oldNodes = nodes;
      oldValues = values;
      nodes = memoryNodes();
      values = new Map();
    }
  }

  /** Keeps only the loaded nodes that the root still reaches. */
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
    ...systemState({
      get: (key) => (values.has(key) ? values.get(key) : oldValues.get(key)),
      isLoaded: (key) => values.has(key) || oldValues.has(key),
    }),
    get root() {
      return root;
    },
    async load(keys) {
      age();
      for (;;) {
        const unknown = keys.filter((key) => !values.has(key));
        if (unknown.length === 0) return;
        const paths = unknown.map(utf8ToBytes);
        const at = root;
        const into = nodes;
        await loadMapNodes(at, paths, fetch ?? fetchNothing, reach);
        // A block may advance the state while nodes are fetched.
        if (root !== at || nodes !== into) continue;
        for (const [i, key] of unknown.entries()) values.set(key, getFromMap(at, paths[i]!, reach));
        return;
      }
    },
    apply(changes) {
      if (changes.size === 0) return [];
      const update = updateMap(
        root,
        Array.from(changes, ([key, value]) => [utf8ToBytes(key), value] as const),
        reach,
      );
      root = update.root;
      for (const { hash, bytes } of update.created) nodes.set(hash, bytes);
      for (const [key, value] of changes) values.set(key, value ?? undefined);
      age();
      return update.created;
    },
    reset,
  };
}

const fetchNothing: FetchNodes = async (hashes) => hashes.map(() => undefined);

/** Proves the value of a key, or its absence, in the state with a given root. */
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
