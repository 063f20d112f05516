import { describe, expect, it } from "vitest";
import { randomBytes } from "#crypto";
import { entryIdBytes } from "../../../src/codec/ids.ts";
import { toHex } from "../../../src/bytes/hex.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { StorageError } from "../../../src/errors.ts";
import { indexNames } from "../../../src/ledger/index/names.ts";
import { decodeIndexRecord, encodeIndexRecord } from "../../../src/ledger/index/record.ts";
import { openVault, type Vault } from "../../../src/ledger/vault/vault.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage, StateEntry } from "../../../src/storage/types.ts";
import { memoryKeys } from "../../../src/identity/key-store.ts";
import { keysFor, MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { collect, revoking, texts, ward } from "../../support/ward.ts";
import { cidOf, DAG_CBOR } from "../../../src/codec/cid.ts";
import { secondVault } from "../../support/by-hand.ts";

const ledger = cidOf(bytesFor("genesis"), DAG_CBOR);
const utf8 = (text: string) => new TextEncoder().encode(text);

const actorOf = async (name: string): Promise<string> => (await keysFor(name)).signer().actor;

/** The vault of a member, opened with the key store of one of that name. */
async function vaultOf(
  storage: FullStorage,
  name = "hospital a",
  member = name,
  of = ledger,
): Promise<Vault> {
  const keys = await keysFor(name);
  const actor = await actorOf(member);
  return openVault({
    hasFiled: async () => false,
    storage,
    keys,
    ledger: of,
    actor,
    random: randomBytes,
  });
}

const entries = (storage: FullStorage): Promise<StateEntry[]> =>
  collect(storage.state.scan({ gte: utf8("vault/"), lt: utf8("vault0") }));

describe("openVault", () => {
  it("keeps values over a restart, under names and in forms that say nothing", async () => {
    const storage = memoryStorage();
    const vault = await vaultOf(storage);
    const name = vault.name("subject", "urn:oid:1.2.3", "MRN-0012345");
    await storage.state.batch([vault.put(name, utf8("Mrs. Vandermoor"))]);
    const again = await vaultOf(storage);
    expect(bytesToUtf8((await again.get(name))!)).toBe("Mrs. Vandermoor");
    expect(toHex(again.name("subject", "urn:oid:1.2.3", "MRN-0012345"))).toBe(toHex(name));
    for (const { key, value } of await entries(storage)) {
      for (const bytes of [key, value]) {
        expect(Buffer.from(bytes).includes("Vandermoor")).toBe(false);
        expect(Buffer.from(bytes).includes("MRN-00")).toBe(false);
      }
    }
  });

  it("tells names apart that would run together", async () => {
    const vault = await vaultOf(memoryStorage());
    const names = [
      vault.name("a", "bc"),
      vault.name("ab", "c"),
      vault.name("a", "b", "c"),
      vault.name("abc"),
      vault.name("a", utf8("bc")),
    ];
    expect(new Set(names.map(toHex)).size).toBe(5);
  });

  it("does not open a value that was moved to another name, or altered", async () => {
    const storage = memoryStorage();
    const vault = await vaultOf(storage);
    const [one, two] = [vault.name("one"), vault.name("two")];
    await storage.state.batch([vault.put(one, utf8("first")), vault.put(two, utf8("second"))]);
    const all = await entries(storage);
    const of = (name: Uint8Array) => all.find(({ key }) => toHex(key).endsWith(toHex(name)))!;
    await storage.state.batch([{ key: of(one).key, value: of(two).value }]);
    await expect(vault.get(one)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await expect(vault.getMany([two, one])).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await expect(collect(vault.scan(one.subarray(0, 4)))).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
    });
    for (const value of [new Uint8Array(0), new Uint8Array(11), of(one).value.slice(1)]) {
      await storage.state.batch([{ key: of(one).key, value }]);
      await expect(vault.get(one)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    }
  });

  it("opens for no other key store, no other member and no other ledger", async () => {
    const storage = memoryStorage();
    const vault = await vaultOf(storage);
    await storage.state.batch([vault.put(vault.name("x"), utf8("value"))]);
    await expect(vaultOf(storage, "hospital b", "hospital a")).rejects.toMatchObject({
      code: "ERR_SIGNATURE_KEYSTORE",
    });
    const other = await vaultOf(storage, "hospital b");
    expect(await other.get(other.name("x"))).toBe(undefined);
    expect(toHex(other.name("x"))).not.toBe(toHex(vault.name("x")));
    const elsewhere = await vaultOf(
      storage,
      "hospital a",
      "hospital a",
      cidOf(bytesFor("other"), DAG_CBOR),
    );
    expect(await elsewhere.get(elsewhere.name("x"))).toBe(undefined);
  });

  it("does not open when its root was copied from another ledger's", async () => {
    const storage = memoryStorage();
    const elsewhere = cidOf(bytesFor("other"), DAG_CBOR);
    await vaultOf(storage);
    const [root] = await entries(storage);
    await vaultOf(storage, "hospital a", "hospital a", elsewhere);
    const theirs = (await entries(storage)).find(({ key }) => toHex(key) !== toHex(root!.key))!;
    await storage.state.batch([{ key: theirs.key, value: root!.value }]);
    await expect(vaultOf(storage, "hospital a", "hospital a", elsewhere)).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
    });
  });

  it("opens after its agreement key was retired, as long as the owner keeps it", async () => {
    const storage = memoryStorage();
    const keys = memoryKeys();
    await keys.add({ use: "sign", secret: bytesFor("s") });
    const { key } = await keys.add({ use: "agree", secret: bytesFor("old") });
    const { actor } = keys.signer();
    const hasFiled = async () => false;
    const options = { storage, keys, ledger, actor, random: randomBytes, hasFiled };
    const vault = await openVault(options);
    await storage.state.batch([vault.put(vault.name("x"), utf8("value"))]);
    await keys.add({ use: "agree", secret: bytesFor("new") });
    await keys.retire(key);
    const again = await openVault(options);
    expect(bytesToUtf8((await again.get(again.name("x")))!)).toBe("value");
  });

  it("has one root when several open it at once for the first time", async () => {
    const storage = memoryStorage();
    const all = await Promise.all(Array.from({ length: 8 }, () => vaultOf(storage)));
    expect(new Set(all.map((vault) => toHex(vault.name("x")))).size).toBe(1);
  });

  it("does work again that rests on what changed meanwhile", async () => {
    const storage = memoryStorage();
    const [one, two] = [await vaultOf(storage), await vaultOf(storage)];
    const name = one.name("counter");
    const count = async (vault: Vault) =>
      vault.exclusively(async () => {
        const value = (await vault.get(name))?.[0] ?? 0;
        return { result: value, changes: [vault.put(name, Uint8Array.of(value + 1))] };
      });
    const seen = await Promise.all(Array.from({ length: 20 }, (_, i) => count(i % 2 ? one : two)));
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });
});

describe("the index in the vault", () => {
  async function filled() {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const first = await w.permit();
    const gone = await w.hl.record(w.me, observation("bp-0"));
    const kept = await w.hl.record(w.me, observation("bp-1"));
    await w.hl.erase(w.me, { records: [gone.id], reason: "asked" });
    await w.ask();
    const before = await w.hl.audit(w.me)[Symbol.asyncIterator]().next();
    await w.hl.close();
    return { w, inner, first, gone, kept, before };
  }

  it("is built again from ledger, envelopes and keys when all of it is lost", async () => {
    const { w, inner, gone, kept } = await filled();
    // What cannot be built again: root and content keys.
    const vault = await secondVault(w, inner);
    const keep = new Set(
      [...(await collect(inner.blobs.list())).map((cid) => vault.name("cek", cid.bytes))].map(
        toHex,
      ),
    );
    let removed = 0;
    for (const { key } of await entries(inner)) {
      const name = toHex(key.subarray("vault/".length + 17));
      const isRoot = key["vault/".length + 16] === 0;
      if (isRoot || keep.has(name)) continue;
      await inner.state.batch([{ key, value: null }]);
      removed++;
    }
    expect(removed).toBeGreaterThan(5);
    const again = await w.open({ storage: inner });
    const me = await again.ensureSubject(MRN);
    expect(toHex(me.local)).toBe(toHex(w.me.local));
    expect((await again.records(me)).map(({ head }) => head.id)).toEqual([kept.id]);
    expect(await collect(again.audit(me))).toHaveLength(1);
    expect(await again.directives(me)).toHaveLength(1);
    await expect(again.read(gone.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    const answer = await again.request(w.b, { patient: MRN, purposes: ["TREAT"] });
    expect(await texts(answer)).toEqual([observation("bp-1")]);
  });

  it("says that it is damaged, and is built again on demand", async () => {
    const { w, inner, kept, gone } = await filled();
    const vault = await secondVault(w, inner);
    const stored = await inner.state.get(vault.indexRecordKey);
    const names = indexNames(vault, decodeIndexRecord(vault, stored!)!.generation);
    const damage = [
      names.page(w.me.local, 0),
      names.id(entryIdBytes(kept.entry)),
      names.id(entryIdBytes(gone.entry)),
    ].map(toHex);
    for (const { key, value } of await entries(inner)) {
      const name = toHex(key.subarray("vault/".length + 17));
      if (!damage.includes(name)) continue;
      value[value.length >> 1]! ^= 1;
      await inner.state.batch([{ key, value }]);
    }
    const damaged = await w.open({ storage: inner });
    const me = await damaged.ensureSubject(MRN);
    await expect(damaged.records(me)).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
      message: expect.stringContaining("repair.index"),
    });
    await expect(damaged.read(kept.id)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await damaged.close();
    const again = await w.open({ storage: inner, repair: { index: true } });
    expect((await again.records(me)).map(({ head }) => head.id)).toEqual([kept.id]);
    await expect(again.read(gone.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    expect(await again.directives(me)).toHaveLength(1);
  });

  it("forgets nothing when writing it failed once", async () => {
    const inner = memoryStorage();
    let broken = false;
    const flaky: FullStorage = {
      ...inner,
      async commit(batch, options) {
        if (broken && batch.append!.chain.includes("/vault/")) {
          throw new StorageError("ERR_STORAGE_FAILED", "disk full");
        }
        return inner.commit(batch, options);
      },
    };
    const w = await ward({ inner: flaky });
    await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    await w.hl.records(w.me);
    await w.hl.consent(w.me, revoking(w.patient), { signer: w.patient });
    broken = true;
    // A store that takes no writes is read nevertheless.
    expect(await w.hl.records(w.me)).toHaveLength(1);
    expect(await w.hl.directives(w.me)).toHaveLength(2);
    await expect(w.hl.erase(other, { all: true, reason: "x" })).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
    });
    broken = false;
    await w.hl.record(other, observation("bp-2"));
    expect(await w.hl.records(other)).toHaveLength(1);
    await w.hl.close();
    const again = await w.open({ storage: inner });
    expect(await again.directives(await again.ensureSubject(MRN))).toHaveLength(2);
    expect((await again.request(w.b, { patient: MRN, purposes: ["TREAT"] })).count).toBe(0);
  });

  it("is rebuilt when its mark is of a longer history than the ledger has", async () => {
    const { w, inner, kept } = await filled();
    const vault = await secondVault(w, inner);
    const record = decodeIndexRecord(vault, (await inner.state.get(vault.indexRecordKey))!)!;
    const beyond = encodeIndexRecord(vault, { ...record, height: 1000 });
    await inner.state.batch([{ key: vault.indexRecordKey, value: beyond }]);
    const again = await w.open({ storage: inner });
    const me = await again.ensureSubject(MRN);
    const { id } = await again.record(me, observation("bp-7"));
    const names = (await again.records(me)).map(({ record }) => record);
    expect(names).toEqual([kept.id, id]);
  });

  it("does not tell, without the keys, which entries on the ledger are about one person", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const placeOf = ({
      height,
      transaction,
      entry,
    }: {
      height: number;
      transaction: number;
      entry: number;
    }) => {
      const bytes = new Uint8Array(16);
      const view = new DataView(bytes.buffer);
      view.setBigUint64(0, BigInt(height));
      view.setUint32(8, transaction);
      view.setUint32(12, entry);
      return bytes;
    };
    const filed = [];
    for (let i = 0; i < 5; i++) filed.push(await w.hl.record(w.me, observation(`bp-${i}`)));
    await w.hl.consent(w.me, treatmentOnly(w.patient), { signer: w.patient });
    await w.hl.records(w.me);
    await w.hl.close();
    for (const { key } of await entries(inner)) {
      for (const { place, entry } of filed) {
        expect(Buffer.from(key).includes(Buffer.from(placeOf(place)))).toBe(false);
        expect(Buffer.from(key).includes(Buffer.from(entry, "hex"))).toBe(false);
      }
    }
  });
});
