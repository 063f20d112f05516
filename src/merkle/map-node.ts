import { sha256 } from "#crypto";
import { equalBytes } from "../bytes/compare.ts";
import { ProofError } from "../errors.ts";
import { HASH_LENGTH } from "./hash.ts";

/**
 * Root of the map without entries, and of every empty subtree: 32 zero bytes. Callers must not
 * write to it.
 */
export const EMPTY_MAP: Uint8Array = /* @__PURE__ */ new Uint8Array(HASH_LENGTH);

/** Number of levels of the map, which is the number of bits of a path. */
export const MAP_DEPTH: number = 8 * HASH_LENGTH;

const LEAF = 0x00;
const INNER = 0x01;
const NODE_LENGTH = 1 + 2 * HASH_LENGTH;
const NODES_AT_ONCE = 24;

/**
 * Finds nodes (`00 ‖ path ‖ value hash`, `01 ‖ left ‖ right`) and values by their SHA-256. It must
 * return bytes with that hash: they are not hashed again.
 */
export interface NodeSource {
  /** @returns the bytes, borrowed, or `undefined` if they are not available */
  get(hash: Uint8Array): Uint8Array | undefined;
}

/** Receives loaded or created nodes and values. */
export interface NodeSink {
  set(hash: Uint8Array, bytes: Uint8Array): void;
}

/** A node or value and its hash. */
export interface StoredNode {
  /** SHA-256 of `bytes`. */
  readonly hash: Uint8Array;
  /** May be a view of a larger buffer. */
  readonly bytes: Uint8Array;
}

/** A node that was read. */
export type MapNode =
  | { readonly kind: "leaf"; readonly path: Uint8Array; readonly valueHash: Uint8Array }
  | { readonly kind: "inner"; readonly left: Uint8Array; readonly right: Uint8Array };

/** Nodes and values held in memory. */
export interface MemoryNodes extends NodeSource, NodeSink {
  readonly size: number;
}

/** Makes an empty store of nodes and values in memory; bytes put into it are borrowed. */
export function memoryNodes(): MemoryNodes {
  // Keyed by the first 30 bits of the hash, which is far cheaper than a string of all of it; the
  // few hashes that share those bits are chained.
  const buckets = new Map<number, Bucket>();
  let size = 0;

  function find(hash: Uint8Array): Bucket | undefined {
    let bucket = buckets.get(bucketOf(hash));
    while (bucket !== undefined && !equalBytes(bucket.hash, hash)) bucket = bucket.next;
    return bucket;
  }

  return {
    get: (hash) => find(hash)?.bytes,
    set(hash, bytes) {
      if (find(hash) !== undefined) return;
      const key = bucketOf(hash);
      buckets.set(key, { hash, bytes, next: buckets.get(key) });
      size++;
    },
    get size() {
      return size;
    },
  };
}

interface Bucket {
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
  readonly next: Bucket | undefined;
}

function bucketOf(hash: Uint8Array): number {
  return (hash[0]! << 22) | (hash[1]! << 14) | (hash[2]! << 6) | (hash[3]! >> 2);
}

/** The path of a key in the map: SHA-256 of the key's bytes, most significant bit first. */
export function mapPath(key: Uint8Array): Uint8Array {
  return sha256(key);
}

/** Whether a path turns right at a depth. */
export function turnsRight(path: Uint8Array, depth: number): boolean {
  return ((path[depth >> 3]! >> (7 - (depth & 7))) & 1) === 1;
}

/** Whether a subtree's hash is that of the empty one. */
export function isEmptySubtree(hash: Uint8Array): boolean {
  for (let i = 0; i < HASH_LENGTH; i++) if (hash[i] !== 0) return false;
  return true;
}

/** Writes a leaf: `00 ‖ path ‖ value hash`. */
export function mapLeaf(path: Uint8Array, valueHash: Uint8Array): Uint8Array {
  return joinNode(new Uint8Array(NODE_LENGTH), LEAF, path, valueHash);
}

/** Writes the nodes of one update. */
export interface NodeWriter {
  leaf(path: Uint8Array, valueHash: Uint8Array): Uint8Array;
  /** Writes an inner node: `01 ‖ left ‖ right`. */
  inner(left: Uint8Array, right: Uint8Array): Uint8Array;
}

/**
 * Writes nodes side by side into few large buffers, because small ones cost more to allocate than
 * to fill.
 */
export function nodeWriter(): NodeWriter {
  let space = new Uint8Array(0);

  function next(): Uint8Array {
    if (space.length === 0) space = new Uint8Array(NODES_AT_ONCE * NODE_LENGTH);
    const node = space.subarray(0, NODE_LENGTH);
    space = space.subarray(NODE_LENGTH);
    return node;
  }

  return {
    leaf: (path, valueHash) => joinNode(next(), LEAF, path, valueHash),
    inner: (left, right) => joinNode(next(), INNER, left, right),
  };
}

/**
 * Reads a node.
 *
 * @returns the node, with parts borrowed from the source
 * @throws {ProofError} `ERR_PROOF_UNAVAILABLE` when the node is missing, `ERR_PROOF_INVALID` when
 *   the bytes are not a node or `depth` exceeds the length of a path
 */
export function readMapNode(hash: Uint8Array, depth: number, nodes: NodeSource): MapNode {
  const bytes = nodes.get(hash);
  if (bytes === undefined) {
    throw new ProofError("ERR_PROOF_UNAVAILABLE", "a node of the map is missing");
  }
  const first = bytes.subarray(1, 1 + HASH_LENGTH);
  const second = bytes.subarray(1 + HASH_LENGTH);
  if (bytes.length === NODE_LENGTH) {
    if (bytes[0] === LEAF) return { kind: "leaf", path: first, valueHash: second };
    if (bytes[0] === INNER && depth < MAP_DEPTH)
      return { kind: "inner", left: first, right: second };
  }
  throw new ProofError("ERR_PROOF_INVALID", "the bytes are not a node of a map");
}

function joinNode(
  into: Uint8Array,
  kind: number,
  first: Uint8Array,
  second: Uint8Array,
): Uint8Array {
  into[0] = kind;
  into.set(first, 1);
  into.set(second, 1 + HASH_LENGTH);
  return into;
}
