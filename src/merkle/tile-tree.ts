import { equalBytes } from "../bytes/compare.ts";
import { ProofError } from "../errors.ts";
import { foldPeaks, type NodeId } from "./frontier.ts";
import { EMPTY_ROOT, HASH_LENGTH } from "./hash.ts";
import { peakIds, type ReadNodes } from "./proof.ts";
import { borderTiles, TILE_HEIGHT, TILE_WIDTH, tileWidth, type TileId } from "./tile.ts";
import { treeRoot } from "./tree.ts";

/** Fetches a tile: `32 · width` bytes, of which none is trusted. */
export type FetchTile = (tile: TileId) => Promise<Uint8Array>;

/** A tree that is read by tiles, each proved to be of that tree before anything of it is used. */
export interface TileTree {
  /** The hashes in a tile, 32 bytes each, of the widest form that the tree has of it. */
  readTile(tile: Omit<TileId, "width">): Promise<readonly Uint8Array[]>;
  /** Hashes of complete subtrees, as proofs need them. */
  readonly readNodes: ReadNodes;
}

/** Size and root of a tree that is trusted. */
export interface SizedRoot {
  readonly size: number;
  readonly root: Uint8Array;
}

/** Tiles in memory, 8 KiB each. */
const KEPT_TILES = 64;

/**
 * Reads a tree by tiles, from the root down: the tiles at the right border must lead to the root,
 * and each other tile to the hash that the tile above it has of it.
 *
 * @param head - size and root of a checkpoint that is trusted
 * @throws {ProofError} by its calls: `ERR_PROOF_INVALID` when a tile is not of this tree,
 *   `ERR_PROOF_RANGE` when the tree has no such tile; and whatever `fetchTile` throws
 * @example
 * const tree = tileTree({ size, root }, ({ level, index, width }) => fetchTile(level, index, width));
 * const leafHashes = await tree.readTile({ level: 0, index: 0 });
 */
export function tileTree(head: SizedRoot, fetchTile: FetchTile): TileTree {
  const { size, root } = head;
  const proved = new Map<string, Promise<readonly Uint8Array[]>>();
  let border: Promise<ReadonlyMap<number, readonly Uint8Array[]>> | undefined;

  async function fetched(tile: TileId): Promise<readonly Uint8Array[]> {
    const bytes = await fetchTile(tile);
    if (bytes.length !== tile.width * HASH_LENGTH) throw wrong();
    // Copied: what was proved must not change with a buffer of somebody else.
    const copy = new Uint8Array(bytes);
    return Array.from({ length: tile.width }, (_, i) =>
      copy.subarray(i * HASH_LENGTH, (i + 1) * HASH_LENGTH),
    );
  }

  /** The partial tiles by level: together they give every peak, and the peaks give the root. */
  async function readBorder(): Promise<ReadonlyMap<number, readonly Uint8Array[]>> {
    const tiles = borderTiles(size);
    const all = await Promise.all(tiles.map(fetched));
    const byLevel = new Map(tiles.map(({ level }, i) => [level, all[i]!]));
    const peaks = peakIds(size).map((id) => {
      const [level, from, to] = placeOf(id);
      return treeRoot(
        byLevel.get(level)!.slice(from % TILE_WIDTH, (from % TILE_WIDTH) + (to - from)),
      );
    });
    const computed = peaks.length === 0 ? EMPTY_ROOT : foldPeaks(peaks);
    if (!equalBytes(computed, root)) throw wrong();
    return byLevel;
  }

  async function prove(tile: TileId): Promise<readonly Uint8Array[]> {
    const { level, index } = tile;
    if (tile.width < TILE_WIDTH) {
      border ??= readBorder();
      return (await border).get(level)!;
    }
    const above = await readTile({ level: level + 1, index: Math.floor(index / TILE_WIDTH) });
    const hashes = await fetched(tile);
    if (!equalBytes(treeRoot(hashes), above[index % TILE_WIDTH]!)) throw wrong();
    return hashes;
  }

  function readTile({ level, index }: Omit<TileId, "width">): Promise<readonly Uint8Array[]> {
    const width = tileWidth({ level, index }, size);
    if (width === 0) {
      return Promise.reject(new ProofError("ERR_PROOF_RANGE", "the tree has no such tile"));
    }
    const name = `${level}/${index}`;
    const known = proved.get(name);
    // Deleted and set again, so that the one not used for the longest time is the first.
    proved.delete(name);
    const tile = known ?? prove({ level, index, width });
    proved.set(name, tile);
    if (proved.size > KEPT_TILES) proved.delete(proved.keys().next().value!);
    tile.catch(() => {
      // Another source may have the right one.
      proved.delete(name);
      border = undefined;
    });
    return tile;
  }

  return {
    readTile,
    readNodes: (ids) =>
      Promise.all(
        ids.map(async (id) => {
          const [level, from, to] = placeOf(id);
          const hashes = await readTile({ level, index: Math.floor(from / TILE_WIDTH) });
          const within = from % TILE_WIDTH;
          const below = hashes.slice(within, within + (to - from));
          return below.length === to - from ? treeRoot(below) : undefined;
        }),
      ),
  };
}

/** The level of the tile that has a node's hash or what it is made of, and the hashes `from` up to `to` there. */
function placeOf({ level, index }: NodeId): [level: number, from: number, to: number] {
  const below = 2 ** (level % TILE_HEIGHT);
  return [Math.floor(level / TILE_HEIGHT), index * below, (index + 1) * below];
}

function wrong(): ProofError {
  return new ProofError("ERR_PROOF_INVALID", "a tile is not of the tree under this checkpoint");
}
