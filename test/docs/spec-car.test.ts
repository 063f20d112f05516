import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { readCar, writeCar } from "../../src/codec/car.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { specPage } from "./spec-page.ts";

describe("docs/spec/car.md", () => {
  const bytes = specPage("car.md").hex("two-blocks");

  it("shows a file that reads as the page says and is written back the same", async () => {
    const { roots, blocks } = await readCar([bytes]);
    const seen = [];
    for await (const block of blocks) seen.push(block);
    expect(seen.map((block) => block.bytes)).toEqual([encode({ v: 1 }), utf8ToBytes("hello")]);
    expect(roots).toHaveLength(1);
    expect(roots[0]!.equals(seen[0]!.cid)).toBe(true);
    const digest = createHash("sha256").update("hello").digest();
    expect(Buffer.from(seen[1]!.cid.multihash.digest).equals(digest)).toBe(true);
    const written: Uint8Array[] = [];
    for await (const chunk of writeCar(roots, seen)) written.push(chunk);
    expect(concatBytes(...written)).toEqual(bytes);
  });
});
