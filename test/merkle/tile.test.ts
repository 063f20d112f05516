import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProofError } from "../../src/errors.ts";
import { proveConsistency, proveInclusion } from "../../src/merkle/proof.ts";
import {
  borderTiles,
  parseTilePath,
  tileNodes,
  tilePath,
  tileWidth,
  type TileId,
} from "../../src/merkle/tile.ts";
import { tileTree } from "../../src/merkle/tile-tree.ts";
import { hash, mth, path, proof } from "../support/rfc9162.ts";

const leaves = Array.from({ length: 700 }, (_, i) => Uint8Array.of(i >> 8, i));

/** The tile of a tree as tlog-tiles defines it, by RFC 9162 alone. */
function tileOf({ level, index, width }: TileId, entries: readonly Uint8Array[]): Uint8Array {
  const span = 256 ** level;
  const parts = Array.from({ length: width }, (_, i) => {
    const from = (index * 256 + i) * span;
    return mth(entries.slice(from, from + span));
  });
  return new Uint8Array(Buffer.concat(parts));
}

describe("tiles", () => {
  it("are those that tlog-tiles counts for a tree of 70,000 leaves", () => {
    // 273 full and one partial of 112, one full and one partial of 17, one partial of 1
    expect(borderTiles(70_000)).toEqual([
      { level: 0, index: 273, width: 112 },
      { level: 1, index: 1, width: 17 },
      { level: 2, index: 0, width: 1 },
    ]);
    expect([272, 273, 274].map((index) => tileWidth({ level: 0, index }, 70_000))).toEqual([
      256, 112, 0,
    ]);
    expect([0, 1, 2].map((index) => tileWidth({ level: 1, index }, 70_000))).toEqual([256, 17, 0]);
    expect(borderTiles(256)).toEqual([{ level: 1, index: 0, width: 1 }]);
    expect(borderTiles(0)).toEqual([]);
    expect(tileWidth({ level: 7, index: 0 }, Number.MAX_SAFE_INTEGER)).toBe(0);
  });

  it.each([
    [{ level: 0, index: 0, width: 256 }, "tile/0/000"],
    [{ level: 1, index: 1_234_067, width: 256 }, "tile/1/x001/x234/067"],
    [{ level: 2, index: 273, width: 112 }, "tile/2/273.p/112"],
    [{ level: 0, index: 1000, width: 1 }, "tile/0/x001/000.p/1"],
  ])("have the path of tlog-tiles: %j", (tile, text) => {
    expect(tilePath(tile)).toBe(text);
    expect(parseTilePath(text)).toEqual({ kind: "hashes", ...tile });
    const leavesOf = text.replace(/tile\/\d+/, "tile/entries");
    expect(parseTilePath(leavesOf)).toEqual({ kind: "entries", ...tile, level: 0 });
  });

  it("are found again by their paths, and by nothing else", () => {
    fc.assert(
      fc.property(
        fc.nat(6),
        fc.nat(2 ** 30),
        fc.integer({ min: 1, max: 256 }),
        (level, index, width) => {
          const isThere = Number.isSafeInteger((index + 1) * 256 ** (level + 1));
          const parsed = parseTilePath(tilePath({ level, index, width }));
          expect(parsed).toEqual(isThere ? { kind: "hashes", level, index, width } : undefined);
        },
      ),
    );
    const bad = [
      "tile/0/0",
      "tile/0/00",
      "tile/0/0000",
      "tile/0/x000/001",
      "tile/0/x001",
      "tile/7/000",
    ];
    bad.push("tile/-1/000", "tile/01/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01");
    bad.push(
      "tile/0/000.p",
      "tile/0/000/",
      "/tile/0/000",
      "tile/0/000\n",
      "tile/0/x1/000",
      "tile/٠/000",
    );
    bad.push(
      "tile/0/0a0",
      "tile/entry/000",
      "tile/entries/0/000",
      "tile/0/x999/x999/x999/x999/x999/999",
    );
    for (const text of bad) expect(parseTilePath(text), text).toBeUndefined();
    expect(() => tilePath({ level: 1, index: 0, width: 1 }, "blocks")).toThrow(RangeError);
    expect(tileNodes({ level: 1, index: 2, width: 2 })).toEqual([
      { level: 8, index: 512 },
      { level: 8, index: 513 },
    ]);
  });
});

describe("tileTree", () => {
  const fetchFrom =
    (entries: readonly Uint8Array[], asked: TileId[] = []) =>
    async (tile: TileId): Promise<Uint8Array> => {
      asked.push(tile);
      return tileOf(tile, entries);
    };

  it.each([0, 1, 2, 255, 256, 257, 511, 512, 513, 700])(
    "reads a tree of %i leaves",
    async (size) => {
      const entries = leaves.slice(0, size);
      const tree = tileTree({ size, root: mth(entries) }, fetchFrom(entries));
      for (let index = 0; index * 256 < size; index++) {
        const read = await tree.readTile({ level: 0, index });
        expect(read).toEqual(
          entries.slice(index * 256, index * 256 + 256).map((leaf) => hash(Uint8Array.of(0), leaf)),
        );
      }
      await expect(tree.readTile({ level: 0, index: Math.ceil(size / 256) })).rejects.toMatchObject(
        {
          code: "ERR_PROOF_RANGE",
        },
      );
      for (const at of [0, 1, 255, 256, size - 1].filter((i) => i >= 0 && i < size)) {
        expect(await proveInclusion(at, size, tree.readNodes)).toEqual(path(at, entries));
      }
      for (const old of [1, 2, 200, 256, 300, size].filter((n) => n > 0 && n <= size)) {
        expect(await proveConsistency(old, size, tree.readNodes)).toEqual(proof(old, entries));
      }
    },
  );

  it("proves each tile from the root down, and asks for each once", async () => {
    const asked: TileId[] = [];
    const tree = tileTree({ size: 700, root: mth(leaves) }, fetchFrom(leaves, asked));
    await tree.readTile({ level: 0, index: 1 });
    await tree.readTile({ level: 0, index: 1 });
    expect(asked.map((tile) => tilePath(tile)).sort()).toEqual([
      ...["tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"],
    ]);
  });

  it("believes no tile with one bit flipped, none of another place and none of another tree", async () => {
    const head = { size: 700, root: mth(leaves) };
    const other = leaves.with(3, Uint8Array.of(9, 9));
    const wrong = { code: "ERR_PROOF_INVALID" };
    for (const [level, index] of [
      [0, 0],
      [0, 1],
      [0, 2],
      [1, 0],
    ] as const) {
      const width = tileWidth({ level, index }, 700);
      for (const bit of [0, 7, width * 256 - 1, 32 * 8 * (width - 1) + 5]) {
        const tree = tileTree(head, async (tile) => {
          const bytes = tileOf(tile, leaves);
          if (tile.level === level && tile.index === index) bytes[bit >> 3]! ^= 1 << (bit & 7);
          return bytes;
        });
        await expect(
          tree.readTile({ level, index }),
          `${level}/${index} ${bit}`,
        ).rejects.toMatchObject(wrong);
      }
    }
    const foreign = tileTree(head, fetchFrom(other));
    await expect(foreign.readTile({ level: 0, index: 1 })).rejects.toMatchObject(wrong);
    const swapped = tileTree(head, async (tile) =>
      tileOf(tile.width === 256 ? { ...tile, index: 1 - tile.index } : tile, leaves),
    );
    await expect(swapped.readTile({ level: 0, index: 0 })).rejects.toMatchObject(wrong);
    for (const length of [0, 31, 32 * 255, 32 * 257]) {
      const cut = tileTree(head, async () => new Uint8Array(length));
      await expect(cut.readTile({ level: 0, index: 0 })).rejects.toMatchObject(wrong);
    }
    const otherSize = tileTree({ ...head, size: 699 }, fetchFrom(leaves));
    await expect(otherSize.readTile({ level: 0, index: 0 })).rejects.toBeInstanceOf(ProofError);
  });

  it("asks again after a wrong tile, and keeps nothing of it", async () => {
    let lies = true;
    const tree = tileTree({ size: 700, root: mth(leaves) }, async (tile) =>
      lies ? new Uint8Array(32 * tile.width) : tileOf(tile, leaves),
    );
    await expect(tree.readTile({ level: 0, index: 0 })).rejects.toThrow();
    lies = false;
    expect(await tree.readTile({ level: 0, index: 0 })).toHaveLength(256);
  });

  it("is not changed by what happens to a tile's buffer afterwards", async () => {
    const buffers: Uint8Array[] = [];
    const tree = tileTree({ size: 300, root: mth(leaves.slice(0, 300)) }, async (tile) => {
      const bytes = tileOf(tile, leaves.slice(0, 300));
      buffers.push(bytes);
      return bytes;
    });
    const before = (await tree.readTile({ level: 0, index: 0 })).map((one) => one.slice());
    for (const bytes of buffers) bytes.fill(0);
    expect(await tree.readTile({ level: 0, index: 0 })).toEqual(before);
  });
});
