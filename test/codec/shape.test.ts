import { describe, expect, it } from "vitest";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../../src/codec/shape.ts";

const SHAPE = expect.objectContaining({ code: "ERR_ENCODING_SHAPE" });
const link = cidOf(new Uint8Array(1), RAW);

describe("expectMap", () => {
  it("returns a map with the required and some optional keys", () => {
    expect(expectMap({ a: 1, b: 2 }, "thing", ["a"], ["b", "c"])).toEqual({ a: 1, b: 2 });
    expect(expectMap({}, "thing", [])).toEqual({});
  });

  it.each<[string, unknown]>([
    ["null", null],
    ["an array", ["a"]],
    ["bytes", new Uint8Array(1)],
    ["a CID", link],
    ["a string", "a"],
    ["a missing key", {}],
    ["an unknown key", { a: 1, z: 1 }],
    ["an inherited key", Object.create({ a: 1 })],
    ["__proto__ as an unknown key", decode(encode(JSON.parse('{"a":1,"__proto__":{}}')))],
  ])("refuses %s", (_, value) => {
    expect(() => expectMap(value, "thing", ["a"], ["b"])).toThrow(SHAPE);
  });
});

describe("expectCid", () => {
  it("returns a CID, of one codec where asked", () => {
    expect(expectCid(decode(encode(link)), "body", RAW).equals(link)).toBe(true);
    expect(() => expectCid(link, "body", DAG_CBOR)).toThrow(SHAPE);
  });

  it("is not taken in by a map that looks like a CID", () => {
    const fake = {
      "/": "x",
      bytes: "x",
      version: 1,
      code: RAW,
      multihash: { code: 0x12, digest: new Uint8Array(32) },
    };
    expect(() => expectCid(decode(encode(fake)), "body")).toThrow(SHAPE);
    expect(expectMap(decode(encode(fake)), "thing", Object.keys(fake))).toEqual(fake);
  });
});

describe("scalars", () => {
  it("are returned where they fit", () => {
    expect(expectBytes(new Uint8Array(2), "x", 2)).toEqual(new Uint8Array(2));
    expect(expectUint(0, "x")).toBe(0);
    expect(expectString("", "x")).toBe("");
    expect(expectOneOf("a", "x", ["a", "b"])).toBe("a");
    expect(expectArray([1], "x", 1)).toEqual([1]);
    expect(expectVersion(1, "x")).toBe(1);
  });

  it.each<[string, () => unknown]>([
    ["bytes of another length", () => expectBytes(new Uint8Array(1), "x", 2)],
    ["a string for bytes", () => expectBytes("ab", "x")],
    ["a negative integer", () => expectUint(-1, "x")],
    ["a bigint", () => expectUint(2n ** 60n, "x")],
    ["an integer above the maximum", () => expectUint(6, "x", 5)],
    ["a string that is too long", () => expectString("abc", "x", 2)],
    ["another choice", () => expectOneOf("c", "x", ["a", "b"])],
    ["an array that is too long", () => expectArray([1, 2], "x", 1)],
    ["another version", () => expectVersion(2, "x")],
  ])("refuse %s", (_, run) => {
    expect(run).toThrow(SHAPE);
  });
});
