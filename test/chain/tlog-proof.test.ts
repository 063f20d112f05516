import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { noteKey, NOTE_ED25519, noteSigner, signNote } from "../../src/chain/note.ts";
import { encodeTlogProof, parseTlogProof, verifyTlogProof } from "../../src/chain/tlog-proof.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { mth, path } from "../support/rfc9162.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);
const base64 = (value: Uint8Array) => Buffer.from(value).toString("base64");

const origin = "ledger.example/1";
const log = memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(1) });
const trust = { origin, keys: [noteKey(origin, NOTE_ED25519, log.publicKey)] };
const entries = Array.from({ length: 11 }, (_, i) => bytes(`header ${i}`));
const checkpoint = await signNote(encodeCheckpoint({ origin, size: 11, root: mth(entries) }), [
  noteSigner(log, origin),
]);
const proofAt = (index: number, extra?: Uint8Array) => ({
  index,
  proof: path(index, entries),
  checkpoint,
  ...(extra === undefined ? {} : { extra }),
});

describe("encodeTlogProof", () => {
  it("writes the lines of c2sp.org/tlog-proof", () => {
    const { proof } = proofAt(10);
    expect(text(encodeTlogProof(proofAt(10, bytes("hi"))))).toBe(
      `c2sp.org/tlog-proof@v1\nextra aGk=\nindex 10\n${proof.map(base64).join("\n")}\n\n` +
        text(checkpoint),
    );
  });

  it("refuses what cannot be written", () => {
    const proof = proofAt(3);
    expect(() => encodeTlogProof({ ...proof, index: -1 })).toThrow(RangeError);
    expect(() => encodeTlogProof({ ...proof, proof: [new Uint8Array(31)] })).toThrow(RangeError);
    const long = Array.from({ length: 65 }, () => new Uint8Array(32));
    expect(() => encodeTlogProof({ ...proof, proof: long })).toThrow(RangeError);
    expect(() => encodeTlogProof({ ...proof, extra: new Uint8Array(1_000_001) })).toThrow(
      RangeError,
    );
  });
});

describe("parseTlogProof", () => {
  it("reads what encodeTlogProof writes", () => {
    for (const proof of [
      proofAt(0),
      proofAt(10, bytes("anything")),
      proofAt(4, new Uint8Array(0)),
      { ...proofAt(0), proof: [] },
    ]) {
      expect(parseTlogProof(encodeTlogProof(proof))).toEqual({ ok: true, proof });
    }
  });

  it("gives its reasons", () => {
    const header = "c2sp.org/tlog-proof@v1\n";
    const hash = `${base64(new Uint8Array(32))}\n`;
    for (const [wrong, reason] of [
      ["", "malformed"],
      [`${header}index 0\n`, "malformed"],
      [`c2sp.org/tlog-proof@v2\nindex 0\n\n`, "bad-header"],
      [`${header.replace("\n", "\r\n")}index 0\n\n`, "bad-header"],
      [`${header}extra aGk\nindex 0\n\n`, "bad-extra"],
      [`${header}index 0\nextra aGk=\n\n`, "bad-hash"],
      [`${header}extra aGk=\n\n`, "bad-index"],
      [`${header}index 01\n\n`, "bad-index"],
      [`${header}index 0x1\n\n`, "bad-index"],
      [`${header}index  1\n\n`, "bad-index"],
      [`${header}index 18446744073709551616\n\n`, "bad-index"],
      [`${header}index 0\n${hash.replace("=", "")}\n`, "bad-hash"],
      [`${header}index 0\n${hash.repeat(65)}\n`, "proof-length"],
    ]) {
      expect(parseTlogProof(bytes(wrong!))).toEqual({ ok: false, reason });
    }
    expect(parseTlogProof(new Uint8Array(3_000_000))).toEqual({ ok: false, reason: "too-large" });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 99 }), (any) => void parseTlogProof(any)));
  });
});

describe("verifyTlogProof", () => {
  it("accepts the proof of every leaf, and of no other", () => {
    for (const index of entries.keys()) {
      const proof = encodeTlogProof(proofAt(index, bytes("extra")));
      expect(verifyTlogProof(proof, leafHash(entries[index]!), trust)).toMatchObject({
        ok: true,
        index,
        checkpoint: { origin, size: 11 },
        extra: bytes("extra"),
      });
      const other = leafHash(entries[(index + 1) % 11]!);
      expect(verifyTlogProof(proof, other, trust)).toEqual({ ok: false, reason: "root-mismatch" });
    }
  });

  it("refuses a proof with one bit flipped anywhere", () => {
    const proof = encodeTlogProof(proofAt(5));
    const leaf = leafHash(entries[5]!);
    for (let bit = 0; bit < proof.length * 8; bit++) {
      const flipped = proof.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(verifyTlogProof(flipped, leaf, trust).ok).toBe(false);
    }
  });

  it("refuses other origins, unknown keys and leaves outside", () => {
    const proof = encodeTlogProof(proofAt(5));
    const leaf = leafHash(entries[5]!);
    expect(verifyTlogProof(proof, leaf, { ...trust, origin: "other" })).toEqual({
      ok: false,
      reason: "other-origin",
    });
    expect(verifyTlogProof(proof, leaf, { origin, keys: [] })).toEqual({
      ok: false,
      reason: "no-known-signature",
    });
    expect(verifyTlogProof(encodeTlogProof({ ...proofAt(5), index: 11 }), leaf, trust)).toEqual({
      ok: false,
      reason: "index-out-of-range",
    });
  });
});
