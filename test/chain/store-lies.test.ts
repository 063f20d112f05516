import { describe, expect, it } from "vitest";
import { signTransaction } from "../../src/block/transaction.ts";
import { decodeBlockRecord, encodeBlockRecord } from "../../src/chain/block-record.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { LedgerError } from "../../src/errors.ts";
import { treeRoot } from "../../src/merkle/tree.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { memoryData, memoryStorage, type MemoryData } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { bytesFor, recordEntries, signerFor, START, startLedger } from "../support/ledger.ts";

const checkpointSigner = signerFor("checkpoint");

async function grown(blocks: number, data: MemoryData = memoryData()) {
  const ledger = await startLedger({ storage: memoryStorage({ data }) });
  const sign = (seq: number) =>
    signTransaction(ledger.signers["a"]!, {
      ledger: ledger.chain.ledger,
      lane: 0,
      seq,
      time: START,
      entries: recordEntries(1),
    });
  const transactions = [];
  for (let seq = 1; seq <= blocks; seq++) {
    const tx = await sign(2 * seq);
    transactions.push(tx);
    await ledger.sequencer.submit(tx).durable;
  }
  return { ...ledger, data, sign, transactions };
}

/** Root of the first headers, by the plain definition over what the chain reads. */
async function rootOf(chain: Awaited<ReturnType<typeof grown>>["chain"], size: number) {
  const leaves = [];
  for (let i = 0; i < size; i++) leaves.push(leafHash((await chain.readBlock(i)).block.header));
  return treeRoot(leaves);
}

const rows = (data: MemoryData, table: number) =>
  [...data.state].filter(([key]) => key.charCodeAt(6 + 16) === table);

describe("a checkpointer on a store that lies", () => {
  it("signs what was checked, whatever a read says while a block is appended", async () => {
    for (const before of [0, 2]) {
      const { chain, storage, sequencer } = await grown(3);
      const inner = storage as FullStorage;
      if (before > 0) {
        await createCheckpointer({ chain, chains: inner.chains, signer: checkpointSigner }).sign();
        await sequencer.seal();
      }
      const real = inner.chains.read;
      let lied = 0;
      // The chain reads from this very object; each read of one block is answered late, and forged.
      inner.chains.read = async function* (name, options) {
        const isOne = name.endsWith("/blocks") && options.limit === 1;
        if (isOne && lied++ === 0) await sequencer.seal();
        for await (const item of real(name, options)) {
          const { block, peaks } = isOne
            ? decodeBlockRecord(item.record)
            : { block: item.record, peaks: [] };
          const forged = peaks.map((_, i) => bytesFor(`forged ${i}`));
          yield isOne ? { ...item, record: encodeBlockRecord({ block, peaks: forged }) } : item;
        }
      };
      const checkpointer = createCheckpointer({
        chain,
        chains: inner.chains,
        signer: checkpointSigner,
      });
      const signed = await checkpointer.sign().catch((error: unknown) => error);
      expect(lied).toBeGreaterThan(0);
      inner.chains.read = real;
      // The record that was read back is not the one that was appended: nothing is signed.
      expect(signed).toMatchObject({ code: "ERR_CHAIN_INVALID" });
      const { size, root } = await checkpointer.sign();
      expect(root).toEqual(await rootOf(chain, size));
    }
  });
});

describe("a chain on a store that lies", () => {
  it("gives no root and no proof that does not end in what was checked", async () => {
    const { chain, data } = await grown(7);
    const truth = await Promise.all([1, 2, 3, 4, 5, 6, 7].map((size) => rootOf(chain, size)));
    const genesis = chain.genesisBytes;
    let refused = 0;
    for (const [key, value] of rows(data, 1)) {
      for (const other of [undefined, bytesFor("forged"), value.slice(1)]) {
        if (other === undefined) data.state.delete(key);
        else data.state.set(key, other);
        const again = await openChain({
          storage: memoryStorage({ data }),
          genesis,
          trustStore: true,
        });
        for (let size = 1; size <= 7; size++) {
          const root = await again.rootAt(size).catch((error: unknown) => error);
          if (root instanceof Error) {
            expect(root).toBeInstanceOf(LedgerError);
            refused++;
          } else expect(root).toEqual(truth[size - 1]);
        }
        data.state.set(key, value);
      }
    }
    expect(refused).toBeGreaterThan(20);
    await expect(chain.rootAt(8)).rejects.toMatchObject({ code: "ERR_PROOF_RANGE" });
    await expect(chain.readBlock(7)).rejects.toMatchObject({ code: "ERR_PROOF_RANGE" });
  });

  it("heals once the store tells the truth again", async () => {
    const { chain, data } = await grown(7);
    const root = await chain.rootAt(5);
    const again = await openChain({
      storage: memoryStorage({ data }),
      genesis: chain.genesisBytes,
    });
    const kept = rows(data, 1);
    for (const [key] of kept) data.state.set(key, bytesFor("forged"));
    await expect(again.rootAt(5)).rejects.toMatchObject({ code: "ERR_PROOF_INVALID" });
    await expect(again.proveConsistency(3, 7)).rejects.toMatchObject({ code: "ERR_PROOF_INVALID" });
    await expect(again.proveInclusion(2, 6)).rejects.toMatchObject({ code: "ERR_PROOF_INVALID" });
    for (const [key, value] of kept) data.state.set(key, value);
    expect(await again.rootAt(5)).toEqual(root);
  });
});

describe("a sequencer on a store that lies", () => {
  it("acknowledges nothing that a forged row says is on the ledger", async () => {
    const { chain, data, sign, storage, sequencer } = await grown(3);
    const skipped = await sign(3);
    await expect(sequencer.submit(skipped).durable).rejects.toMatchObject({
      code: "ERR_CHAIN_REFUSED",
    });
    const [[key, value]] = rows(data, 3) as [[string, Uint8Array]];
    const hash = (await sequencer.submit(skipped)).hash;
    const name = key.slice(0, key.length - 1) + String.fromCharCode(3);
    for (const height of [0, 1, 2, 3, 2 ** 50]) {
      for (const at of [0, 7]) {
        const forged = value.slice();
        new DataView(forged.buffer).setBigUint64(0, BigInt(height));
        new DataView(forged.buffer).setBigUint64(8, BigInt(at));
        forged.set(hash, 16);
        data.state.set(name, forged);
        await expect(sequencer.submit(skipped).durable).rejects.toMatchObject({
          code: "ERR_CHAIN_REFUSED",
        });
      }
    }
    expect(chain.size).toBe(3);
    expect(storage).toBeDefined();
  });

  it("knows what is on the ledger although its row is lost or says another place", async () => {
    for (const blocks of [1, 2, 5, 8]) {
      const { data, transactions, sequencer, chain } = await grown(blocks);
      for (const forge of [undefined, new Uint8Array(48), new Uint8Array(48).fill(255)]) {
        for (const [key] of rows(data, 3)) {
          if (forge === undefined) data.state.delete(key);
          else data.state.set(key, forge);
        }
        for (const [height, tx] of transactions.entries()) {
          expect(await sequencer.submit(tx).durable).toEqual({ height, transaction: 0 });
        }
      }
      expect(chain.size).toBe(blocks);
    }
  });

  it("does not acknowledge what the store says that it appended when that is something else", async () => {
    const ledger = await grown(1);
    const inner = ledger.storage as FullStorage;
    for (const lie of [
      { size: 2, hash: bytesFor("x") },
      { size: 2, hash: null },
      { size: 9, hash: bytesFor("x") },
    ]) {
      const storage = { ...inner, commit: async () => lie as never };
      const { chain, signers } = ledger;
      const sequencer = createSequencer({
        chain,
        storage,
        signer: signers["a"]!,
        now: () => START,
      });
      await expect(sequencer.submit(await ledger.sign(100)).durable).rejects.toMatchObject({
        code: "ERR_CHAIN_INVALID",
      });
    }
  });
});
