import { createECDH } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../src/bytes/concat.ts";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import * as noble from "../../src/crypto/noble.ts";
import * as node from "../../src/crypto/node.ts";
import type { CryptoBackend } from "../../src/crypto/provider.ts";
import { SignatureError } from "../../src/errors.ts";
import { backends } from "./backends.ts";

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const some = fc.uint8Array({ maxLength: 2000 });
const pairs: readonly (readonly [string, CryptoBackend, CryptoBackend])[] = [
  ["noble signs, node verifies", noble, node],
  ["node signs, noble verifies", node, noble],
];

describe("backends", () => {
  it("export the same names", () => {
    expect(Object.keys(node).sort()).toEqual(Object.keys(noble).sort());
  });

  it("hash and derive alike", () => {
    fc.assert(
      fc.property(fc.array(some, { maxLength: 4 }), some, some, (parts, key, info) => {
        expect(node.sha256(...parts)).toEqual(noble.sha256(...parts));
        expect(node.sha256(...parts)).toEqual(node.sha256(concatBytes(...parts)));
        expect(node.hmacSha256(key, ...parts)).toEqual(noble.hmacSha256(key, ...parts));
        const prk = noble.sha256(key);
        expect(node.hkdfExpand(prk, info, 77)).toEqual(noble.hkdfExpand(prk, info, 77));
      }),
    );
  });

  it("give plain Uint8Arrays that share no memory with what comes next", () => {
    for (const [, backend] of backends) {
      const first = backend.sha256(new Uint8Array(1));
      const kept = toHex(first);
      backend.sha256(new Uint8Array(2));
      backend.hmacSha256(new Uint8Array(2), new Uint8Array(2));
      expect(toHex(first)).toBe(kept);
      const random = backend.randomBytes(16);
      const sealed = backend.chachaSeal(new Uint8Array(32), new Uint8Array(12), random);
      const opened = backend.chachaOpen(new Uint8Array(32), new Uint8Array(12), sealed);
      for (const value of [first, random, sealed, opened!, backend.ed25519PublicKey(first)]) {
        expect(Object.getPrototypeOf(value)).toBe(Uint8Array.prototype);
      }
    }
  });

  it.each(pairs)("agree on signatures: %s", (_, signing, verifying) => {
    fc.assert(
      fc.property(bytes(32), some, (secret, message) => {
        const ed = signing.ed25519Sign(message, secret);
        const edKey = signing.ed25519PublicKey(secret);
        expect(edKey).toEqual(verifying.ed25519PublicKey(secret));
        expect(verifying.ed25519Verify(ed, message, edKey)).toBe(true);
        const flipped = ed.slice();
        flipped[message.length % 64]! ^= 1;
        expect(verifying.ed25519Verify(flipped, message, edKey)).toBe(false);
        const es = signing.p256Sign(message, secret);
        const esKey = signing.p256PublicKey(secret);
        expect(esKey).toEqual(verifying.p256PublicKey(secret));
        expect(verifying.p256Verify(es, message, esKey)).toBe(true);
        expect(verifying.p256Verify(es, concatBytes(message, es), esKey)).toBe(false);
      }),
      { numRuns: 20 },
    );
  });

  it.each(backends)("verify beside the main thread as on it: %s", (_, backend) =>
    fc.assert(
      fc.asyncProperty(
        bytes(32),
        some,
        fc.nat(),
        fc.boolean(),
        async (secret, message, at, bad) => {
          const wrong = (signature: Uint8Array) => {
            const changed = signature.slice();
            if (bad) changed[at % 64]! ^= 1 << (at % 8);
            return changed;
          };
          const ed = wrong(backend.ed25519Sign(message, secret));
          const edKey = backend.ed25519PublicKey(secret);
          const edVerdict = backend.ed25519Verify(ed, message, edKey);
          expect(await backend.ed25519VerifyAside(ed, message, edKey)).toBe(edVerdict);
          const es = wrong(backend.p256Sign(message, secret));
          const esKey = backend.p256PublicKey(secret);
          const esVerdict = backend.p256Verify(es, message, esKey);
          expect(await backend.p256VerifyAside(es, message, esKey)).toBe(esVerdict);
          expect([edVerdict, esVerdict]).toEqual([!bad, !bad]);
          for (const short of [ed.subarray(1), new Uint8Array(0), new Uint8Array(65)]) {
            expect(await backend.ed25519VerifyAside(short, message, edKey)).toBe(false);
            expect(await backend.p256VerifyAside(short, message, esKey)).toBe(false);
          }
          for (const key of [edKey.subarray(1), new Uint8Array(33)]) {
            expect(await backend.ed25519VerifyAside(ed, message, key)).toBe(false);
            expect(await backend.p256VerifyAside(es, message, key)).toBe(false);
          }
        },
      ),
      { numRuns: 15 },
    ),
  );

  it("agree on shared secrets and ciphertexts", () => {
    fc.assert(
      fc.property(bytes(32), bytes(32), bytes(12), some, some, (a, b, nonce, text, aad) => {
        const ab = node.x25519(a, noble.x25519PublicKey(b));
        expect(ab).toEqual(noble.x25519(b, node.x25519PublicKey(a)));
        const sealed = node.chachaSeal(ab, nonce, text, aad);
        expect(sealed).toEqual(noble.chachaSeal(ab, nonce, text, aad));
        expect(noble.chachaOpen(ab, nonce, sealed, aad)).toEqual(text);
        expect(node.chachaOpen(ab, nonce, sealed, aad)).toEqual(text);
        sealed[sealed.length - 1]! ^= 1;
        expect(noble.chachaOpen(ab, nonce, sealed, aad)).toBeUndefined();
        expect(node.chachaOpen(ab, nonce, sealed, aad)).toBeUndefined();
        const gcm = node.aesGcmSeal(ab, nonce, text, aad);
        expect(gcm).toEqual(noble.aesGcmSeal(ab, nonce, text, aad));
        expect(noble.aesGcmOpen(ab, nonce, gcm, aad)).toEqual(text);
        expect(node.aesGcmOpen(ab, nonce, gcm, aad)).toEqual(text);
        gcm[0]! ^= 1;
        expect(noble.aesGcmOpen(ab, nonce, gcm, aad)).toBeUndefined();
        expect(node.aesGcmOpen(ab, nonce, gcm, aad)).toBeUndefined();
      }),
      { numRuns: 25 },
    );
  });
});

describe("P-256 key agreement", () => {
  it("is the same on both backends, from points in either form", () => {
    fc.assert(
      fc.property(bytes(32), bytes(32), (a, b) => {
        const theirs = noble.p256PublicKey(b);
        const full = node.p256FullPoint(theirs)!;
        expect(noble.p256FullPoint(theirs)).toEqual(full);
        expect([full.length, full[0]]).toEqual([65, 4]);
        expect(node.p256FullPoint(full)).toEqual(full);
        expect(noble.p256FullPoint(full)).toEqual(full);
        const pair = createECDH("prime256v1");
        pair.setPrivateKey(a);
        const shared = new Uint8Array(pair.computeSecret(full));
        for (const [, backend] of backends) {
          expect(backend.p256Ecdh(a, theirs)).toEqual(shared);
          expect(backend.p256Ecdh(a, full)).toEqual(shared);
          expect(backend.p256Ecdh(b, backend.p256PublicKey(a))).toEqual(shared);
        }
      }),
      { numRuns: 10 },
    );
  });

  it.each(backends)("refuses bytes that are not a point on %s", (_, backend) => {
    const secret = new Uint8Array(32).fill(1);
    const full = backend.p256FullPoint(backend.p256PublicKey(secret))!;
    const offCurve = full.slice();
    offCurve[64]! ^= 1;
    const hybrid = full.slice();
    hybrid[0] = 6 + (full[64]! & 1);
    const infinity = Uint8Array.of(0);
    const raw = full.subarray(1);
    for (const bad of [offCurve, hybrid, infinity, raw, new Uint8Array(0), new Uint8Array(65)]) {
      expect(backend.p256FullPoint(bad)).toBeUndefined();
      expect(() => backend.p256Ecdh(secret, bad)).toThrow(SignatureError);
    }
    expect(() => backend.p256Ecdh(new Uint8Array(32), full)).toThrow(SignatureError);
    expect(() => backend.p256Ecdh(secret.subarray(1), full)).toThrow(RangeError);
  });
});

describe.each(backends)("limits on %s", (_, backend) => {
  const n = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
  const zero = "00".repeat(32);
  const one = `${"00".repeat(31)}01`;
  const secret = fromHex(one);
  const message = new Uint8Array(3);

  it("refuses P-256 secrets of 0, n and above", () => {
    for (const bad of [zero, n, "ff".repeat(32)]) {
      expect(() => backend.p256PublicKey(fromHex(bad))).toThrow(SignatureError);
      expect(() => backend.p256Sign(message, fromHex(bad))).toThrow(SignatureError);
    }
  });

  it("refuses ES256 signatures with r or s out of range", () => {
    const publicKey = backend.p256PublicKey(secret);
    const good = toHex(backend.p256Sign(message, secret));
    const [r, s] = [good.slice(0, 64), good.slice(64)];
    expect(backend.p256Verify(fromHex(r + s), message, publicKey)).toBe(true);
    for (const bad of [
      zero + s,
      r + zero,
      n + s,
      r + n,
      "ff".repeat(32) + s,
      r + "ff".repeat(32),
    ]) {
      expect(backend.p256Verify(fromHex(bad), message, publicKey)).toBe(false);
    }
    expect(backend.p256Verify(fromHex(r + s).subarray(1), message, publicKey)).toBe(false);
    expect(backend.p256Verify(fromHex(`${r}${s}00`), message, publicKey)).toBe(false);
  });

  it("refuses P-256 keys that are not compressed points", () => {
    const publicKey = backend.p256PublicKey(secret);
    const signature = backend.p256Sign(message, secret);
    const other = publicKey.slice();
    other[0]! ^= 1;
    expect(backend.p256Verify(signature, message, other)).toBe(false);
    for (const first of [0, 1, 4, 5, 6, 7]) {
      const bad = publicKey.slice();
      bad[0] = first;
      expect(backend.p256Verify(signature, message, bad)).toBe(false);
    }
    // x = 1 is not on the curve (1 − 3 + b is no square); x = p is no field element.
    expect(backend.p256Verify(signature, message, fromHex(`02${one}`))).toBe(false);
    const p = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
    expect(backend.p256Verify(signature, message, fromHex(`02${p}`))).toBe(false);
    expect(backend.p256Verify(signature, message, new Uint8Array(0))).toBe(false);
    expect(backend.p256Verify(signature, message, new Uint8Array(33))).toBe(false);
  });

  it("refuses Ed25519 signatures and keys of other lengths, and S of L and above", () => {
    const publicKey = backend.ed25519PublicKey(secret);
    const signature = backend.ed25519Sign(message, secret);
    expect(backend.ed25519Verify(signature, message, publicKey)).toBe(true);
    expect(backend.ed25519Verify(signature.subarray(1), message, publicKey)).toBe(false);
    expect(backend.ed25519Verify(signature, message, publicKey.subarray(1))).toBe(false);
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    let s = order;
    for (let i = 31; i >= 0; i--) s += BigInt(signature[32 + i]!) << BigInt(8 * i);
    const malleated = signature.slice();
    for (let i = 0; i < 32; i++) malleated[32 + i] = Number((s >> BigInt(8 * i)) & 0xffn);
    expect(backend.ed25519Verify(malleated, message, publicKey)).toBe(false);
  });

  it("refuses X25519 keys that lead to an all-zero secret", () => {
    for (const bad of [zero, `01${"00".repeat(31)}`, `ec${"ff".repeat(30)}7f`]) {
      expect(() => backend.x25519(secret, fromHex(bad))).toThrow(SignatureError);
    }
    expect(() => backend.x25519(secret, new Uint8Array(31))).toThrow(RangeError);
  });

  it("signs with what the array holds now, not with what it held", () => {
    const seed = new Uint8Array(32).fill(7);
    const before = backend.ed25519Sign(message, seed);
    seed.fill(8);
    const after = backend.ed25519Sign(message, seed);
    expect(after).not.toEqual(before);
    expect(after).toEqual(noble.ed25519Sign(message, seed));
    expect(backend.x25519PublicKey(seed)).toEqual(noble.x25519PublicKey(seed));
    expect(backend.p256PublicKey(seed)).toEqual(noble.p256PublicKey(seed));
  });

  it("keeps verifying when more keys are used than are cached", () => {
    const signed = Array.from({ length: 20 }, (_, i) => {
      const seed = new Uint8Array(32).fill(i + 1);
      return [backend.ed25519PublicKey(seed), backend.ed25519Sign(message, seed)] as const;
    });
    for (const [key, signature] of [...signed, ...signed]) {
      expect(backend.ed25519Verify(signature, message, key)).toBe(true);
    }
  });

  it("gives random bytes of the length asked for", () => {
    const seen = new Set<string>();
    for (let i = 0; i < 300; i++) seen.add(toHex(backend.randomBytes(16)));
    expect(seen.size).toBe(300);
    expect(backend.randomBytes(0)).toHaveLength(0);
    expect(backend.randomBytes(70_000).some((byte) => byte !== 0)).toBe(true);
    expect(() => backend.randomBytes(-1)).toThrow(RangeError);
    expect(() => backend.randomBytes(1.5)).toThrow(TypeError);
  });

  it("seals into the place that it is given, and nowhere beside it", () => {
    const [key, nonce] = [new Uint8Array(32).fill(3), new Uint8Array(12).fill(4)];
    for (const seal of [backend.chachaSeal, backend.aesGcmSeal]) {
      for (const length of [0, 1, 63, 64, 65, 1000]) {
        const plaintext = new Uint8Array(length).fill(5);
        const around = new Uint8Array(length + 16 + 20).fill(0xee);
        const into = around.subarray(10, -10);
        expect(seal(key, nonce, plaintext, undefined, into)).toBe(into);
        expect(into).toEqual(seal(key, nonce, plaintext));
        expect([...around.subarray(0, 10), ...around.subarray(-10)]).toEqual(Array(20).fill(0xee));
        for (const wrong of [into.subarray(1), around]) {
          expect(() => seal(key, nonce, plaintext, undefined, wrong)).toThrow(RangeError);
        }
      }
    }
  });

  it("asks for keys and nonces of the right length", () => {
    const [key, nonce] = [new Uint8Array(32), new Uint8Array(12)];
    expect(() => backend.chachaSeal(key.subarray(1), nonce, message)).toThrow(RangeError);
    expect(() => backend.chachaSeal(key, nonce.subarray(1), message)).toThrow(RangeError);
    expect(() => backend.chachaOpen(key, nonce.subarray(1), key)).toThrow(RangeError);
    for (const length of [16, 24, 31, 33]) {
      const other = new Uint8Array(length);
      expect(() => backend.aesGcmSeal(other, nonce, message)).toThrow(RangeError);
      expect(() => backend.aesGcmOpen(other, nonce, key)).toThrow(RangeError);
    }
    expect(() => backend.aesGcmSeal(key, nonce.subarray(1), message)).toThrow(RangeError);
    expect(backend.aesGcmOpen(key, nonce, new Uint8Array(15))).toBeUndefined();
    expect(() => backend.ed25519Sign(message, key.subarray(1))).toThrow(RangeError);
    expect(() => backend.hkdfExpand(key.subarray(1), message, 32)).toThrow(RangeError);
    expect(() => backend.sha256("text" as unknown as Uint8Array)).toThrow(TypeError);
  });
});
