import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { decodeSignedHeader, encodeHeader } from "../../src/envelope/header.ts";
import { derivePartKeys } from "../../src/envelope/keys.ts";
import { openEnvelope } from "../../src/envelope/open.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import {
  clinic,
  context,
  hospital,
  keyOf,
  laboratory,
  reader,
  seal,
  seeded,
  openingOf,
} from "./parties.ts";

const KIB = 1024;
const SEGMENT = 64 * KIB;
const BLOCK = 15 * SEGMENT;

describe("sealEnvelope", () => {
  // Sealed lengths counted by hand: padded plaintext and 16 bytes for each segment begun.
  it.each<[string, number, number[]]>([
    ["nothing", 0, [3 * KIB + 16]],
    ["one byte", 1, [3 * KIB + 16]],
    ["as much as the first size holds", 3 * KIB - 8, [3 * KIB + 16]],
    ["a byte more than the first size", 3 * KIB - 7, [8 * KIB + 16]],
    ["as much as the second size holds", 8 * KIB - 8, [8 * KIB + 16]],
    ["a byte more than the second size", 8 * KIB - 7, [16 * KIB + 16]],
    ["as much as the third size holds", 16 * KIB - 8, [16 * KIB + 16]],
    ["a byte more than the third size", 16 * KIB - 7, [17 * KIB + 16]],
    ["as much as one segment holds", SEGMENT - 8, [SEGMENT + 16]],
    ["one segment", SEGMENT, [66 * KIB + 32]],
    ["a byte more", SEGMENT + 1, [66 * KIB + 32]],
    ["as much as a block holds", BLOCK - 8, [BLOCK + 240]],
    ["fifteen segments", BLOCK, [BLOCK + 240, 16 * KIB + 16]],
    ["a byte more than a block", BLOCK + 1, [BLOCK + 240, 16 * KIB + 16]],
    ["two blocks and a half", 2.5 * BLOCK, [BLOCK + 240, BLOCK + 240, 8 * SEGMENT + 128]],
  ])("seals %s, and opens it again", async (_, size, lengths) => {
    const bytes = new Uint8Array(size).map((__, i) => i % 251);
    const sealed = await seal([{ id: "content", bytes }]);
    expect(sealed.blocks.map((block) => block.bytes.length)).toEqual(lengths);
    const opened = await openEnvelope(openingOf(sealed));
    expect([...opened.parts.keys()]).toEqual(["content"]);
    expect(Buffer.compare(opened.parts.get("content")!, bytes)).toBe(0);
  });

  it("names the envelope and its blocks by their bytes", async () => {
    const sealed = await seal([{ id: "manifest", bytes: utf8ToBytes("{}") }]);
    expect(sealed.cid.equals(cidOf(sealed.header, DAG_CBOR))).toBe(true);
    const { header } = decodeSignedHeader(sealed.header);
    expect(header.parts[0]!.data.map(String)).toEqual(sealed.blocks.map(({ cid }) => String(cid)));
    for (const { cid, bytes } of sealed.blocks) expect(cid.equals(cidOf(bytes, RAW))).toBe(true);
  });

  it("opens only the parts asked for, or those it has keys to", async () => {
    const parts = ["manifest", "content", "attachment"].map((id) => ({
      id,
      bytes: utf8ToBytes(id),
    }));
    const sealed = await seal(parts);
    const { header } = decodeSignedHeader(sealed.header);
    const open = (options: Pick<Parameters<typeof openEnvelope>[0], "keys" | "parts">) =>
      openEnvelope({
        envelope: sealed.cid,
        header: sealed.header,
        context,
        author: keyOf(hospital),
        read: reader(sealed.blocks),
        ...options,
      }).then(({ parts: opened }) => [...opened.keys()]);
    const cek = { cek: sealed.cek };
    expect(await open({ keys: cek })).toEqual(["manifest", "content", "attachment"]);
    expect(await open({ keys: cek, parts: ["content"] })).toEqual(["content"]);
    const some = derivePartKeys(header, sealed.cek, ["manifest", "attachment"]);
    expect(await open({ keys: some })).toEqual(["manifest", "attachment"]);
    await expect(open({ keys: some, parts: ["content"] })).rejects.toThrow(
      expect.objectContaining({ code: "ERR_ENVELOPE_DECRYPT" }),
    );
    await expect(open({ keys: cek, parts: ["nothing"] })).rejects.toThrow(
      expect.objectContaining({ code: "ERR_ENVELOPE_INVALID" }),
    );
    await expect(open({ keys: { parts: {} } })).rejects.toThrow(
      expect.objectContaining({ code: "ERR_ENVELOPE_DECRYPT" }),
    );
  });

  it("gives every envelope and every part its own key", async () => {
    const bytes = new Uint8Array(100);
    const parts = [
      { id: "a", bytes },
      { id: "b", bytes },
    ];
    const first = await seal(parts, "1");
    const second = await seal(parts, "2");
    const names = [...first.blocks, ...second.blocks].map(({ cid }) => String(cid));
    expect(new Set(names).size).toBe(4);
    expect(first.cek).not.toEqual(second.cek);
  });

  it("signs with either algorithm, and can name what it replaces", async () => {
    const old = await seal([{ id: "content", bytes: new Uint8Array(1) }]);
    const clinicContext = { ...context, author: clinic.actor };
    const sealed = await sealEnvelope({
      context: clinicContext,
      parts: [{ id: "content", bytes: new Uint8Array(2) }],
      signer: clinic,
      random: seeded("es256"),
      supersedes: old.cid,
    });
    const opened = await openEnvelope({
      envelope: sealed.cid,
      header: sealed.header,
      keys: { cek: sealed.cek },
      context: clinicContext,
      author: keyOf(clinic),
      read: reader(sealed.blocks),
    });
    expect(opened.header.supersedes?.equals(old.cid)).toBe(true);
  });

  it("refuses a signer who is not the author", async () => {
    const parts = [{ id: "content", bytes: new Uint8Array(1) }];
    await expect(
      sealEnvelope({ context, parts, signer: laboratory, random: seeded("x") }),
    ).rejects.toThrow(expect.objectContaining({ code: "ERR_INPUT_INVALID" }));
  });

  it.each([[""], ["Content"], ["a b"], ["a\0b"], [".a"], ["a".repeat(65)], ["__proto__"], ["ä"]])(
    "refuses the part id %j",
    async (id) => {
      await expect(seal([{ id, bytes: new Uint8Array(1) }])).rejects.toThrow(
        expect.objectContaining({ code: "ERR_ENVELOPE_INVALID" }),
      );
    },
  );

  it("refuses no parts, a part twice, and an unknown suite", async () => {
    const invalid = expect.objectContaining({ code: "ERR_ENVELOPE_INVALID" });
    const part = { id: "content", bytes: new Uint8Array(1) };
    await expect(seal([])).rejects.toThrow(invalid);
    await expect(seal([part, part])).rejects.toThrow(invalid);
    await expect(
      sealEnvelope({
        context,
        parts: [part],
        signer: hospital,
        random: seeded("x"),
        suite: "toString" as "chacha",
      }),
    ).rejects.toThrow(expect.objectContaining({ code: "ERR_ENVELOPE_UNSUPPORTED" }));
  });

  it("wipes the content key where it fails", async () => {
    const taken: Uint8Array[] = [];
    const random = (length: number): Uint8Array => {
      taken.push(new Uint8Array(length).fill(7));
      return taken.at(-1)!;
    };
    const broken = { ...hospital, sign: () => Promise.reject(new Error("HSM is away")) };
    const parts = [{ id: "content", bytes: new Uint8Array(1) }];
    await expect(sealEnvelope({ context, parts, signer: broken, random })).rejects.toThrow("HSM");
    expect(taken[0]).toEqual(new Uint8Array(32));
  });
});

describe("encodeHeader", () => {
  const part = {
    id: "content",
    size: 3072,
    commit: new Uint8Array(32),
    data: [cidOf(new Uint8Array(), RAW)],
  };
  const header = { suite: "chacha", context, salt: new Uint8Array(32), parts: [part] };

  it("keeps room for what is to come", () => {
    expect(() =>
      encodeHeader({ ...header, suite: "aes-gcm", disclosed: new Uint8Array(32) }),
    ).not.toThrow();
  });

  it.each<[string, object]>([
    ["a short salt", { salt: new Uint8Array(31) }],
    ["a short commit", { parts: [{ ...part, commit: new Uint8Array(31) }] }],
    ["a block too few", { parts: [{ ...part, data: [] }] }],
    ["a block too many", { parts: [{ ...part, data: [part.data[0], part.data[0]] }] }],
    [
      "a block of another codec",
      { parts: [{ ...part, data: [cidOf(new Uint8Array(), DAG_CBOR)] }] },
    ],
    ["a negative size", { parts: [{ ...part, size: -1 }] }],
    ["a size of 0", { parts: [{ ...part, size: 0 }] }],
    ["a size that no padding gives", { parts: [{ ...part, size: 3073 }] }],
    ["a kind that is too long", { context: { ...context, kind: "k".repeat(65) } }],
    ["a short disclosure root", { disclosed: new Uint8Array(1) }],
    ["a raw envelope to replace", { supersedes: cidOf(new Uint8Array(), RAW) }],
  ])("refuses %s", (_, change) => {
    expect(() => encodeHeader({ ...header, ...change })).toThrow(
      expect.objectContaining({ code: "ERR_ENVELOPE_INVALID" }),
    );
  });
});
