import { describe, expect, it } from "vitest";
import type { RecordId } from "../../../src/codec/ids.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { observation } from "../../support/hospital.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const PSY = {
  codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "PSY" }],
  stamp: { labeller: "officer", version: "1" },
};

const stranger = { system: "urn:oid:1.2.3", value: "another" };

async function newest(w: Ward, name: RecordId): Promise<string> {
  return bytesToUtf8(await w.hl.read(name));
}

describe("a correction without labels", () => {
  for (const [name, stamp] of [
    ["stamped by an officer", PSY.stamp],
    ["without a stamp", null],
  ] as const) {
    it(`keeps labels ${name}, and what comes after it does too`, async () => {
      const w = await ward();
      await w.permit();
      const { id } = await w.hl.record(w.me, observation("bp-1"));
      expect((await w.ask()).count).toBe(1);
      await w.hl.relabel(id, { ...PSY, stamp });
      expect((await w.ask()).count).toBe(0);
      for (const value of ["2.5", "2.75"]) {
        const { labels } = await w.hl.amend(id, observation("bp-1", value));
        expect(labels!.codes).toContainEqual(PSY.codes[0]);
        expect((await w.ask()).count).toBe(0);
      }
      await w.hl.amend(id, observation("bp-1"), { labels: { codes: [], stamp: PSY.stamp } });
      expect((await w.ask()).count).toBe(1);
    });
  }

  it("takes the labeller's own anew", async () => {
    const w = await ward();
    await w.permit();
    const { id, labels } = await w.hl.record(w.me, observation("bp-1"));
    const again = await w.hl.amend(id, observation("bp-1", "2.5"));
    expect(again.labels).toEqual(labels);
    expect(await opened(await w.ask())).toHaveLength(1);
  });
});

describe("changes of one record at once", () => {
  it("move it to one person only", async () => {
    const w = await ward();
    const other = await w.hl.ensureSubject(stranger);
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const results = await Promise.allSettled([
      w.hl.reattribute(id, other, "mixed up"),
      w.hl.reattribute(id, other, "mixed up"),
      w.hl.amend(id, observation("bp-1", "2.5")),
    ]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
    expect(await w.hl.records(other)).toHaveLength(1);
  });

  it("move the newest content", async () => {
    const w = await ward();
    const other = await w.hl.ensureSubject(stranger);
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    let moving: Promise<unknown> | undefined;
    // While the correction is being written.
    w.traps.before = async () => void (moving = w.hl.reattribute(id, other, "mixed up"));
    await w.hl.amend(id, observation("bp-1", "2.5"));
    await moving;
    const [moved] = await w.hl.records(other);
    expect(await newest(w, moved!.record)).toBe(observation("bp-1", "2.5"));
  });

  it("by another process are moved too", async () => {
    const w = await ward();
    const other = await w.hl.ensureSubject(stranger);
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const process = await w.again();
    w.traps.before = async () => {
      await process.amend(id, observation("bp-1", "2.5"));
    };
    await w.hl.reattribute(id, other, "mixed up");
    const [moved] = await w.hl.records(other);
    expect(await newest(w, moved!.record)).toBe(observation("bp-1", "2.5"));
  });

  it("by another process that ended it leave no second copy", async () => {
    const w = await ward();
    const other = await w.hl.ensureSubject(stranger);
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const process = await w.again();
    w.traps.before = async () => void (await process.reattribute(id, other, "mixed up"));
    await expect(w.hl.reattribute(id, other, "mixed up")).rejects.toMatchObject({
      code: "ERR_RECORD_CONFLICT",
    });
    const standing = (await w.hl.records(other)).filter(({ retracted }) => !retracted);
    expect(standing).toHaveLength(1);
    w.traps.before = async () => {
      await process.retract(standing[0]!.record, "never was");
    };
    await expect(w.hl.amend(standing[0]!.record, observation("bp-1", "3"))).rejects.toMatchObject({
      code: "ERR_RECORD_CONFLICT",
    });
  });
});

describe("forgetting a person", () => {
  it("waits for what is being recorded, and leaves nothing of it", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    let forgotten: Promise<unknown> | undefined;
    // While the record is being written.
    w.traps.before = async () =>
      void (forgotten = w.hl.erase(w.me, { all: true, reason: "asked", forgetSubject: true }));
    await w.hl.record(w.me, observation("bp-2"));
    await forgotten;
    await expect(w.hl.record(w.me, observation("bp-3"))).rejects.toMatchObject({
      code: "ERR_INPUT_UNKNOWN_SUBJECT",
    });
    expect(await w.hl.records(w.me)).toEqual([]);
  });

  it("heeds what must be kept of every class", async () => {
    for (const kept of ["audit", "directive"] as const) {
      const w = await ward({ policy: { retention: { [kept]: { keepFor: 1e12, rule: "a law" } } } });
      await w.hl.record(w.me, observation("bp-1"));
      await w.permit();
      await w.ask();
      await expect(
        w.hl.erase(w.me, { all: true, reason: "asked", forgetSubject: true }),
      ).rejects.toMatchObject({ code: "ERR_INPUT_RETAINED" });
      expect(await w.hl.records(w.me)).toHaveLength(1);
      expect((await w.hl.erase(w.me, { all: true, reason: "asked" })).erased).toHaveLength(1);
    }
  });
});

describe("a call that makes no sense", () => {
  it("is refused by what is wrong with it", async () => {
    const w = await ward();
    const anything = (value: unknown) => value as never;
    const INVALID = { code: "ERR_INPUT_INVALID" };
    await expect(
      w.hl.erase(w.me, anything({ all: true, reason: "x", class: "all" })),
    ).rejects.toMatchObject(INVALID);
    await expect(w.hl.erase(w.me, anything(undefined))).rejects.toThrow(TypeError);
    await expect(w.hl.receipt(anything(undefined))).rejects.toMatchObject(INVALID);
    for (const rule of [5, "", "x".repeat(1025)]) {
      await expect(w.hl.placeHold(w.me, anything(rule))).rejects.toMatchObject(INVALID);
    }
    await expect(w.hl.placeHold({ local: new Uint8Array(16) }, "x")).rejects.toMatchObject({
      code: "ERR_INPUT_UNKNOWN_SUBJECT",
    });
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    await expect(w.hl.retract(id, anything(undefined))).rejects.toMatchObject(INVALID);
    for (const request of [{ purposes: ["TREAT"] }, { patient: { system: "a" }, purposes: [] }]) {
      await expect(w.hl.request(w.b, anything(request))).rejects.toMatchObject({
        code: "ERR_CONSENT_REQUEST",
      });
    }
  });

  it("is refused once the ledger is closed", async () => {
    const w = await ward();
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    await w.hl.close();
    await w.hl.close();
    const CLOSED = { code: "ERR_CHAIN_CLOSED" };
    for (const call of [
      () => w.hl.ensureSubject(stranger),
      () => w.hl.placeHold(w.me, "a rule"),
      () => w.hl.record(w.me, observation("bp-2")),
      () => w.hl.read(id),
      () => w.hl.records(w.me),
      () => w.hl.erase(w.me, { all: true, reason: "x" }),
      () => w.audit(),
      () => w.ask(),
      () => w.hl.verifyBlobs(),
    ]) {
      await expect(call()).rejects.toMatchObject(CLOSED);
    }
  });
});
