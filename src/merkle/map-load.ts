import { sha256 } from "#crypto";
import { compareBytes, equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import { assertBytes } from "../bytes/guards.ts";
import { ProofError } from "../errors.ts";
import { HASH_LENGTH } from "./hash.ts";
import { isEmptySubtree, mapPath, readMapNode, turnsRight } from "./map-node.ts";
import type { NodeSink, NodeSource } from "./map-node.ts";

/**
 * Lists the nodes and values that reading, proving, changing or deleting keys needs and that are
 * missing, as far as the available nodes show. When the list is empty, each of those calls succeeds
 * for any of the keys.
 *
 * @param root - 32-byte root; borrowed
 * @returns hashes of nodes and values, each once, borrowed
 * @throws {ProofError} `ERR_PROOF_INVALID` when a node is malformed
 */
export function missingForKeys(
  root: Uint8Array,
  keys: Iterable<Uint8Array>,
  nodes: NodeSource,
): Uint8Array[] {
  assertBytes(root, "root", HASH_LENGTH);
  const paths = Array.from(keys, mapPath).sort(compareBytes);
  const missing = new Map<string, Uint8Array>();

  function isThere(hash: Uint8Array): boolean {
    if (nodes.get(hash) !== undefined) return true;
    missing.set(toHex(hash), hash);
    return false;
  }

  /** Walks the paths `from` to `to`; returns whether deleting them all may empty this subtree. */
  function walk(hash: Uint8Array, depth: number, from: number, to: number): boolean {
    if (isEmptySubtree(hash)) return true;
    if (from === to || !isThere(hash)) return false;
    const node = readMapNode(hash, depth, nodes);
    if (node.kind === "leaf") {
      for (let i = from; i < to; i++) {
        if (equalBytes(paths[i]!, node.path)) {
          isThere(node.valueHash);
          return true;
        }
      }
      return false;
    }
    let middle = from;
    while (middle < to && !turnsRight(paths[middle]!, depth)) middle++;
    const left = walk(node.left, depth + 1, from, middle);
    const right = walk(node.right, depth + 1, middle, to);
    // When a deletion empties a subtree, its sibling must be known, because it may be a single leaf
    // that moves up.
    if (left && !right) isThere(node.right);
    if (right && !left) isThere(node.left);
    return left && right;
  }

  walk(root, 0, 0, paths.length);
  return [...missing.values()];
}

/**
 * Loads every node and value that reading, proving, changing or deleting keys needs, level by
 * level: about `log2(entries)` calls of `fetch`, each for all hashes known to be missing.
 *
 * @param root - 32-byte root; borrowed
 * @param fetch - returns the bytes in the order of the hashes; each is hashed and compared
 * @param into - receives the nodes and values; looked up before anything is fetched
 * @throws {ProofError} `ERR_PROOF_UNAVAILABLE` when a node or value cannot be fetched,
 *   `ERR_PROOF_INVALID` when the bytes fetched do not match the hash
 */
export async function loadMapNodes(
  root: Uint8Array,
  keys: Iterable<Uint8Array>,
  fetch: (hashes: readonly Uint8Array[]) => Promise<readonly (Uint8Array | undefined)[]>,
  into: NodeSource & NodeSink,
): Promise<void> {
  const list = [...keys];
  await loadPaths(root, list, fetch, into);
  for (;;) {
    const missing = missingForKeys(root, list, into);
    if (missing.length === 0) return;
    await loadNodes(missing, fetch, into);
  }
}

type Fetch = Parameters<typeof loadMapNodes>[2];

/** Loads the nodes and values on the way to the keys, each level from where the last one ended. */
async function loadPaths(
  root: Uint8Array,
  keys: readonly Uint8Array[],
  fetch: Fetch,
  into: NodeSource & NodeSink,
): Promise<void> {
  assertBytes(root, "root", HASH_LENGTH);
  const paths = Array.from(keys, mapPath).sort(compareBytes);
  let ends: Subtree[] = [{ hash: root, depth: 0, from: 0, to: paths.length }];
  while (ends.length > 0) {
    const missing: Subtree[] = [];
    for (let subtree = ends.pop(); subtree !== undefined; subtree = ends.pop()) {
      const { hash, depth, from, to } = subtree;
      if (from === to || isEmptySubtree(hash)) continue;
      if (into.get(hash) === undefined) {
        missing.push(subtree);
        continue;
      }
      const node = readMapNode(hash, depth, into);
      // A leaf's value is left to the walk over all keys, which compares their paths.
      if (node.kind === "leaf") continue;
      let middle = from;
      while (middle < to && !turnsRight(paths[middle]!, depth)) middle++;
      ends.push(
        { hash: node.left, depth: depth + 1, from, to: middle },
        { hash: node.right, depth: depth + 1, from: middle, to },
      );
    }
    await loadNodes(
      missing.map(({ hash }) => hash),
      fetch,
      into,
    );
    ends = missing;
  }
}

/** Some of the sorted paths, and the root of the subtree that they all lead through. */
interface Subtree {
  readonly hash: Uint8Array;
  readonly depth: number;
  readonly from: number;
  readonly to: number;
}

async function loadNodes(
  hashes: readonly Uint8Array[],
  fetch: Fetch,
  into: NodeSink,
): Promise<void> {
  if (hashes.length === 0) return;
  const found = await fetch(hashes);
  for (const [i, hash] of hashes.entries()) {
    const bytes = found[i];
    if (bytes === undefined) {
      throw new ProofError("ERR_PROOF_UNAVAILABLE", "a node of the map could not be loaded");
    }
    if (!equalBytes(sha256(bytes), hash)) {
      throw new ProofError(
        "ERR_PROOF_INVALID",
        "the fetched bytes do not match the requested hash",
      );
    }
    into.set(hash, bytes);
  }
}
