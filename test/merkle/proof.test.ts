import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { appendLeaves, emptyFrontier } from "../../src/merkle/frontier.ts";
import type { NodeId } from "../../src/merkle/frontier.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { proveConsistency, proveInclusion } from "../../src/merkle/proof.ts";
import { verifyConsistency, verifyInclusion } from "../../src/merkle/verify.ts";
import { mth, path, proof as rfcProof, verifyPath, verifyProof } from "../support/rfc9162.ts";
import { cases, stride } from "../support/share.ts";

const entries = Array.from({ length: 70 }, (_, i) => Uint8Array.of(i, i ^ 0x5a));
const roots = Array.from({ length: 71 }, (_, n) => mth(entries.slice(0, n)));

/** Reads from the nodes that appending named, as a store of derived data does. */
function nodeStore() {
  const nodes = new Map<string, Uint8Array>();
  for (const node of appendLeaves(emptyFrontier, entries.map(leafHash)).completed) {
    nodes.set(`${node.level}/${node.index}`, node.hash);
  }
  const calls: (readonly NodeId[])[] = [];
  return {
    calls,
    read: async (ids: readonly NodeId[]) => {
      calls.push(ids);
      return ids.map(({ level, index }) => nodes.get(`${level}/${index}`));
    },
  };
}

describe("proveInclusion", () => {
  it("equals PATH(m, D[n]) and verifies, for every leaf of every size up to 70", async () => {
    const { read } = nodeStore();
    for (let size = 1; size <= 70; size++) {
      for (let index = 0; index < size; index += size > 40 ? 3 * stride(3) : 1) {
        const proof = await proveInclusion(index, size, read);
        expect(proof).toEqual(path(index, entries.slice(0, size)));
        const claim = { index, size, leafHash: leafHash(entries[index]!), root: roots[size]! };
        expect(verifyInclusion({ ...claim, proof })).toEqual({ ok: true });
      }
    }
  });

  it("reads complete subtrees in one batch of at most 2·log2(size)", async () => {
    const { read, calls } = nodeStore();
    for (let size = 2; size <= 70; size++) {
      for (let index = 0; index < size; index++) {
        calls.length = 0;
        await proveInclusion(index, size, read);
        expect(calls).toHaveLength(1);
        expect(calls[0]!.length).toBeLessThanOrEqual(2 * Math.ceil(Math.log2(size)));
        for (const { level, index: at } of calls[0]!) {
          expect((at + 1) * 2 ** level).toBeLessThanOrEqual(size);
        }
      }
    }
  });

  it("reads nothing for a tree of one leaf", async () => {
    const { read, calls } = nodeStore();
    expect(await proveInclusion(0, 1, read)).toEqual([]);
    expect(calls).toEqual([]);
  });

  it("plans proofs in trees of 2^52 leaves and more", async () => {
    const asked: NodeId[] = [];
    const read = async (ids: readonly NodeId[]) => {
      asked.push(...ids);
      return ids.map(() => new Uint8Array(32));
    };
    expect(await proveInclusion(12_345, Number.MAX_SAFE_INTEGER, read)).toHaveLength(53);
    expect(asked.length).toBeLessThanOrEqual(106);
    for (const { level, index } of asked) {
      expect(Number.isSafeInteger(index) && level <= 52).toBe(true);
    }
  });

  it("refuses leaves outside and nodes that cannot be read", async () => {
    const { read } = nodeStore();
    const code = (name: string) => expect.objectContaining({ code: name });
    await expect(proveInclusion(5, 5, read)).rejects.toEqual(code("ERR_PROOF_RANGE"));
    await expect(proveInclusion(0, 0, read)).rejects.toEqual(code("ERR_PROOF_RANGE"));
    await expect(proveInclusion(-1, 5, read)).rejects.toBeInstanceOf(RangeError);
    await expect(proveInclusion(0, 1.5, read)).rejects.toBeInstanceOf(TypeError);
    for (const answer of [[], [undefined], [new Uint8Array(31)]]) {
      const broken = async () => answer;
      await expect(proveInclusion(0, 2, broken)).rejects.toEqual(code("ERR_PROOF_UNAVAILABLE"));
    }
  });
});

describe("proveConsistency", () => {
  it("equals PROOF(m, D[n]) and verifies, for every pair of sizes up to 70", async () => {
    const { read, calls } = nodeStore();
    for (let newSize = 1; newSize <= 70; newSize++) {
      for (let oldSize = 1; oldSize <= newSize; oldSize += newSize > 40 ? 3 * stride(3) : 1) {
        calls.length = 0;
        const proof = await proveConsistency(oldSize, newSize, read);
        expect(calls.length).toBeLessThanOrEqual(1);
        expect(proof).toEqual(rfcProof(oldSize, entries.slice(0, newSize)));
        const claim = { oldSize, newSize, oldRoot: roots[oldSize]!, newRoot: roots[newSize]! };
        expect(verifyConsistency({ ...claim, proof })).toEqual({ ok: true });
      }
    }
  });

  it("is empty from the empty tree and from the tree itself", async () => {
    const { read, calls } = nodeStore();
    expect(await proveConsistency(0, 9, read)).toEqual([]);
    expect(await proveConsistency(9, 9, read)).toEqual([]);
    expect(calls).toEqual([]);
  });

  it("refuses to go back", async () => {
    await expect(proveConsistency(3, 2, nodeStore().read)).rejects.toMatchObject({
      code: "ERR_PROOF_RANGE",
    });
  });
});

describe("verifyInclusion", () => {
  it("refuses a proof with one bit flipped, anywhere", () => {
    const size = 23;
    for (const index of [0, 7, 15, 16, 22]) {
      const proof = path(index, entries.slice(0, size));
      const claim = { index, size, leafHash: leafHash(entries[index]!), proof, root: roots[size]! };
      expect(verifyInclusion(claim).ok).toBe(true);
      for (let i = 0; i < proof.length; i++) {
        for (let bit = 0; bit < 256; bit += 5) {
          expect(verifyInclusion({ ...claim, proof: flipIn(proof, i, bit) })).toEqual({
            ok: false,
            reason: "root-mismatch",
          });
        }
      }
      const wrongLeaf = flip(claim.leafHash, 3);
      expect(verifyInclusion({ ...claim, leafHash: wrongLeaf }).ok).toBe(false);
      expect(verifyInclusion({ ...claim, root: flip(claim.root, 200) }).ok).toBe(false);
    }
  });

  it("agrees with the steps of RFC 9162 §2.1.3.2 on right and wrong places and proofs", () => {
    let accepted = 0;
    const near = fc.constantFrom(0, 0, 0, 1, -1, 2, -2, 7);
    fc.assert(
      fc.property(fc.nat(69), fc.nat(69), near, near, fc.nat(99), (a, b, di, ds, change) => {
        const [at, n] = a < b ? [a, b + 1] : [b, a + 1];
        const proof = path(at, entries.slice(0, n));
        if (change < 10) proof.splice(ds + 2, 1);
        else if (change < 20) proof.splice(ds + 2, 0, roots[n]!);
        const claim = { index: Math.max(0, at + di), size: Math.max(0, n + ds), root: roots[n]! };
        const leaf = leafHash(entries[at]!);
        const { ok } = verifyInclusion({ ...claim, leafHash: leaf, proof });
        expect(ok).toBe(verifyPath({ ...claim, leaf }, proof));
        if (ok) accepted++;
      }),
      { numRuns: cases(2000, 4) },
    );
    expect(accepted).toBeGreaterThan(cases(2000, 4) / 10);
  });

  it("refuses the same proof at every other index", () => {
    const size = 23;
    const proof = path(9, entries.slice(0, size));
    for (let index = 0; index < 40; index++) {
      const claim = { index, size, leafHash: leafHash(entries[9]!), proof, root: roots[size]! };
      expect(verifyInclusion(claim).ok).toBe(index === 9);
    }
  });

  it("takes sizes as numbers and as bigints up to 2^64", () => {
    const leaf = new Uint8Array(32).fill(1);
    const proof = Array.from({ length: 64 }, (_, i) => new Uint8Array(32).fill(i));
    const claim = { leafHash: leaf, proof, root: leaf };
    const mismatch = { ok: false, reason: "root-mismatch" };
    expect(verifyInclusion({ ...claim, index: 5n, size: 1n << 64n })).toEqual(mismatch);
    expect(verifyInclusion({ ...claim, index: (1n << 64n) - 1n, size: 1n << 64n })).toEqual(
      mismatch,
    );
    expect(verifyInclusion({ ...claim, index: 0, size: (1n << 64n) + 1n })).toEqual({
      ok: false,
      reason: "malformed",
    });
    const two = { leafHash: leafHash(entries[1]!), proof: path(1, entries.slice(0, 2)) };
    expect(verifyInclusion({ ...two, index: 1n, size: 2, root: roots[2]! }).ok).toBe(true);
  });

  it("answers malformed, out of range or a wrong length to anything else", () => {
    const root = roots[1]!;
    const good = { index: 0, size: 1, leafHash: root, proof: [], root };
    expect(verifyInclusion(good).ok).toBe(true);
    const cases: [object, string][] = [
      [{ index: -1 }, "malformed"],
      [{ index: 0.5 }, "malformed"],
      [{ index: Number.NaN }, "malformed"],
      [{ index: "0" }, "malformed"],
      [{ index: -1n }, "malformed"],
      [{ size: 2 ** 53 }, "malformed"],
      [{ size: undefined }, "malformed"],
      [{ size: 0 }, "index-out-of-range"],
      [{ index: 1 }, "index-out-of-range"],
      [{ leafHash: root.subarray(1) }, "malformed"],
      [{ leafHash: "leaf" }, "malformed"],
      [{ root: new Uint8Array(33) }, "malformed"],
      [{ root: null }, "malformed"],
      [{ proof: undefined }, "malformed"],
      [{ proof: { length: 0 } }, "malformed"],
      [{ size: 2, proof: [root.subarray(1)] }, "malformed"],
      [{ size: 2, proof: [null] }, "malformed"],
      [{ size: 2, proof: new Array(1) }, "malformed"],
      [{ proof: [root] }, "proof-length"],
      [{ proof: Array.from({ length: 65 }, () => root) }, "proof-length"],
      [{ proof: new Array(1_000_000).fill(root) }, "proof-length"],
    ];
    for (const [change, reason] of cases) {
      expect(verifyInclusion({ ...good, ...change } as never)).toEqual({ ok: false, reason });
    }
  });
});

describe("verifyConsistency", () => {
  it("refuses a proof with one bit flipped, anywhere", () => {
    for (const [oldSize, newSize] of [
      [1, 2],
      [6, 23],
      [8, 23],
      [22, 23],
    ] as const) {
      const proof = rfcProof(oldSize, entries.slice(0, newSize));
      const [oldRoot, newRoot] = [roots[oldSize]!, roots[newSize]!];
      const claim = { oldSize, oldRoot, newSize, newRoot, proof };
      expect(verifyConsistency(claim).ok).toBe(true);
      for (let i = 0; i < proof.length; i++) {
        for (let bit = 0; bit < 256; bit += 5) {
          expect(verifyConsistency({ ...claim, proof: flipIn(proof, i, bit) }).ok).toBe(false);
        }
      }
      expect(verifyConsistency({ ...claim, oldRoot: flip(oldRoot, 0) }).ok).toBe(false);
      expect(verifyConsistency({ ...claim, newRoot: flip(newRoot, 0) }).ok).toBe(false);
    }
  });

  it("agrees with the steps of RFC 9162 §2.1.4.2 on right and wrong sizes, roots and proofs", () => {
    const size = fc.integer({ min: 1, max: 70 });
    const near = fc.constantFrom(0, 0, 0, 1, -1, 2, -2, 7);
    let accepted = 0;
    fc.assert(
      fc.property(size, size, near, near, near, fc.nat(99), (a, b, da, db, dp, change) => {
        const [m, n] = a < b ? [a, b] : [b, a];
        const proof = rfcProof(m, entries.slice(0, n));
        if (change < 10) proof.splice(dp + 2, 1);
        else if (change < 20) proof.splice(dp + 2, 0, roots[a]!);
        const [first, second] = [Math.max(0, m + da), Math.max(0, n + db)];
        const [firstRoot, secondRoot] = [roots[m]!, roots[n]!];
        const wanted = verifyProof({ first, second, firstRoot, secondRoot }, proof);
        const { ok } = verifyConsistency({
          oldSize: first,
          newSize: second,
          oldRoot: firstRoot,
          newRoot: secondRoot,
          proof,
        });
        expect(ok).toBe(wanted);
        if (ok) accepted++;
      }),
      { numRuns: cases(2000, 4) },
    );
    expect(accepted).toBeGreaterThan(cases(2000, 4) / 10);
  });

  it("gives its reasons", () => {
    const root = roots[1]!;
    const claim = { oldSize: 1, newSize: 1, oldRoot: root, newRoot: root, proof: [] };
    expect(verifyConsistency(claim)).toEqual({ ok: true });
    const cases: [object, string][] = [
      [{ oldSize: 0 }, "old-size-zero"],
      [{ oldSize: 0, newSize: 0 }, "old-size-zero"],
      [{ oldSize: 2 }, "sizes-not-ordered"],
      [{ newRoot: roots[2] }, "new-root-mismatch"],
      [{ proof: [root] }, "proof-length"],
      [{ newSize: 2 }, "proof-length"],
      [{ newSize: 2, proof: [root] }, "new-root-mismatch"],
      [{ oldSize: 3, newSize: 4, proof: [root, root, root] }, "old-root-mismatch"],
      [{ newSize: 2, proof: [null] }, "malformed"],
      [{ oldSize: -1 }, "malformed"],
      [{ newSize: 2 ** 60 }, "malformed"],
      [{ newSize: 2, proof: [root], oldRoot: root.subarray(1) }, "malformed"],
      [{ newSize: 2, proof: [root], newRoot: root.subarray(1) }, "malformed"],
      [{ newRoot: undefined }, "malformed"],
      [{ proof: "proof" }, "malformed"],
      [{ newSize: (1n << 64n) + 1n }, "malformed"],
      [{ newSize: 1n << 64n, proof: new Array(100_000).fill(root) }, "proof-length"],
      [{ oldSize: 3n, newSize: 1n << 64n, proof: new Array(65).fill(root) }, "old-root-mismatch"],
    ];
    for (const [change, reason] of cases) {
      expect(verifyConsistency({ ...claim, ...change } as never)).toEqual({ ok: false, reason });
    }
  });

  it("never throws on random claims", () => {
    const size = fc.oneof(fc.nat(9), fc.bigInt(-2n, 1n << 66n), fc.double());
    const bytes = fc.uint8Array({ minLength: 30, maxLength: 33 });
    fc.assert(
      fc.property(size, size, bytes, bytes, fc.array(bytes), (a, b, rootA, rootB, proof) => {
        const claim = { oldSize: a, newSize: b, oldRoot: rootA, newRoot: rootB, proof };
        verifyConsistency(claim);
        verifyInclusion({ index: a, size: b, leafHash: rootA, root: rootB, proof });
      }),
    );
  });
});

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice();
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}

function flipIn(proof: readonly Uint8Array[], i: number, bit: number): Uint8Array[] {
  return proof.map((hash, at) => (at === i ? flip(hash, bit) : hash));
}
