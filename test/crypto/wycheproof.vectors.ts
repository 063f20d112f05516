import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import { expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { describeVectors, readVector } from "../support/vectors.ts";
import { backends } from "./backends.ts";

interface Test {
  readonly tcId: number;
  readonly comment: string;
  readonly flags: readonly string[];
  readonly result: "valid" | "invalid" | "acceptable";
  readonly [field: string]: unknown;
}
interface Group {
  readonly tests: readonly Test[];
  readonly [field: string]: unknown;
}

const groupsOf = (name: string) =>
  (JSON.parse(readVector("wycheproof", name)) as { testGroups: readonly Group[] }).testGroups;
const hex = (value: unknown) => fromHex(value as string);
const decapsulate = (seed: Uint8Array, ciphertext: Uint8Array): Uint8Array =>
  ml_kem768.decapsulate(ciphertext, ml_kem768.keygen(seed).secretKey);

describeVectors("Wycheproof", "wycheproof", () => {
  it.each(backends)("ed25519 on %s: valid exactly where Wycheproof says so", (_, backend) => {
    const wrong: number[] = [];
    let count = 0;
    for (const group of groupsOf("ed25519_test.json")) {
      const key = hex((group["publicKey"] as { pk: string }).pk);
      for (const test of group.tests) {
        count++;
        const ok = backend.ed25519Verify(hex(test["sig"]), hex(test["msg"]), key);
        if (ok !== (test.result === "valid")) wrong.push(test.tcId);
      }
    }
    expect(count).toBeGreaterThan(100);
    expect(wrong).toEqual([]);
  });

  it.each(backends)(
    "x25519 on %s: every secret but the all-zero ones, which we refuse",
    (_, backend) => {
      let refused = 0;
      for (const group of groupsOf("x25519_test.json")) {
        for (const test of group.tests) {
          const agree = () => toHex(backend.x25519(hex(test["private"]), hex(test["public"])));
          // RFC 7748 leaves the check for the all-zero secret optional; HPKE and we make it.
          if (test.flags.includes("ZeroSharedSecret")) {
            refused++;
            expect(agree, test.comment).toThrow("all zero");
          } else {
            expect(agree(), test.comment).toBe(test["shared"]);
          }
        }
      }
      expect(refused).toBeGreaterThan(10);
    },
  );

  it.each(backends)("chacha20_poly1305 on %s, with the 96-bit nonces of RFC 8439", (_, backend) => {
    let opened = 0;
    for (const group of groupsOf("chacha20_poly1305_test.json")) {
      for (const test of group.tests) {
        const [key, nonce, aad] = [hex(test["key"]), hex(test["iv"]), hex(test["aad"])];
        const sealed = fromHex((test["ct"] as string) + (test["tag"] as string));
        if (nonce.length !== 12) {
          expect(() => backend.chachaOpen(key, nonce, sealed, aad)).toThrow(RangeError);
        } else if (test.result === "valid") {
          opened++;
          expect(backend.chachaOpen(key, nonce, sealed, aad)).toEqual(hex(test["msg"]));
          expect(backend.chachaSeal(key, nonce, hex(test["msg"]), aad)).toEqual(sealed);
        } else {
          expect(backend.chachaOpen(key, nonce, sealed, aad), test.comment).toBeUndefined();
        }
      }
    }
    expect(opened).toBeGreaterThan(100);
  });

  it.each(backends)("aes_gcm on %s, with 256-bit keys and 96-bit nonces", (_, backend) => {
    let opened = 0;
    let refused = 0;
    for (const group of groupsOf("aes_gcm_test.json")) {
      for (const test of group.tests) {
        const [key, nonce, aad] = [hex(test["key"]), hex(test["iv"]), hex(test["aad"])];
        const sealed = fromHex((test["ct"] as string) + (test["tag"] as string));
        if (nonce.length !== 12 || key.length !== 32) {
          expect(() => backend.aesGcmOpen(key, nonce, sealed, aad)).toThrow(RangeError);
        } else if (test.result === "valid") {
          opened++;
          expect(backend.aesGcmOpen(key, nonce, sealed, aad)).toEqual(hex(test["msg"]));
          expect(backend.aesGcmSeal(key, nonce, hex(test["msg"]), aad)).toEqual(sealed);
        } else {
          refused++;
          expect(backend.aesGcmOpen(key, nonce, sealed, aad), test.comment).toBeUndefined();
        }
      }
    }
    expect(opened).toBeGreaterThan(30);
    expect(refused).toBeGreaterThan(20);
  });

  // Through the library that X-Wing takes ML-KEM from; the combination has vectors of its own.
  it("mlkem_768: every key, secret and implicit rejection", () => {
    let count = 0;
    for (const group of groupsOf("mlkem_768_test.json")) {
      for (const test of group.tests) {
        if (test.result === "invalid") {
          expect(() => decapsulate(hex(test["seed"]), hex(test["c"])), test.comment).toThrow();
          continue;
        }
        count++;
        const { publicKey, secretKey } = ml_kem768.keygen(hex(test["seed"]));
        expect(toHex(publicKey), test.comment).toBe(test["ek"]);
        expect(toHex(ml_kem768.decapsulate(hex(test["c"]), secretKey)), test.comment).toBe(
          test["K"],
        );
      }
    }
    expect(count).toBeGreaterThan(100);
  });

  it.each(backends)("hkdf_sha256 on %s", (_, backend) => {
    let derived = 0;
    for (const group of groupsOf("hkdf_sha256_test.json")) {
      for (const test of group.tests) {
        const prk = backend.hkdfExtract(hex(test["salt"]), hex(test["ikm"]));
        const size = test["size"] as number;
        if (test.result === "valid") {
          derived++;
          expect(toHex(backend.hkdfExpand(prk, hex(test["info"]), size))).toBe(test["okm"]);
        } else {
          expect(() => backend.hkdfExpand(prk, hex(test["info"]), size)).toThrow(RangeError);
        }
      }
    }
    expect(derived).toBeGreaterThan(50);
  });
});
