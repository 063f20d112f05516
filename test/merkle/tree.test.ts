import { describe, expect, it } from "vitest";
import {
  appendLeaf,
  appendLeaves,
  emptyFrontier,
  frontierFrom,
  frontierRoot,
} from "../../src/merkle/frontier.ts";
import type { Frontier } from "../../src/merkle/frontier.ts";
import { EMPTY_ROOT, leafHash, nodeHash } from "../../src/merkle/hash.ts";
import { buildTree, inclusionFromLeaves, treeRoot } from "../../src/merkle/tree.ts";
import { hash, mth, path } from "../support/rfc9162.ts";
import { stride } from "../support/share.ts";

const entries = Array.from({ length: 130 }, (_, i) => new Uint8Array(i * 17).fill(i));
const leaves = entries.map(leafHash);

describe("leafHash", () => {
  it("hashes 00 and the bytes, whatever their length", () => {
    for (const length of [0, 1, 31, 1023, 1024, 1025, 70_000]) {
      const bytes = new Uint8Array(length).fill(0xab);
      expect(leafHash(bytes)).toEqual(hash(Uint8Array.of(0), bytes));
    }
  });

  it("keeps nothing of the leaf before", () => {
    leafHash(new Uint8Array(1000).fill(0xff));
    expect(leafHash(new Uint8Array(0))).toEqual(hash(Uint8Array.of(0)));
  });
});

describe("nodeHash", () => {
  it("hashes 01, left and right", () => {
    const left = new Uint8Array(32).fill(1);
    const right = new Uint8Array(32).fill(2);
    expect(nodeHash(left, right)).toEqual(hash(Uint8Array.of(1), left, right));
  });
});

describe("treeRoot", () => {
  it("equals the recursive definition for 0 to 130 leaves", () => {
    expect(treeRoot([])).toEqual(hash());
    expect(EMPTY_ROOT).toEqual(hash());
    for (let n = 1; n <= entries.length; n++) {
      expect(treeRoot(leaves.slice(0, n))).toEqual(mth(entries.slice(0, n)));
    }
  });

  it("leaves the caller's list alone", () => {
    const list = leaves.slice(0, 5);
    treeRoot(list);
    buildTree(list);
    expect(list).toEqual(leaves.slice(0, 5));
  });
});

describe("inclusionFromLeaves", () => {
  it("equals PATH(m, D[n]) for every leaf of up to 40", () => {
    for (let n = 1; n <= 40; n++) {
      const tree = buildTree(leaves.slice(0, n));
      expect(tree.size).toBe(n);
      expect(tree.root).toEqual(mth(entries.slice(0, n)));
      const step = stride(3);
      for (let m = n % step; m < n; m += step) {
        const wanted = path(m, entries.slice(0, n));
        expect(tree.proveInclusion(m)).toEqual(wanted);
        if (m % 7 === 0) expect(inclusionFromLeaves(leaves.slice(0, n), m)).toEqual(wanted);
      }
    }
  });

  it("refuses an index outside", () => {
    expect(() => inclusionFromLeaves(leaves.slice(0, 3), 3)).toThrow(
      expect.objectContaining({ code: "ERR_PROOF_RANGE" }),
    );
    expect(() => inclusionFromLeaves([], 0)).toThrow(
      expect.objectContaining({ code: "ERR_PROOF_RANGE" }),
    );
    expect(() => inclusionFromLeaves(leaves, -1)).toThrow(RangeError);
    expect(() => inclusionFromLeaves(leaves, 0.5)).toThrow(TypeError);
  });
});

describe("appendLeaf", () => {
  it("has the root of the recursive definition after every leaf", () => {
    let frontier: Frontier = emptyFrontier;
    expect(frontierRoot(frontier)).toEqual(hash());
    for (let n = 1; n <= entries.length; n++) {
      frontier = appendLeaf(frontier, leaves[n - 1]!).frontier;
      expect(frontier.size).toBe(n);
      expect(frontierRoot(frontier)).toEqual(mth(entries.slice(0, n)));
    }
  });

  it("names every complete subtree once, the leaf first", () => {
    const seen = new Map<string, Uint8Array>();
    let frontier: Frontier = emptyFrontier;
    for (const leaf of leaves) {
      const { completed, frontier: next } = appendLeaf(frontier, leaf);
      expect(completed[0]).toEqual({ level: 0, index: frontier.size, hash: leaf });
      for (const { level, index, hash: node } of completed) {
        const id = `${level}/${index}`;
        expect(seen.has(id)).toBe(false);
        seen.set(id, node);
        const width = 2 ** level;
        expect(node).toEqual(mth(entries.slice(index * width, (index + 1) * width)));
      }
      frontier = next;
    }
    // 130 leaves complete 130 + 65 + 32 + 16 + 8 + 4 + 2 + 1 subtrees.
    expect(seen.size).toBe(258);
  });

  it("does not change the frontier it is given", () => {
    const before = appendLeaves(emptyFrontier, leaves.slice(0, 7)).frontier;
    const peaks = before.peaks.slice();
    appendLeaf(before, leaves[7]!);
    expect(before.size).toBe(7);
    expect(before.peaks).toEqual(peaks);
  });

  it("appends many as it appends one by one", () => {
    let one: Frontier = emptyFrontier;
    const completed = leaves.flatMap((leaf) => {
      const appended = appendLeaf(one, leaf);
      one = appended.frontier;
      return appended.completed;
    });
    expect(appendLeaves(emptyFrontier, leaves)).toEqual({ frontier: one, completed });
  });

  it("counts beyond 2^32 leaves", () => {
    const peaks = Array.from({ length: 33 }, (_, i) => new Uint8Array(32).fill(i));
    const { frontier, completed } = appendLeaf(frontierFrom(2 ** 33 - 1, peaks), leaves[0]!);
    expect(frontier.size).toBe(2 ** 33);
    expect(frontier.peaks).toHaveLength(1);
    expect(completed).toHaveLength(34);
    expect(completed.at(-1)).toMatchObject({ level: 33, index: 0 });
    expect(completed[1]).toMatchObject({ level: 1, index: 2 ** 32 - 1 });
  });

  it("refuses values that are not hashes", () => {
    expect(() => appendLeaf(emptyFrontier, new Uint8Array(31))).toThrow(RangeError);
    expect(() => appendLeaf(emptyFrontier, "leaf" as never)).toThrow(TypeError);
  });
});

describe("frontierFrom", () => {
  it("accepts one peak for each one bit of the size", () => {
    const peak = new Uint8Array(32);
    expect(frontierFrom(0, []).size).toBe(0);
    expect(frontierFrom(5, [peak, peak]).peaks).toHaveLength(2);
    expect(
      frontierFrom(
        Number.MAX_SAFE_INTEGER,
        Array.from({ length: 53 }, () => peak),
      ).size,
    ).toBe(Number.MAX_SAFE_INTEGER);
  });

  it("refuses peaks that do not fit the size", () => {
    const peak = new Uint8Array(32);
    for (const [size, peaks] of [
      [5, [peak]],
      [4, [peak, peak]],
      [0, [peak]],
      [1, [new Uint8Array(31)]],
    ] as const) {
      expect(() => frontierFrom(size, peaks)).toThrow(
        expect.objectContaining({ code: "ERR_PROOF_INVALID" }),
      );
    }
    expect(() => frontierFrom(-1, [])).toThrow(RangeError);
  });
});
