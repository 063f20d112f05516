import { describe, expect, it } from "vitest";
import { cosignatureSigner, encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import {
  decodeForkEvidence,
  encodeForkEvidence,
  verifyForkEvidence,
} from "../../src/chain/fork-evidence.ts";
import type { ForkEvidence } from "../../src/chain/fork-evidence.ts";
import {
  noteKey,
  NOTE_COSIGNATURE,
  NOTE_ED25519,
  noteSigner,
  signNote,
} from "../../src/chain/note.ts";
import { encode } from "../../src/codec/dag-cbor.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { mth, proof } from "../support/rfc9162.ts";

const origin = "ledger.example/1";
const log = memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(1) });
const other = memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(2) });
const key = noteKey(origin, NOTE_ED25519, log.publicKey);

// Two histories that part at block 5.
const honest = Array.from({ length: 12 }, (_, i) => Uint8Array.of(i));
const forked = honest.map((entry, i) => (i < 5 ? entry : Uint8Array.of(i, 0xff)));

function checkpoint(entries: readonly Uint8Array[], size: number, as = origin): Uint8Array {
  return encodeCheckpoint({ origin: as, size, root: mth(entries.slice(0, size)) });
}
const signed = (text: Uint8Array, by = log) => signNote(text, [noteSigner(by, origin)]);

/** The honest history at `first`, the forked one at `second`, and what shows that they differ. */
async function evidenceAt(first: number, second: number): Promise<ForkEvidence> {
  const notes = {
    first: await signed(checkpoint(honest, first)),
    second: await signed(checkpoint(forked, second)),
  };
  if (first === second) return notes;
  const root = mth(forked.slice(0, first));
  return { ...notes, continuation: { root, proof: proof(first, forked.slice(0, second)) } };
}

describe("verifyForkEvidence", () => {
  it("convicts a key of two roots at one size", async () => {
    expect(verifyForkEvidence(await evidenceAt(7, 7), key)).toMatchObject({
      ok: true,
      kind: "same-size",
      first: { size: 7 },
      second: { size: 7 },
    });
  });

  it("convicts a key of continuing another history than it signed", async () => {
    for (const [first, second] of [
      [6, 7],
      [6, 12],
      [8, 12],
      [11, 12],
    ] as const) {
      expect(verifyForkEvidence(await evidenceAt(first, second), key)).toMatchObject({
        ok: true,
        kind: "other-continuation",
        first: { size: first, root: mth(honest.slice(0, first)) },
        second: { size: second },
      });
    }
  });

  it("convicts a witness of two cosignatures", async () => {
    const witness = cosignatureSigner(other, "witness.example", () => 1_700_000_000_000);
    const witnessKey = noteKey("witness.example", NOTE_COSIGNATURE, other.publicKey);
    const evidence = {
      first: await signNote(checkpoint(honest, 9), [witness]),
      second: await signNote(checkpoint(forked, 9), [witness, noteSigner(log, origin)]),
    };
    expect(verifyForkEvidence(evidence, witnessKey).ok).toBe(true);
    expect(verifyForkEvidence(evidence, key)).toEqual({
      ok: false,
      reason: "no-known-signature",
    });
  });

  it("does not convict who signed one history twice", async () => {
    const same = { first: await signed(checkpoint(honest, 7)) };
    expect(verifyForkEvidence({ ...same, second: same.first }, key)).toEqual({
      ok: false,
      reason: "same-root",
    });
    const extended = {
      ...same,
      second: await signed(checkpoint(honest, 12)),
      continuation: { root: mth(honest.slice(0, 7)), proof: proof(7, honest) },
    };
    expect(verifyForkEvidence(extended, key)).toEqual({ ok: false, reason: "same-root" });
  });

  it("does not convict by histories that part only later", async () => {
    expect(verifyForkEvidence(await evidenceAt(5, 12), key)).toEqual({
      ok: false,
      reason: "same-root",
    });
  });

  it("does not convict where two keys signed, or two origins are meant", async () => {
    const evidence = await evidenceAt(7, 7);
    const byOther = await signed(checkpoint(forked, 7), other);
    expect(verifyForkEvidence({ ...evidence, second: byOther }, key)).toEqual({
      ok: false,
      reason: "no-known-signature",
    });
    const elsewhere = await signed(checkpoint(forked, 7, "ledger.example/2"));
    expect(verifyForkEvidence({ ...evidence, second: elsewhere }, key)).toEqual({
      ok: false,
      reason: "other-origin",
    });
  });

  it("does not convict by a missing or wrong proof, or by one too many", async () => {
    const evidence = await evidenceAt(7, 12);
    const { first, second, continuation } = evidence;
    expect(verifyForkEvidence({ first, second }, key)).toEqual({
      ok: false,
      reason: "missing-continuation",
    });
    expect(verifyForkEvidence({ ...evidence, first: second, second: first }, key)).toEqual({
      ok: false,
      reason: "sizes-not-ordered",
    });
    expect(
      verifyForkEvidence({ ...(await evidenceAt(7, 7)), continuation: continuation! }, key),
    ).toEqual({ ok: false, reason: "unexpected-continuation" });
    for (let i = 0; i < continuation!.proof.length; i++) {
      const wrong = continuation!.proof.map((hash, at) => (at === i ? new Uint8Array(32) : hash));
      const changed = { ...evidence, continuation: { ...continuation!, proof: wrong } };
      expect(verifyForkEvidence(changed, key).ok).toBe(false);
    }
    const otherRoot = { ...continuation!, root: new Uint8Array(32) };
    expect(verifyForkEvidence({ ...evidence, continuation: otherRoot }, key)).toEqual({
      ok: false,
      reason: "old-root-mismatch",
    });
    const empty = await signed(checkpoint(honest, 0));
    expect(verifyForkEvidence({ ...evidence, first: empty }, key)).toEqual({
      ok: false,
      reason: "old-size-zero",
    });
  });

  it("does not convict by a forged signature or by bytes that are not a checkpoint", async () => {
    const evidence = await evidenceAt(7, 7);
    const forged = evidence.second.slice();
    forged[forged.length - 4]! ^= 1;
    expect(verifyForkEvidence({ ...evidence, second: forged }, key).ok).toBe(false);
    const hello = await signed(new TextEncoder().encode("hello\n"));
    expect(verifyForkEvidence({ ...evidence, second: hello }, key)).toEqual({
      ok: false,
      reason: "malformed",
    });
  });
});

describe("decodeForkEvidence", () => {
  it("reads what encodeForkEvidence writes", async () => {
    for (const evidence of [await evidenceAt(7, 7), await evidenceAt(7, 12)]) {
      const wire = encodeForkEvidence(evidence);
      expect(decodeForkEvidence(wire)).toEqual(evidence);
      expect(encodeForkEvidence(decodeForkEvidence(wire))).toEqual(wire);
    }
  });

  it("refuses other shapes", async () => {
    const { first, second, continuation } = await evidenceAt(7, 12);
    const { root } = continuation!;
    for (const value of [
      { v: 1, first },
      { v: 2, first, second },
      { v: 1, first, second, third: first },
      { v: 1, first, second: "note" },
      { v: 1, first, second, continuation: { root } },
      { v: 1, first, second, continuation: { root: root.subarray(1), proof: [] } },
      { v: 1, first, second, continuation: { root, proof: [root.subarray(1)] } },
      { v: 1, first, second, continuation: { root, proof: new Array(66).fill(root) } },
    ]) {
      expect(() => decodeForkEvidence(encode(value))).toThrow(
        expect.objectContaining({ code: "ERR_ENCODING_SHAPE" }),
      );
    }
    expect(() => decodeForkEvidence(new Uint8Array(3_000_000))).toThrow(
      expect.objectContaining({ code: "ERR_ENCODING_LIMIT" }),
    );
  });
});
