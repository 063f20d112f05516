import { describe, expect, it } from "vitest";
import { signTransaction } from "../../src/block/transaction.ts";
import { createAuthor, durablePlaceOf } from "../../src/chain/author.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import type { Checkpointer } from "../../src/chain/checkpointer.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { StorageError } from "../../src/errors.ts";
import { AmbiguousAppend, AppendConflict } from "../../src/storage/errors.ts";
import { memoryData, memoryStorage } from "../../src/storage/memory.ts";
import type { Commit, FullStorage, StorageAdapter } from "../../src/storage/types.ts";
import { memberEntry } from "../support/forge.ts";
import {
  bytesFor,
  recordEntries,
  signerFor,
  START,
  startLedger,
  type TestLedger,
} from "../support/ledger.ts";
import { withChains, withState } from "../../src/testing/change-storage.ts";

let nextSeq = 0;
const sign = (ledger: TestLedger, entries = recordEntries(1), name = "a", lane = 0) =>
  signTransaction(ledger.signers[name]!, {
    ledger: ledger.chain.ledger,
    lane,
    seq: nextSeq++,
    time: START,
    entries,
  });

/** A storage whose commits pass through `around`. */
function wrapped(
  around: (commit: () => Promise<unknown>, batch: Commit) => Promise<unknown>,
  inner: FullStorage = memoryStorage(),
): FullStorage {
  return {
    ...inner,
    commit: (batch) =>
      around(() => inner.commit(batch), batch) as ReturnType<FullStorage["commit"]>,
  };
}

/** The same storage as one that has no atomic commit. */
function withoutCommit(inner: FullStorage): StorageAdapter {
  const { chains, blobs, state } = inner;
  return {
    chains,
    blobs,
    state,
    close: inner.close,
    [Symbol.asyncDispose]: inner[Symbol.asyncDispose],
  };
}

async function countedOnce({ chain, storage, genesis }: TestLedger): Promise<number> {
  await chain.refresh();
  const verified = await verifyLedger(storage.chains!, { genesis });
  expect(verified).toMatchObject({ ok: true, root: chain.root, state: chain.state.root });
  const seen = new Set<string>();
  for (let height = 0; height < chain.size; height++) {
    for (const { tx } of (await chain.readBlock(height)).block.transactions) {
      const hex = Buffer.from(tx).toString("hex");
      expect(seen.has(hex)).toBe(false);
      seen.add(hex);
    }
  }
  return seen.size;
}

describe("ambiguous appends", () => {
  it("are settled by the same call again, applied or not", async () => {
    for (const applies of [true, false]) {
      let fail = true;
      const storage = wrapped(async (commit) => {
        if (!fail) return commit();
        fail = false;
        if (applies) await commit();
        throw new AmbiguousAppend();
      });
      const ledger = await startLedger({ storage });
      fail = true;
      const submission = ledger.sequencer.submit(await sign(ledger));
      expect(await submission.durable).toEqual({ height: 0, transaction: 0 });
      expect(await countedOnce(ledger)).toBe(1);
    }
  });

  it("that are recorded are not denied while the store cannot be read to find them", async () => {
    let isDown = false;
    const storage = withChains(memoryStorage(), (chains) => ({
      async *read(...call) {
        if (isDown) throw new StorageError("ERR_STORAGE_FAILED", "gone");
        yield* chains.read(...call);
      },
    }));
    const ledger = await startLedger({ storage });
    const tx = await sign(ledger);
    const place = await ledger.sequencer.submit(tx).durable;
    isDown = true;
    await expect(ledger.sequencer.submit(tx).durable).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
      cause: { code: "ERR_STORAGE_FAILED" },
    });
    isDown = false;
    expect(await ledger.sequencer.submit(tx).durable).toEqual(place);
    expect(await countedOnce(ledger)).toBe(1);
  });

  it("that stay ambiguous reject as unknown, and submitting again gives the place", async () => {
    for (const applies of [true, false]) {
      let down = false;
      const storage = wrapped(async (commit) => {
        if (!down) return commit();
        if (applies) await commit();
        throw new AmbiguousAppend();
      });
      const ledger = await startLedger({ storage, settleWithin: 50 });
      await ledger.sequencer.seal();
      down = true;
      const tx = await sign(ledger);
      const lost = ledger.sequencer.submit(tx);
      await expect(lost.durable).rejects.toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS" });
      expect(lost.state).toBe("unknown");
      down = false;
      const other = ledger.sequencer.submit(await sign(ledger, undefined, "b"));
      const again = ledger.sequencer.submit(tx);
      expect(await again.durable).toEqual({ height: 1, transaction: applies ? 0 : 1 });
      await other.durable;
      expect(await countedOnce(ledger)).toBe(2);
    }
  });
});

describe("failing storage", () => {
  it("rejects what was in the block, writes nothing of it, and goes on", async () => {
    let down = false;
    const storage = wrapped(async (commit) => {
      if (down) throw new StorageError("ERR_STORAGE_FAILED", "the disk is full");
      return commit();
    });
    const ledger = await startLedger({ storage });
    await ledger.sequencer.submit(await sign(ledger)).durable;
    down = true;
    const txs = await Promise.all([sign(ledger), sign(ledger)]);
    const failed = await Promise.allSettled(txs.map((tx) => ledger.sequencer.submit(tx).durable));
    expect(failed.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(ledger.chain.size).toBe(1);
    down = false;
    for (const tx of txs) await ledger.sequencer.submit(tx).durable;
    expect(await countedOnce(ledger)).toBe(3);
  });

  it("survives derived data that cannot be written", async () => {
    let down = false;
    const storage = withState(memoryStorage(), (state) => ({
      batch: async (...args) => {
        if (down) throw new StorageError("ERR_STORAGE_FAILED", "the disk is full");
        return state.batch(...args);
      },
    }));
    const ledger = await startLedger({ storage });
    down = true;
    await ledger.sequencer.submit(await sign(ledger)).durable;
    await ledger.sequencer.idle();
    await ledger.sequencer.submit(await sign(ledger)).durable;
    expect(await countedOnce(ledger)).toBe(2);
    await ledger.chain.proveInclusion(0, 2);
  });

  it("stops with a clear error when the store now holds another history of the same length", async () => {
    const one = await startLedger({ storage: withoutCommit(memoryStorage()) });
    const two = await startLedger({ proposer: "b" });
    await one.sequencer.submit(await sign(one)).durable;
    await two.sequencer.submit(await sign(two)).durable;
    Object.assign(one.storage.chains!, pick(two.storage.chains!));
    await expect(one.chain.refresh()).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
    const submission = one.sequencer.submit(await sign(one));
    await expect(submission.durable).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
  });

  it("stops with a clear error when the store lost blocks", async () => {
    const ledger = await startLedger();
    await ledger.sequencer.seal();
    const empty = memoryStorage();
    Object.assign(ledger.storage.chains!, pick(empty.chains));
    await expect(ledger.chain.refresh()).rejects.toMatchObject({ code: "ERR_CHAIN_LOST" });
  });
});

function pick({ head, read, append }: FullStorage["chains"]) {
  return { head, read, append };
}

describe("storage without commit", () => {
  it("writes blobs, then the block, then state; and a resubmission writes what was lost", async () => {
    const inner = memoryStorage();
    const order: string[] = [];
    let stateFails = false;
    const storage: StorageAdapter = {
      ...withoutCommit(inner),
      blobs: { ...inner.blobs, put: async (b) => (order.push("blobs"), inner.blobs.put(b)) },
      chains: {
        ...inner.chains,
        append: async (...args) => (order.push("append"), inner.chains.append(...args)),
      },
      state: {
        ...inner.state,
        batch: async (...args) => {
          order.push("state");
          if (stateFails) throw new StorageError("ERR_STORAGE_FAILED", "full");
          return inner.state.batch(...args);
        },
      },
    };
    const ledger = await startLedger({ storage, settleWithin: 0 });
    order.length = 0;
    const bytes = bytesFor("blob");
    const attachments = {
      blobs: [{ cid: cidOf(bytes, RAW), bytes }],
      state: [{ key: Uint8Array.of(9), value: Uint8Array.of(1) }],
    };
    const tx = await sign(ledger);
    stateFails = true;
    // The block stands, so nobody is told that nothing was written.
    await expect(ledger.sequencer.submit(tx, attachments).durable).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
      cause: { message: "full" },
    });
    expect(order.slice(0, 3)).toEqual(["blobs", "append", "state"]);
    stateFails = false;
    expect(await ledger.sequencer.submit(tx, attachments).durable).toEqual({
      height: 0,
      transaction: 0,
    });
    expect(await inner.state.get(Uint8Array.of(9))).toEqual(Uint8Array.of(1));
    expect(await countedOnce(ledger)).toBe(1);
  });
});

describe("attachments", () => {
  it("become durable with their block or not at all", async () => {
    let down = true;
    const storage = wrapped(async (commit, batch) => {
      expect(batch.append).toBeDefined();
      if (down) throw new StorageError("ERR_STORAGE_FAILED", "full");
      return commit();
    });
    const ledger = await startLedger({ storage });
    const bytes = bytesFor("blob");
    const cid = cidOf(bytes, RAW);
    const key = Uint8Array.of(9);
    const attachments = { blobs: [{ cid, bytes }], state: [{ key, value: bytes }] };
    const tx = await sign(ledger);
    await expect(ledger.sequencer.submit(tx, attachments).durable).rejects.toThrow("full");
    expect(await storage.blobs.get(cid)).toBeUndefined();
    expect(await storage.state.get(key)).toBeUndefined();
    down = false;
    await ledger.sequencer.submit(tx, attachments).durable;
    expect(await storage.blobs.get(cid)).toEqual(bytes);
    expect(await storage.state.get(key)).toEqual(bytes);
    // Those of a refused transaction are not written.
    const refused = ledger.sequencer.submit(await sign(ledger, undefined, "c"), {
      blobs: [{ cid: cidOf(key, RAW), bytes: key }],
    });
    await expect(refused.durable).rejects.toMatchObject({ code: "ERR_CHAIN_REFUSED" });
    expect(await storage.blobs.has(cidOf(key, RAW))).toBe(false);
  });

  it("are spread over blocks that the storage can take", async () => {
    const ledger = await startLedger({ storage: memoryStorage({ maxBatch: 200 }) });
    const places = await Promise.all(
      Array.from({ length: 30 }, async (_, i) => {
        const state = Array.from({ length: 90 }, (_, k) => ({
          key: Uint8Array.of(i, k),
          value: Uint8Array.of(1),
        }));
        return ledger.sequencer.submit(await sign(ledger, undefined, "a", 100 + i), { state })
          .durable;
      }),
    );
    expect(Math.max(...places.map(({ height }) => height))).toBeGreaterThan(0);
    expect(await countedOnce(ledger)).toBe(30);
  });
});

describe("several sequencers", () => {
  it("twenty over one store: one history, everything once", { timeout: 60_000 }, async () => {
    const data = memoryData();
    const ledgers = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        startLedger({ storage: memoryStorage({ data }), proposer: i % 2 === 0 ? "a" : "b" }),
      ),
    );
    await Promise.all(
      ledgers.map(async (ledger, i) => {
        for (let n = 0; n < 4; n++) {
          const tx = await signTransaction(ledger.signers["a"]!, {
            ledger: ledger.chain.ledger,
            lane: i,
            seq: n,
            time: START,
            entries: recordEntries(1),
          });
          await ledger.sequencer.submit(tx).durable;
        }
      }),
    );
    expect(await countedOnce(ledgers[0]!)).toBe(80);
    for (const ledger of ledgers) {
      await ledger.chain.refresh();
      expect(ledger.chain.root).toEqual(ledgers[0]!.chain.root);
    }
  });

  it("put what came while a race was lost into the block that wins", async () => {
    let lose = 3;
    const started: { ledger?: TestLedger } = {};
    const late: Promise<unknown>[] = [];
    const inner = memoryStorage();
    const storage = wrapped(async (commit, { append }) => {
      const { ledger } = started;
      if (ledger === undefined || lose-- <= 0) return commit();
      for (let i = 0; i < 2; i++) late.push(ledger.sequencer.submit(await sign(ledger)).durable);
      throw new AppendConflict(await inner.chains.head(append!.chain));
    }, inner);
    const ledger = await startLedger({ storage });
    started.ledger = ledger;
    const first = await ledger.sequencer.submit(await sign(ledger)).durable;
    expect(first).toEqual({ height: 0, transaction: 0 });
    expect(await Promise.all(late)).toEqual(
      [1, 2, 3, 4, 5, 6].map((transaction) => ({ height: 0, transaction })),
    );
    expect(ledger.chain.size).toBe(1);
  });

  it("hold a copy with another signature once, however many races are lost", async () => {
    let lose = 10;
    const inner = memoryStorage();
    const storage = wrapped(async (commit, { append }) => {
      if (append === undefined || lose-- <= 0) return commit();
      throw new AppendConflict(await inner.chains.head(append.chain));
    }, inner);
    const { chain, signers, ...ledger } = await startLedger({ storage });
    let looked = 0;
    const watched: typeof chain = Object.create(chain, {
      findTransaction: {
        value: (...call: Parameters<typeof chain.findTransaction>) => {
          looked++;
          return chain.findTransaction(...call);
        },
      },
    }) as typeof chain;
    const sequencer = createSequencer({
      chain: watched,
      storage,
      signer: signers["a"]!,
      now: () => START,
    });
    const tx = await sign({ ...ledger, chain, signers, sequencer });
    const places = [tx, { ...tx, sig: new Uint8Array(64) }].map(
      (signed) => sequencer.submit(signed).durable,
    );
    const place = { height: 0, transaction: 0 };
    expect(await Promise.all(places)).toEqual([place, place]);
    expect(looked).toBe(1);
  });

  it("keep to what a block may hold when they take more into it", async () => {
    let lose = 2;
    const started: { ledger?: TestLedger } = {};
    const late: Promise<unknown>[] = [];
    const inner = memoryStorage({ maxBatch: 60 });
    const state = Array.from({ length: 20 }, (_, i) => ({
      key: bytesFor(`state ${i}`),
      value: new Uint8Array(1),
    }));
    const submit = async (on: TestLedger) => on.sequencer.submit(await sign(on), { state }).durable;
    const storage = wrapped(async (commit, { append }) => {
      const { ledger } = started;
      if (ledger === undefined || lose-- <= 0) return commit();
      for (let i = 0; i < 2; i++) late.push(submit(ledger));
      await new Promise((resolve) => setImmediate(resolve));
      throw new AppendConflict(await inner.chains.head(append!.chain));
    }, inner);
    const ledger = await startLedger({ storage });
    started.ledger = ledger;
    await submit(ledger);
    await Promise.all(late);
    // Half of the limit less one, 29, takes one of 20 each.
    expect([ledger.chain.size, await countedOnce(ledger)]).toEqual([5, 5]);
  });

  it("back off for eight blocks after a lost race, and never without one", async () => {
    let lose = 0;
    let backoffs = 0;
    const inner = memoryStorage();
    const storage = wrapped(async (commit, { append }) => {
      if (append === undefined || lose-- <= 0) return commit();
      throw new AppendConflict(await inner.chains.head(append.chain));
    }, inner);
    const { chain, signers, ...ledger } = await startLedger({ storage });
    const sequencer = createSequencer({
      chain,
      storage,
      signer: signers["a"]!,
      now: () => START,
      backoff: async () => {
        backoffs++;
        if (backoffs === 5) throw new Error("what it does is not the ledger's concern");
      },
    });
    for (let i = 0; i < 5; i++) await sequencer.seal();
    expect(backoffs).toBe(0);
    lose = 2;
    for (let i = 0; i < 20; i++) await sequencer.seal();
    expect(backoffs).toBe(8);
    expect(await countedOnce({ ...ledger, chain, signers, sequencer })).toBe(0);
  });

  it("let a slower one have its turn, where the faster would win every race that it runs in", async () => {
    const rounds = async (backsOff: boolean): Promise<number> => {
      const data = memoryData();
      const parties = ["fast", "slow"] as const;
      /** Appends that wait for the round's end; of several, the faster one's comes first. */
      const waiting: { readonly fast: boolean; readonly go: () => void }[] = [];
      const away: (() => void)[] = [];
      const sequencers = await Promise.all(
        parties.map(async (party) => {
          const storage = wrapped(async (commit) => {
            const fast = party === "fast";
            await new Promise<void>((go) => waiting.push({ fast, go }));
            return commit();
          }, memoryStorage({ data }));
          const { chain, signers, genesis } = await startLedger({ storage });
          const signer = signers[party === "fast" ? "a" : "b"]!;
          const backoff = () => new Promise<void>((resolve) => away.push(resolve));
          const options = { chain, storage, signer, now: () => START };
          return {
            chain,
            genesis,
            sequencer: createSequencer(backsOff ? { ...options, backoff } : options),
          };
        }),
      );
      const tick = () => new Promise((resolve) => setTimeout(resolve, 0));
      let done = 0;
      const fast = (async () => {
        while (done < 6) await sequencers[0]!.sequencer.seal();
      })();
      const slow = (async () => {
        for (; done < 6; done++) await sequencers[1]!.sequencer.seal();
      })();
      let count = 0;
      for (; done < 6 && count < 60; count++) {
        // Everybody has come as far as it can; the first race is the slow one's, by luck.
        for (let i = 0; i < 20; i++) await tick();
        const first = waiting.find((one) => one.fast === count > 0) ?? waiting[0];
        const rest = away.splice(0);
        if (first !== undefined) {
          waiting.splice(waiting.indexOf(first), 1);
          first.go();
          for (let i = 0; i < 5; i++) await tick();
          for (const { go } of waiting.splice(0)) go();
        }
        for (const resolve of rest) resolve();
      }
      const found = count;
      done = 6;
      for (let i = 0; i < 2000 && (waiting.length > 0 || away.length > 0 || i < 50); i++) {
        for (const { go } of waiting.splice(0)) go();
        for (const resolve of away.splice(0)) resolve();
        await tick();
      }
      await Promise.all([fast, slow]);
      return found;
    };
    expect(await rounds(false), "without giving way it waits for ever").toBe(60);
    expect(await rounds(true)).toBeLessThan(40);
  });

  it("give one transaction one place, submitted through two at once", async () => {
    const data = memoryData();
    const one = await startLedger({ storage: memoryStorage({ data }) });
    const two = await startLedger({ storage: memoryStorage({ data }), proposer: "b" });
    for (let i = 0; i < 10; i++) {
      const tx = await sign(one);
      const [x, y] = await Promise.all([
        one.sequencer.submit(tx).durable,
        two.sequencer.submit(tx).durable,
      ]);
      expect(x).toEqual(y);
    }
    expect(await countedOnce(one)).toBe(10);
  });

  it("share one chain object with each other, with refreshes and with a checkpointer", async () => {
    const ledger = await startLedger();
    const { chain, storage, signers } = ledger;
    const second = createSequencer({ chain, storage, signer: signers["b"]!, now: () => START });
    const checkpointer = createCheckpointer({
      chain,
      chains: storage.chains!,
      signer: signerFor("checkpoint"),
    });
    await ledger.sequencer.seal();
    await Promise.all([
      ...Array.from({ length: 20 }, async (_, i) => {
        const { submit } = i % 2 === 0 ? ledger.sequencer : second;
        return submit(await sign(ledger, undefined, "a", 200 + i)).durable;
      }),
      ...Array.from({ length: 20 }, () => chain.refresh()),
      ...Array.from({ length: 5 }, () => checkpointer.sign()),
    ]);
    expect(await countedOnce(ledger)).toBe(20);
  });
});

describe("the same transaction under two signatures", () => {
  it("does not fall with the bad one, and has one place", async () => {
    const ledger = await startLedger();
    const tx = await sign(ledger);
    const bad = ledger.sequencer.submit({ ...tx, sig: new Uint8Array(64) });
    const good = ledger.sequencer.submit(tx);
    await expect(bad.durable).rejects.toMatchObject({ refused: { reason: "bad-signature" } });
    expect(await good.durable).toEqual({ height: 0, transaction: 0 });
    // An ECDSA signature differs each time: both are good, the place is one.
    const second = ledger.sequencer.submit(tx);
    const third = ledger.sequencer.submit({ ...tx, sig: new Uint8Array(64) });
    expect(await second.durable).toEqual({ height: 0, transaction: 0 });
    expect(await third.durable).toEqual({ height: 0, transaction: 0 });
    expect(await countedOnce(ledger)).toBe(1);
  });
});

describe("a sequencer that may not order any more", () => {
  it("appends nothing, where its blocks would be refused by everyone", async () => {
    const ledger = await startLedger();
    const { chain, signers, storage } = ledger;
    const demote = await memberEntry(
      chain.ledger,
      [{ op: "roles", actor: signers["a"]!.actor, roles: ["custodian"] }],
      [signers["a"]!, signers["b"]!],
    );
    await ledger.sequencer.submit(await sign(ledger, [demote])).durable;
    const late = ledger.sequencer.submit(await sign(ledger));
    await expect(late.durable).rejects.toMatchObject({ code: "ERR_CHAIN_REFUSED" });
    await expect(ledger.sequencer.seal()).rejects.toMatchObject({ code: "ERR_CHAIN_REFUSED" });
    expect((await storage.chains!.head(blocksChain(chain.ledger))).size).toBe(1);
    const other = createSequencer({ chain, storage, signer: signers["b"]!, now: () => START });
    await other.submit(await sign(ledger)).durable;
    expect(await countedOnce(ledger)).toBe(2);
  });
});

describe("backpressure and closing", () => {
  it("refuses beyond its bytes, wakes who waits, and loses nothing", async () => {
    const ledger = await startLedger();
    const { chain, storage, signers } = ledger;
    const sequencer = createSequencer({
      chain,
      storage,
      signer: signers["a"]!,
      now: () => START,
      maxQueueBytes: 2000,
      maxBlockBytes: 1000,
    });
    const txs = await Promise.all(Array.from({ length: 20 }, () => sign(ledger)));
    const durable: Promise<unknown>[] = [];
    let busy = 0;
    for (const tx of txs) {
      for (;;) {
        try {
          durable.push(sequencer.submit(tx).durable);
          break;
        } catch (error) {
          expect(error).toMatchObject({ code: "ERR_CHAIN_BUSY" });
          busy++;
          await sequencer.ready();
        }
      }
    }
    await Promise.all(durable);
    expect(busy).toBeGreaterThan(2);
    expect(await countedOnce(ledger)).toBe(20);
  });

  it("lets many authors write through a short queue, each in its order", async () => {
    const ledger = await startLedger();
    const { chain, storage, signers } = ledger;
    const sequencer = createSequencer({
      chain,
      storage,
      signer: signers["a"]!,
      now: () => START,
      maxQueueBytes: 500,
    });
    const authors = Array.from({ length: 8 }, (_, lane) =>
      createAuthor({
        ledger: chain.ledger,
        sequencer,
        signer: signers["b"]!,
        lane,
        lastSeq: -1,
        now: () => START,
      }),
    );
    const places = await Promise.all(
      authors.map((author) =>
        Promise.all(
          Array.from({ length: 5 }, () => durablePlaceOf(author.write(recordEntries(1)))),
        ),
      ),
    );
    for (const own of places) {
      const order = own.map(({ height, transaction }) => height * 1e6 + transaction);
      expect(order).toEqual([...order].sort((x, y) => x - y));
    }
    expect(await countedOnce(ledger)).toBe(40);
  });

  it("leaves a gap where a signature fails, and goes on", async () => {
    const ledger = await startLedger();
    const { chain, sequencer, signers } = ledger;
    let fail = false;
    const signer = {
      ...signers["a"]!,
      sign: async (bytes: Uint8Array) => {
        if (fail) throw new Error("the HSM is away");
        return signers["a"]!.sign(bytes);
      },
    };
    const author = createAuthor({
      ledger: chain.ledger,
      sequencer,
      signer,
      lane: 9,
      lastSeq: 6,
      now: () => START,
    });
    await durablePlaceOf(author.write(recordEntries(1)));
    fail = true;
    const lost = author.write(recordEntries(1));
    await expect(lost).rejects.toThrow("HSM");
    fail = false;
    await durablePlaceOf(author.write(recordEntries(1)));
    expect(await chain.findTransaction(signer.key, 9, 7)).toBeDefined();
    expect(await chain.findTransaction(signer.key, 9, 8)).toBeUndefined();
    expect(await chain.findTransaction(signer.key, 9, 9)).toBeDefined();
  });

  it("settles what is queued when closed, and then refuses", async () => {
    const ledger = await startLedger();
    const txs = await Promise.all([sign(ledger), sign(ledger)]);
    const all = txs.map((tx) => ledger.sequencer.submit(tx).durable);
    const sealed = ledger.sequencer.seal();
    await ledger.sequencer.close();
    expect(await Promise.all(all)).toHaveLength(2);
    await sealed;
    const late = await sign(ledger);
    expect(() => ledger.sequencer.submit(late)).toThrow(
      expect.objectContaining({ code: "ERR_CHAIN_CLOSED" }),
    );
    await expect(ledger.sequencer.seal()).rejects.toMatchObject({ code: "ERR_CHAIN_CLOSED" });
    await ledger.sequencer.close();
  });

  it("rejects what was under way when the storage is closed under it", async () => {
    const ledger = await startLedger();
    await ledger.sequencer.seal();
    await ledger.storage.close();
    const submission = ledger.sequencer.submit(await sign(ledger));
    await expect(submission.durable).rejects.toMatchObject({ code: "ERR_STORAGE_CLOSED" });
    await ledger.sequencer.close();
  });

  it("keeps going when conflicts come again and again", async () => {
    let conflicts = 30;
    const inner = memoryStorage();
    const storage = wrapped(async (commit, { append }) => {
      if (append !== undefined && conflicts-- > 0) {
        throw new AppendConflict(await inner.chains.head(append.chain));
      }
      return commit();
    }, inner);
    const ledger = await startLedger({ storage });
    await ledger.sequencer.submit(await sign(ledger)).durable;
    expect(await countedOnce(ledger)).toBe(1);
  });

  it("stops asking a checkpointer that signs nothing newer", async () => {
    const ledger = await startLedger();
    let asked = 0;
    const stale = { note: new Uint8Array(), size: 0, root: new Uint8Array(32), witnessed: false };
    const checkpointer = {
      sign: async () => (asked++, stale),
      last: async () => undefined,
    };
    const sequencer = createSequencer({
      ...{ chain: ledger.chain, storage: ledger.storage, signer: ledger.signers["a"]! },
      ...{ now: () => START, checkpointer: checkpointer as unknown as Checkpointer },
    });
    const submission = sequencer.submit(await sign(ledger));
    await expect(submission.checkpointed()).rejects.toMatchObject({ code: "ERR_CHAIN_CHECKPOINT" });
    expect(asked).toBeLessThan(5);
  });

  it("gives up, others having had their turn, when conflicts never end", async () => {
    const inner = memoryStorage();
    let tries = 0;
    const storage = wrapped(async (commit, { append }) => {
      if (append === undefined) return commit();
      tries++;
      throw new AppendConflict(await inner.chains.head(append.chain));
    }, inner);
    const ledger = await startLedger({ storage, settleWithin: 200 });
    let timers = 0;
    const timer = setInterval(() => timers++, 10);
    const { durable } = ledger.sequencer.submit(await sign(ledger));
    await expect(durable).rejects.toMatchObject({ code: "ERR_STORAGE_CONFLICT" });
    clearInterval(timer);
    expect(timers).toBeGreaterThan(3);
    expect(tries).toBeLessThan(20);
    expect(await countedOnce(ledger)).toBe(0);
  });
});
