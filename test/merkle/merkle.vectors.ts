import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { fromBase64 } from "../../src/bytes/base64.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { appendLeaf, emptyFrontier, frontierRoot } from "../../src/merkle/frontier.ts";
import type { Frontier, NodeId } from "../../src/merkle/frontier.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { proveConsistency, proveInclusion } from "../../src/merkle/proof.ts";
import { treeRoot } from "../../src/merkle/tree.ts";
import { verifyConsistency, verifyInclusion } from "../../src/merkle/verify.ts";
import { describeVectors } from "../support/vectors.ts";

/** Reads every case below a folder; integers reach 2^64, so they are kept as strings. */
function readCases(folder: string): { name: string; fields: Record<string, unknown> }[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".json"))
    .map((name) => {
      const text = readFileSync(join(folder, name), "utf8");
      return { name, fields: JSON.parse(text.replace(/: (\d+)(,?)\n/g, ': "$1"$2\n')) };
    });
}

const bytes = (field: unknown) => fromBase64(field as string);
const proofOf = (field: unknown) => ((field ?? []) as string[]).map(fromBase64);

type Fields = ReturnType<typeof readCases>[number]["fields"];

/** The two sets of proofs have the same shape: 98 cases each, most of them mutations. */
const describeProofs = (
  title: string,
  folder: string,
  verify: (fields: Fields) => { readonly ok: boolean },
) =>
  describeVectors(title, folder, (path) => {
    const cases = readCases(path);

    it("are 98, of which 6 are valid", () => {
      expect(cases).toHaveLength(98);
      expect(cases.filter(({ fields }) => fields["wantErr"] === false)).toHaveLength(6);
    });

    for (const { name, fields } of cases) {
      it(name, () => {
        expect(verify(fields).ok).toBe(fields["wantErr"] === false);
      });
    }
  });

describeProofs("transparency-dev inclusion proofs", "merkle/inclusion", (fields) =>
  verifyInclusion({
    index: BigInt(fields["leafIdx"] as string),
    size: BigInt(fields["treeSize"] as string),
    leafHash: bytes(fields["leafHash"]),
    root: bytes(fields["root"]),
    proof: proofOf(fields["proof"]),
  }),
);

describeProofs("transparency-dev consistency proofs", "merkle/consistency", (fields) =>
  verifyConsistency({
    oldSize: BigInt(fields["size1"] as string),
    newSize: BigInt(fields["size2"] as string),
    oldRoot: bytes(fields["root1"]),
    newRoot: bytes(fields["root2"]),
    proof: proofOf(fields["proof"]),
  }),
);

describeVectors("RFC 6962 reference tree", "merkle", (folder) => {
  const tree = JSON.parse(readFileSync(join(folder, "rfc6962-reference-tree.json"), "utf8")) as {
    leafInputsHex: string[];
    nodeHashesByLevel: string[][];
    rootBySize: string[];
  };
  const leaves = tree.leafInputsHex.map((input) => leafHash(fromHex(input)));

  it("has its leaf hashes, inner nodes and roots 0 to 8", () => {
    expect(tree.rootBySize[0]).toBe(toHex(treeRoot([])));
    let frontier: Frontier = emptyFrontier;
    const levels: string[][] = [[], [], [], []];
    for (const [i, leaf] of leaves.entries()) {
      const appended = appendLeaf(frontier, leaf);
      frontier = appended.frontier;
      for (const { level, index, hash } of appended.completed) levels[level]![index] = toHex(hash);
      expect(toHex(frontierRoot(frontier))).toBe(tree.rootBySize[i + 1]);
      expect(toHex(treeRoot(leaves.slice(0, i + 1)))).toBe(tree.rootBySize[i + 1]);
    }
    expect(levels).toEqual(tree.nodeHashesByLevel);
  });

  it("gives proofs between all of its sizes", async () => {
    const read = async (ids: readonly NodeId[]) =>
      ids.map(({ level, index }) => fromHex(tree.nodeHashesByLevel[level]![index]!));
    const root = (size: number) => fromHex(tree.rootBySize[size]!);
    for (let size = 1; size <= 8; size++) {
      for (let at = 0; at < size; at++) {
        const proof = await proveInclusion(at, size, read);
        const claim = { index: at, size, leafHash: leaves[at]!, root: root(size), proof };
        expect(verifyInclusion(claim)).toEqual({ ok: true });
        const oldSize = at + 1;
        const consistency = await proveConsistency(oldSize, size, read);
        expect(
          verifyConsistency({
            oldSize,
            newSize: size,
            oldRoot: root(oldSize),
            newRoot: root(size),
            proof: consistency,
          }),
        ).toEqual({ ok: true });
      }
    }
  });
});
