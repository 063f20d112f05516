import { describe, expect, it } from "vitest";
import type { SubjectEntry } from "../../../src/block/entry.ts";
import { decodeEntry } from "../../../src/block/entry.ts";
import type { EntryId } from "../../../src/codec/ids.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import type { Subject } from "../../../src/ledger/entries/subjects.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { observation, treatmentOnly } from "../../support/hospital.ts";
import { collect, ward, type Ward } from "../../support/ward.ts";

const reason = "the same person";
const A = { system: "urn:oid:1.1.1", value: "1" };
const B = { system: "urn:oid:2.2.2", value: "7" };
const C = { system: "urn:oid:3.3.3", value: "3" };
const RETAINED = { code: "ERR_INPUT_RETAINED" };

interface Joined extends Ward {
  readonly one: Subject;
  readonly other: Subject;
  readonly link: EntryId;
}

async function joined(options: Parameters<typeof ward>[0] = {}): Promise<Joined> {
  const w = await ward(options);
  const one = await w.hl.ensureSubject(A);
  const other = await w.hl.ensureSubject(B);
  await w.hl.record(one, observation("a"));
  await w.hl.record(other, observation("b"));
  const link = await w.hl.merge(one, other, { reason });
  return { ...w, one, other, link };
}

const countOf = async (hl: Ledger, one: Subject): Promise<number> => (await hl.records(one)).length;

describe("a hold on one of two who are joined", () => {
  it("forbids erasing anything of either, until it is lifted on either", async () => {
    const w = await joined();
    await w.hl.placeHold(w.one, "a trial");
    const all = { all: true, reason: "asked for" } as const;
    for (const one of [w.one, w.other]) {
      await expect(w.hl.erase(one, all)).rejects.toMatchObject(RETAINED);
    }
    // a hold on the other, lifted again, does not end the first
    await w.hl.placeHold(w.other, "another");
    await w.hl.unmerge(w.link, { reason });
    await w.hl.liftHold(w.other);
    const again = await w.hl.merge(w.other, w.one, { reason });
    await expect(w.hl.erase(w.other, all)).rejects.toMatchObject(RETAINED);
    await w.hl.liftHold(w.other);
    await w.hl.unmerge(again, { reason });
    await w.hl.erase(w.one, all);
    expect(await countOf(w.hl, w.one)).toBe(0);
    expect(await countOf(w.hl, w.other)).toBe(1);
  });

  it("forbids nothing about the other once they are parted, if it was placed before", async () => {
    const w = await joined();
    await w.hl.unmerge(w.link, { reason });
    await w.hl.placeHold(w.one, "a trial");
    const again = await w.hl.merge(w.one, w.other, { reason });
    await w.hl.unmerge(again, { reason });
    await w.hl.erase(w.other, { all: true, reason: "asked for" });
    await expect(w.hl.erase(w.one, { all: true, reason: "asked for" })).rejects.toMatchObject(
      RETAINED,
    );
  });
});

describe("erase of two who are joined", () => {
  it("destroys the records of both, and says so again", async () => {
    const w = await joined();
    const all = { all: true, reason: "asked for" } as const;
    const first = await w.hl.erase(w.other, all);
    expect(first.erased).toHaveLength(2);
    expect(first.entries).toHaveLength(2);
    const again = await w.hl.erase(w.one, all);
    expect([...again.erased].sort()).toEqual([...first.erased].sort());
    await w.hl.unmerge(w.link, { reason });
    for (const one of [w.one, w.other]) expect(await countOf(w.hl, one)).toBe(0);
  });

  it("takes records of either by their ids, and each knows it once they are parted", async () => {
    const w = await joined();
    const b = (await w.hl.records(w.one)).find(({ head }) => head.manifest.resource!.id === "b")!;
    const named = { records: [b.record], reason: "asked for" } as const;
    const first = await w.hl.erase(w.one, named);
    expect(first.erased).toEqual([b.record]);
    await w.hl.unmerge(w.link, { reason });
    // a repeated call completes, and destroys nothing more
    expect((await w.hl.erase(w.other, named)).erased).toEqual([b.record]);
    await expect(w.hl.erase(w.one, named)).rejects.toMatchObject({ code: "ERR_RECORD_NOT_FOUND" });
    expect(await countOf(w.hl, w.one)).toBe(1);
  });

  it("keeps directives while there are records of either", async () => {
    const w = await joined();
    await w.hl.consent(w.one, treatmentOnly(w.patient), { signer: w.patient });
    await w.hl.erase(w.one, {
      records: (await w.hl.records(w.one))
        .filter(({ head }) => head.manifest.resource!.id === "a")
        .map(({ record }) => record),
      reason: "asked for",
    });
    const directives = { class: "directive", all: true, reason: "asked for" } as const;
    await expect(w.hl.erase(w.one, directives)).rejects.toMatchObject(RETAINED);
    await w.hl.erase(w.one, { all: true, reason: "asked for" });
    await w.hl.erase(w.other, directives);
    expect(await w.hl.directives(w.one)).toEqual([]);
  });

  it("forgets both, and what joined them", async () => {
    const w = await joined();
    await w.hl.erase(w.other, { all: true, forgetSubject: true, reason: "asked for" });
    for (const number of [A, B]) expect(await w.hl.findSubject(number)).toBeUndefined();
    await expect(w.hl.unmerge(w.link, { reason })).rejects.toMatchObject({
      code: "ERR_RECORD_ERASED",
    });
    const again = await w.again({ repair: { index: true } });
    for (const number of [A, B]) expect(await again.findSubject(number)).toBeUndefined();
    expect(await again.lost()).toEqual([]);
  });

  it("is completed after it stopped between the two", async () => {
    const w = await joined({ settleWithin: 100 });
    let commits = 0;
    const stop = async (): Promise<void> => {
      commits++;
      w.traps.before = stop;
      if (commits >= 2) throw new Error("the disk is gone");
    };
    w.traps.before = stop;
    const forget = { all: true, forgetSubject: true, reason: "asked for" } as const;
    await expect(w.hl.erase(w.one, forget)).rejects.toThrow();
    const again = await w.again();
    await again.erase(w.one, forget);
    for (const number of [A, B]) expect(await again.findSubject(number)).toBeUndefined();
    for (const one of [w.one, w.other]) expect(await countOf(again, one)).toBe(0);
  });

  it("lets no merge that never counted join others by the parting of the forgotten", async () => {
    const w = await joined();
    const rival = await w.again();
    const third = await w.hl.ensureSubject(C);
    await rival.records(w.one);
    // one process joins the second and the third by the first while another joins them directly
    let second: Promise<EntryId> | undefined;
    w.traps.before = async () => {
      second = rival.merge(w.one, third, { reason });
      await second;
    };
    await expect(w.hl.merge(w.other, third, { reason })).rejects.toMatchObject({
      code: "ERR_RECORD_CONFLICT",
    });
    await w.hl.unmerge(w.link, { reason });
    await w.hl.unmerge(await second!, { reason });
    expect(await countOf(w.hl, third)).toBe(0);
    await w.hl.erase(w.one, { all: true, forgetSubject: true, reason: "asked for" });
    expect(await countOf(w.hl, third)).toBe(0);
    const again = await w.again({ repair: { index: true } });
    expect(await countOf(again, third)).toBe(0);
    expect(await countOf(again, w.other)).toBe(1);
  });

  it("leaves nothing of either in compacted files", async () => {
    const folder = mkdtempSync(join(tmpdir(), "healthledger-joined-"));
    try {
      const storage = await lmdbStorage({ path: join(folder, "store") });
      const w = await ward({ inner: storage });
      const one = await w.hl.ensureSubject(A);
      const other = await w.hl.ensureSubject(B);
      const places = [
        (await w.hl.record(one, observation("a"))).place,
        (await w.hl.record(other, observation("b"))).place,
      ];
      await w.hl.merge(one, other, { reason });
      const envelopes: Uint8Array[] = [];
      for (const { height, transaction, entry } of places) {
        const { block } = await w.hl.chain.readBlock(height);
        const bytes = block.transactions[transaction]!.entries[entry]!;
        const cid = (decodeEntry(bytes) as SubjectEntry).body;
        envelopes.push((await storage.blobs.get(cid))!);
      }
      const report = await w.hl.erase(one, { all: true, reason: "asked for" });
      expect(report.compacted).toBe("done");
      await w.hl.close();
      const files = readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((one) =>
        one.isFile() ? [readFileSync(join(one.parentPath, one.name))] : [],
      );
      expect(files.length).toBeGreaterThan(0);
      for (const envelope of envelopes) {
        expect(files.some((file) => file.includes(Buffer.from(envelope)))).toBe(false);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("audit data of two who are joined", () => {
  it("is erased access by access, each person's by itself", async () => {
    const w = await joined();
    await w.hl.consent(w.one, treatmentOnly(w.patient), { signer: w.patient });
    await w.hl.request(w.b, { patient: A, purposes: ["TREAT"] });
    const [first, second] = await collect(w.hl.audit(w.one));
    await w.hl.erase(w.one, { class: "audit", accesses: [second!.id], reason: "asked for" });
    expect((await collect(w.hl.audit(w.other))).map(({ id }) => id)).toEqual([first!.id]);
    await w.hl.unmerge(w.link, { reason });
    expect(await collect(w.hl.audit(w.other))).toEqual([]);
    expect(await collect(w.hl.audit(w.one))).toHaveLength(1);
  });
});
