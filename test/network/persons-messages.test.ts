import { afterEach, describe, expect, it } from "vitest";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { createDirective } from "../../src/consent/model/create-directive.ts";
import type { Directive } from "../../src/consent/model/model.ts";
import { handInDirective, type HandInOptions } from "../../src/ledger/disclosure/hand-in.ts";
import { pullFromCustodian, type Pulled } from "../../src/ledger/disclosure/read-pull.ts";
import { signDirective } from "../../src/ledger/consents/signed-directive.ts";
import { TREAT } from "../support/asking.ts";
import { codeOf } from "../support/elsewhere.ts";
import { MRN, observation } from "../support/hospital.ts";
import { bytesFor, START } from "../support/ledger.ts";
import {
  hospitalsWithPersons,
  person,
  type HospitalsWithPersons,
  type Person,
} from "../support/persons.ts";
import { collect, readable } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const REFUSED = "ERR_TRANSPORT_REFUSED";
const salt = bytesFor("salt of the withdrawal");

const toHome = (two: HospitalsWithPersons, { signer, agreement }: Person) => ({
  ...{ peer: two.toHome, trust: trustFromGenesis(two.genesis), signer, agreement },
  ...{ custodianKey: two.homeKeys.agreement(), now: () => two.clock.now },
});

/** A directive that denies everything, in the name of a person. */
const refusalOf = ({ signer }: Person, change: object = {}): Directive =>
  createDirective({
    ...{ lineage: "withdrawn", grantor: signer.actor, from: START - 1, deny: { id: "all" } },
    ...{ basis: { uri: "https://example.org/policy", version: "1" }, otherwise: "none" },
    ...change,
  });

/** Hands a refusal in as a person, or what a test puts in its place. */
async function handIn(
  two: HospitalsWithPersons,
  who: Person,
  change: Partial<HandInOptions> & { readonly by?: Person; readonly about?: typeof MRN } = {},
) {
  const { by = who, about = MRN, ...rest } = change;
  const whom = { ledger: two.home.id, person: about, salt };
  const signed = await signDirective(refusalOf(by), by.signer, whom);
  return handInDirective({ ...toHome(two, who), patient: MRN, signed, salt, ...rest });
}

const pulledBy = (two: HospitalsWithPersons, who: Person, patient = MRN): Promise<Pulled[]> =>
  collect(pullFromCustodian({ ...toHome(two, who), patient }));

async function hospitals(): Promise<HospitalsWithPersons> {
  const two = await hospitalsWithPersons(closing);
  await two.home.record(two.me, observation("bp-1"));
  return two;
}

describe("a person who hands in a directive", () => {
  it("has it filed and proved, once however often, and it decides from then on", async () => {
    const two = await hospitals();
    await two.permit();
    const ask = () => two.away.ask(two.home.member, TREAT, { peer: two.toHome });
    expect((await ask()).count).toBe(1);
    const { id, receipt } = await handIn(two, two.self);
    expect(verifyReceipt(receipt, trustFromGenesis(two.genesis))).toMatchObject({
      ...{ ok: true, author: two.home.member, id, decoded: { kind: "consent" } },
    });
    expect((await ask()).count).toBe(0);
    expect((await handIn(two, two.self)).id).toBe(id);
    expect(await two.home.directives(two.me)).toHaveLength(2);
  });

  it("may speak for the patient, as far as they may", async () => {
    const two = await hospitals();
    const mother = person("mother");
    await two.attest(mother, "guardian", { to: START });
    const grantor = { actor: mother.signer.actor, capacity: "guardian" } as const;
    const signed = await signDirective(refusalOf(mother, { grantor }), mother.signer, {
      ...{ ledger: two.home.id, person: MRN, salt },
    });
    // As the patient she is nobody.
    expect(await codeOf(handIn(two, mother))).toBe(REFUSED);
    const { id } = await handIn(two, mother, { signed });
    const [filed] = await two.home.directives(two.me);
    expect(filed).toMatchObject({ entry: id, directive: { grantor } });
    two.clock.now = START + 1;
    expect(await codeOf(handIn(two, mother, { signed }))).toBe(REFUSED);
  });

  it("is refused with what is not theirs to say, and nothing is filed", async () => {
    const two = await hospitals();
    const other = { ...MRN, value: "MRN-2" };
    const them = await two.home.ensureSubject(other);
    const [stranger, neighbour] = [person("stranger"), person("neighbour")];
    await two.attest(neighbour, "self", {}, them);
    const theirs = await two.away.ensureSubject(MRN);
    const forged = person("forged");
    const { actor, alg, publicKey } = forged.signer;
    await two.away.attest(theirs, { actor, alg, publicKey, capacity: "self" });
    const { self } = two;
    const expired = person("expired");
    await two.attest(expired, "self", { to: START - 1 });
    const whom = { ledger: two.home.id, person: MRN, salt };
    const good = await signDirective(refusalOf(self), self.signer, whom);
    const altered = good.slice();
    altered[altered.length - 1]! ^= 1;
    const attempts: Record<string, () => Promise<unknown>> = {
      "a stranger": () => handIn(two, stranger),
      "a stranger, with the patient's directive": () => handIn(two, stranger, { signed: good }),
      "who only another member attested": () => handIn(two, forged),
      "who was attested until yesterday": () => handIn(two, expired),
      "another patient, about this one": () => handIn(two, neighbour),
      "another patient, about themselves": () => handIn(two, neighbour, { patient: other }),
      "the patient, for somebody else": () => handIn(two, self, { about: other }),
      "the patient, about somebody else": () => handIn(two, self, { patient: other }),
      "the patient, signed by a stranger": () => handIn(two, self, { by: stranger }),
      "the patient, altered": () => handIn(two, self, { signed: altered }),
      "the patient, with another salt": () => handIn(two, self, { salt: bytesFor("other") }),
      "the patient, of nonsense": () => handIn(two, self, { signed: Uint8Array.of(1) }),
    };
    for (const [what, attempt] of Object.entries(attempts)) {
      expect(await codeOf(attempt()), what).toBe(REFUSED);
    }
    expect(await two.home.directives(two.me)).toEqual([]);
    expect(await two.home.directives(them)).toEqual([]);
    expect(await two.home.held(two.me)).toEqual([]);
  });

  it("may not have a message taken for another: altered, replayed later, or to somebody else", async () => {
    const two = await hospitals();
    let sent = new Uint8Array(0);
    two.toHome.proxy.change = (ask) => (sent = ask.slice());
    const { id } = await handIn(two, two.self);
    const again = () => two.home.answerAsk(sent).then((pages) => collect(pages));
    // The same bytes, as long as they count: the same entry.
    await again();
    expect((await two.home.directives(two.me)).map(({ entry }) => entry)).toEqual([id]);
    await expect(two.away.answerAsk(sent)).rejects.toMatchObject({ code: "ERR_CONSENT_REQUEST" });
    for (let at = 0; at < sent.length; at += 501) {
      const altered = sent.slice();
      altered[at]! ^= 1;
      await expect(two.home.answerAsk(altered), `${at}`).rejects.toMatchObject({
        code: "ERR_CONSENT_REQUEST",
      });
    }
    two.clock.now += 300_000;
    await expect(again()).rejects.toMatchObject({ code: "ERR_CONSENT_REQUEST" });
  });
});

describe("a person who pulls", () => {
  it("gets who saw what and what they said, proved, and nothing of anybody else", async () => {
    const two = await hospitals();
    await two.permit();
    const other = { ...MRN, value: "MRN-2" };
    await two.home.record(await two.home.ensureSubject(other), observation("bp-2"));
    await two.away.ask(two.home.member, TREAT, { peer: two.toHome });
    await two.away.ask(two.home.member, { ...TREAT, patient: other }, { peer: two.toHome });
    const { id } = await handIn(two, two.self);
    const pulled = await pulledBy(two, two.self);
    expect(pulled.map(({ number, kind }) => [number, kind])).toEqual([
      ...[
        [1, "consent"],
        [2, "access"],
        [3, "consent"],
      ],
    ]);
    const [, access, consent] = pulled;
    expect(access).toMatchObject({
      access: { requester: two.away.member, purposes: ["TREAT"], records: [{ released: true }] },
    });
    const [audited] = await readable(two.home.audit(two.me));
    expect(access!.entry).toBe(audited!.id);
    expect(consent).toMatchObject({ entry: id, directive: { lineage: "withdrawn" } });
    const rest = pullFromCustodian({ ...toHome(two, two.self), patient: MRN, after: access! });
    expect((await collect(rest)).map(({ entry }) => entry)).toEqual([id]);
  });

  it("keeps the numbers of what was erased", async () => {
    const two = await hospitals();
    await two.away.ask(two.home.member, TREAT, { peer: two.toHome });
    await two.away.ask(two.home.member, TREAT, { peer: two.toHome });
    await two.home.erase(two.me, { class: "audit", all: true, reason: "x" });
    const kinds = (await pulledBy(two, two.self)).map(({ number, kind }) => [number, kind]);
    expect(kinds).toEqual([
      [1, "erased"],
      [2, "erased"],
      [3, "erase"],
    ]);
  });

  it("is nobody but the patient", async () => {
    const two = await hospitals();
    const other = { ...MRN, value: "MRN-2" };
    const them = await two.home.ensureSubject(other);
    const [mother, stranger, neighbour] = ["mother", "stranger", "neighbour"].map((one) =>
      person(one),
    );
    await two.attest(mother!, "guardian");
    await two.attest(neighbour!, "self", {}, them);
    for (const who of [mother!, stranger!, neighbour!]) {
      expect(await codeOf(pulledBy(two, who))).toBe(REFUSED);
    }
    expect(await codeOf(pulledBy(two, two.self, other))).toBe(REFUSED);
    await two.attest(two.self, "self", { to: START - 1 });
    expect(await codeOf(pulledBy(two, two.self))).toBe(REFUSED);
  });
});
