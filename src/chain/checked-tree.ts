import { concatBytes } from "../bytes/concat.ts";
import { ProofError } from "../errors.ts";
import { frontierFrom, frontierRoot, type NodeId } from "../merkle/frontier.ts";
import { EMPTY_ROOT } from "../merkle/hash.ts";
import { tileTree, type TileTree } from "../merkle/tile-tree.ts";
import { tileNodes, type TileId } from "../merkle/tile.ts";
import { peakIds, proveConsistency, proveInclusion, type ReadNodes } from "../merkle/proof.ts";
import { verifyConsistency, verifyInclusion } from "../merkle/verify.ts";

/** The size of a tree and its root. */
export interface TreeHead {
  readonly size: number;
  readonly root: Uint8Array;
}

/** Roots and proofs of a tree with untrusted nodes; each is checked before it is returned. */
export interface CheckedTree {
  rootAt(size: number): Promise<Uint8Array>;
  proveInclusion(index: number, size: number): Promise<Uint8Array[]>;
  proveConsistency(oldSize: number, newSize: number): Promise<Uint8Array[]>;
  readTile(tile: Omit<TileId, "width">): Promise<readonly Uint8Array[]>;
}

/**
 * Reads a tree from untrusted nodes against a checked root: a result that does not lead to that
 * root is never returned, and an error is thrown instead.
 *
 * @param trusted - size and root at one moment
 * @param onDamage - called before an error is thrown, so that caches forget the nodes that were
 *   read
 * @throws {ProofError} by its calls: `ERR_PROOF_RANGE` beyond the trusted size,
 *   `ERR_PROOF_UNAVAILABLE` when a node cannot be read, `ERR_PROOF_INVALID` when one is wrong
 */
export function checkedTree(
  readNodes: ReadNodes,
  trusted: () => TreeHead,
  onDamage: () => void,
): CheckedTree {
  function damaged(): ProofError {
    onDamage();
    return new ProofError("ERR_PROOF_INVALID", "a node of the header tree in the store is wrong");
  }

  async function nodesOf(ids: readonly NodeId[]): Promise<Uint8Array[]> {
    const nodes = await readNodes(ids);
    return ids.map((_, i) => {
      const node = nodes[i];
      if (node !== undefined) return node;
      throw new ProofError("ERR_PROOF_UNAVAILABLE", "a node of the header tree is missing");
    });
  }

  /** The root of a smaller tree, by a proof that leads to the trusted root. */
  async function rootAt(size: number): Promise<Uint8Array> {
    const now = trusted();
    if (size === now.size) return now.root;
    if (size === 0) return EMPTY_ROOT;
    // Refuses a size beyond the trusted one.
    const proof = await proveConsistency(size, now.size, readNodes);
    const root = frontierRoot(frontierFrom(size, await nodesOf(peakIds(size))));
    const claim = { oldSize: size, oldRoot: root, newSize: now.size, newRoot: now.root, proof };
    if (!verifyConsistency(claim).ok) throw damaged();
    return root;
  }

  let tiles: { readonly head: TreeHead; readonly tree: TileTree } | undefined;

  async function readTile(tile: Omit<TileId, "width">): Promise<readonly Uint8Array[]> {
    const head = trusted();
    if (tiles?.head.size !== head.size) {
      const tree = tileTree(head, async (id) => concatBytes(...(await nodesOf(tileNodes(id)))));
      tiles = { head, tree };
    }
    try {
      return await tiles.tree.readTile(tile);
    } catch (error) {
      if (!(error instanceof ProofError) || error.code !== "ERR_PROOF_INVALID") throw error;
      throw damaged();
    }
  }

  return {
    rootAt,
    readTile,
    async proveInclusion(index, size) {
      const proof = await proveInclusion(index, size, readNodes);
      const root = await rootAt(size);
      const [leafHash] = await nodesOf([{ level: 0, index }]);
      const claim = { index, size, leafHash: leafHash!, proof, root };
      if (!verifyInclusion(claim).ok) throw damaged();
      return proof;
    },
    async proveConsistency(oldSize, newSize) {
      const proof = await proveConsistency(oldSize, newSize, readNodes);
      const newRoot = await rootAt(newSize);
      if (oldSize === 0 || oldSize === newSize) return proof;
      const oldRoot = await rootAt(oldSize);
      if (!verifyConsistency({ oldSize, oldRoot, newSize, newRoot, proof }).ok) throw damaged();
      return proof;
    },
  };
}
