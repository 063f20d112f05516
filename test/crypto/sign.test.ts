import { createPublicKey, verify } from "node:crypto";
import { describe, expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { ed25519PublicKey, ed25519Sign, p256PublicKey, p256Sign } from "../../src/crypto/node.ts";
import {
  ed25519Verifier,
  es256Verifier,
  signingInput,
  verifySignature,
  type SigningDomain,
} from "../../src/crypto/sign.ts";
import { toLowS } from "../../src/crypto/low-s.ts";

const secret = new Uint8Array(32).fill(1);
const bytes = Uint8Array.of(1, 2, 3);

describe("signingInput", () => {
  it("puts the domain, a version and a zero byte before the bytes", () => {
    expect(toHex(signingInput("transaction", bytes))).toBe(
      `${Buffer.from("healthledger/transaction/1").toString("hex")}00010203`,
    );
  });

  it("refuses domains that could run into the bytes", () => {
    expect(() => signingInput("a/1\0" as SigningDomain, bytes)).toThrow(TypeError);
    expect(() => signingInput("" as SigningDomain, bytes)).toThrow(TypeError);
  });
});

describe("verifySignature", () => {
  const input = signingInput("header", bytes);
  const claims = [
    {
      alg: "Ed25519",
      publicKey: ed25519PublicKey(secret),
      signature: ed25519Sign(input, secret),
    },
    { alg: "ES256", publicKey: p256PublicKey(secret), signature: p256Sign(input, secret) },
  ] as const;

  it.each(claims)("accepts $alg under its own domain only", (claim) => {
    expect(verifySignature({ ...claim, what: "header", bytes })).toBe(true);
    expect(verifySignature({ ...claim, what: "transaction", bytes })).toBe(false);
    expect(verifySignature({ ...claim, what: "header", bytes: bytes.subarray(1) })).toBe(false);
  });

  it.each(claims)("refuses $alg with one bit flipped, or cut short", (claim) => {
    for (let bit = 0; bit < 512; bit += 37) {
      const signature = claim.signature.slice();
      signature[bit >> 3]! ^= 1 << (bit & 7);
      expect(verifySignature({ ...claim, signature, what: "header", bytes })).toBe(false);
    }
    const signature = claim.signature.subarray(1);
    expect(verifySignature({ ...claim, signature, what: "header", bytes })).toBe(false);
  });

  it("refuses the key of one algorithm under another, and unknown algorithms", () => {
    const [ed, es] = claims;
    expect(verifySignature({ ...ed, alg: "ES256", what: "header", bytes })).toBe(false);
    expect(verifySignature({ ...es, alg: "Ed25519", what: "header", bytes })).toBe(false);
    const alg = "RS256" as "ES256";
    expect(verifySignature({ ...es, alg, what: "header", bytes })).toBe(false);
  });

  it("is what the verifiers of each algorithm say", () => {
    const [ed, es] = claims;
    expect(ed25519Verifier.verify(ed.signature, input, ed.publicKey)).toBe(true);
    expect(es256Verifier.verify(es.signature, input, es.publicKey)).toBe(true);
    expect([ed25519Verifier.alg, es256Verifier.alg]).toEqual(["Ed25519", "ES256"]);
  });
});

describe("toLowS", () => {
  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const withS = (s: bigint) => fromHex("11".repeat(32) + s.toString(16).padStart(64, "0"));
  const sOf = (signature: Uint8Array) => BigInt(`0x${toHex(signature.subarray(32))}`);

  it("replaces s above half the order by n − s, and nothing else", () => {
    const half = n / 2n;
    for (const s of [1n, 2n, half - 1n, half]) expect(sOf(toLowS(withS(s)))).toBe(s);
    for (const s of [half + 1n, half + 2n, n - 2n, n - 1n]) {
      expect(sOf(toLowS(withS(s)))).toBe(n - s);
    }
    for (const s of [0n, n, n + 1n, 2n ** 256n - 1n]) expect(sOf(toLowS(withS(s)))).toBe(s);
    expect(toLowS(bytes)).toBe(bytes);
  });

  it("keeps signatures valid for others", () => {
    const point = p256PublicKey(secret);
    const spki = fromHex("3039301306072a8648ce3d020106082a8648ce3d030107032200" + toHex(point));
    const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
    for (let i = 0; i < 20; i++) {
      const message = utf8ToBytes(`message ${i}`);
      const signature = p256Sign(message, secret);
      expect(verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature)).toBe(true);
    }
  });
});
