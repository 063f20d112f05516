import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { fromHex, toHex } from "../../src/bytes/hex.ts";
import {
  hpkeOpen,
  hpkeReceiver,
  hpkeSeal,
  hpkeSender,
  hpkeX25519Chacha,
  type HpkeSuite,
} from "../../src/crypto/hpke.ts";
import { vectorsPath } from "../support/vectors.ts";

interface Vector {
  readonly mode: number;
  readonly kem_id: number;
  readonly kdf_id: number;
  readonly aead_id: number;
  readonly info: string;
  readonly skRm: string;
  readonly skEm: string;
  readonly pkRm: string;
  readonly enc: string;
  readonly encryptions: readonly { aad: string; ct: string; nonce: string; pt: string }[];
  readonly exports: readonly { exporter_context: string; L: number; exported_value: string }[];
}

const suites: readonly HpkeSuite[] = [hpkeX25519Chacha];

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
    for (const vector of own) {
      const [publicKey, secret] = [fromHex(vector.pkRm), fromHex(vector.skRm)];
      const info = fromHex(vector.info);
      expect(toHex(suite.kem.publicKey(secret))).toBe(vector.pkRm);
      const sender = hpkeSender(suite, publicKey, info, fromHex(vector.skEm));
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
      const once = hpkeSeal(suite, publicKey, info, aad, fromHex(first.pt), fromHex(vector.skEm));
      expect(toHex(once.ciphertext)).toBe(first.ct);
      const open = (enc: Uint8Array, key: Uint8Array) =>
        hpkeOpen(suite, enc, key, info, aad, once.ciphertext);
      expect(toHex(open(once.enc, secret)!)).toBe(first.pt);
      expect(open(once.enc, fromHex(vector.skEm))).toBeUndefined();
      expect(open(once.enc.subarray(1), secret)).toBeUndefined();
      expect(open(new Uint8Array(32), secret)).toBeUndefined();
    }
  });
}
