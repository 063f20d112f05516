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
