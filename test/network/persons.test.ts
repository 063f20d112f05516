import { afterEach, describe, expect, it } from "vitest";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { createDirective } from "../../src/consent/model/create-directive.ts";
import { capacityRole, ownAccess } from "../../src/consent/own-access.ts";
import { signAttestation } from "../../src/ledger/disclosure/attestation.ts";
import { askCustodian } from "../../src/ledger/disclosure/ask-custodian.ts";
import { codeOf } from "../support/elsewhere.ts";
import { MRN, alcoholDependence, observation } from "../support/hospital.ts";
import { START } from "../support/ledger.ts";
import {
  hospitalsWithPersons,
  keysOf,
  person,
  type HospitalsWithPersons,
} from "../support/persons.ts";
import { collect, opened, readable, texts, ward } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const REFUSED = "ERR_TRANSPORT_REFUSED";
const basis = { uri: "https://example.org/policy", version: "1" };

/** Hospitals with one record about the patient. */
async function hospitals(
  options: Parameters<typeof hospitalsWithPersons>[1] = {},
): Promise<HospitalsWithPersons> {
  const two = await hospitalsWithPersons(closing, options);
  await two.home.record(two.me, observation("bp-1"));
  return two;
}

describe("a person who asks", () => {
  it("gets their own records with proofs, on record like everybody's access", async () => {
    const two = await hospitals();
    const answer = await two.asks(two.self);
    const [item, ...more] = await opened(answer);
    expect(more).toEqual([]);
    expect(item!.resource).toMatchObject({ resourceType: "Observation", id: "bp-1" });
    const proved = verifyReceipt(item!.receipt, trustFromGenesis(two.genesis));
    expect(proved).toMatchObject({ ok: true, author: two.home.member });
    const [access, ...others] = await readable(two.home.audit(two.me));
    expect(others).toEqual([]);
    expect(access).toMatchObject({
      ...{ id: answer.access, requester: two.self.signer.actor, purposes: ["PATRQT"] },
      roles: ["healthledger|self"],
      records: [{ released: true }],
    });
  });

  it("gets nothing that a directive of theirs or nobody's permit leaves closed", async () => {
    const two = await hospitals();
    const { away } = two;
    // The default is about persons alone: it opens nothing to a member, whatever role it claims.
    const roles = [{ code: capacityRole("self"), attestedBy: away.member }];
    const attestations = await Promise.all(
      [two.awayKeys, two.homeKeys].map((keys) =>
        signAttestation(
          {
            ...{ ledger: two.home.id, requester: away.member, role: capacityRole("self") },
            ...{ from: START - 1, to: START + 1000 },
          },
          keys.signer(),
        ),
      ),
    );
    for (const what of [
      {},
      { user: "she" },
      { user: "she", roles },
      { user: "she", attestations },
    ]) {
      const asked = { patient: MRN, purposes: ["PATRQT"], ...what };
      expect((await away.ask(two.home.member, asked, { peer: two.toHome })).count).toBe(0);
    }
    await two.home.consent(
      two.me,
      createDirective({
        ...{ lineage: "privacy", grantor: two.self.signer.actor, basis, from: START - 1 },
        ...{ deny: { types: ["Observation"] }, otherwise: "none" },
      }),
      { signer: two.self.signer },
    );
    const answer = await two.asks(two.self);
    expect(answer.count).toBe(0);
    expect(answer.decision).toMatchObject({ outcome: "deny", reasons: [] });
    const accesses = await readable(two.home.audit(two.me));
    expect(accesses.at(-1)).toMatchObject({
      ...{ id: answer.access, records: [{ released: false, decision: { outcome: "deny" } }] },
    });
  });

  it("may be permitted by name, and by capacity, in a directive", async () => {
    const two = await hospitals({ capacities: [] });
    expect((await two.asks(two.self)).count).toBe(0);
    const mother = person("mother");
    await two.attest(mother, "guardian");
    expect((await two.asks(mother)).count).toBe(0);
    const said = { grantor: two.self.signer.actor, basis, from: START - 1 } as const;
    const file = (lineage: string, permit: object) =>
      two.home.consent(two.me, createDirective({ ...said, lineage, permit, otherwise: "none" }), {
        signer: two.self.signer,
      });
    await file("mother", { roles: [capacityRole("guardian")], purposes: ["FAMRQT"] });
    expect((await two.asks(mother)).count).toBe(0);
    expect((await two.asks(mother, { purposes: ["FAMRQT"] })).count).toBe(1);
    await file("self", { actors: [{ type: "person", id: two.self.signer.actor }] });
    expect((await two.asks(two.self)).count).toBe(1);
  });

  it("gets only what is within the term and the scope of their capacity", async () => {
    const two = await hospitals({ capacities: ["self", "guardian", "proxy"] });
    await two.home.record(two.me, alcoholDependence("c-1"));
    const mother = person("mother");
    await two.attest(mother, "guardian", { from: START + 1000, to: START + 2000 });
    expect(await codeOf(two.asks(mother))).toBe(REFUSED);
    two.clock.now = START + 1000;
    expect((await two.asks(mother)).count).toBe(2);
    two.clock.now = START + 2001;
    expect(await codeOf(two.asks(mother))).toBe(REFUSED);

    const clerk = person("clerk", "Practitioner/clerk");
    const by = { actor: two.self.signer.actor, capacity: "self" } as const;
    const scope = { purposes: ["PATRQT"], data: { types: ["Observation"] } };
    await two.attest(clerk, "proxy", { by, scope });
    const answer = await two.asks(clerk);
    expect(await texts(answer)).toEqual([observation("bp-1")]);
    // A purpose beside the permitted one makes the whole request one for more than was granted.
    expect((await two.asks(clerk, { purposes: ["PATRQT", "TREAT"] })).count).toBe(0);
    expect((await two.asks(clerk, { purposes: ["TREAT"] })).count).toBe(0);
    const last = (await readable(two.home.audit(two.me))).at(-3)!;
    expect(last).toMatchObject({ id: answer.access, roles: ["healthledger|proxy"] });
    expect(last.records.map(({ released }) => released)).toEqual([true, false]);
    // The grant of a proxy rests on the capacity of who granted it.
    const { actor, alg, publicKey } = two.self.signer;
    await two.home.attest(two.me, {
      actor,
      alg,
      publicKey,
      capacity: "self",
      to: two.clock.now - 1,
    });
    expect(await codeOf(two.asks(clerk))).toBe(REFUSED);
  });

  it("cannot make anybody of themselves: no role, no user, no member's name, no broken glass", async () => {
    const two = await hospitals({ capacities: [] });
    const { actor } = two.self.signer;
    const declaration = { reason: "I say so", until: START + 60_000 };
    const roles = [{ code: "emergency-physician", attestedBy: actor }];
    const asked = { purposes: ["BTG"], declaration };
    expect(await codeOf(two.asks(two.self, { ...asked, roles }))).toBe(REFUSED);
    expect(await codeOf(two.asks(two.self, { user: "Practitioner/7" }))).toBe(REFUSED);
    expect((await two.asks(two.self, asked)).count).toBe(0);
    const named = person("names a member", two.away.member);
    await two.attest(named, "self");
    await two.permit();
    expect(await codeOf(two.asks(named, { purposes: ["TREAT"] }))).toBe(REFUSED);
    expect(await collect(two.home.pendingReviews())).toEqual([]);
  });
});

describe("who has no attested keys for the person", () => {
  it("is refused alike, on record nowhere, whether or not anybody is known by that number", async () => {
    const two = await hospitals();
    const other = await two.home.ensureSubject({ ...MRN, value: "MRN-2" });
    const stranger = person("stranger");
    const [neighbour, half, late] = [person("neighbour"), person("half"), person("late")];
    await two.attest(neighbour, "self", {}, other);
    await two.home.attest(two.me, {
      ...{ actor: half.signer.actor, capacity: "self" },
      ...{ alg: half.signer.alg, publicKey: half.signer.publicKey },
    });
    await two.attest(late, "self", { to: START - 1 });
    const { self, asks } = two;
    const asking = {
      "a stranger": () => asks(stranger),
      "a stranger, of nobody": () => asks(stranger, { patient: { ...MRN, value: "MRN-3" } }),
      "the person, of nobody": () => asks(self, { patient: { ...MRN, value: "MRN-3" } }),
      "the person, of another": () => asks(self, { patient: { ...MRN, value: "MRN-2" } }),
      "another person": () => asks(neighbour),
      "who signs as another": () =>
        asks({
          signer: { ...stranger.signer, actor: self.signer.actor, key: self.signer.key },
          agreement: self.agreement,
        }),
      "who wants another's answer": () => asks({ ...self, agreement: stranger.agreement }),
      "who wants to answer to another": () => asks({ ...stranger, agreement: self.agreement }),
      "who has no attested key to receive by": () => asks(half),
      "whose attestations have ended": () => asks(late),
      "a request of the future": () => asks(self, { now: () => START + 600_000 }),
      "a request that has ended": () => asks(self, { now: () => START - 300_000 }),
    };
    for (const [what, ask] of Object.entries(asking)) {
      expect(await codeOf(ask()), what).toBe(REFUSED);
    }
    expect(new Set(two.toHome.proxy.statuses)).toEqual(new Set([403]));
    expect(two.toHome.proxy.answers).toEqual([]);
    expect(await readable(two.home.audit(two.me))).toEqual([]);
    expect(await readable(two.home.audit(null))).toEqual([]);
  });

  it("finds no belief in what another member attests of them", async () => {
    const two = await hospitals();
    const theirs = await two.away.ensureSubject(MRN);
    const stranger = person("stranger");
    for (const use of ["sign", "agree"] as const) {
      const { alg, publicKey } = use === "sign" ? stranger.signer : stranger.agreement;
      const key = { actor: stranger.signer.actor, use, alg, publicKey, capacity: "self" } as const;
      await two.away.attest(theirs, key);
    }
    expect(await codeOf(two.asks(stranger))).toBe(REFUSED);
  });

  it("stays refused after their keys were retired, and gets nothing more of an answer under way", async () => {
    const two = await hospitals();
    expect((await two.asks(two.self)).count).toBe(1);
    let sent = new Uint8Array(0);
    two.toHome.proxy.change = (ask) => (sent = ask.slice());
    await two.asks(two.self);
    const pages = await two.home.answerAsk(sent);
    await two.attest(two.self, "self", { to: two.clock.now - 1 });
    await expect(collect(pages)).rejects.toMatchObject({ code: "ERR_CONSENT_REQUEST" });
    expect(await codeOf(two.asks(two.self))).toBe(REFUSED);
    // The bytes that were answered before are refused now, too.
    await expect(two.home.answerAsk(sent)).rejects.toMatchObject({ code: "ERR_CONSENT_REQUEST" });
  });

  it("gets nothing if a key is retired before the access entry has its place", async () => {
    const defaults = [ownAccess({ organisation: "hospital a", from: START - 1 })];
    const w = await ward({ policy: { defaults } });
    const { signer, agreement } = person("patient");
    const [signs, receives] = keysOf({ signer, agreement }, "self");
    for (const key of [signs, receives]) await w.hl.attest(w.me, key);
    await w.hl.record(w.me, observation("bp-1"));
    const other = await w.again();
    for (const retired of [signs, receives]) {
      w.traps.before = async () => void (await other.attest(w.me, { ...retired, to: START - 1 }));
      const asking = askCustodian({
        ...{ trust: trustFromGenesis(w.genesis), signer, agreement, now: () => w.clock.now },
        ...{ custodianKey: w.hospitalA.agreement(), patient: MRN, purposes: ["PATRQT"] },
        peer: {
          did: w.hl.member,
          async *ask(sealed) {
            yield* await w.hl.answerAsk(sealed);
          },
        },
      });
      expect(await codeOf(asking)).toBe("ERR_CONSENT_REQUEST");
      const [access] = (await w.audit()).slice(-1);
      expect(access!.records).toMatchObject([{ released: false, withdrawn: { outcome: "deny" } }]);
      await w.hl.attest(w.me, retired);
    }
  });
});

describe("two persons who are one", () => {
  it("ask by the keys of either for as long as they are joined", async () => {
    const two = await hospitals();
    const other = await two.home.ensureSubject({ ...MRN, value: "MRN-2" });
    await two.home.record(other, observation("bp-2"));
    const asked = { patient: { ...MRN, value: "MRN-2" } };
    expect(await codeOf(two.asks(two.self, asked))).toBe(REFUSED);
    const link = await two.home.merge(other, two.me, { reason: "same papers" });
    expect((await two.asks(two.self, asked)).count).toBe(2);
    await two.home.unmerge(link, { reason: "they were not" });
    expect(await codeOf(two.asks(two.self, asked))).toBe(REFUSED);
    expect((await two.asks(two.self)).count).toBe(1);
  });

  it("are two to who has one key for both: each asks for each", async () => {
    const two = await hospitals({ capacities: ["guardian"] });
    const other = await two.home.ensureSubject({ ...MRN, value: "MRN-2" });
    await two.home.record(other, observation("bp-2"));
    const mother = person("mother");
    await two.attest(mother, "guardian");
    await two.attest(mother, "guardian", { to: START + 1000 }, other);
    const asked = { patient: { ...MRN, value: "MRN-2" } };
    expect(await texts(await two.asks(mother))).toEqual([observation("bp-1")]);
    expect(await texts(await two.asks(mother, asked))).toEqual([observation("bp-2")]);
    two.clock.now += 1001;
    expect(await codeOf(two.asks(mother, asked))).toBe(REFUSED);
    expect((await two.asks(mother)).count).toBe(1);
  });
});

describe("what is seen of a person who asks", () => {
  it("is no key, name, number or purpose, on the way and in the budget", async () => {
    const names: string[] = [];
    const two = await hospitals();
    const sent: Uint8Array[] = [];
    two.toHome.proxy.change = (ask) => {
      sent.push(ask.slice());
      return ask;
    };
    const first = await two.asks(two.self);
    await two.asks(two.self);
    const admit = (name: string) => void names.push(name);
    for (const ask of sent) for await (const _ of await two.home.answerAsk(ask, { admit })) void _;
    expect(names[0]).toMatch(/^person [0-9a-f]{64}$/);
    expect(names[1]).toBe(names[0]);
    const { actor, key, publicKey } = two.self.signer;
    const hidden = [actor, MRN.value, MRN.system, "PATRQT", first.access].map((one) =>
      Buffer.from(one),
    );
    for (const bytes of [key, publicKey, two.self.agreement.key, two.self.agreement.publicKey]) {
      const hex = Buffer.from(bytes).toString("hex");
      expect(names[0]).not.toContain(hex);
      hidden.push(Buffer.from(bytes), Buffer.from(hex));
    }
    const seen = Buffer.concat([...two.toHome.proxy.asks, ...two.toHome.proxy.answers]);
    expect(seen.length).toBeGreaterThan(2000);
    for (const one of hidden) expect(seen.includes(one)).toBe(false);
  });

  it("is a request in clear if it is handed over otherwise, so that it is refused", async () => {
    const two = await hospitals();
    const request = await two.home.request(two.self, { patient: MRN, purposes: ["PATRQT"] }).then(
      () => "resolved",
      (error: { code: string }) => error.code,
    );
    expect(request).toBe("ERR_CONSENT_REQUEST");
  });
});
