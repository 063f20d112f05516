import { readable } from "../support/ward.ts";
import { describe, expect, it } from "vitest";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { explain } from "../../src/consent/explain.ts";
import type { Answer, OpenedItem } from "../../src/ledger/disclosure/answer.ts";
import type { Access } from "../../src/ledger/disclosure/audit.ts";
import {
  alcoholDependence,
  foundWorld,
  MRN,
  observation,
  treatmentOnly,
} from "../support/hospital.ts";

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}
const opened = (answer: Answer): Promise<OpenedItem[]> => collect(answer.items());
const texts = async (answer: Answer): Promise<string[]> =>
  (await opened(answer)).map(({ text }) => bytesToUtf8(text!));

async function hospital() {
  const world = await foundWorld();
  const hl = await world.open();
  const patient = await hl.ensureSubject(MRN);
  const b = { signer: world.hospitalB.signer(), agreement: world.hospitalB.agreement() };
  const c = { signer: world.institute.signer(), agreement: world.institute.agreement() };
  const ask = (who: typeof b, purposes: string[] = ["TREAT"], more = {}) =>
    hl.request(who, { patient: MRN, purposes, ...more });
  return { ...world, hl, me: patient, b, c, ask };
}

describe("openLedger", () => {
  it("discloses what the patient permits, byte for byte, with receipts, and nothing else", async () => {
    const { hl, me, ask, b, c, patient, genesis } = await hospital();
    const text = observation("bp-1");
    const version = await hl.record(me, text);
    await hl.record(me, alcoholDependence("c-1"));
    await hl.consent(me, treatmentOnly(patient), { signer: patient });

    const answer = await ask(b);
    const items = await opened(answer);
    expect(items.map(({ text }) => bytesToUtf8(text!))).toEqual([text]);
    const proved = verifyReceipt(items[0]!.receipt, trustFromGenesis(genesis));
    expect(proved).toMatchObject({ ok: true, id: version.id, author: hl.member });
    expect(answer.decision.outcome).toBe("permit");

    const refused = await ask(c, ["HRESCH"]);
    expect(await opened(refused)).toEqual([]);
    expect(refused.decision.outcome).toBe("deny");

    const audit: Access[] = await readable(hl.audit(me));
    expect(audit.map(({ requester, purposes }) => [requester, purposes])).toEqual([
      [b.signer.actor, ["TREAT"]],
      [c.signer.actor, ["HRESCH"]],
    ]);
    expect(audit[0]!.records.map(({ type, released }) => [type, released])).toEqual([
      ["Observation", true],
      ["Condition", false],
    ]);
    expect(explain(audit[0]!.records[1]!.decision)).toMatch(/sensitiv/);
    expect(await hl.verify()).toMatchObject({ ok: true });
  });

  it("gives nothing without consent or default policy, and records the asking", async () => {
    const { hl, me, ask, b } = await hospital();
    await hl.record(me, observation("bp-1"));
    const answer = await ask(b);
    expect(await opened(answer)).toEqual([]);
    expect(answer.decision.outcome).toBe("deny");
    expect(await readable(hl.audit(me))).toHaveLength(1);
  });

  it("follows amendments, relabelling, retraction and re-attribution", async () => {
    const { hl, me, ask, b, patient } = await hospital();
    await hl.consent(me, treatmentOnly(patient), { signer: patient });
    const v1 = await hl.record(me, observation("bp-1", "107.50"));
    const v2 = await hl.amend(v1.id, observation("bp-1", "117.50"));
    expect(await texts(await ask(b))).toEqual([observation("bp-1", "117.50")]);
    expect(bytesToUtf8(await hl.read(v1.id))).toBe(observation("bp-1", "117.50"));

    await hl.relabel(v2.id, {
      codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "PSY" }],
      stamp: { labeller: "officer", version: "1" },
    });
    expect(await texts(await ask(b))).toEqual([]);
    await hl.relabel(v1.id);
    expect(await texts(await ask(b))).toEqual([observation("bp-1", "117.50")]);

    const other = await hl.ensureSubject({ ...MRN, value: "MRN-777777" });
    const moved = await hl.reattribute(v1.id, other, "wrong chart");
    expect(await texts(await ask(b))).toEqual([]);
    expect(bytesToUtf8(await hl.read(moved.id))).toBe(observation("bp-1", "117.50"));
    expect((await hl.records(other)).map(({ retracted }) => retracted)).toEqual([false]);

    const v9 = await hl.record(me, observation("bp-9"));
    await hl.retract(v9.id, "entered in error");
    expect(await texts(await ask(b))).toEqual([]);
  });

  it("keeps everything over a restart, and answers a replayed request once", async () => {
    const { hl, me, patient, open, b } = await hospital();
    await hl.consent(me, treatmentOnly(patient), { signer: patient });
    await hl.record(me, observation("bp-1"));
    await hl.close();
    const again = await open();
    const answer = await again.request(b, { patient: MRN, purposes: ["TREAT"] });
    expect(await texts(answer)).toEqual([observation("bp-1")]);
  });

  it("erases a record so that nobody opens it, while the ledger still verifies", async () => {
    const { hl, me, ask, b, patient } = await hospital();
    await hl.consent(me, treatmentOnly(patient), { signer: patient });
    const gone = await hl.record(me, observation("bp-1"));
    const kept = await hl.record(me, observation("bp-2"));
    const statement = await hl.erase(me, { records: [gone.id], reason: "withdrawn" });
    expect(statement.erased).toEqual([gone.id]);
    expect(await texts(await ask(b))).toEqual([observation("bp-2")]);
    await expect(hl.read(gone.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    expect(bytesToUtf8(await hl.read(kept.id))).toBe(observation("bp-2"));
    expect(await hl.verify()).toMatchObject({ ok: true });
    expect((await hl.receipt(gone.entry)).length).toBeGreaterThan(0);
  });

  it("refuses erasure under a legal hold and within retention, naming the rule", async () => {
    const { hl, me, open } = await hospital();
    await hl.record(me, observation("bp-1"));
    await hl.placeHold(me, "case 4711");
    await expect(hl.erase(me, { all: true, reason: "asked" })).rejects.toMatchObject({
      code: "ERR_INPUT_RETAINED",
      message: expect.stringContaining("case 4711"),
    });
    await hl.liftHold(me);
    await hl.close();
    const strict = await open({
      policy: { retention: { clinical: { keepFor: 1000, rule: "10 years" } } },
    });
    await expect(strict.erase(me, { all: true, reason: "asked" })).rejects.toMatchObject({
      code: "ERR_INPUT_RETAINED",
      message: expect.stringContaining("10 years"),
    });
  });

  it("breaks the glass for a declared reason, and asks for a review", async () => {
    const { hl, me, patient, open, b, clock } = await hospital();
    await hl.consent(me, treatmentOnly(patient), { signer: patient });
    await hl.record(me, alcoholDependence("c-1"));
    await hl.close();
    const again = await open({ breakGlass: { roles: ["emergency-physician"] } });
    const what = {
      patient: MRN,
      purposes: ["BTG"],
      roles: [{ code: "emergency-physician", attestedBy: b.signer.actor }],
    };
    const silent = await again.request(b, what);
    expect(silent.count).toBe(0);
    const declaration = { reason: "unconscious", until: clock.now + 60_000 };
    const answer = await again.request(b, { ...what, declaration });
    expect(await texts(answer)).toEqual([alcoholDependence("c-1")]);
    expect(answer.decision.obligations).toContain("notify-patient");
    const [review] = await collect(again.pendingReviews());
    expect(review).toMatchObject({ declaration });
    await again.markReviewed(review!.id);
    expect(await collect(again.pendingReviews())).toEqual([]);
  });

  it("refuses a store with another or a shorter history than is trusted", async () => {
    const { hl, me, open, genesis } = await hospital();
    await hl.record(me, observation("bp-1"));
    await hl.record(me, observation("bp-2"));
    const trust = trustFromGenesis(genesis);
    const { size, root } = hl.chain;
    await hl.close();
    await (await open({ trust: { ...trust, size, root } })).close();
    for (const wrong of [
      { ...trust, size: size + 1, root },
      { ...trust, size, root: root.map((byte) => byte ^ 1) },
      { ...trust, size: size - 1, root },
    ]) {
      await expect(open({ trust: wrong })).rejects.toMatchObject({ code: "ERR_CHAIN_INVALID" });
    }
  });

  it("needs a whole storage, and the member's own keys", async () => {
    const { open, storage, institute, hospitalB, hl } = await hospital();
    const { commit: _commit, ...less } = storage;
    await expect(open({ storage: less })).rejects.toThrow(TypeError);
    await expect(open({ member: hl.member, keys: hospitalB })).rejects.toMatchObject({
      code: "ERR_SIGNATURE_KEYSTORE",
    });
    // A member that is no custodian may look, and may not record.
    const auditor = await open({ keys: institute, readOnly: true });
    expect(await auditor.findSubject(MRN)).toBeUndefined();
    await expect(auditor.ensureSubject(MRN)).rejects.toMatchObject({ code: "ERR_CHAIN_READ_ONLY" });
    await auditor.close();
  });

  it("opens many answers at once, each under a checkpoint that covers it", async () => {
    const { hl, me, ask, b, patient, genesis } = await hospital();
    await hl.consent(me, treatmentOnly(patient), { signer: patient });
    for (let i = 0; i < 4; i++) await hl.record(me, observation(`bp-${i}`));
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(b)));
    const all = await Promise.all(answers.map(opened));
    for (const { receipt } of all.flat()) {
      expect(verifyReceipt(receipt, trustFromGenesis(genesis))).toMatchObject({ ok: true });
    }
    expect(all.map(({ length }) => length)).toEqual([4, 4, 4, 4, 4, 4]);
  });
});
