import { describe, expect, it } from "vitest";
import { parseRecordId, type RecordId } from "../../src/codec/ids.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { observation, treatmentOnly } from "../support/hospital.ts";
import { ward, type Ward } from "../support/ward.ts";

const bundle = (count: number) => ({
  resourceType: "Bundle",
  type: "collection",
  entry: Array.from({ length: count }, (_, i) => ({
    resource: JSON.parse(observation(`o${i}`)) as unknown,
  })),
});

/** Calls that write, begun when the ledger is closed; the record is there already. */
const CALLS: Readonly<Record<string, (w: Ward, record: RecordId) => Promise<unknown>>> = {
  ensureSubject: ({ hl }) => hl.ensureSubject({ system: "urn:oid:1.2.3", value: "another" }),
  record: ({ hl, me }) => hl.record(me, observation("new")),
  "record with an attachment": ({ hl, me }) =>
    hl.record(me, observation("new"), {
      attachments: [{ mediaType: "image/png", source: new Uint8Array(100_000) }],
    }),
  amend: ({ hl }, record) => hl.amend(record, observation("new")),
  recordBundle: ({ hl, me }) => hl.recordBundle(me, bundle(1100)),
  relabel: ({ hl }, record) => hl.relabel(record, null),
  retract: ({ hl }, record) => hl.retract(record, "mistaken"),
  consent: ({ hl, me, patient }) => hl.consent(me, treatmentOnly(patient), { signer: patient }),
  request: ({ ask }) => ask(),
  erase: ({ hl, me }) => hl.erase(me, { all: true, reason: "asked for" }),
  hold: ({ hl, me }) => hl.placeHold(me, "a case at court"),
};

describe("closing a ledger", () => {
  it.each(Object.keys(CALLS))("waits for %s, which had begun, and it is done", async (name) => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const { id } = await w.hl.record(w.me, observation("first"));
    let settled = false;
    const call = CALLS[name]!(w, id).finally(() => (settled = true));
    await w.hl.close();
    expect(settled).toBe(true);
    await call;
    // What it says is there for whoever opens the store next, even when this one is closed at once.
    const again = await w.open({ storage: inner });
    expect(await again.verify()).toMatchObject({ ok: true });
    expect(await again.pendingWork()).toEqual([]);
    if (name === "recordBundle") expect(await again.records(w.me)).toHaveLength(1101);
    if (name === "erase") expect(await again.records(w.me)).toEqual([]);
    await again.close();
  });

  it("leaves nothing of its own work for the next opening to take in", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    await w.hl.recordBundle(w.me, bundle(120));
    await w.hl.close();
    let opened = 0;
    const get = inner.blobs.get.bind(inner.blobs);
    const blobs = {
      ...inner.blobs,
      get(...args: Parameters<typeof get>) {
        opened++;
        return get(...args);
      },
    };
    const again = await w.open({ storage: { ...inner, blobs } });
    expect(await again.records(w.me)).toHaveLength(120);
    expect(opened).toBe(0);
    await again.close();
  });

  it("waits for one that failed, and does not fail by it", async () => {
    const w = await ward();
    const call = w.hl.retract(parseRecordId("00".repeat(32)), "no such record");
    await Promise.all([
      expect(call).rejects.toMatchObject({ code: "ERR_RECORD_NOT_FOUND" }),
      w.hl.close(),
    ]);
  });

  it("refuses what begins later, also while it waits", async () => {
    const w = await ward();
    const begun = w.hl.recordBundle(w.me, bundle(3));
    const closing = w.hl.close();
    await expect(w.hl.record(w.me, observation("late"))).rejects.toMatchObject({
      code: "ERR_CHAIN_CLOSED",
    });
    await closing;
    expect((await begun).recorded).toHaveLength(3);
  });

  it("is closed when the second call of close resolves, too", async () => {
    const w = await ward();
    let done = false;
    const call = w.hl.recordBundle(w.me, bundle(3)).finally(() => (done = true));
    const ends: readonly ReturnType<Ledger["close"]>[] = [w.hl.close(), w.hl.close()];
    await ends[1];
    expect(done).toBe(true);
    await Promise.all([...ends, call]);
  });
});
