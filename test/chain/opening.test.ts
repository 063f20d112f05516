import { describe, expect, it } from "vitest";
import { decodeBlock, encodeBlock } from "../../src/block/block.ts";
import { decodeHeader, encodeHeader } from "../../src/block/header.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { decodeBlockRecord, encodeBlockRecord } from "../../src/chain/block-record.ts";
import { blocksChain, type AppendableChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { equalBytes } from "../../src/bytes/compare.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { LedgerError } from "../../src/errors.ts";
import type { Signer } from "../../src/identity/signer.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { verifyInclusion } from "../../src/merkle/verify.ts";
import { memoryData, memoryStorage, type MemoryData } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { recordEntries, START, startLedger } from "../support/ledger.ts";
import { flipBit } from "../support/small-ledger.ts";
import { stride } from "../support/share.ts";

const BLOCKS = 6;

/** A ledger that was closed, with handles on what lies in its store. */
async function closed(blocks = BLOCKS) {
  const data = memoryData();
  const ledger = await startLedger({ storage: memoryStorage({ data }) });
  for (let seq = 0; seq < blocks; seq++) await write(ledger, seq);
  await ledger.sequencer.close();
  await ledger.chain.close();
  const { genesis, chain, signers } = ledger;
  return { data, genesis, chain, signers, name: blocksChain(chain.ledger) };
}

async function write(
  {
    chain,
    sequencer,
    signers,
  }: Pick<Awaited<ReturnType<typeof startLedger>>, "chain" | "sequencer" | "signers">,
  seq: number,
  name = "a",
) {
  const tx = await signTransaction(signers[name]!, {
    ledger: chain.ledger,
    lane: 0,
    seq,
    time: START,
    entries: recordEntries(1),
  });
  return sequencer.submit(tx).durable;
}

function counting(data: MemoryData): { storage: FullStorage; counts: { records: number } } {
  const inner = memoryStorage({ data });
  const counts = { records: 0 };
  const chains = {
    ...inner.chains,
    async *read(...args: Parameters<typeof inner.chains.read>) {
      for await (const item of inner.chains.read(...args)) {
        counts.records++;
        yield item;
      }
    },
  };
  return { storage: { ...inner, chains }, counts };
}

const entries = (data: MemoryData, table: number) =>
  [...data.state].filter(([key]) => key.charCodeAt(6 + 16) === table);

/** Everything that an opened chain must be able to do. */
async function expectSound(chain: AppendableChain, original: AppendableChain, size = BLOCKS) {
  expect(chain.size).toBe(size);
  expect(chain.root).toEqual(original.root);
  expect(chain.state.root).toEqual(original.state.root);
  for (let height = 0; height < size; height++) {
    const { block } = await chain.readBlock(height);
    const proof = await chain.proveInclusion(height, size);
    const claim = { index: height, size, leafHash: leafHash(block.header), proof };
    expect(verifyInclusion({ ...claim, root: chain.root })).toEqual({ ok: true });
    await chain.proveState("sys/policy", height);
  }
}

describe("openChain", () => {
  it("reads one record, however long the ledger is", async () => {
    for (const blocks of [1, 2, 40]) {
      const { data, genesis, chain } = await closed(blocks);
      const { storage, counts } = counting(data);
      const again = await openChain({ storage, genesis, trustStore: true });
      expect(counts.records).toBe(1);
      expect(again.root).toEqual(chain.root);
    }
  });

  it("reads and checks the blocks after the derived data", async () => {
    const { data, genesis, chain, name } = await closed();
    const [markKey] = entries(data, 0)[0]!;
    const mark = data.state.get(markKey)!;
    const ledger = await startLedger({ storage: memoryStorage({ data }) });
    await write(ledger, 10);
    await write(ledger, 11);
    await ledger.sequencer.close();
    // As after a crash: the derived data of the last two blocks did not reach the disk.
    data.state.set(markKey, mark);
    const { storage, counts } = counting(data);
    const again = await openChain({ storage, genesis, trustStore: true });
    expect(counts.records).toBe(3);
    await expectSound(again, ledger.chain, 8);
    expect(again.root).not.toEqual(chain.root);
    // And one whose last block is not signed as it should be is not believed.
    data.state.set(markKey, mark);
    const { records } = data.chains.get(name)!;
    const { block, peaks } = decodeBlockRecord(records[7]!);
    const forged = encodeBlock({ ...decodeBlock(block), sig: new Uint8Array(64) });
    records[7] = encodeBlockRecord({ block: forged, peaks });
    await expect(openChain({ storage, genesis, trustStore: true })).rejects.toMatchObject({
      code: "ERR_CHAIN_INVALID",
      message: expect.stringContaining("block 7"),
    });
  });

  it("builds derived data again that are gone, all or the mark", async () => {
    for (const tables of [[0, 1, 2, 3], [0]]) {
      const { data, genesis, chain } = await closed();
      for (const table of tables) for (const [key] of entries(data, table)) data.state.delete(key);
      const again = await openChain({ storage: memoryStorage({ data }), genesis });
      await expectSound(again, chain);
    }
  });

  it("is right or says clearly what is wrong, with any one derived value gone or damaged", async () => {
    const { data, genesis, chain } = await closed(3);
    let healed = 0;
    for (const [at, [key, value]] of [...data.state].entries()) {
      const ways = [undefined, flipBit(value, 3), flipBit(value, value.length * 8 - 1)];
      for (const [way, damaged] of ways.entries()) {
        // among the unit tests each value in one way
        if ((at + way) % stride(3) !== 0) continue;
        if (damaged === undefined) data.state.delete(key);
        else data.state.set(key, damaged);
        try {
          const storage = memoryStorage({ data });
          const again = await openChain({ storage, genesis, trustStore: true });
          expect(again.root).toEqual(chain.root);
          expect(again.state.root).toEqual(chain.state.root);
          healed++;
        } catch (error) {
          expect(error).toBeInstanceOf(LedgerError);
        }
        // Whatever it was, it can be built again.
        const rebuilt = await openChain({
          storage: memoryStorage({ data }),
          genesis,
          rebuild: true,
        });
        await expectSound(rebuilt, chain, 3);
        data.state.set(key, value);
      }
    }
    expect(healed).toBeGreaterThan(10);
  });

  it("does not believe the derived data of a longer or of another history", async () => {
    // A chain restored from an older backup, beside newer derived data.
    const old = await closed();
    const { records } = old.data.chains.get(old.name)!;
    const older = memoryStorage();
    await older.chains.append(old.name, { size: 0, hash: null }, records.slice(0, 4));
    const mixed = (chains: FullStorage): FullStorage => ({
      ...memoryStorage({ data: old.data }),
      chains: chains.chains,
    });
    await expect(openChain({ storage: mixed(older), genesis: old.genesis })).rejects.toMatchObject({
      code: "ERR_CHAIN_LOST",
    });
    const short = await openChain({
      storage: mixed(older),
      genesis: old.genesis,
      acceptLoss: true,
    });
    expect(short.size).toBe(4);
    expect(short.state.root).toEqual(
      decodeHeader(decodeBlock(decodeBlockRecord(records[4]!).block).header).state,
    );
    // Another history of the same length.
    const fork = await closed();
    const other = memoryStorage({ data: fork.data });
    const onFork = await openChain({ storage: mixed(other), genesis: old.genesis });
    await expectSound(onFork, fork.chain);
  });

  it("does not believe a forged note of the state, unless told to trust the store", async () => {
    const { data, genesis, chain } = await closed();
    const before = await closed(1);
    const [[markKey, mark]] = entries(data, 0) as [[string, Uint8Array]];
    // A party that can write to the store, and has no key, forgets every sequence number but one.
    for (const [key, node] of entries(before.data, 3)) data.state.set(key, node);
    data.state.set(
      markKey,
      encode({ ...(decode(mark) as object), root: before.chain.state.root } as never),
    );
    const storage = memoryStorage({ data });
    const trusting = await openChain({ storage, genesis, trustStore: true });
    expect(trusting.state.root).toEqual(before.chain.state.root);
    await expectSound(await openChain({ storage, genesis }), chain);
  });

  it("with an anchor goes on from what that key signed, and from nothing else", async () => {
    const { data, genesis, chain, signers } = await closed(20);
    const open = async (anchor: Signer, rebuild = false): Promise<number> => {
      const { storage, counts } = counting(data);
      const again = await openChain({ storage, genesis, anchor, rebuild });
      const { records } = counts;
      await expectSound(again, chain, 20);
      return records;
    };
    const mine = signers["a"]!;
    // What another process derived says nothing, and one member's anchor says nothing to another.
    for (const anchor of [mine, signers["b"]!, signers["c"]!]) {
      expect(await open(anchor)).toBe(20);
      expect(await open(anchor)).toBe(1);
    }
    expect(await open(mine)).toBe(1);
    expect(await open(mine, true)).toBe(20);
    const anchors = entries(data, 4);
    expect(anchors).toHaveLength(3);
    for (const [key, value] of anchors) {
      for (let bit = 7; bit < value.length * 8; bit += 53 * stride(3)) {
        data.state.set(key, flipBit(value, bit));
        await open(mine);
      }
      data.state.set(key, anchors[0]![1]);
    }
    // Under another's name it does not count either.
    const counts = [];
    for (const name of ["a", "b", "c"]) counts.push(await open(signers[name]!));
    expect(counts.filter((read) => read === 20)).toHaveLength(2);
  });

  it("anchors along the way, so that a crash costs a bounded number of blocks", async () => {
    const data = memoryData();
    const first = await startLedger({ storage: memoryStorage({ data }) });
    const anchor = first.signers["a"]!;
    const storage = memoryStorage({ data });
    const chain = await openChain({ storage, genesis: first.genesis, anchor });
    const sequencer = createSequencer({ chain, storage, signer: anchor, now: () => START });
    for (let i = 0; i < 300; i++) await sequencer.seal();
    // Never closed. The anchor after 256 blocks went with the next one.
    const { storage: after, counts } = counting(data);
    const again = await openChain({ storage: after, genesis: first.genesis, anchor });
    expect(again.root).toEqual(chain.root);
    expect(counts.records).toBe(1 + 300 - 256);
  });

  it("does without an anchor where the key does not sign", async () => {
    const { data, genesis, chain, signers } = await closed();
    const anchor: Signer = { ...signers["a"]!, sign: () => Promise.reject(new Error("retired")) };
    const again = await openChain({ storage: memoryStorage({ data }), genesis, anchor });
    await expectSound(again, chain);
    await again.close();
  });

  it("names a damaged last record", async () => {
    const { data, genesis, name } = await closed(3);
    const { records } = data.chains.get(name)!;
    const last = records[2]!;
    for (let bit = 0; bit < last.length * 8; bit += 13 * stride(5)) {
      records[2] = flipBit(last, bit);
      await expect(
        openChain({ storage: memoryStorage({ data }), genesis }),
        `bit ${bit}`,
      ).rejects.toMatchObject({
        code: "ERR_CHAIN_INVALID",
        message: expect.stringContaining("block 2"),
      });
    }
  });

  it("finds a damaged record further back when it is read", async () => {
    const { data, genesis, name } = await closed();
    const { records } = data.chains.get(name)!;
    const { block, peaks } = decodeBlockRecord(records[2]!);
    const read = decodeBlock(block);
    const header = encodeHeader({ ...decodeHeader(read.header), time: START + 1 });
    records[2] = encodeBlockRecord({ block: encodeBlock({ ...read, header }), peaks });
    const storage = memoryStorage({ data });
    await expect(openChain({ storage, genesis })).rejects.toMatchObject({
      code: "ERR_CHAIN_INVALID",
      message: expect.stringContaining("block 2"),
    });
    const again = await openChain({ storage, genesis, trustStore: true });
    await expect(again.readBlock(2)).rejects.toMatchObject({
      code: "ERR_CHAIN_INVALID",
      message: expect.stringContaining("block 2"),
    });
  });

  it("reads no block of another history, though the header tree was forged with it", async () => {
    const { data, genesis, name } = await closed();
    const { records } = data.chains.get(name)!;
    const chain = await openChain({ storage: memoryStorage({ data }), genesis });
    const { block: bytes, peaks } = decodeBlockRecord(records[2]!);
    const good = decodeBlock(bytes);
    const [first] = good.transactions;
    const header = encodeHeader({ ...decodeHeader(good.header), time: START + 1 });
    for (const block of [
      { ...good, header },
      { ...good, transactions: [] },
      { ...good, transactions: [{ ...first!, sig: new Uint8Array(64) }] },
      { ...good, transactions: [{ ...first!, entries: recordEntries(1) }] },
    ]) {
      records[2] = encodeBlockRecord({ block: encodeBlock(block), peaks });
      for (const [key, leaf] of entries(data, 1)) {
        if (equalBytes(leaf, leafHash(good.header))) data.state.set(key, leafHash(block.header));
      }
      for (const reader of [
        chain,
        await openChain({ storage: memoryStorage({ data }), genesis, trustStore: true }),
      ]) {
        await expect(reader.readBlock(2)).rejects.toMatchObject({
          code: "ERR_CHAIN_INVALID",
          message: expect.stringContaining("block 2"),
        });
      }
    }
  });

  it("forgets the signal it was opened with", async () => {
    const { data, genesis, signers } = await closed(1);
    const controller = new AbortController();
    const storage = memoryStorage({ data });
    const chain = await openChain({ storage, genesis, signal: controller.signal });
    controller.abort();
    const other = await openChain({ storage, genesis });
    await createSequencer({
      chain: other,
      storage,
      signer: signers["a"]!,
      now: () => START,
    }).seal();
    expect(await chain.refresh()).toBe(2);
    await expect(
      openChain({ storage, genesis, rebuild: true, signal: controller.signal }),
    ).rejects.toBe(controller.signal.reason);
  });

  it("refuses genesis records that contradict themselves", async () => {
    const { genesis } = await closed(1);
    await expect(
      openChain({ storage: memoryStorage(), genesis: genesis.slice(1) }),
    ).rejects.toMatchObject({ name: "EncodingError" });
  });
});
