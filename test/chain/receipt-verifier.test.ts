import { describe, expect, it } from "vitest";
import { equalBytes } from "../../src/bytes/compare.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { receiptMaker } from "../../src/chain/make-receipt.ts";
import { decodeReceipt, encodeReceipt } from "../../src/chain/receipt.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { receiptVerifier, verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { ed25519Verifier } from "../../src/crypto/ed25519-verifier.ts";
import type { SignatureVerifier } from "../../src/crypto/signing-input.ts";
import { recordEntries, signerFor, START, startLedger } from "../support/ledger.ts";

const HEIGHTS = 3;
const ENTRIES = 4;

/** Receipts of a few blocks of several entries, under each of two checkpoints. */
async function receipts() {
  const { chain, genesis, sequencer, signers, storage } = await startLedger();
  const checkpointer = createCheckpointer({
    ...{ chain, chains: storage.chains!, signer: signerFor("checkpoint") },
  });
  const made: Uint8Array[] = [];
  for (let seq = 0; seq < HEIGHTS; seq++) {
    const entries = recordEntries(ENTRIES);
    const what = { ledger: chain.ledger, lane: 0, seq, time: START, entries };
    await sequencer.submit(await signTransaction(signers["a"]!, what)).durable;
    if (seq === 0) continue;
    const { note } = await checkpointer.sign();
    const receiptOf = receiptMaker(chain, { checkpoint: note, later: true });
    for (let height = 0; height <= seq; height++) {
      for (let entry = 0; entry < ENTRIES; entry++) {
        made.push(await receiptOf({ height, transaction: 0, entry }));
      }
    }
  }
  return { trust: trustFromGenesis(genesis), made };
}

const counting = () => {
  const counter = { checked: 0 };
  const verifier: SignatureVerifier = {
    alg: "Ed25519",
    verify(...what) {
      counter.checked++;
      return ed25519Verifier.verify(...what);
    },
  };
  return { counter, verifiers: [verifier] };
};

describe("receiptVerifier", () => {
  it("finds of receipts in a row what verifyReceipt finds of each alone, whatever is altered", async () => {
    const { trust, made } = await receipts();
    const verify = receiptVerifier(trust, [ed25519Verifier]);
    const reasons = new Set<string>();
    function assertAlike(bytes: Uint8Array): void {
      const alone = verifyReceipt(bytes, trust);
      const { ok, ...found } = verify(bytes);
      const told = "proved" in found ? { ok, ...found.proved } : { ok, ...found };
      expect(told).toEqual(alone);
      reasons.add(alone.ok ? "ok" : alone.reason);
    }
    for (let i = 0; i < made.length; i += 3) {
      const bytes = made[i]!;
      assertAlike(bytes);
      // Altered bytes come between good ones that share the rest with them.
      for (let bit = i; bit < bytes.length * 8; bit += 997) {
        const altered = bytes.slice();
        altered[bit >> 3]! ^= 1 << (bit & 7);
        assertAlike(altered);
        assertAlike(bytes);
      }
      // What another receipt proves does not prove this one.
      const other = decodeReceipt(made[(i + ENTRIES) % made.length]!);
      const receipt = decodeReceipt(bytes);
      for (const field of ["sig", "tx", "checkpoint", "key", "later", "header"] as const) {
        assertAlike(encodeReceipt({ ...receipt, [field]: other[field] }));
        assertAlike(bytes);
      }
    }
    const some = ["ok", "malformed", "transaction-not-included", "bad-checkpoint-signature"];
    for (const reason of some) expect(reasons).toContain(reason);
  });

  it("checks the signature of a transaction once for entries of it that follow one another", async () => {
    const { trust, made } = await receipts();
    const { counter, verifiers } = counting();
    const verify = receiptVerifier(trust, verifiers);
    for (const bytes of made) expect(verify(bytes).ok).toBe(true);
    // Two blocks under the first checkpoint and three under the second.
    expect(counter.checked).toBe(2 + HEIGHTS);
  });

  it("takes no signature for good because the one before was, nor the other way round", async () => {
    const { trust, made } = await receipts();
    const first = decodeReceipt(made[0]!);
    const refusing: SignatureVerifier = {
      alg: "Ed25519",
      verify: (signature, ...of) =>
        !equalBytes(signature, first.sig) && ed25519Verifier.verify(signature, ...of),
    };
    const verify = receiptVerifier(trust, [refusing]);
    const found = [0, 1, ENTRIES, 0, ENTRIES, ENTRIES + 1].map((i) => verify(made[i]!));
    const told = found.map((one) => (one.ok ? "ok" : one.reason));
    const bad = "bad-signature";
    expect(told).toEqual([bad, bad, "ok", bad, "ok", "ok"]);
  });
});
