import { describe, expect, it } from "vitest";
import { decodeEntry, type SubjectEntry } from "../../src/block/entry.ts";
import type { DurablePlace } from "../../src/chain/submission.ts";
import type { EntryPlace } from "../../src/chain/make-receipt.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { encodeIdentifiers } from "../../src/ledger/index/rows.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { fileAs } from "../support/by-hand.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { collect, readable, texts, ward, type Ward } from "../support/ward.ts";

const OTHER = { ...MRN, value: "other" };
const NOBODY = { ...MRN, value: "nobody" };
const CORRUPT = { code: "ERR_STORAGE_CORRUPT" };

/** Two persons with a record and a permit each, and an access to the first one's. */
async function two() {
  const w = await ward();
  const { hl, me } = w;
  const other = await hl.ensureSubject(OTHER);
  const mine = await hl.record(me, observation("bp-1"));
  const theirs = await hl.record(other, observation("bp-2"));
  const permit = await hl.consent(me, treatmentOnly(w.patient), { signer: w.patient });
  await hl.consent(other, treatmentOnly(w.patient), { signer: w.patient });
  await w.ask();
  return { w, other, mine, theirs, permit };
}

/** Loses the header of an entry, and builds the index again, as the error advises. */
async function without(w: Ward, place: EntryPlace | DurablePlace): Promise<Ledger> {
  const { block } = await w.hl.chain.readBlock(place.height);
  const at = "entry" in place ? place.entry : 0;
  const bytes = block.transactions[place.transaction]!.entries[at]!;
  await w.hl.close();
  await w.storage.blobs!.delete([(decodeEntry(bytes) as SubjectEntry).body]);
  return w.again({ repair: { index: true } });
}

const ask = (hl: Ledger, { b }: Ward, patient = MRN) =>
  hl.request(b, { patient, purposes: ["TREAT"] });

describe("an entry that does not open, and has a tag", () => {
  it("keeps nobody else from being answered, found or filed about", async () => {
    const { w, other, mine } = await two();
    const hl = await without(w, mine.place);
    expect((await hl.lost()).map(({ kind, id }) => [kind, id])).toEqual([["record", mine.id]]);
    await expect(ask(hl, w)).rejects.toMatchObject(CORRUPT);
    await expect(hl.records(w.me)).rejects.toMatchObject(CORRUPT);
    expect(await texts(await ask(hl, w, OTHER))).toEqual([observation("bp-2")]);
    expect(await hl.records(other)).toHaveLength(1);
    expect(await hl.findSubject(NOBODY)).toBeUndefined();
    expect((await ask(hl, w, NOBODY)).count).toBe(0);
    const newcomer = await hl.ensureSubject(NOBODY);
    await hl.record(newcomer, observation("bp-3"));
    expect(await hl.records(newcomer)).toHaveLength(1);
    // What does not rest on records is told of the person himself.
    expect(await hl.directives(w.me)).toHaveLength(1);
    expect(await readable(hl.audit(w.me))).toHaveLength(1);
  });

  it("keeps the person's decisions from being made where it is a consent", async () => {
    const { w, other, permit } = await two();
    const hl = await without(w, permit.place);
    await expect(ask(hl, w)).rejects.toMatchObject(CORRUPT);
    await expect(hl.directives(w.me)).rejects.toMatchObject(CORRUPT);
    expect((await ask(hl, w, OTHER)).count).toBe(1);
    expect(await hl.records(w.me)).toHaveLength(1);
    expect(await hl.directives(other)).toHaveLength(1);
  });

  it("is missed in the person's audit where it is an access, and in nobody else's", async () => {
    const { w, other } = await two();
    const place = { height: w.hl.chain.size - 1, transaction: 0, entry: 0 };
    const hl = await without(w, place);
    expect((await hl.lost()).map(({ kind }) => kind)).toEqual(["access"]);
    await expect(collect(hl.audit(w.me))).rejects.toMatchObject(CORRUPT);
    // It may be of someone unknown, or one to be reviewed: no key tells.
    await expect(collect(hl.audit(null))).rejects.toMatchObject(CORRUPT);
    await expect(collect(hl.pendingReviews())).rejects.toMatchObject(CORRUPT);
    expect(await collect(hl.audit(other))).toEqual([]);
    // It may be the answer to any request of its time, but to none of later.
    const again = await w.request();
    expect(await hl.disclose(again)).toEqual({ ok: false, reason: "replayed" });
    w.clock.now += 180_000;
    expect((await ask(hl, w)).count).toBe(1);
  });

  it("is of the person that a record was moved to", async () => {
    const { w, other, theirs } = await two();
    const { place } = await w.hl.reattribute(theirs.id, w.me, "mistaken");
    const hl = await without(w, place);
    await expect(ask(hl, w)).rejects.toMatchObject(CORRUPT);
    expect((await ask(hl, w, OTHER)).count).toBe(0);
    expect((await hl.records(other)).map(({ retracted }) => retracted)).toEqual([true]);
  });
});

describe("an entry that does not open, and has no tag", () => {
  it("may be about anybody", async () => {
    const { w } = await two();
    const height = w.hl.chain.size;
    await w.hl.placeHold(w.me, "case 4711");
    const hl = await without(w, { height, transaction: 0, entry: 0 });
    expect((await hl.lost()).map(({ kind }) => kind)).toEqual(["link"]);
    for (const patient of [MRN, OTHER, NOBODY]) {
      await expect(ask(hl, w, patient)).rejects.toMatchObject(CORRUPT);
    }
    await expect(hl.findSubject(NOBODY)).rejects.toMatchObject(CORRUPT);
    await expect(hl.ensureSubject(NOBODY)).rejects.toMatchObject(CORRUPT);
  });
});

describe("text that an earlier encoder lost", () => {
  const lost = "\0\0\0";
  const described = (w: Ward, code: string) => ({
    ...{ v: 1, op: "create", local: w.me.local, mediaType: "application/fhir+json" },
    resource: { type: "Observation", id: "bp-2", codes: [{ system: "http://loinc.org", code }] },
    labels: { codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code }] },
  });

  it("names a record whose labels or codes are among it, and releases nothing beside", async () => {
    const { w } = await two();
    const content = new TextEncoder().encode(observation("bp-2"));
    const id = await fileAs(w, "record", content, described(w, lost) as never);
    await expect(w.ask()).rejects.toMatchObject({
      ...CORRUPT,
      message: expect.stringContaining(id) as string,
    });
    expect((await w.hl.lost()).map((one) => one.id)).toEqual([id]);
    expect((await ask(w.hl, w, OTHER)).count).toBe(1);
  });

  it("is not seen in a record that has U+0000 within a text", async () => {
    const { w, other } = await two();
    const id = (JSON.parse(observation("bp-2")) as { id: string }).id;
    const text = observation(id).replace('"8480-6"', '"8480\\u00006"');
    await w.hl.record(other, text);
    expect(await w.hl.records(other)).toHaveLength(2);
    expect(await w.hl.lost()).toEqual([]);
  });

  it("is refused at the door, in a record that could not be read again", async () => {
    const { w, other } = await two();
    const text = observation("bp-2").replace('"8480-6"', '"\\u0000"');
    await expect(w.hl.record(other, text)).rejects.toMatchObject({
      code: "ERR_ENCODING_SHAPE",
    });
    expect(await w.hl.records(other)).toHaveLength(1);
  });

  it("names who a person is, and makes nobody of him a second time", async () => {
    const { w } = await two();
    const content = encodeIdentifiers([{ system: NOBODY.system, value: lost }]);
    const local = new Uint8Array(16).fill(7);
    const key = { id: "key", bytes: new Uint8Array(32).fill(7) };
    const id = await fileAs(w, "link", content, { op: "identify", local }, [key]);
    await expect(w.hl.findSubject(NOBODY)).rejects.toMatchObject(CORRUPT);
    await expect(w.hl.ensureSubject(NOBODY)).rejects.toMatchObject(CORRUPT);
    await expect(ask(w.hl, w, NOBODY)).rejects.toMatchObject(CORRUPT);
    expect((await w.hl.lost()).map((one) => one.id)).toEqual([id]);
  });

  it("names a hold whose rule is among it", async () => {
    const { w } = await two();
    await fileAs(w, "link", new Uint8Array(1), { op: "hold", reason: lost });
    await expect(w.hl.erase(w.me, { all: true, reason: "asked for" })).rejects.toMatchObject(
      CORRUPT,
    );
  });

  it("names an attested key", async () => {
    const { w } = await two();
    const { alg, publicKey } = w.patient;
    const content = encode({ v: 1, actor: lost, alg, publicKey, capacity: "self" });
    await fileAs(w, "link", content);
    await expect(w.ask()).rejects.toMatchObject(CORRUPT);
  });
});
