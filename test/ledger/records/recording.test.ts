import { describe, expect, it } from "vitest";
import { parseRecordId, toRecordId, type RecordId } from "../../../src/codec/ids.ts";
import { bytesToUtf8, utf8ToBytes } from "../../../src/bytes/utf8.ts";
import { toHex } from "../../../src/bytes/hex.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { decodeTransaction } from "../../../src/block/transaction.ts";
import { alcoholDependence, MRN, observation } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { collect, opened, requesterOf, texts, ward } from "../../support/ward.ts";

const person = (value: string) => ({ ...MRN, value });

const patient = (id: string, value: string) => ({
  fullUrl: `urn:uuid:${id}`,
  resource: { resourceType: "Patient", id, identifier: [{ system: MRN.system, value }] },
});
const about = (id: string, of: string) => ({
  fullUrl: `urn:uuid:${id}`,
  resource: {
    ...(JSON.parse(observation(id)) as object),
    subject: { reference: `urn:uuid:${of}` },
  },
});
const bundleOf = (...entry: object[]) => ({ resourceType: "Bundle", type: "collection", entry });

describe("amend", () => {
  it("files the new version with the person whose record it is", async () => {
    const { hl, me } = await ward();
    const other = await hl.ensureSubject(person("other"));
    const first = await hl.record(other, observation("bp-1", "1.0"));
    const { id } = first;
    const second = await hl.amend(id, observation("bp-1", "2.0"));
    const third = await hl.amend(second.id, observation("bp-1", "3.0"));
    expect(await hl.records(me)).toEqual([]);
    const [record] = await hl.records(other);
    const entries = [first, second, third].map(({ entry }) => entry);
    expect(record!.history.map((item) => item.id)).toEqual(entries);
    expect([second.id, third.id]).toEqual([id, id]);
    expect(bytesToUtf8(await hl.read(id))).toBe(observation("bp-1", "3.0"));
  });
});

describe("record", () => {
  it("refuses to follow what is unknown, retracted or erased", async () => {
    const { hl, me } = await ward();
    const other = await hl.ensureSubject(person("other"));
    const theirs = await hl.record(other, observation("bp-1"));
    const gone = await hl.record(me, observation("bp-2"));
    await hl.retract(gone.id, "entered in error");
    const erased = await hl.record(me, observation("bp-3"));
    await hl.erase(me, { records: [erased.id], reason: "asked" });
    const { id: consent } = await hl
      .attest(me, {
        actor: "did:example:x",
        alg: "Ed25519",
        publicKey: requesterOf((await ward()).hospitalB).signer.publicKey,
        capacity: "proxy",
      })
      .then((entry) => ({ id: parseRecordId(entry) }));
    const size = hl.chain.size;
    const amends = (id: RecordId) => hl.amend(id, observation("x"));
    await expect(amends(gone.id)).rejects.toMatchObject({ code: "ERR_RECORD_RETRACTED" });
    await expect(amends(erased.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    await expect(amends(toRecordId(bytesFor("nothing")))).rejects.toMatchObject({
      code: "ERR_RECORD_NOT_FOUND",
    });
    await expect(amends(consent)).rejects.toMatchObject({ code: "ERR_RECORD_NOT_FOUND" });
    for (const wrong of ["ab".repeat(31), "AB".repeat(32), bytesFor("bytes"), null]) {
      await expect(amends(wrong as RecordId)).rejects.toMatchObject({
        code: "ERR_INPUT_INVALID",
        message: expect.stringContaining("64 lower-case hexadecimal characters"),
      });
    }
    for (const again of [hl.relabel, (id: RecordId) => hl.retract(id, "again")]) {
      await expect(again(gone.id)).rejects.toMatchObject({ code: "ERR_RECORD_RETRACTED" });
      await expect(again(erased.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    }
    await expect(hl.reattribute(gone.id, other, "why")).rejects.toMatchObject({
      code: "ERR_RECORD_RETRACTED",
    });
    await expect(hl.reattribute(theirs.id, other, "why")).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
    await expect(
      hl.reattribute(theirs.id, { local: new Uint8Array(16) }, "why"),
    ).rejects.toMatchObject({ code: "ERR_INPUT_UNKNOWN_SUBJECT" });
    await expect(hl.record({ local: new Uint8Array(16) }, observation("x"))).rejects.toMatchObject({
      code: "ERR_INPUT_UNKNOWN_SUBJECT",
    });
    expect(hl.chain.size).toBe(size);
  });

  it("refuses what it could not read again, and stays usable", async () => {
    const { hl, me, open } = await ward();
    const { id } = await hl.record(me, observation("bp-1"));
    await expect(hl.retract(id, "x".repeat(5000))).rejects.toHaveProperty("code");
    await expect(hl.erase(me, { all: true, reason: "x".repeat(5000) })).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
    for (const bad of ["", "[]", "{", '{"resourceType":7}', new Uint8Array([0xff])]) {
      await expect(hl.record(me, bad)).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    }
    await hl.close();
    const again = await open();
    expect(await again.records(await again.ensureSubject(MRN))).toHaveLength(1);
  });

  it("keeps every digit and every space of what it was given", async () => {
    const { hl, me } = await ward();
    for (const text of [
      '{"resourceType":"Observation","id":"a","valueQuantity":{"value":1.0}}',
      '{"resourceType":"Observation","id":"b","valueInteger":12345678901234567890123}',
      '{ "resourceType" : "Observation",\n\t"id":"c", "valueDecimal": -0.0e-7 }',
      '{"resourceType":"Observation","id":"d","note":[{"text":"\\u00e9 \u{1f9ec} \\/"}]}',
    ]) {
      const { id } = await hl.record(me, utf8ToBytes(text));
      expect(bytesToUtf8(await hl.read(id))).toBe(text);
    }
  });

  it("signs few transactions for hundreds of records of one person that come at once", async () => {
    const { hl, me } = await ward();
    const filed = await Promise.all(
      Array.from({ length: 200 }, (_, i) => hl.record(me, observation(`bp-${i}`))),
    );
    const transactions = new Set(filed.map(({ place }) => `${place.height}/${place.transaction}`));
    expect(transactions.size).toBeLessThan(15);
    expect(await hl.records(me)).toHaveLength(200);
  });

  it("files what many callers bring at once in common transactions", async () => {
    const { hl } = await ward();
    const persons = await Promise.all(
      Array.from({ length: 20 }, (_, i) => hl.ensureSubject(person(`P-${i}`))),
    );
    const { size } = hl.chain;
    const filed = await Promise.all(
      persons.map((one, i) => hl.record(one, observation(`bp-${i}`))),
    );
    const transactions = new Set(filed.map(({ place }) => `${place.height}/${place.transaction}`));
    expect(transactions.size).toBeLessThan(6);
    expect(hl.chain.size - size).toBeLessThan(6);
    for (const [i, one] of persons.entries()) {
      const [record] = await hl.records(one);
      expect(record!.head.id).toEqual(filed[i]!.id);
    }
  });

  it("does not let one caller's record that is too large take others down", async () => {
    const { hl, me } = await ward({ inner: memoryStorage({ maxAppendBytes: 200_000 }) });
    const big = `{"resourceType":"Binary","id":"x","data":"${"A".repeat(300_000)}"}`;
    const results = await Promise.allSettled([
      hl.record(me, observation("bp-1")),
      hl.record(me, big),
      hl.record(me, observation("bp-2")),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect((results[1] as PromiseRejectedResult).reason).toMatchObject({
      code: "ERR_STORAGE_LIMIT",
    });
    expect(await hl.records(me)).toHaveLength(2);
  });

  it("follows two amendments made at once in ledger order", async () => {
    const { hl, me } = await ward();
    const { id } = await hl.record(me, observation("bp-1", "1.0"));
    const both = await Promise.all(
      ["2.0", "3.0"].map((value) => hl.amend(id, observation("bp-1", value))),
    );
    const [record] = await hl.records(me);
    expect(record!.history).toHaveLength(3);
    expect(record!.head.id).toEqual(both[1]!.entry);
    expect(bytesToUtf8(await hl.read(both[0]!.id))).toBe(observation("bp-1", "3.0"));
  });
});

describe("recordBundle", () => {
  it("files each of several patients under their own identifier", async () => {
    const { hl, me } = await ward();
    const bundle = bundleOf(
      patient("p1", "M-1"),
      patient("p2", "M-2"),
      about("o1", "p1"),
      about("o2", "p2"),
      { resource: { resourceType: "Organization", id: "org" } },
    );
    await expect(hl.recordBundle(me, bundle)).rejects.toMatchObject({
      code: "ERR_INPUT_OTHER_PERSON",
    });
    const done: number[] = [];
    const result = await hl.recordBundle(null, bundle, {
      onProgress: ({ done: count }) => done.push(count),
    });
    expect(done).toEqual([4]);
    expect(result.skipped).toMatchObject([{ type: "Organization" }]);
    expect(result.subjects.map(({ identifier }) => identifier.value)).toEqual(["M-1", "M-2"]);
    for (const value of ["M-1", "M-2"]) {
      const records = await hl.records(await hl.ensureSubject(person(value)));
      const ids = records.map(({ head }) => head.manifest.resource!.id);
      expect(ids.sort()).toEqual(value === "M-1" ? ["o1", "p1"] : ["o2", "p2"]);
    }
    expect(await hl.records(me)).toEqual([]);
  });

  it("splits a bundle so that no transaction holds two entries of one person", async () => {
    const { hl, me } = await ward();
    const bundle = bundleOf(
      patient("p1", MRN.value),
      ...Array.from({ length: 12 }, (_, i) => about(`o${i}`, "p1")),
    );
    const others = await Promise.all(["a", "b"].map((value) => hl.ensureSubject(person(value))));
    const [mixed, ...rest] = await Promise.all([
      hl.recordBundle(me, bundle, { mix: true }),
      ...others.map((one) => hl.record(one, observation("x"))),
    ]);
    const places = mixed.recorded.map(({ place }) => `${place.height}/${place.transaction}`);
    expect(new Set(places).size).toBe(13);
    expect(rest).toHaveLength(2);
    // what is on record already would not be recorded again
    const another = bundleOf(
      patient("p2", MRN.value),
      ...Array.from({ length: 12 }, (_, i) => about(`q${i}`, "p2")),
    );
    const plain = await hl.recordBundle(me, another);
    expect(new Set(plain.recorded.map(({ place }) => place.transaction)).size).toBe(1);
    expect(await hl.records(me)).toHaveLength(26);
  });

  it("stops between transactions when it is aborted", async () => {
    const { hl, me } = await ward();
    const bundle = bundleOf(patient("p1", MRN.value), about("o1", "p1"));
    await expect(
      hl.recordBundle(me, bundle, { signal: AbortSignal.abort(new Error("enough")) }),
    ).rejects.toThrow("enough");
    expect(await hl.records(me)).toEqual([]);
  });
});

describe("two members over one store", () => {
  it("write one history, and each sees only its own records", async () => {
    const w = await ward();
    const hlB = await w.open({ keys: w.hospitalB, storage: w.storage });
    const persons = { a: w.me, b: await hlB.ensureSubject(MRN) };
    await Promise.all(
      Array.from({ length: 15 }, (_, i) => [
        w.hl.record(persons.a, observation(`a-${i}`)),
        hlB.record(persons.b, alcoholDependence(`b-${i}`)),
      ]).flat(),
    );
    expect(await w.hl.records(persons.a)).toHaveLength(15);
    expect(await hlB.records(persons.b)).toHaveLength(15);
    for (const others of [w.hl.records(persons.b), hlB.records(persons.a)]) {
      await expect(others).rejects.toMatchObject({ code: "ERR_INPUT_UNKNOWN_SUBJECT" });
    }
    expect(await w.hl.verify()).toMatchObject({ ok: true });
    expect(w.hl.chain.size).toBe(hlB.chain.size);
    expect(toHex(w.hl.chain.root)).toBe(toHex(hlB.chain.root));
    const [record] = await hlB.records(persons.b);
    await expect(w.hl.read(record!.record)).rejects.toMatchObject({ code: "ERR_RECORD_NOT_FOUND" });
    const authors = new Set<string>();
    for (let height = 0; height < w.hl.chain.size; height++) {
      const { block } = await w.hl.chain.readBlock(height);
      for (const { tx } of block.transactions) authors.add(decodeTransaction(tx).author);
    }
    expect([...authors].sort()).toEqual([w.hl.member, hlB.member].sort());
  });

  it("ask each other, each judged by the custodian's own directives", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    // In this world one checkpoint key is everybody's, so that its memory is too.
    const signedHeads = w.hospitalA.signedHeads!;
    const hlB = await w.open({ keys: w.hospitalB, storage: w.storage, signedHeads });
    await hlB.record(await hlB.ensureSubject(MRN), observation("bp-2"));
    expect(await texts(await w.ask())).toEqual([observation("bp-1")]);
    const back = await hlB.request(requesterOf(w.hospitalA), { patient: MRN, purposes: ["TREAT"] });
    expect(await opened(back)).toEqual([]);
    expect(await w.audit()).toHaveLength(1);
    expect(await collect(hlB.audit(await hlB.ensureSubject(MRN)))).toHaveLength(1);
  });

  it("make one person of an identifier that two handles meet at once", async () => {
    const w = await ward();
    const handles = await Promise.all([w.again(), w.again(), w.again()]);
    const found = await Promise.all(handles.map((hl) => hl.ensureSubject(person("new"))));
    expect(new Set(found.map(({ local }) => toHex(local))).size).toBe(1);
    await Promise.all(handles.map((hl, i) => hl.record(found[i]!, observation(`o-${i}`))));
    for (const hl of handles) expect(await hl.records(found[0]!)).toHaveLength(3);
  });
});
