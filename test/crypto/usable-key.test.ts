import { createECDH, createPublicKey } from "node:crypto";
import { ed25519 } from "@noble/curves/ed25519.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { describe, expect, it } from "vitest";
import { fromHex } from "../../src/bytes/hex.ts";
import { x25519 } from "../../src/crypto/node.ts";
import { isUsableKey } from "../../src/crypto/usable-key.ts";
import { xWing } from "../../src/crypto/x-wing.ts";
import { bytesFor } from "../support/ledger.ts";

const le = (value: bigint) =>
  Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 255n));
const P = (1n << 255n) - 19n;

function isEd25519Point(bytes: Uint8Array): boolean {
  try {
    ed25519.Point.fromBytes(bytes);
    return true;
  } catch {
    return false;
  }
}

describe("isUsableKey", () => {
  it("Ed25519: agrees with another implementation about points, and refuses small orders", () => {
    let points = 0;
    for (let i = 0; i < 300; i++) {
      const bytes = bytesFor(`point ${i}`);
      const expected = isEd25519Point(bytes);
      if (expected) points++;
      expect(isUsableKey("Ed25519", bytes), `point ${i}`).toBe(expected);
    }
    expect(points).toBeGreaterThan(100);
    expect(points).toBeLessThan(200);
    const small = ed25519.Point.fromHex(
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    );
    for (let i = 0; i < 8; i++) {
      const bytes = (i === 0 ? ed25519.Point.ZERO : small.multiplyUnsafe(BigInt(i))).toBytes();
      expect(isUsableKey("Ed25519", bytes), `order-8 point times ${i}`).toBe(false);
    }
    for (const bad of [new Uint8Array(32), new Uint8Array(32).fill(255), le(P), le(P + 1n)]) {
      expect(isUsableKey("Ed25519", bad)).toBe(false);
    }
    expect(isUsableKey("Ed25519", new Uint8Array(31))).toBe(false);
  });

  it("ES256 and P-256: agrees with OpenSSL", () => {
    const isPoint = (bytes: Uint8Array): boolean => {
      const spki = Buffer.concat([
        Buffer.from("3039301306072a8648ce3d020106082a8648ce3d030107032200", "hex"),
        bytes,
      ]);
      try {
        createPublicKey({ key: spki, format: "der", type: "spki" });
        return true;
      } catch {
        return false;
      }
    };
    let points = 0;
    for (let i = 0; i < 100; i++) {
      const bytes = Uint8Array.of(2 + (i & 1), ...bytesFor(`P-256 ${i}`));
      const expected = isPoint(bytes);
      if (expected) points++;
      for (const alg of ["ES256", "P-256"]) expect(isUsableKey(alg, bytes)).toBe(expected);
    }
    expect(points).toBeGreaterThan(25);
    const ecdh = createECDH("prime256v1");
    ecdh.generateKeys();
    const key = new Uint8Array(ecdh.getPublicKey(null, "compressed"));
    expect(isUsableKey("P-256", key)).toBe(true);
    for (const first of [0, 1, 4, 6]) {
      expect(isUsableKey("P-256", Uint8Array.of(first, ...key.subarray(1)))).toBe(false);
    }
    expect(isUsableKey("P-256", Uint8Array.of(2, ...new Uint8Array(32).fill(255)))).toBe(false);
    expect(isUsableKey("P-256", new Uint8Array(33))).toBe(false);
  });

  it("X25519: refuses what every secret gives zero with, and what is not the one encoding", () => {
    const low = [
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ].map((hex) => fromHex(hex));
    for (const point of low) {
      expect(() => x25519(bytesFor("secret"), point)).toThrow();
      expect(isUsableKey("X25519", point)).toBe(false);
    }
    for (const value of [P, P + 1n, P + 9n, (1n << 255n) - 1n, (1n << 255n) + 9n]) {
      expect(isUsableKey("X25519", le(value))).toBe(false);
    }
    expect(isUsableKey("X25519", le(9n))).toBe(true);
    expect(isUsableKey("X25519", le(P - 2n))).toBe(true);
  });

  it("X-Wing: refuses coefficients beyond q, and a bad X25519 part", () => {
    const key = xWing.publicKey(bytesFor("x-wing"));
    expect(isUsableKey("X-Wing", key)).toBe(true);
    for (const [at, bytes] of [
      [0, [0x01, 0x0d]],
      [1, [0x10, 0xd0]],
      [1149, [0x01, 0x0d]],
      [1150, [0x1f, 0xd0]],
    ] as const) {
      const bad = key.slice();
      bad.set(bytes, at);
      expect(() => ml_kem768.encapsulate(bad.subarray(0, 1184), bytesFor("m"))).toThrow();
      expect(isUsableKey("X-Wing", bad), `at ${at}`).toBe(false);
    }
    const noX = key.slice();
    noX.fill(0, 1184);
    expect(isUsableKey("X-Wing", noX)).toBe(false);
    expect(isUsableKey("X-Wing", new Uint8Array(1216).fill(255))).toBe(false);
  });

  it("knows no other algorithm", () => {
    expect(isUsableKey("RSA", bytesFor("a"))).toBe(false);
  });
});
