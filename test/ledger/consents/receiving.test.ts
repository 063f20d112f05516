import { describe, expect, it } from "vitest";
import { toEntryId } from "../../../src/codec/ids.ts";
import { decodeEntry, type SubjectEntry } from "../../../src/block/entry.ts";
import { explain } from "../../../src/consent/index.ts";
import type { Directive } from "../../../src/consent/model/model.ts";
import { approvalInput } from "../../../src/block/entry.ts";
import type { KeyStore } from "../../../src/identity/key-store.ts";
import { memorySigner, type Signer } from "../../../src/identity/signer.ts";
import { encodeIdentifiers } from "../../../src/ledger/index/rows.ts";
import { commitToPerson, signDirective } from "../../../src/ledger/consents/signed-directive.ts";
import { witnessDirective } from "../../../src/ledger/consents/witnessed-directive.ts";
import { fileAs } from "../../support/by-hand.ts";
import { approve, keyEntry } from "../../support/forge.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor, START } from "../../support/ledger.ts";
import { ward, type Ward } from "../../support/ward.ts";

// What other custodians deliver: from their word to what is released here.

const rule = (effect: "permit" | "deny"): NonNullable<Directive["root"]> => ({
  ...{ id: effect, effect, combine: "deny-overrides", when: {} },
});
const says = (effect: "permit" | "deny", change: Partial<Directive> = {}): Directive => ({
  ...treatmentOnly(memorySigner({ alg: "Ed25519", secret: bytesFor("nobody") })),
  grantor: { actor: "Patient/p1", capacity: "self", evidence: [] },
  root: rule(effect),
  default: "none",
  ...change,
});
const salt = bytesFor("salt");
const clerk = { user: "clerk-7", form: "paper" as const, takenAt: START };
async function delivered(w: Ward, directive: Directive, by: Signer = w.b.signer) {
  const signed = await witnessDirective(directive, by, {
    ...{ ledger: w.hl.id, about: commitToPerson(salt, MRN), user: "nurse-3", form: "oral" },
    ...{ takenAt: START - 1000, evidence: [] },
  });
  return { signed, salt };
}
async function withRecord(): Promise<Ward> {
  const w = await ward();
  await w.hl.record(w.me, observation("bp-1"));
  return w;
}
const count = async (w: Ward): Promise<number> => (await w.ask()).count;

describe("a directive that another custodian witnessed", () => {
  it("is held and shown, and counts for nothing, while nobody here believes it", async () => {
    const w = await withRecord();
    await w.permit();
    const refusal = says("deny", { lineage: "elsewhere" });
    const one = await delivered(w, refusal);
    const received = await w.hl.receive(w.me, one);
    expect(received).toMatchObject({ status: "held", by: w.b.signer.actor });
    expect(await count(w)).toBe(1);
    expect(await w.hl.directives(w.me)).toHaveLength(1);
    // Again it is the same one; and it is there after a restart, and in an index built again.
    expect(await w.hl.receive(w.me, one)).toEqual(received);
    const again = await w.again({ repair: { index: true } });
    const [held, ...more] = await again.held(await again.ensureSubject(MRN));
    expect(more).toEqual([]);
    expect(held).toMatchObject({
      ...{ id: received.id, directive: refusal, ...one },
      witness: { by: w.b.signer.actor, user: "nurse-3", form: "oral", takenAt: START - 1000 },
    });
  });

  it("refuses once its witness is believed, and is filed once it is received again", async () => {
    const w = await withRecord();
    await w.permit();
    await w.hl.receive(w.me, await delivered(w, says("deny", { lineage: "elsewhere" })));
    expect(await count(w)).toBe(1);
    await w.hl.trustWitnesses([w.b.signer.actor]);
    expect(await count(w)).toBe(0);
    const [held] = await w.hl.held(w.me);
    expect(await w.hl.receive(w.me, held!)).toMatchObject({ status: "filed" });
    expect(await w.hl.held(w.me)).toEqual([]);
    expect(await count(w)).toBe(0);
  });

  it("permits while its witness is listed, and is told as witnessed, here and in the audit", async () => {
    const w = await withRecord();
    await w.hl.trustWitnesses([w.b.signer.actor]);
    await w.hl.receive(w.me, await delivered(w, says("permit")));
    const answer = await w.ask();
    expect(answer.count).toBe(1);
    const witnessed = { by: w.b.signer.actor, form: "oral" };
    expect(answer.decision.reasons[0]!.witnessed).toEqual(witnessed);
    const [access] = await w.audit();
    expect(access!.records[0]!.decision.reasons[0]!.witnessed).toEqual(witnessed);
    expect(explain(access!.records[0]!.decision)).toMatch(/witnessed by .* given orally/);
    // Struck off the list, of what it witnessed only refusals count; and again when it is back.
    await w.hl.trustWitnesses([]);
    expect(await count(w)).toBe(0);
    const before = w.hl.chain.size - 3;
    const question = { requester: w.b.signer.actor, purposes: ["TREAT"] };
    const outcomeAt = async (height?: number) =>
      (await w.hl.decide(w.me, question, height === undefined ? {} : { height })).records[0]!
        .decision.outcome;
    expect(await outcomeAt()).not.toBe("permit");
    expect(await outcomeAt(before)).toBe("permit");
    await w.hl.trustWitnesses([w.b.signer.actor]);
    expect(await count(w)).toBe(1);
  });

  it("keeps its refusal when its witness is struck off the list", async () => {
    const w = await withRecord();
    await w.permit();
    await w.hl.trustWitnesses([w.b.signer.actor]);
    await w.hl.receive(w.me, await delivered(w, says("deny", { lineage: "elsewhere" })));
    await w.hl.trustWitnesses([]);
    expect(await count(w)).toBe(0);
  });

  it("does not open what was refused here, until that is confirmed here", async () => {
    const w = await withRecord();
    await w.hl.trustWitnesses([w.b.signer.actor]);
    const refusal = await w.hl.consent(w.me, says("deny"), { witness: clerk });
    const permit = says("permit", { predecessors: [refusal.id] });
    expect(await w.hl.receive(w.me, await delivered(w, permit))).toMatchObject({ status: "filed" });
    const revoke = says("deny", { mode: "revoke", predecessors: [refusal.id] });
    const { root: _, ...bare } = revoke;
    await w.hl.receive(w.me, await delivered(w, bare));
    expect(await count(w)).toBe(0);
    await w.hl.consent(w.me, permit, { witness: clerk });
    expect(await count(w)).toBe(1);
  });

  it("counts for its refusals but not its permits if a hostile writer files it while its witness is not trusted", async () => {
    const w = await withRecord();
    const c = w.c.signer;
    const parts = [
      { id: "salt", bytes: salt },
      { id: "identifier", bytes: encodeIdentifiers([MRN]) },
    ];
    await fileAs(w, "consent", (await delivered(w, says("permit"), c)).signed, {}, parts);
    expect(await count(w)).toBe(0);
    await w.hl.trustWitnesses([c.actor]);
    // Listed afterwards: it was not when it was filed.
    expect(await count(w)).toBe(0);
    await w.permit({ lineage: "own" });
    expect(await count(w)).toBe(1);
    await w.hl.trustWitnesses([]);
    const no = says("deny", { lineage: "no" });
    await fileAs(w, "consent", (await delivered(w, no, c)).signed, {}, parts);
    expect(await count(w)).toBe(0);
  });

  it("is void by a key that was retired before it came, and stands by one that is retired after", async () => {
    const w = await withRecord();
    await w.permit();
    await w.hl.trustWitnesses([w.b.signer.actor]);
    const first = await delivered(w, says("deny", { lineage: "first" }));
    const second = await delivered(w, says("deny", { lineage: "second" }));
    await w.hl.receive(w.me, first);
    const { signer } = w.b;
    const next = memorySigner({ alg: "Ed25519", secret: bytesFor("b2"), actor: signer.actor });
    await w.write(w.hospitalB, [await keyEntry(w.hl.id, signer.actor, "add", "sign", next)]);
    await w.write(w.hospitalB, [await keyEntry(w.hl.id, signer.actor, "retire", "sign", signer)]);
    await expect(w.hl.receive(w.me, second)).rejects.toMatchObject({
      code: "ERR_CONSENT_INVALID",
      message: expect.stringMatching(/not in force/),
    });
    const found = (await w.hl.directives(w.me)).map(({ standing }) => standing);
    expect(found).toEqual(["valid", "valid"]);
    expect((await w.ask({ ...w.b, signer: next })).count).toBe(0);
  });

  /** A member has a new signing key, and its old one no more. */
  async function retireKey(w: Ward, keys: KeyStore = w.hospitalB): Promise<Signer> {
    const signer = keys.signer();
    const next = memorySigner({ alg: "Ed25519", secret: bytesFor("next"), actor: signer.actor });
    await w.write(keys, [await keyEntry(w.hl.id, signer.actor, "add", "sign", next)]);
    await w.write(keys, [await keyEntry(w.hl.id, signer.actor, "retire", "sign", signer)]);
    return next;
  }

  it("counts as from when it was held, though its witness's key was retired before it is believed", async () => {
    const w = await withRecord();
    const refusal = await delivered(w, says("deny", { lineage: "elsewhere" }));
    await w.permit();
    const kept = await w.hl.receive(w.me, refusal);
    const next = await retireKey(w);
    const asked = { ...w.b, signer: next };
    expect((await w.ask(asked)).count).toBe(1);
    await w.hl.trustWitnesses([next.actor]);
    expect((await w.ask(asked)).count).toBe(0);
    const [held] = await w.hl.held(w.me);
    expect(held!.id).toEqual(kept.id);
    expect(await w.hl.receive(w.me, held!)).toMatchObject({ status: "filed" });
    expect(await w.hl.held(w.me)).toEqual([]);
    expect((await w.ask(asked)).count).toBe(0);
    // It stands in an index that is built again, and after its second filing, which says nothing new.
    const again = await w.again({ repair: { index: true } });
    const me = await again.ensureSubject(MRN);
    const [, read] = await again.directives(me);
    expect(read).toMatchObject({ standing: "valid", witness: { by: next.actor } });
    expect(read!.witness).not.toHaveProperty("doubted");
    const question = { patient: MRN, purposes: ["TREAT"] };
    expect((await again.request(asked, question)).count).toBe(0);
  });

  it("permits too as from when it was held, and was never held under a key retired before", async () => {
    const w = await withRecord();
    const permit = await delivered(w, says("permit"));
    const late = await delivered(w, says("deny", { lineage: "late" }));
    await w.hl.receive(w.me, permit);
    const next = await retireKey(w);
    await expect(w.hl.receive(w.me, late)).rejects.toMatchObject({
      message: expect.stringMatching(/not in force/),
    });
    expect(await w.hl.held(w.me)).toHaveLength(1);
    await w.hl.trustWitnesses([next.actor]);
    await w.hl.receive(w.me, permit);
    expect((await w.ask({ ...w.b, signer: next })).count).toBe(1);
  });

  it("stays held where its key was stolen before it was held, and is filed where it was later", async () => {
    const w = await withRecord();
    const { signer } = w.b;
    const before = w.hl.chain.size;
    const refusal = await delivered(w, says("deny", { lineage: "elsewhere" }));
    await w.hl.receive(w.me, refusal);
    const heldAt = w.hl.chain.size - 1;
    await w.permit();
    for (const [since, status] of [
      [before, "held"],
      [heldAt + 1, "filed"],
    ] as const) {
      const fork = await ward();
      await fork.hl.record(fork.me, observation("bp-1"));
      await fork.hl.receive(fork.me, refusal);
      expect(fork.hl.chain.size - 1).toBe(heldAt);
      await fork.permit();
      const next = memorySigner({ alg: "Ed25519", secret: bytesFor("b2"), actor: signer.actor });
      const { alg, publicKey } = next;
      const more = { actor: signer.actor, op: "recover", use: "sign", alg, publicKey } as const;
      const changes = { ...more, compromisedSince: since };
      const input = approvalInput(fork.hl.id, "key", changes, new Uint8Array(0), 0);
      const approvals = await approve([fork.hospitalA.signer(), fork.institute.signer()], input);
      const entry = await keyEntry(fork.hl.id, signer.actor, "recover", "sign", next, {
        ...{ compromisedSince: since, approvals },
      });
      await fork.write(fork.institute, [entry]);
      await fork.hl.trustWitnesses([signer.actor]);
      expect(await fork.hl.receive(fork.me, refusal)).toMatchObject({ status });
      const answer = await fork.ask({ ...fork.b, signer: next });
      expect(answer.count).toBe(status === "filed" ? 0 : 1);
    }
  });

  it("is void where a hostile writer says of something else that it was held", async () => {
    const w = await withRecord();
    const c = w.c.signer;
    const kept = await w.hl.receive(w.me, await delivered(w, says("deny", { lineage: "a" }), c));
    const forged = await delivered(w, says("permit", { lineage: "forged" }), c);
    await retireKey(w, w.institute);
    await w.hl.trustWitnesses([c.actor]);
    const parts = [
      { id: "salt", bytes: salt },
      { id: "identifier", bytes: encodeIdentifiers([MRN]) },
    ];
    const attested = await w.hl.attest(w.me, { actor: "Patient/p1", capacity: "self" });
    for (const replaces of [kept.id, attested, toEntryId(bytesFor("none"))]) {
      await fileAs(w, "consent", forged.signed, { replaces }, parts);
    }
    expect((await w.hl.directives(w.me)).map(({ standing }) => standing)).toEqual(
      Array.from({ length: 3 }, () => ({ void: "the witness's key was not in force" })),
    );
    expect(await count(w)).toBe(0);
  });

  it("keeps its refusals, and no permit, when its key turns out to have been stolen", async () => {
    const w = await withRecord();
    const { signer } = w.b;
    await w.hl.trustWitnesses([signer.actor]);
    await w.hl.receive(w.me, await delivered(w, says("permit")));
    expect(await count(w)).toBe(1);
    const compromisedSince = w.hl.chain.size - 4;
    const next = memorySigner({ alg: "Ed25519", secret: bytesFor("b2"), actor: signer.actor });
    const { alg, publicKey } = next;
    const replaced = { actor: signer.actor, op: "recover", use: "sign", alg, publicKey } as const;
    const changes = { ...replaced, compromisedSince };
    const input = approvalInput(w.hl.id, "key", changes, new Uint8Array(0), 0);
    const approvals = await approve([w.hospitalA.signer(), w.institute.signer()], input);
    const known = { requester: w.c.signer.actor, purposes: ["TREAT"] };
    const outcomeAt = async (height: number) =>
      (await w.hl.decide(w.me, known, { height })).records[0]!.decision.outcome;
    const before = w.hl.chain.size - 1;
    const more = { compromisedSince, approvals };
    await w.write(w.institute, [
      await keyEntry(w.hl.id, signer.actor, "recover", "sign", next, more),
    ]);
    const [directive] = await w.hl.directives(w.me);
    expect(directive).toMatchObject({ standing: "valid", witness: { doubted: true } });
    expect(await outcomeAt(w.hl.chain.size - 1)).not.toBe("permit");
    // What was known then is not undone.
    expect(await outcomeAt(before)).toBe("permit");
  });

  it("accepts what the grantor signed elsewhere as the grantor's own statement", async () => {
    const w = await withRecord();
    const { patient } = w;
    const { actor, alg, publicKey } = patient;
    await w.hl.attest(w.me, { actor, alg, publicKey, capacity: "self" });
    const directive = treatmentOnly(patient);
    const signed = await signDirective(directive, patient, { ledger: w.hl.id, person: MRN, salt });
    expect(await w.hl.receive(w.me, { signed, salt })).toMatchObject({ status: "filed" });
    expect(await count(w)).toBe(1);
  });

  it("is not believed again when the list that struck its witness off is lost and given up", async () => {
    const w = await withRecord();
    await w.hl.trustWitnesses([w.b.signer.actor]);
    await w.hl.receive(w.me, await delivered(w, says("permit")));
    const id = await w.hl.trustWitnesses([]);
    const { block } = await w.hl.chain.readBlock(w.hl.chain.size - 1);
    const entry = decodeEntry(block.transactions[0]!.entries[0]!) as SubjectEntry;
    await w.hl.close();
    await w.storage.blobs!.delete([entry.body]);
    const hl = await w.again({ repair: { index: true } });
    const asked = { patient: MRN, purposes: ["TREAT"] };
    await expect(hl.request(w.b, asked)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await hl.giveUp([id], { reason: "no backup has it" });
    expect((await hl.request(w.b, asked)).count).toBe(0);
    await hl.trustWitnesses([w.b.signer.actor]);
    expect((await hl.request(w.b, asked)).count).toBe(1);
  });

  it("is erased with the directives, held or filed", async () => {
    const w = await ward();
    await w.hl.receive(w.me, await delivered(w, says("deny")));
    expect(await w.hl.held(w.me)).toHaveLength(1);
    await w.hl.erase(w.me, { all: true, class: "directive", reason: "asked" });
    expect(await w.hl.held(w.me)).toEqual([]);
  });

  it.each([
    ["no list", "x"],
    ["a name twice", ["did:key:a", "did:key:a"]],
    ["no did", ["Hospital B"]],
    ["a did with a blank behind it", ["did:key:a "]],
  ])("takes no list of witnesses that is %s", async (_, list) => {
    const w = await ward();
    await expect(w.hl.trustWitnesses(list as never)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
  });
});
