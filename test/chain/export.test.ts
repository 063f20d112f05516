import type { CID } from "multiformats/cid";
import { describe, expect, it } from "vitest";
import { decodeBlock, encodeBlock } from "../../src/block/block.ts";
import { decodeBlockRecord, encodeBlockRecord } from "../../src/chain/block-record.ts";
import { cosignatureSigner, encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { exportLedger, verifyExport } from "../../src/chain/export.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { readCar, writeCar, type CarBlock } from "../../src/codec/car.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { ledgerId } from "../../src/block/genesis.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { bytesFor, foundLedger, signerFor } from "../support/ledger.ts";
import { smallLedger, smallRule } from "../support/small-ledger.ts";
import { stride } from "../support/share.ts";

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
  type Change = (
    blocks: readonly CarBlock[],
    others: { readonly genesis: CarBlock; readonly note: Uint8Array },
  ) => readonly CarBlock[];
  /** The header's record with another number of blocks, and its name as the root. */
  const sized =
    (size: number): Change =>
    (blocks) => {
      const bytes = encode({ ...(decode(blocks[0]!.bytes) as object), size });
      return blocks.with(0, { cid: cidOf(bytes, DAG_CBOR), bytes });
    };
  // The file's first blocks: its header, genesis, the checkpoint, then a block of the ledger each.
  const changes: readonly (readonly [string, Change, string])[] = [
    ["nothing", (blocks) => blocks, "ok"],
    ["the last block missing", (blocks) => blocks.slice(0, -1), "checkpoint-beyond-the-ledger"],
    ["all missing behind genesis", (blocks) => blocks.slice(0, 2), "not-an-export"],
    ["everything missing", () => [], "not-an-export"],
    ["a block missing", (blocks) => blocks.toSpliced(4, 1), "wrong-height 1"],
    ["a block twice", (blocks) => blocks.toSpliced(4, 0, blocks[3]!), "wrong-height 1"],
    [
      "two blocks exchanged",
      (blocks) => blocks.with(4, blocks[5]!).with(5, blocks[4]!),
      "wrong-height 1",
    ],
    ["the first block again at the end", (blocks) => [...blocks, blocks[3]!], "wrong-height 4"],
    ["a block in the place of genesis", (blocks) => blocks.with(1, blocks[3]!), "other-ledger"],
    ["another genesis", (blocks, { genesis }) => blocks.with(1, genesis), "other-ledger"],
    [
      "a checkpoint cut short",
      (blocks, { note }) => {
        const bytes = note.slice(0, -1);
        return blocks.with(2, { cid: cidOf(bytes, RAW), bytes });
      },
      "not-an-export",
    ],
    ["a header that says fewer blocks than the checkpoint", sized(3), "not-an-export"],
    ["a header that says more blocks than there are", sized(5), "not-an-export"],
  ];

  async function judge(
    { ledger }: { readonly ledger: CID },
    root: readonly CID[],
    changed: readonly CarBlock[],
  ): Promise<string> {
    const car = await collect(writeCar(root, changed));
    const result = await verifyExport([car], { ledger, kinds });
    return result.ok ? "ok" : `${result.reason} ${result.height ?? ""}`.trim();
  }

  it.each(changes)("with %s", async (_, change, expected) => {
    const made = await exported();
    const other = await foundLedger({ a: ["custodian", "sequencer"] }, { threshold: 1 });
    const genesis = { cid: ledgerId(other.genesis), bytes: other.genesis };
    const changed = change(made.blocks, { genesis, note: made.note });
    // Whoever changes the header names it as the root too.
    const isOwnRoot = changed[0] === made.blocks[0] || changed.length === 0;
    const roots = isOwnRoot ? made.roots : [changed[0]!.cid];
    expect(await judge(made, roots, changed)).toBe(expected);
  });

  it.each([
    ["no root", () => []],
    ["another block as its root", (blocks: readonly CarBlock[]) => [blocks[1]!.cid]],
  ])("with %s is no export", async (_, rootsOf) => {
    const made = await exported();
    expect(await judge(made, rootsOf(made.blocks), made.blocks)).toBe("not-an-export");
  });

  it("is for the ledger that was asked for", async () => {
    const { car } = await exported();
    const other = await foundLedger({ a: ["custodian", "sequencer"] }, { threshold: 1 });
    expect(await verifyExport([car], { ledger: ledgerId(other.genesis), kinds })).toEqual({
      ok: false,
      reason: "other-ledger",
    });
  });

  it("never accepts a file that was cut off or has trailing bytes", async () => {
    const { ledger, car } = await exported();
    for (let length = 0; length < car.length; length += 7 * stride(5)) {
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
