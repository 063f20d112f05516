import { createHash } from "node:crypto";
import { fork } from "node:child_process";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as dagCbor from "@ipld/dag-cbor";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { fileSignedHeads } from "../../src/identity/file-heads.ts";
import { fileKeys } from "../../src/identity/file-keys.ts";
import { memoryKeys } from "../../src/identity/key-store.ts";
import {
  decodeSignedHeads,
  encodeSignedHeads,
  memoryOf,
  memorySignedHeads,
  type KeptHead,
  type SignedHeads,
} from "../../src/identity/signed-heads.ts";
import { bytesFor } from "../support/ledger.ts";

const ledger = cidOf(bytesFor("ledger"), DAG_CBOR);
const other = cidOf(bytesFor("other"), DAG_CBOR);
const head = (size: number, key = "key", use: KeptHead["use"] = "checkpoint"): KeptHead => ({
  key: bytesFor(key),
  use,
  size,
  root: bytesFor(`root ${size}`),
});

let folder = "";
let path = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "healthledger-heads-"));
  path = join(folder, "deep", "keys.heads");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const kinds: [string, () => SignedHeads][] = [
  ["memorySignedHeads", memorySignedHeads],
  ["fileSignedHeads", () => fileSignedHeads(path)],
];

describe.each(kinds)("%s", (_, make) => {
  it("holds one value, replaced only where the expected one is there", async () => {
    const heads = make();
    const [a, b] = [bytesFor("a"), bytesFor("b")];
    expect(await heads.read()).toBeUndefined();
    expect(await heads.keep(a, b)).toBe(false);
    expect(await heads.keep(undefined, a)).toBe(true);
    expect(await heads.keep(undefined, b)).toBe(false);
    expect(await heads.keep(b, b)).toBe(false);
    expect(await heads.read()).toEqual(a);
    expect(await heads.keep(a, b)).toBe(true);
    expect(await heads.read()).toEqual(b);
  });

  it("lets one of many that expect the same win", async () => {
    const heads = make();
    const won = await Promise.all(
      Array.from({ length: 8 }, (_, i) => heads.keep(undefined, Uint8Array.of(i))),
    );
    expect(won.filter(Boolean)).toHaveLength(1);
    expect(await heads.read()).toEqual(Uint8Array.of(won.indexOf(true)));
  });

  it("keeps copies of its bytes and hands out copies", async () => {
    const heads = make();
    const value = bytesFor("value");
    await heads.keep(undefined, value);
    value.fill(0);
    (await heads.read())!.fill(1);
    expect(await heads.read()).toEqual(bytesFor("value"));
  });
});

describe("fileSignedHeads", () => {
  it("leaves one file that only its owner reads, and finds it again", async () => {
    await fileSignedHeads(path).keep(undefined, bytesFor("a"));
    expect(await readdir(join(folder, "deep"))).toEqual(["keys.heads"]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await fileSignedHeads(path).read()).toEqual(bytesFor("a"));
  });

  it("loses no change of several processes", async () => {
    const child = new URL("file-heads.child.ts", import.meta.url);
    const names = ["a", "b", "c"];
    await Promise.all(
      names.map(
        (name) =>
          new Promise<void>((resolve, reject) => {
            const args = [path, ledger.toString(), name, "20"];
            const execArgv = ["--conditions=healthledger-source", "--import", "tsx"];
            const running = fork(child, args, { execArgv });
            running.on("error", reject);
            running.on("exit", (code) =>
              code === 0 ? resolve() : reject(new Error(`exit ${code}`)),
            );
          }),
      ),
    );
    const { index } = await memoryOf(fileSignedHeads(path), ledger).read();
    expect(index.toSorted((a, b) => (a.member < b.member ? -1 : 1))).toEqual(
      names.map((member) => ({ member, n: 20 })),
    );
  });

  it("takes over the lock of a process that is gone, and waits for one that is not", async () => {
    const heads = fileSignedHeads(path, { lockTimeout: 60 });
    await heads.keep(undefined, bytesFor("a"));
    const { hostname } = await import("node:os");
    await writeFile(`${path}.lock`, `999999999 ${hostname()} x\n`);
    expect(await heads.keep(bytesFor("a"), bytesFor("b"))).toBe(true);
    await writeFile(`${path}.lock`, `${process.pid} ${hostname()} x\n`);
    await expect(heads.keep(bytesFor("b"), bytesFor("c"))).rejects.toMatchObject({
      code: "ERR_CHAIN_MEMORY",
    });
    expect(await heads.read()).toEqual(bytesFor("b"));
  });

  it("says so where it cannot be read or written, or is far too long", async () => {
    const unavailable = { code: "ERR_CHAIN_MEMORY" };
    await writeFile(join(folder, "file"), "");
    const beneath = fileSignedHeads(join(folder, "file", "heads"));
    await expect(beneath.keep(undefined, bytesFor("a"))).rejects.toMatchObject(unavailable);
    await expect(fileSignedHeads(folder).read()).rejects.toMatchObject(unavailable);
    await writeFile(join(folder, "long"), new Uint8Array(2 ** 20 + 1));
    await expect(fileSignedHeads(join(folder, "long")).read()).rejects.toMatchObject(unavailable);
    if (process.getuid?.() === 0) return; // root writes everywhere
    await chmod(folder, 0o500);
    await expect(
      fileSignedHeads(join(folder, "x")).keep(undefined, bytesFor("a")),
    ).rejects.toMatchObject(unavailable);
    await chmod(folder, 0o700);
  });
});

describe("key stores", () => {
  it("bring their memory: a file beside the key file, or one in memory", async () => {
    const cost = { N: 2 ** 14, r: 8, p: 1 };
    const file = join(folder, "keys");
    const keys = await fileKeys(file, { passphrase: "correct horse", cost, create: true });
    await memoryOf(keys.signedHeads!, ledger).noteIndex("did:key:a", 3);
    await keys.close();
    expect(decodeSignedHeads(await readFile(`${file}.heads`))[0]!.index).toEqual([
      { member: "did:key:a", n: 3 },
    ]);
    expect(await memoryKeys().signedHeads!.read()).toBeUndefined();
  });
});

describe("memoryOf", () => {
  it("keeps a head in the place of the one that was read, for each key, use and ledger", async () => {
    const heads = memorySignedHeads();
    const one = memoryOf(heads, ledger);
    expect(await one.keepHead(undefined, head(3))).toBe(true);
    expect(await one.keepHead(undefined, head(4))).toBe(false);
    expect(await one.keepHead(head(2), head(4))).toBe(false);
    expect(await one.keepHead({ ...head(3), root: bytesFor("x") }, head(4))).toBe(false);
    expect(await one.keepHead(head(3), head(5))).toBe(true);
    expect(await one.keepHead(undefined, head(1, "second"))).toBe(true);
    expect(await one.keepHead(undefined, head(2, "key", "cosignature"))).toBe(true);
    expect(await memoryOf(heads, other).keepHead(undefined, head(9))).toBe(true);
    expect((await one.read()).heads).toEqual([
      head(5),
      head(1, "second"),
      head(2, "key", "cosignature"),
    ]);
    expect((await memoryOf(heads, other).read()).heads).toEqual([head(9)]);
    expect(() => one.keepHead(head(5), head(4))).toThrow(RangeError);
  });

  it("notes the counter of an index, which never falls", async () => {
    const heads = memorySignedHeads();
    const memory = memoryOf(heads, ledger);
    expect(await memory.index("a")).toBeUndefined();
    await Promise.all([4, 2, 7, 1].map((n) => memory.noteIndex("a", n)));
    await memory.noteIndex("b", 0);
    await memory.noteIndex("a", 6);
    expect(await memory.index("a")).toBe(7);
    expect(await memory.index("b")).toBe(0);
    await expect(memory.noteIndex("a", -1)).rejects.toThrow(RangeError);
    await expect(memory.noteIndex("a", 2 ** 53)).rejects.toThrow(RangeError);
  });

  it("keeps nothing beside the store if the caller asks for that", async () => {
    const none = memoryOf("store", ledger);
    expect(none.isKept).toBe(false);
    expect(await none.keepHead(undefined, head(3))).toBe(true);
    await none.noteIndex("a", 1);
    expect(await none.read()).toEqual({ heads: [], index: [] });
    expect(await none.index("a")).toBeUndefined();
  });

  it("gives up in time where another always is faster", async () => {
    const never: SignedHeads = { read: async () => undefined, keep: async () => false };
    await expect(memoryOf(never, ledger).noteIndex("a", 1)).rejects.toMatchObject({
      code: "ERR_CHAIN_MEMORY",
    });
  });

  it("refuses a value with any bit flipped, cut or extended", async () => {
    const bytes = encodeSignedHeads([
      { ledger, heads: [head(3)], index: [{ member: "did:key:a", n: 1 }] },
    ]);
    const refusal = { code: "ERR_CHAIN_MEMORY" };
    const of = (value: unknown): Promise<unknown> =>
      memoryOf({ read: async () => value as Uint8Array, keep: async () => true }, ledger).read();
    expect(await of(bytes)).toMatchObject({ heads: [head(3)] });
    for (let at = 0; at < bytes.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const damaged = bytes.slice();
        damaged[at]! ^= 1 << bit;
        await expect(of(damaged)).rejects.toMatchObject(refusal);
      }
      await expect(of(bytes.slice(0, at))).rejects.toMatchObject(refusal);
    }
    await expect(of(new Uint8Array([...bytes, 0]))).rejects.toMatchObject(refusal);
    await expect(of("text")).rejects.toMatchObject(refusal);
    await expect(of(null)).rejects.toMatchObject(refusal);
  });
});

describe("encodeSignedHeads", () => {
  it("is what another implementation of DAG-CBOR writes", () => {
    const list = [{ ledger, heads: [{ ...head(3) }], index: [{ member: "did:key:a", n: 1 }] }];
    const sum = createHash("sha256").update(dagCbor.encode(list)).digest();
    expect(encodeSignedHeads(list)).toEqual(
      new Uint8Array(dagCbor.encode({ v: 1, ledgers: list, sum: new Uint8Array(sum) })),
    );
    expect(decodeSignedHeads(encodeSignedHeads(list))).toEqual(list);
  });
});
