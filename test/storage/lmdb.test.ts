import { spawnSync } from "node:child_process";
import { mkdir, readdir, rm, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as lmdb from "lmdb";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { lmdbStorage, type LmdbClient } from "../../src/storage/lmdb.ts";
import { storageCases } from "../../src/testing/storage-kit.ts";
import { folder, lmdbSubjects } from "./lmdb-subject.ts";

const client = lmdb as unknown as LmdbClient;
const genesis = { size: 0, hash: null };
const text = (value: string) => new TextEncoder().encode(value);
const blobOf = (bytes: Uint8Array) => ({ cid: cidOf(bytes, RAW), bytes });

async function filesIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((e) => join(e.parentPath ?? e.path, e.name));
}

describe("lmdbStorage", () => {
  it.each(storageCases)("$name", ({ run }) => run(lmdbSubjects));

  it("promises durability through a loss of power, for several processes", async () => {
    const { path, remove } = await folder();
    await using storage = await lmdbStorage({ path, lmdb: client });
    expect(storage.chains.caps).toMatchObject({ durability: "power", multiProcess: true });
    await remove();
  });

  it("keeps its files from other users", async () => {
    const { path, remove } = await folder();
    const store = join(path, "store");
    await using storage = await lmdbStorage({ path: store });
    await storage.state.batch([{ key: text("k"), value: text("v") }]);
    await storage.compact();
    expect((await stat(store)).mode & 0o777).toBe(0o700);
    const files = await filesIn(store);
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) expect((await stat(file)).mode & 0o777).toBe(0o600);
    await remove();
  });

  it("refuses a store of another format", async () => {
    const { path, remove } = await folder();
    await (await lmdbStorage({ path })).close();
    const root = lmdb.open({ path: join(path, "env-00000001"), maxDbs: 8 });
    const encodings = { keyEncoding: "binary", encoding: "binary" } as const;
    const meta = root.openDB({ name: "meta", ...encodings });
    await meta.put(Buffer.from("format"), Buffer.from("healthledger-lmdb/2"));
    await root.close();
    await expect(lmdbStorage({ path })).rejects.toMatchObject({ code: "ERR_INPUT_UNSUPPORTED" });
    await remove();
  });

  it("says that a folder cannot be used", async () => {
    const { path, remove } = await folder();
    await writeFile(join(path, "file"), "");
    await expect(lmdbStorage({ path: join(path, "file", "store") })).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
    });
    await remove();
  });

  it("finds blobs in runs and in runs made of runs, and what is not there nowhere", async () => {
    const { path, remove } = await folder();
    let storage = await lmdbStorage({ path });
    const bytesOf = (i: number) => text(`blob ${i}`);
    const count = 150_000;
    for (let i = 0; i < count; i += 5000) {
      await storage.blobs.put(Array.from({ length: 5000 }, (_, j) => blobOf(bytesOf(i + j))));
    }
    const gone = Array.from({ length: 100 }, (_, i) => i * 1499);
    await storage.blobs.delete(gone.map((i) => blobOf(bytesOf(i)).cid));
    const check = async () => {
      const sample = Array.from({ length: 1000 }, (_, i) => (i * 7919) % count);
      const found = await storage.blobs.getMany(sample.map((i) => blobOf(bytesOf(i)).cid));
      expect(found).toEqual(sample.map((i) => (gone.includes(i) ? undefined : bytesOf(i))));
      for (const i of gone) expect(await storage.blobs.has(blobOf(bytesOf(i)).cid)).toBe(false);
      for (let i = count; i < count + 1000; i++) {
        expect(await storage.blobs.has(blobOf(bytesOf(i)).cid)).toBe(false);
      }
      expect(await storage.blobs.count()).toBe(count - gone.length);
    };
    await check();
    await storage.close();
    storage = await lmdbStorage({ path });
    await check();
    await storage.blobs.put([...gone, 7, 8].map((i) => blobOf(bytesOf(i))));
    gone.length = 0;
    await check();
    await storage.compact();
    await check();
    await storage.close();
    await remove();
  });

  it("shares one flush among commits made at a time", async () => {
    const { path, remove } = await folder();
    let transactions = 0;
    const counting: LmdbClient = {
      open(options) {
        const root = client.open(options);
        (root as unknown as { on(event: string, listener: () => void): void }).on(
          "aftercommit",
          () => transactions++,
        );
        return root;
      },
    };
    await using storage = await lmdbStorage({ path, lmdb: counting });
    const before = transactions;
    await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        storage.commit({
          append: { chain: `chain ${i}`, expected: genesis, records: [text(`${i}`)] },
          blobs: [blobOf(text(`${i}`))],
        }),
      ),
    );
    expect(transactions - before).toBeGreaterThan(0);
    expect(transactions - before).toBeLessThanOrEqual(5);
    expect(await storage.blobs.count()).toBe(50);
    await remove();
  });
});

describe("lmdbStorage when LMDB fails", () => {
  /** An LMDB whose next commit fails as told. */
  function failing(): { lmdb: LmdbClient; fail(error: Error | undefined): void } {
    let failure: Error | undefined;
    return {
      fail: (error) => (failure = error),
      lmdb: {
        open(options) {
          const root = client.open(options);
          const commit = root.transaction.bind(root);
          const nested = (root as unknown as lmdb.RootDatabase).childTransaction.bind(root);
          root.transaction = (async (action: () => unknown) => {
            if (failure === undefined) return commit(action as () => void);
            const undone = new Error("undone");
            await nested(() => {
              action();
              throw undone;
            }).catch((error: unknown) => expect(error).toBe(undone));
            const commitError = Promise.reject(failure);
            throw Object.assign(new Error("Commit failed"), { commitError });
          }) as typeof root.transaction;
          return root;
        },
      },
    };
  }

  /** A store with blob "one", in which putting blob "two" failed because the disk was full. */
  async function withFailedPut() {
    const { path, remove } = await folder();
    const { lmdb, fail } = failing();
    const opened = await lmdbStorage({ path, lmdb });
    await opened.blobs.put([blobOf(text("one"))]);
    fail(Object.assign(new Error("No space left on device"), { code: 28 }));
    await expect(opened.blobs.put([blobOf(text("two"))])).rejects.toThrow();
    fail(undefined);
    return { path, remove, opened };
  }

  it.each([
    ["nothing was written when the disk is full", "No space left on device", 28, "FAILED"],
    ["the outcome is unknown when the flush failed", "Input/output error", 5, "AMBIGUOUS"],
  ])("says that %s", async (_, message, errno, code) => {
    const { path, remove } = await folder();
    const { lmdb, fail } = failing();
    await using storage = await lmdbStorage({ path, lmdb });
    fail(Object.assign(new Error(message), { code: errno }));
    const append = () => storage.chains.append("a", genesis, [text("r")]);
    await expect(append()).rejects.toMatchObject({ code: `ERR_STORAGE_${code}` });
    fail(undefined);
    expect(await append()).toMatchObject({ size: 1 });
    await remove();
  });

  it("finds what was put after a commit that came to nothing", async () => {
    const { remove, opened } = await withFailedPut();
    await using storage = opened;
    await storage.blobs.put([blobOf(text("three")), blobOf(text("two"))]);
    expect(await storage.blobs.count()).toBe(3);
    for (const name of ["one", "two", "three"]) {
      expect(await storage.blobs.get(blobOf(text(name)).cid)).toEqual(text(name));
    }
    await remove();
  });

  it("neither tells nor remembers a head that came to nothing with the whole transaction", async () => {
    const { path, remove } = await folder();
    let together: (() => unknown)[] | undefined;
    const full = Object.assign(new Error("No space left on device"), { code: 28 });
    const lmdb: LmdbClient = {
      open(options) {
        const root = client.open(options);
        const commit = root.transaction.bind(root);
        const nested = (root as unknown as lmdb.RootDatabase).childTransaction.bind(root);
        root.transaction = (async (action: () => unknown) => {
          if (together === undefined) return commit(action as () => void);
          if (together.push(action) === 2) {
            const actions = together;
            await nested(() => {
              for (const each of actions) {
                try {
                  each();
                } catch {
                  // told below, as LMDB does
                }
              }
              throw full;
            }).catch(() => undefined);
          }
          throw Object.assign(new Error("Commit failed"), { commitError: Promise.reject(full) });
        }) as typeof root.transaction;
        return root;
      },
    };
    await using storage = await lmdbStorage({ path, lmdb });
    together = [];
    const failed = { reason: { code: "ERR_STORAGE_FAILED" } };
    const append = (record: string) => storage.chains.append("a", genesis, [text(record)]);
    expect(await Promise.allSettled([append("one"), append("two")])).toMatchObject([
      failed,
      failed,
    ]);
    together = undefined;
    const head = await append("other");
    expect(await storage.chains.head("a")).toEqual(head);
    await remove();
  });

  it("sees what another process put in the place of what came to nothing", async () => {
    const { path, remove, opened } = await withFailedPut();
    await using storage = opened;
    const child = fileURLToPath(new URL("./lmdb-child.ts", import.meta.url));
    const node = ["--conditions=healthledger-source", "--import", "tsx", child];
    spawnSync(process.execPath, [...node, "append", path, "other", "1"]);
    expect(await storage.chains.head("a")).toMatchObject({ size: 2 });
    const { cid, bytes } = blobOf(text(`other 0 blob 0 ${"x".repeat(200)}`));
    expect(await storage.blobs.get(cid)).toEqual(bytes);
    await remove();
  });

  it("names the record that a chain lacks, wherever it is", async () => {
    for (const lost of [0, 1, 2]) {
      const { path, remove } = await folder();
      const one = await lmdbStorage({ path });
      await one.chains.append("a", genesis, ["0", "1", "2", "3"].map(text));
      await one.close();
      const encodings = { keyEncoding: "binary", encoding: "binary" } as const;
      const root = lmdb.open({ path: join(path, "env-00000001"), maxDbs: 8, ...encodings });
      const chains = root.openDB({ name: "chains", ...encodings });
      const keys = [...chains.getKeys({ start: new Uint8Array(1) })];
      await chains.remove(keys[lost]!);
      await root.close();
      await using again = await lmdbStorage({ path });
      const seen: number[] = [];
      const read = async (): Promise<void> => {
        for await (const { index } of again.chains.read("a", { from: 0 })) seen.push(index);
      };
      await expect(read()).rejects.toMatchObject({
        code: "ERR_STORAGE_CORRUPT",
        message: expect.stringContaining(`record ${lost}`),
      });
      expect(seen).toEqual([0, 1].slice(0, lost));
      await remove();
    }
  });

  it("names a pack that does not hold what its table says", async () => {
    const { path, remove } = await folder();
    const blob = blobOf(text("content"));
    const one = await lmdbStorage({ path });
    await one.blobs.put([blob]);
    await one.close();
    const encodings = { keyEncoding: "binary", encoding: "binary" } as const;
    const root = lmdb.open({ path: join(path, "env-00000001"), maxDbs: 8, ...encodings });
    const packs = root.openDB({ name: "packs", ...encodings });
    await packs.put(Buffer.from("0000000000000001", "hex"), Buffer.from("cont"));
    await root.close();
    await using two = await lmdbStorage({ path });
    await expect(two.blobs.get(blob.cid)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await remove();
  });
});

describe("compact", () => {
  const secret = (i: number) => text(`secret ${i} ${"s".repeat(i % 50)} ends`);

  async function secretsIn(path: string): Promise<number> {
    const contents = await Promise.all((await filesIn(path)).map((file) => readFile(file)));
    let found = 0;
    for (let i = 0; i < 300; i++) {
      if (contents.some((content) => content.includes(Buffer.from(secret(i))))) found++;
    }
    return found;
  }

  it("leaves no byte of what was deleted in any file", async () => {
    const { path, remove } = await folder();
    await using storage = await lmdbStorage({ path });
    const pad = new Uint8Array(700).fill(46);
    const blobs = Array.from({ length: 300 }, (_, i) =>
      blobOf(i % 2 === 0 ? secret(i) : new Uint8Array([...pad, ...secret(i), ...pad])),
    );
    const others = Array.from({ length: 300 }, (_, i) => blobOf(text(`kept ${i}`)));
    for (let i = 0; i < 300; i += 30) {
      await storage.blobs.put([...blobs.slice(i, i + 30), ...others.slice(i, i + 30)]);
      await storage.state.batch(
        blobs.slice(i, i + 30).map((_, j) => ({ key: text(`key ${i + j}`), value: secret(i + j) })),
      );
    }
    expect(await secretsIn(path)).toBe(300);
    await storage.blobs.delete(blobs.map(({ cid }) => cid));
    await storage.state.batch(blobs.map((_, i) => ({ key: text(`key ${i}`), value: null })));
    expect(await secretsIn(path), "LMDB keeps freed pages").toBeGreaterThan(200);
    await storage.compact();
    expect(await secretsIn(path)).toBe(0);
    expect(await storage.blobs.count()).toBe(300);
    await remove();
  });

  it("is complete or not begun, wherever it was killed", async () => {
    const { path, remove } = await folder();
    const check = async () => {
      await using storage = await lmdbStorage({ path });
      expect(await storage.state.get(text("k"))).toEqual(text("v"));
      expect((await storage.chains.head("a")).size).toBe(1);
    };
    const first = await lmdbStorage({ path });
    await first.chains.append("a", genesis, [text("r")]);
    await first.state.batch([{ key: text("k"), value: text("v") }]);
    await first.close();
    const kept = await readFile(join(path, "env-00000001", "data.mdb"));

    // killed while the new environment was written, or before it was named
    await mkdir(join(path, "env-00000002"));
    await writeFile(join(path, "env-00000002", "data.mdb"), kept.subarray(0, 4096 * 3));
    await check();
    const second = await lmdbStorage({ path });
    await second.compact();
    await second.close();
    expect(await readdir(path)).toEqual(["control", "env-00000002"]);
    await check();

    // killed after the successor was named and before the old one was removed
    const old = join(path, "env-00000001");
    const encodings = { keyEncoding: "binary", encoding: "binary" } as const;
    const stale = lmdb.open({ path: old, maxDbs: 8, overlappingSync: false, ...encodings });
    const meta = stale.openDB({ name: "meta", ...encodings });
    await meta.put(Buffer.from("format"), Buffer.from("healthledger-lmdb/1"));
    await meta.put(Buffer.from("next"), Buffer.from("0000000000000002", "hex"));
    await stale.close();
    const control = lmdb.open({
      path: join(path, "control"),
      maxDbs: 8,
      overlappingSync: false,
      ...encodings,
    });
    await control.put(Buffer.from("current"), Buffer.from("0000000000000001", "hex"));
    await control.close();
    await check();
    expect(await readdir(path)).toEqual(["control", "env-00000002"]);

    // killed while the store was founded
    const { path: other, remove: removeOther } = await folder();
    await mkdir(join(other, "founding"));
    await writeFile(join(other, "founding", "data.mdb"), kept.subarray(0, 5000));
    const founded = await lmdbStorage({ path: other });
    expect(await founded.chains.head("a")).toEqual(genesis);
    expect(await readdir(other)).toEqual(["control", "env-00000001"]);
    await founded.close();
    await removeOther();
    await remove();
  });

  it("is found again in a folder that was restored without its control", async () => {
    const { path, remove } = await folder();
    const lose = () => rm(join(path, "control"), { recursive: true });
    const first = await lmdbStorage({ path });
    await first.chains.append("a", genesis, [text("r")]);
    await first.close();
    for (const environment of ["env-00000001", "env-00000002"]) {
      await lose();
      await using storage = await lmdbStorage({ path });
      expect((await storage.chains.head("a")).size).toBe(1);
      expect(await readdir(path)).toEqual(["control", environment]);
      if (environment === "env-00000001") await storage.compact();
    }
    await remove();
  });
});
