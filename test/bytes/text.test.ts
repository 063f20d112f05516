import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fromBase64, fromBase64Url, toBase64, toBase64Url } from "../../src/bytes/base64.ts";
import { bytesKey } from "../../src/bytes/bytes-key.ts";
import { compareBytes } from "../../src/bytes/compare.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { bytesToUtf8, utf8ToBytes } from "../../src/bytes/utf8.ts";

const malformed = expect.objectContaining({ code: "ERR_ENCODING_MALFORMED" });

describe("bytesKey", () => {
  it("agrees with Buffer's latin1, and orders as bytes are ordered", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        expect(bytesKey(a)).toBe(Buffer.from(a).toString("latin1"));
        const [one, other] = [bytesKey(a), bytesKey(b)];
        expect(Math.sign(compareBytes(a, b))).toBe(one < other ? -1 : Number(one > other));
      }),
    );
  });

  it("reads the part of a buffer that a view shows", () => {
    expect(bytesKey(Uint8Array.of(1, 65, 66, 2).subarray(1, 3))).toBe("AB");
  });
});

describe("hex", () => {
  it("agrees with Buffer in both directions", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const hex = Buffer.from(bytes).toString("hex");
        expect(toHex(bytes)).toBe(hex);
        expect(fromHex(hex)).toEqual(bytes);
        expect(fromHex(hex.toUpperCase())).toEqual(bytes);
      }),
    );
  });

  it("takes no other unit for a digit", () => {
    const isTaken = (text: string): boolean => {
      try {
        return fromHex(text).length === 1;
      } catch {
        return false;
      }
    };
    const units = Array.from({ length: 0x10000 }, (_, unit) => String.fromCharCode(unit));
    const digits = "0123456789ABCDEFabcdef";
    expect(units.filter((unit) => isTaken(`0${unit}`)).join("")).toBe(digits);
    expect(units.filter((unit) => isTaken(`${unit}0`)).join("")).toBe(digits);
  });

  it.each([1023, 1024, 1025, 3000, 200_000])("agrees with Buffer about %i bytes", (length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 37) ^ (i >> 8));
    expect(toHex(bytes)).toBe(Buffer.from(bytes).toString("hex"));
  });

  it.each(["0", "0g", "0x10", " 00", "00 ", "٠٠", "0\n"])("refuses %j", (text) => {
    expect(() => fromHex(text)).toThrow(malformed);
  });
});

describe("base64", () => {
  it("agrees with Buffer in both alphabets", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const buffer = Buffer.from(bytes);
        expect(toBase64(bytes)).toBe(buffer.toString("base64"));
        expect(fromBase64(buffer.toString("base64"))).toEqual(bytes);
        expect(toBase64Url(bytes)).toBe(buffer.toString("base64url"));
        expect(fromBase64Url(buffer.toString("base64url"))).toEqual(bytes);
      }),
    );
  });

  // RFC 4648 §10
  it.each([
    ["", ""],
    ["f", "Zg=="],
    ["fo", "Zm8="],
    ["foo", "Zm9v"],
    ["foobar", "Zm9vYmFy"],
  ])("writes %j as %s", (text, base64) => {
    expect(toBase64(utf8ToBytes(text))).toBe(base64);
  });

  it.each(["Zg", "Zg=", "Zh==", "Zg===", "Zg==\n", " Zg==", "Z g==", "Zm9v====", "-_8=", "=", "A"])(
    "refuses %j",
    (text) => {
      expect(() => fromBase64(text)).toThrow(malformed);
    },
  );

  it.each(["Zg==", "Zh", "+/8", "A", "Zg\n"])("refuses %j as URL-safe", (text) => {
    expect(() => fromBase64Url(text)).toThrow(malformed);
  });
});

describe("bytesToUtf8", () => {
  it("keeps a byte order mark", () => {
    expect(bytesToUtf8(fromHex("efbbbf61"))).toBe("\ufeffa");
  });

  // Overlong forms, a surrogate, a lone continuation byte, beyond U+10FFFF, cut short.
  it.each(["c080", "e08080", "eda080", "80", "f4908080", "e6b0", "ff"])("refuses %s", (hex) => {
    expect(() => bytesToUtf8(fromHex(hex))).toThrow(malformed);
  });
});
