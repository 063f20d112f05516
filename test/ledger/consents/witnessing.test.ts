import { describe, expect, it } from "vitest";
import { toEntryId, type EntryId } from "../../../src/codec/ids.ts";
import { decodeEntry, type SubjectEntry } from "../../../src/block/entry.ts";
import { utf8ToBytes } from "../../../src/bytes/utf8.ts";
import { decode, encode } from "../../../src/codec/dag-cbor.ts";
import { cidOf, DAG_CBOR } from "../../../src/codec/cid.ts";
import { directiveCid } from "../../../src/consent/model/directive.ts";
import type { Directive } from "../../../src/consent/model/model.ts";
import { fromConsent } from "../../../src/fhir/index.ts";
import { memorySigner, signWith, type Signer } from "../../../src/identity/signer.ts";
import type { WitnessOptions } from "../../../src/ledger/consents/evidence.ts";
import { fileAs } from "../../support/by-hand.ts";
import { encodeIdentifiers } from "../../../src/ledger/index/rows.ts";
import type { Subject } from "../../../src/ledger/entries/subjects.ts";
import { commitToPerson, signDirective } from "../../../src/ledger/consents/signed-directive.ts";
import {
  witnessDirective,
  type Witness,
} from "../../../src/ledger/consents/witnessed-directive.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor, START } from "../../support/ledger.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const scan = { mediaType: "application/pdf", bytes: utf8ToBytes("%PDF-1.7 signed: J. Doe") };
const log = { mediaType: "text/plain", bytes: utf8ToBytes("10:14 shown, 10:15 signed") };
const clerk: WitnessOptions = { user: "clerk-7", form: "paper", takenAt: START - 60_000 };
const VOID = (why: RegExp) => ({
  code: "ERR_CONSENT_INVALID",
  message: expect.stringMatching(why),
});
/** The patient by a name of FHIR's, without any key. */
const byName = (change: Partial<Directive> = {}): Directive => ({
  ...treatmentOnly(memorySigner({ alg: "Ed25519", secret: bytesFor("nobody") })),
  grantor: { actor: "Patient/p1", capacity: "self", evidence: [] },
  ...change,
});
const rule = (effect: "permit" | "deny"): Directive["root"] => ({
  ...{ id: effect, effect, combine: "deny-overrides", when: {} },
});
const permits = (change: Partial<Directive> = {}): Directive =>
  byName({ root: rule("permit")!, default: "none", ...change });
const refuses = (change: Partial<Directive> = {}): Directive =>
  byName({ root: rule("deny")!, default: "deny", lineage: "refusal", ...change });

const salt = bytesFor("salt");
/** What a custodian delivers: witnessed as it says, about the patient, and the salt. */
async function witnessed(
  w: Ward,
  directive: Directive,
  by: Signer,
  told: Partial<Witness> = {},
): Promise<{ readonly signed: Uint8Array; readonly salt: Uint8Array }> {
  const signed = await witnessDirective(directive, by, {
    ...{ ledger: w.hl.id, about: commitToPerson(salt, MRN), user: "nurse-3", form: "paper" },
    ...{ takenAt: START - 1000, evidence: [], ...told },
  });
  return { signed, salt };
}
/** Files a directive as a hostile writer with the custodian's own keys does. */
const smuggle = (
  w: Ward,
  signed: Uint8Array,
  how: {
    readonly salt?: Uint8Array;
    readonly person?: typeof MRN;
    readonly local?: Uint8Array;
    readonly evidence?: readonly Uint8Array[];
  } = {},
): Promise<EntryId> => {
  const { evidence = [], local = w.me.local } = how;
  const attachments = evidence.length === 0 ? {} : { attachments: evidence.map(() => "x/y") };
  return fileAs(w, "consent", signed, { local, ...attachments }, [
    { id: "salt", bytes: how.salt ?? salt },
    { id: "identifier", bytes: encodeIdentifiers([how.person ?? MRN]) },
    ...evidence.map((bytes, at) => ({ id: `evidence-${at}`, bytes })),
  ]);
};
const standings = async (w: Ward, person: Subject = w.me) =>
  (await w.hl.directives(person)).map(({ standing }) =>
    standing === "valid" ? "valid" : standing.void,
  );
const otherLedger = cidOf(encode({ v: 1, another: "ledger" }), DAG_CBOR);

describe("consent that is witnessed", () => {
  it("is what fromConsent gives, as it is: from FHIR text to what is released", async () => {
    const w = await ward();
    const consent = {
      resourceType: "Consent",
      id: "c1",
      status: "active",
      scope: {
        coding: [
          {
            system: "http://terminology.hl7.org/CodeSystem/consentscope",
            code: "patient-privacy",
          },
        ],
      },
      category: [{ coding: [{ system: "http://loinc.org", code: "59284-0" }] }],
      patient: { reference: "Patient/p1" },
      dateTime: "2026-01-01",
      policy: [{ uri: "urn:example:policy" }],
      provision: {
        type: "permit",
        provision: [
          {
            type: "deny",
            code: [{ coding: [{ system: "http://loinc.org", code: "2339-0" }] }],
          },
        ],
      },
    };
    const { directive } = fromConsent(JSON.stringify(consent), {
      dialect: "r4-typed",
      fullUrl: "https://a.example/fhir/Consent/c1",
    });
    expect(directive.grantor.actor).toBe("Patient/p1");
    await w.hl.record(w.me, observation("pressure"));
    await w.hl.record(w.me, observation("glucose").replace("8480-6", "2339-0"));
    expect((await w.ask()).count).toBe(0);
    await w.hl.consent(w.me, directive, { witness: { ...clerk, evidence: [scan] } });
    const answer = await w.ask();
    const ids = (await opened(answer)).map(({ resource }) => resource?.["id"]);
    expect(ids).toEqual(["pressure"]);
  });

  it("says who took it down and how, and keeps the forms beside it", async () => {
    const w = await ward();
    const evidence = [scan, log];
    const filed = await w.hl.consent(w.me, byName(), { witness: { ...clerk, evidence } });
    const [directive] = await w.hl.directives(w.me);
    expect(directive!.witness).toEqual({ by: w.hl.member, ...clerk });
    expect(directive!.standing).toBe("valid");
    expect(await w.hl.evidence(filed.id)).toEqual(evidence);
    await w.hl.close();
    const again = await w.open();
    expect(await again.evidence(filed.id)).toEqual(evidence);
    const [read] = await again.directives(await again.ensureSubject(MRN));
    expect(read).toEqual(directive);
  });

  it("binds its evidence by salted hashes, and a person without telling who", async () => {
    const w = await ward();
    const filed = await w.hl.consent(w.me, byName(), { witness: { ...clerk, evidence: [scan] } });
    const { witness } = decode(filed.signed) as { witness: Uint8Array };
    const told = decode(witness) as unknown as Witness;
    const sha256 = async (...parts: Uint8Array[]) =>
      new Uint8Array(await crypto.subtle.digest("SHA-256", Buffer.concat(parts)));
    expect(told.about).toEqual(await sha256(filed.salt, encode([MRN.system, MRN.value])));
    // Forms that are alike have nothing alike: each has a salt of its own.
    const twice = await w.hl.consent(w.me, byName({ lineage: "second" }), {
      witness: { ...clerk, evidence: [scan, scan] },
    });
    const again = decode((decode(twice.signed) as { witness: Uint8Array }).witness);
    const hashes = [told, again as unknown as Witness].flatMap(({ evidence }) => evidence);
    expect(new Set([...hashes, await sha256(scan.bytes)].map(String)).size).toBe(4);
    expect(again).not.toHaveProperty("about", told.about);
  });

  it("needs a capacity for who speaks for another, but no key", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    const grantor = { actor: "RelatedPerson/mother", capacity: "guardian" as const, evidence: [] };
    const permit = permits({ grantor });
    await expect(w.hl.consent(w.me, permit, { witness: clerk })).rejects.toMatchObject(
      VOID(/capacity/),
    );
    await w.hl.attest(w.me, { actor: grantor.actor, capacity: "guardian", to: START + 1000 });
    await w.hl.consent(w.me, permit, { witness: clerk });
    expect((await w.ask()).count).toBe(1);
    w.clock.now = START + 1001;
    expect((await w.ask()).count).toBe(0);
    await expect(
      w.hl.consent(w.me, permits({ grantor, lineage: "late" }), { witness: clerk }),
    ).rejects.toMatchObject(VOID(/capacity/));
  });

  it.each<[string, Partial<WitnessOptions>, string]>([
    ["nobody who took it down", { user: " " }, "ERR_CONSENT_INVALID"],
    ["no form", { form: "fax" as never }, "ERR_CONSENT_INVALID"],
    ["a time to come", { takenAt: START + 1 }, "ERR_CONSENT_INVALID"],
    ["no time", { takenAt: Number.NaN }, "ERR_CONSENT_INVALID"],
    ["a user with U+0000", { user: "clerk\0" }, "ERR_ENCODING_SHAPE"],
    ["evidence without bytes", { evidence: [{ mediaType: "x/y" } as never] }, "ERR_INPUT_INVALID"],
    [
      "too much evidence",
      { evidence: [{ mediaType: "x/y", bytes: new Uint8Array(16 * 1024 * 1024 + 1) }] },
      "ERR_INPUT_TOO_LARGE",
    ],
  ])("refuses %s, and files nothing", async (_, change, code) => {
    const w = await ward();
    const size = w.hl.chain.size;
    await expect(
      w.hl.consent(w.me, byName(), { witness: { ...clerk, ...change } }),
    ).rejects.toMatchObject({ code });
    expect(w.hl.chain.size).toBe(size);
  });

  it("is filed in one way that was said, and in none that was not", async () => {
    const w = await ward();
    const size = w.hl.chain.size;
    const signer = w.patient;
    for (const options of [
      { signer, witness: clerk },
      { signer: undefined },
      { witness: undefined },
      {},
      undefined,
    ]) {
      await expect(
        w.hl.consent(w.me, treatmentOnly(signer), options as never),
      ).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    }
    expect(w.hl.chain.size).toBe(size);
  });

  it("is erased with its forms", async () => {
    const w = await ward();
    const filed = await w.hl.consent(w.me, byName(), { witness: { ...clerk, evidence: [scan] } });
    await w.hl.erase(w.me, { all: true, class: "directive", reason: "asked" });
    await expect(w.hl.evidence(filed.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    await expect(w.hl.evidence(toEntryId(bytesFor("none")))).rejects.toMatchObject({
      code: "ERR_RECORD_NOT_FOUND",
    });
  });

  it("is named as lost, never as one that was not filed, where the store lost it", async () => {
    const w = await ward();
    const filed = await w.hl.consent(w.me, byName(), { witness: { ...clerk, evidence: [scan] } });
    const { height, transaction, entry } = filed.place;
    const { block } = await w.hl.chain.readBlock(height);
    const { body } = decodeEntry(block.transactions[transaction]!.entries[entry]!) as SubjectEntry;
    await w.hl.close();
    await w.storage.blobs!.delete([body]);
    for (const index of [false, true]) {
      const again = await w.open({ repair: { index } });
      await expect(again.evidence(filed.id), `index: ${index}`).rejects.toMatchObject({
        name: "StorageError",
        code: "ERR_STORAGE_MISSING",
        message: expect.stringContaining(filed.id) as string,
      });
      await again.close();
    }
  });
});

describe("a directive that is not what it says", () => {
  const child = { ...MRN, value: "child-2" };
  /** A ward where a mother speaks for two children, and one refusal of the second stands. */
  async function nursery(): Promise<{ w: Ward; mother: Signer; second: Subject }> {
    const w = await ward();
    const mother = memorySigner({ alg: "Ed25519", secret: bytesFor("mother") });
    const second = await w.hl.ensureSubject(child);
    const { actor, alg, publicKey } = mother;
    for (const one of [w.me, second]) {
      await w.hl.attest(one, { actor, alg, publicKey, capacity: "guardian" });
    }
    await w.hl.record(second, observation("bp-2"));
    return { w, mother, second };
  }
  const asGuardian = (mother: Signer): Directive =>
    permits({ grantor: { actor: mother.actor, capacity: "guardian", evidence: [] } });
  const askAbout = (w: Ward) => w.ask(w.b, { patient: child });

  it("signed for one child it does not count for the other", async () => {
    const { w, mother, second } = await nursery();
    const permit = asGuardian(mother);
    const signed = await signDirective(permit, mother, { ledger: w.hl.id, person: MRN, salt });
    const size = w.hl.chain.size;
    await expect(w.hl.consent(second, permit, { signed, salt })).rejects.toMatchObject(
      VOID(/another person/),
    );
    await expect(w.hl.receive(second, { signed, salt })).rejects.toMatchObject(
      VOID(/another person/),
    );
    expect(w.hl.chain.size).toBe(size);
    // A hostile writer files it all the same, once as it is and once under the other's identifier.
    await smuggle(w, signed, { local: second.local });
    await smuggle(w, signed, { local: second.local, person: child });
    expect(await standings(w, second)).toEqual([
      "it was signed about another person",
      "it was signed about another person",
    ]);
    expect((await askAbout(w)).count).toBe(0);
    await w.hl.consent(w.me, permit, { signed, salt });
    const own = await signDirective(permit, mother, { ledger: w.hl.id, person: child, salt });
    await w.hl.consent(second, permit, { signed: own, salt });
    expect((await askAbout(w)).count).toBe(1);
  });

  it("signed or witnessed for another ledger it does not count in this one", async () => {
    const w = await ward();
    await w.permit();
    const bound = { ledger: otherLedger, person: MRN, salt };
    const signed = await signDirective(treatmentOnly(w.patient), w.patient, bound);
    const byUs = await witnessed(w, permits(), w.hospitalA.signer(), { ledger: otherLedger });
    for (const one of [{ signed, salt }, byUs]) {
      await expect(w.hl.receive(w.me, one)).rejects.toMatchObject(VOID(/another ledger/));
      await smuggle(w, one.signed);
    }
    expect(await standings(w)).toEqual([
      "valid",
      "it was signed for another ledger",
      "it was witnessed for another ledger",
    ]);
    expect(await w.hl.held(w.me)).toEqual([]);
  });

  it("is void under another salt, and unreadable without one: never a lost refusal", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    await w.hl.consent(w.me, permits(), { witness: clerk });
    const { signed } = await witnessed(w, refuses(), w.hospitalA.signer());
    await expect(w.hl.receive(w.me, { signed, salt: bytesFor("another") })).rejects.toMatchObject(
      VOID(/another person/),
    );
    await expect(w.hl.receive(w.me, { signed, salt: salt.subarray(1) })).rejects.toBeInstanceOf(
      RangeError,
    );
    await smuggle(w, signed, { salt: bytesFor("another") });
    expect(await standings(w)).toEqual(["valid", "it was witnessed about another person"]);
    expect((await w.ask()).count).toBe(1);
    // Without its salt nobody can tell whom it is about: it may be a refusal.
    await fileAs(w, "consent", signed);
    await expect(w.ask()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
  });

  it("bears no signature that was made for something else", async () => {
    const w = await ward();
    const own = w.hospitalA.signer();
    const filed = await w.hl.consent(w.me, permits(), { witness: clerk });
    const map = decode(filed.signed) as { directive: Uint8Array; witness: Uint8Array; sig: never };
    const { about } = decode(map.witness) as { about: Uint8Array };
    // The witness's signature as the grantor's, by a key that is even attested as his.
    const { actor, alg, publicKey } = own;
    await w.hl.attest(w.me, { actor: "Patient/p1", alg, publicKey, capacity: "self" });
    const asGrantor = encode({
      ...{ directive: map.directive, ledger: w.hl.id, about, key: own.key, alg, sig: map.sig },
    });
    await expect(
      w.hl.consent(w.me, permits(), { signed: asGrantor, salt: filed.salt }),
    ).rejects.toMatchObject(VOID(/signature/));
    // The grantor's signature as the witness's.
    const named = memorySigner({
      alg: "Ed25519",
      secret: bytesFor("hospital a sign"),
      actor: "Patient/p1",
    });
    const bySelf = await signDirective(permits(), named, { ledger: w.hl.id, person: MRN, salt });
    const { sig } = decode(bySelf) as { sig: Uint8Array };
    const witness = { ...(decode(map.witness) as object), about: commitToPerson(salt, MRN) };
    const asWitness = encode({ directive: map.directive, witness: encode(witness), alg, sig });
    await expect(w.hl.receive(w.me, { signed: asWitness, salt })).rejects.toMatchObject(
      VOID(/signature/),
    );
    await expect(
      w.hl.consent(w.me, permits(), { signed: filed.signed, salt: filed.salt }),
    ).rejects.toMatchObject(VOID(/pass it to receive/));
    expect(actor).not.toBe("Patient/p1");
    expect(await standings(w)).toEqual(["valid"]);
  });

  it("is void if its witness has no key or another's key, or signed a different text", async () => {
    const w = await ward();
    const own = w.hospitalA.signer();
    const cid = directiveCid(permits());
    const good = decode((await witnessed(w, permits(), own)).signed) as {
      readonly witness: Uint8Array;
    };
    const told = decode(good.witness) as object;
    const stranger = memorySigner({ alg: "Ed25519", secret: bytesFor("stranger") });
    const forged = async (change: object, by: Signer): Promise<Uint8Array> => {
      const witness = encode({ ...told, ...change });
      const sig = await signWith(by, "witnessed-directive", encode([cid, witness]));
      return encode({ ...good, witness, alg: by.alg, sig });
    };
    const b = w.hospitalB.signer();
    const cases: readonly (readonly [Uint8Array, RegExp])[] = [
      [await forged({}, stranger), /signature/],
      [await forged({ key: stranger.key }, stranger), /not in force/],
      [await forged({ by: stranger.actor, key: stranger.key }, stranger), /not in force/],
      // Hospital B in the name of A, and A's name with B's key.
      [await forged({}, b), /signature/],
      [await forged({ key: b.key }, b), /not in force/],
      // A good signature under the name of another algorithm.
      [encode({ ...good, alg: "ES256" }), /not in force/],
      // Evidence, user, form or time put in the place of another.
      [encode({ ...good, witness: encode({ ...told, evidence: [bytesFor("x")] }) }), /signature/],
      [encode({ ...good, witness: encode({ ...told, form: "oral" }) }), /signature/],
      [encode({ ...good, witness: encode({ ...told, user: "other" }) }), /signature/],
    ];
    const size = w.hl.chain.size;
    for (const [signed, why] of cases) {
      await expect(w.hl.receive(w.me, { signed, salt })).rejects.toMatchObject(VOID(why));
    }
    expect(w.hl.chain.size).toBe(size);
    for (const [signed] of cases) await smuggle(w, signed);
    const found = await standings(w);
    expect(found).toHaveLength(cases.length);
    cases.forEach(([, why], at) => expect(found[at]).toMatch(why));
  });

  it("shows evidence only where it is what was signed", async () => {
    const w = await ward();
    const filed = await w.hl.consent(w.me, byName(), { witness: { ...clerk, evidence: [scan] } });
    const withLog = new Uint8Array(Buffer.concat([salt, log.bytes]));
    await smuggle(w, filed.signed, { salt: filed.salt, evidence: [withLog] });
    const [, swapped] = await w.hl.directives(w.me);
    // What became of a scan must not lose what was said.
    expect(swapped!.standing).toBe("valid");
    await expect(w.hl.evidence(swapped!.entry)).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
    });
  });
});
