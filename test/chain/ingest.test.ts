import { describe, expect, it } from "vitest";
import { blocksChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { InputError } from "../../src/errors.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { Commit, StorageAdapter } from "../../src/storage/types.ts";
import { createForge } from "../support/forge.ts";
import { foundLedger, recordEntries, signerFor } from "../support/ledger.ts";
import { flipBit, smallLedger, smallRule } from "../support/small-ledger.ts";
import { mth as rootOf, proof as proofOf } from "../support/rfc9162.ts";
import { decodeBlock } from "../../src/block/block.ts";
import { stride } from "../support/share.ts";

const kinds = [smallRule];

/** Four valid blocks and an empty copy. */
async function scene(storage: StorageAdapter = memoryStorage()) {
  const { genesis, forge, records, root } = await smallLedger();
  const copy = await openChain({ storage, genesis, kinds });
  const { blocks } = forge;
  const headers = blocks.map((block) => decodeBlock(block).header);
  const accepted = { size: blocks.length, root };
  return { genesis, forge, records, blocks, headers, accepted, copy, storage };
}

async function recordsIn(storage: StorageAdapter, name: string): Promise<Uint8Array[]> {
  const records: Uint8Array[] = [];
  for await (const { record } of storage.chains!.read(name, { from: 0 })) records.push(record);
  return records;
}

async function collect(blocks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = [];
  for await (const block of blocks) all.push(block);
  return all;
}

/** A storage whose commits are counted, and can be stopped from happening. */
function counting(storage = memoryStorage()) {
  const commits: Commit[] = [];
  return {
    commits,
    storage: {
      ...storage,
      commit: (batch: Commit) => {
        commits.push(batch);
        return storage.commit(batch);
      },
    } satisfies StorageAdapter,
  };
}

describe("chain.ingest", () => {
  it("appends all blocks under a checkpoint in one commit, as the home has them", async () => {
    const { storage, commits } = counting();
    const { copy, blocks, accepted, forge, records, genesis } = await scene(storage);
    expect(await copy.ingest(blocks, { accepted })).toEqual({ ok: true, size: 4 });
    expect(commits).toHaveLength(1);
    expect(copy).toMatchObject({ size: 4, root: accepted.root });
    expect(copy.state.root).toEqual(forge.state.root);
    expect(await recordsIn(storage, blocksChain(forge.ledger))).toEqual(records);
    await copy.close();
    const verified = await verifyLedger(storage.chains, { genesis, kinds });
    expect(verified).toMatchObject({ ok: true, root: accepted.root, state: forge.state.root });
    const again = await openChain({ storage, genesis, kinds, trustStore: true });
    expect(again.state.root).toEqual(forge.state.root);
  });

  it.each([1, 2, 3])(
    "appends %i of four blocks by a consistency proof, then the rest",
    async (n) => {
      const { copy, blocks, headers, accepted } = await scene();
      const proof = proofOf(n, headers);
      const first = await copy.ingest(blocks.slice(0, n), { accepted, proof });
      expect(first).toEqual({ ok: true, size: n });
      expect(copy.root).toEqual(rootOf(headers.slice(0, n)));
      expect(await copy.ingest(blocks.slice(n), { accepted })).toEqual({ ok: true, size: 4 });
      expect(copy.root).toEqual(accepted.root);
    },
  );

  it("refuses a part of the blocks without the proof that it is a part", async () => {
    const { copy, blocks, headers, accepted } = await scene();
    const refused = { ok: false, reason: "not-under-the-checkpoint" };
    expect(await copy.ingest(blocks.slice(0, 2), { accepted })).toEqual(refused);
    const wrong = proofOf(2, headers).map((hash) => flipBit(hash, 3));
    expect(await copy.ingest(blocks.slice(0, 2), { accepted, proof: wrong })).toEqual(refused);
    expect(copy.size).toBe(0);
  });

  it("appends nothing if one bit in the middle is wrong, wherever it is", async () => {
    const { copy, blocks, accepted, storage, forge } = await scene();
    const block = blocks[2]!;
    for (let bit = 0; bit < block.length * 8; bit += 97 * stride(3)) {
      const tampered = [blocks[0]!, blocks[1]!, flipBit(block, bit), blocks[3]!];
      const result = await copy.ingest(tampered, { accepted });
      // A changed signature of the header is no other leaf, but no valid one either.
      expect(result, `bit ${bit}`).toMatchObject({ ok: false, height: 2 });
      expect(copy.size).toBe(0);
    }
    expect((await storage.chains!.head(blocksChain(forge.ledger))).size).toBe(0);
    expect(await copy.ingest(blocks, { accepted })).toEqual({ ok: true, size: 4 });
  });

  it("refuses a signature that is wrong though everything else is right, and names its block", async () => {
    const { genesis, signers } = await foundLedger(
      { a: ["custodian", "sequencer"] },
      { threshold: 1 },
    );
    const a = signers["a"]!;
    const forge = await createForge(genesis, a);
    const copy = await openChain({ storage: memoryStorage(), genesis });
    const accept = (blocks: readonly Uint8Array[], from: number) => {
      const headers = [...forge.blocks, ...blocks].map((block) => decodeBlock(block).header);
      return { accepted: { size: from + blocks.length, root: rootOf(headers) } };
    };
    // The copy then holds the key, so that signatures of further blocks are checked ahead.
    await forge.add(await forge.tx(a, recordEntries(1)));
    expect(await copy.ingest(forge.blocks, accept([], 1))).toEqual({ ok: true, size: 1 });
    const right = await forge.tx(a, recordEntries(1));
    const wrong = { ...right, sig: flipBit(right.sig, 9) };
    const ofAuthor = await forge.block([wrong]);
    const { sig } = decodeBlock(await forge.block([right]));
    const ofProposer = await forge.block([right], {}, { sig: flipBit(sig, 9) });
    const refused = { ok: false, reason: "bad-signature", height: 1 };
    for (const [block, found] of [
      [ofAuthor, { ...refused, transaction: 0 }],
      [ofProposer, refused],
    ] as const) {
      const blocks = [block, await forge.block([right], { height: 2 })];
      expect(await copy.ingest(blocks, accept(blocks, 1))).toEqual(found);
    }
    const blocks = [await forge.block([right])];
    expect(await copy.ingest(blocks, accept(blocks, 1))).toEqual({ ok: true, size: 2 });
  });

  it("refuses valid blocks beyond the checkpoint", async () => {
    const { copy, blocks, headers } = await scene();
    const accepted = { size: 3, root: rootOf(headers.slice(0, 3)) };
    const refused = { ok: false, reason: "beyond-the-checkpoint", height: 3 };
    expect(await copy.ingest(blocks, { accepted })).toEqual(refused);
    expect(copy.size).toBe(0);
    expect(await copy.ingest(blocks.slice(0, 3), { accepted })).toEqual({ ok: true, size: 3 });
    expect(await copy.ingest([blocks[3]!], { accepted })).toEqual(refused);
  });

  it("refuses a valid continuation that is another history than the checkpoint's", async () => {
    const { genesis, signers } = await foundLedger(
      { a: ["custodian", "sequencer"] },
      { threshold: 1 },
    );
    const a = signers["a"]!;
    const [ours, theirs] = [await createForge(genesis, a), await createForge(genesis, a)];
    const tx = await ours.tx(a, recordEntries(1));
    for (const forge of [ours, theirs]) await forge.add(tx);
    await ours.add(await ours.tx(a, recordEntries(1)));
    await theirs.add(await theirs.tx(a, recordEntries(1), { seq: 7 }));
    const headers = ours.blocks.map((block) => decodeBlock(block).header);
    const accepted = { size: 2, root: rootOf(headers) };
    const copy = await openChain({ storage: memoryStorage(), genesis });
    const refused = { ok: false, reason: "not-under-the-checkpoint" };
    expect(await copy.ingest(theirs.blocks, { accepted })).toEqual(refused);
    expect(copy.size).toBe(0);
    // The proof of the part that both share does not help the rest.
    const proof = proofOf(1, headers);
    expect(await copy.ingest([theirs.blocks[0]!], { accepted, proof })).toEqual({
      ok: true,
      size: 1,
    });
    expect(await copy.ingest([theirs.blocks[1]!], { accepted })).toEqual(refused);
    expect(await copy.ingest([ours.blocks[1]!], { accepted })).toEqual({ ok: true, size: 2 });
  });

  it("refuses blocks that leave one out, repeat one or change places", async () => {
    const { copy, blocks, accepted } = await scene();
    const [a, b, c, d] = blocks as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    for (const wrong of [
      [b, c, d],
      [a, c, d],
      [a, a, b],
      [a, c, b, d],
      [a, b, c, d, d],
    ]) {
      expect(await copy.ingest(wrong, { accepted })).toMatchObject({ ok: false });
      expect(copy.size).toBe(0);
    }
  });

  it("shows nothing of blocks that the store has not acknowledged", async () => {
    const storage = memoryStorage();
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let reached = (): void => undefined;
    const writing = new Promise<void>((resolve) => (reached = resolve));
    const slow: StorageAdapter = {
      ...storage,
      commit: async (batch) => {
        reached();
        await held;
        return storage.commit(batch);
      },
    };
    const { copy, blocks, accepted } = await scene(slow);
    const { root } = copy.state;
    const done = copy.ingest(blocks, { accepted });
    await writing;
    expect(copy).toMatchObject({ size: 0, head: { size: 0 } });
    expect(copy.state.root).toEqual(root);
    release();
    expect(await done).toEqual({ ok: true, size: 4 });
  });

  it("goes on after a write that failed, and after one without an answer", async () => {
    const storage = memoryStorage();
    let fault: "before" | "after" | undefined = "before";
    const failing: StorageAdapter = {
      ...storage,
      async commit(batch) {
        const now = fault;
        fault = undefined;
        if (now === "before") throw new InputError("ERR_INPUT_INVALID", "planted");
        const head = await storage.commit(batch);
        if (now === "after") throw new Error("the connection is gone");
        return head;
      },
    };
    const { copy, blocks, headers, accepted } = await scene(failing);
    await expect(copy.ingest(blocks, { accepted })).rejects.toThrow("planted");
    expect(copy.size).toBe(0);
    fault = "after";
    const proof = proofOf(2, headers);
    expect(await copy.ingest(blocks.slice(0, 2), { accepted, proof })).toEqual({
      ok: true,
      size: 2,
    });
    expect(await copy.ingest(blocks.slice(2), { accepted })).toEqual({ ok: true, size: 4 });
  });

  it("reports a conflict when another process appended first, and sees its blocks", async () => {
    const { copy, blocks, accepted, storage, genesis, headers } = await scene();
    const other = await openChain({ storage, genesis, kinds });
    const proof = proofOf(1, headers);
    const [one, two] = await Promise.allSettled([
      copy.ingest(blocks.slice(0, 1), { accepted, proof }),
      other.ingest(blocks, { accepted }),
    ]);
    const outcomes = [one, two].map((outcome) =>
      outcome.status === "rejected" ? (outcome.reason as { code: string }).code : "done",
    );
    expect(outcomes).toContain("done");
    await copy.refresh();
    await copy.ingest(blocks.slice(copy.size), { accepted });
    expect(copy.root).toEqual(accepted.root);
  });

  it("stops reading from whoever gives more than can be appended at once", async () => {
    const { genesis, forge } = await smallLedger();
    const storage = memoryStorage({ maxBatch: 8 });
    const copy = await openChain({ storage, genesis, kinds });
    let given = 0;
    function* endless(): Iterable<Uint8Array> {
      for (;;) {
        given++;
        yield forge.blocks[0]!;
      }
    }
    const accepted = { size: 1000, root: new Uint8Array(32) };
    await expect(copy.ingest(endless(), { accepted })).rejects.toMatchObject({
      code: "ERR_INPUT_TOO_LARGE",
    });
    expect(given).toBe(4);
  });

  it("appends nothing once aborted, and refuses options that it does not have", async () => {
    const { copy, blocks, accepted } = await scene();
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(copy.ingest(blocks, { accepted, signal })).rejects.toThrow("enough");
    expect(copy.size).toBe(0);
    const misspelt = { accepted, proofs: [] } as never;
    await expect(copy.ingest(blocks, misspelt)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
    const foreign = { accepted: { size: 4, root: signerFor("a").publicKey } };
    expect(await copy.ingest(blocks, foreign)).toMatchObject({ ok: false });
  });

  it("leaves what a caller does to its buffers afterwards out of the store", async () => {
    const { copy, blocks, accepted, storage, forge, records } = await scene();
    const given = blocks.map((block) => block.slice());
    function* reused(): Iterable<Uint8Array> {
      for (const block of given) {
        yield block;
        block.fill(0);
      }
    }
    expect(await copy.ingest(reused(), { accepted })).toEqual({ ok: true, size: 4 });
    expect(await recordsIn(storage, blocksChain(forge.ledger))).toEqual(records);
  });
});

describe("chain.readBlocks", () => {
  it("streams encoded blocks from a height on, up to a limit", async () => {
    const { copy, blocks, accepted } = await scene();
    expect(await collect(copy.readBlocks({ from: 0 }))).toEqual([]);
    await copy.ingest(blocks, { accepted });
    expect(await collect(copy.readBlocks({ from: 0 }))).toEqual(blocks);
    expect(await collect(copy.readBlocks({ from: 1, limit: 2 }))).toEqual(blocks.slice(1, 3));
    expect(await collect(copy.readBlocks({ from: 3, limit: 9 }))).toEqual(blocks.slice(3));
    for (const none of [{ from: 4 }, { from: 9 }, { from: 0, limit: 0 }]) {
      expect(await collect(copy.readBlocks(none))).toEqual([]);
    }
  });

  it("gives out no block that the store changed or lost", async () => {
    const { genesis, forge, records, blocks, accepted } = await scene();
    const name = blocksChain(forge.ledger);
    for (const [what, height] of [
      ["changed", 2],
      ["lost", 3],
    ] as const) {
      const storage = memoryStorage();
      let lies = false;
      const lying: StorageAdapter = {
        ...storage,
        chains: {
          ...storage.chains,
          async *read(chain, options) {
            for await (const item of storage.chains.read(chain, options)) {
              if (!lies || chain !== name || item.index !== height) yield item;
              else if (what === "changed") {
                const record = item.record.slice();
                record[record.length >> 1]! ^= 1;
                yield { ...item, record };
              } else return;
            }
          },
        },
      };
      const copy = await openChain({ storage: lying, genesis, kinds });
      await copy.ingest(blocks, { accepted });
      lies = true;
      const seen: Uint8Array[] = [];
      const read = (async () => {
        for await (const block of copy.readBlocks({ from: 0 })) seen.push(block);
      })();
      await expect(read).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
      expect(seen).toEqual(blocks.slice(0, height));
    }
    expect(records).toHaveLength(4);
  });
});
