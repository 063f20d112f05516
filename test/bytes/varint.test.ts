import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { decodeVarint, encodeVarint } from "../../src/bytes/varint.ts";
import { EncodingError } from "../../src/errors.ts";

// The examples of github.com/multiformats/unsigned-varint.
const examples: readonly [number, string][] = [
  [0, "00"],
  [1, "01"],
  [127, "7f"],
  [128, "8001"],
  [255, "ff01"],
  [300, "ac02"],
  [16384, "808001"],
];

describe("encodeVarint", () => {
  it.each(examples)("writes %i as %s", (value, hex) => {
    expect(toHex(encodeVarint(value))).toBe(hex);
  });

  it("refuses negative, fractional and unsafe numbers", () => {
    for (const value of [-1, 1.5, 2 ** 53, Number.NaN]) {
      expect(() => encodeVarint(value)).toThrow(RangeError);
    }
  });
});

describe("decodeVarint", () => {
  it.each(examples)("reads %i from %s", (value, hex) => {
    expect(decodeVarint(fromHex(hex))).toEqual({ value, length: hex.length / 2 });
  });

  it("reads back safe integers on both sides of every length, and others", () => {
    const isReadBack = (value: number): void => {
      const bytes = encodeVarint(value);
      expect(decodeVarint(bytes)).toEqual({ value, length: bytes.length });
    };
    // Seven bits a byte: 2^53 − 1 takes eight.
    for (let bytes = 1; bytes < 8; bytes++) {
      const first = 2 ** (7 * bytes);
      expect(encodeVarint(first - 1)).toHaveLength(bytes);
      expect(encodeVarint(first)).toHaveLength(bytes + 1);
      for (const value of [first - 1, first, first + 1]) isReadBack(value);
    }
    isReadBack(Number.MAX_SAFE_INTEGER);
    fc.assert(fc.property(fc.maxSafeNat(), isReadBack));
  });

  it("asks for more when the input ends inside one", () => {
    expect(decodeVarint(fromHex(""))).toBeUndefined();
    expect(decodeVarint(fromHex("80"))).toBeUndefined();
    expect(decodeVarint(fromHex("ff01"), 2)).toBeUndefined();
  });

  it.each(["8000", "ff00", "80808000"])("refuses %s, which has a shorter form", (hex) => {
    expect(() => decodeVarint(fromHex(hex))).toThrow(EncodingError);
    expect(() => decodeVarint(fromHex(hex))).toThrow(/shortest/);
  });

  it("refuses values beyond 2^53 − 1 and endless ones", () => {
    expect(decodeVarint(fromHex("ffffffffffffff0f"))?.value).toBe(Number.MAX_SAFE_INTEGER);
    for (const hex of ["ffffffffffffff10", "ffffffffffffffffff01", "8080808080808080808080"]) {
      expect(() => decodeVarint(fromHex(hex))).toThrow(
        expect.objectContaining({ code: "ERR_ENCODING_LIMIT" }),
      );
    }
  });
});
