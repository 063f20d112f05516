import { describe, expect, it } from "vitest";
import { encodeEntry } from "../../src/block/entry.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import type { PolicyChanges } from "../../src/block/entry.ts";
import type { Signer } from "../../src/identity/signer.ts";
import { memoryData, memoryStorage } from "../../src/storage/memory.ts";
import { createForge, memberEntry, policyEntry } from "../support/forge.ts";
import { foundWorld, MRN, observation } from "../support/hospital.ts";
import { foundLedger, recordEntries, START } from "../support/ledger.ts";

const HOUR = 3_600_000;
const YEAR_9999 = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** A ledger of three members in one store, of whom `a` has a clock of its own. */
async function withFastClock(ahead: number) {
  const { genesis, signers } = await foundLedger({
    a: ["custodian", "sequencer"],
    b: ["custodian", "sequencer"],
    c: ["auditor"],
  });
  const { a, b, c } = signers as Record<"a" | "b" | "c", Signer>;
  const data = memoryData();
  const clock = { now: START };
  const open = async (signer: Signer, now: () => number) => {
    const storage = memoryStorage({ data });
    const chain = await openChain({ storage, genesis, now });
    const sequencer = createSequencer({ chain, storage, signer, now });
    let seq = 0;
    const write = async (entries: readonly Uint8Array[], lane: number) => {
      const what = { ledger: chain.ledger, lane, seq: seq++, time: now(), entries };
      return sequencer.submit(await signTransaction(signer, what)).durable;
    };
    return { chain, sequencer, write };
  };
  const fast = await open(a, () => START + ahead);
  await fast.write(recordEntries(1), 0);
  const right = () => clock.now;
  return {
    genesis,
    data,
    clock,
    a,
    b,
    c,
    open: (signer: Signer, by = 0) => open(signer, () => right() + by),
  };
}

describe("a block that is ahead of the clock", () => {
  it("is read by all, and waited for by whoever writes, who learns how long", async () => {
    const w = await withFastClock(HOUR);
    const { chain, write, sequencer } = await w.open(w.b);
    expect(chain.size).toBe(1);
    expect(chain.ahead).toBe(HOUR);
    expect((await chain.readBlock(0)).header.time).toBe(START + HOUR);
    const { chains } = memoryStorage({ data: w.data });
    expect(await verifyLedger(chains, { genesis: w.genesis })).toMatchObject({ ok: true, size: 1 });
    const waits = { code: "ERR_CHAIN_CLOCK", message: expect.stringContaining("3600000 ms") };
    await expect(write(recordEntries(1), 0)).rejects.toMatchObject(waits);
    await expect(sequencer.seal()).rejects.toMatchObject(waits);
    expect(await chain.refresh()).toBe(1);
    // As far as clocks may disagree nobody waits.
    w.clock.now = START + HOUR - 60_000;
    expect(chain.ahead).toBe(0);
    expect(await write(recordEntries(1), 0)).toMatchObject({ height: 1 });
    expect((await chain.readBlock(1)).header.time).toBe(START + HOUR);
  });

  it("is set right by the threshold of members, at once and for good", async () => {
    const w = await withFastClock(YEAR_9999 - START);
    const { chain, write } = await w.open(w.b);
    await expect(write(recordEntries(1), 0)).rejects.toMatchObject({ code: "ERR_CHAIN_CLOCK" });
    const set = await policyEntry(chain.ledger, { clock: START }, [w.b, w.c]);
    // What waits beside it goes behind it.
    const both = [write([set], 0), write(recordEntries(1), 1)];
    expect(await Promise.all(both)).toEqual([
      { height: 1, transaction: 0 },
      { height: 2, transaction: 0 },
    ]);
    expect((await chain.readBlock(1)).header.time).toBe(START);
    expect(chain.state.policy()).not.toHaveProperty("clock");
    const { chains } = memoryStorage({ data: w.data });
    expect(await verifyLedger(chains, { genesis: w.genesis })).toMatchObject({ ok: true, size: 3 });
    const other = await w.open(w.a);
    expect(await other.write(recordEntries(1), 2)).toMatchObject({ height: 3 });
  });
});

describe("setting the clock", () => {
  it("takes in its own block the ledger away from whoever keeps setting it wrong", async () => {
    const w = await withFastClock(YEAR_9999 - START);
    const { chain, write } = await w.open(w.b);
    const approvers = [w.b, w.c];
    const entries = [
      await policyEntry(chain.ledger, { clock: START }, approvers),
      await memberEntry(chain.ledger, [{ op: "remove", actor: w.a.actor }], approvers),
    ];
    expect(await write(entries, 0)).toMatchObject({ height: 1 });
    const fast = await w.open(w.a, YEAR_9999 - START);
    await expect(fast.write(recordEntries(1), 5)).rejects.toMatchObject({
      code: "ERR_CHAIN_REFUSED",
    });
    expect(await write(recordEntries(1), 0)).toMatchObject({ height: 2 });
    expect((await chain.readBlock(2)).header.time).toBe(START);
    const { chains } = memoryStorage({ data: w.data });
    expect(await verifyLedger(chains, { genesis: w.genesis })).toMatchObject({ ok: true, size: 3 });
  });

  async function start() {
    const { genesis, signers } = await foundLedger({
      a: ["custodian", "sequencer"],
      b: ["custodian", "sequencer"],
      c: ["auditor"],
    });
    const { a, b, c } = signers as Record<"a" | "b" | "c", Signer>;
    const forge = await createForge(genesis, a);
    const ahead = { time: START + HOUR };
    await forge.push(await forge.block([await forge.tx(a, recordEntries(1), ahead)], ahead));
    const at = async (time: number, changes: PolicyChanges, approvers = [a, b], more = false) => {
      const set = await forge.tx(c, [await policyEntry(forge.ledger, changes, approvers)], {
        time,
      });
      const beside = more ? [await forge.tx(a, recordEntries(1), { time })] : [];
      return forge.judge(await forge.block([set, ...beside], { time }));
    };
    return { forge, a, b, c, at };
  }

  it("goes no further back than approved, not without approval, and with nothing beside", async () => {
    const { forge, a, at } = await start();
    const clock = START + 60_000;
    expect(await at(clock, { clock })).toMatchObject({ ok: true });
    expect(await at(clock + 1, { clock })).toMatchObject({ ok: true });
    expect(await at(clock - 1, { clock })).toMatchObject({ reason: "time-backwards" });
    expect(await at(clock, { clock }, [a])).toMatchObject({ reason: "approvals-missing" });
    expect(await at(clock, { clock }, [a, a])).toMatchObject({ reason: "approvals-missing" });
    expect(await at(clock, { maxDrift: 1 })).toMatchObject({ reason: "time-backwards" });
    expect(await at(clock, { clock }, undefined, true)).toMatchObject({ reason: "time-backwards" });
    const two = await forge.tx(
      a,
      [await policyEntry(forge.ledger, { clock }, [a, a]), ...recordEntries(1)],
      { time: clock },
    );
    expect(await forge.judge(await forge.block([two], { time: clock }))).toMatchObject({
      reason: "time-backwards",
    });
  });

  it("lets nobody back a second time", async () => {
    const { forge, a, b } = await start();
    const entry = await policyEntry(forge.ledger, { clock: START }, [a, b]);
    const set = await forge.tx(a, [entry], { time: START });
    await forge.push(await forge.block([set], { time: START }));
    const later = { time: START + HOUR };
    await forge.push(await forge.block([await forge.tx(a, recordEntries(1), later)], later));
    const again = await forge.tx(a, [entry], { time: START });
    expect(await forge.judge(await forge.block([again], { time: START }))).toMatchObject({
      reason: "nonce-used",
    });
  });

  it("takes no time beyond the year 9999, of a header or a transaction", async () => {
    const { forge, a } = await start();
    const time = YEAR_9999 + 1;
    const tx = await forge.tx(a, recordEntries(1), { time });
    expect(await forge.judge(await forge.block([tx], { time }))).toMatchObject({
      reason: "malformed",
    });
    expect(
      await forge.judge(await forge.block([await forge.tx(a, recordEntries(1))], { time })),
    ).toMatchObject({ reason: "malformed" });
    const entry = encodeEntry({
      ...{ v: 1, kind: "policy", salt: new Uint8Array(16), changes: { clock: time } },
      ...{ nonce: new Uint8Array(16), notAfter: 9, approvals: [] },
    });
    expect(await forge.judgeTx(await forge.tx(a, [entry]))).toMatchObject({ reason: "malformed" });
  });
});

describe("a clock that gives no time", () => {
  const clocks: Record<string, () => unknown> = {
    fractional: () => START + 0.25,
    "not a number": () => NaN,
    infinite: () => Infinity,
    negative: () => -5,
    "a bigint": () => BigInt(START),
    "a string": () => String(START),
    "a Date": () => new Date(START),
    nothing: () => undefined,
    "near 2^53": () => 2 ** 53 - 1,
    failing: () => {
      throw new Error("no clock");
    },
  };
  for (const [what, now] of Object.entries(clocks)) {
    it(`${what}: ERR_CHAIN_CLOCK when opening, and later`, async () => {
      const world = await foundWorld();
      const bad = now as () => number;
      await expect(world.open({ now: bad })).rejects.toMatchObject({ code: "ERR_CHAIN_CLOCK" });
      let broken = false;
      const hl = await world.open({ now: () => (broken ? bad() : START) });
      const patient = await hl.ensureSubject(MRN);
      await hl.record(patient, observation("bp-1"));
      broken = true;
      await expect(hl.record(patient, observation("bp-2"))).rejects.toMatchObject({
        code: "ERR_CHAIN_CLOCK",
      });
      broken = false;
      await hl.record(patient, observation("bp-3"));
      expect(await hl.records(patient)).toHaveLength(2);
    });
  }
});
