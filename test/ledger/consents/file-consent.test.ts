import { describe, expect, it } from "vitest";
import { directiveCid } from "../../../src/consent/model/directive.ts";
import type { Directive } from "../../../src/consent/model/model.ts";
import type { AttestedKey } from "../../../src/ledger/consents/attested-key.ts";
import { signDirective } from "../../../src/ledger/consents/signed-directive.ts";
import { decode, encode } from "../../../src/codec/dag-cbor.ts";
import { memoryAgreement } from "../../../src/identity/agreement.ts";
import type { Signer } from "../../../src/identity/signer.ts";
import { signWith } from "../../../src/identity/signer.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor, START } from "../../support/ledger.ts";
import { revoking, ward, type Ward } from "../../support/ward.ts";

const person = (name: string, actor?: string): Signer =>
  memorySigner({ alg: "Ed25519", secret: bytesFor(name), ...(actor && { actor }) });
const attested = (signer: Signer, more: Partial<AttestedKey> = {}): AttestedKey => ({
  actor: signer.actor,
  alg: signer.alg,
  publicKey: signer.publicKey,
  capacity: "self",
  ...more,
});
const salt = bytesFor("salt");
/** A directive as its grantor signed it elsewhere, for this ledger and about this person. */
const signedFor = async (w: Ward, directive: Directive, signer: Signer) => ({
  signed: await signDirective(directive, signer, { ledger: w.hl.id, person: MRN, salt }),
  salt,
});
const VOID = (why: RegExp) => ({
  code: "ERR_CONSENT_INVALID",
  message: expect.stringMatching(why),
});
const refusal = (patient: Signer, change: Partial<Directive> = {}) =>
  treatmentOnly(patient, {
    root: { id: "no", effect: "deny", combine: "deny-overrides", when: {} },
    ...change,
  });

describe("consent", () => {
  it("refuses a directive whose grantor's key nobody attested", async () => {
    const w = await ward();
    await w.permit();
    const stranger = person("stranger");
    await expect(
      w.hl.consent(w.me, treatmentOnly(stranger), { signer: stranger }),
    ).rejects.toMatchObject(VOID(/not attested/));
    const signed = await signedFor(w, treatmentOnly(stranger), stranger);
    await expect(w.hl.consent(w.me, treatmentOnly(stranger), signed)).rejects.toMatchObject(
      VOID(/not attested/),
    );
    expect(await w.hl.directives(w.me)).toHaveLength(1);
  });

  it("attests the first key only of who signs here and speaks for himself", async () => {
    const w = await ward();
    const signed = await signedFor(w, treatmentOnly(w.patient), w.patient);
    await expect(w.hl.consent(w.me, treatmentOnly(w.patient), signed)).rejects.toMatchObject(
      VOID(/not attested/),
    );
    const mother = person("mother");
    const directive = treatmentOnly(mother, {
      grantor: { actor: mother.actor, capacity: "guardian", evidence: [] },
    });
    await expect(w.hl.consent(w.me, directive, { signer: mother })).rejects.toMatchObject(
      VOID(/not attested/),
    );
    await w.hl.attest(w.me, attested(w.patient));
    await w.hl.consent(w.me, treatmentOnly(w.patient), signed);
    await w.hl.record(w.me, observation("bp-1"));
    expect((await w.ask()).count).toBe(1);
  });

  it("lets nobody speak by a key that receives, nor fall silent with it", async () => {
    const w = await ward();
    const { alg, publicKey } = memoryAgreement({ alg: "X25519", secret: bytesFor("receives") });
    const { actor } = w.patient;
    const receiving = { actor, use: "agree", alg, publicKey, capacity: "self" } as const;
    await w.hl.attest(w.me, { ...receiving, to: START - 1 });
    // The first key that speaks is still attested with the directive, and nothing has ended its capacity.
    await w.hl.consent(w.me, treatmentOnly(w.patient), { signer: w.patient });
    await w.hl.record(w.me, observation("bp-1"));
    expect((await w.ask()).count).toBe(1);
    const asked = { requester: w.hospitalB.signer().actor, purposes: ["TREAT"] };
    await w.hl.attest(w.me, { ...receiving, to: START });
    const { facts } = await w.hl.decide(w.me, asked, { asOf: START });
    expect(facts.capacities).toHaveLength(1);
    expect(facts.links).toHaveLength(1);
    const mother = person("mother");
    const guardian = { ...receiving, actor: mother.actor, capacity: "guardian" } as const;
    await w.hl.attest(w.me, guardian);
    const directive = treatmentOnly(mother, {
      grantor: { actor: mother.actor, capacity: "guardian", evidence: [] },
    });
    await expect(w.hl.consent(w.me, directive, { signer: mother })).rejects.toMatchObject(
      VOID(/not attested/),
    );
  });

  it("takes but one key as the first, also of two that come at once", async () => {
    const w = await ward();
    const stranger = person("stranger");
    const both = await Promise.allSettled([
      w.hl.consent(w.me, treatmentOnly(w.patient), { signer: w.patient }),
      w.hl.consent(w.me, treatmentOnly(stranger), { signer: stranger }),
    ]);
    expect(both.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    expect(await w.hl.directives(w.me)).toHaveLength(1);
    await w.hl.consent(w.me, revoking(w.patient), { signer: w.patient });
  });

  it("refuses a signature by another key, over other bytes, or in another's name", async () => {
    const w = await ward();
    await w.permit();
    const directive = refusal(w.patient);
    const given = await signedFor(w, directive, w.patient);
    const fields = decode(given.signed) as { about: Uint8Array };
    const input = encode([directiveCid(directive), w.hl.id, fields.about]);
    const { directive: bytes } = decode(given.signed) as { directive: Uint8Array };
    for (const sig of [
      await signWith(person("stranger"), "directive", input),
      await signWith(w.patient, "request", input),
      // As directives were signed before they were bound to ledger and person.
      await signWith(w.patient, "directive", bytes),
    ]) {
      const signed = encode({ ...fields, sig });
      await expect(w.hl.consent(w.me, directive, { signed, salt })).rejects.toMatchObject(
        VOID(/signature/),
      );
    }
    await expect(w.hl.consent(w.me, treatmentOnly(w.patient), given)).rejects.toMatchObject(
      VOID(/a different directive/),
    );
    await expect(signedFor(w, directive, person("stranger"))).rejects.toMatchObject(
      VOID(/another grantor/),
    );
    await expect(
      w.hl.consent(w.me, directive, { signed: bytesFor("noise"), salt }),
    ).rejects.toHaveProperty("code");
    expect(await w.hl.directives(w.me)).toHaveLength(1);
  });

  it("does not let a guardian's key speak as the patient himself", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    const mother = person("mother");
    await w.hl.attest(w.me, attested(mother, { capacity: "guardian", to: START - 1 }));
    await expect(
      w.hl.consent(w.me, treatmentOnly(mother), { signer: mother }),
    ).rejects.toMatchObject(VOID(/this capacity/));
    expect((await w.ask()).count).toBe(0);
  });

  it("ends a guardian's permit with the guardian's capacity", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    const mother = person("mother");
    const asGuardian = { capacity: "guardian" as const, to: START + 1000 };
    await w.hl.attest(w.me, attested(mother, asGuardian));
    const permit = treatmentOnly(mother, {
      grantor: { actor: mother.actor, capacity: "guardian", evidence: [] },
    });
    await w.hl.consent(w.me, permit, { signer: mother });
    expect((await w.ask()).count).toBe(1);
    w.clock.now = START + 1000;
    expect((await w.ask()).count).toBe(1);
    w.clock.now = START + 1001;
    const answer = await w.ask();
    expect(answer.count).toBe(0);
    expect(answer.decision).toMatchObject({ outcome: "deny", setAside: [] });
    await expect(w.hl.consent(w.me, permit, { signer: mother })).rejects.toMatchObject(
      VOID(/not valid then/),
    );
  });

  it("lets the newest attestation of a key count", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    const mother = person("mother");
    const permit = treatmentOnly(mother, {
      grantor: { actor: mother.actor, capacity: "guardian", evidence: [] },
    });
    await w.hl.attest(w.me, attested(mother, { capacity: "guardian" }));
    await w.hl.consent(w.me, permit, { signer: mother });
    expect((await w.ask()).count).toBe(1);
    await w.hl.attest(w.me, attested(mother, { capacity: "guardian", to: START - 1 }));
    expect((await w.ask()).count).toBe(0);
    await expect(w.hl.consent(w.me, permit, { signer: mother })).rejects.toMatchObject(
      VOID(/not valid then/),
    );
    await w.hl.attest(w.me, attested(mother, { capacity: "guardian" }));
    expect((await w.ask()).count).toBe(1);
  });

  it("takes a second key of the patient once it is attested", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    const tablet = person("tablet", w.patient.actor);
    const directive = revoking(tablet);
    await expect(w.hl.consent(w.me, directive, { signer: tablet })).rejects.toMatchObject(
      VOID(/not attested/),
    );
    await w.hl.attest(w.me, attested(tablet));
    await w.hl.consent(w.me, directive, { signer: tablet });
    expect((await w.ask()).count).toBe(0);
  });

  it("refuses attestations that could not be read again", async () => {
    const w = await ward();
    for (const bad of [
      { publicKey: new Uint8Array(31) },
      { actor: "x".repeat(2000) },
      { from: 0.5 },
      { capacity: "owner" as never },
    ]) {
      await expect(w.hl.attest(w.me, attested(w.patient, bad))).rejects.toThrow();
    }
    // Somebody who came of age before 1970.
    await w.hl.attest(w.me, attested(w.patient, { from: Date.UTC(1950, 0, 1) }));
    await w.hl.attest(w.me, { ...attested(w.patient), note: "by phone" } as never);
    await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    expect((await w.ask()).count).toBe(1);
  });

  it("sets a stale replacement aside as contested until one names both", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    const first = await w.permit();
    const second = await w.permit({ predecessors: [first] });
    expect((await w.ask()).count).toBe(1);
    // An old paper, scanned late: it knows of the first statement only, and refuses.
    const late = await w.hl.consent(w.me, refusal(w.patient, { predecessors: [first] }), {
      signer: w.patient,
    });
    expect((await w.ask()).count).toBe(0);
    await w.permit({ predecessors: [second, late.id] });
    expect((await w.ask()).count).toBe(1);
  });

  it("ends a lineage by revocation, and takes it up again by a new statement", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    const first = await w.permit();
    expect((await w.ask()).count).toBe(1);
    const end = await w.hl.consent(w.me, revoking(w.patient), { signer: w.patient });
    const ended = await w.ask();
    expect([ended.count, ended.decision.outcome]).toEqual([0, "deny"]);
    await w.permit({ predecessors: [first, end.id] });
    expect((await w.ask()).count).toBe(1);
  });

  it("asks the organisation's own policy only where the patient is silent", async () => {
    const policy: Directive = {
      ...treatmentOnly(person("officer")),
      lineage: "house-rules",
      default: "none",
      root: {
        id: "staff",
        effect: "permit",
        combine: "deny-overrides",
        when: { purposes: ["TREAT"] },
      },
    };
    const w = await ward({ policy: { defaults: [policy] } });
    await w.hl.record(w.me, observation("bp-1"));
    expect((await w.ask()).count).toBe(1);
    expect((await w.ask(w.b, { purposes: ["HRESCH"] })).count).toBe(0);
    await w.hl.consent(w.me, refusal(w.patient), { signer: w.patient });
    expect((await w.ask()).count).toBe(0);
  });

  it("refuses where it does not understand an obligation, and passes on what it does", async () => {
    const root = {
      id: "root",
      effect: "permit" as const,
      combine: "deny-overrides" as const,
      when: {},
      obligations: ["ENCRYPT"],
      refrains: ["NORDSCLCD"],
    };
    for (const supportedObligations of [[], ["ENCRYPT"]]) {
      const w = await ward({ policy: { supportedObligations } });
      await w.permit({ root });
      await w.hl.record(w.me, observation("bp-1"));
      const answer = await w.ask();
      expect(answer.count).toBe(supportedObligations.length);
      if (supportedObligations.length > 0) {
        expect(answer.decision).toMatchObject({
          obligations: ["ENCRYPT"],
          refrains: ["NORDSCLCD"],
        });
      }
    }
  });

  it("holds a directive under one law against records under that law", async () => {
    for (const [jurisdictions, count] of [
      [["DE", "DE-BY"], 1],
      [["US-NY"], 0],
    ] as const) {
      const w = await ward({ policy: { jurisdictions } });
      await w.permit({ jurisdictions: ["DE"] });
      await w.hl.record(w.me, observation("bp-1"));
      expect((await w.ask()).count).toBe(count);
    }
  });

  it("keeps one person's directives from another", async () => {
    const w = await ward();
    await w.permit();
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    await w.hl.record(other, observation("bp-1"));
    expect((await w.ask(w.b, { patient: { ...MRN, value: "other" } })).count).toBe(0);
  });

  it("judges by what was attested when the directive was filed, after a restart too", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    await w.permit();
    await w.hl.close();
    const again = await w.open();
    const me = await again.ensureSubject(MRN);
    expect((await again.directives(me)).map(({ standing }) => standing)).toEqual(["valid"]);
    const ask = () => again.request(w.b, { patient: MRN, purposes: ["TREAT"] });
    expect((await ask()).count).toBe(1);
  });
});
