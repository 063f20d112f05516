import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { copyLedger } from "../../../src/chain/copy-ledger.ts";
import type { LedgerError } from "../../../src/errors.ts";
import { openReplica } from "../../../src/network/open-replica.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { memoryData, memoryStorage } from "../../../src/storage/memory.ts";
import { codeOf, twoHospitals } from "../../support/elsewhere.ts";
import { appendForeign, surviveForeignRecords } from "../../support/foreign-record.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { folder } from "../../storage/lmdb-subject.ts";

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe("a foreign record in a chain store", () => {
  it("stops all who read it, until the store is copied without it", async () => {
    await surviveForeignRecords(async () => memoryStorage());
  });

  it("does so in LMDB", async () => {
    const { path, remove } = await folder();
    cleanups.push(remove);
    let stores = 0;
    await surviveForeignRecords(async () => {
      const own = join(path, String(stores++));
      await mkdir(own);
      const storage = await lmdbStorage({ path: own });
      cleanups.push(() => storage.close());
      return storage;
    });
  });

  it("ends a copy that follows, and no peer is blamed", async () => {
    const two = await twoHospitals();
    cleanups.push(() => two.close());
    await two.home.record(await two.home.ensureSubject(MRN), observation("o1"));
    await two.source.look();
    const storage = memoryStorage();
    const faults: LedgerError[] = [];
    const replica = await openReplica({
      ...{ genesis: two.genesis, storage, peers: [two.peer] },
      onFault: ({ error }) => faults.push(error as LedgerError),
    });
    cleanups.push(() => replica.close());
    const following = replica.follow();
    following.catch(() => undefined);
    await replica.sync();
    await appendForeign(storage, two.genesis);
    await two.home.record(await two.home.ensureSubject(MRN), observation("o2"));
    await two.source.look();
    expect(await codeOf(following)).toBe("ERR_CHAIN_INVALID");
    expect(faults).toEqual([]);
  });

  it("is told from a block that was valid and is damaged, and from one that is valid", async () => {
    const data = memoryData();
    const two = await twoHospitals({ homeStorage: memoryStorage({ data }) });
    cleanups.push(() => two.close());
    const patient = await two.home.ensureSubject(MRN);
    for (const id of ["o1", "o2"]) await two.home.record(patient, observation(id));
    const { size } = two.home.chain;
    const { genesis } = two;
    const copy = (until: number) =>
      codeOf(copyLedger(memoryStorage({ data }), memoryStorage(), { genesis, until }));
    expect(await copy(size - 1)).toBe("ERR_INPUT_INVALID");
    expect(await copy(size)).toBe("ERR_INPUT_INVALID");
    const at = await appendForeign(memoryStorage({ data }), genesis);
    expect(at).toBe(size);
    expect(await copy(size - 1)).toBe("ERR_INPUT_INVALID");
    expect(await copy(size + 1)).toBe("ERR_INPUT_INVALID");
    // What was checked is written down with the next block, or at the end.
    await two.home.close();
    const [, blocks] = [...data.chains].find(([name]) => name.endsWith("/blocks"))!;
    const damaged = blocks.records[size - 1]!.slice();
    damaged[damaged.length >> 1]! ^= 1;
    blocks.records[size - 1] = damaged;
    expect(await copy(size - 1)).toBe("ERR_CHAIN_LOST");
  });
});
