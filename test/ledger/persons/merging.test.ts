import { describe, expect, it } from "vitest";
import * as dagCbor from "@ipld/dag-cbor";
import { toHex } from "../../../src/bytes/hex.ts";
import { utf8ToBytes } from "../../../src/bytes/utf8.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { snapshotOf } from "../../support/loss-scene.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import type { Subject } from "../../../src/ledger/entries/subjects.ts";
import { observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { collect, opened, readable, ward, type Ward } from "../../support/ward.ts";

const reason = "the same person";
const A = { system: "urn:oid:1.1.1", value: "1" };
const B = { system: "urn:oid:2.2.2", value: "7" };
const C = { system: "urn:oid:3.3.3", value: "3" };
type Number = typeof A;

interface Two extends Ward {
  readonly one: Subject;
  readonly other: Subject;
}

async function two(): Promise<Two> {
  const w = await ward();
  return { ...w, one: await w.hl.ensureSubject(A), other: await w.hl.ensureSubject(B) };
}

/** What whoever is known by a number says, with a key of their own: all for treatment, or nothing. */
async function says(hl: Ledger, number: Number, effect: "permit" | "deny", lineage = "privacy") {
  const key = memorySigner({ alg: "Ed25519", secret: bytesFor(`key ${number.value}`) });
  const when = { purposes: ["TREAT"] };
  const root = { id: "all", effect, combine: "deny-overrides", when } as const;
  const subject = await hl.findSubject(number);
  const given = treatmentOnly(key, { root, lineage });
  return hl.consent(subject!, given, { signer: key });
}

async function released(w: Ward, patient: Number): Promise<unknown[]> {
  const answer = await w.hl.request(w.b, { patient, purposes: ["TREAT"] });
  return (await opened(answer)).map(({ resource }) => resource!["id"]).sort();
}

const idsOf = async (hl: Ledger, subject: Subject): Promise<unknown[]> =>
  (await hl.records(subject)).map(({ head }) => head.manifest.resource!.id);

describe("persons who are joined", () => {
  it.each([
    ["of one lineage", "privacy"],
    ["of a lineage of its own", "other"],
  ])("are each refused what one of them refused, by a directive %s", async (_, lineage) => {
    const w = await two();
    await says(w.hl, A, "deny");
    await says(w.hl, B, "permit", lineage);
    await w.hl.record(w.other, observation("b"));
    expect(await released(w, B)).toEqual(["b"]);
    const link = await w.hl.merge(w.other, w.one, { reason });
    expect(await released(w, B)).toEqual([]);
    expect(await released(w, A)).toEqual([]);
    await w.hl.unmerge(link, { reason: "a mistake" });
    expect(await released(w, B)).toEqual(["b"]);
    expect(await released(w, A)).toEqual([]);
  });

  it("are listed and released together, in the order of recording", async () => {
    const w = await two();
    await w.hl.record(w.one, observation("a1"));
    await w.hl.record(w.other, observation("b1"));
    await w.hl.record(w.one, observation("a2"));
    await says(w.hl, A, "permit");
    await w.hl.merge(w.one, w.other, { reason });
    await w.hl.record(w.other, observation("b2"));
    for (const one of [w.one, w.other]) {
      expect(await idsOf(w.hl, one)).toEqual(["a1", "b1", "a2", "b2"]);
    }
    for (const number of [A, B])
      expect(await released(w, number)).toEqual(["a1", "a2", "b1", "b2"]);
    const pages: unknown[] = [];
    for (let after: Awaited<ReturnType<Ledger["records"]>>[number]["record"] | undefined; ;) {
      const page = await w.hl.records(w.one, { limit: 1, after });
      if (page.length === 0) break;
      after = page[0]!.record;
      pages.push(page[0]!.head.manifest.resource!.id);
    }
    expect(pages).toEqual(["a1", "b1", "a2", "b2"]);
    expect(await w.hl.directives(w.other)).toHaveLength(1);
  });

  it("are decided about at earlier heights as they were then", async () => {
    const w = await two();
    await says(w.hl, A, "deny");
    await says(w.hl, B, "permit", "other");
    await w.hl.record(w.other, observation("b"));
    const question = { requester: w.b.signer.actor, purposes: ["TREAT"] };
    const decide = async (one: Subject, height?: number) => {
      const time = height === undefined ? {} : { height };
      const { records } = await w.hl.decide(one, question, time);
      return records.map(({ record, decision }) => [
        record.head.manifest.resource!.id,
        decision.outcome,
      ]);
    };
    const before = w.hl.chain.size - 1;
    const link = await w.hl.merge(w.one, w.other, { reason });
    const during = w.hl.chain.size - 1;
    await w.hl.unmerge(link, { reason });
    const after = w.hl.chain.size - 1;
    expect(await decide(w.other, before)).toEqual([["b", "permit"]]);
    expect(await decide(w.one, before)).toEqual([]);
    expect(await decide(w.other, during)).toEqual([["b", "deny"]]);
    expect(await decide(w.one, during)).toEqual([["b", "deny"]]);
    for (const height of [after, undefined]) {
      expect(await decide(w.other, height)).toEqual([["b", "permit"]]);
      expect(await decide(w.one, height)).toEqual([]);
    }
    const { facts } = await w.hl.decide(w.one, question, { height: during });
    expect(facts.links).toContain(link);
  });

  it("may be spoken for by whoever may speak for one of them", async () => {
    const w = await two();
    const guardian = memorySigner({ alg: "Ed25519", secret: bytesFor("guardian") });
    const { actor, alg, publicKey } = guardian;
    await w.hl.attest(w.one, { actor, alg, publicKey, capacity: "guardian" });
    await says(w.hl, B, "permit");
    await w.hl.record(w.other, observation("b"));
    const refusal = treatmentOnly(guardian, {
      grantor: { actor, capacity: "guardian", evidence: [] },
      lineage: "guardian",
      root: { id: "no", effect: "deny", combine: "deny-overrides", when: {} },
    });
    await expect(w.hl.consent(w.other, refusal, { signer: guardian })).rejects.toMatchObject({
      code: "ERR_CONSENT_INVALID",
    });
    const link = await w.hl.merge(w.one, w.other, { reason });
    await w.hl.consent(w.other, refusal, { signer: guardian });
    expect(await released(w, B)).toEqual([]);
    await w.hl.unmerge(link, { reason });
    // for the other alone the guardian never spoke
    expect(await released(w, B)).toEqual(["b"]);
  });

  it("lose no refusal by what is attested about the other", async () => {
    const w = await two();
    await says(w.hl, A, "deny");
    await w.hl.record(w.one, observation("a"));
    const key = memorySigner({ alg: "Ed25519", secret: bytesFor(`key ${A.value}`) });
    const { actor, alg, publicKey } = key;
    // the same key, which ended before the refusal was signed, as far as the other person goes
    await w.hl.attest(w.other, { actor, alg, publicKey, capacity: "self", to: 1 });
    await w.hl.merge(w.one, w.other, { reason });
    const [directive] = await w.hl.directives(w.other);
    expect(directive!.standing).toBe("valid");
    const question = { requester: w.b.signer.actor, purposes: ["TREAT"] };
    const { records } = await w.hl.decide(w.other, question);
    expect(records.map(({ decision }) => decision.outcome)).toEqual(["deny"]);
  });

  it("file a directive about the one who gave it, whoever it is filed for", async () => {
    const w = await two();
    await says(w.hl, B, "permit");
    await w.hl.record(w.other, observation("b"));
    const link = await w.hl.merge(w.one, w.other, { reason });
    const key = memorySigner({ alg: "Ed25519", secret: bytesFor(`key ${B.value}`) });
    const root = { id: "no", effect: "deny", combine: "deny-overrides", when: {} } as const;
    const salt = bytesFor("salt");
    const refusal = treatmentOnly(key, { lineage: "second", root });
    const { signDirective } = await import("../../../src/ledger/consents/signed-directive.ts");
    const signed = await signDirective(refusal, key, { ledger: w.hl.id, person: B, salt });
    await w.hl.consent(w.one, refusal, { signed, salt });
    await w.hl.unmerge(link, { reason });
    expect(await released(w, B)).toEqual([]);
    expect(await w.hl.directives(w.one)).toEqual([]);
  });

  it("keep a record's history with the person it is about", async () => {
    const w = await two();
    await says(w.hl, A, "permit");
    const { id } = await w.hl.record(w.other, observation("b"));
    const link = await w.hl.merge(w.one, w.other, { reason });
    await w.hl.amend(id, observation("b", "130"));
    expect(await idsOf(w.hl, w.one)).toEqual(["b"]);
    await w.hl.unmerge(link, { reason });
    expect(await idsOf(w.hl, w.one)).toEqual([]);
    expect((await w.hl.records(w.other))[0]!.history).toHaveLength(2);
  });

  it("are one for what a bundle brings under either number, again too", async () => {
    const w = await two();
    const bundle = (number: Number, id: string): string =>
      JSON.stringify({
        resourceType: "Bundle",
        type: "collection",
        entry: [
          {
            fullUrl: "https://a.example/Patient/p",
            resource: { resourceType: "Patient", id: "p", identifier: [number] },
          },
          {
            fullUrl: `https://a.example/Observation/${id}`,
            resource: {
              ...(JSON.parse(observation(id)) as object),
              subject: { reference: "https://a.example/Patient/p" },
            },
          },
        ],
      });
    const both = JSON.stringify({
      ...(JSON.parse(bundle(A, "o")) as object),
      entry: [
        {
          fullUrl: "https://a.example/Patient/p",
          resource: { resourceType: "Patient", id: "p", identifier: [A, B] },
        },
      ],
    });
    expect((await w.hl.recordBundle(null, both)).recorded).toEqual([]);
    await w.hl.recordBundle(null, bundle(A, "o"));
    await w.hl.merge(w.one, w.other, { reason });
    const again = await w.hl.recordBundle(null, bundle(B, "o"));
    // the Patient says more: it is amended where it is on record
    expect(again.recorded.map(({ subject, amends }) => [subject, amends !== undefined])).toEqual([
      [w.one, true],
    ]);
    expect(again.known).toHaveLength(1);
    const named = await w.hl.recordBundle(null, both);
    expect(named.proposals).toEqual([]);
    expect(named.skipped).toEqual([]);
    await expect(w.hl.recordBundle(w.one, bundle(B, "n"))).resolves.toMatchObject({
      skipped: [],
    });
    const ids = await idsOf(w.hl, w.other);
    expect(ids.sort()).toEqual(["n", "o", "p"]);
  });

  it("have an audit of both, and each their own once they are parted", async () => {
    const w = await two();
    await says(w.hl, A, "permit");
    const a = await w.hl.record(w.one, observation("a"));
    const b = await w.hl.record(w.other, observation("b"));
    const link = await w.hl.merge(w.one, w.other, { reason });
    expect(await released(w, A)).toEqual(["a", "b"]);
    const audited = async (one: Subject) =>
      (await readable(w.hl.audit(one))).map(({ records }) =>
        records.map(({ record, released: is }) => [record, is]),
      );
    for (const one of [w.one, w.other]) {
      expect(await audited(one)).toEqual([[[a.id, true]], [[b.id, true]]]);
    }
    await w.hl.unmerge(link, { reason });
    expect(await audited(w.one)).toEqual([[[a.id, true]]]);
    expect(await audited(w.other)).toEqual([[[b.id, true]]]);
    const mixed = await readable(w.hl.mixed(link));
    expect(mixed.map(({ records }) => records.map(({ record }) => record))).toEqual([[b.id]]);
    expect(mixed[0]!.requester).toBe(w.b.signer.actor);
  });

  it("name mixed accesses by the merge that mixed them", async () => {
    const w = await two();
    const third = await w.hl.ensureSubject(C);
    await says(w.hl, A, "permit");
    const c = await w.hl.record(third, observation("c"));
    const first = await w.hl.merge(w.one, w.other, { reason });
    await released(w, A);
    const second = await w.hl.merge(third, w.other, { reason });
    await released(w, B);
    await released(w, C);
    await w.hl.unmerge(first, { reason });
    await released(w, B);
    const mixed = async (link: typeof first) =>
      (await readable(w.hl.mixed(link))).map(({ records }) => records.map(({ record }) => record));
    // asked about B, released C's: only the second merge joins the two
    expect(await mixed(first)).toEqual([]);
    expect(await mixed(second)).toEqual([[c.id]]);
  });

  it("list what was filed meanwhile, to be moved", async () => {
    const w = await two();
    await w.hl.record(w.one, observation("before"));
    const link = await w.hl.merge(w.one, w.other, { reason });
    const a = await w.hl.record(w.one, observation("a"));
    const b = await w.hl.record(w.other, observation("b"));
    const gone = await w.hl.record(w.other, observation("gone"));
    await w.hl.retract(gone.id, "entered in error");
    const parted = await w.hl.unmerge(link, { reason });
    await w.hl.record(w.one, observation("after"));
    expect(parted.filed.records).toEqual([
      { record: a.id, subject: w.one },
      { record: b.id, subject: w.other },
    ]);
    expect(parted.filed).toMatchObject({ directives: [], facts: [] });
    await w.hl.reattribute(a.id, w.other, "it was the other's");
    expect(await idsOf(w.hl, w.other)).toEqual(["b", "gone", "a"]);
  });

  it("are found by an identifier given to either, and give it to nobody else", async () => {
    const w = await two();
    await w.hl.merge(w.one, w.other, { reason });
    expect(await w.hl.identify(w.one, [B, C])).toEqual({ added: [C], proposals: [] });
    const mine = JSON.stringify({ resourceType: "Patient", id: "p", identifier: [B] });
    await w.hl.record(w.one, mine);
    const theirs = JSON.stringify({
      resourceType: "Patient",
      id: "q",
      identifier: [{ ...B, value: "8" }],
    });
    await expect(w.hl.record(w.one, theirs)).rejects.toMatchObject({
      code: "ERR_INPUT_OTHER_PERSON",
    });
  });

  it("are joined again by an index that is built anew", async () => {
    const w = await two();
    await w.hl.record(w.one, observation("a"));
    const link = await w.hl.merge(w.one, w.other, { reason });
    const again = await w.again({ repair: { index: true } });
    expect(await idsOf(again, w.other)).toEqual(["a"]);
    await again.unmerge(link, { reason });
    expect(await idsOf(w.hl, w.other)).toEqual([]);
  });
});

describe("what a merge shows", () => {
  it("is that a link was filed: no person, no second person, no reason", async () => {
    const w = await two();
    const link = await w.hl.merge(w.one, w.other, { reason: "confirmed by phone" });
    await w.hl.unmerge(link, { reason: "confirmed by letter" });
    for (const height of [w.hl.chain.size - 2, w.hl.chain.size - 1]) {
      const { block } = await w.hl.chain.readBlock(height);
      const [bytes] = block.transactions[0]!.entries;
      const entry = dagCbor.decode<Record<string, unknown>>(bytes!);
      expect(Object.keys(entry).sort()).toEqual(["body", "kind", "salt", "v"]);
      expect(entry["kind"]).toBe("link");
    }
    // nor does any row of the index say who is grouped with whom
    await w.hl.close();
    const { storage } = w as unknown as { storage: FullStorage };
    const { state, blobs } = await snapshotOf(storage);
    const stored = [...[...state].flat(), ...blobs.map(({ bytes }) => bytes)].map((one) =>
      typeof one === "string" ? one : toHex(one),
    );
    for (const secret of [w.one.local, w.other.local, utf8ToBytes("confirmed by")].map(toHex)) {
      expect(stored.some((one) => one.includes(secret))).toBe(false);
    }
  });
});

describe("merge", () => {
  it("refuses a person with themselves, joined ones, a circle, and nobody", async () => {
    const w = await two();
    const third = await w.hl.ensureSubject(C);
    const size = w.hl.chain.size;
    const invalid = { code: "ERR_INPUT_INVALID" };
    await expect(w.hl.merge(w.one, w.one, { reason })).rejects.toMatchObject(invalid);
    await w.hl.merge(w.one, w.other, { reason });
    await w.hl.merge(w.other, third, { reason });
    await expect(w.hl.merge(w.one, w.other, { reason })).rejects.toMatchObject(invalid);
    await expect(w.hl.merge(w.other, w.one, { reason })).rejects.toMatchObject(invalid);
    await expect(w.hl.merge(third, w.one, { reason })).rejects.toMatchObject(invalid);
    const nobody = { local: new Uint8Array(16).fill(1) };
    const unknown = { code: "ERR_INPUT_UNKNOWN_SUBJECT" };
    await expect(w.hl.merge(w.one, nobody, { reason })).rejects.toMatchObject(unknown);
    await expect(w.hl.merge(nobody, w.one, { reason })).rejects.toMatchObject(unknown);
    for (const bad of ["\0", "x".repeat(5000), 7]) {
      await expect(w.hl.merge(w.me, w.one, { reason: bad as string })).rejects.toMatchObject(
        invalid,
      );
    }
    expect(w.hl.chain.size).toBe(size + 2);
  });

  it("refuses a person who was forgotten", async () => {
    const w = await two();
    await w.hl.erase(w.one, { all: true, forgetSubject: true, reason: "asked for" });
    const unknown = { code: "ERR_INPUT_UNKNOWN_SUBJECT" };
    const { size } = w.hl.chain;
    await expect(w.hl.merge(w.other, w.one, { reason })).rejects.toMatchObject(unknown);
    await expect(w.hl.merge(w.one, w.other, { reason })).rejects.toMatchObject(unknown);
    expect(w.hl.chain.size).toBe(size);
  });

  it("has one winner of two processes, and one parting parts them", async () => {
    const w = await two();
    const rival = await w.again();
    await w.hl.record(w.one, observation("a"));
    await rival.records(w.one);
    let other: Promise<unknown> | undefined;
    w.traps.before = async () => {
      other = rival.merge(w.other, w.one, { reason }).catch((error: unknown) => error);
      await other;
    };
    const mine = w.hl.merge(w.one, w.other, { reason });
    await expect(mine).rejects.toMatchObject({ code: "ERR_RECORD_CONFLICT" });
    const link = (await other) as Awaited<ReturnType<Ledger["merge"]>>;
    expect(typeof link).toBe("string");
    expect(await idsOf(w.hl, w.other)).toEqual(["a"]);
    await rival.unmerge(link, { reason });
    for (const hl of [w.hl, rival]) expect(await idsOf(hl, w.other)).toEqual([]);
  });

  it("has one winner of two calls", async () => {
    const w = await two();
    const calls = [w.hl.merge(w.one, w.other, { reason }), w.hl.merge(w.other, w.one, { reason })];
    const done = await Promise.allSettled(calls);
    expect(done.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  });
});

describe("unmerge", () => {
  it("refuses what is no merge, and what ended", async () => {
    const w = await two();
    const { entry } = await w.hl.record(w.one, observation("a"));
    await expect(w.hl.unmerge(entry, { reason })).rejects.toMatchObject({
      code: "ERR_RECORD_NOT_FOUND",
    });
    const link = await w.hl.merge(w.one, w.other, { reason });
    const { id } = await w.hl.unmerge(link, { reason });
    await expect(w.hl.unmerge(link, { reason })).rejects.toMatchObject({
      code: "ERR_RECORD_RETRACTED",
    });
    await expect(w.hl.unmerge(id, { reason })).rejects.toMatchObject({
      code: "ERR_RECORD_NOT_FOUND",
    });
    await expect(collect(w.hl.mixed(id))).rejects.toMatchObject({ code: "ERR_RECORD_NOT_FOUND" });
  });

  it("parts the two sides of a chain only", async () => {
    const w = await two();
    const third = await w.hl.ensureSubject(C);
    for (const [one, id] of [
      [w.one, "a"],
      [w.other, "b"],
      [third, "c"],
    ] as const) {
      await w.hl.record(one, observation(id));
    }
    await w.hl.merge(w.one, w.other, { reason });
    const link = await w.hl.merge(third, w.other, { reason });
    expect(await idsOf(w.hl, w.one)).toEqual(["a", "b", "c"]);
    await w.hl.unmerge(link, { reason });
    expect(await idsOf(w.hl, w.one)).toEqual(["a", "b"]);
    expect(await idsOf(w.hl, third)).toEqual(["c"]);
    expect(toHex(third.local)).not.toBe(toHex(w.one.local));
  });
});
