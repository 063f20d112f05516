import { sha256 } from "#crypto";
import { compareBytes, equalBytes } from "../bytes/compare.ts";
import { assertBytes } from "../bytes/guards.ts";
import { ProofError } from "../errors.ts";
import { HASH_LENGTH } from "./hash.ts";
import {
  EMPTY_MAP,
  isEmptySubtree,
  mapPath,
  nodeWriter,
  readMapNode,
  turnsRight,
} from "./map-node.ts";
import type { NodeSource, StoredNode } from "./map-node.ts";
import type { MapProof } from "./map-proof.ts";

export { EMPTY_MAP, memoryNodes } from "./map-node.ts";
export type { MemoryNodes, NodeSink, NodeSource, StoredNode } from "./map-node.ts";
export { decodeMapProof, encodeMapProof, verifyMap } from "./map-proof.ts";
export type { MapProof, MapReason, MapResult } from "./map-proof.ts";
export { loadMapNodes, missingForKeys } from "./map-load.ts";

/** One change of a map: a value for a key, or `null` to delete the key. */
export type MapChange = readonly [key: Uint8Array, value: Uint8Array | null];

/** Result of {@link updateMap}. */
export interface MapUpdate {
  /** 32-byte root after the changes. */
  readonly root: Uint8Array;
  /**
   * Nodes and values that the new root reaches and the old one did not; callers must store them
   * before they use the new root. Nodes of the old root are untouched, so that it stays readable.
   */
  readonly created: readonly StoredNode[];
}

interface PathChange {
  readonly path: Uint8Array;
  /** Position among the changes: of several changes of one key, the last one applies. */
  readonly order: number;
  readonly value: Uint8Array | null;
}

interface Leaf {
  readonly path: Uint8Array;
  readonly hash: Uint8Array;
}

/** A visited subtree; `kind` is "unread" when only its hash is known. */
interface Subtree {
  readonly hash: Uint8Array;
  readonly kind: "empty" | "leaf" | "inner" | "unread";
}

const EMPTY_SUBTREE: Subtree = /* @__PURE__ */ Object.freeze({ hash: EMPTY_MAP, kind: "empty" });

/**
 * Applies changes to a map in one pass: about `2 + log2(entries)` hashes per change, fewer where
 * changes share nodes. The root depends on the entries only, never on the order of changes.
 *
 * @param root - 32-byte root, {@link EMPTY_MAP} for a map without entries; borrowed
 * @param changes - values are copied; of several changes of one key the last one applies
 * @param nodes - must have the nodes on the changed paths, and their siblings where a deletion
 *   joins nodes
 * @throws {ProofError} `ERR_PROOF_UNAVAILABLE` when a node is missing, `ERR_PROOF_INVALID` when
 *   one is malformed
 */
export function updateMap(
  root: Uint8Array,
  changes: Iterable<MapChange>,
  nodes: NodeSource,
): MapUpdate {
  assertBytes(root, "root", HASH_LENGTH);
  const sorted = sortChanges(changes);
  const created: StoredNode[] = [];
  const write = nodeWriter();

  function create(bytes: Uint8Array): Uint8Array {
    const hash = sha256(bytes);
    created.push({ hash, bytes });
    return hash;
  }

  /** Applies the changes `from` to `to`, which are all those below this subtree. */
  function apply(hash: Uint8Array, depth: number, from: number, to: number): Subtree {
    if (isEmptySubtree(hash)) return build(insertInto(undefined, from, to), depth);
    if (from === to) return { hash, kind: "unread" };
    const node = readMapNode(hash, depth, nodes);
    if (node.kind === "leaf") {
      return build(
        insertInto({ path: node.path, hash, valueHash: node.valueHash }, from, to),
        depth,
      );
    }
    const middle = firstRight(sorted, depth, from, to);
    const left = apply(node.left, depth + 1, from, middle);
    const right = apply(node.right, depth + 1, middle, to);
    if (equalBytes(left.hash, node.left) && equalBytes(right.hash, node.right)) {
      return { hash, kind: "inner" };
    }
    return join(left, right, depth);
  }

  /** The leaves of a subtree that held at most one, after the changes `from` to `to`. */
  function insertInto(
    held: (Leaf & { readonly valueHash: Uint8Array }) | undefined,
    from: number,
    to: number,
  ): Leaf[] {
    const leaves: Leaf[] = [];
    let rest = held;
    for (let i = from; i < to; i++) {
      const { path, value } = sorted[i]!;
      const order = rest === undefined ? 1 : compareBytes(rest.path, path);
      if (rest !== undefined && order < 0) {
        leaves.push(rest);
        rest = undefined;
      }
      const replaced = order === 0 ? rest : undefined;
      if (order === 0) rest = undefined;
      if (value === null) continue;
      const valueHash = sha256(value);
      if (replaced !== undefined && equalBytes(replaced.valueHash, valueHash)) {
        leaves.push(replaced);
      } else {
        created.push({ hash: valueHash, bytes: value.slice() });
        leaves.push({ path, hash: create(write.leaf(path, valueHash)) });
      }
    }
    if (rest !== undefined) leaves.push(rest);
    return leaves;
  }

  /** Builds a subtree from its leaves in the order of their paths. */
  function build(
    leaves: readonly Leaf[],
    depth: number,
    from: number = 0,
    to: number = leaves.length,
  ): Subtree {
    if (from === to) return EMPTY_SUBTREE;
    if (to - from === 1) return { hash: leaves[from]!.hash, kind: "leaf" };
    const middle = firstRight(leaves, depth, from, to);
    const left = build(leaves, depth + 1, from, middle);
    const right = build(leaves, depth + 1, middle, to);
    return join(left, right, depth);
  }

  /** Joins two subtrees; a single leaf with an empty sibling replaces its parent. */
  function join(left: Subtree, right: Subtree, depth: number): Subtree {
    if (left.kind === "empty" && isLeafOrEmpty(right, depth + 1)) return right;
    if (right.kind === "empty" && isLeafOrEmpty(left, depth + 1)) return left;
    return { hash: create(write.inner(left.hash, right.hash)), kind: "inner" };
  }

  function isLeafOrEmpty({ hash, kind }: Subtree, depth: number): boolean {
    if (kind === "unread") return readMapNode(hash, depth, nodes).kind === "leaf";
    return kind !== "inner";
  }

  const { hash } = apply(root, 0, 0, sorted.length);
  return { root: hash, created };
}

/**
 * Reads a value.
 *
 * @param root - 32-byte root; borrowed
 * @returns the value's bytes, borrowed from `nodes`, or `undefined` if the key has no value
 * @throws {ProofError} `ERR_PROOF_UNAVAILABLE` when a node is missing, `ERR_PROOF_INVALID` when
 *   one is malformed
 */
export function getFromMap(
  root: Uint8Array,
  key: Uint8Array,
  nodes: NodeSource,
): Uint8Array | undefined {
  const path = mapPath(key);
  const { leaf } = descend(root, path, nodes);
  if (leaf === undefined || !equalBytes(leaf.path, path)) return undefined;
  const value = nodes.get(leaf.valueHash);
  if (value === undefined) {
    throw new ProofError("ERR_PROOF_UNAVAILABLE", "a value of the map is missing");
  }
  return value;
}

/**
 * Proves the value of a key in a map, or that the key has no value.
 *
 * @param root - 32-byte root; borrowed
 * @returns a proof, partly borrowed from `nodes`
 * @throws {ProofError} `ERR_PROOF_UNAVAILABLE` when a node is missing, `ERR_PROOF_INVALID` when
 *   one is malformed
 */
export function proveMap(root: Uint8Array, key: Uint8Array, nodes: NodeSource): MapProof {
  const path = mapPath(key);
  const { siblings, leaf } = descend(root, path, nodes);
  if (leaf === undefined || equalBytes(leaf.path, path)) return { siblings };
  return { siblings, leaf };
}

/** Follows a path to the leaf or empty subtree where it ends. */
function descend(root: Uint8Array, path: Uint8Array, nodes: NodeSource): MapProof {
  assertBytes(root, "root", HASH_LENGTH);
  const siblings: Uint8Array[] = [];
  let hash = root;
  for (let depth = 0; !isEmptySubtree(hash); depth++) {
    const node = readMapNode(hash, depth, nodes);
    if (node.kind === "leaf") {
      const { path: leafPath, valueHash } = node;
      return { siblings: siblings.reverse(), leaf: { path: leafPath, valueHash } };
    }
    const right = turnsRight(path, depth);
    siblings.push(right ? node.left : node.right);
    hash = right ? node.right : node.left;
  }
  return { siblings: siblings.reverse() };
}

function sortChanges(changes: Iterable<MapChange>): PathChange[] {
  const list: PathChange[] = [];
  for (const [key, value] of changes) {
    assertBytes(key, "key");
    if (value !== null) assertBytes(value, "value");
    list.push({ path: mapPath(key), order: list.length, value });
  }
  list.sort((a, b) => compareBytes(a.path, b.path) || a.order - b.order);
  return list.filter(({ path }, i) => {
    const next = list[i + 1];
    return next === undefined || !equalBytes(path, next.path);
  });
}

/** Index of the first path that turns right at a depth, among sorted paths that agree up to it. */
function firstRight(
  sorted: readonly { readonly path: Uint8Array }[],
  depth: number,
  from: number,
  to: number,
): number {
  let low = from;
  let high = to;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (turnsRight(sorted[middle]!.path, depth)) high = middle;
    else low = middle + 1;
  }
  return low;
}
