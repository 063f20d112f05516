import { beforeAll, describe, expect, it } from "vitest";
import { decodeBlock } from "../../src/block/block.ts";
import type { AppendableChain } from "../../src/chain/chain.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { createForge } from "../support/forge.ts";
import { bytesFor, foundLedger, recordEntries } from "../support/ledger.ts";
import { mth, proof } from "../support/rfc9162.ts";

let genesis: Uint8Array;
/** Eight blocks of one history, and a fourth block of another one. */
let blocks: readonly Uint8Array[];
let other: Uint8Array;
let invalid: Uint8Array;

beforeAll(async () => {
  const founded = await foundLedger({ a: ["custodian", "sequencer"] }, { threshold: 1 });
  ({ genesis } = founded);
  const { a } = founded.signers;
  const forge = await createForge(genesis, a!);
  for (let i = 0; i < 8; i++) {
    if (i === 3) {
      other = await forge.block([await forge.tx(a!, recordEntries(2))], {
        time: forge.tip.time + 9,
      });
      invalid = await forge.block([await forge.tx(a!, recordEntries(1))], { state: bytesFor("x") });
    }
    await forge.add(await forge.tx(a!, recordEntries(1), { seq: i }));
  }
  blocks = [...forge.blocks];
});

const leaves = (of: readonly Uint8Array[]): Uint8Array[] =>
  of.map((block) => decodeBlock(block).header);
const rootOf = (of: readonly Uint8Array[]): Uint8Array => mth(leaves(of));

async function copy() {
  const storage = memoryStorage();
  const chain = await openChain({ storage, genesis });
  const inStore = async (): Promise<number> =>
    (await storage.chains.head(blocksChain(chain.ledger))).size;
  return { chain, inStore };
}

/** Appends the blocks up to a size under a checkpoint of all of these. */
async function take(chain: AppendableChain, size: number, of: readonly Uint8Array[]) {
  const all = leaves(of);
  const accepted = { size: all.length, root: mth(all) };
  const path = size === all.length ? [] : proof(size, all);
  return chain.ingest(of.slice(chain.size, size), { accepted, proof: path });
}

describe("blocks ahead of a chain", () => {
  it("are checked by every rule, and are in no store", async () => {
    const { chain, inStore } = await copy();
    const ahead = chain.checkAhead();
    for (const [i, block] of blocks.entries()) {
      expect(await ahead.check(block)).toBeUndefined();
      expect(ahead.rootAt(i + 1)).toEqual(rootOf(blocks.slice(0, i + 1)));
    }
    expect(ahead.size).toBe(8);
    expect(ahead.rootAt(0)).toEqual(chain.root);
    expect(ahead.rootAt(9)).toBeUndefined();
    expect([chain.size, await inStore()]).toEqual([0, 0]);
  });

  it("are refused if they break a rule, and the next one is judged as if they had not come", async () => {
    const { chain } = await copy();
    const ahead = chain.checkAhead();
    for (const block of blocks.slice(0, 3)) await ahead.check(block);
    expect(await ahead.check(invalid)).toMatchObject({ reason: "wrong-state", height: 3 });
    expect(await ahead.check(blocks[4]!)).toMatchObject({ reason: "wrong-height", height: 3 });
    expect(await ahead.check(bytesFor("no block"))).toEqual({ reason: "malformed", height: 3 });
    expect(ahead.size).toBe(3);
    expect(await ahead.check(blocks[3]!)).toBeUndefined();
    expect(ahead.rootAt(4)).toEqual(rootOf(blocks.slice(0, 4)));
  });

  it("go on where the chain has taken some of them", async () => {
    const { chain } = await copy();
    const ahead = chain.checkAhead();
    for (const block of blocks.slice(0, 6)) await ahead.check(block);
    for (const size of [2, 5]) {
      expect(await take(chain, size, blocks.slice(0, 6))).toMatchObject({ ok: true, size });
      await ahead.settle();
      expect(ahead.size).toBe(6);
      expect(ahead.rootAt(size - 1)).toBeUndefined();
      expect(ahead.rootAt(size)).toEqual(chain.root);
      expect(ahead.rootAt(6)).toEqual(rootOf(blocks.slice(0, 6)));
    }
    expect(await ahead.check(blocks[6]!)).toBeUndefined();
    expect(await ahead.check(blocks[7]!)).toBeUndefined();
    expect(ahead.rootAt(8)).toEqual(rootOf(blocks));
    // Beyond what was checked there is nothing to go on from.
    await take(chain, 8, blocks);
    await ahead.settle();
    expect([ahead.size, ahead.rootAt(7)]).toEqual([8, undefined]);
  });

  it("begin again where the chain has taken others", async () => {
    const { chain } = await copy();
    const ahead = chain.checkAhead();
    for (const block of blocks.slice(0, 6)) await ahead.check(block);
    const fork = [...blocks.slice(0, 3), other];
    expect(await take(chain, 4, fork)).toMatchObject({ ok: true, size: 4 });
    await ahead.settle();
    expect([ahead.size, ahead.rootAt(4)]).toEqual([4, rootOf(fork)]);
    expect(await ahead.check(blocks[4]!)).toMatchObject({ reason: "wrong-prev" });
  });
});
