/**
 * Merkle trees and their proofs as RFC 6962 defines them, and proofs from the sparse map of a
 * ledger's state.
 *
 * @module
 */

export {
  appendLeaf,
  appendLeaves,
  type Appended,
  emptyFrontier,
  type Frontier,
  frontierFrom,
  frontierRoot,
  type NodeId,
  type TreeNode,
} from "./frontier.ts";
export { EMPTY_ROOT, leafHash, nodeHash } from "./hash.ts";
export {
  decodeMapProof,
  encodeMapProof,
  type MapProof,
  type MapReason,
  type MapResult,
  verifyMap,
} from "./map-proof.ts";
export { peakIds, proveConsistency, proveInclusion, type ReadNodes } from "./proof.ts";
export { type FetchTile, type SizedRoot, tileTree, type TileTree } from "./tile-tree.ts";
export { borderTiles, parseTilePath, type TileId, tilePath, tileWidth } from "./tile.ts";
export { buildTree, type MerkleTree, treeRoot } from "./tree.ts";
export {
  type ConsistencyClaim,
  type ConsistencyReason,
  type ConsistencyResult,
  type InclusionClaim,
  type InclusionReason,
  type InclusionResult,
  type TreeSize,
  verifyConsistency,
  verifyInclusion,
} from "./verify.ts";
