import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { decodeBlock } from "../../src/block/block.ts";
import { publishHeads } from "../../src/network/publish-heads.ts";
import { publishLedger } from "../../src/network/publish-ledger.ts";
import { folderTarget } from "../../src/transport/folder.ts";
import { httpPeer } from "../../src/transport/http.ts";
import type { PublishTarget } from "../../src/transport/publish-target.ts";
import { observation } from "../support/hospital.ts";
import { never, startHome, type Home } from "../support/network.ts";
import { hash, mth } from "../support/rfc9162.ts";
import { stride } from "../support/share.ts";
import { ward } from "../support/ward.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "healthledger-publish-"));
  folders.push(folder);
  return folder;
}

async function filesIn(folder: string): Promise<string[]> {
  const all = await readdir(folder, { recursive: true, withFileTypes: true });
  return all
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name).slice(folder.length + 1))
    .sort();
}

async function headersOf(home: Home): Promise<Uint8Array[]> {
  const headers: Uint8Array[] = [];
  for await (const block of home.chain.readBlocks({ from: 0 }))
    headers.push(decodeBlock(block).header);
  return headers;
}

const grown = async (home: Home, blocks: number): Promise<void> => {
  await home.grow(blocks);
  await home.source.look();
};

/** A peer that reads a folder as a static host serves it: whatever the query is. */
const staticPeer = (folder: string) =>
  httpPeer({
    ...{ url: "http://static.invalid/", did: "did:key:static" },
    async fetch(url) {
      const bytes = await readFile(join(folder, new URL(url).pathname)).catch(() => undefined);
      return new Response(bytes ?? null, { status: bytes === undefined ? 404 : 200 });
    },
  });

describe("publishLedger", () => {
  it("leaves every full tile as it is when what its blocks are about is erased", async () => {
    const folder = await newFolder();
    const w = await ward();
    const { id } = await w.hl.record(w.me, observation("o1"));
    for (let i = w.hl.chain.size; i < 260; i++) await w.hl.placeHold(w.me, "a rule");
    await w.hl.liftHold(w.me);
    const heads = { ledger: w.hl, chains: w.storage.chains!, sleep: never };
    const source = publishHeads(heads);
    await source.look();
    await publishLedger(source, folderTarget(folder));
    const full = ["tile/0/000", "tile/blocks/000", "tile/entries/000"];
    const read = () => Promise.all(full.map((path) => readFile(join(folder, path))));
    const before = await read();
    await w.hl.erase(w.me, { records: [id], reason: "asked for" });
    await source.look();
    // What was published is written anew too, as by a home that publishes to another place.
    const elsewhere = await newFolder();
    for (const place of [folder, elsewhere]) await publishLedger(source, folderTarget(place));
    await source.close();
    expect(await read()).toEqual(before);
    const anew = await Promise.all(full.map((path) => readFile(join(elsewhere, path))));
    expect(anew).toEqual(before);
    expect((await w.hl.records(w.me)).map(({ record }) => record)).not.toContain(id);
  });

  it("writes the files of a tree, and those that are new", async () => {
    const folder = await newFolder();
    const home = await startHome();
    await grown(home, 3);
    const target = folderTarget(folder);
    await publishLedger(home.source, target);
    expect(await filesIn(folder)).toEqual([
      ...["bundles", "checkpoint", "genesis", "partials", "policy"],
      ...["state/sys/policy", "tile/0/000.p/3"],
      ...["tile/blocks/000.p/3", "tile/entries/000.p/3"],
    ]);
    const headers = await headersOf(home);
    const leaves = headers.map((header) => hash(Uint8Array.of(0), header));
    expect(await readFile(join(folder, "tile/0/000.p/3"))).toEqual(Buffer.concat(leaves));
    const note = (await readFile(join(folder, "checkpoint"), "utf8")).split("\n");
    expect(note[1]).toBe("3");
    expect(note[2]).toBe(Buffer.from(mth(headers)).toString("base64"));
    const again = await publishLedger(home.source, target);
    expect(again).toEqual({ size: 3, written: 5 });
  });

  it("removes partial tiles once full, and in neither of the last two checkpoints", async () => {
    const folder = await newFolder();
    const home = await startHome();
    const target = folderTarget(folder);
    const partials = async (): Promise<string[]> =>
      (await filesIn(folder)).filter((path) => /tile\/(0|1)\/.*\.p/.test(path));
    await grown(home, 100);
    await publishLedger(home.source, target);
    await grown(home, 100);
    await publishLedger(home.source, target);
    expect(await partials()).toEqual(["tile/0/000.p/100", "tile/0/000.p/200"]);
    await grown(home, 100);
    await publishLedger(home.source, target);
    // 200 was the checkpoint before, and 100 is full and older
    expect(await partials()).toEqual(["tile/0/000.p/200", "tile/0/001.p/44", "tile/1/000.p/1"]);
    expect(await filesIn(folder)).toContain("tile/blocks/000");
    expect(await filesIn(folder)).not.toContain("tile/blocks/000.p/100");
    expect(await filesIn(folder)).toContain("tile/entries/000.p/200");
    await grown(home, 1);
    await publishLedger(home.source, target);
    expect(await partials()).toEqual(["tile/0/001.p/44", "tile/0/001.p/45", "tile/1/000.p/1"]);
    await grown(home, 300);
    await publishLedger(home.source, target);
    await grown(home, 1);
    await publishLedger(home.source, target);
    expect(await partials()).toEqual([
      "tile/0/002.p/89",
      "tile/0/002.p/90",
      "tile/1/000.p/1",
      "tile/1/000.p/2",
    ]);
    const full = await readFile(join(folder, "tile/1/000.p/2"));
    const headers = await headersOf(home);
    expect(full).toEqual(Buffer.concat([mth(headers.slice(0, 256)), mth(headers.slice(256, 512))]));
  }, 60_000);

  it("publishes tiles before the checkpoint that needs them, wherever it is interrupted", async () => {
    const home = await startHome();
    await grown(home, 250);
    const folder = await newFolder();
    await publishLedger(home.source, folderTarget(folder));
    await grown(home, 20);
    for (let stop = 0; stop < 12; stop += stride(3)) {
      let left = stop;
      const inner = folderTarget(folder);
      const dying: PublishTarget = {
        ...inner,
        async put(path, bytes) {
          if (left-- === 0) throw new Error("the process was killed");
          return inner.put(path, bytes);
        },
      };
      await publishLedger(home.source, dying).catch((error: Error) => {
        expect(error.message).toBe("the process was killed");
      });
      // Whatever the checkpoint says is there.
      const peer = staticPeer(folder);
      const size = Number(new TextDecoder().decode(await peer.checkpoint()).split("\n")[1]);
      for (let index = 0; index * 256 < size; index++) {
        const width = Math.min(256, size - index * 256);
        expect((await peer.tile({ level: 0, index, width })).length).toBe(32 * width);
        expect(await peer.headers({ index, width })).toHaveLength(width);
        let count = 0;
        for await (const _ of peer.blocks({ index, width })) count++;
        expect(count).toBe(width);
      }
    }
    expect((await publishLedger(home.source, folderTarget(folder))).size).toBe(270);
    expect((await filesIn(folder)).filter((path) => path.endsWith(".new"))).toEqual([]);
  }, 60_000);

  it("leaves blocks out if told to, and adds them all once it is not", async () => {
    const home = await startHome();
    const folder = await newFolder();
    await grown(home, 260);
    await publishLedger(home.source, folderTarget(folder), { blocks: false });
    expect((await filesIn(folder)).filter((path) => path.includes("blocks"))).toEqual([]);
    await grown(home, 1);
    await publishLedger(home.source, folderTarget(folder));
    const blocks = (await filesIn(folder)).filter((path) => path.includes("blocks"));
    expect(blocks).toContain("tile/blocks/000");
    expect(blocks).toContain("tile/blocks/001.p/5");
  }, 60_000);

  it("adds the blocks that were left out in between, wherever that is interrupted", async () => {
    const home = await startHome();
    const folder = await newFolder();
    const target = folderTarget(folder);
    await grown(home, 250);
    await publishLedger(home.source, target);
    await grown(home, 300);
    await publishLedger(home.source, target, { blocks: false });
    await grown(home, 10);
    for (let most = 0; ; most += stride(3)) {
      let left = most;
      const failing: PublishTarget = {
        ...target,
        put: (path, bytes) =>
          left-- > 0 ? target.put(path, bytes) : Promise.reject(new Error("cut")),
      };
      try {
        await publishLedger(home.source, failing);
        break;
      } catch (error) {
        expect(error).toMatchObject({ message: "cut" });
      }
    }
    const peer = staticPeer(folder);
    const given: Uint8Array[] = [];
    for (const bundle of [256, 256, 48].map((width, index) => ({ index, width }))) {
      for await (const block of peer.blocks(bundle)) given.push(block);
    }
    const all: Uint8Array[] = [];
    for await (const block of home.chain.readBlocks({ from: 0 })) all.push(block);
    expect(given).toEqual(all);
    expect(await readFile(join(folder, "bundles"), "utf8")).toBe("560\n");
  }, 60_000);

  it("publishes nothing over another history, over a newer checkpoint or without one", async () => {
    const [home, other] = [await startHome(), await startHome({ lastSeq: 50 })];
    const folder = await newFolder();
    const target = folderTarget(folder);
    await expect(publishLedger(home.source, target)).rejects.toMatchObject({
      code: "ERR_CHAIN_CHECKPOINT",
    });
    await grown(home, 2);
    await grown(other, 3);
    await publishLedger(home.source, target);
    const before = await readFile(join(folder, "checkpoint"));
    const invalid = { code: "ERR_CHAIN_INVALID" };
    await expect(publishLedger(other.source, target)).rejects.toMatchObject(invalid);
    const newer = { ...home.source, newest: { ...home.source.newest! }, chain: home.chain };
    await grown(home, 1);
    await publishLedger(home.source, target);
    await expect(publishLedger(newer, target)).rejects.toMatchObject(invalid);
    expect(await readFile(join(folder, "checkpoint"))).not.toEqual(before);
    await writeFile(join(folder, "checkpoint"), "nonsense");
    await expect(publishLedger(home.source, target)).rejects.toMatchObject(invalid);
    await expect(
      publishLedger(home.source, target, { block: false } as never),
    ).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
  });

  it("has nothing to say about files that somebody put in its list", async () => {
    const home = await startHome();
    const folder = await newFolder();
    await grown(home, 2);
    await writeFile(join(folder, "secret"), "x");
    await writeFile(join(folder, "partials"), "../secret\nsecret\ntile/0/000\ntile/0/000.p/999\n");
    await publishLedger(home.source, folderTarget(folder));
    await grown(home, 300);
    await publishLedger(home.source, folderTarget(folder));
    expect(await filesIn(folder)).toContain("secret");
    expect(await filesIn(folder)).toContain("tile/0/000");
  }, 30_000);
});

describe("folderTarget", () => {
  it("writes within its folder only, and says when it cannot", async () => {
    const folder = await newFolder();
    const target = folderTarget(folder);
    async function* bytes(): AsyncIterable<Uint8Array> {
      yield Uint8Array.of(1);
    }
    for (const path of ["../x", "/x", "a/../x", "a//b", "", ".x", "x/.", "a\\b", "A"]) {
      await expect(target.put(path, bytes()), path).rejects.toBeInstanceOf(RangeError);
      await expect(target.delete(path), path).rejects.toBeInstanceOf(RangeError);
    }
    await target.put("a/b", bytes());
    expect(await target.get("a/b", 1)).toEqual(Uint8Array.of(1));
    await expect(target.get("a/b", 0)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    expect(await target.get("a/c", 1)).toBeUndefined();
    expect([await target.has("a/b"), await target.has("a"), await target.has("c")]).toEqual([
      true,
      false,
      false,
    ]);
    await expect(target.put("a/b/c", bytes())).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
    });
    await target.delete("a/b");
    await target.delete("a/b");
    expect(await target.has("a/b")).toBe(false);
  });
});
