import { beforeAll, describe, expect, it } from "vitest";
import { toHex } from "../../src/bytes/hex.ts";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import type { Rule } from "../../src/consent/model.ts";
import { LedgerError, StorageError } from "../../src/errors.ts";
import type { Access } from "../../src/ledger/audit.ts";
import type { Ledger } from "../../src/ledger/open-ledger.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { Subject } from "../../src/ledger/subjects.ts";
import type { FullStorage, StateChange } from "../../src/storage/types.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { collect, texts, ward, type Ward } from "../support/ward.ts";

const permitAll = (change: Partial<Rule>): Rule => ({
  ...{ id: "all", effect: "permit", combine: "deny-overrides", when: {} },
  ...change,
});

const OTHER = { ...MRN, value: "other" };
const NOBODY = { ...MRN, value: "nobody" };
const PRIVILEGED = {
  privilegedRoles: ["emergency-physician"],
  // Each copy of the store is opened as if it were the only one: else the memory refuses it first.
  signedHeads: "store",
} as const;

interface Snapshot {
  readonly chains: ReadonlyMap<string, readonly Uint8Array[]>;
  readonly blobs: Awaited<ReturnType<typeof blobsOf>>;
  readonly state: ReadonlyMap<string, Uint8Array>;
}

const blobsOf = async ({ blobs }: FullStorage) =>
  Promise.all(
    (await collect(blobs.list())).map(async (cid) => ({ cid, bytes: (await blobs.get(cid))! })),
  );

const VAULT = toHex(new TextEncoder().encode("vault/"));
const ALL = { gte: Uint8Array.of(0), lt: new Uint8Array(64).fill(0xff) };

async function snapshotOf(storage: FullStorage): Promise<Snapshot> {
  const chains = new Map<string, Uint8Array[]>();
  for await (const name of storage.chains.list()) {
    const records = await collect(storage.chains.read(name, { from: 0 }));
    chains.set(
      name,
      records.map(({ record }) => record),
    );
  }
  const state = new Map<string, Uint8Array>();
  for await (const { key, value } of storage.state.scan(ALL)) state.set(toHex(key), value);
  return { chains, blobs: await blobsOf(storage), state };
}

async function storageFrom({ chains, blobs, state }: Snapshot): Promise<FullStorage> {
  const storage = memoryStorage();
  for (const [name, records] of chains) {
    await storage.chains.append(name, { size: 0, hash: null }, records);
  }
  await storage.blobs.put(blobs);
  await storage.state.batch([...state].map(([key, value]) => ({ key: bytesOf(key), value })));
  return storage;
}

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

/** What was filed, and how the store looked after each step. */
interface Scene {
  readonly w: Ward;
  readonly other: Subject;
  readonly records: readonly Uint8Array[];
  readonly snapshots: readonly Snapshot[];
  readonly whole: Snapshot;
}

/** Two persons, an amendment, a refusal, an attested key, a hold, a review, an erasure, accesses. */
async function play(): Promise<Scene> {
  const inner = memoryStorage();
  const w = await ward({ inner, ...PRIVILEGED });
  const snapshots: Snapshot[] = [];
  const records: Uint8Array[] = [];
  let { hl } = w;
  /** Does something, and looks at the store behind it, written to the end. */
  const step = async (work: () => Promise<unknown>): Promise<void> => {
    await work();
    await hl.close();
    snapshots.push(await snapshotOf(inner));
    hl = await w.again();
  };
  const other = await hl.ensureSubject(OTHER);
  await step(async () => {
    const { id } = await hl.record(w.me, observation("bp-1"));
    records.push(id, (await hl.record(other, observation("bp-2"))).id);
    records.push((await hl.record(w.me, observation("bp-1", "120"), { amends: id })).id);
  });
  await step(async () => {
    const refusal = treatmentOnly(w.patient, { root: permitAll({ effect: "deny" }) });
    await hl.consent(w.me, refusal, { grantor: w.patient });
    await hl.consent(other, treatmentOnly(w.patient), { grantor: w.patient });
  });
  await step(async () => {
    const gone = await hl.record(other, observation("bp-3"));
    records.push(gone.id);
    await hl.erase(other, { records: [gone.id], reason: "asked" });
    await hl.hold(other, "case 4711");
  });
  await step(async () => {
    for (const patient of [MRN, OTHER, NOBODY]) {
      await hl.request(w.b, { patient, purposes: ["TREAT"] });
    }
    await hl.request(w.b, {
      patient: MRN,
      purposes: ["BTG"],
      roles: [{ code: "emergency-physician", attestedBy: w.b.signer.actor }],
      declaration: { reason: "unconscious", until: w.clock.now + 60_000 },
    });
  });
  await hl.close();
  return { w, other, records, snapshots, whole: await snapshotOf(inner) };
}

/** Everything that could take what is lost for what never was; those that write come last. */
function callsOf({ w, other, records }: Scene): Record<string, (hl: Ledger) => Promise<unknown>> {
  const { me, b } = w;
  const question = { requester: b.signer.actor, purposes: ["TREAT"] };
  const audited = async (hl: Ledger, subject: Subject | null) =>
    (await collect(hl.audit(subject))).map((access) => {
      // It is named, which is as good as an error.
      if ("unreadable" in access) {
        throw new StorageError("ERR_STORAGE_CORRUPT", String(access.unreadable));
      }
      const { id, purposes, records: asked } = access as Access;
      const seen = asked.map((one) => [one.record, one.released, one.decision.outcome]);
      return [toHex(id), purposes, seen];
    });
  const current = async (hl: Ledger, subject: Subject) =>
    (await hl.records(subject)).map((one) => [one.record, toHex(one.head.id), one.history.length]);
  const person = async (hl: Ledger, identifier: typeof MRN) =>
    (await hl.findSubject(identifier))?.local;
  const decided = async (hl: Ledger, subject: Subject) =>
    (await hl.decide(subject, question)).records.map(({ decision }) => decision.outcome);
  return {
    "find one": (hl) => person(hl, MRN),
    "find the other": (hl) => person(hl, OTHER),
    "find nobody": (hl) => person(hl, NOBODY),
    "records of one": (hl) => current(hl, me),
    "records of the other": (hl) => current(hl, other),
    "reading what was filed first": async (hl) => bytesToUtf8(await hl.read(records[0]!)),
    "reading the other's": async (hl) => bytesToUtf8(await hl.read(records[1]!)),
    "reading what was erased": (hl) => hl.read(records[3]!),
    directives: async (hl) => (await hl.directives(me)).map(({ entry }) => toHex(entry)),
    "audit of one": (hl) => audited(hl, me),
    "audit of the other": (hl) => audited(hl, other),
    "audit of nobody": (hl) => audited(hl, null),
    reviews: async (hl) => (await collect(hl.pendingReviews())).map(({ id }) => toHex(id)),
    "deciding about one": (hl) => decided(hl, me),
    "deciding about the other": (hl) => decided(hl, other),
    proving: async (hl) => (await hl.prove(records[0]!)).length > 0,
    verifying: async (hl) => (await hl.verify()).ok,
    "erasing under a hold": (hl) => hl.erase(other, { all: true, reason: "x" }),
    "asking for what was refused": async (hl) =>
      texts(await hl.request(b, { patient: MRN, purposes: ["TREAT"] })),
    "asking for the other's": async (hl) =>
      texts(await hl.request(b, { patient: OTHER, purposes: ["TREAT"] })),
    "making one known": async (hl) => (await hl.ensureSubject(MRN)).local,
  };
}

const shown = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => (one instanceof Uint8Array ? toHex(one) : one)) ??
  "nothing";

/** What each call answers: its result, or the code of a typed error. */
async function answers(scene: Scene, hl: Ledger): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  for (const [name, call] of Object.entries(callsOf(scene))) {
    try {
      all.set(name, shown(await call(hl)));
    } catch (error) {
      if (!(error instanceof LedgerError)) throw new Error(`${name}: untyped`, { cause: error });
      all.set(name, `error ${error.code}`);
    }
  }
  return all;
}

/** Says which calls answered something else than they should, and without an error. */
function wrong(found: Map<string, string>, right: ReadonlyMap<string, string>): string[] {
  return [...found].flatMap(([name, answer]) =>
    answer === right.get(name) || answer.startsWith("error ") ? [] : [`${name}: ${answer}`],
  );
}

describe("a store that lost something, or has something old", () => {
  let scene: Scene;
  let right: Map<string, string>;
  let opened = 0;

  /** Opens what is left of the whole, and asks everything; again where nothing was reopened. */
  async function sweep(
    change: (storage: FullStorage) => Promise<void>,
    isOpen: boolean,
  ): Promise<{ readonly wrong: string[]; readonly errors: number }> {
    const storage = await storageFrom(scene.whole);
    let hl: Ledger | undefined;
    try {
      if (!isOpen) await change(storage);
      hl = await scene.w.open({ storage, ...PRIVILEGED });
      if (isOpen) {
        await hl.findSubject(MRN);
        await change(storage);
      }
      const found = await answers(scene, hl);
      opened++;
      const errors = [...found].filter(([name, answer]) => answer !== right.get(name)).length;
      return { wrong: wrong(found, right), errors };
    } catch (error) {
      if (error instanceof LedgerError) return { wrong: [], errors: 1 };
      throw error;
    } finally {
      await hl?.close().catch(() => undefined);
    }
  }

  beforeAll(async () => {
    scene = await play();
    const hl = await scene.w.open({ storage: await storageFrom(scene.whole), ...PRIVILEGED });
    right = await answers(scene, hl);
    await hl.close();
  }, 60_000);

  it("answers rightly when nothing is lost", async () => {
    for (const isOpen of [false, true, false]) {
      expect(await sweep(async () => undefined, isOpen)).toEqual({ wrong: [], errors: 0 });
    }
    const failing = [...right].filter(([, answer]) => answer.startsWith("error "));
    expect(failing).toEqual([
      ["reading what was erased", "error ERR_STORAGE_ERASED"],
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

  it("is right or says so when all rows are what they were at an earlier time", async () => {
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
    const hl = await scene.w.open({ storage, ...PRIVILEGED });
    for (const { cid, bytes } of scene.whole.blobs) {
      await storage.blobs.delete([cid]);
      const { missing, damaged } = await hl.verifyBlobs();
      expect([missing.map(String), damaged]).toEqual([[`${cid}`], []]);
      await storage.blobs.put([{ cid, bytes }]);
    }
    await hl.close();
  });
});
