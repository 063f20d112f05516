import { hkdfExtract } from "#crypto";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { chachaSegments, segmentNonce } from "../../src/crypto/segments.ts";
import {
  decodeSignedHeader,
  MAX_HEADER_BYTES,
  signHeader,
  verifyHeader,
  type EnvelopeHeader,
} from "../../src/envelope/header.ts";
import { deriveCommit, derivePartKeys, deriveSegmentKey } from "../../src/envelope/keys.ts";
import { openEnvelope, type OpenedEnvelope, type OpenOptions } from "../../src/envelope/open.ts";
import type { SealedEnvelope } from "../../src/envelope/seal.ts";
import { LedgerError } from "../../src/errors.ts";
import { padByHand, unpadByHand } from "./padding-by-hand.ts";
import {
  clinic,
  context,
  hospital,
  keyOf,
  laboratory,
  ledger,
  otherLedger,
  reader,
  seal,
  openingOf,
} from "./parties.ts";
import { sealUnderTwoKeys } from "./two-keys.ts";

const { openSegment, sealSegment } = chachaSegments;
const SEGMENT = 65536;
const SEALED = SEGMENT + 16;
const DECRYPT = expect.objectContaining({ name: "EnvelopeError", code: "ERR_ENVELOPE_DECRYPT" });
const INVALID = expect.objectContaining({ name: "EnvelopeError", code: "ERR_ENVELOPE_INVALID" });

const parts = [
  { id: "manifest", bytes: utf8ToBytes("type: Observation") },
  { id: "content", bytes: new Uint8Array(3 * SEGMENT + 5000).map((_, i) => i % 253) },
];

const sealed = await seal(parts);
const { header } = decodeSignedHeader(sealed.header);

function open(
  envelope: Pick<SealedEnvelope, "cid" | "header" | "blocks">,
  change: Partial<OpenOptions> = {},
): Promise<OpenedEnvelope> {
  return openEnvelope(openingOf({ ...envelope, cek: sealed.cek }, change));
}

/** What a malicious author can do: sign any header, with blocks to it. */
async function forge(
  change: Partial<EnvelopeHeader>,
  blocks: readonly Uint8Array[] = [],
): Promise<Pick<SealedEnvelope, "cid" | "header" | "blocks">> {
  const signed = await signHeader({ ...header, ...change }, hospital);
  const added = blocks.map((bytes) => ({ cid: cidOf(bytes, RAW), bytes }));
  return { cid: cidOf(signed, DAG_CBOR), header: signed, blocks: [...sealed.blocks, ...added] };
}

const flip = (bytes: Uint8Array, bit: number): Uint8Array => {
  const flipped = bytes.slice();
  flipped[bit >> 3]! ^= 1 << (bit & 7);
  return flipped;
};

describe("verifyHeader", () => {
  const expected = { envelope: sealed.cid, context, author: keyOf(hospital) };

  it("accepts the author's header for its entry", () => {
    expect(verifyHeader(sealed.header, expected)).toMatchObject({ ok: true });
  });

  it.each<[string, object]>([
    ["ledger", { context: { ...context, ledger: otherLedger } }],
    ["author", { context: { ...context, author: laboratory.actor } }],
    ["kind", { context: { ...context, kind: "consent" } }],
    ["signing-key", { author: keyOf(laboratory) }],
    ["signing-key", { author: keyOf(clinic) }],
    ["name", { envelope: ledger }],
  ])("refuses another %s", (reason, change) => {
    expect(verifyHeader(sealed.header, { ...expected, ...change })).toEqual({ ok: false, reason });
  });

  it("refuses a header that another author signed", async () => {
    const bytes = await signHeader(header, laboratory);
    const envelope = cidOf(bytes, DAG_CBOR);
    expect(verifyHeader(bytes, { ...expected, envelope })).toEqual({
      ok: false,
      reason: "signing-key",
    });
    // The same, with the author's key put in place of his own.
    const fields = decode(bytes) as Record<string, unknown>;
    const posing = encode({ ...fields, key: hospital.key });
    expect(verifyHeader(posing, { ...expected, envelope: cidOf(posing, DAG_CBOR) })).toEqual({
      ok: false,
      reason: "signature",
    });
  });

  it("refuses a signature made for something else", async () => {
    const fields = decode(sealed.header) as { header: Uint8Array };
    const sig = await hospital.sign(
      concatBytes(utf8ToBytes("healthledger/grant/1\0"), fields.header),
    );
    const bytes = encode({ ...fields, sig });
    expect(verifyHeader(bytes, { ...expected, envelope: cidOf(bytes, DAG_CBOR) })).toEqual({
      ok: false,
      reason: "signature",
    });
  });

  it("catches every flipped bit, by the name and by the signature", () => {
    for (let bit = 0; bit < sealed.header.length * 8; bit++) {
      const bytes = flip(sealed.header, bit);
      expect(verifyHeader(bytes, expected)).toEqual({ ok: false, reason: "name" });
      const renamed = verifyHeader(bytes, { ...expected, envelope: cidOf(bytes, DAG_CBOR) });
      if (renamed.ok) expect({ bit, ok: true }).toEqual({ bit, ok: false });
    }
  });

  it("refuses an absurd header before looking into it", () => {
    const bytes = new Uint8Array(MAX_HEADER_BYTES + 1);
    const result = verifyHeader(bytes, { ...expected, envelope: cidOf(bytes, DAG_CBOR) });
    expect(result).toEqual({ ok: false, reason: "malformed" });
  });

  it("refuses a size that the listed blocks cannot hold", () => {
    const fields = decode(sealed.header) as { header: Uint8Array };
    const inner = decode(fields.header) as { parts: { size: number }[] };
    inner.parts[1]!.size = Number.MAX_SAFE_INTEGER;
    const bytes = encode({ ...fields, header: encode(inner) });
    const result = verifyHeader(bytes, { ...expected, envelope: cidOf(bytes, DAG_CBOR) });
    expect(result).toEqual({ ok: false, reason: "malformed" });
  });
});

describe("openEnvelope", () => {
  it("opens what was sealed", async () => {
    const { parts: opened } = await open(sealed);
    for (const { id, bytes } of parts) {
      expect(Buffer.compare(opened.get(id)!, bytes)).toBe(0);
    }
  });

  it("refuses another content key, with the one code", async () => {
    for (let bit = 0; bit < 256; bit += 5) {
      await expect(open(sealed, { keys: { cek: flip(sealed.cek, bit) } })).rejects.toThrow(DECRYPT);
    }
  });

  it.each<[string, Partial<OpenOptions>]>([
    ["ledger", { context: { ...context, ledger: otherLedger } }],
    ["author", { context: { ...context, author: laboratory.actor } }],
    ["kind", { context: { ...context, kind: "access" } }],
    ["signing key", { author: keyOf(laboratory) }],
    ["name", { envelope: otherLedger }],
  ])("refuses another %s", async (_, change) => {
    await expect(open(sealed, change)).rejects.toThrow(INVALID);
  });

  it("does not open under another context, even when the author signs it", async () => {
    for (const other of [
      { ...context, kind: "consent" },
      { ...context, ledger: otherLedger },
    ]) {
      const forged = await forge({ context: other });
      await expect(open(forged, { context: other })).rejects.toThrow(DECRYPT);
    }
    const signed = await signHeader(
      { ...header, context: { ...context, author: laboratory.actor } },
      laboratory,
    );
    const copied = { cid: cidOf(signed, DAG_CBOR), header: signed, blocks: sealed.blocks };
    await expect(
      open(copied, {
        context: { ...context, author: laboratory.actor },
        author: keyOf(laboratory),
      }),
    ).rejects.toThrow(DECRYPT);
  });

  it("does not open with another salt, suite or part id", async () => {
    await expect(open(await forge({ salt: new Uint8Array(32) }))).rejects.toThrow(DECRYPT);
    await expect(open(await forge({ suite: "other" }))).rejects.toThrow(
      expect.objectContaining({ code: "ERR_ENVELOPE_UNSUPPORTED" }),
    );
    const [manifest, content] = header.parts;
    await expect(
      open(await forge({ parts: [{ ...manifest!, id: "summary" }, content!] })),
    ).rejects.toThrow(DECRYPT);
  });

  it("catches parts that changed places", async () => {
    const [manifest, content] = header.parts;
    const swapped = await forge({
      parts: [
        { ...manifest!, id: "content" },
        { ...content!, id: "manifest" },
      ],
    });
    await expect(open(swapped)).rejects.toThrow(DECRYPT);
    // The commits put right, and only the ciphertext exchanged.
    const exchanged = await forge({
      parts: [
        { ...manifest!, data: content!.data, size: content!.size },
        { ...content!, data: manifest!.data, size: manifest!.size },
      ],
    });
    await expect(open(exchanged)).rejects.toThrow(DECRYPT);
  });

  it("compares every commit before it reads anything", async () => {
    const [manifest, content] = header.parts;
    const swapped = await forge({
      parts: [
        { ...manifest!, commit: content!.commit },
        { ...content!, commit: manifest!.commit },
      ],
    });
    let reads = 0;
    const read = async (): Promise<undefined> => {
      reads++;
      return undefined;
    };
    await expect(open(swapped, { read })).rejects.toThrow(DECRYPT);
    const lastWrong = await forge({
      parts: [manifest!, { ...content!, commit: new Uint8Array(32) }],
    });
    await expect(open(lastWrong, { read })).rejects.toThrow(DECRYPT);
    expect(reads).toBe(0);
  });

  it("refuses the second key of a ciphertext made to open under two", async () => {
    const mine = derivePartKeys(header, sealed.cek, ["content"]).parts["content"]!;
    const other = derivePartKeys(header, new Uint8Array(32).fill(9), ["content"]).parts["content"]!;
    const nonce = segmentNonce(0, true);
    const record = padByHand(new Uint8Array(40));
    const ciphertext = sealSegment(deriveSegmentKey(mine), 0, true, record).subarray(0, -16);
    const bytes = sealUnderTwoKeys(
      deriveSegmentKey(mine),
      deriveSegmentKey(other),
      nonce,
      ciphertext,
    );
    // The AEAD alone accepts it under both keys, and gives two records.
    const records = [mine, other].map((key) => openSegment(deriveSegmentKey(key), 0, true, bytes));
    expect(records.every((opened) => opened?.length === 3072)).toBe(true);
    expect(records[0]).not.toEqual(records[1]);

    const part = { id: "content", size: 3072, data: [cidOf(bytes, RAW)] };
    const forMine = await forge({ parts: [{ ...part, commit: deriveCommit(mine) }] }, [bytes]);
    const forOther = await forge({ parts: [{ ...part, commit: deriveCommit(other) }] }, [bytes]);
    const withMine = { keys: { parts: { content: mine } } };
    const withOther = { keys: { parts: { content: other } } };
    const opened = await open(forMine, withMine);
    expect(opened.parts.get("content")).toEqual(unpadByHand(records[0]!));
    // Whoever commits to the other key instead fails too: what it opens to is not padded.
    await expect(open(forOther, withOther)).rejects.toThrow(DECRYPT);
    await expect(open(forMine, withOther)).rejects.toThrow(DECRYPT);
    await expect(open(forOther, withMine)).rejects.toThrow(DECRYPT);
  });

  describe("with segments that an author has rearranged", () => {
    const [, content] = header.parts;
    const block = sealed.blocks[1]!.bytes;
    const segments = [0, 1, 2, 3].map((i) => block.subarray(i * SEALED, (i + 1) * SEALED));
    const [a, b, c, last] = segments as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    const withBlock = (bytes: Uint8Array, size: number) =>
      forge({ parts: [{ ...content!, size, data: [cidOf(bytes, RAW)] }] }, [bytes]);
    // Padded to a size from which a segment can be dropped or added without another size being due.
    const full = 3 * SEGMENT + 8192;

    it.each<[string, Uint8Array[], number]>([
      ["exchanged", [b, a, c, last], full],
      ["one repeated in place of another", [a, a, c, last], full],
      ["one repeated", [a, b, b, c, last], full + SEGMENT],
      ["one dropped", [a, c, last], full - SEGMENT],
      ["the last dropped", [a, b, c], 3 * SEGMENT],
      ["all but the first dropped", [a], SEGMENT],
      ["only the last kept", [last], 8192],
      ["a part cut off the last", [a, b, c, last.subarray(0, 4112)], full - 4096],
      ["the last moved to the front", [last, a, b, c], full],
    ])("catches them %s", async (_, kept, size) => {
      await expect(open(await withBlock(concatBytes(...kept), size))).rejects.toThrow(DECRYPT);
    });

    it("catches a size that says less or more than the ciphertext", async () => {
      for (const size of [3072, 8192, full - 4096, full + 4096, 4 * SEGMENT]) {
        await expect(open(await withBlock(block, size))).rejects.toThrow(DECRYPT);
      }
    });

    it("catches a last segment that was not sealed as the last, and the reverse", async () => {
      const key = deriveSegmentKey(
        derivePartKeys(header, sealed.cek, ["content"]).parts["content"]!,
      );
      const plain = utf8ToBytes("12345");
      const padded = padByHand(plain);
      const open5 = sealSegment(key, 0, false, padded);
      await expect(open(await withBlock(open5, 3072))).rejects.toThrow(DECRYPT);
      const early = sealSegment(key, 0, true, new Uint8Array(SEGMENT));
      const rest = sealSegment(key, 1, true, padByHand(plain, { size: 2048, length: SEGMENT + 5 }));
      await expect(open(await withBlock(concatBytes(early, rest), SEGMENT + 2048))).rejects.toThrow(
        DECRYPT,
      );
      const right = sealSegment(key, 0, true, padded);
      expect((await open(await withBlock(right, 3072))).parts.get("content")).toEqual(plain);
    });

    it("catches blocks exchanged between one another", async () => {
      const big = await seal([{ id: "content", bytes: new Uint8Array(2 * 15 * SEGMENT) }], "big");
      const signed = decodeSignedHeader(big.header).header;
      const [one, two, three] = signed.parts[0]!.data;
      const bytes = await signHeader(
        { ...signed, parts: [{ ...signed.parts[0]!, data: [two!, one!, three!] }] },
        hospital,
      );
      await expect(
        open(
          { cid: cidOf(bytes, DAG_CBOR), header: bytes, blocks: big.blocks },
          { keys: { cek: big.cek } },
        ),
      ).rejects.toThrow(DECRYPT);
    });
  });

  it("catches a flipped bit anywhere in a block, by its name and by its tag", async () => {
    const [manifest] = header.parts;
    const block = sealed.blocks[0]!;
    const bits = block.bytes.length * 8;
    // Every bit of the content, of the length and of the tag, and some of the padding.
    for (let bit = 0; bit < bits; bit += bit < 256 || bit > bits - 200 ? 1 : 61) {
      const bytes = flip(block.bytes, bit);
      const read = reader([{ cid: block.cid, bytes }]);
      await expect(open(sealed, { read, parts: ["manifest"] })).rejects.toThrow(INVALID);
      if (bit % 7 > 0) continue;
      const renamed = await forge({ parts: [{ ...manifest!, data: [cidOf(bytes, RAW)] }] }, [
        bytes,
      ]);
      await expect(open(renamed)).rejects.toThrow(DECRYPT);
    }
  });

  it("names a block that is missing", async () => {
    const read = reader(sealed.blocks.slice(0, 1));
    await expect(open(sealed, { read })).rejects.toThrow(
      expect.objectContaining({
        code: "ERR_ENVELOPE_MISSING",
        message: expect.stringContaining(String(sealed.blocks[1]!.cid)) as string,
      }),
    );
  });

  it("refuses more plaintext than it may hold, before reading any", async () => {
    const read = (): Promise<undefined> => Promise.reject(new Error("was read"));
    await expect(open(sealed, { maxBytes: 100, read })).rejects.toThrow(
      expect.objectContaining({ code: "ERR_INPUT_TOO_LARGE" }),
    );
  });

  it("stops when told to", async () => {
    const reason = new Error("enough");
    await expect(open(sealed, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it("derives different keys from every input of the schedule", () => {
    const variants = [
      header,
      { ...header, suite: "aes-gcm" },
      { ...header, salt: flip(header.salt, 0) },
      { ...header, context: { ...context, ledger: otherLedger } },
      { ...header, context: { ...context, author: laboratory.actor } },
      { ...header, context: { ...context, kind: "access" } },
    ].map((changed) => derivePartKeys(changed, sealed.cek, ["a", "b"]).parts);
    const keys = variants.flatMap(({ a, b }) => [a!, b!]);
    const all = keys.flatMap((key) => [key, deriveSegmentKey(key), deriveCommit(key)]);
    all.push(hkdfExtract(header.salt, sealed.cek));
    expect(new Set(all.map((key) => Buffer.from(key).toString("hex"))).size).toBe(all.length);
  });

  it("throws typed errors only, whatever the header", async () => {
    for (let length = 0; length < sealed.header.length; length += 11) {
      const bytes = sealed.header.subarray(0, length);
      const cut = { cid: cidOf(bytes, DAG_CBOR), header: bytes, blocks: [] };
      await expect(open(cut)).rejects.toBeInstanceOf(LedgerError);
    }
  });
});
