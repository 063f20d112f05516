import { afterEach, describe, expect, it } from "vitest";
import { signDescription } from "../../../src/chain/description.ts";
import type { Ledger, OpenLedgerOptions } from "../../../src/ledger/ledger.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import { openReplica } from "../../../src/network/open-replica.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { codeOf, twoHospitals, type TwoHospitals } from "../../support/elsewhere.ts";
import { NONCE, organisation, WRITER } from "../../support/founders.ts";
import { LABELLER, MRN, observation } from "../../support/hospital.ts";
import { collect } from "../../support/ward.ts";

const closing: { close(): Promise<unknown> }[] = [];
const closed = <T extends { close(): Promise<unknown> }>(one: T): T => {
  closing.unshift(one);
  return one;
};
afterEach(async () => {
  for (const one of closing.splice(0)) await one.close();
});

/** Two organisations, both with the role that may order. */
async function scene(): Promise<TwoHospitals> {
  const [home, away] = [await organisation("home"), await organisation("away")];
  const members = [
    await signDescription(home, { name: "home", roles: WRITER, for: NONCE }),
    await signDescription(away, { name: "away", roles: WRITER, for: NONCE }),
  ];
  return closed(await twoHospitals({ genesis: { members } }));
}

const without = (two: TwoHospitals, more: Partial<OpenLedgerOptions> = {}): Promise<Ledger> =>
  openLedger({
    ...{ storage: two.awayStorage, keys: two.awayKeys, genesis: two.genesis },
    ...{ now: () => two.clock.now, policy: { labeller: LABELLER }, ...more },
  });

/** All records of all chains; beside them, whoever opens a store anchors what it has checked. */
async function contents(storage: FullStorage): Promise<unknown> {
  const chains: unknown[] = [];
  for await (const name of storage.chains.list()) {
    chains.push(name, await collect(storage.chains.read(name, { from: 0 })));
  }
  return chains;
}

describe("a copy that is opened without its home", () => {
  it("appends nothing, whoever opens it, and is a copy again afterwards", async () => {
    const two = await scene();
    const hl = await two.open();
    await hl.record(await hl.ensureSubject(MRN), observation("o1"));
    await hl.close();
    const before = await contents(two.awayStorage as FullStorage);
    for (const more of [
      {},
      { peers: [two.peer] },
      { keys: two.homeKeys },
      { keys: two.homeKeys, peers: [two.peer], signedHeads: "store" },
    ] as const) {
      await expect(without(two, more)).rejects.toMatchObject({
        code: "ERR_INPUT_INVALID",
        message: expect.stringContaining("`home`"),
      });
    }
    expect(await contents(two.awayStorage as FullStorage)).toEqual(before);
    const reader = closed(await without(two, { readOnly: true }));
    expect(reader.chain.size).toBe(two.home.chain.size);
    const again = closed(await two.open());
    await again.record(await again.ensureSubject(MRN), observation("o2"));
    expect(await again.verify()).toMatchObject({ ok: true });
  });

  it("is known as a copy before it has a block", async () => {
    const two = await scene();
    two.peer.isDown = true;
    expect(await codeOf(two.open())).not.toBe("ERR_INPUT_INVALID");
    expect(await codeOf(without(two))).toBe("ERR_INPUT_INVALID");
    two.peer.isDown = false;
    expect(await codeOf(without(two, { peers: [two.peer] }))).toBe("ERR_INPUT_INVALID");
    expect([...(await collect((two.awayStorage as FullStorage).chains.list()))]).toEqual([]);
  });

  it("is known as a replica's too", async () => {
    const two = await scene();
    await two.home.record(await two.home.ensureSubject(MRN), observation("o1"));
    await two.source.look();
    const storage = memoryStorage();
    const replica = await openReplica({ storage, genesis: two.genesis, peers: [two.peer] });
    await replica.sync();
    await replica.close();
    expect(await codeOf(without(two, { storage }))).toBe("ERR_INPUT_INVALID");
    expect(await codeOf(without(two, { storage, peers: [two.peer] }))).toBe("ERR_INPUT_INVALID");
  });

  it("becomes the home where the operator says so, and then is no copy any more", async () => {
    const two = await scene();
    const hl = await two.open();
    await hl.record(await hl.ensureSubject(MRN), observation("o1"));
    await hl.close();
    await two.close();
    const moved = await without(two, { repair: { place: true } });
    await moved.record(await moved.ensureSubject(MRN), observation("o2"));
    expect(await moved.verify()).toMatchObject({ ok: true });
    await moved.close();
    await (await without(two)).close();
    expect(await codeOf(two.open())).toBe("ERR_INPUT_INVALID");
  });
});

describe("a home's store", () => {
  it("is never followed into", async () => {
    const two = await scene();
    await two.home.record(await two.home.ensureSubject(MRN), observation("o1"));
    const { homeStorage: storage, genesis, homeKeys: keys, peer } = two;
    expect(await codeOf(openReplica({ storage, genesis, peers: [peer] }))).toBe(
      "ERR_INPUT_INVALID",
    );
    expect(await codeOf(openLedger({ storage, genesis, keys, home: peer }))).toBe(
      "ERR_INPUT_INVALID",
    );
    await two.close();
    await (await openLedger({ storage, genesis, keys })).close();
  });
});
