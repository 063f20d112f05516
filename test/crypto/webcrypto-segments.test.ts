import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { afterEach, describe, expect, it, vi } from "vitest";
import { segmentNonce } from "../../src/crypto/segments.ts";
import {
  hasWebcrypto,
  webcryptoSegments,
  webcryptoSha256,
} from "../../src/crypto/webcrypto-segments.ts";

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
const key = random(32);

/** The same segment by node:crypto. */
function bySecond(counter: number, final: boolean, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv("aes-256-gcm", key, segmentNonce(counter, final));
  const parts = [cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
  return new Uint8Array(Buffer.concat(parts));
}

afterEach(() => void vi.restoreAllMocks());

describe("webcryptoSegments", () => {
  const segments = webcryptoSegments(key.slice());

  it.each([0, 1, 15, 16, 1000, 65_536])("seals %d bytes as node:crypto does", async (length) => {
    const plaintext = random(length);
    for (const [counter, final] of [
      [0, false],
      [0, true],
      [1093 * 15, false],
      [2 ** 40 + 7, true],
    ] as const) {
      const sealed = await segments.seal(counter, final, plaintext);
      expect(Buffer.compare(sealed, bySecond(counter, final, plaintext))).toBe(0);
      expect(Buffer.compare((await segments.open(counter, final, sealed))!, plaintext)).toBe(0);
      const decipher = createDecipheriv("aes-256-gcm", key, segmentNonce(counter, final));
      decipher.setAuthTag(sealed.subarray(length));
      const opened = Buffer.concat([decipher.update(sealed.subarray(0, length)), decipher.final()]);
      expect(opened.equals(plaintext)).toBe(true);
    }
  });

  it("opens no segment in another place, under another key, altered or cut", async () => {
    const sealed = bySecond(5, false, random(40));
    expect(await segments.open(4, false, sealed)).toBeUndefined();
    expect(await segments.open(5, true, sealed)).toBeUndefined();
    expect(await webcryptoSegments(random(32)).open(5, false, sealed)).toBeUndefined();
    for (let length = 0; length < sealed.length; length++) {
      expect(await segments.open(5, false, sealed.subarray(0, length))).toBeUndefined();
    }
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const flipped = sealed.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(await segments.open(5, false, flipped)).toBeUndefined();
    }
  });

  it("has copied key and bytes when it returns, whether or not the key is imported yet", async () => {
    const own = key.slice();
    const fresh = webcryptoSegments(own);
    own.fill(0);
    const plaintext = random(65_536);
    const expected = bySecond(0, false, plaintext);
    for (let i = 0; i < 3; i++) {
      const given = plaintext.slice();
      const sealing = fresh.seal(0, false, given);
      given.fill(0);
      expect(Buffer.compare(await sealing, expected)).toBe(0);
      const sealed = expected.slice();
      const opening = webcryptoSegments(key.slice()).open(0, false, sealed);
      const again = segments.open(0, false, sealed);
      sealed.fill(0);
      expect(Buffer.compare((await opening)!, plaintext)).toBe(0);
      expect(Buffer.compare((await again)!, plaintext)).toBe(0);
    }
  });

  it("takes bytes of shared memory", async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(100)).fill(7);
    const sealed = await segments.seal(0, true, shared);
    expect(sealed).toEqual(bySecond(0, true, new Uint8Array(100).fill(7)));
  });

  it("imports a key that nothing can export", async () => {
    const imported = vi.spyOn(globalThis.crypto.subtle, "importKey");
    await webcryptoSegments(key.slice()).seal(0, true, random(1));
    expect(imported.mock.calls.map(([, , , extractable]) => extractable)).toEqual([false]);
    const made = await (imported.mock.results[0]!.value as Promise<CryptoKey>);
    await expect(globalThis.crypto.subtle.exportKey("raw", made)).rejects.toThrow();
  });

  it("passes on errors other than failed authentication, and leaves no rejection unhandled", async () => {
    const refused = new DOMException("no AES here", "NotSupportedError");
    vi.spyOn(globalThis.crypto.subtle, "importKey").mockRejectedValue(refused);
    const without = webcryptoSegments(key.slice());
    await new Promise((resolve) => setTimeout(resolve, 5));
    await expect(without.open(0, true, random(20))).rejects.toBe(refused);
    await expect(without.seal(0, true, random(20))).rejects.toBe(refused);
  });

  it("refuses a key of another length", () => {
    expect(() => webcryptoSegments(random(16))).toThrow(RangeError);
  });
});

describe("webcryptoSha256", () => {
  it("is SHA-256 of the bytes as they were when it was asked", async () => {
    for (const length of [0, 1, 64, 983_280]) {
      const bytes = random(length);
      const expected = new Uint8Array(createHash("sha256").update(bytes).digest());
      const hashing = webcryptoSha256(bytes);
      bytes.fill(0);
      expect(await hashing).toEqual(expected);
    }
  });
});

describe("hasWebcrypto", () => {
  it("is false in a page that gets none", () => {
    expect(hasWebcrypto()).toBe(true);
    for (const crypto of [undefined, { getRandomValues: () => undefined }]) {
      vi.stubGlobal("crypto", crypto);
      expect(hasWebcrypto()).toBe(false);
    }
    vi.unstubAllGlobals();
  });
});
