import * as dagCbor from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { type CID, cidOf, RAW } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";

describe("encode with a size hint", () => {
  const value = { name: "x".repeat(100), parts: [1, 2, new Uint8Array(40_000).fill(7)] };
  const expected = dagCbor.encode(value);

  it.each([
    ["none", 0],
    ["far too small", 20_000],
    ["one byte too small", expected.length - 1],
    ["exact", expected.length],
    ["too large", expected.length + 1000],
  ])("writes the same bytes when the hint is %s", (_, sizeHint) => {
    expect(encode(value, { sizeHint })).toEqual(new Uint8Array(expected));
  });

  it("hands out a buffer of its own each time", () => {
    const first = encode(value, { sizeHint: 50_000 });
    const kept = first.slice();
    encode({ other: new Uint8Array(40_000) }, { sizeHint: 50_000 });
    expect(first).toEqual(kept);
  });
});

describe("decode with borrow", () => {
  const bytes = encode({
    cid: cidOf(new Uint8Array(3), RAW),
    text: "abc",
    value: new Uint8Array(90),
  });

  it("gives views of the input, and CIDs of their own", () => {
    const input = bytes.slice();
    const borrowed = decode(input, { borrow: true }) as { cid: CID; value: Uint8Array };
    expect(borrowed).toEqual(decode(bytes));
    expect(borrowed.value.buffer).toBe(input.buffer);
    const { cid } = borrowed;
    input.fill(0);
    expect(cid.equals(cidOf(new Uint8Array(3), RAW))).toBe(true);
  });

  it("gives copies without it", () => {
    const input = bytes.slice();
    const { value } = decode(input) as { value: Uint8Array };
    input.fill(1);
    expect(value).toEqual(new Uint8Array(90));
  });
});
