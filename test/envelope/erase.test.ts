import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { toHex } from "../../src/bytes/hex.ts";
import type { CID } from "../../src/codec/cid.ts";
import { eraseEnvelope, type ErasableRecords } from "../../src/envelope/erase.ts";
import { decodeSignedHeader, signHeader } from "../../src/envelope/header.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import { verifySupersession } from "../../src/envelope/supersede.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { context, hospital, seal, seeded } from "./parties.ts";

const sealed = await seal([
  { id: "manifest", bytes: utf8ToBytes("{}") },
  { id: "content", bytes: new Uint8Array(2_000_000) },
]);

async function kept() {
  const { blobs } = memoryStorage();
  await blobs!.put([{ cid: sealed.cid, bytes: sealed.header }, ...sealed.blocks]);
  return blobs!;
}

function shelf(...names: Uint8Array[]): ErasableRecords & { left: Set<string> } {
  const left = new Set(names.map(toHex));
  return {
    left,
    list: async () => names.filter((name) => left.has(toHex(name))),
    delete: async (gone) => gone.forEach((name) => left.delete(toHex(name))),
  };
}

describe("eraseEnvelope", () => {
  it("deletes keys, grants, ciphertext and header, and says how many", async () => {
    const blobs = await kept();
    const grants = shelf(Uint8Array.of(1), Uint8Array.of(2));
    const keys = shelf(Uint8Array.of(3));
    const done = await eraseEnvelope({ envelope: sealed.cid, blobs, grants, keys });
    expect(done).toEqual({
      envelope: sealed.cid,
      deleted: { header: 1, blocks: 4, grants: 2, keys: 1 },
      absent: [],
      unreached: [],
    });
    expect(await blobs.count()).toBe(0);
    expect([grants.left.size, keys.left.size]).toEqual([0, 0]);
  });

  it("reports what it could not reach, and finishes when it can", async () => {
    const store = await kept();
    const refused = new Error("no connection");
    let open = false;
    const stubborn = sealed.blocks[2]!.cid;
    const blobs = {
      get: (cid: CID) => store.get(cid),
      has: (cid: CID) => store.has(cid),
      delete: async (cids: readonly CID[]) => {
        if (!open && cids.some((cid) => cid.equals(stubborn))) throw refused;
        await store.delete(cids);
      },
    };
    const grants = { ...shelf(Uint8Array.of(1)), delete: () => Promise.reject(refused) };
    const keys = { ...shelf(), list: () => Promise.reject(refused) };
    const first = await eraseEnvelope({ envelope: sealed.cid, blobs, grants, keys });
    expect(first.deleted).toEqual({ header: 0, blocks: 0, grants: 0, keys: 0 });
    expect(first.unreached.map(({ what, names }) => [what, names.length])).toEqual([
      ["keys", 0],
      ["grants", 1],
      ["blocks", 4],
    ]);
    expect(first.unreached.every(({ cause }) => cause === refused)).toBe(true);
    // The header stands, so that what is left can be found.
    expect(await store.has(sealed.cid)).toBe(true);
    open = true;
    const second = await eraseEnvelope({ envelope: sealed.cid, blobs });
    expect(second.deleted).toMatchObject({ header: 1, blocks: 4 });
    expect(await store.count()).toBe(0);
  });

  it("says what was gone before, and that blocks cannot be told without a header", async () => {
    const blobs = await kept();
    await blobs.delete([sealed.blocks[1]!.cid]);
    const { deleted, absent } = await eraseEnvelope({ envelope: sealed.cid, blobs });
    expect(deleted).toMatchObject({ header: 1, blocks: 3 });
    expect(absent.map(String)).toEqual([String(sealed.blocks[1]!.cid)]);
    const again = await eraseEnvelope({ envelope: sealed.cid, blobs });
    expect(again.unreached).toMatchObject([{ what: "blocks", cause: "the header is gone" }]);
    expect(again.absent.map(String)).toEqual([String(sealed.cid)]);
    const damaged = {
      get: async () => new Uint8Array(9),
      has: async () => true,
      delete: async () => undefined,
    };
    const third = await eraseEnvelope({ envelope: sealed.cid, blobs: damaged });
    expect(third.unreached).toMatchObject([{ what: "blocks", cause: "the header is damaged" }]);
    expect(third.deleted.header).toBe(1);
    const silent = { ...damaged, get: () => Promise.reject(new Error("no connection")) };
    const fourth = await eraseEnvelope({ envelope: sealed.cid, blobs: silent });
    expect(fourth.unreached).toMatchObject([{ what: "header" }]);
  });
});

describe("verifySupersession", () => {
  it("accepts what was sealed anew in its place, and nothing else", async () => {
    const older = decodeSignedHeader(sealed.header);
    const parts = [{ id: "content", bytes: new Uint8Array(3) }];
    const random = seeded("newer");
    const made = await sealEnvelope({
      ...{ context, parts, signer: hospital, random },
      supersedes: sealed.cid,
    });
    const newer = decodeSignedHeader(made.header);
    expect(verifySupersession(newer, older)).toEqual({ ok: true });
    const reason = (change: object, of = older) => {
      const result = verifySupersession({ ...newer, header: { ...newer.header, ...change } }, of);
      return result.ok ? "ok" : result.reason;
    };
    expect(reason({ supersedes: undefined })).toBe("not-superseded");
    expect(reason({ supersedes: newer.envelope })).toBe("not-superseded");
    expect(reason({}, newer)).toBe("not-superseded");
    expect(reason({ context: { ...context, kind: "consent" } })).toBe("context");
    expect(reason({ context: { ...context, author: "did:key:z" } })).toBe("context");
    const reused = await signHeader(
      { ...newer.header, salt: older.header.salt, supersedes: sealed.cid },
      hospital,
    );
    expect(verifySupersession(decodeSignedHeader(reused), older)).toEqual({
      ok: false,
      reason: "same-salt",
    });
  });
});
