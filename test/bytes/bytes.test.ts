import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareBytes, equalBytes } from "../../src/bytes/compare.ts";
import { concatBytes } from "../../src/bytes/concat.ts";
import { assertBytes, assertUint } from "../../src/bytes/guards.ts";

describe("equalBytes and compareBytes", () => {
  it("agree with Buffer", () => {
    const short = fc.uint8Array({ maxLength: 4, max: 3 });
    fc.assert(
      fc.property(short, short, (a, b) => {
        expect(equalBytes(a, b)).toBe(Buffer.from(a).equals(b));
        expect(Math.sign(compareBytes(a, b))).toBe(Buffer.compare(a, b));
      }),
    );
  });

  it("tells strings apart that differ in one bit", () => {
    const a = new Uint8Array(32).fill(7);
    for (let bit = 0; bit < 256; bit++) {
      const b = a.slice();
      b[bit >> 3]! ^= 1 << (bit & 7);
      expect(equalBytes(a, b)).toBe(false);
    }
  });
});

describe("concatBytes", () => {
  it("agrees with Buffer and never returns what it was given", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), (parts) => {
        const joined = concatBytes(...parts);
        expect(joined).toEqual(new Uint8Array(Buffer.concat(parts)));
        expect(parts).not.toContain(joined);
      }),
    );
  });
});

describe("guards", () => {
  it("take bytes of the right length, also a Buffer", () => {
    assertBytes(new Uint8Array(3), "key", 3);
    assertBytes(Buffer.alloc(3), "key", 3);
    expect(() => assertBytes(new Uint8Array(2), "key", 3)).toThrow(RangeError);
    for (const value of [
      undefined,
      null,
      "abc",
      [1, 2, 3],
      new ArrayBuffer(3),
      new Uint16Array(3),
    ]) {
      expect(() => assertBytes(value, "key", 3)).toThrow(TypeError);
    }
  });

  it("take unsigned safe integers up to a maximum", () => {
    for (const value of [0, 1, Number.MAX_SAFE_INTEGER]) assertUint(value, "size");
    for (const value of [1.5, Number.NaN, Infinity, "1", 1n, undefined]) {
      expect(() => assertUint(value, "size")).toThrow(TypeError);
    }
    expect(() => assertUint(-1, "size")).toThrow(RangeError);
    expect(() => assertUint(2 ** 53, "size")).toThrow(RangeError);
    expect(() => assertUint(5, "size", 4)).toThrow(RangeError);
  });
});
