import type { RecordedVersion } from "../../src/ledger/records/record-versions.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import type { Rule } from "../../src/consent/model/model.ts";
import { LedgerError, StorageError } from "../../src/errors.ts";
import type { Access } from "../../src/ledger/disclosure/audit.ts";
import { memoryShardKeys } from "../../src/identity/shard-keys.ts";
import type { Ledger, OpenLedgerOptions } from "../../src/ledger/ledger.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { Subject } from "../../src/ledger/entries/subjects.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { MRN, observation, treatmentOnly } from "./hospital.ts";
import { collect, texts, ward, type Ward } from "./ward.ts";

const permitAll = (change: Partial<Rule>): Rule => ({
  ...{ id: "all", effect: "permit", combine: "deny-overrides", when: {} },
  ...change,
});

export const OTHER = { ...MRN, value: "other" };
const NOBODY = { ...MRN, value: "nobody" };
export const PRIVILEGED = {
  breakGlass: { roles: ["emergency-physician"] },
  // Each copy of the store is opened as if it were the only one: else the memory refuses it first.
  signedHeads: "store",
} as const;

/** All that a store holds. */
export interface Snapshot {
  readonly chains: ReadonlyMap<string, readonly Uint8Array[]>;
  readonly blobs: Awaited<ReturnType<typeof blobsOf>>;
  readonly state: ReadonlyMap<string, Uint8Array>;
}

const blobsOf = async ({ blobs }: FullStorage) =>
  Promise.all(
    (await collect(blobs.list())).map(async (cid) => ({ cid, bytes: (await blobs.get(cid))! })),
  );

/** How the keys of a vault's rows begin, hexadecimal. */
export const VAULT = toHex(new TextEncoder().encode("vault/"));
const ALL = { gte: Uint8Array.of(0), lt: new Uint8Array(64).fill(0xff) };

export async function snapshotOf(storage: FullStorage): Promise<Snapshot> {
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

/** A store that holds what another held. */
export async function storageFrom(
  { chains, blobs, state }: Snapshot,
  storage: FullStorage = memoryStorage(),
): Promise<FullStorage> {
  for (const [name, records] of chains) {
    await storage.chains.append(name, { size: 0, hash: null }, records);
  }
  await storage.blobs.put(blobs);
  await storage.state.batch([...state].map(([key, value]) => ({ key: bytesOf(key), value })));
  return storage;
}

export const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

/** What was filed, and how the store looked after each step. */
export interface Scene {
  readonly w: Ward;
  /** The secret of the shard keys at the end, where there are any. */
  readonly shards: Uint8Array | undefined;
  readonly other: Subject;
  readonly records: readonly RecordedVersion[];
  /** After each step. */
  readonly snapshots: readonly Snapshot[];
  readonly whole: Snapshot;
}

/**
 * Two persons, an amendment, a refusal, an attested key, a record that was moved, a hold, a review, an
 * erasure in a later step than what it erased, accesses.
 */
export async function play(withShards = false): Promise<Scene> {
  const inner = memoryStorage();
  const shardKeys = withShards ? memoryShardKeys() : undefined;
  const own = { ...PRIVILEGED, ...(shardKeys && { shardKeys }) };
  const w = await ward({ inner, ...own });
  const snapshots: Snapshot[] = [];
  const records: RecordedVersion[] = [];
  let { hl } = w;
  /** Does something, and looks at the store behind it, written to the end. */
  const step = async (work: () => Promise<unknown>): Promise<void> => {
    await work();
    await hl.close();
    snapshots.push(await snapshotOf(inner));
    hl = await w.again(withShards ? { lane: 0 } : {});
  };
  const other = await hl.ensureSubject(OTHER);
  await step(async () => {
    const first = await hl.record(w.me, observation("bp-1"));
    records.push(first, await hl.record(other, observation("bp-2")));
    records.push(await hl.amend(first.id, observation("bp-1", "120")));
  });
  await step(async () => {
    const refusal = treatmentOnly(w.patient, { root: permitAll({ effect: "deny" }) });
    await hl.consent(w.me, refusal, { signer: w.patient });
    await hl.consent(other, treatmentOnly(w.patient), { signer: w.patient });
  });
  await step(async () => {
    records.push(await hl.record(other, observation("bp-3")));
    const moved = await hl.record(other, observation("bp-4"));
    records.push(await hl.reattribute(moved.id, w.me, "the wrong patient"));
    await hl.records(other);
  });
  await step(async () => {
    await hl.erase(other, { records: [records[3]!.id], reason: "asked" });
    await hl.placeHold(other, "case 4711");
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
  const shards = await shardKeys?.load();
  return { w, shards, other, records, snapshots, whole: await snapshotOf(inner) };
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
      return [id, purposes, seen];
    });
  const current = async (hl: Ledger, subject: Subject) =>
    (await hl.records(subject)).map((one) => [one.record, one.head.id, one.history.length]);
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
    "reading what was filed first": async (hl) => bytesToUtf8(await hl.read(records[0]!.id)),
    "reading the other's": async (hl) => bytesToUtf8(await hl.read(records[1]!.id)),
    "reading what was moved": async (hl) => bytesToUtf8(await hl.read(records[4]!.id)),
    "reading what was erased": (hl) => hl.read(records[3]!.id),
    directives: async (hl) => (await hl.directives(me)).map(({ entry }) => entry),
    "audit of one": (hl) => audited(hl, me),
    "audit of the other": (hl) => audited(hl, other),
    "audit of nobody": (hl) => audited(hl, null),
    reviews: async (hl) => (await collect(hl.pendingReviews())).map(({ id }) => id),
    "deciding about one": (hl) => decided(hl, me),
    "deciding about the other": (hl) => decided(hl, other),
    proving: async (hl) => (await hl.receipt(records[0]!.entry)).length > 0,
    verifying: async (hl) => (await hl.verify()).ok,
    "erasing under a hold": (hl) => hl.erase(other, { all: true, reason: "x" }),
    "asking for what was refused": async (hl) =>
      texts(await hl.request(b, { patient: MRN, purposes: ["TREAT"] })),
    "asking for the other's": async (hl) =>
      texts(await hl.request(b, { patient: OTHER, purposes: ["TREAT"] })),
    "making one known": async (hl) => (await hl.ensureSubject(MRN)).local,
  };
}

export const shown = (value: unknown): string =>
  JSON.stringify(value, (_, one: unknown) => (one instanceof Uint8Array ? toHex(one) : one)) ??
  "nothing";

/** What each call answers: its result, or the code of a typed error. */
export async function answers(scene: Scene, hl: Ledger): Promise<Map<string, string>> {
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
export function wrong(found: Map<string, string>, right: ReadonlyMap<string, string>): string[] {
  return [...found].flatMap(([name, answer]) =>
    answer === right.get(name) || answer.startsWith("error ") ? [] : [`${name}: ${answer}`],
  );
}

/** Opens a copy of the scene's store, as the only process there is. */
export async function openCopy(
  { w, shards }: Scene,
  storage: FullStorage,
  more: Partial<OpenLedgerOptions> = {},
): Promise<Ledger> {
  const shardKeys = shards && memoryShardKeys();
  if (shards !== undefined) await shardKeys?.replace(shards);
  return w.open({ storage, ...PRIVILEGED, ...(shardKeys && { shardKeys }), ...more });
}

/** What became of one damaged copy. */
export interface Swept {
  /** Calls that answered something else than they should, and without an error. */
  readonly wrong: string[];
  /** Calls that named what is missing, or 1 where opening did. */
  readonly errors: number;
  readonly opened: boolean;
}

/**
 * Damages a copy of the whole store and asks everything of it.
 *
 * @param options.isOpen - damages it when it has been opened and looked up once
 */
export async function sweepCopy(
  scene: Scene,
  right: ReadonlyMap<string, string>,
  change: (storage: FullStorage) => Promise<void>,
  options: { readonly isOpen?: boolean; readonly open?: Partial<OpenLedgerOptions> } = {},
): Promise<Swept> {
  const storage = await storageFrom(scene.whole);
  let hl: Ledger | undefined;
  try {
    if (options.isOpen !== true) await change(storage);
    hl = await openCopy(scene, storage, options.open);
    if (options.isOpen === true) {
      await hl.findSubject(MRN);
      await change(storage);
    }
    const found = await answers(scene, hl);
    const errors = [...found].filter(([name, answer]) => answer !== right.get(name)).length;
    return { wrong: wrong(found, right), errors, opened: true };
  } catch (error) {
    if (error instanceof LedgerError) return { wrong: [], errors: 1, opened: false };
    throw error;
  } finally {
    await hl?.close().catch(() => undefined);
  }
}
