import { describe, expect, it } from "vitest";
import { blocksChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { copyLedger } from "../../src/chain/copy-ledger.ts";
import { exportLedger, verifyExport } from "../../src/chain/export.ts";
import { readBlock } from "../../src/chain/apply-block.ts";
import { trustFromGenesis, type Trust } from "../../src/chain/trust.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { EMPTY_ROOT, leafHash } from "../../src/merkle/hash.ts";
import { treeRoot } from "../../src/merkle/tree.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { bytesFor, foundLedger } from "../support/ledger.ts";
import { smallLedger, smallRule, storeOf } from "../support/small-ledger.ts";

const kinds = [smallRule];

/** The small ledger, each way that it is read as a whole, and the verdict by a trust. */
async function small() {
  const { genesis, forge, records, note } = await smallLedger();
  const leaves = forge.blocks.map((block) => leafHash(readBlock(block)!.header));
  const roots = [EMPTY_ROOT, ...leaves.map((_, i) => treeRoot(leaves.slice(0, i + 1)))];
  const storage = memoryStorage();
  await storage.chains.append(blocksChain(forge.ledger), { size: 0, hash: null }, records);
  const chain = await openChain({ storage, genesis, kinds });
  const car: Uint8Array[] = [];
  for await (const chunk of exportLedger(chain, note)) car.push(chunk);
  const reason = (result: { ok: true } | { ok: false; reason: string }): string =>
    result.ok ? "ok" : result.reason;
  const ways: Record<string, (trust: Trust) => Promise<string>> = {
    verifyLedger: async (trust) =>
      reason(await verifyLedger(await storeOf(forge, records), { genesis, kinds, trust })),
    verifyExport: async (trust) =>
      reason(await verifyExport(car, { ledger: forge.ledger, kinds, trust })),
    copyLedger: async (trust) => {
      const from = { ...memoryStorage(), chains: await storeOf(forge, records) };
      try {
        await copyLedger(from, memoryStorage(), { genesis, kinds, trust });
        return "ok";
      } catch (error) {
        const { code, message } = error as Error & { code: string };
        expect(code).toBe("ERR_CHAIN_INVALID");
        return message.split(": ")[1]!;
      }
    },
  };
  return { trust: trustFromGenesis(genesis), roots, ways };
}

describe("a root that was seen before", () => {
  it("is reached or extended by a ledger, an export and a copy, at every size", async () => {
    const { trust, roots, ways } = await small();
    expect(roots).toHaveLength(5);
    for (const [name, judge] of Object.entries(ways)) {
      expect(await judge(trust), name).toBe("ok");
      for (const [size, root] of roots.entries()) {
        expect(await judge({ ...trust, size, root }), `${name} at ${size}`).toBe("ok");
        // By its size alone a trust says that there was as much, and no more.
        expect(await judge({ ...trust, size }), `${name} at ${size}`).toBe("ok");
      }
    }
  });

  it("refuses them when they are of another history, shorter, or another ledger", async () => {
    const { trust, roots, ways } = await small();
    const { genesis } = await foundLedger({ y: ["custodian", "sequencer"], z: ["custodian"] });
    for (const [name, judge] of Object.entries(ways)) {
      for (const size of roots.keys()) {
        const forked = { ...trust, size, root: bytesFor("fork") };
        expect(await judge(forked), `${name} at ${size}`).toBe("not-an-extension");
        // The root of one size is not that of another.
        const shifted = { ...trust, size, root: roots[(size + 1) % roots.length]! };
        expect(await judge(shifted), `${name} at ${size}`).toBe("not-an-extension");
      }
      for (const root of [roots[4]!, bytesFor("more")]) {
        expect(await judge({ ...trust, size: 5, root }), name).toBe("older-than-trusted");
      }
      expect(await judge({ ...trust, size: 5 }), name).toBe("older-than-trusted");
      const other = { ...trust, ledger: trustFromGenesis(genesis).ledger };
      expect(await judge(other), name).toBe("other-ledger");
    }
  });
});
