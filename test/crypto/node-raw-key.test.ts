import { createHmac, hkdfSync, KeyObject } from "node:crypto";
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import * as noble from "../../src/crypto/noble.ts";
import type { CryptoBackend } from "../../src/crypto/provider.ts";

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const some = fc.uint8Array({ maxLength: 3000 });

/** The backend as it is on a version of Node.js. */
async function backendOn(node: string): Promise<CryptoBackend> {
  vi.resetModules();
  vi.stubGlobal("process", { ...process, versions: { ...process.versions, node } });
  return import("../../src/crypto/node.ts");
}

afterEach(() => vi.unstubAllGlobals());

describe("rawKey", () => {
  it.each([
    ["20.19.0", false],
    ["22.12.0", false],
    ["24.0.0", true],
    ["24.21.0", true],
    ["26.1.0", false],
  ])("makes key objects on Node.js %s: %s", async (node, isObject) => {
    await backendOn(node);
    const { rawKey } = await import("../../src/crypto/node-raw-key.ts");
    const secret = Uint8Array.from({ length: 32 }, (_, i) => i);
    const key = rawKey(secret);
    expect(key instanceof KeyObject).toBe(isObject);
    const mac = createHmac("sha256", key).update("").digest();
    expect(mac).toEqual(createHmac("sha256", secret).update("").digest());
  });

  it.each(["20.19.0", "24.0.0"])("changes no result on Node.js %s", async (node) => {
    const native = await backendOn(node);
    fc.assert(
      fc.property(bytes(32), bytes(12), some, some, some, (key, nonce, text, aad, salt) => {
        for (const [seal, open, twin] of [
          [native.chachaSeal, native.chachaOpen, noble.chachaSeal],
          [native.aesGcmSeal, native.aesGcmOpen, noble.aesGcmSeal],
        ] as const) {
          const sealed = seal(key, nonce, text, aad);
          expect(sealed).toEqual(twin(key, nonce, text, aad));
          expect(open(key, nonce, sealed, aad)).toEqual(text);
          sealed[text.length]! ^= 1;
          expect(open(key, nonce, sealed, aad)).toBeUndefined();
        }
        expect(native.hmacSha256(salt, text, aad)).toEqual(noble.hmacSha256(salt, text, aad));
        const prk = native.hkdfExtract(salt, key);
        const length = 1 + (text.length % 100);
        for (const wanted of [length, 32]) {
          const expected = new Uint8Array(
            hkdfSync("sha256", key, salt, aad.subarray(0, 1024), wanted),
          );
          expect(native.hkdfExpand(prk, aad.subarray(0, 1024), wanted)).toEqual(expected);
        }
      }),
      { numRuns: 50 },
    );
  });
});
