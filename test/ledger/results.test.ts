import { describe, expect, it } from "vitest";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { CID } from "../../src/codec/cid.ts";
import type { Coding, Directive } from "../../src/consent/model/model.ts";
import { giveResult, freezeData } from "../../src/ledger/give-results.ts";
import { commitToPerson } from "../../src/ledger/consents/signed-directive.ts";
import { witnessDirective } from "../../src/ledger/consents/witnessed-directive.ts";
import { LABELLER, MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { bytesFor, START } from "../support/ledger.ts";
import { collect, opened, ward, type Ward } from "../support/ward.ts";

/** Puts something else in the place of all that is in a value, as far as it can be changed. */
function spoil(value: unknown, met: Set<unknown> = new Set<unknown>()): void {
  if (typeof value !== "object" || value === null || met.has(value)) return;
  met.add(value);
  if (value instanceof Uint8Array) {
    value.fill(0xee);
    return;
  }
  const cid = CID.asCID(value);
  if (cid !== null) {
    cid.bytes.fill(0xee);
    return;
  }
  if (Array.isArray(value)) {
    for (const item of value) spoil(item, met);
    try {
      value.length = 0;
    } catch {
      // frozen
    }
    return;
  }
  for (const [name, field] of Object.entries(value)) {
    spoil(field, met);
    const other = typeof field === "number" ? 7 : typeof field === "boolean" ? !field : "spoilt";
    Reflect.set(value, name, typeof field === "object" ? null : other);
  }
}

/** Permits treatment, but for one code. */
const codes = (code: string): readonly Coding[] => [{ system: "http://loinc.org", code }];
const refusing = (w: Pick<Ward, "patient">, code: string): Partial<Directive> => ({
  root: {
    ...{ id: "root", effect: "permit", combine: "deny-overrides", when: { purposes: ["TREAT"] } },
    rules: [
      {
        id: "no",
        effect: "deny",
        combine: "deny-overrides",
        when: { data: { codes: codes(code) } },
      },
    ],
  },
  grantor: { actor: w.patient.actor, capacity: "self", evidence: [] },
});

const RECORDS = ["keep", "refused", "amended"] as const;
const salt = bytesFor("salt");

/** A patient with records, directives, accesses and a review, and what is released of the records. */
async function scene(): Promise<{ w: Ward; released: () => Promise<string[]> }> {
  const w = await ward({ breakGlass: { roles: ["emergency"] } });
  const v1 = await w.hl.record(w.me, observation("keep"));
  const v2 = await w.hl.record(w.me, observation("refused").replace("8480-6", "2339-0"));
  const v3 = await w.hl.record(w.me, observation("amended").replace("8480-6", "2339-0"));
  await w.hl.amend(v3.id, observation("amended"));
  await w.permit(refusing(w, "2339-0"));
  const elsewhere = await witnessDirective(
    { ...treatmentOnly(w.patient), lineage: "elsewhere" },
    w.b.signer,
    {
      ...{ ledger: w.hl.id, about: commitToPerson(salt, MRN), user: "nurse-3", form: "oral" },
      ...{ takenAt: START - 1000, evidence: [] },
    },
  );
  await w.hl.receive(w.me, { signed: elsewhere, salt });
  await w.ask(w.b, {
    user: "dr-lee",
    roles: [{ code: "emergency", attestedBy: w.b.signer.actor }],
    purposes: ["BTG"],
    declaration: { reason: "unconscious", until: w.clock.now + 60_000 },
  });
  spoil([v1.place, v2.labels, v3.labels]);
  const released = async (): Promise<string[]> => {
    const items = await opened(await w.ask());
    return items.map(({ text }) => (JSON.parse(bytesToUtf8(text!)) as { id: string }).id).sort();
  };
  return { w, released };
}

/** Everything that tells what the ledger holds of the patient. */
const CALLS: Readonly<Record<string, (w: Ward) => unknown>> = {
  findSubject: ({ hl }) => hl.findSubject(MRN),
  ensureSubject: ({ hl }) => hl.ensureSubject(MRN),
  records: ({ hl, me }) => hl.records(me),
  held: ({ hl, me }) => hl.held(me),
  directives: ({ hl, me }) => hl.directives(me),
  decide: ({ hl, me, b }) =>
    hl.decide(me, { requester: b.signer.actor, user: "dr-lee", purposes: ["TREAT"] }),
  audit: ({ hl, me }) => collect(hl.audit(me)),
  pendingReviews: ({ hl }) => collect(hl.pendingReviews()),
  pendingErasures: ({ hl }) => hl.pendingErasures(),
  lost: ({ hl }) => hl.lost(),
  evidence: async ({ hl, me }) => hl.evidence((await hl.directives(me))[0]!.entry),
  read: async ({ hl, me }) => hl.read((await hl.records(me))[0]!.record),
  attachments: async ({ hl, me }) => hl.attachments((await hl.records(me))[0]!.record),
  request: async ({ ask }) => (await ask()).decision,
  relabelStale: ({ hl }) => hl.relabelStale(),
  record: ({ hl, me }) => hl.record(me, observation("new")),
  recordBundle: ({ hl, me }) =>
    hl.recordBundle(me, {
      resourceType: "Bundle",
      type: "collection",
      entry: RECORDS.map((id) => ({ resource: JSON.parse(observation(id)) as unknown })),
    }),
};

describe("what a ledger gives", () => {
  it.each(Object.keys(CALLS))(
    "may be changed by whoever has it, and nothing is: %s",
    async (name) => {
      const { w, released } = await scene();
      expect(await released()).toEqual(["amended", "keep"]);
      const before = await w.hl.records(w.me);
      spoil(await CALLS[name]!(w));
      expect((await w.hl.records(w.me)).slice(0, before.length)).toEqual(before);
      const more = name === "record" ? ["new"] : name === "recordBundle" ? [...RECORDS] : [];
      expect(await released()).toEqual(["amended", "keep", ...more].sort());
      const told = async () =>
        Promise.all(
          ["records", "held", "directives", "audit", "pendingReviews"].map((one) => CALLS[one]!(w)),
        );
      const first = await told();
      spoil(await told());
      expect(await told()).toEqual(first);
      // What the process remembers is what an index that is built again says.
      const again = await w.again({ repair: { index: true } });
      expect(await again.records(await again.ensureSubject(MRN))).toEqual(first[0]);
    },
  );

  it("is not changed by what is among the options, nor by what a labeller keeps", async () => {
    const given: Coding[] = [];
    const labeller = {
      ...LABELLER,
      label: () => ({ codes: given, stamp: { labeller: "x", version: "1" } }),
    };
    const w = await ward({ policy: { labeller } });
    await w.permit();
    await w.hl.record(w.me, observation("o"));
    expect((await w.ask()).count).toBe(1);
    given.push({ system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "PSY" });
    expect((await w.ask()).count).toBe(1);
    expect((await w.hl.records(w.me))[0]!.labels!.codes).toEqual([]);
  });

  it("keeps defaults unchanged when a caller changes the facts of a decision", async () => {
    const w = await ward({
      policy: { defaults: [{ ...treatmentOnly((await ward()).patient), default: "deny" }] },
    });
    await w.hl.record(w.me, observation("o"));
    expect((await w.ask()).count).toBe(1);
    const question = { requester: w.b.signer.actor, purposes: ["TREAT"] };
    const first = await w.hl.decide(w.me, question);
    spoil(await w.hl.decide(w.me, question));
    expect(await w.hl.decide(w.me, question)).toEqual(first);
    expect((await w.ask()).count).toBe(1);
  });
});

describe("giveResult", () => {
  it("copies bytes, CIDs and plain data, once where they are met twice, and gives the rest", () => {
    const shared = { bytes: Uint8Array.of(1, 2) };
    const error = new Error("kept");
    const frozen = freezeData({ a: [{ b: 1 }] });
    const cid = CID.parse("bafyreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi");
    const value = {
      list: [shared, shared],
      error,
      frozen,
      cid,
      none: null,
      ["__proto__"]: { x: 1 },
    };
    const copy = giveResult(value) as typeof value;
    expect(copy).toEqual(value);
    expect(copy.list[0]).toBe(copy.list[1]);
    expect(copy.list[0]).not.toBe(shared);
    expect(copy.list[0]!.bytes.buffer).not.toBe(shared.bytes.buffer);
    expect(copy.error).toBe(error);
    expect(copy.frozen).toBe(frozen);
    expect(copy.cid).not.toBe(cid);
    expect(copy.cid.equals(cid)).toBe(true);
    expect(copy.cid.bytes.buffer).not.toBe(cid.bytes.buffer);
    expect(() => Object.assign(frozen.a[0]!, { b: 2 })).toThrow(TypeError);
  });
});
