import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { randomBytes } from "#crypto";
import { entryIdBytes } from "../../../src/codec/ids.ts";
import { concatBytes } from "../../../src/bytes/concat.ts";
import { toHex } from "../../../src/bytes/hex.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { openGrant } from "../../../src/envelope/grant.ts";
import { decodeSignedHeader } from "../../../src/envelope/header.ts";
import { openPart } from "../../../src/envelope/open-stream.ts";
import type { ResourceLabels } from "../../../src/consent/model/resource.ts";
import type { Attachment, AttachmentInput } from "../../../src/ledger/records/attachments.ts";
import { signingKeyAt } from "../../../src/ledger/context.ts";
import { memoryShardKeys } from "../../../src/identity/shard-keys.ts";
import type { OpenLedgerOptions } from "../../../src/ledger/ledger.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { observation } from "../../support/hospital.ts";
import { collect, opened, texts, ward, type Ward } from "../../support/ward.ts";

const BLOCK = 15 * 65_536;

/** A FHIR DocumentReference; what it refers to is recorded with it. */
const letter = (id: string, title = "Discharge letter"): string =>
  `{"resourceType":"DocumentReference","id":"${id}","status":"current",` +
  `"subject":{"reference":"Patient/p1"},"description":"${title}",` +
  `"content":[{"attachment":{"contentType":"application/pdf"}}]}`;

/** What somebody who has read it says of it; the labeller cannot tell of a free text. */
const labels: ResourceLabels = {
  codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", code: "N" }],
  stamp: { labeller: "the record office", version: "1" },
};

const pdf = randomBytes(2 * BLOCK + 12_345);
const image = randomBytes(70_000);

/** In pieces that fit neither segments nor blocks. */
async function* pieces(bytes: Uint8Array, of = 99_991): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += of) yield bytes.slice(at, at + of);
}

const both = (): AttachmentInput[] => [
  { mediaType: "application/pdf", source: pieces(pdf) },
  { mediaType: "image/png", source: image },
];

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const whole = async (attachment: Attachment): Promise<string> =>
  digestOf(concatBytes(...(await collect(attachment.stream()))));

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** Everything that the store holds now: CIDs of blobs, and how many keys its state has. */
async function inventory({ blobs, state }: FullStorage) {
  const range = { gte: Uint8Array.of(0), lt: new Uint8Array(64).fill(0xff) };
  return {
    blobs: (await collect(blobs.list())).map(String).sort(),
    keys: (await collect(state.scan(range))).length,
  };
}

/** A storage whose next calls of one kind fail, as if the process had died there. */
function mortal(inner: FullStorage) {
  const left = { commits: Infinity, batches: Infinity };
  const dead = (): never => {
    throw new Error("dead");
  };
  const storage: FullStorage = {
    ...inner,
    commit: (batch, options) => (left.commits-- > 0 ? inner.commit(batch, options) : dead()),
    state: {
      ...inner.state,
      batch: (changes, options) =>
        left.batches-- > 0 ? inner.state.batch(changes, options) : dead(),
    },
    blobs: {
      ...inner.blobs,
      delete: (cids) => (left.batches > 0 ? inner.blobs.delete(cids) : dead()),
    },
  };
  return { storage, left };
}

/** What a store says whose process died, itself or asked again for the outcome. */
const DEAD = /^dead$|unknown/;
const MISSING = { code: "ERR_ENVELOPE_MISSING" };
const CONFLICT = { code: "ERR_STORAGE_CONFLICT" };
const CHANGED = { code: "ERR_RECORD_CONFLICT" };
const INVALID = { code: "ERR_INPUT_INVALID" };

describe("record with attachments", () => {
  it("gives a permitted requester the resource, and its attachments in whole and in part", async () => {
    const w = await ward();
    await w.permit();
    const { id } = await w.hl.record(w.me, letter("d-1"), { labels, attachments: both() });
    const [item] = await opened(await w.ask());
    expect(bytesToUtf8(item!.text!)).toBe(letter("d-1"));
    expect(item!.record).toBe(id);
    const sizes = item!.attachments.map(async ({ mediaType, size }) => [mediaType, await size()]);
    expect(await Promise.all(sizes)).toEqual([
      ["application/pdf", pdf.length],
      ["image/png", image.length],
    ]);
    const [first, second] = item!.attachments;
    expect(await whole(first!)).toBe(digestOf(pdf));
    expect(await whole(second!)).toBe(digestOf(image));
    const from = BLOCK - 7;
    expect(await first!.range(from, from + 100)).toEqual(pdf.subarray(from, from + 100));
    expect(await first!.range(pdf.length - 1, pdf.length)).toEqual(pdf.subarray(-1));
    const middle = concatBytes(...(await collect(first!.stream({ from: 5, to: 70_000 }))));
    expect(digestOf(middle)).toBe(digestOf(pdf.subarray(5, 70_000)));
    await expect(first!.range(0, pdf.length + 1)).rejects.toThrow(RangeError);
    // The custodian's own reading.
    const own = await w.hl.attachments(id);
    expect(await Promise.all(own.map(whole))).toEqual([digestOf(pdf), digestOf(image)]);
    expect(await w.hl.attachments((await w.hl.record(w.me, observation("bp-1"))).id)).toEqual([]);
  });

  it("gives whoever is refused, or granted the manifest alone, no key to them", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.record(w.me, letter("d-1"), { labels, attachments: both() });
    const refused = await w.ask(w.c, { purposes: ["HRESCH"] });
    expect([refused.count, await opened(refused)]).toEqual([0, []]);
    const less = await w.ask(w.b, { query: { parts: ["manifest"] } });
    const [item] = await opened(less);
    expect(item!.manifest.attachments).toEqual(["application/pdf", "image/png"]);
    expect([item!.text, item!.attachments]).toEqual([undefined, []]);
    // Not by going around what the library offers either.
    const result = await w.hl.disclose(await w.request({ query: { parts: ["manifest"] } }));
    if (!result.ok) throw new Error(result.reason);
    const [{ grant, envelope, header, place }] = result.answer.items as [
      (typeof result.answer.items)[number],
    ];
    const { chain } = w.hl;
    const { key } = decodeSignedHeader(header);
    const author = await signingKeyAt(chain, w.hl.member, key, place.height);
    const keys = await openGrant({
      ...{ grant, envelope, agreement: w.b.agreement, basis: entryIdBytes(result.answer.access) },
      grantor: { actor: w.hl.member, ...author },
    });
    expect("parts" in keys && Object.keys(keys.parts)).toEqual(["manifest"]);
    const part = keys as { parts: Record<string, Uint8Array> };
    for (const tried of [keys, { parts: { "attachment-0": part.parts["manifest"]! } }]) {
      expect(() =>
        openPart({
          ...{ envelope, header, author, keys: tried, part: "attachment-0" },
          context: { ledger: chain.ledger, author: w.hl.member, kind: "record" },
          read: (cid) => w.storage.blobs!.get(cid),
        }),
      ).toThrow(expect.objectContaining({ code: "ERR_ENVELOPE_DECRYPT" }));
    }
    const chosen = await w.ask(w.b, { query: { parts: ["content"] } });
    expect((await opened(chosen))[0]!.attachments).toHaveLength(2);
  });

  it("says nothing of them in clear but how many there are and about how long", async () => {
    const w = await ward();
    const { id } = await w.hl.record(w.me, letter("d-1"), { attachments: both() });
    const [record] = await w.hl.records(w.me);
    const header = (await w.storage.blobs!.get(record!.head.envelope))!;
    expect(decodeSignedHeader(header).header.parts.map(({ id, size }) => [id, size])).toEqual([
      ["manifest", 3072],
      ["content", 3072],
      // Worked out by Padmé: 61 × 32,768 and 35 × 2048.
      ["attachment-0", 1_998_848],
      ["attachment-1", 71_680],
    ]);
    expect(id).toBe(record!.record);
    let stored = "";
    for await (const cid of w.storage.blobs!.list()) {
      stored += `${toHex((await w.storage.blobs!.get(cid))!)} `;
    }
    for (const plain of [pdf, image]) {
      for (let at = 0; at < plain.length; at += 99_991) {
        expect(stored.includes(toHex(plain.subarray(at, at + 16)))).toBe(false);
      }
    }
    expect(stored).not.toContain(toHex(new TextEncoder().encode("application/pdf")));
  });

  it("takes no more in than the store takes, tells how far it is, and names what it refuses", async () => {
    const inner = memoryStorage();
    const sizes: number[] = [];
    let underway = 0;
    let most = 0;
    const slow: FullStorage = {
      ...inner,
      async commit(batch, options) {
        const bytes = (batch.blobs ?? []).reduce((sum, one) => sum + one.bytes.length, 0);
        sizes.push(bytes);
        most = Math.max(most, ++underway);
        await new Promise((resolve) => setTimeout(resolve, 1));
        underway--;
        return inner.commit(batch, options);
      },
    };
    const w = await ward({ inner: slow });
    sizes.length = 0;
    let read = 0;
    let sealed = 0;
    async function* source() {
      for (let i = 0; i < 12; i++) {
        read += BLOCK;
        // A block waits for more, two are on their way, one is read ahead.
        expect(read - sealed).toBeLessThanOrEqual(4 * BLOCK);
        yield new Uint8Array(BLOCK).fill(i);
      }
    }
    const told: number[] = [];
    await w.hl.record(w.me, letter("d-1"), {
      attachments: [{ mediaType: "application/dicom", source: source() }],
      onProgress: (progress) => {
        sealed = progress.sealed;
        told.push(sealed);
      },
    });
    expect(Math.max(...sizes)).toBeLessThan(1 << 20);
    expect(most).toBe(2);
    const others = told[1]!;
    const after = Array.from({ length: 12 }, (_, i) => others + (i + 1) * BLOCK);
    // The thirteenth block is padding.
    expect(told.slice(2)).toEqual([...after, others + 12 * BLOCK]);
    const before = await inventory(inner);
    const many = Array.from({ length: 251 }, () => ({ mediaType: "a/b", source: image }));
    for (const attachments of [many, [{ mediaType: "", source: image }]]) {
      await expect(w.hl.record(w.me, letter("d-2"), { attachments })).rejects.toMatchObject(
        INVALID,
      );
    }
    expect(await inventory(inner)).toEqual(before);
  });

  it("corrects a record and keeps them, replaces them, or leaves them off", async () => {
    const w = await ward();
    await w.permit();
    const first = await w.hl.record(w.me, letter("d-1", "Leter"), { labels, attachments: both() });
    const second = await w.hl.amend(first.id, letter("d-1"), { labels });
    const kept = await w.hl.attachments(first.id);
    expect(await Promise.all(kept.map(whole))).toEqual([digestOf(pdf), digestOf(image)]);
    expect(await texts(await w.ask())).toEqual([letter("d-1")]);
    const [record] = await w.hl.records(w.me);
    expect(record!.history.map(({ id }) => id)).toEqual([first.entry, second.entry]);
    await w.hl.amend(second.id, letter("d-1"), {
      attachments: [{ mediaType: "image/png", source: pieces(image) }],
    });
    const [replaced, ...none] = await w.hl.attachments(first.id);
    expect([await whole(replaced!), none]).toEqual([digestOf(image), []]);
    await w.hl.amend(second.id, letter("d-1"), { attachments: [] });
    expect(await w.hl.attachments(first.id)).toEqual([]);
  });

  it("moves them with their record, and relabels without touching them", async () => {
    const w = await ward();
    const other = await w.hl.ensureSubject({ system: "urn:oid:9", value: "OTHER-77" });
    const first = await w.hl.record(w.me, letter("d-1"), { attachments: both(), fields: true });
    const blobs = (await inventory(w.storage as FullStorage)).blobs.length;
    await w.hl.relabel(first.id);
    expect((await inventory(w.storage as FullStorage)).blobs.length).toBe(blobs + 2);
    const moved = await w.hl.reattribute(first.id, other, "wrong patient");
    const [record] = await w.hl.records(other);
    expect(record!.record).toBe(moved.id);
    expect(await Promise.all((await w.hl.attachments(moved.id)).map(whole))).toEqual([
      digestOf(pdf),
      digestOf(image),
    ]);
    const header = (await w.storage.blobs!.get(record!.head.envelope))!;
    expect(decodeSignedHeader(header).header.disclosed).toBeDefined();
  });

  it("files nothing where somebody corrected the record meanwhile, and deletes what it wrote", async () => {
    const w = await ward();
    const first = await w.hl.record(w.me, letter("d-1"));
    let done: Awaited<ReturnType<typeof inventory>> | undefined;
    async function* source() {
      yield pdf;
      await w.hl.amend(first.id, letter("d-1", "other"));
      done = await inventory(w.storage as FullStorage);
    }
    const attachments = [{ mediaType: "application/pdf", source: source() }];
    await expect(w.hl.amend(first.id, letter("d-1"), { attachments })).rejects.toMatchObject(
      CHANGED,
    );
    const after = await inventory(w.storage as FullStorage);
    expect(after.blobs.every((cid) => done!.blobs.includes(cid))).toBe(true);
    expect(bytesToUtf8(await w.hl.read(first.id))).toBe(letter("d-1", "other"));
  });

  it.each<[string, (w: Ward) => Promise<unknown>, string | RegExp]>([
    [
      "its signal is aborted",
      (w) => {
        const stop = new AbortController();
        return w.hl.record(w.me, letter("d-1"), {
          attachments: both(),
          signal: stop.signal,
          onProgress: ({ sealed }) => sealed > BLOCK && stop.abort(new Error("enough")),
        });
      },
      "enough",
    ],
    [
      "its source fails",
      (w) => {
        async function* broken() {
          yield pdf;
          throw new Error("the scanner went away");
        }
        const attachments = [{ mediaType: "application/pdf", source: broken() }];
        return w.hl.record(w.me, letter("d-1"), { attachments });
      },
      "the scanner went away",
    ],
    [
      "the person was forgotten meanwhile",
      (w) => {
        async function* source() {
          yield pdf;
          await w.hl.erase(w.me, { all: true, reason: "asked", forgetSubject: true });
        }
        const attachments = [{ mediaType: "application/pdf", source: source() }];
        return w.hl.record(w.me, letter("d-1"), { attachments });
      },
      /no such subject/,
    ],
  ])("leaves no block behind when %s", async (_, attempt, message) => {
    const w = await ward();
    const before = await inventory(w.storage as FullStorage);
    await expect(attempt(w)).rejects.toThrow(message);
    const { blobs } = await inventory(w.storage as FullStorage);
    // Of erasing there is an entry of its own.
    const own = (await collect(w.storage.blobs!.list())).length - before.blobs.length;
    expect(own).toBeLessThanOrEqual(3);
    for (const cid of blobs.filter((one) => !before.blobs.includes(one))) {
      const found = (await collect(w.storage.blobs!.list())).find((one) => String(one) === cid)!;
      expect((await w.storage.blobs!.get(found))!.length).toBeLessThan(3_100);
    }
  });

  it("raises an error in place of what was altered or lost, and gives the rest", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.record(w.me, letter("d-1"), { labels, attachments: both() });
    const [record] = await w.hl.records(w.me);
    const header = (await w.storage.blobs!.get(record!.head.envelope))!;
    const part = decodeSignedHeader(header).header.parts.find(({ id }) => id === "attachment-0")!;
    const [item] = await opened(await w.ask());
    const [attachment] = item!.attachments;
    await w.storage.blobs!.delete([part.data[1]!]);
    const seen: Uint8Array[] = [];
    const reading = (async () => {
      for await (const piece of attachment!.stream()) seen.push(piece);
    })();
    await expect(reading).rejects.toMatchObject(MISSING);
    expect(digestOf(concatBytes(...seen))).toBe(digestOf(pdf.subarray(0, BLOCK)));
    expect(await attachment!.range(2 * BLOCK, 2 * BLOCK + 9)).toEqual(
      pdf.subarray(2 * BLOCK, 2 * BLOCK + 9),
    );
    await w.storage.blobs!.put([{ cid: part.data[1]!, bytes: new Uint8Array(BLOCK + 240) }]);
    await expect(attachment!.range(BLOCK, BLOCK + 1)).rejects.toMatchObject({
      code: "ERR_ENVELOPE_INVALID",
    });
  });

  it.each(["one key in the store", "shard keys"])(
    "is erased from every file of the store, every block of it, with %s",
    async (keys) => {
      const path = mkdtempSync(join(tmpdir(), "healthledger-attached-"));
      folders.push(path);
      const inner = await lmdbStorage({ path });
      const shardKeys = keys === "shard keys" ? { shardKeys: memoryShardKeys() } : {};
      const w = await ward({ inner, ...shardKeys });
      const kept = await w.hl.record(w.me, letter("d-2"), {
        attachments: [{ mediaType: "image/png", source: image }],
      });
      const gone = await w.hl.record(w.me, letter("d-1"), { attachments: both() });
      const { head } = (await w.hl.records(w.me)).find(({ record }) => record === gone.id)!;
      const { parts } = decodeSignedHeader((await inner.blobs.get(head.envelope))!).header;
      const secrets: Uint8Array[] = [];
      for (const cid of parts.flatMap(({ data }) => data)) {
        const bytes = (await inner.blobs.get(cid))!;
        const middle = Math.max(0, Math.floor(bytes.length / 2) - 16);
        for (const at of [0, middle, Math.max(0, bytes.length - 32)]) {
          secrets.push(bytes.slice(at, at + 32));
        }
      }
      expect(secrets.length).toBe(3 * 6);
      expect(found(path, secrets)).toBe(secrets.length);
      const statement = await w.hl.erase(w.me, { records: [gone.id], reason: "asked" });
      expect(statement.blobs).toBe(1 + 1 + 1 + 3 + 1);
      expect(found(path, secrets)).toBe(0);
      await expect(w.hl.attachments(gone.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
      expect(await whole((await w.hl.attachments(kept.id))[0]!)).toBe(digestOf(image));
      await w.hl.close();
      await inner.close();
    },
  );
});

/** How many of these stand in some file below a folder. */
function found(path: string, secrets: readonly Uint8Array[]): number {
  const files = readdirSync(path, { recursive: true, encoding: "utf8" })
    .map((name) => join(path, name))
    .filter((name) => statSync(name).isFile())
    .map((name) => readFileSync(name));
  return secrets.filter((secret) => files.some((file) => file.includes(Buffer.from(secret))))
    .length;
}

describe("an upload that was cut short", () => {
  it("creates no record, and its blocks are deleted when the ledger is opened in the same lane", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const { storage, left } = mortal(inner);
    const hl = await w.again({ storage, lane: 5, settleWithin: 0 });
    const before = await inventory(inner);
    for (const commits of [0, 1, 3, 5]) {
      Object.assign(left, { commits, batches: 1 });
      await expect(hl.record(w.me, letter("d-1"), { attachments: both() })).rejects.toThrow(DEAD);
      expect((await inventory(inner)).blobs.length).toBe(before.blobs.length + commits);
      // Another lane is another process, which may be alive.
      await (await w.again({ lane: 6 })).close();
      expect((await inventory(inner)).blobs.length).toBe(before.blobs.length + commits);
      await (await w.again({ lane: 5 })).close();
      expect(await inventory(inner)).toEqual(before);
    }
    expect(await w.hl.records(w.me)).toEqual([]);
  });

  it("is left alone for a day where its process has no lane of its own and may be alive", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const { storage, left } = mortal(inner);
    const HOUR = 3_600_000;
    const withoutLane = { lane: undefined } as unknown as Partial<OpenLedgerOptions>;
    const before = await inventory(inner);
    // One process dies within an upload, while another goes on with its own.
    const dying = await w.again({ storage, settleWithin: 0, ...withoutLane });
    Object.assign(left, { commits: 3, batches: 1 });
    await expect(dying.record(w.me, letter("d-1"), { attachments: both() })).rejects.toThrow(DEAD);
    const left1 = (await inventory(inner)).blobs.length;
    expect(left1).toBe(before.blobs.length + 3);
    async function* source() {
      for (let hour = 0; hour < 30; hour += 10) {
        yield new Uint8Array(BLOCK).fill(hour);
        // Whoever opens the ledger meanwhile, with a lane or without one, takes nothing away.
        w.clock.now += 10 * HOUR;
        await (await w.again(withoutLane)).close();
        await (await w.again({ lane: 0 })).close();
      }
    }
    const attachments = [{ mediaType: "application/pdf", source: source() }];
    const { id } = await w.hl.record(w.me, letter("d-2"), { attachments });
    expect(await (await w.hl.attachments(id))[0]!.size()).toBe(3 * BLOCK);
    // What the dead one left is gone by now, marks and all.
    const after = await inventory(inner);
    const [only, ...more] = await w.hl.records(w.me);
    expect(more).toEqual([]);
    const { parts } = decodeSignedHeader((await inner.blobs.get(only!.head.envelope))!).header;
    const blocks = parts.flatMap(({ data }) => data).length;
    expect(after.blobs.length).toBe(before.blobs.length + blocks + 1);
  });

  it("is deleted as well by a store that may keep blocks of a commit that failed", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    let alive = Infinity;
    /** Does one step after another; of the one at which the process dies, the blobs alone. */
    async function step<T>(work: () => Promise<T>, torn?: () => Promise<unknown>): Promise<T> {
      if (alive-- > 0) return work();
      if (alive === -1) await torn?.();
      throw new Error("dead");
    }
    const { blobs, state } = inner;
    const caps = { ...blobs.caps, atomicBlobs: false };
    const storage: FullStorage = {
      ...inner,
      commit: (batch, options) =>
        step(
          () => inner.commit(batch, options),
          async () => blobs.put(batch.blobs ?? []),
        ),
      state: {
        ...state,
        batch: (changes, options) => step(() => state.batch(changes, options)),
      },
      blobs: {
        ...blobs,
        caps,
        put: (some) =>
          step(
            () => blobs.put(some),
            () => blobs.put(some),
          ),
        delete: (cids) => step(() => blobs.delete(cids)),
      },
    };
    const hl = await w.again({ storage, lane: 5, settleWithin: 0 });
    const before = await inventory(inner);
    for (const steps of [0, 1, 2, 5, 6, 7]) {
      alive = steps;
      await expect(hl.record(w.me, letter("d-1"), { attachments: both() })).rejects.toThrow(DEAD);
      alive = Infinity;
      await (await w.again({ lane: 5 })).close();
      expect(await inventory(inner)).toEqual(before);
    }
    await hl.record(w.me, letter("d-1"), { attachments: both() });
    expect(await w.hl.records(w.me)).toHaveLength(1);
  });

  it("is a record, whole, when it was cut short after its entry was filed", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const { storage, left } = mortal(inner);
    const hl = await w.again({ storage, lane: 5, settleWithin: 0 });
    // The mark is set; then nothing that removes marks works any more.
    left.batches = 1;
    const { id } = await hl.record(w.me, letter("d-1"), { attachments: both() });
    await (await w.again({ lane: 6 })).close();
    const filed = await inventory(inner);
    await (await w.again({ lane: 5 })).close();
    const after = await inventory(inner);
    expect(after.blobs).toEqual(filed.blobs);
    // A mark for each block, one that it is open, one that it is filed.
    expect(after.keys).toBe(filed.keys - 8);
    expect(await Promise.all((await w.hl.attachments(id)).map(whole))).toEqual([
      digestOf(pdf),
      digestOf(image),
    ]);
  });

  it("is not acknowledged when a second process with its lane took it for left over", async () => {
    const w = await ward();
    const hl = await w.again({ lane: 5 });
    const before = await inventory(w.storage as FullStorage);
    async function* source() {
      yield pdf;
      await (await w.again({ lane: 5 })).close();
      yield pdf;
    }
    const attachments = [{ mediaType: "application/pdf", source: source() }];
    await expect(hl.record(w.me, letter("d-1"), { attachments })).rejects.toMatchObject(CONFLICT);
    expect((await inventory(w.storage as FullStorage)).blobs).toEqual(before.blobs);
    expect(await w.hl.records(w.me)).toEqual([]);
  });

  it("is not acknowledged either when that happens while its entry is written", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner, lane: 0 });
    for (const when of ["before", "after"] as const) {
      const attachments = [{ mediaType: "application/pdf", source: pdf }];
      w.traps[when] = async () => (await w.again({ lane: 0 })).close();
      const recording = w.hl.record(w.me, letter(`d-${when}`), { attachments });
      await expect(recording).rejects.toMatchObject(CONFLICT);
    }
    // The first was deleted and the second kept, whole, since its entry was there.
    const states = await Promise.all(
      (await w.hl.records(w.me)).map(async ({ record }) => {
        const [attachment] = await w.hl.attachments(record);
        return whole(attachment!).catch((error: { code: string }) => error.code);
      }),
    );
    expect(states).toEqual(["ERR_ENVELOPE_MISSING", digestOf(pdf)]);
  });

  it("is not acknowledged while another process has begun to delete it", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner, lane: 0 });
    const deleting = withResolvers();
    const released = withResolvers();
    const storage: FullStorage = {
      ...inner,
      blobs: {
        ...inner.blobs,
        async delete(cids) {
          deleting.resolve();
          await released.promise;
          return inner.blobs.delete(cids);
        },
      },
    };
    let other: Promise<unknown> | undefined;
    w.traps.before = async () => {
      other = w.again({ lane: 0, storage }).then((hl) => hl.close());
      await deleting.promise;
    };
    const attachments = [{ mediaType: "application/pdf", source: pdf }];
    const recording = w.hl.record(w.me, letter("d-1"), { attachments });
    await expect(recording).rejects.toMatchObject(CONFLICT);
    released.resolve();
    await other;
  });
});

function withResolvers() {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve: () => resolve() };
}
