import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import {
  decodeMapProof,
  EMPTY_MAP,
  encodeMapProof,
  getFromMap,
  loadMapNodes,
  memoryNodes,
  missingForKeys,
  proveMap,
  updateMap,
  verifyMap,
} from "../../src/merkle/sparse-map.ts";
import type { MapChange, MapProof, MemoryNodes } from "../../src/merkle/sparse-map.ts";

const sha256 = (...parts: readonly (Uint8Array | number)[]): Uint8Array => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(typeof part === "number" ? Uint8Array.of(part) : part);
  return new Uint8Array(hash.digest());
};
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string) => new TextEncoder().encode(text);
const bit = (path: Uint8Array, i: number) => (path[i >> 3]! >> (7 - (i % 8))) & 1;

/** The definition of the map, by recursion over all of its entries. */
function naiveRoot(entries: readonly [Uint8Array, Uint8Array][]): Uint8Array {
  const below = (leaves: readonly [Uint8Array, Uint8Array][], depth: number): Uint8Array => {
    if (leaves.length === 0) return new Uint8Array(32);
    if (leaves.length === 1) return sha256(0, leaves[0]![0], sha256(leaves[0]![1]));
    const [left, right] = [0, 1].map((side) => leaves.filter(([p]) => bit(p, depth) === side));
    return sha256(1, below(left!, depth + 1), below(right!, depth + 1));
  };
  return below(
    entries.map(([key, value]) => [sha256(key), value]),
    0,
  );
}

/** A map of the tests: the library's beside a plain one. */
function testMap() {
  const nodes = memoryNodes();
  const plain = new Map<string, [Uint8Array, Uint8Array]>();
  let root = EMPTY_MAP;
  return {
    nodes,
    plain,
    get root() {
      return root;
    },
    get naive() {
      return naiveRoot([...plain.values()]);
    },
    update(changes: readonly MapChange[]) {
      const update = updateMap(root, changes, nodes);
      for (const { hash, bytes: stored } of update.created) nodes.set(hash, stored);
      root = update.root;
      for (const [key, value] of changes) {
        if (value === null) plain.delete(hex(key));
        else plain.set(hex(key), [key, value]);
      }
      return update;
    },
  };
}

/** Keys whose paths agree in their first `shared` bits, found by trying. */
function keysWithSharedPath(shared: number, count: number): Uint8Array[] {
  const groups = new Map<number, Uint8Array[]>();
  for (let i = 0; ; i++) {
    const key = bytes(`near ${i}`);
    const prefix = new DataView(sha256(key).buffer).getUint32(0) >>> (32 - shared);
    const group = groups.get(prefix) ?? [];
    group.push(key);
    if (group.length === count) return group;
    groups.set(prefix, group);
  }
}

const near = keysWithSharedPath(14, 3);
// Few keys, some with long common paths, so that random changes meet each other.
const keys = [...near, ...Array.from({ length: 12 }, (_, i) => bytes(`key ${i}`))];
const anyKey = fc.constantFrom(...keys);
const anyValue = fc.uint8Array({ maxLength: 3 });
const anyChange = fc.tuple(anyKey, fc.option(anyValue, { freq: 2, nil: null }));
const anyBatches = fc.array(fc.array(anyChange, { maxLength: 10 }), { maxLength: 6 });

describe("updateMap", () => {
  it("has the roots of its definition by hand: none, one, two entries", () => {
    const map = testMap();
    expect(map.root).toEqual(new Uint8Array(32));
    map.update([[bytes("a"), bytes("1")]]);
    const leafA = sha256(0, sha256(bytes("a")), sha256(bytes("1")));
    expect(map.root).toEqual(leafA);
    // SHA-256("a") begins ca (right at the root), SHA-256("b") begins 3e (left).
    map.update([[bytes("b"), bytes("2")]]);
    const leafB = sha256(0, sha256(bytes("b")), sha256(bytes("2")));
    expect(map.root).toEqual(sha256(1, leafB, leafA));
    map.update([[bytes("a"), null]]);
    expect(map.root).toEqual(leafB);
    map.update([[bytes("b"), null]]);
    expect(map.root).toEqual(EMPTY_MAP);
  });

  it("has the root of the definition after any batches of changes", () => {
    fc.assert(
      fc.property(anyBatches, (batches) => {
        const map = testMap();
        for (const batch of batches) {
          map.update(batch);
          expect(map.root).toEqual(map.naive);
        }
        for (const key of keys) {
          expect(getFromMap(map.root, key, map.nodes)).toEqual(map.plain.get(hex(key))?.[1]);
        }
      }),
    );
  });

  it("does not depend on the order or grouping of changes", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(anyKey, anyValue), { selector: ([key]) => hex(key) }),
        fc.array(fc.nat()),
        (entries, order) => {
          const shuffled = entries
            .map((entry, i) => [order[i] ?? 0, entry] as const)
            .sort(([a], [b]) => a - b)
            .map(([, entry]) => entry);
          const together = testMap();
          together.update(entries);
          const single = testMap();
          for (const entry of shuffled) single.update([entry]);
          expect(single.root).toEqual(together.root);
        },
      ),
    );
  });

  it("lets the last of several changes of one key count", () => {
    const map = testMap();
    map.update([
      [keys[0]!, bytes("first")],
      [keys[1]!, bytes("other")],
      [keys[0]!, null],
      [keys[0]!, bytes("last")],
    ]);
    expect(getFromMap(map.root, keys[0]!, map.nodes)).toEqual(bytes("last"));
    expect(map.root).toEqual(map.naive);
  });

  it("agrees with the definition over 2,000 entries in 40 batches", () => {
    const map = testMap();
    for (let batch = 0; batch < 40; batch++) {
      map.update(
        Array.from({ length: 50 }, (_, i): MapChange => {
          const n = batch * 50 + i;
          return [bytes(`entry ${n}`), bytes(`value ${n}`)];
        }),
      );
    }
    expect(map.root).toEqual(map.naive);
    map.update([...map.plain.values()].slice(0, 1990).map(([key]) => [key, null]));
    expect(map.root).toEqual(map.naive);
    expect(map.plain.size).toBe(10);
  });

  it("creates nothing when nothing changes", () => {
    const map = testMap();
    map.update(keys.map((key, i) => [key, Uint8Array.of(i)]));
    const again = map.update(keys.map((key, i) => [key, Uint8Array.of(i)]));
    expect(again.created).toEqual([]);
    expect(map.update([[bytes("not there"), null]]).created).toEqual([]);
    expect(map.update([]).created).toEqual([]);
  });

  it("creates about log2(n) nodes per change, and shares the others with the old root", () => {
    const map = testMap();
    const entry = (n: number): MapChange => [bytes(`e${n}`), bytes(`v${n}`)];
    map.update(Array.from({ length: 4096 }, (_, n) => entry(n)));
    const before = map.root;
    const { created } = map.update([[bytes("e7"), bytes("changed")]]);
    // The value, its leaf and the nodes above: 4,096 random paths part after 12 to 25 bits.
    expect(created.length).toBeGreaterThan(10);
    expect(created.length).toBeLessThan(30);
    expect(getFromMap(before, bytes("e7"), map.nodes)).toEqual(bytes("v7"));
    expect(getFromMap(map.root, bytes("e7"), map.nodes)).toEqual(bytes("changed"));
    const proof = proveMap(before, bytes("e7"), map.nodes);
    expect(verifyMap(before, bytes("e7"), bytes("v7"), proof)).toEqual({ ok: true });
  });

  it("keeps every old root readable", () => {
    fc.assert(
      fc.property(anyBatches, (batches) => {
        const map = testMap();
        const states = batches.map((batch) => {
          map.update(batch);
          return { root: map.root, plain: new Map(map.plain) };
        });
        for (const { root, plain } of states) {
          for (const key of keys) {
            expect(getFromMap(root, key, map.nodes)).toEqual(plain.get(hex(key))?.[1]);
          }
        }
      }),
      { numRuns: 40 },
    );
  });

  it("copies values and names every created node by its hash", () => {
    const map = testMap();
    const value = bytes("mutable");
    const { created } = map.update([[keys[0]!, value]]);
    value[0] = 0;
    expect(getFromMap(map.root, keys[0]!, map.nodes)).toEqual(bytes("mutable"));
    for (const { hash, bytes: stored } of created) expect(sha256(stored)).toEqual(hash);
  });

  it("refuses missing and malformed nodes, and invalid keys and values", () => {
    const root = new Uint8Array(32).fill(7);
    const source = (stored: Uint8Array | undefined) => ({ get: () => stored });
    const code = (name: string) => expect.objectContaining({ code: name });
    const change: MapChange[] = [[keys[0]!, keys[1]!]];
    for (const call of [
      (nodes: { get(): Uint8Array | undefined }) => updateMap(root, change, nodes),
      (nodes: { get(): Uint8Array | undefined }) => getFromMap(root, keys[0]!, nodes),
      (nodes: { get(): Uint8Array | undefined }) => proveMap(root, keys[0]!, nodes),
    ]) {
      expect(() => call(source(undefined))).toThrow(code("ERR_PROOF_UNAVAILABLE"));
      expect(() => call(source(new Uint8Array(64)))).toThrow(code("ERR_PROOF_INVALID"));
      expect(() => call(source(new Uint8Array(65).fill(2)))).toThrow(code("ERR_PROOF_INVALID"));
      // An inner node that names itself would be a path without end.
      expect(() => call(source(new Uint8Array(65).fill(1)))).toThrow(code("ERR_PROOF_INVALID"));
    }
    const leafOnly = source(new Uint8Array([0, ...sha256(keys[0]!), ...new Uint8Array(32)]));
    const noValue = { get: (hash: Uint8Array) => (hash[0] === 7 ? leafOnly.get() : undefined) };
    expect(() => getFromMap(root, keys[0]!, noValue)).toThrow(code("ERR_PROOF_UNAVAILABLE"));
    const nodes = memoryNodes();
    expect(() => updateMap(new Uint8Array(31), [], nodes)).toThrow(RangeError);
    expect(() => updateMap(EMPTY_MAP, [["key", null]] as never, nodes)).toThrow(TypeError);
    expect(() => updateMap(EMPTY_MAP, [[keys[0], "v"]] as never, nodes)).toThrow(TypeError);
  });
});

describe("verifyMap", () => {
  const map = testMap();
  const held = keys.slice(0, 10);
  map.update(held.map((key, i) => [key, bytes(`value ${i}`)]));
  const { root, nodes } = map;
  /** The keys without value, by how their paths end. */
  const absent = Array.from({ length: 200 }, (_, i) => bytes(`absent ${i}`)).map((key) => ({
    key,
    proof: proveMap(root, key, nodes),
  }));

  it("accepts the proof of every value, and of no other", () => {
    for (const [i, key] of held.entries()) {
      const proof = proveMap(root, key, nodes);
      expect(proof.leaf).toBeUndefined();
      expect(verifyMap(root, key, bytes(`value ${i}`), proof)).toEqual({ ok: true });
      expect(verifyMap(root, key, bytes("value x"), proof).ok).toBe(false);
      expect(verifyMap(root, key, new Uint8Array(0), proof).ok).toBe(false);
      expect(verifyMap(root, key, null, proof).ok).toBe(false);
    }
  });

  it("accepts both forms of absence", () => {
    const byLeaf = absent.filter(({ proof }) => proof.leaf !== undefined);
    const byEmpty = absent.filter(({ proof }) => proof.leaf === undefined);
    expect(byLeaf.length).toBeGreaterThan(10);
    expect(byEmpty.length).toBeGreaterThan(0);
    for (const { key, proof } of absent) {
      expect(verifyMap(root, key, null, proof)).toEqual({ ok: true });
      expect(verifyMap(root, key, bytes("value 0"), proof).ok).toBe(false);
    }
    const none: MapProof = { siblings: [] };
    expect(proveMap(EMPTY_MAP, keys[0]!, nodes)).toEqual(none);
    expect(verifyMap(EMPTY_MAP, keys[0]!, null, none)).toEqual({ ok: true });
    expect(verifyMap(root, keys[0]!, null, none)).toEqual({ ok: false, reason: "root-mismatch" });
  });

  it("refuses a proof of one key for another", () => {
    for (const key of held) {
      const proof = proveMap(root, key, nodes);
      for (const [i, other] of held.entries()) {
        if (other === key) continue;
        expect(verifyMap(root, other, bytes(`value ${i}`), proof).ok).toBe(false);
        expect(verifyMap(root, other, null, proof).ok).toBe(false);
      }
    }
  });

  it("refuses any bit flipped in proof, key, value or root", () => {
    const cases = [
      { key: near[0]!, value: bytes("value 0"), proof: proveMap(root, near[0]!, nodes) },
      ...[true, false].map((byLeaf) => {
        const found = absent.find(({ proof }) => (proof.leaf !== undefined) === byLeaf)!;
        return { ...found, value: null };
      }),
    ];
    for (const { key, value, proof } of cases) {
      expect(verifyMap(root, key, value, proof).ok).toBe(true);
      // Another key without value may well end in the same empty subtree.
      for (let at = 0; value !== null && at < 8; at++) {
        expect(verifyMap(root, flip(key, at), value, proof).ok).toBe(false);
        expect(verifyMap(root, key, flip(value, at), proof).ok).toBe(false);
      }
      for (let at = 0; at < 256; at++) {
        expect(verifyMap(flip(root, at), key, value, proof).ok).toBe(false);
        const { siblings, leaf } = proof;
        for (let i = 0; i < siblings.length; i++) {
          const flipped = siblings.map((hash, n) => (n === i ? flip(hash, at) : hash));
          expect(verifyMap(root, key, value, { ...proof, siblings: flipped }).ok).toBe(false);
        }
        if (leaf === undefined) continue;
        const { path, valueHash } = leaf;
        for (const changed of [
          { path: flip(path, at), valueHash },
          { path, valueHash: flip(valueHash, at) },
        ]) {
          expect(verifyMap(root, key, value, { siblings, leaf: changed }).ok).toBe(false);
        }
      }
      expect(verifyMap(root, key, value, { ...proof, siblings: [] }).ok).toBe(false);
      const longer = [EMPTY_MAP, ...proof.siblings];
      expect(verifyMap(root, key, value, { ...proof, siblings: longer }).ok).toBe(false);
    }
  });

  it("gives its reasons and never throws on hostile proofs", () => {
    const key = keys[0]!;
    const hash = new Uint8Array(32);
    const leaf = { path: sha256(key), valueHash: hash };
    const cases: [unknown, Uint8Array | null, string][] = [
      [{}, null, "malformed"],
      [{ siblings: "no" }, null, "malformed"],
      [{ siblings: [hash.subarray(1)] }, null, "malformed"],
      [{ siblings: new Array(3) }, null, "malformed"],
      [{ siblings: [], leaf: null }, null, "malformed"],
      [{ siblings: [], leaf: { path: hash } }, null, "malformed"],
      [{ siblings: [], leaf: { path: "", valueHash: hash } }, null, "malformed"],
      [{ siblings: new Array(257).fill(hash) }, null, "proof-length"],
      [{ siblings: new Array(1_000_000).fill(hash) }, null, "proof-length"],
      [{ siblings: new Array(256).fill(hash) }, null, "root-mismatch"],
      [{ siblings: [], leaf }, key, "unexpected-leaf"],
      [{ siblings: [], leaf }, null, "same-key"],
      [
        { siblings: [hash], leaf: { path: flip(sha256(key), 0), valueHash: hash } },
        null,
        "other-subtree",
      ],
    ];
    for (const [proof, value, reason] of cases) {
      expect(verifyMap(root, key, value, proof as MapProof)).toEqual({ ok: false, reason });
    }
    expect(verifyMap(new Uint8Array(31), key, null, { siblings: [] }).ok).toBe(false);
    expect(verifyMap(root, "key" as never, null, { siblings: [] }).ok).toBe(false);
    expect(verifyMap(root, key, 1 as never, { siblings: [] }).ok).toBe(false);
  });
});

describe("decodeMapProof", () => {
  const map = testMap();
  map.update(keys.map((key) => [key, key]));

  it("reads what encodeMapProof writes, through DAG-CBOR", () => {
    for (let i = 0; i < 40; i++) {
      const key = keys[i] ?? bytes(`absent ${i}`);
      const proof = proveMap(map.root, key, map.nodes);
      const wire = encode(encodeMapProof(proof));
      const read = decodeMapProof(decode(wire));
      expect(read).toEqual(proof);
      expect(encode(encodeMapProof(read))).toEqual(wire);
    }
  });

  it("refuses other shapes", () => {
    const hash = new Uint8Array(32);
    for (const value of [
      null,
      [],
      {},
      { siblings: [hash], more: 1 },
      { siblings: hash },
      { siblings: [hash.subarray(1)] },
      { siblings: new Array(257).fill(hash) },
      { siblings: [], leaf: null },
      { siblings: [], leaf: { path: hash } },
      { siblings: [], leaf: { path: hash, valueHash: hash.subarray(1) } },
      { siblings: [], leaf: { path: hash, valueHash: hash, value: hash } },
    ]) {
      expect(() => decodeMapProof(value)).toThrow(
        expect.objectContaining({ code: "ERR_ENCODING_SHAPE" }),
      );
    }
  });
});

describe("loadMapNodes", () => {
  const entries = Array.from({ length: 500 }, (_, i): MapChange => [
    bytes(`k${i}`),
    bytes(`v${i}`),
  ]);
  const remote = testMap();
  remote.update([...entries, ...near.map((key): MapChange => [key, key])]);

  function loader() {
    const into: MemoryNodes = memoryNodes();
    const calls: number[] = [];
    const fetch = async (hashes: readonly Uint8Array[]) => {
      calls.push(hashes.length);
      return hashes.map((hash) => remote.nodes.get(hash));
    };
    return { into, calls, fetch };
  }

  it("loads what reading, proving, changing and deleting need, in few calls", async () => {
    const wanted = [...entries.slice(0, 20).map(([key]) => key), bytes("absent"), ...near];
    const { into, calls, fetch } = loader();
    await loadMapNodes(remote.root, wanted, fetch, into);
    expect(calls.length).toBeLessThan(20);
    expect(into.size).toBeLessThan(300);
    for (const key of wanted) {
      const value = getFromMap(remote.root, key, into);
      expect(value).toEqual(remote.plain.get(hex(key))?.[1]);
      expect(proveMap(remote.root, key, into)).toEqual(proveMap(remote.root, key, remote.nodes));
    }
    const deleted = wanted.map((key): MapChange => [key, null]);
    expect(updateMap(remote.root, deleted, into)).toEqual(
      updateMap(remote.root, deleted, remote.nodes),
    );
    expect(missingForKeys(remote.root, wanted, into)).toEqual([]);
  });

  it("suffices for any changes of the keys, whatever the map", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyChange, { minLength: 1, maxLength: 20 }),
        fc.array(anyChange, { maxLength: 8 }),
        async (start, changes) => {
          const map = testMap();
          map.update(start);
          const into = memoryNodes();
          const fetch = async (hashes: readonly Uint8Array[]) =>
            hashes.map((hash) => map.nodes.get(hash));
          const changed = changes.map(([key]) => key);
          await loadMapNodes(map.root, changed, fetch, into);
          const { root } = updateMap(map.root, changes, into);
          map.update(changes);
          expect(root).toEqual(map.naive);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("fetches nothing twice and nothing for the empty map", async () => {
    const { into, calls, fetch } = loader();
    await loadMapNodes(EMPTY_MAP, [keys[0]!], fetch, into);
    expect(calls).toEqual([]);
    await loadMapNodes(remote.root, near, fetch, into);
    calls.length = 0;
    await loadMapNodes(remote.root, near, fetch, into);
    expect(calls).toEqual([]);
  });

  it("refuses other bytes than asked for, and says what is unavailable", async () => {
    const { into } = loader();
    const wrong = async (hashes: readonly Uint8Array[]) => hashes.map(() => new Uint8Array(65));
    await expect(loadMapNodes(remote.root, near, wrong, into)).rejects.toMatchObject({
      code: "ERR_PROOF_INVALID",
    });
    const nothing = async () => [];
    await expect(loadMapNodes(remote.root, near, nothing, into)).rejects.toMatchObject({
      code: "ERR_PROOF_UNAVAILABLE",
    });
    expect(into.size).toBe(0);
  });
});

function flip(value: Uint8Array, at: number): Uint8Array {
  const copy = value.slice();
  copy[at >> 3]! ^= 0x80 >> (at & 7);
  return copy;
}
