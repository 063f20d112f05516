import { createDecipheriv } from "node:crypto";
import { describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { chachaSegments, SEGMENT_SIZE, segmentNonce } from "../../src/crypto/segments.ts";

const { openSegment, sealSegment } = chachaSegments;
const key = new Uint8Array(32).fill(1);
const plaintext = new Uint8Array(100).fill(2);

describe("segmentNonce", () => {
  it("is the counter in 11 big-endian bytes and the final flag", () => {
    expect(toHex(segmentNonce(0, false))).toBe("000000000000000000000000");
    expect(toHex(segmentNonce(0, true))).toBe("000000000000000000000001");
    expect(toHex(segmentNonce(0x010203, false))).toBe("000000000000000001020300");
    expect(toHex(segmentNonce(Number.MAX_SAFE_INTEGER, true))).toBe("000000001fffffffffffff01");
  });

  it("refuses invalid segment numbers", () => {
    expect(() => segmentNonce(-1, false)).toThrow(RangeError);
    expect(() => segmentNonce(2 ** 53, false)).toThrow(RangeError);
    expect(() => segmentNonce(0.5, false)).toThrow(TypeError);
  });
});

describe("sealSegment", () => {
  it("is ChaCha20-Poly1305 under that nonce", () => {
    const sealed = sealSegment(key, 7, true, plaintext);
    const nonce = segmentNonce(7, true);
    const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
    decipher.setAuthTag(sealed.subarray(100));
    const opened = Buffer.concat([decipher.update(sealed.subarray(0, 100)), decipher.final()]);
    expect(new Uint8Array(opened)).toEqual(plaintext);
  });

  it("holds at most 64 KiB", () => {
    expect(sealSegment(key, 0, true, new Uint8Array(SEGMENT_SIZE))).toHaveLength(65_552);
    expect(() => sealSegment(key, 0, true, new Uint8Array(SEGMENT_SIZE + 1))).toThrow(RangeError);
  });
});

describe("openSegment", () => {
  const sealed = sealSegment(key, 7, false, plaintext);

  it("opens the segment in its own place", () => {
    expect(openSegment(key, 7, false, sealed)).toEqual(plaintext);
    expect(openSegment(key, 0, true, sealSegment(key, 0, true, new Uint8Array(0)))).toHaveLength(0);
  });

  it("opens it in no other place, under no other key, and not changed", () => {
    expect(openSegment(key, 8, false, sealed)).toBeUndefined();
    expect(openSegment(key, 7, true, sealed)).toBeUndefined();
    expect(openSegment(new Uint8Array(32), 7, false, sealed)).toBeUndefined();
    expect(openSegment(key, 7, false, sealed.subarray(0, 115))).toBeUndefined();
    expect(openSegment(key, 7, false, new Uint8Array(70_000))).toBeUndefined();
    const flipped = sealed.slice();
    flipped[50]! ^= 4;
    expect(openSegment(key, 7, false, flipped)).toBeUndefined();
  });
});
