import { beforeAll, describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import type { FullStorage, StateChange } from "../../src/storage/types.ts";
import { observation } from "../support/hospital.ts";
import {
  answers,
  bytesOf,
  openCopy,
  play,
  shown,
  storageFrom,
  sweepCopy,
  VAULT,
  type Scene,
} from "../support/loss-scene.ts";

describe("a store that lost something, or has something old", () => {
  let scene: Scene;
  let right: Map<string, string>;
  let opened = 0;

  const sweep = async (change: (storage: FullStorage) => Promise<void>, isOpen: boolean) => {
    const { opened: isOpened, ...swept } = await sweepCopy(scene, right, change, { isOpen });
    if (isOpened) opened++;
    return swept;
  };

  beforeAll(async () => {
    scene = await play();
    const hl = await openCopy(scene, await storageFrom(scene.whole));
    right = await answers(scene, hl);
    await hl.close();
  }, 60_000);

  it("answers rightly when nothing is lost", async () => {
    for (const isOpen of [false, true, false]) {
      expect(await sweep(async () => undefined, isOpen)).toEqual({ wrong: [], errors: 0 });
    }
    const failing = [...right].filter(([, answer]) => answer.startsWith("error "));
    expect(failing).toEqual([
      ["reading what was erased", "error ERR_RECORD_ERASED"],
      ["erasing under a hold", "error ERR_INPUT_RETAINED"],
    ]);
    expect(right.get("asking for what was refused")).toBe("[]");
    expect(right.get("asking for the other's")).toBe(shown([observation("bp-2")]));
    expect(JSON.parse(right.get("reviews")!)).toHaveLength(1);
    expect(JSON.parse(right.get("audit of nobody")!)).toHaveLength(1);
    expect(JSON.parse(right.get("audit of one")!)).toHaveLength(2);
  });

  for (const isOpen of [false, true]) {
    const when = isOpen ? "while it is open" : "before it is opened";
    it(`is right or says so, whichever row of the state is lost ${when}`, async () => {
      const faults: string[] = [];
      let noticed = 0;
      opened = 0;
      for (const key of scene.whole.state.keys()) {
        // What the chain derives is read when it is opened.
        if (isOpen && !key.startsWith(VAULT)) continue;
        const change: StateChange = { key: bytesOf(key), value: null };
        const { wrong: bad, errors } = await sweep(({ state }) => state.batch([change]), isOpen);
        for (const one of bad) faults.push(`${key}: ${one}`);
        if (errors > 0) noticed++;
      }
      expect(faults).toEqual([]);
      expect(noticed).toBeGreaterThan(isOpen ? 5 : 10);
      expect(opened).toBeGreaterThan(50);
    }, 240_000);

    it(`is right or says so, whichever blob is lost ${when}`, async () => {
      const faults: string[] = [];
      for (const { cid } of scene.whole.blobs) {
        const lose = ({ blobs }: FullStorage) => blobs.delete([cid]);
        const { wrong: bad } = await sweep(lose, isOpen);
        for (const one of bad) faults.push(`${cid}: ${one}`);
      }
      expect(faults).toEqual([]);
    }, 240_000);
  }

  it("is right or says so, whichever row is what it was at an earlier time", async () => {
    const faults: string[] = [];
    const tried = new Set<string>();
    for (const { state } of scene.snapshots.slice(0, -1)) {
      for (const [key, value] of state) {
        const now = scene.whole.state.get(key);
        const id = `${key} ${toHex(value)}`;
        if (tried.has(id) || (now !== undefined && toHex(now) === toHex(value))) continue;
        tried.add(id);
        const { wrong: bad } = await sweep(
          (storage) => storage.state.batch([{ key: bytesOf(key), value }]),
          false,
        );
        for (const one of bad) faults.push(`${key}: ${one}`);
      }
    }
    expect(faults).toEqual([]);
    expect(tried.size).toBeGreaterThan(20);
  }, 240_000);

  it("is right, or reports the loss, when all rows are from an earlier time", async () => {
    const faults: string[] = [];
    const refused: number[] = [];
    for (const [i, { state, blobs }] of scene.snapshots.slice(0, -1).entries()) {
      for (const isAll of [false, true]) {
        const { wrong: bad, errors } = await sweep(async (storage) => {
          const rows = [...scene.whole.state.keys()].filter((key) => key.startsWith(VAULT));
          await storage.state.batch(rows.map((key) => ({ key: bytesOf(key), value: null })));
          const old = [...state].filter(([key]) => isAll || key.startsWith(VAULT));
          await storage.state.batch(old.map(([key, value]) => ({ key: bytesOf(key), value })));
          // What was erased since is back, too.
          if (isAll) await storage.blobs.put(blobs);
        }, false);
        for (const one of bad) faults.push(`step ${i}, ${isAll ? "all" : "vault"}: ${one}`);
        refused.push(errors);
      }
    }
    expect(faults).toEqual([]);
    // The keys of what came later are gone; what does not rest on it is answered.
    expect(Math.max(...refused)).toBeLessThan(right.size);
  }, 240_000);

  it("is right or says so, whichever two rows are exchanged", async () => {
    const faults: string[] = [];
    const rows = [...scene.whole.state].filter(([key]) => key.startsWith(VAULT));
    for (const [i, [key, value]] of rows.entries()) {
      const [otherKey, other] = rows[(i + 1) % rows.length]!;
      const { wrong: bad } = await sweep(
        (storage) =>
          storage.state.batch([
            { key: bytesOf(key), value: other },
            { key: bytesOf(otherKey), value },
          ]),
        false,
      );
      for (const one of bad) faults.push(`${key}: ${one}`);
    }
    expect(faults).toEqual([]);
  }, 240_000);

  it("is right or says so, whichever row has a bit flipped", async () => {
    const faults: string[] = [];
    for (const [key, value] of scene.whole.state) {
      if (!key.startsWith(VAULT) || value.length === 0) continue;
      const flipped = value.slice();
      flipped[value.length >> 1]! ^= 4;
      const { wrong: bad } = await sweep(
        (storage) => storage.state.batch([{ key: bytesOf(key), value: flipped }]),
        false,
      );
      for (const one of bad) faults.push(`${key}: ${one}`);
    }
    expect(faults).toEqual([]);
  }, 240_000);

  it("names every blob that is missing", async () => {
    const storage = await storageFrom(scene.whole);
    const hl = await openCopy(scene, storage);
    for (const { cid, bytes } of scene.whole.blobs) {
      await storage.blobs.delete([cid]);
      const { missing, damaged } = await hl.verifyBlobs();
      expect([missing.map(String), damaged]).toEqual([[`${cid}`], []]);
      await storage.blobs.put([{ cid, bytes }]);
    }
    await hl.close();
  });
});
