import { describe, expect, it } from "vitest";
import type { RecordedVersion } from "../../src/ledger/records/record-versions.ts";
import type { RecordId } from "../../src/codec/ids.ts";
import { readCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { sha256 } from "#crypto";
import { memoryKeys, type KeyStore } from "../../src/identity/key-store.ts";
import { memorySignedHeads } from "../../src/identity/signed-heads.ts";
import { sortedKeys } from "../../src/storage/sorted-keys.ts";
import { memoryData, memoryStorage, type MemoryData } from "../../src/storage/memory.ts";
import { foundWorld, MRN, observation } from "../support/hospital.ts";
import { bytesFor } from "../support/ledger.ts";

/** A copy of all that a storage holds, as a backup is. */
function copyOf({ chains, state, blobs, waiting }: MemoryData): MemoryData {
  const keys = sortedKeys();
  for (const key of state.keys()) keys.add(key);
  const copied = Array.from(chains, ([name, { records, head }]) => {
    return [name, { records: records.slice(), head }] as const;
  });
  return { chains: new Map(copied), state: new Map(state), blobs: new Map(blobs), keys, waiting };
}

/** Puts an older copy back in its place. */
function putBack(data: MemoryData, copy: MemoryData): void {
  Object.assign(data, copyOf(copy));
}

async function world() {
  const data = memoryData();
  const w = await foundWorld(memoryStorage({ data }));
  const session = async <T>(
    work: (hl: Awaited<ReturnType<typeof w.open>>) => Promise<T>,
    options: Parameters<typeof w.open>[0] = {},
  ): Promise<T> => {
    const hl = await w.open(options);
    try {
      return await work(hl);
    } finally {
      await hl.close();
    }
  };
  let records = 0;
  const record = (count: number) =>
    session(async (hl) => {
      const me = await hl.ensureSubject(MRN);
      for (let i = 0; i < count; i++) await hl.record(me, observation(`o${records++}`));
    });
  const size = (options = {}) => session(async (hl) => hl.chain.size, options);
  const checkpoint = (options = {}) => session((hl) => hl.checkpoint(), options);
  const keep = (count: number): void => {
    const [, chain] = blocks();
    chain.records.length = count;
    chain.head = { size: count, hash: sha256(chain.records.at(-1)!) };
  };
  const blocks = () => [...data.chains].find(([name]) => name.endsWith("/blocks"))!;
  return { ...w, data, session, record, size, checkpoint, blocks, keep };
}

const LOST = { code: "ERR_CHAIN_LOST" };

describe("openLedger on a store that lost blocks", () => {
  it("refuses at any smaller size, and when the chain is gone by name", async () => {
    const w = await world();
    await w.record(6);
    const whole = copyOf(w.data);
    const had = await w.size();
    for (let keep = 0; keep < had; keep++) {
      putBack(w.data, whole);
      const [name] = w.blocks();
      if (keep === 0) w.data.chains.delete(name);
      else w.keep(keep);
      for (const rebuild of [false, true])
        await expect(w.size({ repair: { derived: rebuild } })).rejects.toMatchObject(LOST);
      // A refusal destroys no evidence.
      await expect(w.size()).rejects.toMatchObject(LOST);
    }
    putBack(w.data, whole);
    const [name, chain] = w.blocks();
    w.data.chains.delete(name);
    w.data.chains.set(`${name.slice(0, -1)}w`, chain);
    await expect(w.size()).rejects.toMatchObject(LOST);
    // With everything as it was the ledger goes on.
    putBack(w.data, whole);
    expect(await w.size()).toBe(had);
  });

  it("refuses even if the member's own anchor or every mark is gone", async () => {
    for (const tables of [[4], [0], [0, 4]]) {
      for (const keep of [0, 3]) {
        const w = await world();
        await w.record(6);
        for (const key of [...w.data.state.keys()]) {
          if (key.startsWith("chain/") && tables.includes(key.charCodeAt(22)))
            w.data.state.delete(key);
        }
        const [name] = w.blocks();
        if (keep === 0) w.data.chains.delete(name);
        else w.keep(keep);
        await expect(w.size()).rejects.toMatchObject(LOST);
      }
    }
  });

  it("goes on from what is left when that is asked for, and never signs over what was signed", async () => {
    const w = await world();
    await w.record(3);
    const first = readCheckpoint(await w.checkpoint())!;
    await w.record(2);
    const signedBefore = first.size;
    w.keep(signedBefore - 1);
    await expect(w.size()).rejects.toMatchObject(LOST);
    const repair = { acceptLostBlocks: true };
    expect(await w.size({ repair })).toBe(signedBefore - 1);
    await expect(w.checkpoint({ repair })).rejects.toMatchObject({ code: "ERR_CHAIN_CHECKPOINT" });
    // The key that signed the lost blocks is retired: what it signed is no longer waited for.
    const { key } = w.hospitalA.signer("checkpoint");
    await w.hospitalA.retire(key);
    expect(await w.size()).toBe(signedBefore - 1);
  });
});

describe("a ledger that goes on from what was left", () => {
  it("knows nothing of what stood on the lost blocks, and proves nothing by their places", async () => {
    const w = await world();
    await w.record(2);
    const lost: RecordedVersion[] = [];
    await w.session(async (hl) => {
      const me = await hl.ensureSubject(MRN);
      for (const id of ["l1", "l2", "l3"]) lost.push(await hl.record(me, observation(id)));
    });
    const had = await w.size();
    w.keep(had - 3);
    await w.session(
      async (hl) => {
        const me = await hl.ensureSubject(MRN);
        const { id } = await hl.record(me, observation("new"));
        const named = async (of: RecordId): Promise<string> =>
          (JSON.parse(new TextDecoder().decode(await hl.read(of))) as { id: string }).id;
        expect(await named(id)).toBe("new");
        const listed: string[] = [];
        for (const { record } of await hl.records(me)) listed.push(await named(record));
        expect(listed.sort()).toEqual(["new", "o0", "o1"]);
        await hl.record(me, observation("n2"));
        for (const one of lost) {
          await expect(hl.read(one.id)).rejects.toMatchObject({ code: "ERR_RECORD_NOT_FOUND" });
          await expect(hl.receipt(one.entry)).rejects.toMatchObject({
            code: "ERR_RECORD_NOT_FOUND",
          });
        }
      },
      { repair: { acceptLostBlocks: true } },
    );
  });
});

describe("openLedger on a storage that was put back to an older copy", () => {
  it("is refused, and no key ever contradicts itself; the newest copy goes on", async () => {
    const w = await world();
    await w.record(3);
    const older = copyOf(w.data);
    const early = readCheckpoint(await w.checkpoint())!;
    await w.record(3);
    const late = readCheckpoint(await w.checkpoint())!;
    const newest = copyOf(w.data);
    expect(late.size).toBeGreaterThan(early.size);
    putBack(w.data, older);
    await expect(w.size()).rejects.toMatchObject(LOST);
    await expect(w.size({ repair: { derived: true } })).rejects.toMatchObject(LOST);
    putBack(w.data, newest);
    expect(await w.size()).toBe(late.size);
    expect(readCheckpoint(await w.checkpoint())!).toEqual(late);
  });

  it("is refused when it went on from there on another history", async () => {
    const w = await world();
    await w.record(3);
    const older = copyOf(w.data);
    await w.record(3);
    await w.checkpoint();
    putBack(w.data, older);
    // Where nothing is remembered it goes on, unwarned: that is what "store" says.
    const signedHeads = "store" as const;
    await w.session(
      async (hl) => {
        const me = await hl.ensureSubject(MRN);
        for (let i = 0; i < 5; i++) await hl.record(me, observation(`other${i}`));
      },
      { signedHeads },
    );
    await expect(w.size()).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
  });
});

describe("the memory of signed heads", () => {
  const without = (keys: KeyStore): KeyStore => {
    const { signedHeads: _, ...rest } = keys;
    return rest;
  };

  it("must be given, or be declined in so many words", async () => {
    const w = await world();
    const keys = without(w.hospitalA);
    await expect(w.size({ keys })).rejects.toThrow(TypeError);
    await expect(w.size({ keys })).rejects.toThrow('signedHeads: "store"');
    expect(await w.size({ keys, signedHeads: "store" })).toBe(0);
    expect(await w.size({ keys, signedHeads: memorySignedHeads() })).toBe(0);
  });

  it("is refused where it is missing although the key has signed, until it is adopted", async () => {
    const w = await world();
    await w.record(2);
    await w.checkpoint();
    const signedHeads = memorySignedHeads();
    const missing = { code: "ERR_CHAIN_MEMORY" };
    await expect(w.size({ signedHeads })).rejects.toMatchObject(missing);
    await expect(w.size({ signedHeads })).rejects.toMatchObject(missing);
    const size = await w.size({ signedHeads, repair: { adoptSignedHeads: true } });
    expect(await w.size({ signedHeads })).toBe(size);
    // And a process that was open before another host signed with a memory of its own.
    const mine = await w.open({
      signedHeads: memorySignedHeads(),
      repair: { adoptSignedHeads: true },
    });
    expect((await mine.checkpoint()).length).toBeGreaterThan(0);
    await mine.close();
  });

  it("is refused while open when another host signs with the same key and another memory", async () => {
    const w = await world();
    await w.record(1);
    const [a, b] = await Promise.all([
      w.open({ signedHeads: memorySignedHeads() }),
      w.open({ signedHeads: memorySignedHeads(), lane: 1 }),
    ]);
    await a.checkpoint();
    await expect(b.checkpoint()).rejects.toMatchObject({ code: "ERR_CHAIN_MEMORY" });
    await a.close();
    await b.close();
  });

  it("is refused when it is damaged", async () => {
    const w = await world();
    const signedHeads = { read: async () => bytesFor("x"), keep: async () => true };
    await expect(w.checkpoint({ signedHeads })).rejects.toMatchObject({ code: "ERR_CHAIN_MEMORY" });
    expect(memoryKeys().signedHeads).toBeDefined();
  });
});
