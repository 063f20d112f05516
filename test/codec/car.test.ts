import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { readCar, writeCar } from "../../src/codec/car.ts";
import type { CarBlock, CarOptions } from "../../src/codec/car.ts";
import type { CID } from "../../src/codec/cid.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { EncodingError, InputError } from "../../src/errors.ts";
import { collectGarbage } from "../support/collect-garbage.ts";

const CAR = expect.objectContaining({ name: "EncodingError", code: "ERR_ENCODING_CAR" });

const rawBlock = (...bytes: number[]): CarBlock => {
  const data = Uint8Array.from(bytes);
  return { cid: cidOf(data, RAW), bytes: data };
};
const record = encode({ v: 1 });
const blocks: readonly CarBlock[] = [
  { cid: cidOf(record, DAG_CBOR), bytes: record },
  rawBlock(),
  rawBlock(1, 2, 3),
];
const roots: readonly CID[] = [blocks[0]!.cid];

async function write(names: readonly CID[], list: Iterable<CarBlock>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeCar(names, list)) chunks.push(chunk);
  return concatBytes(...chunks);
}

async function read(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options?: CarOptions,
): Promise<{ roots: string[]; blocks: (CarBlock & { offset: number })[] }> {
  const reader = await readCar(source, options);
  const seen = [];
  for await (const block of reader.blocks) seen.push(block);
  return { roots: reader.roots.map(String), blocks: seen };
}

describe("writeCar", () => {
  it("writes the same bytes for the same blocks", async () => {
    const first = await write(roots, blocks);
    expect(await write(roots, blocks)).toEqual(first);
    // By hand: varint 58, the header {roots: [CID], version: 1}, then varint 36 + length, CID, block.
    expect(toHex(first)).toBe(
      "3aa265726f6f747381d82a582500" +
        `${toHex(roots[0]!.bytes)}6776657273696f6e01` +
        blocks
          .map(
            ({ cid, bytes }) => (36 + bytes.length).toString(16) + toHex(cid.bytes) + toHex(bytes),
          )
          .join(""),
    );
  });

  it("refuses a block that does not match its CID", async () => {
    const wrong = { cid: blocks[2]!.cid, bytes: Uint8Array.of(1, 2, 4) };
    await expect(write(roots, [blocks[0]!, wrong])).rejects.toThrow(InputError);
    await expect(write(roots, [blocks[0]!, wrong])).rejects.toThrow(/block 1/);
  });
});

describe("readCar", () => {
  it("reads what was written, however it is cut into chunks", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 }),
        fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 20 }),
        async (list, sizes) => {
          const given = list.map((bytes) => ({ cid: cidOf(bytes, RAW), bytes }));
          const car = await write(roots, given);
          const back = await read(cut(car, sizes));
          expect(back.roots).toEqual(roots.map(String));
          expect(back.blocks.map(({ bytes }) => bytes)).toEqual(list);
          for (const { offset, bytes } of back.blocks) {
            expect(toHex(car.subarray(offset)).includes(toHex(bytes))).toBe(true);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("takes a CAR without roots and without blocks", async () => {
    expect(await read([await write([], [])])).toEqual({ roots: [], blocks: [] });
  });

  it("catches every flipped bit, naming the block and its offset", async () => {
    const car = await write(roots, blocks);
    const offsets = (await read([car])).blocks.map(({ offset }) => offset);
    for (let bit = 0; bit < car.length * 8; bit++) {
      const changed = car.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const place = bit >> 3;
      const index = offsets.filter((offset) => offset <= place).length - 1;
      if (index < 0) {
        // A root is only a name: a flip in its digest gives another root, or an error.
        const result = await read([changed]).catch((error: unknown) => error);
        if (result instanceof Error) expect(result).toEqual(CAR);
        else expect((result as { roots: string[] }).roots).not.toEqual(roots.map(String));
        continue;
      }
      await expect(read([changed])).rejects.toThrow(CAR);
      await expect(read([changed])).rejects.toThrow(
        new RegExp(`^block ${index} at offset ${offsets[index]}: `),
      );
    }
  });

  it("catches truncation anywhere but between blocks", async () => {
    const car = await write(roots, blocks);
    const ends = (await read([car])).blocks.map(({ offset }) => offset);
    for (let length = 0; length < car.length; length++) {
      const short = read([car.subarray(0, length)]);
      if (ends.includes(length)) {
        expect((await short).blocks).toHaveLength(ends.indexOf(length));
      } else {
        await expect(short).rejects.toThrow(CAR);
      }
    }
  });

  it.each<[string, string]>([
    ["nothing", ""],
    ["an empty header", "00"],
    ["a header length in a long form", "ba00"],
    ["a header length beyond 2^53 − 1", "ffffffffffffffffff01"],
    ["a header longer than allowed", "808080808001"],
    ["a header that is no map", "0101"],
    ["a header that is not canonical", "11a26776657273696f6e0165726f6f747380"],
    ["version 2", "11a265726f6f7473806776657273696f6e02"],
    ["a header without roots", "0aa16776657273696f6e01"],
    ["an unknown header field", "14a3617801" + "65726f6f7473806776657273696f6e01"],
    ["a root that is not a CID", "12a265726f6f747381016776657273696f6e01"],
    ["a CARv2 pragma", "0aa16776657273696f6e02"],
  ])("refuses %s", async (_, hex) => {
    await expect(read([fromHex(hex)])).rejects.toThrow(CAR);
  });

  const header = "11a265726f6f7473806776657273696f6e01";
  it.each<[string, string]>([
    ["an empty section", "00"],
    ["a length in a long form", "a40000"],
    ["an endless length", "8080808080808080808080"],
    ["a length beyond the limit", "ffffffffffff0f"],
    ["a section too short for a CID", "0401551220"],
    ["a CIDv0", `22${toHex(new Uint8Array([0x12, 0x20, ...new Uint8Array(32)]))}`],
    ["another codec", `24017012${"20".padEnd(66, "0")}`],
    ["another hash", `24015513${"20".padEnd(66, "0")}`],
    ["an identity CID", "05015500" + "0161"],
  ])("refuses %s", async (_, hex) => {
    await expect(read([fromHex(header + hex)])).rejects.toThrow(/block 0 at offset 18: /);
    await expect(read([fromHex(header + hex)])).rejects.toThrow(CAR);
  });

  it("refuses hashes that it cannot check, also with any CIDs", async () => {
    await expect(read([fromHex(`${header}050155000161`)], { cids: "any" })).rejects.toThrow(
      /block 0 at offset 18: does not match its CID/,
    );
    await expect(read([fromHex(`${header}03015512`)], { cids: "any" })).rejects.toThrow(CAR);
  });

  it("holds one block at a time", async () => {
    const big = new Uint8Array(1 << 20).fill(7);
    const block = { cid: cidOf(big, RAW), bytes: big };
    async function* source(): AsyncIterable<Uint8Array> {
      function* many(): Iterable<CarBlock> {
        for (let i = 0; i < 64; i++) yield block;
      }
      for await (const chunk of writeCar(roots, many())) yield chunk;
    }
    const { blocks: stream } = await readCar(source());
    let count = 0;
    let most = 0;
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    for await (const { bytes } of stream) {
      count += bytes.length;
      if (count % (8 << 20) !== 0) continue;
      collectGarbage();
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    expect(count).toBe(64 << 20);
    expect(most).toBeLessThan(32 << 20);
  });

  it("allocates no more than the stream has delivered", async () => {
    const hostile = fromHex(`${header}808080${"20"}`); // a block of 64 MiB, and then nothing
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    await expect(read([hostile])).rejects.toThrow(/ends before its 67108864 bytes/);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 << 20);
  });

  it("lets go of its source when abandoned and when the header is wrong", async () => {
    let released = 0;
    async function* source(first: Uint8Array): AsyncIterable<Uint8Array> {
      try {
        yield first;
        yield new Uint8Array(1);
      } finally {
        released++;
      }
    }
    const { blocks: stream } = await readCar(source(await write(roots, blocks)));
    for await (const _ of stream) break;
    expect(released).toBe(1);
    await expect(readCar(source(fromHex("0101")))).rejects.toThrow(CAR);
    expect(released).toBe(2);
  });

  it("answers arbitrary changes with typed errors only", async () => {
    const car = await write(roots, blocks);
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: car.length }),
        fc.nat({ max: 20 }),
        fc.uint8Array({ maxLength: 20 }),
        fc.constantFrom<CarOptions>({}, { cids: "any" }),
        async (at, gone, added, options) => {
          const changed = concatBytes(car.subarray(0, at), added, car.subarray(at + gone));
          try {
            for (const { cid, bytes } of (await read([changed], options)).blocks) {
              expect(cidOf(bytes, RAW).multihash.digest).toEqual(cid.multihash.digest);
            }
          } catch (error) {
            expect(error).toBeInstanceOf(EncodingError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

function* cut(bytes: Uint8Array, sizes: readonly number[]): Iterable<Uint8Array> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]! + (i % sizes.length === 0 ? 1 : 0);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}
