import { describe, expect, it } from "vitest";
import { decodeEntry, encodeEntry, entryId, type SubjectEntry } from "../../src/block/entry.ts";
import { decodeTransaction } from "../../src/block/transaction.ts";
import { decodeReceipt } from "../../src/chain/receipt.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { cidFromDigest, DAG_CBOR } from "../../src/codec/cid.ts";
import { toEntryId, type EntryId } from "../../src/codec/ids.ts";
import { memoryShardKeys } from "../../src/identity/shard-keys.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { MRN, observation } from "../support/hospital.ts";
import { bytesFor } from "../support/ledger.ts";
import { collect, opened, readable, texts, ward, type Ward } from "../support/ward.ts";

const COUNT = 12;
const bundle = {
  resourceType: "Bundle",
  type: "collection",
  entry: Array.from({ length: COUNT }, (_, i) => ({
    resource: JSON.parse(observation(`o${i}`)) as { resourceType: string },
  })),
};

/** A ward that has filed a bundle, and the ids of the decoys beside it: there are some. */
async function filed(options: Parameters<typeof ward>[0] = {}) {
  const w = await ward(options);
  await w.permit();
  for (;;) {
    const person = await w.hl.ensureSubject({ ...MRN, value: `MRN-${w.hl.chain.size}` });
    const { recorded } = await w.hl.recordBundle(person, bundle);
    const { height, transaction } = recorded[0]!.place;
    const own = new Set(recorded.map(({ entry }) => entry));
    const { block } = await w.hl.chain.readBlock(height);
    const { entries } = block.transactions[transaction]!;
    const ids = entries.map((bytes) => toEntryId(entryId(w.hl.id, w.hl.member, bytes)));
    const decoys = ids.filter((id) => !own.has(id));
    if (decoys.length > 2) return { w, person, recorded, ids, decoys };
  }
}

const numbers = (hl: Ledger) => ({
  records: async (person: Ward["me"]) => (await hl.records(person)).length,
  lost: async () => (await hl.lost()).map(({ id }) => id),
});

describe("decoys beside the records of a bundle", () => {
  it("leave every place and receipt right", async () => {
    const { w, recorded, ids } = await filed();
    for (const { entry, place } of recorded) expect(ids[place.entry]).toBe(entry);
    await w.hl.recordBundle(w.me, bundle);
    const items = await opened(await w.ask());
    expect(items).toHaveLength(COUNT);
    const records = new Map(
      (await w.hl.records(w.me)).map(({ head, record }) => [record as string, head.place]),
    );
    for (const { record, receipt } of items) {
      expect(verifyReceipt(receipt, trustFromGenesis(w.genesis))).toMatchObject({ ok: true });
      const { entryIndex, tx } = decodeReceipt(receipt);
      expect(records.get(record)!.entry).toBe(entryIndex);
      expect(decodeTransaction(tx).count).toBeGreaterThanOrEqual(COUNT);
    }
  });

  it.each(["the process that filed them", "another one", "an index built anew"])(
    "are never listed, lost, missing or audited by %s",
    async (who) => {
      const { w, person, decoys } = await filed();
      const repair = who.startsWith("an index") ? { repair: { index: true } } : {};
      const hl = who.startsWith("the") ? w.hl : await w.again(repair);
      expect(await numbers(hl).records(person)).toBe(COUNT);
      expect(await numbers(hl).lost()).toEqual([]);
      expect(await hl.verifyBlobs()).toMatchObject({ damaged: [], missing: [] });
      expect(await readable(hl.audit(person))).toEqual([]);
      expect(await hl.relabelStale()).toEqual({ stale: 0, relabelled: 0, unreadable: 0 });
      await expect(hl.giveUp(decoys, { reason: "none" })).rejects.toMatchObject({
        code: "ERR_INPUT_INVALID",
      });
      expect((await collect(hl.follow({ until: hl.chain.size }))).length).toBeGreaterThan(COUNT);
    },
  );

  it("are recognised after an erasure that replaced the keys of the vault's shards", async () => {
    const shardKeys = memoryShardKeys();
    const { w, person, recorded } = await filed({ shardKeys });
    await w.hl.erase(person, { records: [recorded[0]!.id], reason: "asked for" });
    await w.hl.close();
    const hl = await w.again({ repair: { index: true } });
    expect(await numbers(hl).records(person)).toBe(COUNT - 1);
    expect(await numbers(hl).lost()).toEqual([]);
    expect(await hl.verifyBlobs()).toMatchObject({ damaged: [], missing: [] });
  });

  it("hide no record that was lost", async () => {
    const { w, person, recorded } = await filed();
    const { place, entry } = recorded[3]!;
    const { block } = await w.hl.chain.readBlock(place.height);
    const bytes = block.transactions[place.transaction]!.entries[place.entry]!;
    await w.hl.close();
    await w.storage.blobs!.delete([(decodeEntry(bytes) as SubjectEntry).body]);
    const hl = await w.again({ repair: { index: true } });
    expect(await numbers(hl).lost()).toEqual([entry]);
    await expect(hl.records(person)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
  });

  it("are not made without the vault's root, not even with the custodian's signing key", async () => {
    const { w, decoys } = await filed();
    const before = await collect(w.hl.follow({ until: w.hl.chain.size }));
    const decoy = before.find(({ id }) => toEntryId(id) === decoys[0])!.entry as SubjectEntry;
    const body = cidFromDigest(bytesFor("envelope"), DAG_CBOR);
    const forged = [
      // A decoy's salt and tag before the body of something else, and other tags altogether.
      encodeEntry({ ...decoy, body }),
      encodeEntry({ ...decoy, subject: bytesFor("tag") }),
      encodeEntry({ ...decoy, salt: new Uint8Array(16) }),
    ];
    await w.write(w.hospitalA, forged);
    const ids: EntryId[] = forged.map((one) => toEntryId(entryId(w.hl.id, w.hl.member, one)));
    expect(new Set(await numbers(w.hl).lost())).toEqual(new Set(ids));
    const again = await w.again({ repair: { index: true } });
    expect(new Set(await numbers(again).lost())).toEqual(new Set(ids));
  });

  it("are nobody's elsewhere: a copied decoy of another member is its own entry, which is lost", async () => {
    const { w, decoys } = await filed();
    const all = await collect(w.hl.follow({ until: w.hl.chain.size }));
    const { bytes } = all.find(({ id }) => toEntryId(id) === decoys[0])!;
    const hlB = await w.open({ keys: w.hospitalB, storage: w.storage });
    await hlB.ensureSubject(MRN);
    await w.write(w.hospitalB, [bytes]);
    expect(await hlB.lost()).toMatchObject([{ kind: "record" }]);
    expect(await numbers(w.hl).lost()).toEqual([]);
  });

  it("stand beside no entry that shares its transaction with those of other calls", async () => {
    const w = await ward();
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    const people = [w.me, w.me, other, other];
    const made = await Promise.all(
      people.map((person, i) => w.hl.record(person, observation(`o${i}`))),
    );
    for (const { place } of made) {
      const { block } = await w.hl.chain.readBlock(place.height);
      const { entries } = block.transactions[place.transaction]!;
      const own = made.filter(
        (one) => one.place.height === place.height && one.place.transaction === place.transaction,
      );
      expect(entries).toHaveLength(own.length);
    }
    await w.permit();
    expect(await texts(await w.ask())).toHaveLength(2);
  });

  it("are not beside one record alone, and stay unseen when the records are erased and nothing is written", async () => {
    const { w, person } = await filed();
    const one = { ...bundle, entry: bundle.entry.slice(0, 1) };
    const { recorded } = await w.hl.recordBundle(w.me, one);
    const { height, transaction } = recorded[0]!.place;
    const { block } = await w.hl.chain.readBlock(height);
    expect(block.transactions[transaction]!.entries).toHaveLength(1);
    await w.hl.erase(person, { all: true, forgetSubject: true, reason: "asked for" });
    await w.hl.close();
    const hl = await w.again({ readOnly: true });
    expect(await numbers(hl).records(w.me)).toBe(1);
    expect(await numbers(hl).lost()).toEqual([]);
    expect(await hl.verifyBlobs()).toMatchObject({ damaged: [], missing: [] });
  });
});
