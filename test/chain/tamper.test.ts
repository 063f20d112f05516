import { ledgerRules } from "../../src/chain/prepare.ts";
import { describe, expect, it } from "vitest";
import {
  checkBlock,
  emptyTip,
  readBlock,
  tipAfter,
  type Tip,
} from "../../src/chain/apply-block.ts";
import { decodeBlockRecord } from "../../src/chain/block-record.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { genesisState } from "../../src/chain/genesis-state.ts";
import { openState } from "../../src/chain/ledger-state.ts";
import { judgeCheckpoint, trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { decodeGenesis } from "../../src/block/genesis.ts";
import { decodeHeader } from "../../src/block/header.ts";
import { cidOf, matchesCid, RAW } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { EncodingError } from "../../src/errors.ts";
import { appendLeaf, emptyFrontier, samePeaks } from "../../src/merkle/frontier.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { EMPTY_MAP } from "../../src/merkle/map-node.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { bytesFor, signerFor, startLedger } from "../support/ledger.ts";
import { flipBit, smallLedger, smallRule, storeOf } from "../support/small-ledger.ts";

/**
 * Flipping a bit of block h changes nothing below it, so by default every 89th flip is judged by
 * the functions of verification from the state before its block on, and some through `verifyLedger`
 * from genesis. `HEALTHLEDGER_TAMPER=all`, as `npm run test:fuzz` sets it, takes every bit through both.
 */
const ALL = process.env["HEALTHLEDGER_TAMPER"] === "all";
const EVERY = ALL ? 1 : 89;
const FROM_GENESIS = ALL ? 1 : 5;
/** Bits of a checkpoint from one that is flipped to the next. */
const EVERY_OF_NOTE = ALL ? 1 : 3;
const kinds = [smallRule];

describe("every single bit of every record", () => {
  it("is missed by nobody, and the block is named", { timeout: 1_800_000 }, async () => {
    const { genesis, forge, records, note } = await smallLedger();
    const options = { genesis, kinds, checkpoint: note };
    expect(await verifyLedger(await storeOf(forge, records), options)).toMatchObject({
      ok: true,
      size: 4,
      validators: ["v.example"],
      witnesses: ["w1.example", "w2.example"],
    });
    const rules = ledgerRules({ kinds });
    const state = openState(EMPTY_MAP, async (hashes) => hashes.map(() => undefined));
    const founded = genesisState(decodeGenesis(genesis));
    await state.load([...founded.keys()]);
    state.apply(founded);
    let tip: Tip = emptyTip(forge.ledger);
    let frontier = emptyFrontier;

    async function stands(record: Uint8Array): Promise<boolean> {
      try {
        const { block: bytes, peaks } = decodeBlockRecord(record);
        const block = readBlock(bytes);
        if (block === undefined || !(await checkBlock(block, tip, state, rules)).ok) return false;
        return samePeaks(appendLeaf(frontier, leafHash(block.header)).frontier.peaks, peaks);
      } catch (error) {
        if (error instanceof EncodingError) return false;
        throw error;
      }
    }

    const reasons = new Set<string>();
    let flips = 0;
    for (const [height, record] of records.entries()) {
      expect(await stands(record)).toBe(true);
      for (let bit = 0; bit < record.length * 8; bit += EVERY) {
        const flipped = flipBit(record, bit);
        if (await stands(flipped)) expect.unreachable(`block ${height}, bit ${bit}`);
        if (flips++ % FROM_GENESIS !== 0) continue;
        const store = await storeOf(forge, records.with(height, flipped));
        const result = await verifyLedger(store, options);
        if (result.ok || result.height !== height) {
          expect.unreachable(`block ${height}, bit ${bit}: ${JSON.stringify(result)}`);
        }
        reasons.add(result.reason);
      }
      const block = readBlock(decodeBlockRecord(record).block)!;
      const result = await checkBlock(block, tip, state, rules);
      if (!result.ok) throw new Error("does not stand");
      state.apply(result.changes);
      frontier = appendLeaf(frontier, leafHash(block.header)).frontier;
      tip = tipAfter(block.header, decodeHeader(block.header));
    }
    expect(flips).toBe(
      records.reduce((bits, { length }) => bits + Math.ceil((8 * length) / EVERY), 0),
    );
    expect([...reasons]).toEqual(
      expect.arrayContaining(["malformed", "entries-root-mismatch", "transactions-root-mismatch"]),
    );
  });
});

describe("every single bit of a checkpoint", () => {
  it("refuses it, or takes away cosigners and nothing else", async () => {
    const { genesis, forge, records, note, root } = await smallLedger();
    const trust = trustFromGenesis(genesis);
    const store = await storeOf(forge, records);
    const named = new Set(["v.example", "w1.example", "w2.example"]);
    const cosigners = new Map<string, Uint8Array>();
    for (let bit = 0; bit < note.length * 8; bit += EVERY_OF_NOTE) {
      const flipped = flipBit(note, bit);
      const judged = judgeCheckpoint(flipped, trust);
      if (!judged.ok) continue;
      expect(judged.checkpoint).toEqual({ origin: "ledger.example/test", size: 4, root });
      const names = [...judged.validators, ...judged.witnesses];
      expect(names.length).toBeLessThan(3);
      expect(names.every((name) => named.has(name))).toBe(true);
      cosigners.set(names.join(), flipped);
    }
    expect([...cosigners.keys()].sort()).toEqual([
      "v.example,w1.example",
      "v.example,w2.example",
      "w1.example,w2.example",
    ]);
    for (const [names, checkpoint] of cosigners) {
      const result = await verifyLedger(store, { genesis, kinds, checkpoint });
      expect(result).toMatchObject({ ok: true, size: 4, root });
      expect(result.ok && [...result.validators, ...result.witnesses].join()).toBe(names);
    }
  });
});

describe("every single bit of a signer's memory", () => {
  it("keeps it from signing", async () => {
    const { chain, genesis, storage, sequencer } = await startLedger();
    for (let i = 0; i < 4; i++) await sequencer.seal();
    const signer = signerFor("checkpoint");
    const sign = (chains: typeof storage.chains) =>
      createCheckpointer({ chain, chains: chains!, signer }).sign();
    await sign(storage.chains);
    await sequencer.seal();
    const name = `${chain.ledger.toString()}/checkpoints/${toHex(signer.key)}`;
    let kept: Uint8Array | undefined;
    for await (const { record } of storage.chains!.read(name, { from: 0 })) kept = record;
    for (let bit = 0; bit < kept!.length * 8; bit++) {
      const { chains } = memoryStorage();
      await chains.append(name, { size: 0, hash: null }, [flipBit(kept!, bit)]);
      await expect(sign(chains), `bit ${bit}`).rejects.toMatchObject({
        code: "ERR_CHAIN_CHECKPOINT",
      });
    }
    expect((await openChain({ storage, genesis })).size).toBe(5);
  });
});

describe("every single bit of a blob", () => {
  it("makes it another blob than its name says", () => {
    const bytes = bytesFor("ciphertext");
    const cid = cidOf(bytes, RAW);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      expect(matchesCid(cid, flipBit(bytes, bit))).toBe(false);
    }
  });
});

describe("records as a whole", () => {
  it("names what is dropped, repeated, exchanged, and peaks that do not fit", async () => {
    const { genesis, forge, records, note } = await smallLedger();
    const verify = async (all: readonly Uint8Array[], checkpoint?: Uint8Array) => {
      const result = await verifyLedger(await storeOf(forge, all), {
        genesis,
        kinds,
        ...(checkpoint === undefined ? {} : { checkpoint }),
      });
      return result.ok ? { ok: true } : result;
    };
    const [zero, one, two, three] = records as Uint8Array[];
    const at = (height: number, reason: string) => ({ ok: false, height, reason });
    expect(await verify([zero!, two!, three!])).toEqual(at(1, "wrong-height"));
    expect(await verify([zero!, one!, one!, three!])).toEqual(at(2, "wrong-height"));
    expect(await verify([one!, zero!, two!, three!])).toEqual(at(0, "wrong-height"));
    // Cut off at the end: only the checkpoint tells.
    expect(await verify([zero!, one!, two!])).toEqual({ ok: true });
    expect(await verify([zero!, one!, two!], note)).toEqual({
      ok: false,
      reason: "checkpoint-beyond-the-ledger",
    });
    expect(await verify([], note)).toEqual({ ok: false, reason: "checkpoint-beyond-the-ledger" });
    const { peaks, ...rest } = decode(two!) as { peaks: Uint8Array[] };
    for (const wrong of [[], [peaks[0]], [...peaks].reverse(), [...peaks, peaks[0]]]) {
      const record = encode({ ...rest, peaks: wrong });
      expect(await verify([zero!, one!, record, three!])).toEqual(at(2, "wrong-frontier"));
    }
  });

  it("says when a store lacks a record that its head counts", async () => {
    const { genesis, forge, records } = await smallLedger();
    const chains = await storeOf(forge, records);
    const short = {
      ...chains,
      read: (chain: string, options: { from: number; limit?: number }) =>
        chains.read(chain, { ...options, limit: Math.min(options.limit ?? 9, 2) }),
    };
    expect(await verifyLedger(short, { genesis, kinds })).toEqual({
      ok: false,
      height: 2,
      reason: "missing",
    });
  });
});
