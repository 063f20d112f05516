import { describe, expect, it } from "vitest";
import { encode, decode } from "../../src/codec/dag-cbor.ts";
import { appendLeaves, emptyFrontier, frontierRoot } from "../../src/merkle/frontier.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import {
  decodeMapProof,
  EMPTY_MAP,
  encodeMapProof,
  memoryNodes,
  proveMap,
  updateMap,
  verifyMap,
} from "../../src/merkle/sparse-map.ts";
import { inclusionFromLeaves, treeRoot } from "../../src/merkle/tree.ts";
import { verifyConsistency, verifyInclusion } from "../../src/merkle/verify.ts";
import { hash, mth, path, proof } from "../support/rfc9162.ts";
import { specHex } from "../support/spec-blocks.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const value = specHex("merkle.md");

describe("docs/spec/merkle.md, trees", () => {
  const entries = [..."abcde"].map(bytes);
  const leaves = entries.map(leafHash);

  it("has the hashes of the five leaves, by both implementations", () => {
    for (const [i, entry] of entries.entries()) {
      expect(value(`leaf ${i}`)).toEqual(mth([entry]));
      expect(value(`leaf ${i}`)).toEqual(leaves[i]);
    }
    for (const [from, to] of [
      [0, 1],
      [2, 3],
      [0, 3],
    ] as const) {
      expect(value(`leaves ${from} to ${to}`)).toEqual(mth(entries.slice(from, to + 1)));
    }
    for (let size = 0; size <= 5; size++) {
      expect(value(`root of ${size}`)).toEqual(mth(entries.slice(0, size)));
      expect(value(`root of ${size}`)).toEqual(treeRoot(leaves.slice(0, size)));
    }
  });

  it("has the frontier", () => {
    const { frontier } = appendLeaves(emptyFrontier, leaves);
    expect(frontier.peaks).toEqual([value("peak 0"), value("peak 1")]);
    expect(frontierRoot(frontier)).toEqual(value("root of 5"));
  });

  it("has the inclusion proof", () => {
    const inclusion = [0, 1, 2].map((i) => value(`inclusion ${i}`));
    expect(path(2, entries)).toEqual(inclusion);
    expect(inclusionFromLeaves(leaves, 2)).toEqual(inclusion);
    const claim = { index: 2, size: 5, leafHash: leaves[2]!, root: value("root of 5") };
    expect(verifyInclusion({ ...claim, proof: inclusion })).toEqual({ ok: true });
  });

  it("has the consistency proof", () => {
    const consistency = [0, 1, 2, 3].map((i) => value(`consistency ${i}`));
    expect(proof(3, entries)).toEqual(consistency);
    expect(
      verifyConsistency({
        oldSize: 3,
        oldRoot: value("root of 3"),
        newSize: 5,
        newRoot: value("root of 5"),
        proof: consistency,
      }),
    ).toEqual({ ok: true });
  });
});

describe("docs/spec/merkle.md, sparse map", () => {
  const nodes = memoryNodes();
  const entries = [..."abc"].map((key, i) => [bytes(key), bytes(String(i + 1))] as const);
  const { root, created } = updateMap(EMPTY_MAP, entries, nodes);
  for (const node of created) nodes.set(node.hash, node.bytes);

  it("has the nodes up to the root, by hand and by the library", () => {
    const zero = new Uint8Array(32);
    for (const [key, entry] of entries) {
      const name = new TextDecoder().decode(key);
      expect(value(`path ${name}`)).toEqual(hash(key));
      expect(value(`leaf ${name}`)).toEqual(hash(Uint8Array.of(0), hash(key), hash(entry)));
    }
    expect(hash(value("node of a"))).toEqual(value("leaf a"));
    expect(hash(value("node at 001"))).toEqual(value("hash at 001"));
    const inner = (left: Uint8Array, right: Uint8Array) => hash(Uint8Array.of(1), left, right);
    expect(value("hash at 001")).toEqual(inner(value("leaf c"), value("leaf b")));
    expect(value("hash at 00")).toEqual(inner(zero, value("hash at 001")));
    expect(value("hash at 0")).toEqual(inner(value("hash at 00"), zero));
    expect(value("root")).toEqual(inner(value("hash at 0"), value("leaf a")));
    expect(root).toEqual(value("root"));
    for (const name of ["node of a", "node at 001"]) {
      expect(nodes.get(hash(value(name)))).toEqual(value(name));
    }
  });

  it("has the proofs", () => {
    for (const [label, key, claimed] of [
      ["a has the value 1", "a", bytes("1")],
      ["z is absent, in an empty subtree", "z", null],
      ["y is absent, by the leaf of a", "y", null],
    ] as const) {
      const decoded = decodeMapProof(decode(value(label)));
      expect(encode(encodeMapProof(proveMap(root, bytes(key), nodes)))).toEqual(value(label));
      expect(verifyMap(root, bytes(key), claimed, decoded)).toEqual({ ok: true });
      expect(decoded.leaf !== undefined).toBe(label.includes("by the leaf"));
    }
  });
});
