import { describe, expect, it } from "vitest";
import { decodeBlock, encodeBlock } from "../../src/block/block.ts";
import { decodeBlockRecord, encodeBlockRecord } from "../../src/chain/block-record.ts";
import { cosignatureSigner, encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { exportLedger, verifyExport } from "../../src/chain/export.ts";
import { blocksChain, openChain } from "../../src/chain/chain.ts";
import { readCar, writeCar, type CarBlock } from "../../src/codec/car.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { ledgerId } from "../../src/block/genesis.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { bytesFor, foundLedger, signerFor } from "../support/ledger.ts";
import { smallLedger, smallRule } from "../support/small-ledger.ts";

const kinds = [smallRule];

async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

async function exported() {
  const { genesis, forge, records, note } = await smallLedger();
  const storage = memoryStorage();
  const name = blocksChain(forge.ledger);
  await storage.chains.append(name, { size: 0, hash: null }, records);
  const chain = await openChain({ storage, genesis, kinds });
  const car = await collect(exportLedger(chain, note));
  const blocks: CarBlock[] = [];
  const opened = await readCar([car]);
  for await (const { cid, bytes } of opened.blocks) blocks.push({ cid, bytes });
  const { roots } = opened;
  return { ledger: forge.ledger, car, blocks, roots, note, genesis };
}

describe("verifyExport", () => {
  it("names what is missing, repeated, exchanged, replaced or behind the end", async () => {
    const { ledger, blocks, roots, note } = await exported();
    const judge = async (changed: readonly CarBlock[], root = roots) => {
      const result = await verifyExport([await collect(writeCar(root, changed))], {
        ledger,
        kinds,
      });
      return result.ok ? "ok" : `${result.reason} ${result.height ?? ""}`.trim();
    };
    expect(await judge(blocks)).toBe("ok");
    expect(await judge(blocks.slice(0, -1))).toBe("checkpoint-beyond-the-ledger");
    expect(await judge(blocks.slice(0, 2))).toBe("not-an-export");
    expect(await judge([])).toBe("not-an-export");
    expect(await judge(blocks, [])).toBe("not-an-export");
    expect(await judge(blocks, [blocks[1]!.cid])).toBe("not-an-export");
    expect(await judge(blocks.toSpliced(4, 1))).toBe("wrong-height 1");
    expect(await judge(blocks.toSpliced(4, 0, blocks[3]!))).toBe("wrong-height 1");
    expect(await judge(blocks.with(4, blocks[5]!).with(5, blocks[4]!))).toBe("wrong-height 1");
    expect(await judge([...blocks, blocks[3]!])).toBe("wrong-height 4");
    expect(await judge(blocks.with(1, blocks[3]!))).toBe("other-ledger");
    const other = await foundLedger({ a: ["custodian", "sequencer"] }, { threshold: 1 });
    const genesis = { cid: ledgerId(other.genesis), bytes: other.genesis };
    expect(await judge(blocks.with(1, genesis))).toBe("other-ledger");
    const longer = note.slice(0, -1);
    expect(await judge(blocks.with(2, { cid: cidOf(longer, RAW), bytes: longer }))).toBe(
      "not-an-export",
    );
    // A header record that says fewer than the checkpoint, or another size than there is.
    const header = decode(blocks[0]!.bytes) as object;
    for (const size of [3, 5]) {
      const bytes = encode({ ...header, size });
      const cid = cidOf(bytes, DAG_CBOR);
      expect(await judge(blocks.with(0, { cid, bytes }), [cid])).toBe("not-an-export");
    }
  });

  it("is for the ledger that was asked for", async () => {
    const { car } = await exported();
    const other = await foundLedger({ a: ["custodian", "sequencer"] }, { threshold: 1 });
    expect(await verifyExport([car], { ledger: ledgerId(other.genesis), kinds })).toEqual({
      ok: false,
      reason: "other-ledger",
    });
  });

  it("is never satisfied by a file that was cut off, nor by bytes behind it", async () => {
    const { ledger, car } = await exported();
    for (let length = 0; length < car.length; length += 7) {
      const result = await verifyExport([car.slice(0, length)], { ledger, kinds });
      expect(result.ok, `${length} bytes`).toBe(false);
    }
    for (const tail of [[0], [1, 2], [0xff, 0xff, 0xff, 0xff, 0x0f]]) {
      const longer = Uint8Array.from([...car, ...tail]);
      expect((await verifyExport([longer], { ledger, kinds })).ok).toBe(false);
    }
  });

  it("reads a stream in chunks of any size, and says how far it is", async () => {
    const { ledger, car } = await exported();
    for (const size of [1, 13, 4096]) {
      const chunks = Array.from({ length: Math.ceil(car.length / size) }, (_, i) =>
        car.slice(i * size, (i + 1) * size),
      );
      const seen: string[] = [];
      const result = await verifyExport(chunks, {
        ledger,
        kinds,
        onProgress: ({ done, total }) => seen.push(`${done}/${total}`),
      });
      expect(result.ok).toBe(true);
      expect(seen).toEqual(["1/4", "2/4", "3/4", "4/4"]);
    }
    const controller = new AbortController();
    controller.abort();
    await expect(verifyExport([car], { ledger, kinds, signal: controller.signal })).rejects.toBe(
      controller.signal.reason,
    );
  });
});

describe("exportLedger", () => {
  /** The small ledger over a store whose records are changed once the chain is open. */
  async function opened(
    change: (record: Uint8Array, height: number, all: readonly Uint8Array[]) => Uint8Array,
  ) {
    const { genesis, forge, records, note } = await smallLedger();
    const storage = memoryStorage();
    const name = blocksChain(forge.ledger);
    await storage.chains.append(name, { size: 0, hash: null }, records);
    let damaged = false;
    const chains: typeof storage.chains = {
      ...storage.chains,
      async *read(...call) {
        for await (const item of storage.chains.read(...call)) {
          yield damaged ? { ...item, record: change(item.record, item.index, records) } : item;
        }
      },
    };
    const chain = await openChain({ storage: { ...storage, chains }, genesis, kinds });
    damaged = true;
    return { chain, note };
  }

  const withBlock = (
    record: Uint8Array,
    change: (block: ReturnType<typeof decodeBlock>) => void,
  ) => {
    const { block: bytes, peaks } = decodeBlockRecord(record);
    const block = decodeBlock(bytes);
    change(block);
    return encodeBlockRecord({ block: encodeBlock(block), peaks });
  };

  it("ends at a block whose signature is damaged, naming its height", async () => {
    for (const at of [0, 2, 3]) {
      const { chain, note } = await opened((record, height) =>
        height === at
          ? withBlock(record, (block) => {
              block.sig[17]! ^= 1;
            })
          : record,
      );
      await expect(collect(exportLedger(chain, note))).rejects.toMatchObject({
        code: "ERR_CHAIN_INVALID",
        message: expect.stringMatching(new RegExp(`block ${at} .*bad-signature`)) as unknown,
      });
    }
  });

  it("ends at blocks that are exchanged, or a transaction whose signature is damaged", async () => {
    const exchanged = await opened((_, height, all) => all[[0, 2, 1, 3][height]!]!);
    await expect(collect(exportLedger(exchanged.chain, exchanged.note))).rejects.toMatchObject({
      code: "ERR_CHAIN_INVALID",
      message: expect.stringContaining("block 1 ") as unknown,
    });
    const damaged = await opened((record, height) =>
      height === 1
        ? withBlock(record, ({ transactions: [first] }) => {
            first!.sig[0]! ^= 1;
          })
        : record,
    );
    await expect(collect(exportLedger(damaged.chain, damaged.note))).rejects.toMatchObject({
      code: "ERR_CHAIN_INVALID",
      message: expect.stringContaining("block 1 ") as unknown,
    });
  });

  it("writes nothing under a checkpoint that the policy or the chain does not bear out", async () => {
    const { chain, note } = await opened((record) => record);
    const origin = "ledger.example/test";
    const signed = async (size: number, root: Uint8Array, key = "checkpoint") =>
      signNote(encodeCheckpoint({ origin, size, root }), [noteSigner(signerFor(key), origin)]);
    const write = (checkpoint: Uint8Array) => collect(exportLedger(chain, checkpoint));
    expect((await write(note)).length).toBeGreaterThan(1000);
    // The policy wants one witness.
    await expect(write(await signed(4, chain.root))).rejects.toMatchObject({
      code: "ERR_CHAIN_POLICY",
      message: expect.stringMatching(/missing: 1 of 1 witnesses$/) as unknown,
    });
    await expect(write(await signed(4, chain.root, "stranger"))).rejects.toMatchObject({
      code: "ERR_CHAIN_POLICY",
      message: expect.stringMatching(/one of its 1 checkpoint keys, 1 of 1 witnesses$/) as unknown,
    });
    const forked = await signNote(encodeCheckpoint({ origin, size: 3, root: bytesFor("fork") }), [
      noteSigner(signerFor("checkpoint"), origin),
      cosignatureSigner(signerFor("w1.example"), "w1.example", () => 1),
    ]);
    await expect(write(forked)).rejects.toMatchObject({ code: "ERR_CHAIN_CHECKPOINT" });
    await expect(write(await signed(9, bytesFor("longer")))).rejects.toMatchObject({
      code: "ERR_CHAIN_CHECKPOINT",
    });
    expect(() => exportLedger(chain, bytesFor("no note"))).toThrow(/not a signed checkpoint/);
  });
});
