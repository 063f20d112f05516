import { beforeAll, describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import type { CID } from "../../src/codec/cid.ts";
import { StorageError } from "../../src/errors.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage, StateChange } from "../../src/storage/types.ts";
import { effort } from "../support/effort.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import {
  answers,
  bytesOf,
  openCopy,
  OTHER,
  play,
  PRIVILEGED,
  snapshotOf,
  storageFrom,
  sweepCopy,
  VAULT,
  wrong,
  type Scene,
  type Snapshot,
} from "../support/loss-scene.ts";
import { ward } from "../support/ward.ts";

const TIME = 1_500_000;
/** Every how manieth row, blob or write is tried. */
const STRIDE = effort("HEALTHLEDGER_SWEEP_STRIDE", { full: 1, short: 9 });

const some = <T>(all: Iterable<T>): T[] => [...all].filter((_, i) => i % STRIDE === 0);
const vaultRows = ({ state }: Snapshot) => [...state].filter(([key]) => key.startsWith(VAULT));

type Change = (storage: FullStorage) => Promise<void>;
type Damages = readonly (readonly [string, Change])[];

const put = (key: string, value: Uint8Array | null): StateChange => ({ key: bytesOf(key), value });

/** Each row lost, with a bit flipped, or exchanged with the next; each blob lost. */
function damagesOf(snapshot: Snapshot): Record<string, Damages> {
  const rows = vaultRows(snapshot);
  const flip = (value: Uint8Array): Uint8Array => {
    const flipped = value.slice();
    flipped[value.length >> 1]! ^= 4;
    return flipped;
  };
  return {
    "a row is lost": rows.map(([key]) => [key, ({ state }) => state.batch([put(key, null)])]),
    "a blob is lost": snapshot.blobs.map(({ cid }) => [
      `${cid}`,
      ({ blobs }) => blobs.delete([cid]),
    ]),
    "a row has a bit flipped": rows.map(([key, value]) => [
      key,
      ({ state }) => state.batch([put(key, flip(value))]),
    ]),
    "two rows are exchanged": rows.map(([key, value], i) => {
      const [otherKey, other] = rows[(i + 1) % rows.length]!;
      return [key, ({ state }) => state.batch([put(key, other), put(otherKey, value)])];
    }),
  };
}

/** Each row, as it was after an earlier step, where that is another value than at the end. */
function olderRows({ snapshots, whole }: Scene): Damages {
  const tried = new Set<string>();
  const found: (readonly [string, Change])[] = [];
  for (const snapshot of snapshots.slice(0, -1)) {
    for (const [key, value] of vaultRows(snapshot)) {
      const now = whole.state.get(key);
      const id = `${key} ${toHex(value)}`;
      if (tried.has(id) || (now !== undefined && toHex(now) === toHex(value))) continue;
      tried.add(id);
      found.push([key, ({ state }) => state.batch([put(key, value)])]);
    }
  }
  return found;
}

const rightOf = async (scene: Scene): Promise<Map<string, string>> => {
  const hl = await openCopy(scene, await storageFrom(scene.whole));
  const right = await answers(scene, hl);
  await hl.close();
  return right;
};

async function faultsOf(
  scene: Scene,
  right: ReadonlyMap<string, string>,
  damages: Damages,
  options: Parameters<typeof sweepCopy>[3] = {},
): Promise<{ readonly faults: string[]; readonly errors: number; readonly opened: number }> {
  const faults: string[] = [];
  let errors = 0;
  let opened = 0;
  for (const [name, change] of some(damages)) {
    const swept = await sweepCopy(scene, right, change, options);
    for (const one of swept.wrong) faults.push(`${name}: ${one}`);
    errors += swept.errors;
    if (swept.opened) opened++;
  }
  return { faults, errors, opened };
}

describe("a store with shard keys", () => {
  let scene: Scene;
  let right: Map<string, string>;
  beforeAll(async () => {
    scene = await play(true);
    right = await rightOf(scene);
  });

  it("is right when nothing is lost", async () => {
    const none: Damages = [["nothing", async () => undefined]];
    expect(await faultsOf(scene, right, none)).toEqual({ faults: [], errors: 0, opened: 1 });
    expect(right.get("asking for what was refused")).toBe("[]");
  });

  for (const name of ["a row is lost", "a blob is lost", "a row has a bit flipped"]) {
    it(`is right or says so when ${name}`, { timeout: TIME }, async () => {
      const { faults, errors } = await faultsOf(scene, right, damagesOf(scene.whole)[name]!);
      expect(faults).toEqual([]);
      expect(errors).toBeGreaterThan(0);
    });
  }

  it("is right or says so when a row is what it was before", { timeout: TIME }, async () => {
    expect((await faultsOf(scene, right, olderRows(scene))).faults).toEqual([]);
  });

  it("opens nothing that was erased, when all of the store is what it was before", async () => {
    for (const snapshot of scene.snapshots) {
      const swept = await storageFrom(snapshot);
      const hl = await openCopy(scene, swept, { repair: { index: true } }).catch(() => undefined);
      if (hl === undefined) continue;
      const found = await answers(scene, hl);
      expect(found.get("reading what was erased")).toMatch(/^error ERR_/);
      expect(found.get("asking for what was refused")).toMatch(/^(\[\]$|error )/);
      await hl.close();
    }
  });
});

describe("a store without", () => {
  let scene: Scene;
  let right: Map<string, string>;
  beforeAll(async () => {
    scene = await play();
    right = await rightOf(scene);
  });

  for (const name of Object.keys(damagesOf({ chains: new Map(), blobs: [], state: new Map() }))) {
    const rebuilding = { open: { repair: { index: true } } };
    it(
      `is right or says so when its index is built again and ${name}`,
      { timeout: TIME },
      async () => {
        const damages = damagesOf(scene.whole)[name]!;
        const { faults, opened } = await faultsOf(scene, right, damages, rebuilding);
        expect(faults).toEqual([]);
        expect(opened).toBeGreaterThan(0);
      },
    );

    it(`is right or says so when ${name} while it is open`, { timeout: TIME }, async () => {
      const damages = damagesOf(scene.whole)[name]!;
      const { faults } = await faultsOf(scene, right, damages, { isOpen: true });
      expect(faults).toEqual([]);
    });
  }

  it("is right or says so when a row is put back while it is open", { timeout: TIME }, async () => {
    const { faults } = await faultsOf(scene, right, olderRows(scene), { isOpen: true });
    expect(faults).toEqual([]);
  });

  it("is right or says so when a row is that of another history", { timeout: TIME }, async () => {
    // The same ledger and keys, and other people, blocks and vault.
    const others = vaultRows((await play()).whole);
    const damages = vaultRows(scene.whole).map(([key], i): Damages[number] => {
      const [otherKey, value] = others[i % others.length]!;
      return [key, ({ state }) => state.batch([put(key, value), put(otherKey, value)])];
    });
    expect((await faultsOf(scene, right, damages)).faults).toEqual([]);
    const all: Change = ({ state }) => state.batch(others.map(([key, value]) => put(key, value)));
    expect((await faultsOf(scene, right, [["all rows", all]])).faults).toEqual([]);
  });

  for (const isOpen of [false, true]) {
    const when = isOpen ? "while it is open" : "before it is opened";
    it(`is right or says so when a blob is another's, ${when}`, { timeout: TIME }, async () => {
      const faults: string[] = [];
      const { blobs } = scene.whole;
      for (const [i, { cid }] of some(blobs.entries())) {
        const storage = await storageFrom(scene.whole);
        const lying = { isOn: !isOpen };
        const hl = await openCopy(
          scene,
          exchanging(storage, lying, cid, blobs[(i + 5) % blobs.length]!.bytes),
        );
        await hl.findSubject(MRN);
        lying.isOn = true;
        for (const one of wrong(await answers(scene, hl), right)) faults.push(`${cid}: ${one}`);
        await hl.close().catch(() => undefined);
      }
      expect(faults).toEqual([]);
    });
  }

  it(
    "is right or says so when one process sees rows from before another's work",
    { timeout: TIME },
    async () => {
      const faults: string[] = [];
      const storage = await storageFrom(scene.whole);
      const before = await snapshotOf(storage);
      const writer = await openCopy(scene, storage);
      const [permit] = await writer.directives(scene.other);
      const refusal = treatmentOnly(scene.w.patient, {
        predecessors: [permit!.entry],
        mode: "revoke",
        default: "none",
      });
      const { root: _, ...revocation } = refusal;
      await writer.consent(scene.other, revocation, { signer: scene.w.patient });
      await writer.records(scene.other);
      await writer.close();
      const after = await snapshotOf(storage);
      const later: Scene = { ...scene, whole: after };
      const now = await rightOf(later);
      expect(now.get("asking for the other's")).toBe("[]");
      const changed = [...new Set([...before.state.keys(), ...after.state.keys()])].filter(
        (key) =>
          key.startsWith(VAULT) &&
          toHex(before.state.get(key) ?? bytesOf("")) !==
            toHex(after.state.get(key) ?? bytesOf("")),
      );
      const back =
        (keys: readonly string[]): Change =>
        ({ state }) =>
          state.batch(keys.map((key) => put(key, before.state.get(key) ?? null)));
      expect(changed.length).toBeGreaterThan(3);
      for (const keys of [...changed.map((key) => [key]), changed]) {
        for (const isLate of [false, true]) {
          // A reader that was open all the time, over the same store as the writer.
          const shared = await storageFrom(before);
          const reader = await openCopy(scene, shared);
          await answers(scene, reader);
          const filing = await openCopy(scene, shared, { lane: 7 });
          await filing.consent(scene.other, revocation, { signer: scene.w.patient });
          await filing.records(scene.other);
          await filing.close();
          if (isLate) await reader.directives(scene.other);
          await back(keys)(shared);
          const released = await answers(scene, reader);
          // Other rows than in `after`, since names are drawn anew; so only what is refused counts.
          if (released.get("asking for the other's")!.includes("bp-2")) {
            faults.push(
              `${keys.length} rows, ${isLate}: ${released.get("asking for the other's")}`,
            );
          }
          await reader.close().catch(() => undefined);
        }
        const swept = await sweepCopy(later, now, back(keys));
        for (const one of swept.wrong) faults.push(`${keys.length} rows: ${one}`);
      }
      expect(faults).toEqual([]);
    },
  );
});

/** A store that gives other bytes for one blob. */
function exchanging(
  storage: FullStorage,
  lying: { isOn: boolean },
  cid: CID,
  instead: Uint8Array,
): FullStorage {
  const { blobs } = storage;
  const lie = (name: CID, bytes: Uint8Array | undefined): Uint8Array | undefined =>
    lying.isOn && name.equals(cid) ? instead : bytes;
  return {
    ...storage,
    blobs: {
      ...blobs,
      get: async (name) => lie(name, await blobs.get(name)),
      getMany: async (names) =>
        (await blobs.getMany(names)).map((bytes, i) => lie(names[i]!, bytes)),
    },
  };
}

describe("a store that is as it was at an earlier time", () => {
  it("is noticed by the memory of signed heads; without a memory, the ledger keeps what it had", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const snapshots = [];
    await w.hl.record(w.me, observation("bp-1"));
    const refusal = treatmentOnly(w.patient, {
      root: { id: "no", effect: "deny", combine: "deny-overrides", when: {} },
    });
    const { id } = await w.hl.consent(w.me, refusal, { signer: w.patient });
    await w.hl.checkpoint();
    snapshots.push(await snapshotOf(inner));
    await w.permit({ predecessors: [id] });
    await w.hl.checkpoint();
    snapshots.push(await snapshotOf(inner));
    await w.hl.record(w.me, observation("bp-2"));
    await w.hl.checkpoint();
    await w.hl.close();
    for (const [i, snapshot] of snapshots.entries()) {
      const storage = await storageFrom(snapshot);
      await expect(w.open({ storage })).rejects.toMatchObject({ code: "ERR_CHAIN_LOST" });
      // Nobody remembers: it is the ledger of that time, its refusal included.
      const hl = await w.open({ storage: await storageFrom(snapshot), signedHeads: "store" });
      expect((await hl.request(w.b, { patient: MRN, purposes: ["TREAT"] })).count).toBe(i);
      await hl.close();
    }
    // Old blocks beneath new rows, and the other way round.
    const now = await snapshotOf(inner);
    for (const { chains, blobs, state } of snapshots) {
      const mixed = await storageFrom({ chains, blobs: now.blobs, state: now.state });
      await expect(w.open({ storage: mixed, signedHeads: "store" })).rejects.toMatchObject({
        code: "ERR_CHAIN_LOST",
      });
      const old = await storageFrom({ chains: now.chains, blobs: now.blobs, state });
      const hl = await w.open({ storage: old, signedHeads: "store" });
      const asked = hl.request(w.b, { patient: MRN, purposes: ["TREAT"] }).then(
        ({ count }) => count,
        (error: unknown) => error,
      );
      // The keys of what came later are not there.
      expect(await asked).toBeInstanceOf(StorageError);
      await hl.close().catch(() => undefined);
      const noBlobs = await storageFrom({ chains: now.chains, blobs, state: now.state });
      const without = await w.open({ storage: noBlobs, signedHeads: "store" });
      await expect(
        without.request(w.b, { patient: MRN, purposes: ["TREAT"] }),
      ).rejects.toBeInstanceOf(StorageError);
      await without.close().catch(() => undefined);
    }
  });
});

/** A store that dies with its n-th write: neither that nor any later one is made. */
function dying(storage: FullStorage, alive: { writes: number }): FullStorage {
  const write = async <T>(work: () => Promise<T>): Promise<T> => {
    if (alive.writes-- <= 0) throw new StorageError("ERR_STORAGE_FAILED", "the machine is gone");
    return work();
  };
  return {
    ...storage,
    chains: {
      ...storage.chains,
      append: (...call) => write(() => storage.chains.append(...call)),
    },
    blobs: {
      ...storage.blobs,
      put: (...call) => write(() => storage.blobs.put(...call)),
      delete: (...call) => write(() => storage.blobs.delete(...call)),
    },
    state: { ...storage.state, batch: (...call) => write(() => storage.state.batch(...call)) },
    commit: (...call) => write(() => storage.commit(...call)),
  };
}

describe("a machine that dies while the index is written", () => {
  it(
    "leaves an index that is right, across its steps of 2,048 entries and 256 blocks",
    { timeout: TIME },
    async () => {
      const inner = memoryStorage();
      const w = await ward({ inner, ...PRIVILEGED });
      const other = await w.hl.ensureSubject(OTHER);
      const bundle = (count: number, name: string) => ({
        resourceType: "Bundle",
        type: "collection",
        entry: Array.from({ length: count }, (_, i) => ({
          resource: JSON.parse(observation(`${name}-${i}`)) as { resourceType: string },
        })),
      });
      const deny = { id: "no", effect: "deny", combine: "deny-overrides", when: {} } as const;
      await w.hl.recordBundle(w.me, bundle(2040, "mine"));
      await w.hl.consent(w.me, treatmentOnly(w.patient, { root: deny }), { signer: w.patient });
      const permit = treatmentOnly(w.patient);
      const { id } = await w.hl.consent(other, permit, { signer: w.patient });
      for (let i = 0; i < 262; i++) await w.hl.record(other, observation(`theirs-${i}`));
      const refusal = treatmentOnly(w.patient, { predecessors: [id], root: deny });
      await w.hl.consent(other, refusal, { signer: w.patient });
      await w.hl.record(w.me, observation("last"));
      const { local } = other;
      await w.hl.close();
      const whole = await snapshotOf(inner);
      expect(whole.state.size).toBeGreaterThan(100);

      const look = async (storage: FullStorage) => {
        const hl = await w.open({ storage, ...PRIVILEGED });
        const question = { requester: w.b.signer.actor, purposes: ["TREAT"] };
        const told = [];
        for (const subject of [w.me, { local }]) {
          const { records } = await hl.decide(subject, question);
          const permitted = records.filter(({ decision }) => decision.outcome === "permit");
          told.push((await hl.records(subject)).length, records.length, permitted.length);
        }
        told.push((await hl.lost()).length);
        await hl.close();
        return told;
      };
      const right = [2041, 2041, 0, 262, 262, 0, 0];
      expect(await look(await storageFrom(whole))).toEqual(right);
      let crashes = 0;
      for (let writes = 0; ; writes += Math.min(3, STRIDE)) {
        const storage = await storageFrom(whole);
        const alive = { writes };
        const hl = await w
          .open({ storage: dying(storage, alive), ...PRIVILEGED, repair: { index: true } })
          .catch(() => undefined);
        await hl?.records(w.me).catch(() => undefined);
        await hl?.close().catch(() => undefined);
        expect(await look(storage), `after ${writes} writes`).toEqual(right);
        if (alive.writes >= 0) break;
        crashes++;
      }
      expect(crashes).toBeGreaterThan(0);
    },
  );
});
