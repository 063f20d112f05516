import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { randomBytes } from "#crypto";
import type { RecordId } from "../../../src/codec/ids.ts";
import { cidOf, DAG_CBOR, RAW } from "../../../src/codec/cid.ts";
import type { ResourceLabels } from "../../../src/consent/model/resource.ts";
import { StorageError } from "../../../src/errors.ts";
import { decodeSignedHeader } from "../../../src/envelope/header.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import { attachmentsOf } from "../../../src/ledger/records/attachments.ts";
import type { Attachment, AttachmentInput } from "../../../src/ledger/records/attachments.ts";
import { sealEnvelope } from "../../../src/envelope/seal.ts";
import { memoryShardKeys } from "../../../src/identity/shard-keys.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { observation } from "../../support/hospital.ts";
import { collect, opened, ward, type Ward } from "../../support/ward.ts";

const BLOCK = 15 * 65_536;
const pdf = randomBytes(2 * BLOCK + 12_345);
const one = (source: AttachmentInput["source"]): AttachmentInput[] => [
  { mediaType: "application/pdf", source },
];

const ERASED = { code: "ERR_RECORD_ERASED" };
const BLOCK_ERASED = { code: "ERR_STORAGE_ERASED" };

const blobsOf = async ({ blobs }: FullStorage): Promise<string[]> =>
  (await collect(blobs.list())).map(String);

/** Of which kind of entry the blobs are that a store holds more than before; raw ones apart. */
async function added(inner: FullStorage, before: readonly string[]) {
  const kinds: string[] = [];
  const named: string[] = [];
  const raw: string[] = [];
  for (const cid of await collect(inner.blobs.list())) {
    if (before.includes(String(cid))) continue;
    if (cid.code === RAW) {
      raw.push(String(cid));
      continue;
    }
    const { header } = decodeSignedHeader((await inner.blobs.get(cid))!);
    kinds.push(header.context.kind);
    named.push(...header.parts.flatMap(({ data }) => data.map(String)));
  }
  return { kinds: [...new Set(kinds)], nameless: raw.filter((cid) => !named.includes(cid)) };
}

async function headOf(w: Ward, id: RecordId) {
  const record = (await w.hl.records(w.me)).find((one) => one.record === id)!;
  const header = (await w.storage.blobs!.get(record.head.envelope))!;
  return { envelope: record.head.envelope, header, parts: decodeSignedHeader(header).header.parts };
}

const read = async (attachment: Attachment) => attachment.range(0, await attachment.size());

const moveToOther = async (w: Ward, id: RecordId) =>
  w.hl.reattribute(id, await w.hl.ensureSubject({ system: "urn:oid:9", value: "OTHER-77" }), "x");

describe("a record that is erased while it is changed", () => {
  it.each<[string, (w: Ward, id: RecordId) => Promise<unknown>]>([
    ["corrected, its attachments kept", (w, id) => w.hl.amend(id, observation("bp-1", "9.9"))],
    ["relabelled", (w, id) => w.hl.relabel(id, null)],
    ["retracted", (w, id) => w.hl.retract(id, "wrong")],
    ["moved", moveToOther],
  ])("leaves nothing when it is %s", async (_, change) => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const other = await w.hl.ensureSubject({ system: "urn:oid:9", value: "OTHER-77" });
    const before = await blobsOf(inner);
    const { id } = await w.hl.record(w.me, observation("bp-1"), { attachments: one(pdf) });
    // The change is sealed and on its way when another process erases the record.
    w.traps.before = async () => {
      const process = await w.again();
      await process.erase(w.me, { records: [id], reason: "asked" });
      await process.close();
    };
    await expect(change(w, id)).rejects.toMatchObject(ERASED);
    expect(await added(inner, before)).toEqual({ kinds: ["erase"], nameless: [] });
    expect([await w.hl.records(w.me), await w.hl.records(other)]).toEqual([[], []]);
    const again = await w.again({ repair: { index: true } });
    expect([await again.records(w.me), await again.records(other)]).toEqual([[], []]);
  });
});

describe("a record that is erased while its attachments are sealed anew", () => {
  it.each<[string, (w: Ward, id: RecordId) => Promise<unknown>]>([
    ["corrected", (w, id) => w.hl.amend(id, observation("bp-1", "9.9"))],
    ["moved", moveToOther],
  ])("is not %s: nothing is filed", async (_, change) => {
    const inner = memoryStorage();
    let spring: (() => Promise<void>) | undefined;
    const storage: FullStorage = {
      ...inner,
      async commit(batch, options) {
        const result = await inner.commit(batch, options);
        // Manifest and content went before it: this is the attachment, the last to be read.
        const isAttachment = batch.blobs?.some(({ bytes }) => bytes.length === 8_208) === true;
        if (isAttachment) await spring?.();
        return result;
      },
    };
    const w = await ward({ inner: storage });
    await w.hl.ensureSubject({ system: "urn:oid:9", value: "OTHER-77" });
    const attachments = one(pdf.subarray(0, 5_000));
    const { id } = await w.hl.record(w.me, observation("bp-1"), { attachments });
    spring = async () => {
      spring = undefined;
      await (await w.again()).erase(w.me, { records: [id], reason: "asked" });
    };
    const { size } = w.hl.chain;
    await expect(change(w, id)).rejects.toMatchObject(ERASED);
    await w.hl.chain.refresh();
    expect(w.hl.chain.size).toBe(size + 1);
  });
});

describe("erasing a record with attachments", () => {
  it("raises that it was erased in place of what a reader has not read yet", async () => {
    const w = await ward();
    const attachments = one([pdf, pdf]);
    const { id } = await w.hl.record(w.me, observation("bp-1"), { attachments });
    const [attachment] = await w.hl.attachments(id);
    const pieces = attachment!.stream()[Symbol.asyncIterator]();
    let seen = (await pieces.next()).value!.length;
    await w.hl.erase(w.me, { records: [id], reason: "asked" });
    const rest = (async () => {
      for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
        seen += next.value.length;
      }
    })();
    await expect(rest).rejects.toMatchObject(BLOCK_ERASED);
    // What was in memory or on its way: two blocks, and the last, which stands behind others.
    expect(seen).toBe(2 * BLOCK);
    await expect(attachment!.range(0, 1)).rejects.toMatchObject(ERASED);
    await expect(w.hl.read(id)).rejects.toMatchObject(ERASED);
  });

  it.each(["gone", "altered", "reported as damaged"])(
    "says which ciphertext it could not find where a header is %s, and is not held up",
    async (how) => {
      const inner = memoryStorage();
      let damaged: string | undefined;
      const storage: FullStorage = {
        ...inner,
        blobs: {
          ...inner.blobs,
          async get(cid) {
            if (String(cid) === damaged) throw new StorageError("ERR_STORAGE_CORRUPT", "damaged");
            return inner.blobs.get(cid);
          },
        },
      };
      const w = await ward({ inner: storage });
      const { id } = await w.hl.record(w.me, observation("bp-1"), { attachments: one(pdf) });
      const { envelope, header, parts } = await headOf(w, id);
      if (how !== "reported as damaged") await inner.blobs.delete([envelope]);
      if (how === "altered") {
        await inner.blobs.put([{ cid: envelope, bytes: header.slice(0, -1) }]);
      }
      if (how === "reported as damaged") damaged = String(envelope);
      const statement = await w.hl.erase(w.me, { records: [id], reason: "asked" });
      expect(statement.unreached.map(String)).toEqual([String(envelope)]);
      expect(await inner.blobs.has(parts.at(-1)!.data[0]!)).toBe(true);
      await expect(w.hl.read(id)).rejects.toMatchObject(ERASED);
      const again = await w.again();
      const next = await again.record(w.me, observation("bp-2"));
      expect((await again.erase(w.me, { records: [next.id], reason: "x" })).unreached).toEqual([]);
    },
  );

  it("deletes nothing of another record whose header a store gives in its place", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const gone = await w.hl.record(w.me, observation("bp-1"), { attachments: one(pdf) });
    const kept = await w.hl.record(w.me, observation("bp-2"), { attachments: one(pdf) });
    const { envelope } = await headOf(w, gone.id);
    const other = await headOf(w, kept.id);
    await inner.blobs.delete([envelope]);
    await inner.blobs.put([{ cid: envelope, bytes: other.header }]);
    const { unreached } = await w.hl.erase(w.me, { records: [gone.id], reason: "asked" });
    expect(unreached.map(String)).toEqual([String(envelope)]);
    const [attachment] = await w.hl.attachments(kept.id);
    expect(Buffer.from(await read(attachment!)).equals(pdf)).toBe(true);
  });

  it("obeys a hold and a retention, and deletes no block while they stand", async () => {
    const inner = memoryStorage();
    const w = await ward({
      inner,
      policy: { retention: { clinical: { keepFor: 86_400_000, rule: "the law" } } },
    });
    const { id } = await w.hl.record(w.me, observation("bp-1"), { attachments: one(pdf) });
    let before = await blobsOf(inner);
    const RETAINED = { code: "ERR_INPUT_RETAINED" };
    await expect(w.hl.erase(w.me, { records: [id], reason: "x" })).rejects.toMatchObject(RETAINED);
    expect(await blobsOf(inner)).toEqual(before);
    await w.hl.placeHold(w.me, "a lawsuit");
    before = await blobsOf(inner);
    w.clock.now += 2 * 86_400_000;
    await expect(w.hl.erase(w.me, { records: [id], reason: "x" })).rejects.toMatchObject(RETAINED);
    expect(await blobsOf(inner)).toEqual(before);
    await w.hl.liftHold(w.me);
    await w.hl.erase(w.me, { records: [id], reason: "x" });
    expect((await blobsOf(inner)).filter((cid) => before.includes(cid)).length).toBe(
      before.length - 6,
    );
  });
});

describe("a source of an attachment", () => {
  it("is given up when the signal is aborted, though it gives nothing", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const before = await blobsOf(inner);
    const stop = new AbortController();
    async function* silent() {
      yield pdf;
      stop.abort(new Error("enough"));
      await new Promise(() => undefined);
    }
    const { signal } = stop;
    await expect(
      w.hl.record(w.me, observation("bp-1"), { attachments: one(silent()), signal }),
    ).rejects.toThrow("enough");
    expect(await blobsOf(inner)).toEqual(before);
    expect(await w.hl.records(w.me)).toEqual([]);
  });

  it.each<[string, unknown]>([
    ["gives numbers", [1, 2]],
    ["gives strings", ["text"]],
    ["is a string", "text"],
    ["gives arrays", [[1, 2, 3]]],
    ["is nothing that can be read", {}],
    ["is not there", undefined],
  ])("is refused, and nothing is left, when it %s", async (_, source) => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const before = await blobsOf(inner);
    const attachments = [...one(pdf), ...one(source as Uint8Array)];
    await expect(w.hl.record(w.me, observation("bp-1"), { attachments })).rejects.toThrow(
      TypeError,
    );
    expect(await blobsOf(inner)).toEqual(before);
  });

  it("may be empty, or in pieces of no bytes, or a hundred of them", async () => {
    const w = await ward();
    const empty = new Uint8Array(0);
    const none = [empty, [], [empty, empty]];
    const many = Array.from({ length: 250 }, (_, i) => ({
      mediaType: `application/x-${i}`,
      source: none[i % 3]!,
    }));
    const { id } = await w.hl.record(w.me, observation("bp-1"), {
      attachments: many,
      fields: true,
    });
    const found = await w.hl.attachments(id);
    expect(found.map(({ mediaType }) => mediaType)).toEqual(many.map(({ mediaType }) => mediaType));
    for (const { size } of found) expect(await size()).toBe(0);
    expect(await read(found[249]!)).toEqual(empty);
    expect(await collect(found[1]!.stream())).toEqual([]);
    for (const [from, to] of [
      [0, 1],
      [1, 1],
      [-1, 0],
      [0, NaN],
      [0.5, 1],
    ] as const) {
      await expect(found[0]!.range(from, to)).rejects.toThrow(RangeError);
      await expect(collect(found[0]!.stream({ from, to }))).rejects.toThrow(RangeError);
    }
  });
});

describe("uploads", () => {
  it("run beside each other and beside small records in one lane", async () => {
    const w = await ward();
    const contents = Array.from({ length: 4 }, () => randomBytes(BLOCK + 5));
    const filed = await Promise.all([
      ...contents.map((source, i) =>
        w.hl.record(w.me, observation(`bp-${i}`), { attachments: one(source) }),
      ),
      w.hl.record(w.me, observation("bp-small")),
    ]);
    for (const [i, source] of contents.entries()) {
      const [attachment] = await w.hl.attachments(filed[i]!.id);
      expect(Buffer.from(await read(attachment!)).equals(source)).toBe(true);
    }
    expect(new Set((await w.hl.records(w.me)).map(({ record }) => record)).size).toBe(5);
  });

  it("never give one block for two records, though their bytes are the same", async () => {
    const w = await ward();
    const ids: string[] = [];
    for (const name of ["bp-1", "bp-2"]) {
      const attachments = [...one(pdf), ...one(pdf)];
      const { id } = await w.hl.record(w.me, observation(name), { attachments });
      ids.push(...(await headOf(w, id)).parts.flatMap(({ data }) => data.map(String)));
    }
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("leave nothing in a store that takes no block of their size, or no entry", async () => {
    const small = memoryStorage({ maxAppendBytes: 512 * 1024 });
    const w = await ward({ inner: small });
    const before = await blobsOf(small);
    const LIMIT = { code: "ERR_STORAGE_LIMIT" };
    await expect(
      w.hl.record(w.me, observation("bp-1"), { attachments: one(pdf) }),
    ).rejects.toMatchObject(LIMIT);
    expect(await blobsOf(small)).toEqual(before);
    expect(await w.hl.records(w.me)).toEqual([]);
    const { id } = await w.hl.record(w.me, observation("bp-1"), {
      attachments: one(pdf.subarray(0, 1000)),
    });
    expect(await (await w.hl.attachments(id))[0]!.size()).toBe(1000);
    // The entry is refused for good: nobody has to wait for the next opening.
    const inner = memoryStorage();
    const x = await ward({ inner });
    const was = await blobsOf(inner);
    const keys = await collect(inner.state.scan({ gte: Uint8Array.of(0), lt: ALL }));
    x.traps.before = async () => {
      throw new StorageError("ERR_STORAGE_LIMIT", "no block of this size");
    };
    await expect(
      x.hl.record(x.me, observation("bp-1"), { attachments: one(pdf) }),
    ).rejects.toMatchObject(LIMIT);
    expect(await blobsOf(inner)).toEqual(was);
    expect((await collect(inner.state.scan({ gte: Uint8Array.of(0), lt: ALL }))).length).toBe(
      keys.length,
    );
  });
});

describe("an upload whose recording fails", () => {
  it("keeps what was filed, though its author is told of a conflict", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const other = await w.again();
    const keys = async () =>
      (await collect(inner.state.scan({ gte: Uint8Array.of(0), lt: ALL }))).length;
    w.traps.before = async () => {
      await other.amend(id, observation("bp-1", "8.8"));
    };
    const amend = w.hl.amend(id, observation("bp-1", "9.9"), { attachments: one(pdf) });
    await expect(amend).rejects.toMatchObject({ code: "ERR_RECORD_CONFLICT" });
    const [record] = await w.hl.records(w.me);
    expect(record!.history).toHaveLength(3);
    const [attachment] = await w.hl.attachments(id);
    expect(Buffer.from(await read(attachment!)).equals(pdf)).toBe(true);
    await (await w.again()).close();
    const before = await keys();
    await (await w.again({ lane: 0 })).close();
    // No mark of it was left to be cleared at the next opening.
    expect(await keys()).toBe(before);
    expect(Buffer.from(await read(attachment!)).equals(pdf)).toBe(true);
  });

  it("wipes its content key", async () => {
    const drawn: Uint8Array[] = [];
    const w = await ward({
      random(length) {
        drawn.push(randomBytes(length));
        return drawn.at(-1)!;
      },
    });
    const stop = new AbortController();
    drawn.length = 0;
    const attachments = one(pdf);
    const recording = w.hl.record(w.me, observation("bp-1"), {
      ...{ attachments, signal: stop.signal },
      // All is sealed by then, and nothing filed.
      onProgress: ({ sealed }) => sealed > pdf.length && stop.abort(new Error("enough")),
    });
    await expect(recording).rejects.toThrow("enough");
    // In this order: the upload's id, the content key, the salt.
    const [id, cek, salt] = drawn.filter(({ length }) => length === 16 || length === 32);
    expect([id!.length, salt!.some((byte) => byte !== 0)]).toEqual([16, true]);
    expect(cek).toEqual(new Uint8Array(32));
  });
});

describe("a store or custodian that exchanges ciphertext", () => {
  it("is found out at the first block, between attachments, records and lengths", async () => {
    const inner = memoryStorage();
    const given = new Map<string, Uint8Array>();
    const storage: FullStorage = {
      ...inner,
      blobs: { ...inner.blobs, get: async (cid) => given.get(String(cid)) ?? inner.blobs.get(cid) },
    };
    const w = await ward({ inner: storage });
    const attachments = [...one(pdf), ...one(randomBytes(pdf.length))];
    const mine = await w.hl.record(w.me, observation("bp-1"), { attachments });
    const other = await w.hl.record(w.me, observation("bp-2"), { attachments: one(pdf) });
    const [, , first, second] = (await headOf(w, mine.id)).parts;
    const [, , third] = (await headOf(w, other.id)).parts;
    const [attachment] = await w.hl.attachments(mine.id);
    const block = (await inner.blobs.get(first!.data[1]!))!;
    for (const instead of [
      await inner.blobs.get(second!.data[1]!),
      await inner.blobs.get(third!.data[1]!),
      await inner.blobs.get(first!.data[0]!),
      block.slice(0, -(65_536 + 16)),
      new Uint8Array(0),
    ]) {
      given.set(String(first!.data[1]), instead!);
      let seen = 0;
      const reading = (async () => {
        for await (const piece of attachment!.stream()) seen += piece.length;
      })();
      await expect(reading).rejects.toMatchObject({ code: "ERR_ENVELOPE_INVALID" });
      expect(seen).toBe(BLOCK);
    }
    given.clear();
    expect(Buffer.from(await read(attachment!)).equals(pdf)).toBe(true);
  });
});

describe("erasing more ciphertext than is deleted in one step", () => {
  it("goes on at the next opening where it stopped, since the header goes last", async () => {
    const inner = memoryStorage();
    let left = Infinity;
    const storage: FullStorage = {
      ...inner,
      blobs: {
        ...inner.blobs,
        async delete(cids) {
          if (left-- <= 0) throw new Error("killed");
          return inner.blobs.delete(cids);
        },
      },
    };
    const w = await ward({ inner: storage, settleWithin: 1 });
    async function* study() {
      for (let i = 0; i < 37; i++) yield new Uint8Array(BLOCK).fill(i);
    }
    const kept = await w.hl.record(w.me, observation("bp-2"), { attachments: one(pdf) });
    const { id } = await w.hl.record(w.me, observation("bp-1"), { attachments: one(study()) });
    const { envelope, parts } = await headOf(w, id);
    const blocks = parts.flatMap(({ data }) => data);
    const there = async () =>
      (await Promise.all(blocks.map((cid) => inner.blobs.has(cid)))).filter(Boolean).length;
    left = 1;
    await expect(w.hl.erase(w.me, { records: [id], reason: "x" })).rejects.toMatchObject({
      code: "ERR_STORAGE_PENDING",
    });
    const rest = await there();
    expect([rest > 0, rest < blocks.length]).toEqual([true, true]);
    expect(await inner.blobs.has(envelope)).toBe(true);
    left = Infinity;
    const again = await w.again();
    expect([await there(), await inner.blobs.has(envelope)]).toEqual([0, false]);
    await expect(again.attachments(id)).rejects.toMatchObject(ERASED);
    expect(await (await again.attachments(kept.id))[0]!.size()).toBe(pdf.length);
  });
});

/** Values in the forms in which they could stand in a file. */
function formsOf(value: string): Buffer[] {
  const bytes = Buffer.from(value);
  const shifted = [0, 1, 2].map((n) => Buffer.concat([Buffer.alloc(n), bytes]));
  const coded = shifted.flatMap((of) =>
    (["base64", "base64url"] as const).map((to) => of.toString(to).slice(4, -4)),
  );
  const hex = bytes.toString("hex");
  return [
    bytes,
    Buffer.from(value, "utf16le"),
    ...[hex, hex.toUpperCase(), ...coded].map(Buffer.from),
  ];
}

describe("attachmentsOf", () => {
  it("asks for keys anew with every reading, and wipes them whether it succeeds or fails", async () => {
    const signer = memorySigner({ alg: "Ed25519", secret: randomBytes(32) });
    const ledger = cidOf(randomBytes(9), DAG_CBOR);
    const context = { ledger, author: signer.actor, kind: "record" };
    const parts = [{ id: "attachment-0", bytes: pdf }];
    const sealed = await sealEnvelope({ context, parts, signer, random: randomBytes });
    const blocks = new Map(sealed.blocks.map(({ cid, bytes }) => [String(cid), bytes]));
    const given: Uint8Array[] = [];
    const [attachment] = attachmentsOf(
      { v: 1, op: "create", local: randomBytes(16), attachments: ["application/pdf"] },
      decodeSignedHeader(sealed.header).header,
      () => true,
      async (part) => {
        // The second reading gets a key that opens nothing.
        const cek = given.length === 1 ? randomBytes(32) : sealed.cek.slice();
        given.push(cek);
        return {
          ...{ part, context, author: signer, keys: { cek } },
          ...{ envelope: sealed.cid, header: sealed.header },
          read: async (cid) => blocks.get(String(cid)),
        };
      },
    );
    expect(await attachment!.range(0, 9)).toEqual(pdf.slice(0, 9));
    await expect(attachment!.range(0, 9)).rejects.toMatchObject({ code: "ERR_ENVELOPE_DECRYPT" });
    expect(await collect(attachment!.stream({ from: 5, to: 9 }))).toEqual([pdf.slice(5, 9)]);
    expect(given).toEqual([new Uint8Array(32), new Uint8Array(32), new Uint8Array(32)]);
  });
});

describe("privacy of attachments", () => {
  it("leaves no text, media type or reason in any file of a store, nor in a file's name", async () => {
    const path = mkdtempSync(join(tmpdir(), "healthledger-attached-"));
    try {
      const inner = await lmdbStorage({ path });
      const shardKeys = memoryShardKeys();
      const w = await ward({ inner, shardKeys });
      await w.permit();
      const values = {
        text: "the biopsy of the left kidney shows",
        media: "application/x-kidney-biopsy",
        field: "Nephroblastoma-suspected-4711",
        reason: "scanned-for-the-wrong-person",
      };
      const page = Buffer.from(`${values.text} `.repeat(60_000));
      const record = observation("bp-1").replace("{", `{"note":[{"text":"${values.field}"}],`);
      const attachments = [{ mediaType: values.media, source: page }];
      const { id } = await w.hl.record(w.me, record, { attachments, labels: LABELS, fields: true });
      const [item] = await opened(await w.ask());
      expect(Buffer.from(await read(item!.attachments[0]!)).equals(page)).toBe(true);
      const amended = await w.hl.amend(id, record, { labels: LABELS });
      const cut = one(
        (async function* () {
          yield page;
          throw new Error("cut");
        })(),
      );
      await expect(w.hl.record(w.me, record, { attachments: cut })).rejects.toThrow("cut");
      const other = await w.hl.ensureSubject({ system: "urn:oid:9", value: "OTHER-77" });
      await w.hl.reattribute(amended.id, other, values.reason);
      await w.hl.close();
      await inner.close();
      const names = readdirSync(path, { recursive: true, encoding: "utf8" });
      const files = names
        .map((name) => join(path, name))
        .filter((name) => statSync(name).isFile())
        .map((name) => readFileSync(name));
      expect(files.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(2 * page.length);
      const all = [...files, ...names.map((name) => Buffer.from(name))];
      for (const [what, value] of Object.entries(values)) {
        for (const form of formsOf(value)) {
          expect([what, all.some((file) => file.includes(form))]).toEqual([what, false]);
        }
      }
      // The search itself finds what is there.
      expect(formsOf("data").some((form) => all.some((file) => file.includes(form)))).toBe(true);
    } finally {
      rmSync(path, { recursive: true, force: true });
    }
  });
});

const LABELS: ResourceLabels = {
  codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "N" }],
  stamp: { labeller: "the record office", version: "1" },
};

const ALL = new Uint8Array(64).fill(0xff);
