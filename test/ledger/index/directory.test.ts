import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toHex } from "../../../src/bytes/hex.ts";
import { EMPTY_DIRECTORY } from "../../../src/ledger/index/directory-node.ts";
import { openDirectory, type Directory } from "../../../src/ledger/index/directory.ts";
import type { StateChange } from "../../../src/storage/types.ts";

const sha256 = (bytes: Uint8Array | string): Uint8Array =>
  new Uint8Array(createHash("sha256").update(bytes).digest());

/** Names of the vault are keyed hashes followed by the generation. */
const nameOf = (n: number): Uint8Array => Uint8Array.of(...sha256(`name ${n}`), 1, 2, 3, 4);
const valueOf = (n: number): Uint8Array => sha256(`value ${n}`);

type Change = readonly [name: Uint8Array, value: Uint8Array | null];

function scene() {
  const rows = new Map<string, Uint8Array>();
  const read = { nodes: 0 };
  const open = (): Directory =>
    openDirectory(
      {
        getMany: async (keys) => {
          read.nodes += keys.length;
          return keys.map((key) => rows.get(toHex(key)));
        },
      },
      (place) => place,
    );
  const directory = open();
  let root = EMPTY_DIRECTORY;
  return {
    rows,
    read,
    open,
    root: () => root,
    async update(changes: readonly Change[], by = directory): Promise<readonly StateChange[]> {
      const updated = await by.update(root, changes);
      for (const { key, value } of updated.nodes) {
        if (value === null) rows.delete(toHex(key));
        else rows.set(toHex(key), value.slice());
      }
      root = updated.root;
      return updated.nodes;
    },
  };
}

/** What the rows say as the specification has it, from the root down; every row must be reached. */
function contentOf(rows: ReadonlyMap<string, Uint8Array>, root: Uint8Array): Map<string, string> {
  const found = new Map<string, string>();
  const left = new Set(rows.keys());
  const walk = (place: bigint, hash: Uint8Array, path: string): void => {
    if (toHex(hash) === "00".repeat(32)) return;
    const key = place.toString(16).padStart(14, "0");
    const node = rows.get(key)!;
    left.delete(key);
    expect(toHex(sha256(node))).toBe(toHex(hash));
    const parts = Array.from({ length: (node.length - 1) / 32 }, (_, i) =>
      node.slice(1 + 32 * i, 33 + 32 * i),
    );
    if (node[0] === 1) {
      expect(parts).toHaveLength(16);
      for (const [i, part] of parts.entries()) {
        walk(16n * place + BigInt(i), part, path + i.toString(16));
      }
      return;
    }
    expect(node[0]).toBe(0);
    const names = parts.filter((_, i) => i % 2 === 0).map(toHex);
    expect(names.length).toBeGreaterThan(0);
    expect(names.length).toBeLessThanOrEqual(24);
    expect(names).toEqual([...names].sort());
    for (const [i, name] of names.entries()) {
      expect(name.startsWith(path)).toBe(true);
      found.set(name, toHex(parts[2 * i + 1]!));
    }
  };
  walk(1n, root, "");
  expect([...left]).toEqual([]);
  return found;
}

const modelOf = (changes: readonly Change[], before = new Map<string, string>()) => {
  for (const [name, value] of changes) {
    const path = toHex(name.subarray(0, 32));
    if (value === null) before.delete(path);
    else before.set(path, toHex(value));
  }
  return before;
};

describe("the directory of an index", () => {
  it("has what a literal model has after any changes, and no row besides", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.uniqueArray(fc.tuple(fc.nat(400), fc.option(fc.nat(9))), {
            selector: ([name]) => name,
            maxLength: 120,
          }),
          { maxLength: 6 },
        ),
        async (steps) => {
          const { rows, root, update, open } = scene();
          const model = new Map<string, string>();
          for (const step of steps) {
            const changes = step.map(([name, value]): Change => [
              nameOf(name),
              value === null ? null : valueOf(value),
            ]);
            await update(changes);
            modelOf(changes, model);
            expect(new Map([...contentOf(rows, root())].sort())).toEqual(
              new Map([...model].sort()),
            );
          }
          const names = Array.from({ length: 401 }, (_, i) => nameOf(i));
          const read = await open().read(root(), names);
          expect(read.map((value) => value && toHex(value))).toEqual(
            names.map((name) => model.get(toHex(name.subarray(0, 32)))),
          );
        },
      ),
      { numRuns: 60 },
    ));

  it("becomes empty again when all names go", async () => {
    const { rows, root, update } = scene();
    const names = Array.from({ length: 200 }, (_, i) => nameOf(i));
    await update(names.map((name, i) => [name, valueOf(i)]));
    expect(rows.size).toBeGreaterThan(10);
    await update(names.map((name) => [name, null]));
    expect([rows.size, toHex(root())]).toEqual([0, "00".repeat(32)]);
  });

  it("writes few nodes for many names", async () => {
    const { update } = scene();
    const named = (from: number, count: number) =>
      Array.from({ length: count }, (_, i): Change => [nameOf(from + i), valueOf(i)]);
    await update(named(0, 30_000));
    // 256 branches of the third level, their 16 and the root; 4,096 buckets of some seven names.
    const nodes = await update(named(30_000, 4_000));
    expect(nodes.length).toBeLessThan(4_000);
    expect(nodes.every(({ value }) => value !== null && value.length <= 1 + 24 * 64)).toBe(true);
  });

  it("notices each row that is lost, altered, of another place or of an earlier root", async () => {
    const { rows, root, update, open } = scene();
    const names = Array.from({ length: 120 }, (_, i) => nameOf(i));
    await update(names.map((name, i) => [name, valueOf(i)]));
    const earlier = new Map(rows);
    await update(names.map((name, i) => [name, valueOf(i + 1)]));
    const absent = nameOf(1000);
    const readAll = () => open().read(root(), [...names, absent]);
    expect((await readAll()).at(-1)).toBeUndefined();
    for (const [key, value] of [...rows]) {
      const others = [undefined, earlier.get(key), [...rows.values()].find((it) => it !== value)];
      const flipped = value.slice();
      flipped[value.length - 1]! ^= 1;
      for (const other of [...others, flipped]) {
        if (other === undefined) rows.delete(key);
        else rows.set(key, other);
        await expect(readAll(), key).rejects.toMatchObject({
          code: other === undefined ? "ERR_PROOF_UNAVAILABLE" : "ERR_PROOF_INVALID",
        });
        const change = async () =>
          open().update(root(), [...names.map((it) => [it, null] as const)]);
        await expect(change(), key).rejects.toThrow("directory");
      }
      rows.set(key, value);
    }
    expect(await readAll()).toEqual([...names.map((_, i) => valueOf(i + 1)), undefined]);
  });

  it("reads right what another process changed, and after a write that never happened", async () => {
    const { root, update, open } = scene();
    const names = Array.from({ length: 100 }, (_, i) => nameOf(i));
    await update(names.map((name, i) => [name, valueOf(i)]));
    const one = open();
    await one.read(root(), names);
    // Its nodes are remembered, but never stored.
    await one.update(
      root(),
      names.map((name) => [name, valueOf(7)]),
    );
    expect(await one.read(root(), names)).toEqual(names.map((_, i) => valueOf(i)));
    await update(
      names.map((name, i) => [name, valueOf(i + 1)]),
      open(),
    );
    expect(await one.read(root(), names)).toEqual(names.map((_, i) => valueOf(i + 1)));
  });
});
