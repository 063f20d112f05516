import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import {
  hpkeOpen,
  hpkeP256AesGcm,
  hpkeReceiver,
  hpkeSeal,
  hpkeSender,
  hpkeX25519Chacha,
  hpkeXWingChacha,
  type HpkeSuite,
} from "../../src/crypto/hpke.ts";
import { compressP256 } from "../../src/crypto/p256-point.ts";
import type { Kem } from "../../src/crypto/hpke-kem.ts";
import { readVector, vectorsPath } from "../support/vectors.ts";

interface Vector {
  readonly mode: number;
  readonly kem_id: number;
  readonly kdf_id: number;
  readonly aead_id: number;
  readonly info: string;
  readonly skRm: string;
  /** Of RFC 9180; the post-quantum vectors give the randomness in `ikmE`. */
  readonly skEm?: string;
  readonly ikmE: string;
  readonly pkRm: string;
  readonly enc: string;
  readonly shared_secret: string;
  readonly encryptions: readonly { aad: string; ct: string; nonce: string; pt: string }[];
  readonly exports: readonly { exporter_context: string; L: number; exported_value: string }[];
}

const suites: readonly HpkeSuite[] = [hpkeX25519Chacha, hpkeP256AesGcm];

/** Public keys as this library carries them: points of P-256 in the short form. */
const publicKeyOf = ({ kem_id, pkRm }: Vector): Uint8Array =>
  kem_id === 0x0010 ? compressP256(fromHex(pkRm)) : fromHex(pkRm);

/** The base-mode vectors of RFC 9180 for the suites on offer, against the backend in place. */
export function rfc9180Cases(): void {
  const path = vectorsPath("hpke", "rfc9180", "vectors_rfc9180_5f503c5.json.gz")!;
  const vectors = JSON.parse(gunzipSync(readFileSync(path)).toString("utf8")) as readonly Vector[];

  it.each(suites)("seals, opens and exports as published, KEM $kem.id AEAD $aead.id", (suite) => {
    const own = vectors.filter(
      ({ mode, kem_id, kdf_id, aead_id }) =>
        mode === 0 && kem_id === suite.kem.id && kdf_id === 1 && aead_id === suite.aead.id,
    );
    expect(own).toHaveLength(1);
    for (const vector of own) checkVector(suite, vector, fromHex(vector.skEm!));
  });

  // The KEM of a vector is the same whatever it is combined with.
  it.each([hpkeX25519Chacha.kem, hpkeP256AesGcm.kem])(
    "encapsulates as published, KEM $id",
    (kem) => {
      const own = vectors.filter(({ mode, kem_id }) => mode === 0 && kem_id === kem.id);
      expect(own).toHaveLength(8);
      for (const vector of own) checkKem(kem, vector, fromHex(vector.skEm!));
    },
  );
}

/** The vectors of draft-ietf-hpke-pq for X-Wing, and for the KEMs that it combines anew. */
export function pqCases(): void {
  const vectors = JSON.parse(readVector("hpke", "pq", "vectors-pq.json")) as readonly Vector[];

  it("seals, opens and exports as published with X-Wing, HKDF-SHA256, ChaCha20-Poly1305", () => {
    const own = vectors.filter(({ kem_id, kdf_id }) => kem_id === 0x647a && kdf_id === 1);
    expect(own).toHaveLength(1);
    for (const vector of own) {
      expect([vector.mode, vector.aead_id]).toEqual([0, hpkeXWingChacha.aead.id]);
      checkVector(hpkeXWingChacha, vector, fromHex(vector.ikmE));
    }
  });

  it("encapsulates as published with X-Wing, whatever the KDF", () => {
    const own = vectors.filter(({ kem_id }) => kem_id === 0x647a);
    expect(own).toHaveLength(2);
    for (const vector of own) checkKem(hpkeXWingChacha.kem, vector, fromHex(vector.ikmE));
  });

  it.each([hpkeX25519Chacha.kem, hpkeP256AesGcm.kem])(
    "decapsulates what is published under another KDF, KEM $id",
    (kem) => {
      const own = vectors.filter(({ kem_id }) => kem_id === kem.id);
      expect(own).toHaveLength(1);
      for (const { enc, skRm, shared_secret } of own) {
        const shared = kem.decapsulate(fromHex(enc), fromHex(skRm))!;
        expect(toHex(shared)).toBe(shared_secret);
      }
    },
  );
}

/** The vectors of draft-connolly-cfrg-xwing-kem. */
export function xWingCases(): void {
  const { kem } = hpkeXWingChacha;
  const vectors = JSON.parse(readVector("hpke", "x-wing", "test-vectors.json")) as readonly Record<
    "seed" | "eseed" | "sk" | "pk" | "ct" | "ss",
    string
  >[];

  it("agrees with the published keys, ciphertexts and secrets", () => {
    expect(vectors).toHaveLength(3);
    for (const { seed, eseed, sk, pk, ct, ss } of vectors) {
      expect(seed).toBe(sk);
      expect(toHex(kem.publicKey(fromHex(sk)))).toBe(pk);
      const { enc, shared } = kem.encapsulate(fromHex(pk), fromHex(eseed))!;
      expect(toHex(enc)).toBe(ct);
      expect(toHex(shared)).toBe(ss);
      expect(toHex(kem.decapsulate(fromHex(ct), fromHex(sk))!)).toBe(ss);
    }
  });

  it("gives another secret for a ciphertext altered in either half", () => {
    const { sk, ct, ss } = vectors[0]!;
    for (const at of [0, 1087, 1088, 1119]) {
      const altered = fromHex(ct);
      altered[at]! ^= 1;
      expect(kem.isEncapsulated(altered)).toBe(true);
      expect(toHex(kem.decapsulate(altered, fromHex(sk))!)).not.toBe(ss);
    }
  });

  it("refuses other lengths, keys that ML-KEM calls invalid, and X25519 parts of small order", () => {
    const { pk, eseed, ct, sk } = vectors[0]!;
    const [publicKey, ephemeral, enc, secret] = [pk, eseed, ct, sk].map(fromHex) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const changed = (bytes: Uint8Array, change: (copy: Uint8Array) => unknown): Uint8Array => {
      const copy = bytes.slice();
      change(copy);
      return copy;
    };
    // A coefficient of 4095, which is not below q = 3329.
    const tooLarge = changed(publicKey, (copy) => copy.set([0xff, 0xff], 0));
    const smallOrder = changed(publicKey, (copy) => copy.fill(0, 1184));
    for (const bad of [publicKey.subarray(1), tooLarge, smallOrder]) {
      expect(kem.encapsulate(bad, ephemeral)).toBeUndefined();
    }
    for (const bad of [enc.subarray(1), changed(enc, (copy) => copy.fill(0, 1088))]) {
      expect(kem.decapsulate(bad, secret)).toBeUndefined();
      expect(kem.isEncapsulated(bad)).toBe(false);
    }
  });
}

function checkKem(kem: Kem, vector: Vector, ephemeral: Uint8Array): void {
  const secret = fromHex(vector.skRm);
  const publicKey = publicKeyOf(vector);
  expect(toHex(kem.publicKey(secret))).toBe(toHex(publicKey));
  const { enc, shared } = kem.encapsulate(publicKey, ephemeral)!;
  expect(toHex(enc)).toBe(vector.enc);
  expect(toHex(shared)).toBe(vector.shared_secret);
  expect(toHex(kem.decapsulate(enc, secret)!)).toBe(vector.shared_secret);
  expect(kem.isEncapsulated(enc)).toBe(true);
}

function checkVector(suite: HpkeSuite, vector: Vector, ephemeral: Uint8Array): void {
  const [publicKey, secret] = [publicKeyOf(vector), fromHex(vector.skRm)];
  const info = fromHex(vector.info);
  expect(toHex(suite.kem.publicKey(secret))).toBe(toHex(publicKey));
  const sender = hpkeSender(suite, publicKey, info, ephemeral);
  const receiver = hpkeReceiver(suite, fromHex(vector.enc), secret, info)!;
  expect(toHex(sender.enc)).toBe(vector.enc);
  for (const { aad, ct, pt } of vector.encryptions) {
    expect(receiver.open(fromHex(`${aad}00`), fromHex(ct))).toBeUndefined();
    expect(toHex(sender.context.seal(fromHex(aad), fromHex(pt)))).toBe(ct);
    expect(toHex(receiver.open(fromHex(aad), fromHex(ct))!)).toBe(pt);
  }
  for (const { exporter_context, L, exported_value } of vector.exports) {
    expect(toHex(receiver.export(fromHex(exporter_context), L))).toBe(exported_value);
  }
  const [first] = vector.encryptions as [Vector["encryptions"][number]];
  const aad = fromHex(first.aad);
  const once = hpkeSeal(suite, publicKey, info, aad, fromHex(first.pt), ephemeral);
  expect(toHex(once.ciphertext)).toBe(first.ct);
  const open = (enc: Uint8Array, key: Uint8Array) =>
    hpkeOpen(suite, enc, key, info, aad, once.ciphertext);
  expect(toHex(open(once.enc, secret)!)).toBe(first.pt);
  expect(open(once.enc, ephemeral.slice(0, 32))).toBeUndefined();
  expect(open(once.enc.subarray(1), secret)).toBeUndefined();
  expect(open(new Uint8Array(suite.kem.encLength), secret)).toBeUndefined();
}
