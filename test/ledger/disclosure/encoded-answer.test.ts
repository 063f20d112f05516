import * as reference from "@ipld/dag-cbor";
import { describe, expect, it, vi } from "vitest";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { openChain } from "../../../src/chain/open-chain.ts";
import { importLedger } from "../../../src/chain/import-ledger.ts";
import { trustFromGenesis } from "../../../src/chain/trust.ts";
import { verifyReceipt } from "../../../src/chain/verify-receipt.ts";
import { encode } from "../../../src/codec/dag-cbor.ts";
import { entryIdBytes, toEntryId } from "../../../src/codec/ids.ts";
import { decodeSignedHeader, encodeHeader } from "../../../src/envelope/header.ts";
import { LedgerError } from "../../../src/errors.ts";
import { openAnswer } from "../../../src/ledger/disclosure/answer.ts";
import {
  decodeAnswer,
  encodeAnswer,
  type DecodedAnswer,
} from "../../../src/ledger/disclosure/encoded-answer.ts";
import type { DisclosureAnswer } from "../../../src/ledger/disclosure/disclose.ts";
import {
  createRequest,
  decodeRequest,
  decodeSignedRequest,
  requestAad,
  type RequestOptions,
} from "../../../src/ledger/disclosure/request.ts";
import { memoryAgreement, type KeyAgreement } from "../../../src/identity/agreement.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { observation, MRN } from "../../support/hospital.ts";
import { keyEntry } from "../../support/forge.ts";
import { bytesFor } from "../../support/ledger.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";
import { stride } from "../../support/share.ts";

/** Hospital A with two records that hospital B may read. */
async function twoRecords(): Promise<Ward> {
  const w = await ward();
  await w.permit();
  for (const id of ["bp-1", "bp-2"]) await w.hl.record(w.me, observation(id));
  return w;
}

const readOf = (w: Ward) => ({ read: w.storage.blobs!.get.bind(w.storage.blobs) });

async function answered(w: Ward, what: Partial<RequestOptions> = {}): Promise<Uint8Array> {
  return encodeAnswer(await w.hl.disclose(await w.request(what)), readOf(w));
}

function accepted(decoded: DecodedAnswer): DecodedAnswer & { readonly ok: true } {
  if (!decoded.ok) throw new Error(decoded.reason);
  return decoded;
}

/** A copy of the ledger in a store of the requester's own, as it gets it: by an export. */
async function ownCopy(w: Ward) {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await w.hl.export()) chunks.push(chunk);
  const storage = memoryStorage();
  const car = new Uint8Array(Buffer.concat(chunks));
  const { checkpoint } = await importLedger(car, { storage, genesis: w.genesis });
  return { chain: await openChain({ storage, genesis: w.genesis }), checkpoint };
}

describe("encodeAnswer and decodeAnswer", () => {
  it("carry an answer to who has only the genesis record, an export and keys of its own", async () => {
    const w = await twoRecords();
    const copy = await ownCopy(w);
    const request = await createRequest({
      ...{ chain: copy.chain, custodian: w.hl.member, ...w.b, now: w.clock.now },
      ...{ patient: MRN, purposes: ["TREAT"] },
    });
    const bytes = await encodeAnswer(await w.hl.disclose(request), readOf(w));
    const { answer, read } = accepted(await decodeAnswer(bytes));
    const mine = openAnswer(answer, {
      ...{ ...copy, custodian: w.hl.member, agreement: w.b.agreement, read },
    });
    const items = await opened(mine);
    expect(items.map(({ text }) => bytesToUtf8(text!)).sort()).toEqual([
      observation("bp-1"),
      observation("bp-2"),
    ]);
    for (const { receipt } of items) {
      expect(verifyReceipt(receipt, trustFromGenesis(w.genesis))).toMatchObject({
        ...{ ok: true, author: w.hl.member },
      });
    }
    expect(mine.decision.outcome).toBe("permit");
    expect((await w.audit()).map(({ id }) => id)).toContain(mine.access);
  });

  it("write what another decoder reads", async () => {
    const w = await twoRecords();
    const result = await w.hl.disclose(await w.request());
    if (!result.ok) throw new Error(result.reason);
    const { access, decision, items } = result.answer;
    const bytes = await encodeAnswer(result, readOf(w));
    const read = reference.decode(bytes) as Record<string, any>;
    expect(Object.keys(read).sort()).toEqual([
      ...["access", "blobs", "decision", "items", "ok", "v"],
    ]);
    expect(read).toMatchObject({ v: 1, ok: true, access: entryIdBytes(access) });
    expect(read["decision"].basedOn.map(String)).toEqual(decision.basedOn.map(String));
    expect(read["items"]).toHaveLength(2);
    for (const [i, item] of items.entries()) {
      const { height, transaction, entry } = item.place;
      expect(read["items"][i]).toMatchObject({
        place: [height, transaction, entry],
        ...{ header: item.header, grant: item.grant, parts: item.parts },
      });
    }
    const decoded = accepted(await decodeAnswer(bytes)).answer;
    expect(decoded).toEqual(result.answer satisfies DisclosureAnswer);
  });

  it("carry a refusal, and a denial that releases nothing", async () => {
    const w = await twoRecords();
    const request = await w.request();
    await w.hl.disclose(request);
    const replayed = await encodeAnswer(await w.hl.disclose(request), readOf(w));
    expect(await decodeAnswer(replayed)).toEqual({ ok: false, reason: "replayed" });
    const research = accepted(await decodeAnswer(await answered(w, { purposes: ["HRESCH"] })));
    expect(research.answer).toMatchObject({ decision: { outcome: "deny" }, items: [] });
  });

  it("send no ciphertext of a part that was not granted", async () => {
    const w = await twoRecords();
    const { answer, read } = accepted(
      await decodeAnswer(await answered(w, { query: { parts: ["manifest"] } })),
    );
    const [item] = answer.items;
    expect(item!.parts).toEqual(["manifest"]);
    const { parts } = decodeSignedHeader(item!.header).header;
    const [manifest, content] = ["manifest", "content"].map((id) =>
      parts.find((part) => part.id === id),
    );
    expect(await read(manifest!.data[0]!)).toBeInstanceOf(Uint8Array);
    expect(await read(content!.data[0]!)).toBeUndefined();
    const own = openAnswer(answer, {
      ...{ ...(await ownCopy(w)), custodian: w.hl.member, agreement: w.b.agreement, read },
    });
    expect((await opened(own)).every(({ text }) => text === undefined)).toBe(true);
  });

  it("say that ciphertext is missing or damaged before anything is sent", async () => {
    const w = await twoRecords();
    const result = await w.hl.disclose(await w.request());
    await expect(encodeAnswer(result, { read: async () => undefined })).rejects.toMatchObject({
      code: "ERR_STORAGE_MISSING",
    });
    const wrong = { read: async () => new Uint8Array(9) };
    await expect(encodeAnswer(result, wrong)).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
    });
  });

  it("refuse an answer that is too large, on both sides", async () => {
    const w = await twoRecords();
    const result = await w.hl.disclose(await w.request());
    if (!result.ok) throw new Error(result.reason);
    const [item] = result.answer.items;
    const items = Array.from({ length: 65_537 }, () => item!);
    await expect(
      encodeAnswer({ ok: true, answer: { ...result.answer, items } }, readOf(w)),
    ).rejects.toMatchObject({ code: "ERR_INPUT_TOO_LARGE" });
    const header = new Uint8Array(64 * 1024 * 1024);
    const large = { ...result.answer, items: [{ ...item!, header }] };
    await expect(encodeAnswer({ ok: true, answer: large }, readOf(w))).rejects.toMatchObject({
      code: "ERR_INPUT_TOO_LARGE",
    });
    await expect(decodeAnswer(new Uint8Array(64 * 1024 * 1024 + 1))).rejects.toEqual(
      expect.objectContaining({ code: "ERR_ENCODING_LIMIT" }),
    );
  });

  it("refuse ciphertext that nobody asked for, and fields that are not of their form", async () => {
    const w = await twoRecords();
    const value = reference.decode(await answered(w)) as Record<string, any>;
    const refused = async (change: (copy: Record<string, any>) => void): Promise<void> => {
      const copy = structuredCloneOf(value);
      change(copy);
      await expect(decodeAnswer(reference.encode(copy))).rejects.toEqual(
        expect.objectContaining({ name: "EncodingError" }),
      );
    };
    expect(accepted(await decodeAnswer(reference.encode(structuredCloneOf(value)))).ok).toBe(true);
    await refused((copy) => copy["blobs"].push(Uint8Array.of(1, 2, 3)));
    await refused((copy) => copy["blobs"].push(copy["blobs"][0]));
    await refused((copy) => (copy["v"] = 2));
    await refused((copy) => (copy["ok"] = 1));
    await refused((copy) => (copy["more"] = 1));
    await refused((copy) => (copy["access"] = new Uint8Array(31)));
    await refused((copy) => (copy["items"][0].place = [0, 0]));
    await refused((copy) => (copy["items"][0].place = [0, 0, -1]));
    await refused((copy) => (copy["items"][0].record = "a".repeat(64)));
    await refused((copy) => (copy["items"][0].grant = new Uint8Array(65_537)));
    await refused((copy) => (copy["items"][0].parts = [7]));
    await refused((copy) => (copy["decision"].outcome = "partial"));
    await refused((copy) => (copy["decision"].outcome = "perhaps"));
    await refused((copy) => (copy["decision"].asOf = "now"));
    await refused((copy) => (copy["decision"].reasons[0].kind = "mood"));
    await refused((copy) => (copy["decision"].reasons[0].path = "all"));
    for (const other of [null, 7, [], {}, { ok: false }, { v: 1, ok: false, reason: "because" }]) {
      await expect(decodeAnswer(reference.encode(other))).rejects.toEqual(
        expect.objectContaining({ name: "EncodingError" }),
      );
    }
  });

  it("gives turns to other work while it reads, and has copied what it reads", async () => {
    const w = await twoRecords();
    const value = reference.decode(await answered(w)) as Record<string, any>;
    const [item] = value["items"];
    value["items"] = Array.from({ length: 500 }, (_, i) => ({ ...item, entry: bytesFor(`${i}`) }));
    value["blobs"] = [];
    const bytes = new Uint8Array(reference.encode(value));
    // A look at the clock takes a millisecond.
    let now = 1e6;
    vi.spyOn(performance, "now").mockImplementation(() => ++now);
    let turns = 0;
    let isDone = false;
    const turn = (): void => {
      turns++;
      if (!isDone) setImmediate(turn);
    };
    setImmediate(turn);
    const decoding = decodeAnswer(bytes);
    bytes.fill(0);
    const { answer } = accepted(await decoding);
    isDone = true;
    vi.restoreAllMocks();
    expect(answer.items).toHaveLength(500);
    // One look for each item and each named block: two of 500, in slices of ten.
    expect(turns).toBeGreaterThan(50);
  });

  it("refuse headers that name more blocks than an answer may, on both sides", async () => {
    const w = await twoRecords();
    const result = await w.hl.disclose(await w.request());
    if (!result.ok) throw new Error(result.reason);
    const [item] = result.answer.items;
    // 83 × 2^30 bytes are 90,658.2 blocks of 983,040: three such envelopes name 271,977.
    const { header, key, alg, signature } = decodeSignedHeader(item!.header);
    const data = Array.from({ length: 90_659 }, () => header.parts[0]!.data[0]!);
    const parts = [{ ...header.parts[0]!, id: "video", size: 83 * 2 ** 30, data }];
    const large = encode({
      ...{ header: encodeHeader({ ...header, parts }), key, alg, sig: signature },
    });
    const answerOf = (count: number): DisclosureAnswer => ({
      ...result.answer,
      items: Array.from({ length: count }, (_, i) => ({
        ...{ ...item!, header: large, parts: ["content"] },
        entry: toEntryId(bytesFor(`entry ${i}`)),
      })),
    });
    const two = await encodeAnswer({ ok: true, answer: answerOf(2) }, readOf(w));
    expect(accepted(await decodeAnswer(two)).answer.items).toHaveLength(2);
    await expect(encodeAnswer({ ok: true, answer: answerOf(3) }, readOf(w))).rejects.toMatchObject({
      code: "ERR_INPUT_TOO_LARGE",
    });
    const value = reference.decode(two) as Record<string, any>;
    value["items"].push({ ...value["items"][0], entry: bytesFor("entry 3") });
    await expect(decodeAnswer(new Uint8Array(reference.encode(value)))).rejects.toMatchObject({
      code: "ERR_ENCODING_LIMIT",
    });
  });

  it("refuse a block that is longer than any block is", async () => {
    const w = await twoRecords();
    const value = reference.decode(await answered(w)) as Record<string, any>;
    value["blobs"].push(new Uint8Array(983_281)); // 15 segments of 65,536 and 16 bytes, and one more
    await expect(decodeAnswer(new Uint8Array(reference.encode(value)))).rejects.toMatchObject({
      code: "ERR_ENCODING_SHAPE",
    });
  });

  it("never give out what was changed on the way", async () => {
    const w = await twoRecords();
    const bytes = await answered(w);
    const copy = await ownCopy(w);
    const texts = [observation("bp-1"), observation("bp-2")];
    let opens = 0;
    for (let at = 0; at < bytes.length; at += 13 * stride(3)) {
      const changed = bytes.slice();
      changed[at]! ^= 1 << (at % 8);
      let decoded: DecodedAnswer;
      try {
        decoded = await decodeAnswer(changed);
      } catch (error) {
        expect(error).toBeInstanceOf(LedgerError);
        continue;
      }
      const { answer, read } = accepted(decoded);
      try {
        const items = await opened(
          openAnswer(answer, {
            ...{ ...copy, custodian: w.hl.member, agreement: w.b.agreement, read },
          }),
        );
        // The decision, which nothing proves, or a name: what is released is never another text.
        for (const { text } of items) expect(texts).toContain(bytesToUtf8(text!));
        opens++;
      } catch (error) {
        expect(error).toBeInstanceOf(LedgerError);
      }
    }
    expect(opens).toBeGreaterThan(0);
    for (let at = 0; at < bytes.length; at += 101) {
      await expect(decodeAnswer(bytes.slice(0, at))).rejects.toEqual(
        expect.objectContaining({ name: "EncodingError" }),
      );
    }
  });

  it("open nothing of an answer that was put together from others", async () => {
    const w = await twoRecords();
    const bytes = await answered(w);
    const value = reference.decode(bytes) as Record<string, any>;
    const before = reference.decode(await answered(w)) as Record<string, any>;
    const copy = await ownCopy(w);
    const own = { custodian: w.hl.member, agreement: w.b.agreement };
    const opening = async (
      change: (copy: Record<string, any>) => void,
      given: Partial<typeof own> = {},
    ) => {
      const changed = structuredCloneOf(value);
      change(changed);
      const { answer, read } = accepted(await decodeAnswer(reference.encode(changed)));
      return opened(openAnswer(answer, { ...copy, ...own, ...given, read }));
    };
    const same = (): void => undefined;
    const swap = (name: string) => (changed: Record<string, any>) => {
      const [one, two] = changed["items"];
      [one[name], two[name]] = [two[name], one[name]];
    };
    expect(await opening(same)).toHaveLength(2);
    const refused = (result: Promise<unknown>, name: string) =>
      expect(result).rejects.toMatchObject({ name });
    for (const name of ["header", "grant", "envelope", "entry", "place", "record"]) {
      await refused(opening(swap(name)), "EnvelopeError");
    }
    // Grants of another access, and the access of other grants.
    const other = (changed: Record<string, any>) => (changed["access"] = before["access"]);
    await refused(opening(other), "EnvelopeError");
    await refused(
      opening((changed) => (changed["items"][0].grant = before["items"][0].grant)),
      "EnvelopeError",
    );
    // Ciphertext that did not come along.
    await refused(
      opening((changed) => changed["blobs"].splice(0)),
      "EnvelopeError",
    );
    // Of another custodian, and for another requester.
    await refused(opening(same, { custodian: w.b.signer.actor }), "EnvelopeError");
    await refused(opening(same, { agreement: w.hospitalA.agreement() }), "EnvelopeError");
    // One record as if it were two.
    const twice = structuredCloneOf(value);
    twice["items"] = [twice["items"][0], { ...twice["items"][0], record: bytesFor("another") }];
    twice["blobs"] = [];
    await expect(decodeAnswer(reference.encode(twice))).rejects.toEqual(
      expect.objectContaining({ code: "ERR_ENCODING_SHAPE" }),
    );
  });

  it("open no later version under its own name, as if it were another record", async () => {
    const w = await ward();
    await w.permit();
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    await w.hl.amend(id, observation("bp-1", "99.0"));
    const value = reference.decode(await answered(w)) as Record<string, any>;
    const copy = await ownCopy(w);
    const openingAs = async (record: Uint8Array) => {
      value["items"][0].record = record;
      const { answer, read } = accepted(await decodeAnswer(reference.encode(value)));
      const own = { custodian: w.hl.member, agreement: w.b.agreement, read };
      return opened(openAnswer(answer, { ...copy, ...own }));
    };
    expect((await openingAs(value["items"][0].record)).map(({ record }) => record)).toEqual([id]);
    await expect(openingAs(value["items"][0].entry)).rejects.toMatchObject({
      code: "ERR_ENVELOPE_INVALID",
    });
  });

  it("tell that the copy of the ledger is older than the answer", async () => {
    const w = await ward();
    await w.permit();
    const copy = await ownCopy(w);
    await w.hl.record(w.me, observation("bp-1"));
    const { answer, read } = accepted(await decodeAnswer(await answered(w)));
    const own = { custodian: w.hl.member, agreement: w.b.agreement, read };
    await expect(opened(openAnswer(answer, { ...copy, ...own }))).rejects.toMatchObject({
      code: "ERR_PROOF_RANGE",
      message: expect.stringContaining("lacks"),
    });
    expect(await opened(openAnswer(answer, { ...(await ownCopy(w)), ...own }))).toHaveLength(1);
  });
});

describe("createRequest", () => {
  it("says that nobody by that name can be asked", async () => {
    const w = await ward();
    const { chain } = w.hl;
    const asking = { ...w.b, patient: MRN, purposes: ["TREAT"], chain };
    const { actor } = w.patient;
    for (const custodian of [actor, "did:key:zNobody"]) {
      await expect(createRequest({ ...asking, custodian })).rejects.toMatchObject({
        code: "ERR_CONSENT_REQUEST",
        message: expect.stringContaining("agreement key"),
      });
    }
  });

  it("seals to the custodian's newest agreement key in force", async () => {
    const w = await twoRecords();
    const { chain, member, id } = w.hl;
    const newer = memoryAgreement({ alg: "P-256", secret: bytesFor("newer") });
    const opens = async (agreement: KeyAgreement): Promise<boolean> => {
      await chain.refresh();
      const what = { ...w.b, patient: MRN, purposes: ["TREAT"], chain, custodian: member };
      const bytes = decodeSignedRequest(await createRequest(what)).request;
      const request = decodeRequest(bytes);
      const opening = agreement.unwrap(request.sealed, requestAad(id, request.id, member));
      return opening.then(
        () => true,
        () => false,
      );
    };
    const old = w.hospitalA.agreement();
    expect([await opens(old), await opens(newer)]).toEqual([true, false]);
    const announce = (op: "add" | "retire") => keyEntry(id, member, op, "agree", newer);
    await w.write(w.hospitalA, [await announce("add")]);
    expect([await opens(old), await opens(newer)]).toEqual([false, true]);
    await w.write(w.hospitalA, [await announce("retire")]);
    expect([await opens(old), await opens(newer)]).toEqual([true, false]);
  });

  it("takes another key of the custodian where one is given", async () => {
    const w = await twoRecords();
    const { chain, member } = w.hl;
    const asking = { ...w.b, patient: MRN, purposes: ["TREAT"], chain, custodian: member };
    const now = w.clock.now;
    const own = await createRequest({ ...asking, now });
    expect(await w.hl.disclose(own)).toMatchObject({ ok: true });
    // Sealed to somebody else, nobody here can read it.
    const custodianKey = w.hospitalB.agreement();
    const other = await createRequest({ ...asking, now, custodianKey });
    expect(await w.hl.disclose(other)).toEqual({ ok: false, reason: "malformed" });
  });
});

/** A copy in which CIDs and bytes are what they were. */
function structuredCloneOf(value: Record<string, any>): Record<string, any> {
  return reference.decode(reference.encode(value)) as Record<string, any>;
}
