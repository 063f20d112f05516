import { describe, expect, it } from "vitest";
import { exportLedger, verifyExport } from "../../src/chain/export.ts";
import { blocksChain, openChain } from "../../src/chain/chain.ts";
import { readCar, writeCar, type CarBlock } from "../../src/codec/car.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { ledgerId } from "../../src/block/genesis.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { foundLedger } from "../support/ledger.ts";
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
