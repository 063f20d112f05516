import { describe, expect, it } from "vitest";
import type { EntryId } from "../../../src/codec/ids.ts";
import { createDirective } from "../../../src/consent/model/create-directive.ts";
import type { CreateDirectiveOptions } from "../../../src/consent/model/create-directive.ts";
import type { Directive } from "../../../src/consent/model/model.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import type { Subject } from "../../../src/ledger/entries/subjects.ts";
import { observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const reason = "a mistake";
const A = { system: "urn:oid:1.1.1", value: "1" };
const B = { system: "urn:oid:2.2.2", value: "7" };
const C = { system: "urn:oid:3.3.3", value: "3" };
const grantor = "Patient/1";

interface Two extends Ward {
  readonly one: Subject;
  readonly other: Subject;
}

type Said = Partial<CreateDirectiveOptions>;

const directive = (w: Ward, said: Said) =>
  createDirective({
    ...{ grantor, from: w.clock.now - 1000, otherwise: "none" },
    basis: { uri: "https://example.org/privacy", version: "1" },
    ...said,
  } as CreateDirectiveOptions);

const refusal = (w: Ward) => directive(w, { lineage: "refusal", deny: { id: "no" } } as Said);

function revocation(w: Ward, ended: EntryId): Directive {
  const { root: _, ...rest } = refusal(w);
  return { ...rest, mode: "revoke", default: "none", predecessors: [ended] };
}

/** The hospital takes down what somebody says. */
const tells = (w: Ward, subject: Subject, what = refusal(w)) =>
  w.hl.consent(subject, what, { witness: { user: "clerk", form: "paper", takenAt: w.clock.now } });

/** Two persons, each with a record that may be released. */
async function two(): Promise<Two> {
  const w = await ward();
  const people = { one: await w.hl.ensureSubject(A), other: await w.hl.ensureSubject(B) };
  for (const [name, subject] of Object.entries(people)) {
    await w.hl.record(subject, observation(name));
    const permit = { id: "t", purposes: ["TREAT"] };
    await tells(w, subject, directive(w, { lineage: "privacy", permit } as Said));
  }
  return { ...w, ...people };
}

async function released(w: Ward, patient: typeof A): Promise<unknown[]> {
  const answer = await w.hl.request(w.b, { patient, purposes: ["TREAT"] });
  return (await opened(answer)).map(({ resource }) => resource!["id"]).sort();
}

describe("a refusal that was taken down while two persons were joined", () => {
  it("counts for both once they are parted, and is listed", async () => {
    const w = await two();
    const link = await w.hl.merge(w.one, w.other, { reason });
    const { id } = await tells(w, w.one);
    expect(await released(w, B)).toEqual([]);
    const { filed } = await w.hl.unmerge(link, { reason });
    expect(filed).toEqual({
      records: [],
      directives: [{ directive: id, subject: w.one }],
      facts: [],
    });
    expect([await released(w, A), await released(w, B)]).toEqual([[], []]);
    expect(await w.hl.held(w.one)).toEqual([]);
    expect((await w.hl.held(w.other)).map((one) => one.directive.lineage)).toEqual(["refusal"]);
  });

  it("is the other's once it is filed about them, and ends when they revoke it", async () => {
    const w = await two();
    const link = await w.hl.merge(w.one, w.other, { reason });
    const said = refusal(w);
    await tells(w, w.one, said);
    await w.hl.unmerge(link, { reason });
    const { id } = await tells(w, w.other, said);
    expect(await released(w, B)).toEqual([]);
    await tells(w, w.other, revocation(w, id));
    expect([await released(w, A), await released(w, B)]).toEqual([[], ["other"]]);
  });

  it("is not the other's once that is said, and stays the one's", async () => {
    const w = await two();
    const link = await w.hl.merge(w.one, w.other, { reason });
    await tells(w, w.one);
    await w.hl.unmerge(link, { reason });
    const [held] = await w.hl.held(w.other);
    await tells(w, w.other, revocation(w, held!.id));
    expect([await released(w, A), await released(w, B)]).toEqual([[], ["other"]]);
  });

  it("is the other's alone where it was filed about both, and the one's ended", async () => {
    const w = await two();
    const link = await w.hl.merge(w.one, w.other, { reason });
    const said = refusal(w);
    await tells(w, w.one, said);
    const again = await tells(w, w.other, said);
    const { filed } = await w.hl.unmerge(link, { reason });
    expect(filed.directives.map(({ subject }) => subject)).toEqual([w.one, w.other]);
    expect(filed.directives[1]!.directive).toBe(again.id);
    // each has it, so nothing is held
    expect([await w.hl.held(w.one), await w.hl.held(w.other)]).toEqual([[], []]);
    expect([await released(w, A), await released(w, B)]).toEqual([[], []]);
  });

  it("is carried along a chain of partings, and not to who was never joined then", async () => {
    const w = await two();
    const third = await w.hl.ensureSubject(C);
    await w.hl.record(third, observation("third"));
    const permit = { id: "t", purposes: ["TREAT"] };
    await tells(w, third, directive(w, { lineage: "privacy", permit } as Said));
    const first = await w.hl.merge(w.one, w.other, { reason });
    const second = await w.hl.merge(w.other, third, { reason });
    await tells(w, w.one);
    await w.hl.unmerge(first, { reason });
    expect(await released(w, C)).toEqual([]);
    const { filed } = await w.hl.unmerge(second, { reason });
    expect(filed.facts.map(({ what, subject }) => [what, subject])).toEqual([["held", w.other]]);
    for (const number of [A, B, C]) expect(await released(w, number)).toEqual([]);
  });

  it("is nobody else's where it was taken down before, or permits", async () => {
    const w = await two();
    await tells(w, w.one);
    const link = await w.hl.merge(w.one, w.other, { reason });
    const permit = { id: "more", purposes: ["HRESCH"] };
    await tells(w, w.one, directive(w, { lineage: "research", permit } as Said));
    await w.hl.unmerge(link, { reason });
    expect([await released(w, A), await released(w, B)]).toEqual([[], ["other"]]);
    const question = { requester: w.b.signer.actor, purposes: ["HRESCH"] };
    const { records } = await w.hl.decide(w.other, question);
    expect(records.map(({ decision }) => decision.outcome)).not.toContain("permit");
  });
});

it("a hold that was placed while two persons were joined is on both once they are parted", async () => {
  const w = await two();
  const link = await w.hl.merge(w.one, w.other, { reason });
  await w.hl.placeHold(w.one, "litigation 7");
  const { filed } = await w.hl.unmerge(link, { reason });
  expect(filed.facts.map(({ what, subject }) => [what, subject])).toEqual([["hold", w.one]]);
  const erase = (subject: Subject) => w.hl.erase(subject, { all: true, reason });
  for (const subject of [w.one, w.other]) {
    await expect(erase(subject)).rejects.toMatchObject({ code: "ERR_INPUT_RETAINED" });
  }
  await w.hl.liftHold(w.other);
  await erase(w.other);
  await expect(erase(w.one)).rejects.toMatchObject({ code: "ERR_INPUT_RETAINED" });
});

it("what else was said of persons while they were joined is listed", async () => {
  const w = await two();
  const link = await w.hl.merge(w.one, w.other, { reason });
  const key = memorySigner({ alg: "Ed25519", secret: bytesFor("a key") });
  const { actor, alg, publicKey } = key;
  const attested = await w.hl.attest(w.one, { actor, alg, publicKey, capacity: "self" });
  await w.hl.identify(w.other, [C]);
  const root = { id: "no", effect: "deny", combine: "deny-overrides", when: {} } as const;
  const signed = await w.hl.consent(w.one, treatmentOnly(key, { root, lineage: "own" }), {
    signer: key,
  });
  const { filed } = await w.hl.unmerge(link, { reason });
  expect(filed.facts.map(({ what, subject }) => [what, subject])).toEqual([
    ["attest", w.one],
    ["identify", w.other],
  ]);
  expect(filed.facts[0]!.entry).toBe(attested);
  expect(filed.directives).toEqual([{ directive: signed.id, subject: w.one }]);
  // the key says whose it is
  expect([await released(w, A), await released(w, B)]).toEqual([[], ["other"]]);
});
