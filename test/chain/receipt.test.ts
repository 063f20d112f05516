import { describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { exportLedger, verifyExport } from "../../src/chain/export.ts";
import { makeReceipt } from "../../src/chain/make-receipt.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { entryId } from "../../src/block/entry.ts";
import { recordEntries, signerFor, START, startLedger, foundLedger } from "../support/ledger.ts";

/** Bits and bytes from one that is flipped to the next; `npm run test:fuzz` takes every single one. */
const EVERY = process.env["HEALTHLEDGER_TAMPER"] === "all" ? 1 : 13;

async function filled(blocks = 5) {
  const ledger = await startLedger();
  const { chain, sequencer, signers } = ledger;
  const all: Uint8Array[][] = [];
  for (let seq = 0; seq < blocks; seq++) {
    const entries = recordEntries(seq + 1);
    all.push(entries);
    const signed = await signTransaction(signers["a"]!, {
      ledger: chain.ledger,
      lane: 0,
      seq,
      time: START,
      entries,
    });
    await sequencer.submit(signed).durable;
  }
  const checkpointer = createCheckpointer({
    chain,
    chains: ledger.storage.chains!,
    signer: signerFor("checkpoint"),
  });
  const { note } = await checkpointer.sign();
  return { ...ledger, all, note, checkpointer };
}

describe("verifyReceipt", () => {
  it("proves every entry by the genesis record alone", async () => {
    const { chain, genesis, note, all, signers } = await filled();
    const trust = trustFromGenesis(genesis);
    for (const [height, entries] of all.entries()) {
      for (const [entry, bytes] of entries.entries()) {
        const receipt = await makeReceipt(
          chain,
          { height, transaction: 0, entry },
          { checkpoint: note, later: true },
        );
        const proved = verifyReceipt(receipt, trust);
        expect(proved).toMatchObject({
          ok: true,
          author: signers["a"]!.actor,
          height,
          time: START,
          key: { status: "in-force", asOf: 4 },
        });
        expect(proved.ok && proved.entry).toEqual(bytes);
        expect(proved.ok && proved.id).toBe(
          toHex(entryId(chain.ledger, signers["a"]!.actor, bytes)),
        );
      }
    }
  });

  it("is of the entry that was meant, or is not made", async () => {
    const { chain, note, all, signers } = await filled();
    const id = (height: number, entry: number) =>
      entryId(chain.ledger, signers["a"]!.actor, all[height]![entry]!);
    const made = (height: number, entry: number, of: Uint8Array) =>
      makeReceipt(chain, { height, transaction: 0, entry }, { checkpoint: note, id: of });
    expect(await made(3, 2, id(3, 2))).toBeInstanceOf(Uint8Array);
    for (const other of [id(3, 1), id(2, 2)]) {
      await expect(made(3, 2, other)).rejects.toMatchObject({ code: "ERR_PROOF_UNAVAILABLE" });
    }
  });

  it("believes no receipt with any one bit flipped", async () => {
    const { chain, genesis, note } = await filled(3);
    const trust = trustFromGenesis(genesis);
    const receipt = await makeReceipt(
      chain,
      { height: 1, transaction: 0, entry: 1 },
      { checkpoint: note, later: true },
    );
    expect(verifyReceipt(receipt, trust).ok).toBe(true);
    for (let bit = 0; bit < receipt.length * 8; bit += EVERY) {
      const flipped = receipt.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const result = verifyReceipt(flipped, trust);
      if (result.ok) expect.unreachable(`bit ${bit}`);
    }
  });

  it("refuses a receipt of another ledger with the same origin and founders", async () => {
    const { chain, note } = await filled(2);
    const other = await foundLedger(
      { a: ["custodian", "sequencer"], b: ["custodian", "sequencer"], c: ["auditor"] },
      { nonce: new Uint8Array(32) },
    );
    const receipt = await makeReceipt(
      chain,
      { height: 0, transaction: 0, entry: 0 },
      { checkpoint: note },
    );
    expect(verifyReceipt(receipt, trustFromGenesis(other.genesis))).toEqual({
      ok: false,
      reason: "other-ledger",
    });
  });
});

describe("verifyLedger", () => {
  it("verifies a store from genesis to the checkpoint", async () => {
    const { chain, genesis, note, storage } = await filled();
    expect(await verifyLedger(storage.chains!, { genesis, checkpoint: note })).toEqual({
      ok: true,
      size: 5,
      transactions: 5,
      entries: 15,
      root: chain.root,
      state: chain.state.root,
      validators: [],
      witnesses: [],
    });
  });
});

describe("exportLedger", () => {
  it("writes the same bytes each time, and they verify as a stream", async () => {
    const { chain, note } = await filled();
    const read = async () => Buffer.concat(await collect(exportLedger(chain, note)));
    const car = await read();
    expect(await read()).toEqual(car);
    expect(await verifyExport([car], { ledger: chain.ledger })).toMatchObject({
      ok: true,
      size: 5,
    });
  });

  it("finds every flipped byte", async () => {
    const { chain, note } = await filled(3);
    const chunks: Uint8Array[] = [];
    for await (const chunk of exportLedger(chain, note)) chunks.push(chunk);
    const car = Buffer.concat(chunks);
    for (let at = 0; at < car.length; at += EVERY) {
      const flipped = Uint8Array.from(car);
      flipped[at]! ^= 1 << (at % 8);
      const result = await verifyExport([flipped], { ledger: chain.ledger });
      if (result.ok) expect.unreachable(`byte ${at}`);
    }
  });
});

async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return chunks;
}
