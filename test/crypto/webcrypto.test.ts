import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as noble from "../../src/crypto/noble.ts";
import { compressP256, decompressP256 } from "../../src/crypto/p256-point.ts";
import { webcryptoVerify } from "../../src/crypto/webcrypto.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

describe("webcryptoVerify", () => {
  it("accepts what noble signs and refuses it changed", async () => {
    await fc.assert(
      fc.asyncProperty(bytes32, fc.uint8Array(), async (secret, message) => {
        const cases = [
          ["Ed25519", noble.ed25519Sign(message, secret), noble.ed25519PublicKey(secret)],
          ["ES256", noble.p256Sign(message, secret), noble.p256PublicKey(secret)],
        ] as const;
        for (const [alg, signature, key] of cases) {
          expect(await webcryptoVerify(alg, signature, message, key)).toBe(true);
          const flipped = signature.slice();
          flipped[5]! ^= 1;
          expect(await webcryptoVerify(alg, flipped, message, key)).toBe(false);
        }
      }),
      { numRuns: 10 },
    );
  });

  it("refuses high s, invalid points, and wrong lengths", async () => {
    const secret = new Uint8Array(32).fill(1);
    const message = new Uint8Array(4);
    const key = noble.p256PublicKey(secret);
    const low = noble.p256Sign(message, secret);
    const s = order - BigInt(`0x${toHex(low.subarray(32))}`);
    const high = fromHex(toHex(low.subarray(0, 32)) + s.toString(16).padStart(64, "0"));
    expect(await webcryptoVerify("ES256", low, message, key)).toBe(true);
    expect(await webcryptoVerify("ES256", high, message, key)).toBe(false);
    expect(await webcryptoVerify("ES256", low, message, fromHex(`02${"00".repeat(31)}01`))).toBe(
      false,
    );
    expect(await webcryptoVerify("ES256", low, message, decompressP256(key)!)).toBe(false);
    expect(await webcryptoVerify("ES256", low.subarray(1), message, key)).toBe(false);
    expect(await webcryptoVerify("Ed25519", low, message, key)).toBe(false);
    // y = 2 belongs to no point of the Edwards curve.
    const none = new Uint8Array(32);
    none[0] = 2;
    expect(await webcryptoVerify("Ed25519", low, message, none)).toBe(false);
  });
});

describe("decompressP256", () => {
  it("gives back the point that was compressed", () => {
    fc.assert(
      fc.property(bytes32, (secret) => {
        const point = noble.p256PublicKey(secret);
        const full = decompressP256(point)!;
        expect(compressP256(full)).toEqual(point);
        // y² = x³ − 3x + b
        const p = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
        const b = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
        const x = BigInt(`0x${toHex(full.subarray(1, 33))}`);
        const y = BigInt(`0x${toHex(full.subarray(33))}`);
        expect((y * y - x * x * x + 3n * x - b) % p).toBe(0n);
      }),
      { numRuns: 10 },
    );
  });
});
