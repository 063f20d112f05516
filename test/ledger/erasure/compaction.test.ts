import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { parseRecordId, type RecordId } from "../../../src/codec/ids.ts";
import { decodeEntry } from "../../../src/block/entry.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { decodeSignedHeader } from "../../../src/envelope/header.ts";
import { StorageError } from "../../../src/errors.ts";
import type { EraseOptions } from "../../../src/ledger/erasure/erase-options.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { ward, type Ward } from "../../support/ward.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A store that can be told not to compact, as one with no room or without the privilege. */
function stubborn(inner: FullStorage) {
  const trap: { error: Error | undefined; compactions: number } = {
    error: undefined,
    compactions: 0,
  };
  const storage: FullStorage = {
    ...inner,
    async compact() {
      trap.compactions++;
      if (trap.error) throw trap.error;
      return inner.compact();
    },
  };
  return { storage, trap };
}

const NO_ROOM = new StorageError("ERR_STORAGE_FAILED", "no room for a second copy");

/** How many erase entries stand on the ledger. */
async function eraseEntries({ hl }: Ward): Promise<number> {
  let count = 0;
  await hl.chain.refresh();
  for (let height = 0; height < hl.chain.size; height++) {
    const { block } = await hl.chain.readBlock(height);
    for (const { entries } of block.transactions) {
      count += entries.filter((entry) => decodeEntry(entry).kind === "erase").length;
    }
  }
  return count;
}

function bytesIn(path: string, bytes: Uint8Array): boolean {
  if (statSync(path).isFile()) return readFileSync(path).includes(Buffer.from(bytes));
  return readdirSync(path).some((name) => bytesIn(join(path, name), bytes));
}

async function onDisk() {
  const path = mkdtempSync(join(tmpdir(), "healthledger-compact-"));
  folders.push(path);
  return { path, ...stubborn(await lmdbStorage({ path })) };
}

/** So long that the pages it leaves are not all taken by what is written next. */
const long = {
  attachments: [{ mediaType: "application/pdf", source: new Uint8Array(500_000).fill(7) }],
};

/** Some of the ciphertext of what is attached to a record, as the store has it. */
async function ciphertext(w: Ward, storage: FullStorage, id: RecordId): Promise<Uint8Array> {
  const [record] = (await w.hl.records(w.me)).filter(({ record }) => record === id);
  const header = decodeSignedHeader((await storage.blobs.get(record!.head.envelope))!).header;
  const data = header.parts.find((part) => part.id === "attachment-0")!.data[0]!;
  return (await storage.blobs.get(data))!.subarray(200_000, 200_032);
}

describe("compacting after an erasure", () => {
  it("says pending where it cannot be done, and the same call completes it, in one entry", async () => {
    const { path, storage, trap } = await onDisk();
    const w = await ward({ inner: storage });
    const { id } = await w.hl.record(w.me, observation("bp-1"), long);
    const kept = await w.hl.record(w.me, observation("bp-2"));
    const secret = await ciphertext(w, storage, id);
    trap.error = NO_ROOM;
    const first = await w.hl.erase(w.me, { records: [id], reason: "asked" });
    expect(first).toMatchObject({ compacted: "pending", hindrance: NO_ROOM, erased: [id] });
    expect(first).not.toHaveProperty("compaction");
    expect(first.outOfReach).toContain("not been compacted yet");
    await expect(w.hl.read(id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    expect(await w.hl.pendingErasures()).toMatchObject([{ id: first.id, class: "clinical" }]);
    expect(bytesIn(path, secret)).toBe(true);
    await expect(w.hl.compact()).rejects.toBe(NO_ROOM);
    trap.error = undefined;
    const second = await w.hl.erase(w.me, { records: [id], reason: "asked" });
    expect(second).toMatchObject({ id: first.id, compacted: "done", erased: [id] });
    expect(second.outOfReach).not.toContain("compacted");
    expect(bytesIn(path, secret)).toBe(false);
    expect(await w.hl.pendingErasures()).toEqual([]);
    const third = await w.hl.erase(w.me, { records: [id], reason: "asked" });
    expect(third).toMatchObject({ id: first.id, compacted: "done" });
    expect(await eraseEntries(w)).toBe(1);
    expect(bytesToUtf8(await w.hl.read(kept.id))).toBe(observation("bp-2"));
    await w.hl.close();
    await storage.close();
  });

  it("opens a ledger whose compaction fails, and completes it at the next opening", async () => {
    const { path, storage, trap } = await onDisk();
    const w = await ward({ inner: storage });
    const { id } = await w.hl.record(w.me, observation("bp-1"), long);
    await w.hl.record(w.me, observation("bp-2"));
    const secret = await ciphertext(w, storage, id);
    // What an adapter of somebody else's throws need not be typed.
    trap.error = new Error("must be owner of table blob");
    await w.hl.erase(w.me, { records: [id], reason: "asked" });
    expect(bytesIn(path, secret)).toBe(true);
    await w.hl.close();
    const again = await w.open({ storage });
    expect(await again.records(w.me)).toHaveLength(1);
    await again.record(w.me, observation("bp-3"));
    expect(await again.pendingErasures()).toHaveLength(1);
    await expect(again.compact()).rejects.toMatchObject({
      code: "ERR_STORAGE_FAILED",
      cause: trap.error,
    });
    await again.close();
    trap.error = undefined;
    const third = await w.open({ storage });
    expect(await third.pendingErasures()).toEqual([]);
    expect(bytesIn(path, secret)).toBe(false);
    await third.close();
    await storage.close();
  });

  it("waits for hl.compact where it is scheduled, which tells what it completed", async () => {
    const { path, storage, trap } = await onDisk();
    const w = await ward({ inner: storage, compaction: "later" });
    const ids: RecordId[] = [];
    for (let i = 0; i < 4; i++)
      ids.push((await w.hl.record(w.me, observation(`bp-${i}`), long)).id);
    const secret = await ciphertext(w, storage, ids[0]!);
    const statements = [];
    for (const id of ids.slice(0, 3)) {
      statements.push(await w.hl.erase(w.me, { records: [id], reason: "asked" }));
    }
    expect(statements.map(({ compacted }) => compacted)).toEqual(Array(3).fill("pending"));
    expect(statements[0]).not.toHaveProperty("hindrance");
    await w.hl.close();
    const again = await w.open({ storage, compaction: "later" });
    expect(trap.compactions).toBe(0);
    const report = await again.compact();
    expect(trap.compactions).toBe(1);
    expect(report.finished.map(({ id }) => id).sort()).toEqual(
      statements.map(({ id }) => id).sort(),
    );
    expect(report.compaction.after).toBeGreaterThan(0);
    expect(bytesIn(path, secret)).toBe(false);
    expect(await again.pendingErasures()).toEqual([]);
    expect(await again.compact()).toMatchObject({ finished: [] });
    const now = await again.erase(w.me, { records: [ids[3]!], reason: "x", compaction: "now" });
    expect(now.compacted).toBe("done");
    await again.close();
    await storage.close();
  });

  it("refuses to compact what cannot be compacted, and says so in the statement", async () => {
    const { compact: _, ...inner } = memoryStorage();
    const w = await ward({ inner: inner as FullStorage, compaction: "later" });
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const statement = await w.hl.erase(w.me, { records: [id], reason: "asked" });
    expect(statement).toMatchObject({ compacted: "unsupported" });
    expect(statement.outOfReach).toContain("cannot be compacted");
    expect(await w.hl.pendingErasures()).toEqual([]);
    await expect(w.hl.compact()).rejects.toMatchObject({ code: "ERR_INPUT_UNSUPPORTED" });
  });

  it("completes an erasure that a failing store interrupted, in one entry", async () => {
    const inner = memoryStorage();
    let broken = false;
    const fail = (): never => {
      throw NO_ROOM;
    };
    const storage: FullStorage = {
      ...inner,
      blobs: {
        ...inner.blobs,
        delete: async (cids) => (broken ? fail() : inner.blobs.delete(cids)),
      },
    };
    const w = await ward({ inner: storage });
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    broken = true;
    for (let i = 0; i < 2; i++) {
      // Not the store's own error, which says that nothing was written: the entry stands.
      await expect(w.hl.erase(w.me, { records: [id], reason: "asked" })).rejects.toMatchObject({
        code: "ERR_STORAGE_PENDING",
        cause: NO_ROOM,
      });
    }
    broken = false;
    const statement = await w.hl.erase(w.me, { records: [id], reason: "asked" });
    expect(statement).toMatchObject({ compacted: "done", erased: [id] });
    expect(await eraseEntries(w)).toBe(1);
    const all = await w.hl.erase(w.me, { all: true, reason: "asked" });
    expect(all.id).toBe(statement.id);
    expect(await eraseEntries(w)).toBe(1);
  });

  it("forgets a person whose records were erased before without forgetting him", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    await w.hl.erase(w.me, { all: true, reason: "asked" });
    await w.hl.erase(w.me, { all: true, reason: "asked", forgetSubject: true });
    expect(await w.hl.findSubject(MRN)).toBeUndefined();
    await w.hl.erase(w.me, { all: true, reason: "asked", forgetSubject: true });
    expect(await eraseEntries(w)).toBe(2);
  });

  it("erases what is left of records of which some are erased", async () => {
    const w = await ward();
    const one = await w.hl.record(w.me, observation("bp-1"));
    const two = await w.hl.record(w.me, observation("bp-2"));
    await w.hl.erase(w.me, { records: [one.id], reason: "asked" });
    const rest = await w.hl.erase(w.me, { records: [one.id, two.id], reason: "asked" });
    expect(rest.erased).toEqual([two.id]);
    expect(await w.hl.records(w.me)).toEqual([]);
  });
});

describe("what erase must be told", () => {
  const UNKNOWN = parseRecordId("00".repeat(32));
  const anything = (options: unknown) => options as EraseOptions;

  it.each<[string, object, string?]>([
    ["nothing", { reason: "x" }],
    ["records that are undefined", { records: undefined, reason: "x" }],
    ["records that are null", { records: null, reason: "x" }],
    ["no records", { records: [], reason: "x" }],
    ["one id in the place of a list", { records: UNKNOWN, reason: "x" }],
    ["an id that is undefined", { records: [undefined], reason: "x" }],
    ["an id that is too short", { records: [UNKNOWN.slice(2)], reason: "x" }],
    ["an id in upper case", { records: ["AB".repeat(32)], reason: "x" }],
    ["an id in bytes", { records: [new Uint8Array(32)], reason: "x" }],
    ["an id that is unknown", { records: [UNKNOWN], reason: "x" }, "ERR_RECORD_NOT_FOUND"],
    ["accesses of a record's class", { accesses: [UNKNOWN], reason: "x" }],
    ["records of the accesses' class", { class: "audit", records: [UNKNOWN], reason: "x" }],
    ["both lists", { records: [UNKNOWN], accesses: [UNKNOWN], reason: "x" }],
    [
      "an access that is unknown",
      { class: "audit", accesses: [UNKNOWN], reason: "x" },
      "ERR_RECORD_NOT_FOUND",
    ],
    ["both", { records: [UNKNOWN], all: true, reason: "x" }],
    ["all, and records that are undefined", { records: undefined, all: true, reason: "x" }],
    ["all that is not true", { all: false, reason: "x" }],
    ["all in other words", { all: "yes", reason: "x" }],
    ["all that is undefined", { all: undefined, reason: "x" }],
    ["a class that is undefined", { all: true, class: undefined, reason: "x" }],
    ["a misspelt option", { all: true, record: [UNKNOWN], reason: "x" }],
    ["forgetting in other words", { all: true, forgetSubject: 1, reason: "x" }],
    ["no reason", { all: true }],
    ["a time of no kind", { all: true, reason: "x", compaction: "never" }],
  ])("destroys nothing when told %s", async (_, options, code = "ERR_INPUT_INVALID") => {
    const w = await ward();
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const { size } = w.hl.chain;
    await expect(w.hl.erase(w.me, anything(options))).rejects.toMatchObject({
      code,
    });
    expect(w.hl.chain.size).toBe(size);
    expect(bytesToUtf8(await w.hl.read(id))).toBe(observation("bp-1"));
  });

  it("destroys no living record beside one that is unknown", async () => {
    const w = await ward();
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const wrong = { records: [id, UNKNOWN], reason: "x" };
    await expect(w.hl.erase(w.me, wrong)).rejects.toMatchObject({ code: "ERR_RECORD_NOT_FOUND" });
    expect(bytesToUtf8(await w.hl.read(id))).toBe(observation("bp-1"));
  });

  it("refuses to open with an invalid time of compaction", async () => {
    const w = await ward();
    await expect(w.again({ compaction: "never" as "now" })).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
  });
});
