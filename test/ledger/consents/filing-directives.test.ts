import { describe, expect, it } from "vitest";
import type { Directive } from "../../../src/consent/model/model.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import { commitToPerson } from "../../../src/ledger/consents/signed-directive.ts";
import { witnessDirective } from "../../../src/ledger/consents/witnessed-directive.ts";
import { fileAs } from "../../support/by-hand.ts";
import { keyEntry } from "../../support/forge.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor, START } from "../../support/ledger.ts";
import { ward, type Ward } from "../../support/ward.ts";

// What is acknowledged as filed counts: from the directive to what is released.

const nobody = memorySigner({ alg: "Ed25519", secret: bytesFor("nobody") });
const says = (effect: "permit" | "deny", change: Partial<Directive> = {}): Directive => ({
  ...treatmentOnly(nobody),
  grantor: { actor: "Patient/p1", capacity: "self", evidence: [] },
  root: { id: effect, effect, combine: "deny-overrides", when: {} },
  default: "none",
  ...change,
});
const stops = (mode: "suspend" | "revoke", change: Partial<Directive> = {}): Directive => {
  const { root: _, ...rest } = says("deny", { mode, ...change });
  return rest;
};
const witness = { user: "clerk-7", form: "paper" as const, takenAt: START };
const salt = bytesFor("salt");
const delivered = async (w: Ward, directive: Directive) => ({
  signed: await witnessDirective(directive, w.b.signer, {
    ...{ ledger: w.hl.id, about: commitToPerson(salt, MRN), user: "nurse-3", form: "oral" },
    ...{ takenAt: START, evidence: [] },
  }),
  salt,
});
async function withRecord(): Promise<Ward> {
  const w = await ward();
  await w.hl.record(w.me, observation("bp-1"));
  return w;
}
const count = async (w: Ward): Promise<number> => (await w.ask()).count;
const TWICE = {
  code: "ERR_CONSENT_INVALID",
  message: expect.stringMatching(/filed before, and another followed it/),
};

describe("a directive that was filed before", () => {
  it("is not acknowledged again as a refusal where it was revoked meanwhile", async () => {
    const w = await withRecord();
    await w.hl.consent(w.me, says("permit", { lineage: "open" }), { witness });
    const refusal = says("deny", { lineage: "Consent/1" });
    await w.hl.consent(w.me, refusal, { witness });
    const revoked = await w.hl.consent(w.me, stops("revoke", { lineage: "Consent/1" }), {
      witness,
    });
    expect(await count(w)).toBe(1);
    const size = w.hl.chain.size;
    await expect(w.hl.consent(w.me, refusal, { witness })).rejects.toMatchObject(TWICE);
    expect(w.hl.chain.size).toBe(size);
    await w.hl.consent(w.me, { ...refusal, predecessors: [revoked.id] }, { witness });
    expect(await count(w)).toBe(0);
  });

  it("does not suspend a directive again that was resumed meanwhile, and says so", async () => {
    const w = await withRecord();
    await w.hl.consent(w.me, says("permit"), { witness });
    const suspended = await w.hl.consent(w.me, stops("suspend"), { witness });
    const resumed = await w.hl.consent(w.me, says("permit", { predecessors: [suspended.id] }), {
      witness,
    });
    expect(await count(w)).toBe(1);
    await expect(w.hl.consent(w.me, stops("suspend"), { witness })).rejects.toMatchObject(TWICE);
    const again = stops("suspend", { predecessors: [resumed.id] });
    await w.hl.consent(w.me, again, { witness });
    expect(await count(w)).toBe(0);
  });

  it("is filed again where nothing came between: the first answer may have been lost", async () => {
    const w = await withRecord();
    await w.hl.consent(w.me, says("deny", { lineage: "other" }), { witness });
    await w.hl.consent(w.me, says("deny"), { witness });
    await w.hl.consent(w.me, says("permit", { lineage: "third" }), { witness });
    await w.hl.consent(w.me, says("deny"), { witness });
    expect(await w.hl.directives(w.me)).toHaveLength(4);
  });

  it("is filed again after all were erased", async () => {
    const w = await ward();
    await w.hl.consent(w.me, says("deny"), { witness });
    await w.hl.consent(w.me, stops("revoke"), { witness });
    await w.hl.erase(w.me, { all: true, class: "directive", reason: "asked" });
    await w.hl.consent(w.me, says("deny"), { witness });
    await w.hl.record(w.me, observation("bp-1"));
    await w.hl.consent(w.me, says("permit", { lineage: "open" }), { witness });
    expect(await count(w)).toBe(0);
  });
});

describe("a directive that is being filed", () => {
  it("is not acknowledged where its witness's key is retired before it has its place", async () => {
    const w = await withRecord();
    await w.permit();
    const { signer } = w.b;
    await w.hl.trustWitnesses([signer.actor]);
    const next = memorySigner({ alg: "Ed25519", secret: bytesFor("b2"), actor: signer.actor });
    await w.write(w.hospitalB, [await keyEntry(w.hl.id, signer.actor, "add", "sign", next)]);
    w.traps.before = async () => {
      const retired = await keyEntry(w.hl.id, signer.actor, "retire", "sign", signer);
      await w.write(w.hospitalB, [retired]);
    };
    const refusal = await delivered(w, says("deny", { lineage: "elsewhere" }));
    await expect(w.hl.receive(w.me, refusal)).rejects.toMatchObject({
      code: "ERR_CONSENT_INVALID",
      message: expect.stringMatching(/was filed but is void: .* not in force/),
    });
  });

  it("is held although others that were filed or held cannot be read", async () => {
    const w = await withRecord();
    const [first, second] = await Promise.all(
      ["one", "two"].map((lineage) => delivered(w, says("deny", { lineage }))),
    );
    // Without the salt nobody can tell whom it is about.
    await fileAs(w, "consent", first!.signed);
    expect(await w.hl.receive(w.me, first!)).toMatchObject({ status: "held" });
    expect(await w.hl.held(w.me)).toHaveLength(1);
    await fileAs(w, "link", first!.signed, { op: "held" });
    expect(await w.hl.receive(w.me, second!)).toMatchObject({ status: "held" });
    await expect(w.hl.held(w.me)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
  });

  it("is never looked for among what is held of a person whom nobody knows", async () => {
    const w = await ward();
    await expect(w.hl.held({ local: bytesFor("nobody").slice(0, 16) })).rejects.toMatchObject({
      code: "ERR_INPUT_UNKNOWN_SUBJECT",
    });
  });
});
