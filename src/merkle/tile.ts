import { assertUint } from "../bytes/guards.ts";
import type { NodeId } from "./frontier.ts";

/** Levels of a tree that one tile holds the lowest of, and the hashes in a full tile: 2^8. */
export const TILE_HEIGHT = 8;
export const TILE_WIDTH = 256;
/** Tile levels that a tree of at most 2^53 leaves can have. */
const MAX_TILE_LEVEL = 6;

/**
 * A tile of C2SP tlog-tiles: the hashes of `width` complete subtrees next to each other, each of
 * 256^`level` leaves, beginning with subtree `256 · index`.
 */
export interface TileId {
  readonly level: number;
  readonly index: number;
  /** 256 for a full tile; 1 to 255 for a partial one. */
  readonly width: number;
}

/**
 * How wide a tile is in a tree; 0 if the tree has nothing of it.
 *
 * @example
 * tileWidth({ level: 0, index: 1 }, 300); // 44
 */
export function tileWidth({ level, index }: Omit<TileId, "width">, size: number): number {
  assertUint(level, "level");
  assertUint(index, "index");
  assertUint(size, "size");
  if (level > MAX_TILE_LEVEL) return 0;
  const subtrees = Math.floor(size / TILE_WIDTH ** level);
  return Math.max(0, Math.min(TILE_WIDTH, subtrees - index * TILE_WIDTH));
}

/**
 * Lists the partial tiles at the right border of a tree, from the leaves up: together they hold
 * all of its peaks.
 *
 * @example
 * borderTiles(256); // [{ level: 1, index: 0, width: 1 }]
 */
export function borderTiles(size: number): TileId[] {
  assertUint(size, "size");
  const tiles: TileId[] = [];
  let subtrees = size;
  for (let level = 0; subtrees > 0; level++) {
    const width = subtrees % TILE_WIDTH;
    subtrees = Math.floor(subtrees / TILE_WIDTH);
    if (width > 0) tiles.push({ level, index: subtrees, width });
  }
  return tiles;
}

/**
 * The path of a tile below a log's prefix.
 *
 * @param kind - `entries` for the leaves themselves, `blocks` for what this library adds to
 *   tlog-tiles; for both the level must be 0. Default: hashes
 * @see c2sp.org/tlog-tiles
 * @example
 * tilePath({ level: 0, index: 1234067, width: 3 }); // "tile/0/x001/x234/067.p/3"
 */
export function tilePath({ level, index, width }: TileId, kind?: "entries" | "blocks"): string {
  assertUint(level, "level");
  assertUint(index, "index");
  if (!(Number.isInteger(width) && width > 0 && width <= TILE_WIDTH)) {
    throw new RangeError(`width must be a whole number from 1 to ${TILE_WIDTH}`);
  }
  if (kind !== undefined && level !== 0) throw new RangeError("only hashes have levels above 0");
  const groups: string[] = [];
  let rest = index;
  do {
    groups.unshift(String(rest % 1000).padStart(3, "0"));
    rest = Math.floor(rest / 1000);
  } while (rest > 0);
  const last = groups.pop()!;
  const folders = groups.map((group) => `x${group}/`).join("");
  const partial = width === TILE_WIDTH ? "" : `.p/${width}`;
  return `tile/${kind ?? level}/${folders}${last}${partial}`;
}

const TILE_PATH =
  /^tile\/(?:(entries|blocks)|(0|[1-9]\d?))\/((?:x\d{3}\/)*)(\d{3})(?:\.p\/([1-9]\d{0,2}))?$/;

/**
 * Reads the path of a tile in its one form.
 *
 * @returns `undefined` for everything that is not such a path, or names a tile that no tree of a
 *   ledger has
 * @example
 * parseTilePath("tile/entries/000.p/7"); // { kind: "entries", level: 0, index: 0, width: 7 }
 */
export function parseTilePath(
  path: string,
): (TileId & { readonly kind: "hashes" | "entries" | "blocks" }) | undefined {
  const match = TILE_PATH.exec(path);
  if (match === null) return undefined;
  const [, kind, levelText = "0", folders, last, widthText] = match;
  const level = Number(levelText);
  const groups = [...folders!.matchAll(/\d{3}/g)].map(([digits]) => digits);
  // Its one form has no empty groups before the first digit.
  if (groups[0] === "000") return undefined;
  const index = Number([...groups, last].join(""));
  const width = widthText === undefined ? TILE_WIDTH : Number(widthText);
  if (level > MAX_TILE_LEVEL || width > TILE_WIDTH - Number(widthText !== undefined)) {
    return undefined;
  }
  if (!Number.isSafeInteger((index + 1) * TILE_WIDTH ** (level + 1))) return undefined;
  return { kind: (kind as "entries" | "blocks" | undefined) ?? "hashes", level, index, width };
}

/** The subtrees whose hashes a tile holds. */
export function tileNodes({ level, index, width }: TileId): NodeId[] {
  const first = index * TILE_WIDTH;
  return Array.from({ length: width }, (_, i) => ({
    level: level * TILE_HEIGHT,
    index: first + i,
  }));
}
