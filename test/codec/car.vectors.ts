import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readCar, writeCar } from "../../src/codec/car.ts";
import { CID } from "../../src/codec/cid.ts";
import { concatBytes } from "../../src/bytes/concat.ts";
import { describeVectors, readVector } from "../support/vectors.ts";

interface Expected {
  readonly header: { readonly roots: { readonly "/": string }[] };
  readonly blocks: {
    readonly cid: { readonly "/": string };
    readonly offset: number;
    readonly blockOffset: number;
    readonly blockLength: number;
  }[];
}

describeVectors("ipld carv1-basic", "car", (path) => {
  const bytes = new Uint8Array(readFileSync(join(path, "carv1-basic.car")));
  const expected = JSON.parse(readVector("car", "carv1-basic.json")) as Expected;

  it.each([1, 7, 100, 1 << 20])("reads as its JSON says, in chunks of %i", async (size) => {
    const { roots, blocks } = await readCar(chunked(bytes, size), { cids: "any" });
    expect(roots.map(String)).toEqual(expected.header.roots.map((root) => root["/"]));
    const seen = [];
    for await (const block of blocks) seen.push(block);
    expect(seen.map(({ cid, offset }) => [String(cid), offset])).toEqual(
      expected.blocks.map((block) => [block.cid["/"], block.offset]),
    );
    for (const [i, { blockOffset, blockLength }] of expected.blocks.entries()) {
      expect(seen[i]!.bytes).toEqual(bytes.slice(blockOffset, blockOffset + blockLength));
    }
  });

  it("is written back byte for byte", async () => {
    const { roots, blocks } = await readCar([bytes], { cids: "any" });
    const chunks = [];
    for await (const chunk of writeCar(roots, blocks)) chunks.push(chunk);
    expect(concatBytes(...chunks)).toEqual(bytes);
  });

  it("is refused where only our own CIDs are taken, at its CIDv0 block", async () => {
    const { roots, blocks } = await readCar([bytes]);
    expect(roots[0]!.equals(CID.parse(expected.header.roots[0]!["/"]))).toBe(true);
    await expect(async () => {
      for await (const _ of blocks);
    }).rejects.toThrow(/block 1 at offset 192/);
  });
});

function* chunked(bytes: Uint8Array, size: number): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
