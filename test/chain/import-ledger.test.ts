import { describe, expect, it } from "vitest";
import { ledgerId } from "../../src/block/genesis.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { COPY_KEY } from "../../src/chain/copy-mark.ts";
import { exportLedger } from "../../src/chain/export.ts";
import { importLedger } from "../../src/chain/import-ledger.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { LedgerError } from "../../src/errors.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { recordEntries, signerFor, startLedger } from "../support/ledger.ts";
import { smallLedger, smallRule } from "../support/small-ledger.ts";
import { createAuthor, durablePlaceOf } from "../../src/chain/author.ts";

const kinds = [smallRule];

async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/** A ledger whose records stand in a test's own file, and its export. */
async function source() {
  const { genesis, forge, records, note } = await smallLedger();
  const name = blocksChain(forge.ledger);
  const storage = memoryStorage();
  await storage.chains.append(name, { size: 0, hash: null }, records);
  const chain = await openChain({ storage, genesis, kinds });
  const car = await collect(exportLedger(chain, note));
  return { genesis, name, records, note, car };
}

async function recordsIn(storage: ReturnType<typeof memoryStorage>, name: string) {
  const records: Uint8Array[] = [];
  for await (const { record } of storage.chains.read(name, { from: 0 })) records.push(record);
  return records;
}

/** A ledger that grows, with an export of what it is at the moment. */
async function growing() {
  const ledger = await startLedger();
  const signer = ledger.signers["a"]!;
  const author = createAuthor({
    ledger: ledger.chain.ledger,
    ...{ sequencer: ledger.sequencer, signer, lane: 0, lastSeq: -1 },
    now: () => ledger.clock.now,
  });
  const { genesis, chain } = ledger;
  return {
    genesis,
    chain,
    grow: () => durablePlaceOf(author.write(recordEntries(1))),
    async export() {
      await chain.refresh();
      const { size, root } = chain;
      const body = encodeCheckpoint({ origin: chain.genesis.origin, size, root });
      const note = await signNote(body, [
        noteSigner(signerFor("checkpoint"), chain.genesis.origin),
      ]);
      return { note, car: await collect(exportLedger(chain, note)) };
    },
  };
}

describe("importLedger", () => {
  it("writes the very records of the ledger that was exported", async () => {
    const { genesis, name, records, note, car } = await source();
    for (const from of [car, () => pieces(car)]) {
      const storage = memoryStorage();
      const imported = await importLedger(from, { storage, genesis, kinds });
      expect(imported).toMatchObject({ size: records.length, added: records.length });
      expect(imported.checkpoint).toEqual(note);
      expect(await recordsIn(storage, name)).toEqual(records);
      expect(await storage.state.get(COPY_KEY)).toBeUndefined();
      expect((await openChain({ storage, genesis, kinds })).size).toBe(records.length);
    }
  });

  it("brings a copy up to date, and leaves one that is further on", async () => {
    const ledger = await growing();
    await ledger.grow();
    const first = await ledger.export();
    await ledger.grow();
    await ledger.grow();
    const second = await ledger.export();
    const storage = memoryStorage();
    const { genesis } = ledger;
    const take = (car: Uint8Array) => importLedger(car, { storage, genesis });
    expect(await take(first.car)).toMatchObject({ size: 1, added: 1 });
    expect(await take(first.car)).toMatchObject({ size: 1, added: 0 });
    const open = await openChain({ storage, genesis });
    expect(await take(second.car)).toMatchObject({ size: 3, added: 2 });
    expect(await take(first.car)).toMatchObject({ size: 1, added: 0 });
    expect(await open.refresh()).toBe(3);
    expect(open.root).toEqual(ledger.chain.root);
  });

  it("writes nothing of an export that does not verify, or is of another ledger", async () => {
    const { genesis, name, car } = await source();
    const refused = { code: "ERR_CHAIN_INVALID" };
    for (let at = 60; at < car.length; at += 997) {
      const wrong = car.slice();
      wrong[at]! ^= 1;
      const storage = memoryStorage();
      await expect(importLedger(wrong, { storage, genesis, kinds })).rejects.toMatchObject(refused);
      expect(await recordsIn(storage, name)).toEqual([]);
      expect(await storage.state.get(COPY_KEY)).toBeUndefined();
    }
    const other = (await growing()).genesis;
    const storage = memoryStorage();
    await expect(importLedger(car, { storage, genesis: other })).rejects.toMatchObject(refused);
  });

  it("refuses to go on from another history", async () => {
    const ledger = await growing();
    await ledger.grow();
    const [one, fork] = [await ledger.export(), await growing()];
    expect(ledgerId(fork.genesis).equals(ledgerId(ledger.genesis))).toBe(true);
    await fork.grow();
    const two = await fork.export();
    await fork.grow();
    const three = await fork.export();
    const storage = memoryStorage();
    const take = (car: Uint8Array) => importLedger(car, { storage, genesis: ledger.genesis });
    await take(one.car);
    const refused = { code: "ERR_CHAIN_INVALID", message: /another history/ };
    for (const { car } of [two, three]) {
      await expect(take(car)).rejects.toMatchObject({
        ...refused,
        message: expect.stringMatching(refused.message),
      });
    }
    await ledger.grow();
    await take((await ledger.export()).car);
    await expect(take(two.car)).rejects.toMatchObject({
      message: expect.stringMatching(refused.message),
    });
    expect((await openChain({ storage, genesis: ledger.genesis })).root).toEqual(ledger.chain.root);
  });

  it("leaves a store that nobody can open where it was cut short, and goes on", async () => {
    const { genesis, name, records, car } = await source();
    const storage = memoryStorage();
    const cut = {
      ...storage,
      chains: {
        ...storage.chains,
        append: () => Promise.reject(new Error("the disk is gone")),
      },
    };
    await expect(importLedger(car, { storage: cut, genesis, kinds })).rejects.toThrow("disk");
    await expect(openChain({ storage, genesis, kinds })).rejects.toMatchObject({
      code: "ERR_STORAGE_INCOMPLETE",
    });
    await importLedger(car, { storage, genesis, kinds });
    expect(await recordsIn(storage, name)).toEqual(records);
    await storage.state.batch([{ key: COPY_KEY, value: Uint8Array.of(1) }]);
    await expect(importLedger(car, { storage, genesis, kinds })).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
  });

  it("notices an export that changes between its two readings", async () => {
    const ledger = await growing();
    await ledger.grow();
    const short = await ledger.export();
    await ledger.grow();
    const long = await ledger.export();
    const { genesis } = ledger;
    const storage = memoryStorage();
    const readings = [long.car, short.car];
    await expect(
      importLedger(() => pieces(readings.shift()!), { storage, genesis }),
    ).rejects.toMatchObject({
      code: "ERR_CHAIN_INVALID",
      message: expect.stringContaining("changed"),
    });
    await expect(openChain({ storage, genesis })).rejects.toMatchObject({
      code: "ERR_STORAGE_INCOMPLETE",
    });
  });
});

describe("importLedger of what goes wrong", () => {
  it("refuses an export that ends anywhere before its end", async () => {
    const { genesis, name, car } = await source();
    for (const length of [0, 1, 60, ...cuts(car.length), car.length - 1]) {
      const storage = memoryStorage();
      for (const from of [car.slice(0, length), () => pieces(car.slice(0, length))]) {
        await expect(importLedger(from, { storage, genesis, kinds })).rejects.toMatchObject({
          code: "ERR_CHAIN_INVALID",
        });
      }
      expect(await recordsIn(storage, name)).toEqual([]);
    }
  });

  it("refuses a misspelt option, which would count as left out", async () => {
    const { genesis, name, records, car } = await source();
    const trust = trustFromGenesis(genesis);
    for (const wrong of [{ trsut: trust }, { Trust: trust }, { checkpoint: car }]) {
      const storage = memoryStorage();
      const options = { storage, genesis, kinds, ...wrong };
      await expect(importLedger(car, options)).rejects.toThrow(TypeError);
      expect(await recordsIn(storage, name)).toEqual([]);
    }
    const options = { storage: memoryStorage(), genesis, kinds, trust };
    expect(await importLedger(car, options)).toMatchObject({ size: records.length });
  });

  it("never calls a copy finished by an export that is shorter than what was written", async () => {
    const ledger = await growing();
    const exports = [];
    for (let size = 1; size <= 3; size++) {
      await ledger.grow();
      exports.push((await ledger.export()).car);
    }
    const [one, two, three] = exports as [Uint8Array, Uint8Array, Uint8Array];
    const { genesis } = ledger;
    const storage = memoryStorage();
    // What is verified is not what is written then.
    const readings = [three, two];
    await expect(
      importLedger(() => pieces(readings.shift()!), { storage, genesis }),
    ).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
    await expect(importLedger(one, { storage, genesis })).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
      message: expect.stringContaining("longer export"),
    });
    await expect(openChain({ storage, genesis })).rejects.toMatchObject({
      code: "ERR_STORAGE_INCOMPLETE",
    });
    expect(await importLedger(three, { storage, genesis })).toMatchObject({ size: 3, added: 1 });
    expect((await openChain({ storage, genesis })).root).toEqual(ledger.chain.root);
  });

  it("ends in a whole copy, whichever write it is killed at", async () => {
    const ledger = await growing();
    for (let size = 1; size <= 3; size++) await ledger.grow();
    const { car } = await ledger.export();
    const { genesis } = ledger;
    let killed = 0;
    for (let at = 0; ; at++) {
      const storage = memoryStorage();
      // One record in each write, so that there are many.
      const caps = { ...storage.chains.caps, maxBatch: 1 };
      let writes = 0;
      const dying = async <T>(work: () => Promise<T>): Promise<T> => {
        if (writes++ >= at) throw new Error("killed");
        return work();
      };
      const cut = {
        ...storage,
        chains: {
          ...storage.chains,
          caps,
          append: (...call: Parameters<typeof storage.chains.append>) =>
            dying(() => storage.chains.append(...call)),
        },
        state: {
          ...storage.state,
          batch: (...call: Parameters<typeof storage.state.batch>) =>
            dying(() => storage.state.batch(...call)),
        },
      };
      const done = await importLedger(car, { storage: cut, genesis }).then(
        () => true,
        (error: Error) => {
          expect(error.message).toBe("killed");
          return false;
        },
      );
      if (done) break;
      killed++;
      if (at > 0) {
        await expect(openChain({ storage, genesis })).rejects.toMatchObject({
          code: "ERR_STORAGE_INCOMPLETE",
        });
      }
      expect(await importLedger(car, { storage, genesis })).toMatchObject({ size: 3 });
      expect((await openChain({ storage, genesis })).root).toEqual(ledger.chain.root);
    }
    // The mark, three records, and the mark's end.
    expect(killed).toBe(5);
  });

  it("makes one copy where two calls run at once, and never one of two histories", async () => {
    const [ledger, fork] = [await growing(), await growing()];
    for (let size = 1; size <= 3; size++) {
      await ledger.grow();
      await fork.grow();
    }
    const [mine, other] = [await ledger.export(), await fork.export()];
    const { genesis } = ledger;
    for (const second of [mine, other]) {
      const storage = memoryStorage();
      const both = await Promise.allSettled(
        [mine, second].map(({ car }) => importLedger(() => pieces(car), { storage, genesis })),
      );
      const roots = [ledger.chain.root, second === mine ? ledger.chain.root : fork.chain.root];
      const won = both.findIndex(({ status }) => status === "fulfilled");
      expect(won).not.toBe(-1);
      for (const result of both) {
        if (result.status === "rejected") expect(result.reason).toBeInstanceOf(LedgerError);
      }
      // The one that lost may have left its mark: the winner's export is then taken again.
      await importLedger([mine, second][won]!.car, { storage, genesis });
      expect((await openChain({ storage, genesis })).root).toEqual(roots[won]);
    }
  });
});

/** Places to cut at, from the beginning to the end. */
const cuts = (length: number): number[] =>
  Array.from({ length: 20 }, (_, i) => Math.floor(((i + 1) * length) / 21));

async function* pieces(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.slice(at, at + 1000);
}
