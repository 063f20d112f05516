import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { signTransaction } from "../../src/block/transaction.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import {
  verifyLedger,
  verifyRecords,
  type VerifyLedgerOptions,
} from "../../src/chain/verify-ledger.ts";
import { memorySigner, type Signer } from "../../src/identity/signer.ts";
import type { ChainRecord, ChainStore } from "../../src/storage/types.ts";
import { keyEntry } from "../support/forge.ts";
import { bytesFor, recordEntries, START, startLedger, type TestLedger } from "../support/ledger.ts";

const BLOCKS = 300;
let ledger: TestLedger;
let records: Uint8Array[];
const seqs = new Map<string, number>();

async function submit(signer: Signer, entries: Uint8Array[], lane = 0): Promise<unknown> {
  const name = `${signer.key.join()}/${lane}`;
  const seq = (seqs.get(name) ?? 0) + 1;
  seqs.set(name, seq);
  const what = { ledger: ledger.chain.ledger, lane, seq, time: START, entries };
  return ledger.sequencer.submit(await signTransaction(signer, what)).durable;
}

// Blocks of one to five transactions by two members; one comes to sign with a new key of each kind.
beforeAll(async () => {
  ledger = await startLedger();
  const signers = [ledger.signers["a"]!, ledger.signers["b"]!];
  const { actor } = ledger.signers["b"]!;
  for (let height = 0; height < BLOCKS; height++) {
    if (height === 100 || height === 200) {
      const alg = height === 100 ? "ES256" : "Ed25519";
      const added = memorySigner({ alg, secret: bytesFor(`added ${height}`), actor });
      const entry = await keyEntry(ledger.chain.ledger, actor, "add", "sign", added);
      await submit(ledger.signers["b"]!, [entry]);
      signers.push(added);
      continue;
    }
    const count = height % 7 === 0 ? 5 : 1;
    await Promise.all(
      Array.from({ length: count }, (_, lane) =>
        submit(signers[(height + lane) % signers.length]!, recordEntries(1), lane),
      ),
    );
  }
  records = [];
  const name = blocksChain(ledger.chain.ledger);
  for await (const { record } of ledger.storage.chains!.read(name, { from: 0 })) {
    records.push(record);
  }
}, 60_000);

/** A source of records that fails before one of them, and tells what was asked of it. */
function sourceOf(list: readonly Uint8Array[], failsAt = Infinity) {
  const seen = { read: 0, closed: false };
  async function* read(): AsyncGenerator<ChainRecord> {
    try {
      for (const [index, record] of list.entries()) {
        if (index === failsAt) throw new Error("the source failed");
        seen.read++;
        yield { index, record };
      }
    } finally {
      seen.closed = true;
    }
  }
  const chains = {
    head: async () => ({ size: list.length, hash: null }),
    read,
  } as unknown as ChainStore;
  return { seen, chains, read };
}

const outcome = async (call: Promise<unknown>): Promise<unknown> => {
  try {
    return await call;
  } catch (error) {
    return `throws: ${String(error)}`;
  }
};

/** What looking ahead finds, and what the same rules find one block at a time. */
async function both(list: readonly Uint8Array[], failsAt?: number) {
  const options: VerifyLedgerOptions = { genesis: ledger.genesis };
  const ahead = sourceOf(list, failsAt);
  const single = sourceOf(list, failsAt);
  return {
    ahead: await outcome(verifyLedger(ahead.chains, options)),
    single: await outcome(verifyRecords(single.read(), list.length, options)),
    closed: ahead.seen.closed,
  };
}

describe("verifying with signatures checked ahead", () => {
  it("finds a whole ledger whole, also where keys came later", async () => {
    const { ahead, single } = await both(records);
    expect(ahead).toMatchObject({ ok: true, size: ledger.chain.size, root: ledger.chain.root });
    expect(ahead).toEqual(single);
  });

  it("finds the fault that one block at a time finds", { timeout: 120_000 }, () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            kind: fc.constantFrom("flip", "flip", "flip", "drop", "repeat", "exchange", "cut"),
            at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
            bit: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
          }),
          { minLength: 1, maxLength: 3 },
        ),
        fc.option(fc.nat(BLOCKS), { nil: undefined }),
        async (changes, failsAt) => {
          const list = records.slice();
          for (const { kind, at, bit } of changes) {
            const index = Math.floor(at * list.length);
            const record = list[index]!;
            if (kind === "drop") list.splice(index, 1);
            else if (kind === "repeat") list.splice(index, 0, record);
            else if (kind === "cut") list[index] = record.slice(0, Math.floor(bit * record.length));
            else if (kind === "exchange") {
              const other = Math.floor(bit * list.length);
              [list[index], list[other]] = [list[other]!, record];
            } else {
              const changed = record.slice();
              const place = Math.floor(bit * changed.length * 8);
              changed[place >> 3]! ^= 1 << (place % 8);
              list[index] = changed;
            }
          }
          const { ahead, single, closed } = await both(list, failsAt);
          expect(ahead).toEqual(single);
          expect(closed).toBe(true);
        },
      ),
      { numRuns: 40 },
    ),
  );

  it("names the earliest of several bad signatures", async () => {
    const list = records.map((record, height) => {
      if (height < 20) return record;
      // Keys are sorted by length, so the block's own signature comes before its transactions.
      const changed = record.slice();
      const at = Buffer.from(changed).indexOf(Buffer.from("637369675840", "hex")) + 6;
      changed[at + 5]! ^= 1;
      return changed;
    });
    const { ahead, single } = await both(list);
    expect(ahead).toMatchObject({ ok: false, height: 20, reason: "bad-signature" });
    expect(single).toEqual(ahead);
  });

  it("reads at most 256 blocks ahead of the one it judges, and one by one if asked to", async () => {
    let most = 0;
    const source = sourceOf(records);
    await verifyLedger(source.chains, {
      genesis: ledger.genesis,
      onProgress: ({ done }) => (most = Math.max(most, source.seen.read - done)),
    });
    expect(most).toBeGreaterThan(64);
    expect(most).toBeLessThanOrEqual(256);
    const garbage = sourceOf(Array.from({ length: 5000 }, () => new Uint8Array(3)));
    const fault = await verifyLedger(garbage.chains, { genesis: ledger.genesis });
    expect(fault).toMatchObject({ ok: false, height: 0, reason: "malformed" });
    expect(garbage.seen).toEqual({ read: 256, closed: true });
    const single = sourceOf(records);
    most = 0;
    await verifyRecords(single.read(), records.length, {
      genesis: ledger.genesis,
      onProgress: ({ done }) => (most = Math.max(most, single.seen.read - done)),
    });
    expect(most).toBe(0);
  });

  it("ends with the signal's reason, and closes the source", async () => {
    const source = sourceOf(records);
    const controller = new AbortController();
    const verifying = verifyLedger(source.chains, {
      genesis: ledger.genesis,
      signal: controller.signal,
      onProgress: ({ done }) => done === 5 && controller.abort(new Error("enough")),
    });
    await expect(verifying).rejects.toThrow("enough");
    expect(source.seen.closed).toBe(true);
  });
});
