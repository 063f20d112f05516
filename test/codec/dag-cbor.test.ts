import { Buffer } from "node:buffer";
import * as reference from "@ipld/dag-cbor";
import fc from "fast-check";
import { CID } from "multiformats/cid";
import { describe, expect, it } from "vitest";
import { atOnce } from "../../src/bytes/steps.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { decode, decodeSteps, encode } from "../../src/codec/dag-cbor.ts";
import { EncodingError } from "../../src/errors.ts";
import { cases, stride } from "../support/share.ts";

const code = (name: string) => expect.objectContaining({ name: "EncodingError", code: name });
const MALFORMED = code("ERR_ENCODING_MALFORMED");
const NOT_CANONICAL = code("ERR_ENCODING_NOT_CANONICAL");
const LIMIT = code("ERR_ENCODING_LIMIT");
const SHAPE = code("ERR_ENCODING_SHAPE");

const cid = fc
  .tuple(fc.uint8Array({ maxLength: 8 }), fc.constantFrom(DAG_CBOR, RAW))
  .map(([bytes, codec]) => cidOf(bytes, codec));
const text = fc.string({
  unit: fc.constantFrom("a", "b", "é", "水", "𐅑", "\uffff", "\ufeff"),
  maxLength: 60,
});
const key = fc.oneof(
  text,
  fc.string({ maxLength: 4 }),
  fc.constantFrom("__proto__", "/", "toString", "10", "9"),
);

function values(withFloats: boolean): fc.Arbitrary<unknown> {
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.oneof(
        fc.constantFrom(null, true, false),
        fc.maxSafeInteger(),
        fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n - 1n }),
        text,
        fc.uint8Array({ maxLength: 80 }),
        cid,
        ...(withFloats ? [fc.double({ noNaN: true, noDefaultInfinity: true })] : []),
      ),
      fc.array(tie("value"), { maxLength: 6 }),
      fc.uniqueArray(fc.tuple(key, tie("value")), { maxLength: 8, selector: ([name]) => name }).map(
        // Object.fromEntries makes own properties, of __proto__ as well.
        (entries) => Object.fromEntries(entries) as unknown,
      ),
    ),
  }));
  return value;
}

describe("encode", () => {
  it("writes what @ipld/dag-cbor writes", () => {
    fc.assert(
      fc.property(values(true), (value) => {
        expect(encode(value, { floats: true })).toEqual(new Uint8Array(reference.encode(value)));
      }),
      { numRuns: cases(500, 4) },
    );
  });

  // RFC 8949 appendix A, those that DAG-CBOR admits.
  it.each<[unknown, string]>([
    [0, "00"],
    [23, "17"],
    [24, "1818"],
    [100, "1864"],
    [1000, "1903e8"],
    [1000000, "1a000f4240"],
    [1000000000000, "1b000000e8d4a51000"],
    [18446744073709551615n, "1bffffffffffffffff"],
    [-18446744073709551616n, "3bffffffffffffffff"],
    [-1, "20"],
    [-100, "3863"],
    [-1000, "3903e7"],
    [1.1, "fb3ff199999999999a"],
    [-4.1, "fbc010666666666666"],
    [1e300, "fb7e37e43c8800759c"],
    [false, "f4"],
    [true, "f5"],
    [null, "f6"],
    [new Uint8Array([1, 2, 3, 4]), "4401020304"],
    ["IETF", "6449455446"],
    ["ü", "62c3bc"],
    ["水", "63e6b0b4"],
    ["𐅑", "64f0908591"],
    [[1, [2, 3], [4, 5]], "8301820203820405"],
    [{ a: 1, b: [2, 3] }, "a26161016162820203"],
  ])("writes %s as RFC 8949 does (%s)", (value, hex) => {
    expect(toHex(encode(value, { floats: true }))).toBe(hex);
    expect(decode(fromHex(hex), { floats: true })).toEqual(value);
  });

  it("sorts maps of any number of keys in one way", () => {
    for (let count = 1; count <= 70; count++) {
      // 37 has no common divisor with 1009: no two keys are alike, and their order is mixed.
      const keys = Array.from({ length: count }, (_, i) => ((i * 37 * count) % 1009).toString(36));
      const sorted = [...new Set(keys)].sort(
        (a, b) => a.length - b.length || Buffer.compare(Buffer.from(a), Buffer.from(b)),
      );
      const read = decode(encode(Object.fromEntries(keys.map((key) => [`k${key}`, 0]))));
      expect(Object.keys(read as object)).toEqual(sorted.map((key) => `k${key}`));
    }
  });

  it("sorts keys by the bytes of their UTF-8 form, shorter first", () => {
    // As UTF-16, 𐅑 (d800…) would sort before \uffffa; as UTF-8 (f0…) it sorts after it (ef…).
    const value = { "𐅑": 1, "\uffff": 2, "\uffffa": 3, bb: 4, a: 5, "": 6, é: 7 };
    const keys = Object.keys(decode(encode(value)) as object);
    expect(keys).toEqual(["", "a", "bb", "é", "\uffff", "\uffffa", "𐅑"]);
  });

  it("writes a safe bigint as the integer it is", () => {
    expect(encode(5n)).toEqual(encode(5));
    expect(encode(-1n)).toEqual(encode(-1));
    expect(encode(-0)).toEqual(encode(0));
  });

  it("takes a Buffer for bytes and an object without prototype for a map", () => {
    expect(toHex(encode(Buffer.from([1])))).toBe("4101");
    expect(toHex(encode(Object.assign(Object.create(null) as object, { a: 1 })))).toBe("a1616101");
  });

  it("recognises a CID of another copy of the class", () => {
    const own = cidOf(new Uint8Array(3), RAW);
    class Foreign {
      version = own.version;
      code = own.code;
      multihash = own.multihash;
      bytes = own.bytes;
      "/" = own.bytes;
    }
    expect(encode({ link: new Foreign() })).toEqual(encode({ link: own }));
  });

  it.each<[string, unknown]>([
    ["undefined", undefined],
    ["undefined in a map", { a: undefined }],
    ["a hole in an array", [1, , 2]], // oxlint-disable-line no-sparse-arrays
    ["a function", { a: () => 1 }],
    ["a symbol", Symbol("a")],
    ["a Map", new Map([["a", 1]])],
    ["a Set", new Set([1])],
    ["a Date", new Date(0)],
    ["a typed array that is not bytes", new Float64Array(1)],
    ["an ArrayBuffer", new ArrayBuffer(1)],
    ["an instance of a class", new (class Patient {})()],
    ["NaN", Number.NaN],
    ["Infinity", [Infinity]],
    ["an integer of more than 64 bits", 2n ** 64n],
    ["a negative integer of more than 64 bits", -(2n ** 64n) - 1n],
    ["an unpaired surrogate", "\ud800"],
    ["an unpaired surrogate in a long string", `${"x".repeat(100)}\udc00`],
    ["an unpaired surrogate in a key", { "\udfff": 1 }],
  ])("refuses %s", (_, value) => {
    expect(() => encode(value, { floats: true })).toThrow(SHAPE);
  });

  it("refuses floats and unsafe integers unless told, wherever they hide", () => {
    for (const value of [
      0.5,
      2 ** 53,
      -(2 ** 53),
      { "/": 0.5 },
      { "/": { bytes: [1.5] } },
      [[0.1]],
    ]) {
      expect(() => encode(value)).toThrow(SHAPE);
      expect(decode(encode(value, { floats: true }), { floats: true })).toEqual(value);
    }
  });

  it("ends on a cycle and on deep nesting", () => {
    const cycle: unknown[] = [];
    cycle.push({ cycle });
    expect(() => encode(cycle)).toThrow(LIMIT);
    expect(() => encode(nest(33))).toThrow(LIMIT);
    expect(decode(encode(nest(32)))).toEqual(nest(32));
    expect(decode(encode(nest(256), { maxDepth: 256 }), { maxDepth: 256 })).toEqual(nest(256));
    expect(() => encode(1, { maxDepth: 257 })).toThrow(RangeError);
  });

  it("keeps its hands off an encoding that a getter starts in the middle", () => {
    const value = {
      a: "before",
      get b() {
        return encode({ inner: true });
      },
      c: "after",
    };
    expect(decode(encode(value))).toEqual({ a: "before", b: encode({ inner: true }), c: "after" });
  });

  it("grows beyond its working buffer", () => {
    const value = { big: new Uint8Array(100_000).fill(7), text: "é".repeat(50_000) };
    expect(encode(value)).toEqual(new Uint8Array(reference.encode(value)));
    expect(encode({ small: 1 })).toEqual(new Uint8Array(reference.encode({ small: 1 })));
  });
});

/** The one JavaScript form that a decoder gives to a number. */
function normal(value: unknown): unknown {
  if (typeof value === "bigint") {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }
  if (value === 0) return 0;
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array || value instanceof CID) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, normal(item)]));
}

function nest(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

describe("decode", () => {
  it("gives back what encode was given", () => {
    fc.assert(
      fc.property(values(true), (value) => {
        const bytes = encode(value, { floats: true });
        const back = decode(bytes, { floats: true });
        expect(encode(back, { floats: true })).toEqual(bytes);
        expect(back).toEqual(normal(value));
      }),
      { numRuns: cases(500, 4) },
    );
  });

  it("accepts nothing that would encode differently, however the bytes are changed", () => {
    const options = { floats: true };
    let accepted = 0;
    fc.assert(
      fc.property(
        values(true),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 }), fc.nat({ max: 3 })), {
          minLength: 1,
          maxLength: 3,
        }),
        (value, changes) => {
          const bytes = mutate(encode(value, options), changes);
          let back: unknown;
          try {
            back = decode(bytes, options);
          } catch (error) {
            expect(error).toBeInstanceOf(EncodingError);
            return;
          }
          accepted++;
          expect(encode(back, options)).toEqual(bytes);
        },
      ),
      { numRuns: cases(3000, 5) },
    );
    expect(accepted).toBeGreaterThan(cases(3000, 5) / 60);
  });

  it("answers arbitrary bytes with typed errors only", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          expect(encode(decode(bytes))).toEqual(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(EncodingError);
        }
      }),
      { numRuns: cases(3000, 5) },
    );
  });

  it("reads in steps what it reads at once, and refuses the same", () => {
    const told = (read: () => unknown): unknown => {
      try {
        return read();
      } catch (error) {
        return (error as EncodingError).message;
      }
    };
    const limits = fc.record({ maxDepth: fc.nat(4), maxItems: fc.nat(40), floats: fc.boolean() });
    fc.assert(
      fc.property(
        values(true),
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 }), fc.nat({ max: 3 })), { maxLength: 2 }),
        fc.option(limits, { nil: { floats: true } }),
        (value, changes, given) => {
          const bytes = mutate(encode(value, { floats: true }), changes);
          expect(told(() => atOnce(decodeSteps(bytes, given)))).toEqual(
            told(() => decode(bytes, given)),
          );
        },
      ),
      { numRuns: cases(3000, 5) },
    );
    expect(() => atOnce(decodeSteps(new Uint8Array(0)))).toThrow(EncodingError);
  });

  it("pauses within lists and maps, and reads no long item of a list", () => {
    const pauses = (value: unknown): number => {
      const steps = decodeSteps(encode(value));
      for (let count = 0; ; count++) {
        const { done, value: read } = steps.next();
        if (done !== true) continue;
        expect(read).toEqual(value);
        return count;
      }
    };
    const list = (length: number) => Array.from({ length }, () => 7);
    expect(pauses(list(100))).toBe(0);
    expect(pauses({ a: { b: list(20_480) } })).toBeGreaterThanOrEqual(9);
    const fields = Object.fromEntries(list(20_480).map((one, i) => [`${i}`, one]));
    expect(pauses(fields)).toBeGreaterThanOrEqual(18);
    expect(pauses([list(65_535)])).toBe(0);
    expect(() => pauses([list(65_536)])).toThrow(
      expect.objectContaining({ code: "ERR_ENCODING_LIMIT" }),
    );
  });

  it("accepts exactly those strings of up to two bytes that re-encode identically", () => {
    const options = { floats: true };
    const check = (bytes: Uint8Array): void => {
      let wanted: string | undefined;
      try {
        const again = reference.encode(reference.decode(bytes));
        if (toHex(again) === toHex(bytes)) wanted = toHex(bytes);
      } catch {
        wanted = undefined;
      }
      let got: string | undefined;
      try {
        got = toHex(encode(decode(bytes, options), options));
      } catch (error) {
        if (!(error instanceof EncodingError)) throw error;
      }
      if (got !== wanted)
        expect({ bytes: toHex(bytes), got }).toEqual({ bytes: toHex(bytes), got: wanted });
    };
    // one second byte in a few, not the same ones for every first
    const step = stride(5);
    for (let a = 0; a < 256; a++) {
      check(Uint8Array.of(a));
      for (let b = a % step; b < 256; b += step) check(Uint8Array.of(a, b));
    }
  });

  it.each<[string, string, typeof MALFORMED]>([
    ["nothing", "", MALFORMED],
    ["trailing bytes after the value", "0000", MALFORMED],
    ["an integer that fits a shorter form", "1817", NOT_CANONICAL],
    ["a 16-bit integer that fits 8", "1900ff", NOT_CANONICAL],
    ["a 32-bit integer that fits 16", "1a0000ffff", NOT_CANONICAL],
    ["a 64-bit integer that fits 32", "1b00000000ffffffff", NOT_CANONICAL],
    ["a negative integer in a long form", "3800", NOT_CANONICAL],
    ["a length in a long form", "580100", NOT_CANONICAL],
    ["an indefinite array", "9f01ff", MALFORMED],
    ["an indefinite string", "7f6161ff", MALFORMED],
    ["a reserved length", "1c", MALFORMED],
    ["undefined", "f7", MALFORMED],
    ["another simple value", "f820", MALFORMED],
    ["a half float", "f93c00", MALFORMED],
    ["a single float", "fa3fc00000", MALFORMED],
    ["a break", "ff", MALFORMED],
    ["tag 0", "c074323031332d30332d32315432303a30343a30305a", MALFORMED],
    ["tag 42 in a long form", "d9002a450001550000", NOT_CANONICAL],
    ["tag 42 around a string", "d82a6100", MALFORMED],
    ["tag 42 without the 00 prefix", "d82a450155000000", MALFORMED],
    ["tag 42 around nothing", "d82a40", MALFORMED],
    ["tag 42 around a prefix only", "d82a4100", MALFORMED],
    ["a CID of version 2", "d82a450002550000", MALFORMED],
    ["a CID whose digest is cut short", "d82a46000155122000", MALFORMED],
    ["a CID with a varint in a long form", "d82a460001d5000000", MALFORMED],
    ["a CID with bytes behind it", "d82a46000155000000", MALFORMED],
    ["a key that is not a string", "a10102", MALFORMED],
    ["keys out of order", "a2616201616102", NOT_CANONICAL],
    ["a longer key before a shorter", "a262616101616202", NOT_CANONICAL],
    ["a key twice", "a2616101616102", MALFORMED],
    ["an overlong UTF-8 form", "62c080", MALFORMED],
    ["an encoded surrogate", "63eda080", MALFORMED],
    ["invalid UTF-8 in a long string", `7840${"61".repeat(63)}ff`, MALFORMED],
    ["invalid UTF-8 in a key", "a161ff01", MALFORMED],
    ["an array cut short", "8201", MALFORMED],
    ["a map without its last value", "a16161", MALFORMED],
    ["a string cut short", "6261", MALFORMED],
    ["an integer cut short", "1a000f42", MALFORMED],
  ])("refuses %s", (_, hex, error) => {
    expect(() => decode(fromHex(hex), { floats: true })).toThrow(error);
  });

  it.each<[string, string]>([
    ["1.0", "fb3ff0000000000000"],
    ["0.0", "fb0000000000000000"],
    ["-0.0", "fb8000000000000000"],
    ["2^53 − 1", "fb433fffffffffffff"],
  ])("refuses the float %s, which is an integer", (_, hex) => {
    expect(() => decode(fromHex(hex), { floats: true })).toThrow(NOT_CANONICAL);
  });

  it.each(["fb7ff0000000000000", "fbfff0000000000000", "fb7ff8000000000000", "fb7ff0000000000001"])(
    "refuses the float %s, which is not finite",
    (hex) => {
      expect(() => decode(fromHex(hex), { floats: true })).toThrow(MALFORMED);
    },
  );

  it("keeps integers exact around 2^53 and at the ends of 64 bits", () => {
    const cases: [string, number | bigint][] = [
      ["1b001fffffffffffff", Number.MAX_SAFE_INTEGER],
      ["1b0020000000000000", 2n ** 53n],
      ["3b001ffffffffffffe", Number.MIN_SAFE_INTEGER],
      ["3b001fffffffffffff", -(2n ** 53n)],
      ["1bffffffffffffffff", 2n ** 64n - 1n],
      ["3bffffffffffffffff", -(2n ** 64n)],
    ];
    for (const [hex, value] of cases) {
      expect(decode(fromHex(hex))).toBe(value);
      expect(toHex(encode(value))).toBe(hex);
    }
  });

  it("keeps a byte order mark, which @ipld/dag-cbor drops", () => {
    const bytes = encode({ note: "\ufeffabc" });
    expect(decode(bytes)).toEqual({ note: "\ufeffabc" });
    expect(reference.decode(bytes)).toEqual({ note: "abc" });
  });

  it("makes an own property of __proto__ and pollutes nothing", () => {
    const bytes = fromHex("a1695f5f70726f746f5f5fa168706f6c6c75746564f5");
    const value = decode(bytes) as Record<string, unknown>;
    expect(Object.keys(value)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(value["polluted"]).toBeUndefined();
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
    expect(encode(value)).toEqual(bytes);
  });

  it("returns copies of byte strings and CIDs, also from a Buffer", () => {
    const link = cidOf(new Uint8Array(1), DAG_CBOR);
    const bytes = Buffer.from(encode([new Uint8Array([1, 2]), link]));
    const [data, back] = decode(bytes) as [Uint8Array, CID];
    bytes.fill(0xff);
    expect(data).toEqual(new Uint8Array([1, 2]));
    expect(data.constructor).toBe(Uint8Array);
    expect(back.equals(link)).toBe(true);
    expect(back.toString()).toBe(link.toString());
  });

  describe("limits", () => {
    it("refuses an input that is too long before reading it", () => {
      expect(() => decode(new Uint8Array(11), { maxBytes: 10 })).toThrow(LIMIT);
    });

    it("refuses deep nesting without exhausting the stack", () => {
      expect(() => decode(new Uint8Array(1_000_000).fill(0x81))).toThrow(LIMIT);
      expect(() => decode(new Uint8Array(1_000_000).fill(0x81), { maxDepth: 256 })).toThrow(LIMIT);
      expect(() => decode(fromHex("00"), { maxDepth: 100_000 })).toThrow(RangeError);
    });

    it("counts items, keys included", () => {
      const bytes = encode({ a: [1, 2, 3] });
      expect(decode(bytes, { maxItems: 6 })).toEqual({ a: [1, 2, 3] });
      expect(() => decode(bytes, { maxItems: 5 })).toThrow(LIMIT);
    });

    it("bounds what a bomb of empty maps can allocate", () => {
      const bomb = new Uint8Array(8 * 1024 * 1024).fill(0xa0);
      bomb.set(fromHex("9a007ffffb"));
      const before = process.memoryUsage().heapUsed;
      expect(() => decode(bomb)).toThrow(LIMIT);
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024);
    });

    it.each([
      "5bffffffffffffffff",
      "5affffffff",
      "7affffffff",
      "9affffffff",
      "baffffffff",
      "9bffffffffffffffff",
      "bb7fffffffffffffff",
    ])("allocates nothing for the length %s", (hex) => {
      expect(() => decode(fromHex(hex))).toThrow(MALFORMED);
    });
  });

  it("refuses what is not bytes as a programmer's mistake", () => {
    expect(() => decode("a0" as unknown as Uint8Array)).toThrow(TypeError);
  });
});

function mutate(bytes: Uint8Array, changes: readonly [number, number, number][]): Uint8Array {
  let current = bytes;
  for (const [place, byte, how] of changes) {
    const at = place % (current.length + 1);
    const head = current.subarray(0, at);
    const tail = current.subarray(at);
    if (how === 0) current = Uint8Array.from([...head, byte, ...tail]);
    else if (how === 1) current = Uint8Array.from([...head, ...tail.subarray(1)]);
    else if (how === 2) current = Uint8Array.from([...head, byte, ...tail.subarray(1)]);
    else
      current = Uint8Array.from([...head, (tail[0] ?? 0) ^ (1 << (byte & 7)), ...tail.subarray(1)]);
  }
  return current;
}
