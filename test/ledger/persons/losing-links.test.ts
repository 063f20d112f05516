import { describe, expect, it } from "vitest";
import { memorySigner } from "../../../src/identity/signer.ts";
import { decodeEntry, type SubjectEntry } from "../../../src/block/entry.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { encodeManifest, decodeManifest } from "../../../src/ledger/entries/manifest.ts";
import { observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { snapshotOf, storageFrom, type Snapshot } from "../../support/loss-scene.ts";
import { collect, ward, type Ward } from "../../support/ward.ts";

const reason = "the same person";
const A = { system: "urn:oid:1.1.1", value: "1" };
const B = { system: "urn:oid:2.2.2", value: "7" };
const C = { system: "urn:oid:3.3.3", value: "3" };
const OPTIONS = { signedHeads: "store" } as const;

interface Scene {
  readonly w: Ward;
  readonly inner: FullStorage;
  /** Everything in the store once the two are joined, and once they are parted. */
  readonly joined: Snapshot;
  readonly parted: Snapshot;
  readonly one: Uint8Array;
  readonly other: Uint8Array;
  readonly merge: { readonly height: number };
}

/** One person who refuses, another who permits and has a record, joined and then parted. */
async function scene(): Promise<Scene> {
  const inner = memoryStorage();
  const w = await ward({ inner, ...OPTIONS });
  const { hl } = w;
  const one = await hl.ensureSubject(A);
  const other = await hl.ensureSubject(B);
  await hl.ensureSubject(C);
  const key = memorySigner({ alg: "Ed25519", secret: bytesFor("one") });
  const root = { id: "no", effect: "deny", combine: "deny-overrides", when: {} } as const;
  await hl.consent(one, treatmentOnly(key, { root }), { signer: key });
  await hl.consent(other, treatmentOnly(w.patient, { lineage: "b" }), { signer: w.patient });
  await hl.record(other, observation("b"));
  await hl.close();
  const first = await w.again();
  const link = await first.merge(one, other, { reason });
  const merge = { height: first.chain.size - 1 };
  await first.close();
  const joined = await snapshotOf(inner);
  const second = await w.again();
  await second.unmerge(link, { reason });
  await second.close();
  const parted = await snapshotOf(inner);
  return { w, inner, joined, parted, one: one.local, other: other.local, merge };
}

describe("a store that lost a merge", () => {
  it("says so in every list, about whomever it may concern", async () => {
    const s = await scene();
    const hl = await s.w.open({ storage: await storageFrom(s.joined), ...OPTIONS });
    const { block } = await hl.chain.readBlock(s.merge.height);
    const { body } = decodeEntry(block.transactions[0]!.entries[0]!) as SubjectEntry;
    await hl.close();
    const storage = await storageFrom(s.joined);
    await storage.blobs.delete([body]);
    const again = await s.w.open({ storage, ...OPTIONS, repair: { index: true } });
    const corrupt = { code: "ERR_STORAGE_CORRUPT" };
    for (const local of [s.one, s.other]) {
      await expect(again.records({ local })).rejects.toMatchObject(corrupt);
      await expect(again.directives({ local })).rejects.toMatchObject(corrupt);
      await expect(collect(again.audit({ local }))).rejects.toMatchObject(corrupt);
      await expect(again.erase({ local }, { all: true, reason })).rejects.toMatchObject(corrupt);
    }
    expect((await again.lost()).map(({ kind }) => kind)).toEqual(["link"]);
  });
});

describe("a store that lost an entry about a proposal", () => {
  it.each(["propose", "dismiss"])("says so where it is the %s", async (lost) => {
    const inner = memoryStorage();
    const w = await ward({ inner, ...OPTIONS });
    const [one] = [await w.hl.ensureSubject(A), await w.hl.ensureSubject(B)];
    await w.hl.identify(one, [B]);
    let { height } = { height: w.hl.chain.size - 1 };
    const [proposal] = await collect(w.hl.proposals());
    if (lost === "dismiss") {
      await w.hl.dismissProposal(proposal!.id, { reason: "twins" });
      height = w.hl.chain.size - 1;
    }
    const { block } = await w.hl.chain.readBlock(height);
    const { body } = decodeEntry(block.transactions[0]!.entries[0]!) as SubjectEntry;
    await w.hl.close();
    const storage = await storageFrom(await snapshotOf(inner));
    await storage.blobs.delete([body]);
    const hl = await w.open({ storage, ...OPTIONS, repair: { index: true } });
    const corrupt = { code: "ERR_STORAGE_CORRUPT" };
    await expect(collect(hl.proposals())).rejects.toMatchObject(corrupt);
    const dismissed = hl.dismissProposal(proposal!.id, { reason: "twins" });
    await expect(dismissed).rejects.toMatchObject(corrupt);
    expect((await hl.lost()).map(({ kind }) => kind)).toEqual(["link"]);
  });
});

describe("the manifest of a link", () => {
  const local = bytesFor("local").slice(0, 16);
  const other = bytesFor("other").slice(0, 16);
  const replaces = "ab".repeat(32) as never;

  it("names two persons, and the merge that it ends", () => {
    const merge = { v: 1, op: "merge", local, other, reason } as const;
    expect(decodeManifest(encodeManifest(merge))).toEqual(merge);
    const unmerge = { v: 1, op: "unmerge", local, other, replaces } as const;
    expect(decodeManifest(encodeManifest(unmerge))).toEqual(unmerge);
  });

  it.each<[string, object]>([
    ["a merge with nobody", { op: "merge" }],
    ["a merge with themselves", { op: "merge", other: local }],
    ["a merge with a short id", { op: "merge", other: other.slice(1) }],
    ["a merge that ends another", { op: "merge", other, replaces }],
    ["an unmerge of nothing", { op: "unmerge", other }],
    ["an unmerge of one", { op: "unmerge", replaces }],
    ["a record of two", { op: "create", other }],
    ["a proposal of a person and themselves", { op: "propose", other: local }],
    ["a proposal that follows another", { op: "propose", other, replaces }],
    ["a dismissal of nothing", { op: "dismiss", other }],
  ])("is not %s", (_, fields) => {
    expect(() => encodeManifest({ v: 1, local, ...fields } as never)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^ERR_ENCODING_/) }),
    );
  });
});
