import { describe, expect, it } from "vitest";
import { readCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { LedgerError } from "../../src/errors.ts";
import type { RecordedVersion } from "../../src/ledger/records/record-versions.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { effort } from "../support/effort.ts";
import { MRN, observation } from "../support/hospital.ts";
import { flipBit } from "../support/small-ledger.ts";
import { collect, requesterOf, ward } from "../support/ward.ts";

type Forge = (value: Uint8Array, older: Uint8Array | undefined) => Uint8Array | undefined;

/** What a host makes of one value that is read. */
const FORGERIES: Readonly<Record<string, Forge>> = {
  "a bit flipped in front": (value) => flipBit(value, 5),
  "a bit flipped at the end": (value) => flipBit(value, value.length * 8 - 1),
  "all other bytes": (value) => new Uint8Array(value.length).fill(7),
  "an older value": (_, older) => older,
  nothing: () => undefined,
};

/** A storage of which one read, the k-th, is answered otherwise than it should be. */
function lying(inner: FullStorage, at: number, forge: Forge) {
  let reads = 0;
  const seen = new Map<string, Uint8Array>();
  function told(name: string, value: Uint8Array | undefined): Uint8Array | undefined {
    const older = seen.get(name);
    if (value !== undefined) seen.set(name, value);
    if (reads++ !== at || value === undefined) return value;
    return forge(value, older);
  }
  const storage: FullStorage = {
    ...inner,
    chains: {
      ...inner.chains,
      async *read(chain, options) {
        for await (const item of inner.chains.read(chain, options)) {
          // The record before, whose place it takes, is what an older value is here.
          const record = told(chain, item.record);
          if (record === undefined) return;
          yield { ...item, record };
        }
      },
      async head(chain) {
        const head = await inner.chains.head(chain);
        const hash = head.hash === null ? null : (told(`head ${chain}`, head.hash) ?? null);
        return hash === null ? { size: 0, hash: null } : { ...head, hash };
      },
    },
    state: {
      ...inner.state,
      get: async (key) => told(toHex(key), await inner.state.get(key)),
      async getMany(keys) {
        const values = await inner.state.getMany(keys);
        return values.map((value, i) => told(toHex(keys[i]!), value));
      },
    },
    blobs: {
      ...inner.blobs,
      get: async (cid) => told(cid.toString(), await inner.blobs.get(cid)),
    },
  };
  return { storage, reads: () => reads };
}

/** What the hospital gave out in good faith while its host lied. */
interface Given {
  readonly notes: Uint8Array[];
  readonly receipts: Uint8Array[];
  readonly recorded: RecordedVersion[];
  readonly exports: Uint8Array[];
}

async function scenario(at: number, forge: Forge) {
  const w = await ward();
  await w.permit();
  const first = await w.hl.record(w.me, observation("o1"));
  await w.hl.checkpoint();
  await w.hl.record(w.me, observation("o2"));
  await w.hl.close();
  const inner = w.storage as FullStorage;
  const { storage, reads } = lying(inner, at, forge);
  const given: Given = { notes: [], receipts: [], recorded: [], exports: [] };
  const step = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      expect(error, String(error)).toBeInstanceOf(LedgerError);
    }
  };
  await step(async () => {
    const hl = await w.open({ storage });
    await step(async () => {
      const me = await hl.findSubject(MRN);
      if (me !== undefined) given.recorded.push(await hl.record(me, observation("o3")));
    });
    await step(async () => void given.notes.push(await hl.checkpoint()));
    await step(async () => void given.receipts.push(await hl.receipt(first.entry)));
    await step(async () => {
      given.exports.push(...(await collect(await hl.export())));
    });
    await step(async () => {
      const what = { patient: MRN, purposes: ["TREAT"] };
      await collect((await hl.request(requesterOf(w.hospitalB), what)).items());
    });
    await step(() => hl.close());
  });
  return { w, inner, given, reads: reads() };
}

async function expectHonest({ w, inner, given }: Awaited<ReturnType<typeof scenario>>) {
  // Whatever was written stands, and nothing that was given out says otherwise.
  expect(await verifyLedger(inner.chains, { genesis: w.genesis })).toMatchObject({ ok: true });
  const hl = await w.open({ repair: { derived: true } });
  for (const note of given.notes) {
    const { size, root } = readCheckpoint(note)!;
    expect(root).toEqual(await hl.chain.rootAt(size));
  }
  for (const receipt of given.receipts) {
    const result = verifyReceipt(receipt, trustFromGenesis(w.genesis));
    if (result.ok) expect(result.author).toBe(hl.member);
  }
  for (const { entry } of given.recorded) {
    const result = verifyReceipt(await hl.receipt(entry), trustFromGenesis(w.genesis));
    expect(result).toMatchObject({ ok: true });
  }
  await hl.close();
}

describe("a host that answers one read otherwise", () => {
  it.each(Object.entries(FORGERIES))(
    "gets nothing wrong signed, proved or acknowledged: %s",
    async (_, forge) => {
      const { reads } = await scenario(-1, forge);
      expect(reads).toBeGreaterThan(50);
      const every = Math.max(
        1,
        Math.floor(reads / effort("HEALTHLEDGER_LIES", { full: 40, short: 10 })),
      );
      for (let at = 0; at < reads; at += every) await expectHonest(await scenario(at, forge));
    },
    120_000,
  );
});
