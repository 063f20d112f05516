import { createHash } from "node:crypto";
import { join } from "node:path";
import * as lmdb from "lmdb";
import { describe, expect, it } from "vitest";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { decodeRunList, encodeRunList } from "../../src/storage/lmdb/run-list.ts";
import {
  buildRun,
  findInBucket,
  mayHold,
  putEntry,
  readFilter,
} from "../../src/storage/lmdb/runs.ts";
import { folder } from "../storage/lmdb-subject.ts";
import { specHex } from "../support/spec-blocks.ts";

const value = specHex("storage.md");
const text = (name: string) => new TextEncoder().encode(name);
const sha256 = (name: string) => createHash("sha256").update(name).digest();
const blobs = ["hello", "world"].map((name) => ({
  cid: cidOf(text(name), RAW),
  bytes: text(name),
}));
const encodings = { keyEncoding: "binary", encoding: "binary" } as const;
const DATABASES = ["meta", "names", "chains", "tables", "packs", "runs", "state"];

describe("docs/spec/storage.md", () => {
  it("has every entry of the store it describes, as LMDB itself reads it", async () => {
    const { path, remove } = await folder();
    const storage = await lmdbStorage({ path });
    await storage.commit({
      append: { chain: "ledger", expected: { size: 0, hash: null }, records: [text("record 0")] },
      blobs,
      state: [{ key: text("k"), value: text("v") }],
    });
    await storage.blobs.delete([blobs[0]!.cid]);
    await storage.close();
    const entriesOf = (database: lmdb.Database) =>
      Array.from(database.getRange({ start: Buffer.from([0]) }), ({ key, value }) => [
        new Uint8Array(key as Buffer),
        new Uint8Array(value as Buffer),
      ]);
    const options = { maxDbs: 8, overlappingSync: false, ...encodings };
    const root = lmdb.open({ path: join(path, "env-00000001"), ...options });
    for (const name of DATABASES) {
      const entries = entriesOf(root.openDB({ name, ...encodings }));
      const described = name === "runs" ? [] : [[value(`${name} key`), value(`${name} value`)]];
      expect(entries, name).toEqual(described);
    }
    await root.close();
    const control = lmdb.open({ path: join(path, "control"), ...options });
    expect(entriesOf(control)).toEqual([[value("control key"), value("control value")]]);
    await control.close();
    await remove();
  });

  it("has keys and slots that hash as it says", () => {
    expect(value("names key")).toEqual(new Uint8Array(sha256("ledger").subarray(0, 16)));
    expect(Buffer.from(value("tables value").subarray(48, 80))).toEqual(sha256("world"));
    expect(value("tables value").subarray(44, 48)).toEqual(new Uint8Array([0, 0, 0, RAW]));
  });

  it("has a run and its filter, computed as it says", () => {
    const entries = new Uint8Array(32);
    const words = [0, 0];
    for (const [slot, name] of ["hello", "world"].entries()) {
      putEntry(entries, slot, sha256(name), 1, slot);
      const high = sha256(name).readUInt32BE(0);
      const bit = (power: number) => 2 ** (Math.floor(high / 2 ** power) % 32);
      words[0] = Number(BigInt(words[0]!) | BigInt(bit(0)) | BigInt(bit(5)));
      words[1] = Number(BigInt(words[1]!) | BigInt(bit(10)) | BigInt(bit(15)));
    }
    const run = buildRun(entries);
    expect(run.bits).toBe(0);
    expect(run.buckets).toEqual([{ bucket: 0, entries: value("run entries") }]);
    expect(run.filter).toEqual(value("run filter"));
    const view = new DataView(run.filter.buffer);
    expect([view.getUint32(0), view.getUint32(4)]).toEqual(words);
    const [high, low] = [sha256("world").readUInt32BE(0), sha256("world").readUInt32BE(4)];
    expect(mayHold(readFilter(run.filter), high, low)).toBe(true);
    expect(findInBucket(value("run entries"), high, low)).toEqual([{ pack: 1, slot: 1 }]);
  });

  it("has a manifest that is read and written", () => {
    const manifest = {
      indexed: 1,
      nextRun: 2,
      runs: [{ id: 1, level: 1, bits: 0, entries: 2 }],
    };
    expect(encodeRunList(manifest)).toEqual(value("manifest"));
    expect(decodeRunList(value("manifest"))).toEqual(manifest);
  });
});
