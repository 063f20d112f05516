import type { TreeHead } from "../chain/connection.ts";
import { TransportError } from "../errors.ts";
import { tileTree, type TileTree } from "../merkle/tile-tree.ts";
import { TILE_WIDTH } from "../merkle/tile.ts";
import type { LedgerPeer } from "../transport/types.ts";

/** Reads the tree under a checkpoint from one peer; each tile is proved before it is used. */
export function peerTree(head: TreeHead, peer: LedgerPeer, signal: AbortSignal): TileTree {
  return tileTree(head, (tile) =>
    orFull(
      () => peer.tile(tile, { signal }),
      tile.width,
      async () =>
        (await peer.tile({ ...tile, width: TILE_WIDTH }, { signal })).slice(0, 32 * tile.width),
    ),
  );
}

/** A static host removes a partial tile once the full one is there, whose beginning it is. */
export async function orFull<T>(
  partial: () => Promise<T>,
  width: number,
  full: () => Promise<T>,
): Promise<T> {
  try {
    return await partial();
  } catch (error) {
    const isGone = error instanceof TransportError && error.code === "ERR_TRANSPORT_NOT_FOUND";
    if (!isGone || width === TILE_WIDTH) throw error;
    return full();
  }
}
