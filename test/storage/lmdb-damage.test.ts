import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cp, mkdir, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as lmdb from "lmdb";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StorageError } from "../../src/errors.ts";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { folder } from "./lmdb-subject.ts";
import { stride } from "../support/share.ts";

const CHILD = fileURLToPath(new URL("./lmdb-child.ts", import.meta.url));
const NODE = ["--conditions=healthledger-source", "--import", "tsx"];
const text = (value: string) => new TextEncoder().encode(value);
const PAGE = 4096;

let base: Awaited<ReturnType<typeof folder>>;
beforeAll(async () => {
  base = await folder();
  await fill(base.path);
});
afterAll(() => base.remove());

/** A small store, closed. */
async function smallStore(): Promise<{ path: string; remove(): Promise<void> }> {
  const { path, remove } = await folder();
  await cp(base.path, path, { recursive: true });
  return { path, remove };
}

async function fill(path: string): Promise<void> {
  const storage = await lmdbStorage({ path });
  let head = await storage.chains.head("a");
  for (let i = 0; i < 50; i++) {
    const bytes = new Uint8Array(3000).fill(i + 1);
    const state = [{ key: text(`key ${i}`), value: bytes.subarray(0, 40 + 10 * i) }];
    const blobs = [{ cid: cidOf(bytes, RAW), bytes }];
    const append = { chain: "a", expected: head, records: [bytes] };
    head = (await storage.commit({ append, blobs, state }))!;
  }
  await storage.close();
}

/** Opens a store and reads all that it has. */
async function readAll(path: string, check = false): Promise<void> {
  await using storage = await lmdbStorage({ path, check });
  for await (const name of storage.chains.list()) {
    for await (const { record } of storage.chains.read(name, { from: 0 })) void record;
  }
  for await (const cid of storage.blobs.list()) await storage.blobs.get(cid);
  const everything = { gte: new Uint8Array(0), lt: new Uint8Array(64).fill(255) };
  for await (const entry of storage.state.scan(everything)) void entry;
}

type Damage = (file: string) => void | Promise<void>;

const patch =
  (at: number, ...bytes: readonly number[]): Damage =>
  (file) => {
    const all = readFileSync(file);
    all.set(bytes, at);
    writeFileSync(file, all);
  };
const cutTo = (part: number) => (file: string) =>
  truncate(file, Math.floor(part * readFileSync(file).length));

/** What no store may be opened with, whichever of its files it happened to. */
const FATAL: readonly (readonly [string, Damage])[] = [
  ["a page of nothing", (file) => writeFile(file, new Uint8Array(PAGE))],
  ["letters for two pages", (file) => writeFile(file, "A".repeat(2 * PAGE))],
  ["letters for four pages", (file) => writeFile(file, "A".repeat(4 * PAGE))],
  ["a line of text", (file) => writeFile(file, "hello world\n")],
  ["a byte", (file) => writeFile(file, "x")],
  ["one meta page only", (file) => truncate(file, PAGE)],
  ["less than a meta page", (file) => truncate(file, 100)],
  ["no page but the meta pages", (file) => truncate(file, 2 * PAGE)],
  ["two meta pages and a part of a page", (file) => truncate(file, 2 * PAGE + 512)],
  ["another magic number", patch(24, 0xff)],
  ["another magic number in the second meta page", patch(PAGE + 24, 0xff)],
  ["another version", patch(28, 9)],
  ["a page size of 0", patch(0x30, 0, 0)],
  ["a page size that is no power of two", patch(0x30, 0, 0x30)],
  ["a larger page size", patch(0x30, 0, 0x20)],
  ["a larger page size in the second meta page", patch(PAGE + 0x30, 0, 0x20)],
  ["a last page far beyond all that is mapped", (file) => twice(file, 0x94, [4])],
  ["a last page that is none", (file) => twice(file, 0x90, [0, 0, 0])],
  ["a meta page of a later transaction", patch(0x98, 0, 0, 1)],
  ["a second meta page of a later transaction", patch(PAGE + 0x98, 1, 0, 1)],
  ["meta pages that changed places", swapMetas],
  ["the same meta page twice", (file) => twiceTheFirst(file)],
  ["a root beyond the file in both", (file) => twice(file, 0x88, [0xff, 0xff, 0])],
  ["a tree of depth 40 in both", (file) => twice(file, 0x66, [40])],
  ["a folder", (file) => rm(file).then(() => mkdir(file))],
  [
    "a link",
    (file) => rename(file, `${file}.elsewhere`).then(() => symlink(`${file}.elsewhere`, file)),
  ],
];

async function twice(file: string, at: number, bytes: readonly number[]): Promise<void> {
  await patch(at, ...bytes)(file);
  await patch(PAGE + at, ...bytes)(file);
}

function swapMetas(file: string): void {
  const all = readFileSync(file);
  const first = Buffer.from(all.subarray(0, PAGE));
  all.copyWithin(0, PAGE, 2 * PAGE);
  all.set(first, PAGE);
  writeFileSync(file, all);
}

function twiceTheFirst(file: string): void {
  const all = readFileSync(file);
  all.copyWithin(PAGE, 0, PAGE);
  writeFileSync(file, all);
}

describe("lmdbStorage on files that are not what LMDB left", () => {
  for (const place of ["env-00000001", "control"]) {
    it.each(FATAL)(`refuses, in ${place}, %s`, async (name, damage) => {
      const { path, remove } = await smallStore();
      const file = join(path, place, "data.mdb");
      // The control environment has one page beside its two; of what is cut off there it has nothing.
      await damage(file);
      const error = await readAll(path).catch((reason: unknown) => reason);
      expect(error, name).toBeInstanceOf(StorageError);
      expect(error).toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
      await remove();
    });
  }

  it.each([0.99, 0.9, 0.5, 0.25, 0.1])("refuses a file that was cut to %f of it", async (part) => {
    const { path, remove } = await smallStore();
    await cutTo(part)(join(path, "env-00000001", "data.mdb"));
    await expect(readAll(path)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await remove();
  });

  it("opens a file that lacks only pages which nothing leads to", async () => {
    const { path, remove } = await smallStore();
    const file = join(path, "env-00000001", "data.mdb");
    // One page more than there is, on paper: as where the last pages were freed before they were written.
    const all = readFileSync(file);
    for (const at of [0, PAGE]) all.writeUInt32LE(all.readUInt32LE(at + 0x90) + 1, at + 0x90);
    const newest = Math.max(all.readUInt32LE(0x90), all.readUInt32LE(PAGE + 0x90));
    writeFileSync(file, all.subarray(0, newest * PAGE));
    await readAll(path);
    await remove();
  });

  it.each([
    ["an empty file", (env: string) => truncate(join(env, "data.mdb"), 0)],
    ["no file", (env: string) => rm(join(env, "data.mdb"))],
    ["no folder", (env: string) => rm(env, { recursive: true })],
  ])("makes no new store where %s is left of the one there was", async (_, lose) => {
    const { path, remove } = await smallStore();
    const env = join(path, "env-00000001");
    await lose(env);
    for (let i = 0; i < 2; i++) {
      await expect(lmdbStorage({ path })).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    }
    expect(existsSync(env) && readFileSync(join(env, "data.mdb"), { flag: "a+" }).length > 0).toBe(
      false,
    );
    await remove();
  });

  it.each([
    ["an empty file", (control: string) => truncate(join(control, "data.mdb"), 0)],
    ["no file", (control: string) => rm(join(control, "data.mdb"))],
    ["no folder", (control: string) => rm(control, { recursive: true })],
  ])("finds the store where %s is left of what names it", async (_, lose) => {
    const { path, remove } = await smallStore();
    await lose(join(path, "control"));
    await readAll(path);
    await remove();
  });

  it.each([
    ["a file in the place of an environment", "env-00000001"],
    ["a file in the place of the control environment", "control"],
  ])("refuses %s", async (_, name) => {
    const { path, remove } = await smallStore();
    await rm(join(path, name), { recursive: true });
    await writeFile(join(path, name), "");
    await expect(lmdbStorage({ path })).rejects.toBeInstanceOf(StorageError);
    await remove();
  });

  it("refuses an environment that is a link, which compaction would remove alone", async () => {
    const { path, remove } = await smallStore();
    await rename(join(path, "env-00000001"), join(path, "elsewhere"));
    await symlink(join(path, "elsewhere"), join(path, "env-00000001"));
    await expect(lmdbStorage({ path })).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await remove();
  });

  it("opens what is whole, and with check looks at all of it", async () => {
    const { path, remove } = await smallStore();
    await readAll(path);
    await readAll(path, true);
    await remove();
  });

  it("is refused with check for every page that was zeroed, with a typed error", async () => {
    const { path, remove } = await smallStore();
    const file = join(path, "env-00000001", "data.mdb");
    const pages = readFileSync(file).length / PAGE;
    let refused = 0;
    const every = stride(3);
    for (let page = 2; page < pages; page += every) {
      const copy = join(path, "..", `copy-${page}`);
      await cp(path, copy, { recursive: true });
      await patch(page * PAGE, ...new Uint8Array(PAGE))(join(copy, "env-00000001", "data.mdb"));
      const error = await lmdbStorage({ path: copy, check: true }).then(
        (storage) => storage.close(),
        (reason: unknown) => reason,
      );
      if (error !== undefined) {
        expect(error).toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
        refused++;
      }
      await rm(copy, { recursive: true });
    }
    // Records of 3000 bytes take a page each, which as a whole is what they hold.
    expect(refused).toBeGreaterThan(10 / every);
    await remove();
  });
});

describe("lmdbStorage on keys that are out of order", () => {
  /** Changes bytes of the newest state of a store, wherever they stand. */
  async function replace(path: string, from: string, to: string): Promise<void> {
    const file = join(path, "env-00000001", "data.mdb");
    const all = readFileSync(file);
    let count = 0;
    for (let at = all.indexOf(from); at >= 0; at = all.indexOf(from, at + 1)) {
      all.write(to, at, "latin1");
      count++;
    }
    expect(count).toBeGreaterThan(0);
    writeFileSync(file, all);
  }

  for (const reverse of [false, true]) {
    it(`ends a scan that would begin again, ${reverse ? "backwards" : "forwards"}`, async () => {
      const { path, remove } = await folder();
      const first = await lmdbStorage({ path });
      await first.state.batch(
        ["key-a", "key-b", "key-m", "key-n"].map((key) => ({ key: text(key), value: text("v") })),
      );
      await first.close();
      await replace(path, reverse ? "key-a" : "key-n", reverse ? "key-o" : "key-a");
      await using storage = await lmdbStorage({ path });
      const scan = async () => {
        let count = 0;
        for await (const entry of storage.state.scan({
          gte: text("key-"),
          lt: text("key."),
          reverse,
        })) {
          expect(entry.key.length).toBe(5);
          expect(++count).toBeLessThan(5);
        }
      };
      await expect(scan()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
      await remove();
    });
  }

  /** Opens a database of a store with nothing but LMDB. */
  async function raw(path: string, name: string, work: (db: lmdb.Database) => Promise<unknown>) {
    const root = lmdb.open({ path: join(path, "env-00000001"), maxDbs: 8, overlappingSync: false });
    await work(root.openDB({ name, keyEncoding: "binary", encoding: "binary" }));
    await root.close();
  }

  const uint64 = (value: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(value));
    return bytes;
  };

  it("never reuses a pack's number, and never lists packs endlessly", async () => {
    const { path, remove } = await smallStore();
    const file = join(path, "env-00000001", "data.mdb");
    const all = readFileSync(file);
    // The keys of the last pack's table and bytes, each behind its length, become those of pack 1.
    const key = (pack: number) => Buffer.concat([Buffer.from([8, 0]), uint64(pack)]);
    for (let at = all.indexOf(key(50)); at >= 0; at = all.indexOf(key(50), at + 1)) {
      all.set(key(1), at);
    }
    writeFileSync(file, all);
    await using storage = await lmdbStorage({ path });
    const corrupt = { code: "ERR_STORAGE_CORRUPT" };
    const list = async () => {
      let count = 0;
      for await (const cid of storage.blobs.list()) {
        expect(cid).toBeDefined();
        expect(++count).toBeLessThan(60);
      }
    };
    await expect(list()).rejects.toMatchObject(corrupt);
    await expect(storage.blobs.count()).rejects.toMatchObject(corrupt);
    const bytes = text("new");
    const put = storage.blobs.put([{ cid: cidOf(bytes, RAW), bytes }]);
    await expect(put).rejects.toMatchObject(corrupt);
    await expect(storage.compact()).rejects.toMatchObject(corrupt);
    await remove();
  });

  it("names a chain by nothing but its own name", async () => {
    const { path, remove } = await smallStore();
    await raw(path, "names", (names) => names.put(Buffer.alloc(16, 7), Buffer.from("forged")));
    await using storage = await lmdbStorage({ path });
    const list = async () => {
      for await (const name of storage.chains.list()) expect(name).toBe("a");
    };
    await expect(list()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await remove();
  });

  it.each([
    ["itself", uint64(1)],
    ["one before it", uint64(0)],
    ["one far off", uint64(7)],
    ["nothing that is a number", Buffer.from("x")],
  ])("does not go round where an environment names as its successor %s", async (_, next) => {
    const { path, remove } = await smallStore();
    await raw(path, "meta", (meta) => meta.put(Buffer.from("next"), next));
    await expect(lmdbStorage({ path })).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await remove();
  });

  it("refuses an index of blobs that reaches further than the packs do", async () => {
    const { path, remove } = await smallStore();
    const runs = Buffer.concat([uint64(10_000), Buffer.from([0, 0, 0, 1])]);
    await raw(path, "meta", (meta) => meta.put(Buffer.from("runs"), runs));
    await using storage = await lmdbStorage({ path });
    const cid = cidOf(new Uint8Array(3000).fill(1), RAW);
    await expect(storage.blobs.get(cid)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await remove();
  });
});

describe("lmdbStorage in a folder that was not there", () => {
  it.skipIf(spawnSync("strace", ["-V"]).error !== undefined)(
    "makes every name in it durable before it acknowledges anything",
    async () => {
      const { path, remove } = await folder();
      const store = join(path, "deep", "er", "store");
      const traced = ["mkdir", "openat", "rename", "fsync", "fdatasync", "write"].join(",");
      const { stderr, status } = spawnSync(
        "strace",
        ["-f", "-y", "-s", "16", "-e", `trace=${traced}`, process.execPath, ...NODE, CHILD].concat([
          "append",
          store,
          "a",
          "1",
        ]),
        { encoding: "utf8", maxBuffer: 1 << 28 },
      );
      expect(status).toBe(0);
      const lines = stderr.split("\n");
      const acknowledged = lines.findIndex((line) => line.includes('"ack 0'));
      expect(acknowledged).toBeGreaterThan(0);
      const syncs = (folder: string, after: number) =>
        lines.findIndex(
          (line, i) => i > after && /fsync\(/.test(line) && line.includes(`<${folder}>`),
        );
      const made = [
        ...["deep", "deep/er", "deep/er/store"].map((name) => join(path, name)),
        join(store, "control"),
        join(store, "founding"),
      ];
      for (const name of made) {
        const at = lines.findIndex((line) => line.includes(`mkdir("${name}"`) && / = 0/.test(line));
        expect(at, name).toBeGreaterThanOrEqual(0);
        for (const synced of [join(name, ".."), name]) {
          const found = syncs(synced, at);
          expect(found, `${synced} after mkdir of ${name}`).toBeGreaterThan(at);
          expect(found).toBeLessThan(acknowledged);
        }
      }
      const files = ["control", "founding"].map((name) => join(store, name));
      for (const name of files) {
        const at = lines.findIndex(
          (line) => line.includes(`"${join(name, "data.mdb")}"`) && line.includes("O_CREAT"),
        );
        expect(syncs(name, at), `${name} after its file was made`).toBeGreaterThan(at);
      }
      const renamed = lines.findIndex((line) =>
        line.includes(`rename("${join(store, "founding")}"`),
      );
      expect(syncs(join(store, "founding"), 0)).toBeLessThan(renamed);
      const after = syncs(store, renamed);
      expect(after).toBeGreaterThan(renamed);
      expect(after).toBeLessThan(acknowledged);
      await remove();
    },
    60_000,
  );
});
