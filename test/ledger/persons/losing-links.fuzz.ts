import { describe, expect, it } from "vitest";
import { LedgerError } from "../../../src/errors.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { observation, treatmentOnly } from "../../support/hospital.ts";
import { effort } from "../../support/effort.ts";
import { bytesFor } from "../../support/ledger.ts";
import { snapshotOf, storageFrom, type Snapshot } from "../../support/loss-scene.ts";
import { ward, type Ward } from "../../support/ward.ts";

const reason = "the same person";
const A = { system: "urn:oid:1.1.1", value: "1" };
const B = { system: "urn:oid:2.2.2", value: "7" };
const C = { system: "urn:oid:3.3.3", value: "3" };
const OPTIONS = { signedHeads: "store" } as const;

interface Scene {
  readonly w: Ward;
  readonly inner: FullStorage;
  /** Everything in the store once the two are joined, and once they are parted. */
  readonly joined: Snapshot;
  readonly parted: Snapshot;
  readonly one: Uint8Array;
  readonly other: Uint8Array;
  readonly merge: { readonly height: number };
}

/** One person who refuses, another who permits and has a record, joined and then parted. */
async function scene(): Promise<Scene> {
  const inner = memoryStorage();
  const w = await ward({ inner, ...OPTIONS });
  const { hl } = w;
  const one = await hl.ensureSubject(A);
  const other = await hl.ensureSubject(B);
  await hl.ensureSubject(C);
  const key = memorySigner({ alg: "Ed25519", secret: bytesFor("one") });
  const root = { id: "no", effect: "deny", combine: "deny-overrides", when: {} } as const;
  await hl.consent(one, treatmentOnly(key, { root }), { signer: key });
  await hl.consent(other, treatmentOnly(w.patient, { lineage: "b" }), { signer: w.patient });
  await hl.record(other, observation("b"));
  await hl.close();
  const first = await w.again();
  const link = await first.merge(one, other, { reason });
  const merge = { height: first.chain.size - 1 };
  await first.close();
  const joined = await snapshotOf(inner);
  const second = await w.again();
  await second.unmerge(link, { reason });
  await second.close();
  const parted = await snapshotOf(inner);
  return { w, inner, joined, parted, one: one.local, other: other.local, merge };
}

/** What is released under a number, or the code of the error. */
async function releasedFrom(
  { w }: Scene,
  snapshot: Snapshot,
  patient: typeof A,
  open: object = {},
): Promise<number | string> {
  let hl: Ledger | undefined;
  try {
    hl = await w.open({ storage: await storageFrom(snapshot), ...OPTIONS, ...open });
    return (await hl.request(w.b, { patient, purposes: ["TREAT"] })).count;
  } catch (error) {
    if (error instanceof LedgerError) return error.code;
    throw error;
  } finally {
    // It cannot write what it has lost.
    await hl?.close().catch(() => undefined);
  }
}

/** `HEALTHLEDGER_LINK_LOSSES`: every how many losses are tried; 1, in short runs 5. */
const EVERY = effort("HEALTHLEDGER_LINK_LOSSES", { full: 1, short: 5 });

/** Some of a list: all of them, or one of several. */
const someOf = <T>(all: Iterable<T>): T[] => [...all].filter((_, at) => at % EVERY === 0);

/** Copies of a store, each without one blob or one row of its state. */
function* lacking(snapshot: Snapshot): Iterable<Snapshot> {
  for (const { cid } of snapshot.blobs) {
    yield { ...snapshot, blobs: snapshot.blobs.filter((one) => !one.cid.equals(cid)) };
  }
  for (const key of snapshot.state.keys()) {
    yield { ...snapshot, state: new Map([...snapshot.state].filter(([name]) => name !== key)) };
  }
}

describe("if a store lost any one blob or row", () => {
  it("persons who are joined are not silently parted", { timeout: 600_000 }, async () => {
    const s = await scene();
    expect(await releasedFrom(s, s.joined, B)).toBe(0);
    for (const rest of someOf(lacking(s.joined))) {
      for (const open of [{}, { repair: { index: true } }]) {
        const found = await releasedFrom(s, rest, B, open);
        expect(found === 0 || typeof found === "string").toBe(true);
      }
    }
  });

  it("persons who were parted are not silently joined again", { timeout: 600_000 }, async () => {
    const s = await scene();
    expect(await releasedFrom(s, s.parted, B)).toBe(1);
    for (const rest of someOf(lacking(s.parted))) {
      const found = await releasedFrom(s, rest, B);
      expect(found === 1 || typeof found === "string").toBe(true);
    }
  });
});

describe("an old row of the index", () => {
  it("does not part the joined, nor join the parted", { timeout: 600_000 }, async () => {
    const s = await scene();
    // each row as it was before the two were parted, in the store of afterwards
    for (const [key, value] of someOf(s.joined.state)) {
      const state = new Map(s.parted.state);
      if (!state.has(key)) continue;
      state.set(key, value);
      const found = await releasedFrom(s, { ...s.parted, state }, B);
      expect(found === 1 || typeof found === "string").toBe(true);
    }
  });
});
