import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { cidOf, DAG_CBOR, RAW, type CID } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { chachaSegments } from "../../src/crypto/segments.ts";
import { decodeSignedHeader, signHeader, verifyHeader } from "../../src/envelope/header.ts";
import { derivePartKeys, deriveSegmentKey } from "../../src/envelope/keys.ts";
import { openEnvelope } from "../../src/envelope/open.ts";
import { openPart, openStream, type OpenPartOptions } from "../../src/envelope/open-stream.ts";
import { isPaddedSize, paddedSize } from "../../src/envelope/padding.ts";
import { sealEnvelope } from "../../src/envelope/seal.ts";
import { sealStream } from "../../src/envelope/seal-stream.ts";
import { padByHand, padmeByHand, sizeByHand } from "./padding-by-hand.ts";
import { context, hospital, keyOf, openingOf, seal, seeded } from "./parties.ts";
import { cases } from "../support/share.ts";

const KIB = 1024;
const SEGMENT = 64 * KIB;
const BLOCK = 15 * SEGMENT;
const DECRYPT = expect.objectContaining({ name: "EnvelopeError", code: "ERR_ENVELOPE_DECRYPT" });

const template = await seal([{ id: "content", bytes: utf8ToBytes("hello") }]);
const { header } = decodeSignedHeader(template.header);
const segmentKey = (): Uint8Array =>
  deriveSegmentKey(derivePartKeys(header, template.cek, ["content"]).parts["content"]!);

/** What an author can do who pads otherwise: seals these bytes as they are. */
async function forge(padded: Uint8Array): Promise<OpenPartOptions> {
  const segments = Array.from({ length: Math.ceil(padded.length / SEGMENT) }, (_, i) =>
    chachaSegments.sealSegment(
      segmentKey(),
      i,
      (i + 1) * SEGMENT >= padded.length,
      padded.subarray(i * SEGMENT, (i + 1) * SEGMENT),
    ),
  );
  const blocks: { cid: CID; bytes: Uint8Array }[] = [];
  for (let i = 0; i < segments.length; i += 15) {
    const bytes = concatBytes(...segments.slice(i, i + 15));
    blocks.push({ cid: cidOf(bytes, RAW), bytes });
  }
  const part = { ...header.parts[0]!, size: padded.length, data: blocks.map(({ cid }) => cid) };
  const signed = await signHeader({ ...header, parts: [part] }, hospital);
  const made = { cid: cidOf(signed, DAG_CBOR), header: signed, cek: template.cek, blocks };
  return { ...openingOf(made), part: "content" };
}

const openWhole = ({ part, ...options }: OpenPartOptions) =>
  openEnvelope({ ...options, parts: [part] });

/** What each way of reading a whole part gives. */
async function readings(options: OpenPartOptions): Promise<unknown[]> {
  const outcome = (work: () => Promise<Uint8Array>): Promise<unknown> =>
    work().then(
      (bytes) => Buffer.from(bytes).toString("hex"),
      (error: unknown) => error,
    );
  return Promise.all([
    outcome(async () => (await openWhole(options)).parts.get("content")!),
    outcome(async () => {
      const pieces: Uint8Array[] = [];
      for await (const piece of openStream(options)) pieces.push(piece);
      return concatBytes(...pieces);
    }),
    outcome(async () => {
      const reader = openPart(options);
      return reader.range(0, await reader.size());
    }),
  ]);
}

const everyReading = (result: unknown): unknown[] => [result, result, result];

describe("paddedSize", () => {
  it("is Padmé above 16 KiB, which keeps the first binary digits of a length", () => {
    // Worked out from algorithm 1: E = ⌊log₂ L⌋, S = ⌊log₂ E⌋ + 1, the last E − S digits become 0.
    expect(padmeByHand(9)).toBe(10);
    expect(padmeByHand(1_000_000)).toBe(1_015_808);
    expect(paddedSize(1_000_000 - 8, "stepped")).toBe(1_015_808);
    expect(paddedSize(1_000_000 - 8, "uniform")).toBe(1_015_808);
  });

  it("is the size counted by hand, of every length", () => {
    const near = fc
      .tuple(fc.integer({ min: 0, max: 46 }), fc.integer({ min: -20, max: 20 }))
      .map(([exponent, more]) => Math.max(0, 2 ** exponent + more));
    const lengths = fc.oneof(near, fc.nat({ max: 20_000 }), fc.nat({ max: 2 ** 31 - 1 }));
    fc.assert(
      fc.property(
        lengths,
        fc.constantFrom("stepped" as const, "uniform" as const),
        (length, as) => {
          const size = paddedSize(length, as);
          expect(size).toBe(sizeByHand(length, as));
          expect(size - length).toBeGreaterThanOrEqual(8);
          if (length > 16_376) expect(size / (length + 8)).toBeLessThanOrEqual(1.0625);
          // The length is never divided between two segments.
          expect(size % SEGMENT === 0 || size % SEGMENT >= 8).toBe(true);
          expect(isPaddedSize(size)).toBe(true);
        },
      ),
      { numRuns: cases(2000, 4) },
    );
  });

  it("gives 3 sizes up to 16 KiB, 32 more up to 64 KiB and one for `uniform`", () => {
    const sizes = (padding: "stepped" | "uniform", most: number): number[] => [
      ...new Set(Array.from({ length: most - 7 }, (_, length) => paddedSize(length, padding))),
    ];
    expect(sizes("stepped", 16 * KIB)).toEqual([3 * KIB, 8 * KIB, 16 * KIB]);
    expect(sizes("uniform", 16 * KIB)).toEqual([16 * KIB]);
    expect(sizes("stepped", 64 * KIB)).toHaveLength(3 + 32);
    for (let size = 0; size <= 64 * KIB; size++) {
      const good = size >= 8 && [3 * KIB, 8 * KIB, 16 * KIB, padmeByHand(size)].includes(size);
      const due = size > 16 * KIB ? good : [3 * KIB, 8 * KIB, 16 * KIB].includes(size);
      if (isPaddedSize(size) !== due) expect({ size, due }).toBe(isPaddedSize(size));
    }
  });
});

describe("a padded part", () => {
  const hex = Buffer.from("hello").toString("hex");

  it("opens in every size that is due: the smallest, and the uniform one", async () => {
    const hello = utf8ToBytes("hello");
    for (const size of [3 * KIB, 16 * KIB]) {
      expect(await readings(await forge(padByHand(hello, { size })))).toEqual(everyReading(hex));
    }
    const uniform = await sealEnvelope({
      ...{ context, signer: hospital, random: seeded("uniform"), padding: "uniform" },
      parts: [0, 1, 16_376, 16_377].map((length, i) => ({
        id: `part-${i}`,
        bytes: new Uint8Array(length),
      })),
    });
    const { parts } = decodeSignedHeader(uniform.header).header;
    expect(parts.map(({ size }) => size)).toEqual([16_384, 16_384, 16_384, 17_408]);
    const opened = await openEnvelope(openingOf(uniform));
    expect([...opened.parts.values()].map(({ length }) => length)).toEqual([0, 1, 16_376, 16_377]);
  });

  it("is released without its padding, of any length, in whole and in parts", async () => {
    const borders = [0, 1, 3064, 8184, 16_376, SEGMENT - 8, SEGMENT, 2 * SEGMENT, BLOCK - 8, BLOCK];
    for (const length of borders.flatMap((border) => [border, border + 1])) {
      const bytes = new Uint8Array(length).map((_, i) => (i % 250) + 1);
      const sealed = await seal([{ id: "content", bytes }]);
      const options = { ...openingOf(sealed), part: "content" };
      const whole = Buffer.from(bytes).toString("hex");
      expect(await readings(options)).toEqual(everyReading(whole));
      const { parts } = await openWhole(options);
      // Nor does the memory behind it hold more.
      expect(parts.get("content")!.buffer.byteLength).toBe(length);
      const reader = openPart(options);
      for (const [from, to] of [
        [0, length + 1],
        [length, length + 1],
        [length, sizeByHand(length)],
        [length + 1, length + 1],
        [Math.max(0, length - 3), length + 8],
      ] as const) {
        await expect(reader.range(from, to)).rejects.toThrow(RangeError);
        await expect(reader.stream({ from, to }).next()).rejects.toThrow(RangeError);
      }
      await expect(reader.stream({ from: length + 1 }).next()).rejects.toThrow(RangeError);
      expect(await reader.range(length, length)).toEqual(new Uint8Array(0));
      expect(await reader.range(Math.max(0, length - 3), length)).toEqual(bytes.slice(-3));
    }
  });

  it.each<[string, Uint8Array]>([
    ["one byte too long for its size", padByHand(new Uint8Array(9), { size: 3072, length: 3065 })],
    ["as long as its size", padByHand(new Uint8Array(9), { size: 3072, length: 3072 })],
    ["beyond 32 bits", padByHand(new Uint8Array(9), { size: 3072, length: 2n ** 32n + 9n })],
    ["beyond what numbers hold", padByHand(new Uint8Array(9), { size: 3072, length: 2n ** 53n })],
    ["all ones", padByHand(new Uint8Array(9), { size: 3072, length: 2n ** 64n - 1n })],
    ["too short for a size of 8 KiB", padByHand(new Uint8Array(9), { size: 8192 })],
    ["just too short for 8 KiB", padByHand(new Uint8Array(3064), { size: 8192 })],
    ["too short for 17 KiB", padByHand(new Uint8Array(9), { size: 17_408 })],
    ["just too short for 17 KiB", padByHand(new Uint8Array(16_376), { size: 17_408 })],
    ["too short for 66 KiB", padByHand(new Uint8Array(65_528), { size: 67_584 })],
    ["the end of what is not padded", new Uint8Array(3072).fill(7)],
  ])("is refused with a length that is %s", async (_, padded) => {
    const forged = await forge(padded);
    expect(await readings(forged)).toEqual(everyReading(DECRYPT));
    await expect(openPart(forged).size()).rejects.toThrow(DECRYPT);
    await expect(openPart(forged).range(0, 1)).rejects.toThrow(DECRYPT);
  });

  it.each([5, 6, 1000, 3063])("is refused when byte %d of its padding is not 0", async (at) => {
    const padded = padByHand(utf8ToBytes("hello"));
    for (const bit of [1, 0x80]) {
      padded[at] = bit;
      const forged = await forge(padded);
      expect(await readings(forged)).toEqual(everyReading(DECRYPT));
      await expect(openPart(forged).range(0, 1)).rejects.toThrow(DECRYPT);
    }
  });

  it("is refused at its end when the padding in later segments is not 0", async () => {
    const whole = 128 * SEGMENT;
    const bytes = new Uint8Array(whole + 5).fill(9);
    const padded = padByHand(bytes);
    // Padded to 132 segments: the last four have 5 bytes of it.
    expect(padded).toHaveLength(132 * SEGMENT);
    for (const [at, before] of [
      [bytes.length, whole],
      [129 * SEGMENT - 1, whole],
      [129 * SEGMENT, bytes.length],
      [132 * SEGMENT - 9, bytes.length],
    ] as const) {
      const wrong = padded.slice();
      wrong[at] = 1;
      const forged = await forge(wrong);
      const read: Uint8Array[] = [];
      const reading = async (): Promise<void> => {
        for await (const piece of openStream(forged)) read.push(piece);
      };
      await expect(reading()).rejects.toThrow(DECRYPT);
      expect(Buffer.concat(read).equals(bytes.subarray(0, before))).toBe(true);
      await expect(openWhole(forged)).rejects.toThrow(DECRYPT);
      // A range proves only what it reads, as it always did.
      expect(await openPart(forged).range(0, 9)).toEqual(bytes.slice(0, 9));
    }
  });

  it("gives no byte away before its length is authentic", async () => {
    const bytes = new Uint8Array(BLOCK + 5);
    const forged = await forge(padByHand(bytes));
    const { parts } = decodeSignedHeader(forged.header).header;
    const last = parts[0]!.data.at(-1)!;
    for (const back of [1, 16, 17, 24, 25]) {
      const block = (await forged.read(last)) as Uint8Array;
      const altered = block.slice();
      altered[altered.length - back]! ^= 1;
      const cid = cidOf(altered, RAW);
      const part = { ...parts[0]!, data: [...parts[0]!.data.slice(0, -1), cid] };
      const signed = await signHeader({ ...header, parts: [part] }, hospital);
      const options: OpenPartOptions = {
        ...forged,
        envelope: cidOf(signed, DAG_CBOR),
        header: signed,
        read: async (name) => (name.equals(cid) ? altered : forged.read(name)),
      };
      expect(await readings(options)).toEqual(everyReading(DECRYPT));
      await expect(openStream(options).next()).rejects.toThrow(DECRYPT);
    }
  });

  it("is refused with the last block of another part, or of another length", async () => {
    const bytes = new Uint8Array(BLOCK + 5);
    const two = await seal([
      { id: "content", bytes },
      { id: "notes", bytes },
    ]);
    const { header: own } = decodeSignedHeader(two.header);
    const [content, notes] = own.parts;
    const swapped = { ...content!, data: [content!.data[0]!, notes!.data[1]!] };
    const signed = await signHeader({ ...own, parts: [swapped, notes!] }, hospital);
    const options = {
      ...openingOf({ ...two, cid: cidOf(signed, DAG_CBOR), header: signed }),
      part: "content",
    };
    const results = await readings({ ...options, keys: derivePartKeys(own, two.cek, ["content"]) });
    expect(results).toEqual(everyReading(DECRYPT));

    // Of the same part, sealed with another length under the same key: of one size or of two.
    for (const length of [BLOCK + 6, BLOCK + 20_000]) {
      const one = await forge(padByHand(bytes.map(() => 1)));
      const other = await forge(padByHand(new Uint8Array(length).fill(1)));
      const [a, b] = [one, other].map(
        (made) => decodeSignedHeader(made.header).header.parts[0]!,
      ) as [(typeof header.parts)[0], (typeof header.parts)[0]];
      const mixed = { ...a, data: [a!.data[0]!, b!.data[1]!] };
      const made = await signHeader({ ...header, parts: [mixed!] }, hospital);
      const mix: OpenPartOptions = {
        ...one,
        envelope: cidOf(made, DAG_CBOR),
        header: made,
        read: async (name) => (await one.read(name)) ?? other.read(name),
      };
      // With one size it is what the author sealed last: a part that is a byte longer.
      const isWhole = sizeByHand(length) === sizeByHand(bytes.length);
      expect(await readings(mix)).toEqual(
        everyReading(
          isWhole ? Buffer.from(new Uint8Array(length).fill(1)).toString("hex") : DECRYPT,
        ),
      );
    }
  });

  it("is refused in its header with a size that no padding gives", async () => {
    const fields = decode(template.header) as { header: Uint8Array };
    const inner = decode(fields.header) as { parts: { size: number }[] };
    for (const size of [
      0,
      1,
      5,
      512,
      3071,
      3073,
      4096,
      8191,
      16_383,
      16_385,
      65_528,
      2 ** 53 - 1,
    ]) {
      inner.parts[0]!.size = size;
      const bytes = encode(inner);
      const sig = await hospital.sign(concatBytes(utf8ToBytes("healthledger/envelope/1\0"), bytes));
      const signed = encode({ ...fields, header: bytes, sig });
      const expected = { envelope: cidOf(signed, DAG_CBOR), context, author: keyOf(hospital) };
      expect(verifyHeader(signed, expected)).toEqual({ ok: false, reason: "malformed" });
    }
  });

  it("needs its last block first, and looks for it again after a failure", async () => {
    const bytes = new Uint8Array(BLOCK + 5).fill(3);
    const sealed = await seal([{ id: "content", bytes }]);
    const last = sealed.blocks[1]!;
    let there = false;
    const { read, ...options } = { ...openingOf(sealed), part: "content" };
    const reader = openPart({
      ...options,
      read: async (cid) => (cid.equals(last.cid) && !there ? undefined : read(cid)),
    });
    const missing = expect.objectContaining({ code: "ERR_ENVELOPE_MISSING" });
    await expect(reader.stream().next()).rejects.toThrow(missing);
    await expect(reader.range(0, 1)).rejects.toThrow(missing);
    await expect(reader.size()).rejects.toThrow(missing);
    there = true;
    expect(await reader.size()).toBe(bytes.length);
    expect(await reader.range(0, 1)).toEqual(Uint8Array.of(3));
  });
});

describe("padding as an option", () => {
  it("is refused if it does not exist, before anything is read", async () => {
    const parts = [{ id: "content", bytes: new Uint8Array(1) }];
    const common = { context, signer: hospital, random: seeded("x") };
    for (const padding of ["Uniform", "none", "", null, true] as unknown as "uniform"[]) {
      await expect(sealEnvelope({ ...common, parts, padding })).rejects.toThrow(TypeError);
      let touched = false;
      function* source(): Generator<Uint8Array> {
        touched = true;
        yield new Uint8Array(1);
      }
      const stream = { ...common, put: () => undefined, padding };
      await expect(
        sealStream({ ...stream, parts: [{ id: "content", source: source() }] }),
      ).rejects.toThrow(TypeError);
      expect(touched).toBe(false);
    }
  });

  it("is not part of the progress that sealing reports", async () => {
    const reported: number[] = [];
    await sealStream({
      ...{ context, signer: hospital, random: seeded("x"), put: () => undefined },
      parts: [5, BLOCK, 2 * BLOCK + 5].map((length, i) => ({
        id: `part-${i}`,
        source: new Uint8Array(length),
      })),
      onProgress: ({ sealed }) => void reported.push(sealed),
    });
    expect(reported).toEqual([
      ...[5, 5 + BLOCK, 5 + BLOCK],
      ...[5 + 2 * BLOCK, 5 + 3 * BLOCK, 10 + 3 * BLOCK],
    ]);
  });
});
