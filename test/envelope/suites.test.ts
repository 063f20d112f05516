import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { aesGcmSegments, segmentNonce } from "../../src/crypto/segments.ts";
import { decodeSignedHeader, type EnvelopeHeader, signHeader } from "../../src/envelope/header.ts";
import { deriveCommit, derivePartKeys, deriveSegmentKey } from "../../src/envelope/keys.ts";
import { openEnvelope, type OpenedEnvelope, type OpenOptions } from "../../src/envelope/open.ts";
import { sealEnvelope, type SealedEnvelope } from "../../src/envelope/seal.ts";
import { type SuiteName, suiteNamed } from "../../src/envelope/suite.ts";
import { padByHand, unpadByHand } from "./padding-by-hand.ts";
import { context, hospital, reader, seeded, openingOf } from "./parties.ts";
import { sealGcmUnderTwoKeys } from "./two-keys-gcm.ts";

const SEGMENT = 65536;
const SEALED = SEGMENT + 16;
const DECRYPT = expect.objectContaining({ name: "EnvelopeError", code: "ERR_ENVELOPE_DECRYPT" });
const parts = [
  { id: "manifest", bytes: utf8ToBytes("type: Observation") },
  { id: "content", bytes: new Uint8Array(3 * SEGMENT + 5000).map((_, i) => i % 253) },
];

const seal = (suite: SuiteName): Promise<SealedEnvelope> =>
  sealEnvelope({ context, parts, signer: hospital, random: seeded("suites"), suite });
const sealed = await seal("aes-gcm");
const { header } = decodeSignedHeader(sealed.header);

function open(
  envelope: Pick<SealedEnvelope, "cid" | "header" | "blocks">,
  change: Partial<OpenOptions> = {},
): Promise<OpenedEnvelope> {
  return openEnvelope(openingOf({ ...envelope, cek: sealed.cek }, change));
}

async function forge(change: Partial<EnvelopeHeader>, bytes?: Uint8Array) {
  const signed = await signHeader({ ...header, ...change }, hospital);
  const added = bytes === undefined ? [] : [{ cid: cidOf(bytes, RAW), bytes }];
  return { cid: cidOf(signed, DAG_CBOR), header: signed, blocks: [...sealed.blocks, ...added] };
}

describe("the suite aes-gcm", () => {
  it("opens what it sealed, and says so in the header", async () => {
    expect(header.suite).toBe("aes-gcm");
    const { parts: opened } = await open(sealed);
    for (const { id, bytes } of parts) expect(Buffer.compare(opened.get(id)!, bytes)).toBe(0);
  });

  it("differs from chacha in the suite's name, the keys and the ciphertext, and in nothing else", async () => {
    const chacha = await seal("chacha");
    const other = decodeSignedHeader(chacha.header).header;
    const shape = ({ context: ctx, salt, parts: described }: EnvelopeHeader) => ({
      ctx,
      salt,
      parts: described.map(({ id, size, data }) => ({ id, size, blocks: data.length })),
    });
    expect(shape(other)).toEqual(shape(header));
    expect(chacha.blocks.map(({ bytes }) => bytes.length)).toEqual(
      sealed.blocks.map(({ bytes }) => bytes.length),
    );
    for (const [i, { commit }] of other.parts.entries()) {
      expect(commit).not.toEqual(header.parts[i]!.commit);
    }
  });

  it("opens in no envelope that says another suite, even when the author signs it", async () => {
    await expect(open(await forge({ suite: "chacha" }))).rejects.toThrow(DECRYPT);
    const chacha = await seal("chacha");
    const posing = { ...decodeSignedHeader(chacha.header).header, suite: "aes-gcm" };
    const signed = await signHeader(posing, hospital);
    const moved = { cid: cidOf(signed, DAG_CBOR), header: signed, blocks: chacha.blocks };
    await expect(open(moved, { keys: { cek: chacha.cek } })).rejects.toThrow(DECRYPT);
    // Not even with the commits put right: the ciphertext is of another cipher.
    const keys = derivePartKeys(posing, chacha.cek, ["manifest", "content"]).parts;
    const committed = await forge({
      ...posing,
      parts: posing.parts.map((part) => ({ ...part, commit: deriveCommit(keys[part.id]!) })),
    });
    const blocks = reader(chacha.blocks);
    await expect(open(committed, { keys: { cek: chacha.cek }, read: blocks })).rejects.toThrow(
      DECRYPT,
    );
  });

  it("is AES-256-GCM with the counter and the final flag as nonce", async () => {
    const key = deriveSegmentKey(derivePartKeys(header, sealed.cek, ["content"]).parts["content"]!);
    const { subtle } = globalThis.crypto;
    const native = await subtle.importKey("raw", key.slice(), "AES-GCM", false, ["decrypt"]);
    const block = sealed.blocks[1]!.bytes;
    const padded = padByHand(parts[1]!.bytes);
    for (const [i, final] of [false, false, false, true].entries()) {
      const iv = segmentNonce(i, final).slice();
      const segment = block.slice(i * SEALED, (i + 1) * SEALED);
      const plain = new Uint8Array(await subtle.decrypt({ name: "AES-GCM", iv }, native, segment));
      const expected = padded.subarray(i * SEGMENT, (i + 1) * SEGMENT);
      expect(Buffer.compare(plain, expected)).toBe(0);
    }
  });

  const [, content] = header.parts;
  const block = sealed.blocks[1]!.bytes;
  const cut = [0, 1, 2, 3].map((i) => block.subarray(i * SEALED, (i + 1) * SEALED));
  const [a, b, c, last] = cut as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  it.each<[string, Uint8Array[], number]>([
    ["exchanged", [b, a, c, last], 3 * SEGMENT + 8192],
    ["one repeated", [a, b, b, c, last], 4 * SEGMENT + 8192],
    ["one dropped", [a, c, last], 2 * SEGMENT + 8192],
    ["the last dropped", [a, b, c], 3 * SEGMENT],
    ["a part cut off the last", [a, b, c, last.subarray(0, 4112)], 3 * SEGMENT + 4096],
  ])("catches segments that an author has rearranged: %s", async (_, kept, size) => {
    const bytes = concatBytes(...kept);
    const forged = await forge(
      { parts: [{ ...content!, size, data: [cidOf(bytes, RAW)] }] },
      bytes,
    );
    await expect(open(forged)).rejects.toThrow(DECRYPT);
  });

  it("catches a flipped bit anywhere in a block", async () => {
    const [manifest] = header.parts;
    const bits = sealed.blocks[0]!.bytes.length * 8;
    for (let bit = 0; bit < bits; bit += bit < 256 || bit > bits - 200 ? 3 : 121) {
      const bytes = sealed.blocks[0]!.bytes.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const forged = await forge({ parts: [{ ...manifest!, data: [cidOf(bytes, RAW)] }] }, bytes);
      await expect(open(forged)).rejects.toThrow(DECRYPT);
    }
  });

  it("refuses the second key of a ciphertext made to open under two", async () => {
    const mine = derivePartKeys(header, sealed.cek, ["content"]).parts["content"]!;
    const other = derivePartKeys(header, new Uint8Array(32).fill(9), ["content"]).parts["content"]!;
    const record = padByHand(new Uint8Array(40));
    const ciphertext = aesGcmSegments
      .sealSegment(deriveSegmentKey(mine), 0, true, record)
      .subarray(0, -16);
    const bytes = sealGcmUnderTwoKeys(
      deriveSegmentKey(mine),
      deriveSegmentKey(other),
      segmentNonce(0, true),
      ciphertext,
    );
    // The AEAD alone accepts it under both keys, and gives two records.
    const records = [mine, other].map((key) =>
      aesGcmSegments.openSegment(deriveSegmentKey(key), 0, true, bytes),
    );
    expect(records.every((opened) => opened?.length === 3072)).toBe(true);
    expect(records[0]).not.toEqual(records[1]);

    const part = { id: "content", size: 3072, data: [cidOf(bytes, RAW)] };
    const forged = await forge({ parts: [{ ...part, commit: deriveCommit(mine) }] }, bytes);
    const opened = await open(forged, { keys: { parts: { content: mine } } });
    expect(opened.parts.get("content")).toEqual(unpadByHand(records[0]!));
    await expect(open(forged, { keys: { parts: { content: other } } })).rejects.toThrow(DECRYPT);
  });
});

describe("suiteNamed", () => {
  it("says which suite it does not know, if that is a name at all", async () => {
    const unsupported = (message: string): unknown =>
      expect.objectContaining({
        code: "ERR_ENVELOPE_UNSUPPORTED",
        message: `this version does not know the suite ${message}`,
      });
    expect(() => suiteNamed("kyber-gcm.2")).toThrow(unsupported("kyber-gcm.2") as Error);
    expect(() => suiteNamed("toString")).toThrow(unsupported("with a malformed name") as Error);
    expect(() => suiteNamed("Jane Doe")).toThrow(unsupported("with a malformed name") as Error);
    await expect(open(await forge({ suite: "aegis-256" }))).rejects.toThrow(
      unsupported("aegis-256") as Error,
    );
  });
});
