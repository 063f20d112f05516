import { describe, expect, it } from "vitest";
import { signTransaction } from "../../src/block/transaction.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import type { Signer } from "../../src/identity/signer.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { recordEntries, START, startLedger, type TestLedger } from "../support/ledger.ts";

let seq = 0;
const sign = ({ chain, signers }: TestLedger) =>
  signTransaction(signers["a"]!, {
    ...{ ledger: chain.ledger, lane: 0, seq: seq++, time: START },
    entries: recordEntries(1),
  });

/** A storage that notes when a commit begins and when it is durable. */
function watched(events: string[], hold: (commit: number) => Promise<void> = async () => {}) {
  const inner = memoryStorage();
  let commits = 0;
  const storage: FullStorage = {
    ...inner,
    async commit(batch) {
      const number = commits++;
      events.push(`commit ${number}`);
      await hold(number);
      const head = await inner.commit(batch);
      events.push(`durable ${number}`);
      return head;
    },
  };
  return storage;
}

describe("the submitter of a block", () => {
  it("is told once it is durable, never before, and after the next was handed over", async () => {
    const events: string[] = [];
    const ledger = await startLedger({ storage: watched(events) });
    const [first, second, third] = [await sign(ledger), await sign(ledger), await sign(ledger)];
    const told = (name: string, signed: typeof first) =>
      ledger.sequencer.submit(signed).durable.then(() => events.push(`told ${name}`));
    const one = told("first", first);
    // So that the second waits while the first block is under way.
    while (!events.includes("commit 0")) await Promise.resolve();
    const two = told("second", second);
    await Promise.all([one, two]);
    await told("third", third);
    expect(events).toEqual([
      ...["commit 0", "durable 0", "commit 1", "told first", "durable 1", "told second"],
      ...["commit 2", "durable 2", "told third"],
    ]);
  });

  it("is told while the next block hangs in the storage", async () => {
    const events: string[] = [];
    let release!: () => void;
    const held = new Promise<void>((resolve) => (release = resolve));
    const ledger = await startLedger({
      storage: watched(events, (commit) => (commit === 1 ? held : Promise.resolve())),
    });
    const one = ledger.sequencer.submit(await sign(ledger));
    while (!events.includes("commit 0")) await Promise.resolve();
    const two = ledger.sequencer.submit(await sign(ledger));
    expect(await one.durable).toEqual({ height: 0, transaction: 0 });
    expect([one.state, two.state]).toEqual(["durable", "queued"]);
    release();
    expect(await two.durable).toEqual({ height: 1, transaction: 0 });
  });

  it("is told while the next block's signature is waited for, or fails", async () => {
    const events: string[] = [];
    const ledger = await startLedger({ storage: watched(events) });
    const { chain, storage, signers } = ledger;
    let fail!: (error: Error) => void;
    let headers = 0;
    const signer: Signer = {
      ...signers["a"]!,
      sign: (bytes) =>
        headers++ === 0 ? signers["a"]!.sign(bytes) : new Promise((_, reject) => (fail = reject)),
    };
    const sequencer = createSequencer({ chain, storage, signer, now: () => START });
    const one = sequencer.submit(await sign(ledger));
    while (!events.includes("commit 0")) await Promise.resolve();
    const two = sequencer.submit(await sign(ledger));
    expect(await one.durable).toEqual({ height: 0, transaction: 0 });
    expect(two.state).toBe("queued");
    fail(new Error("the HSM is gone"));
    await expect(two.durable).rejects.toThrow("the HSM is gone");
    await sequencer.close();
  });

  it("is told before closing ends", async () => {
    const ledger = await startLedger();
    const submissions = [];
    for (let i = 0; i < 5; i++) submissions.push(ledger.sequencer.submit(await sign(ledger)));
    await ledger.sequencer.close();
    expect(submissions.map(({ state }) => state)).toEqual(Array(5).fill("durable"));
  });
});
