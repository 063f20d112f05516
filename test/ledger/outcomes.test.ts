import { describe, expect, it } from "vitest";
import type { EntryId, RecordId } from "../../src/codec/ids.ts";
import { decodeEntry, type SubjectEntry } from "../../src/block/entry.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createLabeller, DEFAULT_LABEL_RULES, extendLabelRules } from "../../src/consent/index.ts";
import { LedgerError, StorageError } from "../../src/errors.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import type { Subject } from "../../src/ledger/entries/subjects.ts";
import { AmbiguousAppend, AppendConflict } from "../../src/storage/errors.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { collect, ward, type Ward } from "../support/ward.ts";

/** Faults in turn that calls are tried with, and a single record; `npm run test:fuzz` tries more. */
const [LONG, LONGEST] = process.env["HEALTHLEDGER_FAULTS"] === "all" ? [2, 3] : [1, 2];

/** What becomes of one write. */
const FAULTS = ["reply lost", "not written", "conflict", "closed", "timeout"] as const;
type Fault = (typeof FAULTS)[number];

/** All sequences of 1 to `length` faults. */
function sequences(length: number): Fault[][] {
  if (length === 0) return [];
  const shorter = length === 1 ? [[]] : sequences(length - 1);
  const longest = shorter.filter((one) => one.length === length - 1);
  const grown = longest.flatMap((one) => FAULTS.map((fault) => [...one, fault]));
  return length === 1 ? grown : [...shorter, ...grown];
}

/** A storage whose next writes go wrong in turn. */
function faulty(inner: FullStorage, plan: Fault[]): FullStorage {
  async function write<T>(work: () => Promise<T>, chain?: string): Promise<T> {
    const fault = plan.shift();
    if (fault === undefined) return work();
    if (fault === "not written") throw new StorageError("ERR_STORAGE_FAILED", "no space");
    if (fault === "closed") throw new StorageError("ERR_STORAGE_CLOSED", "closed");
    if (fault === "conflict") {
      if (chain === undefined) throw new StorageError("ERR_STORAGE_FAILED", "no space");
      throw new AppendConflict(await inner.chains.head(chain));
    }
    await work();
    // Not every store that is not ours has errors of ours.
    throw fault === "timeout" ? new Error("ETIMEDOUT") : new AmbiguousAppend();
  }
  return {
    ...inner,
    chains: {
      ...inner.chains,
      append: (...call) => write(() => inner.chains.append(...call), call[0]),
    },
    blobs: {
      ...inner.blobs,
      put: (blobs) => write(() => inner.blobs.put(blobs)),
      delete: (cids) => write(() => inner.blobs.delete(cids)),
    },
    state: { ...inner.state, batch: (...call) => write(() => inner.state.batch(...call)) },
    commit: (...call) => write(() => inner.commit(...call), call[0].append?.chain),
  };
}

interface Setting {
  readonly w: Ward;
  /** A record that is there. */
  readonly record: RecordId;
  /** What was prepared. */
  readonly prepared: unknown;
}

/** How many entries of a kind stand on the ledger. */
async function entriesOf({ w }: Setting, kind: string): Promise<number> {
  const chain = await openChain({ storage: w.storage as FullStorage, genesis: w.genesis });
  let count = 0;
  for (let height = 0; height < chain.size; height++) {
    const { block } = await chain.readBlock(height);
    for (const { entries } of block.transactions) {
      count += entries.filter((bytes) => decodeEntry(bytes).kind === kind).length;
    }
  }
  await chain.close();
  return count;
}

const OTHER_RULES = createLabeller(
  extendLabelRules(DEFAULT_LABEL_RULES, {
    ...{ name: "ours", version: "2", clinicalSystems: ["urn:x"] },
    rules: [{ labels: ["PSY"], codes: { "http://loinc.org": ["8480-6"] } }],
  }),
);

/** Calls that write, and how often what each does stands on the ledger. */
const CALLS: Readonly<
  Record<
    string,
    {
      /** What is there before; counts of {@link count} are then those beyond. */
      readonly prepare?: (setting: Setting) => Promise<unknown>;
      readonly call: (setting: Setting) => Promise<unknown>;
      readonly count: (setting: Setting) => Promise<number>;
    }
  >
> = {
  record: {
    call: ({ w }) => w.hl.record(w.me, observation("new")),
    count: async ({ w }) => (await w.hl.records(w.me)).length - 1,
  },
  "record with an attachment": {
    call: ({ w }) =>
      w.hl.record(w.me, observation("new"), {
        attachments: [{ mediaType: "image/png", source: new Uint8Array(5000) }],
      }),
    count: async ({ w }) => (await w.hl.records(w.me)).length - 1,
  },
  recordBundle: {
    call: ({ w }) =>
      w.hl.recordBundle(w.me, {
        resourceType: "Bundle",
        type: "collection",
        entry: [{ resource: JSON.parse(observation("new")) as { resourceType: string } }],
      }),
    count: async ({ w }) => (await w.hl.records(w.me)).length - 1,
  },
  amend: {
    call: ({ w, record }) => w.hl.amend(record, observation("new")),
    count: async ({ w }) => (await w.hl.records(w.me))[0]!.history.length - 1,
  },
  retract: {
    call: ({ w, record }) => w.hl.retract(record, "mistaken"),
    count: async ({ w }) => (await w.hl.records(w.me))[0]!.history.length - 1,
  },
  relabel: {
    call: ({ w, record }) => w.hl.relabel(record, null),
    count: async ({ w }) => (await w.hl.records(w.me))[0]!.history.length - 1,
  },
  consent: {
    call: ({ w }) => w.hl.consent(w.me, treatmentOnly(w.patient), { signer: w.patient }),
    count: async ({ w }) => (await w.hl.directives(w.me)).length,
  },
  request: {
    call: ({ w }) => w.ask(),
    count: async ({ w }) => (await collect(w.hl.audit(w.me))).length,
  },
  erase: {
    call: ({ w, record }) => w.hl.erase(w.me, { records: [record], reason: "asked for" }),
    count: ({ w, record }) =>
      w.hl.read(record).then(
        () => 0,
        (error: LedgerError) => (error.code === "ERR_RECORD_ERASED" ? 1 : NaN),
      ),
  },
  hold: {
    call: ({ w }) => w.hl.placeHold(w.me, "a case at court"),
    count: ({ w, record }) =>
      w.hl.erase(w.me, { records: [record], reason: "a test" }).then(
        () => 0,
        (error: LedgerError) => (error.code === "ERR_INPUT_RETAINED" ? 1 : NaN),
      ),
  },
  disclose: {
    prepare: ({ w }) => w.request(),
    call: ({ w, prepared }) => w.hl.disclose(prepared as Uint8Array),
    count: async ({ w }) => (await collect(w.hl.audit(w.me))).length,
  },
  exportRecords: {
    prepare: ({ w }) => w.permit(),
    call: ({ w }) => w.hl.exportRecords(w.b, { patient: MRN, purposes: ["TREAT"] }),
    count: async ({ w }) => (await collect(w.hl.audit(w.me))).length,
  },
  attest: {
    prepare: async () => undefined,
    call: ({ w: { hl, me, patient } }) => {
      const { actor, alg, publicKey } = patient;
      return hl.attest(me, { actor, alg, publicKey, capacity: "self" });
    },
    count: (setting) => entriesOf(setting, "link"),
  },
  reviewed: {
    prepare: async ({ w: { hl, b, clock } }) => {
      const { access } = await hl.request(b, {
        patient: MRN,
        purposes: ["BTG"],
        roles: [{ code: "emergency-physician", attestedBy: b.signer.actor }],
        declaration: { reason: "unconscious", until: clock.now + 60_000 },
      });
      return access;
    },
    call: ({ w, prepared }) => w.hl.markReviewed(prepared as EntryId),
    count: (setting) => entriesOf(setting, "link"),
  },
  release: {
    prepare: ({ w }) => w.hl.placeHold(w.me, "a case at court"),
    call: ({ w }) => w.hl.liftHold(w.me),
    count: (setting) => entriesOf(setting, "link"),
  },
  reattribute: {
    prepare: ({ w }) => w.hl.ensureSubject({ ...MRN, value: "right" }),
    call: ({ w, record, prepared }) => w.hl.reattribute(record, prepared as Subject, "mistaken"),
    async count({ w, prepared }) {
      const [before] = await w.hl.records(w.me);
      const there = (await w.hl.records(prepared as Subject)).length;
      // Both or neither.
      return before!.retracted === there > 0 ? there : NaN;
    },
  },
  relabelStale: {
    prepare: ({ w }) => w.again({ policy: { labeller: OTHER_RULES } }),
    call: ({ prepared }) => (prepared as Ledger).relabelStale(),
    count: async ({ w }) => (await w.hl.records(w.me))[0]!.history.length,
  },
  ensureSubject: {
    call: ({ w }) => w.hl.ensureSubject({ system: "urn:oid:1.2.3", value: "another" }),
    count: async ({ w }) =>
      (await w.hl.findSubject({ system: "urn:oid:1.2.3", value: "another" })) === undefined ? 0 : 1,
  },
};

/** Makes a call while its writes fail in turn; says what was said, and how often it took place. */
async function outcome(name: string, faults: readonly Fault[]): Promise<[string, number]> {
  const plan: Fault[] = [];
  const inner = memoryStorage();
  const w = await ward({
    inner: faulty(inner, plan),
    settleWithin: 60,
    breakGlass: { roles: ["emergency-physician"] },
  });
  const { id: record } = await w.hl.record(w.me, observation("first"));
  await w.hl.records(w.me);
  const { prepare, count } = CALLS[name]!;
  const prepared = await prepare?.({ w, record, prepared: undefined });
  const setting: Setting = { w, record, prepared };
  const there = prepare === undefined ? 0 : await count(setting);
  plan.push(...faults);
  const said = await CALLS[name]!.call(setting).then(
    () => "ok",
    (error: unknown) => (error instanceof LedgerError ? error.code : `untyped: ${String(error)}`),
  );
  plan.length = 0;
  const times = (await count(setting)) - there;
  // The ledger settled it, goes on, and stands.
  await w.hl.ensureSubject({ system: "urn:oid:1.2.3", value: "later" });
  await w.hl.request(w.b, { patient: { system: "urn:x", value: "y" }, purposes: ["TREAT"] });
  expect(await w.hl.verify()).toMatchObject({ ok: true });
  await w.hl.close();
  // So does another process, which knows nothing but what stands there.
  const again = await w.open({ storage: inner });
  expect(await again.verify()).toMatchObject({ ok: true });
  await again.close();
  return [said, times];
}

/** What may be true of a call that says so. */
const TRUE_OF: Readonly<Record<string, readonly number[]>> = {
  ok: [1],
  ERR_STORAGE_AMBIGUOUS: [0, 1],
  ERR_STORAGE_FAILED: [0],
  ERR_STORAGE_CLOSED: [0],
  ERR_STORAGE_CONFLICT: [0],
};

describe("what is said of an outcome is true on the ledger", () => {
  for (const name of Object.keys(CALLS)) {
    const length = name === "record" ? LONGEST : LONG;
    it(`${name}, after up to ${length} faults in turn`, { timeout: 120_000 }, async () => {
      for (const faults of sequences(length)) {
        const [said, times] = await outcome(name, faults);
        expect(TRUE_OF[said] ?? [], `${faults.join(", ")}: ${said}`).toContain(times);
        // One that got no answer at first never ends as if nothing had been written.
        if (faults[0] === "reply lost" || faults[0] === "timeout") {
          expect(["ok", "ERR_STORAGE_AMBIGUOUS"], faults.join()).toContain(said);
        }
      }
    });
  }

  it("retries until the outcome is known, if the store comes back in time", async () => {
    for (const faults of [
      ["reply lost", "not written"],
      ["reply lost", "reply lost", "reply lost"],
      ["timeout", "not written", "not written"],
    ] satisfies Fault[][]) {
      const plan: Fault[] = [];
      const w = await ward({ inner: faulty(memoryStorage(), plan) });
      plan.push(...faults);
      await w.hl.record(w.me, observation("a"));
      expect(await w.hl.records(w.me)).toHaveLength(1);
    }
  });

  it("says after several transactions of a bundle that some may be recorded", async () => {
    const plan: Fault[] = [];
    const w = await ward({ inner: faulty(memoryStorage(), plan), settleWithin: 0 });
    const resources = Array.from({ length: 1100 }, (_, i) => observation(`o${i}`));
    const bundle = { resourceType: "Bundle", type: "collection" };
    const entry = resources.map((text) => ({ resource: JSON.parse(text) as unknown }));
    const onProgress = ({ done }: { readonly done: number }): void =>
      void (done > 0 && plan.length === 0 && plan.push("not written"));
    await expect(
      w.hl.recordBundle(w.me, { ...bundle, entry }, { onProgress }),
    ).rejects.toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS", cause: { message: "no space" } });
    expect(await w.hl.records(w.me)).toHaveLength(1000);
  });

  const bundleOf = (count: number, last: string = observation("last"), name = "o") => ({
    resourceType: "Bundle",
    type: "collection",
    entry: [...Array.from({ length: count - 1 }, (_, i) => observation(`${name}${i}`)), last].map(
      (text) => ({ resource: JSON.parse(text) as unknown }),
    ),
  });

  it.each(["behind", "none"])(
    "says that some may stand when the clock fails between a bundle's transactions: %s",
    async (fault) => {
      const w = await ward();
      const onProgress = ({ done }: { readonly done: number }): void =>
        void (done > 0 && (w.clock.now = fault === "none" ? NaN : 1e12));
      await expect(w.hl.recordBundle(w.me, bundleOf(1100), { onProgress })).rejects.toMatchObject({
        code: "ERR_STORAGE_AMBIGUOUS",
        cause: { code: "ERR_CHAIN_CLOCK" },
      });
      expect(await w.hl.records(w.me)).toHaveLength(1000);
    },
  );

  it("says that something stands when the clock fails between an erasure's entries", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    for (const name of ["a", "b"]) {
      await w.hl.recordBundle(w.me, bundleOf(1001, observation(`${name}-last`), name));
    }
    w.traps.after = async () => void (w.clock.now = 1e12);
    await expect(w.hl.erase(w.me, { all: true, reason: "asked for" })).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
      cause: { code: "ERR_CHAIN_CLOCK" },
    });
    expect(await w.hl.records(w.me)).toHaveLength(2);
  });

  it("records nothing of a bundle of which one resource cannot be recorded", async () => {
    const many = (value: unknown): string =>
      JSON.stringify({ ...(JSON.parse(observation("x")) as object), code: { coding: value } });
    const labels = (count: number) => {
      const security = Array.from({ length: count }, (_, i) => ({ system: "urn:a", code: `${i}` }));
      return JSON.stringify({ ...(JSON.parse(observation("x")) as object), meta: { security } });
    };
    for (const [text, code] of [
      [labels(200_000), "ERR_INPUT_TOO_LARGE"],
      [many([{ system: "http://loinc.org", code: "\ud800" }]), "ERR_INPUT_INVALID"],
    ] as const) {
      const w = await ward();
      const { size } = w.hl.chain;
      await expect(w.hl.recordBundle(w.me, bundleOf(1100, text))).rejects.toMatchObject({
        code,
        message: expect.stringContaining("Bundle.entry[1099].resource") as string,
      });
      expect(await w.hl.records(w.me)).toEqual([]);
      expect(w.hl.chain.size).toBe(size);
    }
  });

  it("says that some stand when relabelling fails between two records", async () => {
    const plan: Fault[] = [];
    const inner = faulty(memoryStorage(), plan);
    const w = await ward({ inner, settleWithin: 0 });
    for (const name of ["a", "b"]) await w.hl.record(w.me, observation(name));
    const hl = await w.again({ policy: { labeller: OTHER_RULES }, settleWithin: 0 });
    const onProgress = ({ relabelled }: { readonly relabelled: number }): void =>
      void (relabelled === 1 && plan.length === 0 && plan.push("not written"));
    await expect(hl.relabelStale({ onProgress })).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
      cause: { code: "ERR_STORAGE_FAILED" },
    });
    plan.length = 0;
    const lengths = (await w.hl.records(w.me)).map(({ history }) => history.length);
    expect(lengths).toEqual([2, 1]);
  });

  it("says that an access stands when what it releases cannot be read any more", async () => {
    const inner = memoryStorage();
    let down = false;
    const get: FullStorage["blobs"]["get"] = (cid) =>
      down ? Promise.reject(new StorageError("ERR_STORAGE_FAILED", "gone")) : inner.blobs.get(cid);
    const w = await ward({ inner: { ...inner, blobs: { ...inner.blobs, get } } });
    await w.permit();
    await w.hl.record(w.me, observation("a"));
    w.traps.after = async () => void (down = true);
    await expect(
      w.hl.exportRecords(w.b, { patient: MRN, purposes: ["TREAT"] }),
    ).rejects.toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS" });
    down = false;
    expect(await w.audit()).toHaveLength(1);
  });

  it("says that some entries are given up when the rest cannot be written", async () => {
    const plan: Fault[] = [];
    const inner = memoryStorage();
    const w = await ward({ inner: faulty(inner, plan), settleWithin: 0 });
    const { entry: record } = await w.hl.record(w.me, observation("a"));
    const permit = await w.permit();
    const { place } = await w.hl.record(w.me, observation("b"));
    await w.hl.close();
    for (let height = 0; height <= place.height; height++) {
      const { block } = await w.hl.chain.readBlock(height);
      for (const bytes of block.transactions.flatMap(({ entries }) => entries)) {
        const entry = decodeEntry(bytes);
        if (["record", "consent"].includes(entry.kind)) {
          await inner.blobs.delete([(entry as SubjectEntry).body]);
        }
      }
    }
    let blocks = 0;
    const commit: FullStorage["commit"] = async (batch, how) => {
      if (batch.append?.chain.endsWith("/blocks") === true && ++blocks > 1) {
        throw new StorageError("ERR_STORAGE_FAILED", "no space");
      }
      return inner.commit(batch, how);
    };
    const hl = await w.again({ storage: { ...inner, commit }, repair: { index: true } });
    await expect(hl.giveUp([record, permit], { reason: "no backup" })).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
    });
    expect((await hl.lost()).map((one) => one.kind)).toEqual(["consent", "record"]);
  });

  it("acknowledges a record although later work fails", async () => {
    const inner = memoryStorage();
    let down = false;
    const head = (chain: string) =>
      down
        ? Promise.reject(new StorageError("ERR_STORAGE_FAILED", "gone"))
        : inner.chains.head(chain);
    const w = await ward({ inner: { ...inner, chains: { ...inner.chains, head } } });
    const { id } = await w.hl.record(w.me, observation("a"));
    w.traps.after = async () => void (down = true);
    // An amendment looks behind itself for what others did, and cannot.
    await expect(w.hl.amend(id, observation("b"))).rejects.toMatchObject({
      code: "ERR_STORAGE_AMBIGUOUS",
    });
    down = false;
    expect((await w.hl.records(w.me))[0]!.history).toHaveLength(2);
  });
});
