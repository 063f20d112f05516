import { describe, expect, it } from "vitest";
import type { RecordId } from "../../../src/codec/ids.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { decodeEntry, type SubjectEntry } from "../../../src/block/entry.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { StorageError } from "../../../src/errors.ts";
import type { Directive } from "../../../src/consent/model/model.ts";
import {
  alcoholDependence,
  MRN,
  observation,
  treatmentOnly,
  LABELLER,
  rootRule,
} from "../../support/hospital.ts";
import { keyEntry, memberEntry } from "../../support/forge.ts";
import { bytesFor, signerFor } from "../../support/ledger.ts";
import {
  opened,
  readable,
  requesterOf,
  revoking,
  texts,
  ward,
  type Ward,
} from "../../support/ward.ts";
import { openLedger } from "../../../src/ledger/open-ledger.ts";
import { memorySigner } from "../../../src/identity/signer.ts";

const PSY = {
  codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "PSY" }],
  stamp: { labeller: "officer", version: "1" },
};

/** What may land, from another process, while hospital A answers. */
const withdrawals: readonly (readonly [string, (ward: Ward, other: Other) => Promise<unknown>])[] =
  [
    ["a revocation", (w, { hl, me }) => hl.consent(me, revoking(w.patient), { signer: w.patient })],
    [
      "a suspension",
      (w, { hl, me }) =>
        hl.consent(me, revoking(w.patient, { mode: "suspend" }), { signer: w.patient }),
    ],
    [
      "a refusal that replaces the permit",
      async (w, { hl, me }) => {
        const [head] = await hl.directives(me);
        const refusal: Directive = {
          ...treatmentOnly(w.patient),
          predecessors: [head!.entry],
          root: { id: "no", effect: "deny", combine: "deny-overrides", when: {} },
        };
        await hl.consent(me, refusal, { signer: w.patient });
      },
    ],
    ["a new label", (_w, { hl, record }) => hl.relabel(record, PSY)],
    ["a retraction", (_w, { hl, record }) => hl.retract(record, "entered in error")],
    [
      "a re-attribution",
      async (_w, { hl, record }) =>
        hl.reattribute(record, await hl.ensureSubject({ ...MRN, value: "MRN-2" }), "wrong chart"),
    ],
    ["an amendment", (_w, { hl, record }) => hl.amend(record, observation("bp-1", "1.0"))],
    [
      "an erasure",
      (_w, { hl, me, record }) => hl.erase(me, { records: [record], reason: "asked" }),
    ],
    [
      "the end of the requester's membership",
      async (w) =>
        w.write(w.hospitalA, [
          await memberEntry(
            w.hl.id,
            [{ op: "remove", actor: w.b.signer.actor }],
            [w.hospitalA.signer(), w.institute.signer()],
          ),
        ]),
    ],
    [
      "the end of the requester's agreement key",
      async (w) =>
        w.write(w.hospitalB, [
          await keyEntry(w.hl.id, w.b.signer.actor, "retire", "agree", w.hospitalB.agreement()),
        ]),
    ],
    [
      "the end of the requester's signing key",
      async (w) => {
        const actor = w.b.signer.actor;
        const second = signerFor("hospital b second", actor);
        await w.write(w.hospitalB, [await keyEntry(w.hl.id, actor, "add", "sign", second)]);
        await w.write(w.hospitalB, [await keyEntry(w.hl.id, actor, "retire", "sign", w.b.signer)]);
      },
    ],
    ["the end of the request's time", async (w) => void (w.clock.now += 400_000)],
  ];

interface Other {
  readonly hl: Ward["hl"];
  readonly me: Ward["me"];
  readonly record: RecordId;
}

async function setUp() {
  const w = await ward();
  await w.permit();
  const { id: record } = await w.hl.record(w.me, observation("bp-1"));
  await w.hl.record(w.me, alcoholDependence("c-1"));
  const hl = await w.again();
  const other: Other = { hl, me: await hl.ensureSubject(MRN), record };
  return { w, other };
}

describe("disclose", () => {
  for (const when of ["before", "after"] as const) {
    const where = when === "before" ? "decision and access entry" : "access entry and answer";
    for (const [name, happen] of withdrawals) {
      it(`releases nothing when ${name} lands between ${where}, and records it`, async () => {
        const { w, other } = await setUp();
        let sprung = false;
        w.traps[when] = async () => {
          await happen(w, other);
          sprung = true;
        };
        const answer = await w.ask();
        expect(sprung).toBe(true);
        expect(await opened(answer)).toEqual([]);
        expect(answer.decision.outcome).not.toBe("permit");
        const [access] = await w.audit();
        expect(access!.id).toEqual(answer.access);
        const of = access!.records.find(({ type }) => type === "Observation")!;
        expect(of.decision.outcome).toBe("permit");
        expect(of).toMatchObject({ released: false });
        expect(of.withdrawn!.outcome).not.toBe("permit");
        expect(access!.records.find(({ type }) => type === "Condition")!.withdrawn).toBe(undefined);
        expect(await w.hl.verify()).toMatchObject({ ok: true });
      });
    }
  }

  it("withdraws only what changed, and releases the rest", async () => {
    const { w, other } = await setUp();
    await w.hl.record(w.me, observation("bp-2"));
    w.traps.before = async () => void (await other.hl.relabel(other.record, PSY));
    expect(await texts(await w.ask())).toEqual([observation("bp-2")]);
    const [access] = await w.audit();
    expect(access!.records.map(({ released }) => released)).toEqual([false, false, true]);
  });

  it("does not release more when a permit lands in between", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    const other = await w.again();
    const me = await other.ensureSubject(MRN);
    w.traps.before = async () => {
      await other.consent(me, treatmentOnly(w.patient), { signer: w.patient });
    };
    expect((await w.ask()).count).toBe(0);
    expect(await texts(await w.ask())).toEqual([observation("bp-1")]);
  });

  it("records nothing of the difference when nothing was withdrawn", async () => {
    const { w, other } = await setUp();
    w.traps.before = async () => void (await other.hl.record(other.me, observation("bp-9")));
    expect(await texts(await w.ask())).toEqual([observation("bp-1")]);
    expect((await w.audit())[0]!.records[0]).toMatchObject({ released: true });
  });

  it("sees what another handle filed even where the person's entries are in memory", async () => {
    const { w, other } = await setUp();
    expect((await w.ask()).count).toBe(1);
    await other.hl.consent(other.me, revoking(w.patient), { signer: w.patient });
    // The other handle takes its own entry in and writes the index before we look.
    await other.hl.directives(other.me);
    await other.hl.close();
    expect((await w.ask()).count).toBe(0);
  });

  it("reads a person's entries in turn with what is being filed about him", async () => {
    const { w } = await setUp();
    const persons = await Promise.all(
      Array.from({ length: 20 }, (_, i) => w.hl.ensureSubject({ ...MRN, value: `M-${i}` })),
    );
    await Promise.all(
      persons.flatMap((person, i) => [
        w.hl.record(person, observation(`o-${i}`)),
        w.hl.directives(person),
        w.hl.consent(person, treatmentOnly(w.patient), { signer: w.patient }),
        w.hl.records(person),
        w.hl.audit(person)[Symbol.asyncIterator]().next(),
      ]),
    );
    for (const person of persons) {
      expect(await w.hl.records(person)).toHaveLength(1);
      expect(await w.hl.directives(person)).toHaveLength(1);
    }
  });

  it("releases and records nothing when storage fails before the access entry", async () => {
    const { w } = await setUp();
    const size = w.hl.chain.size;
    w.traps.before = async () => {
      throw new StorageError("ERR_STORAGE_FAILED", "disk full");
    };
    await expect(w.ask()).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    expect(await w.audit()).toEqual([]);
    expect(w.hl.chain.size).toBe(size);
    expect((await w.ask()).count).toBe(1);
  });

  it("releases and records nothing when the custodian's key does not sign", async () => {
    const w = await ward();
    const keys = { ...w.hospitalA };
    let broken = false;
    const inner = memorySigner({
      alg: "Ed25519",
      secret: bytesFor("hospital a sign"),
    });
    keys.signer = (which, actor) => {
      if (which === "checkpoint") return w.hospitalA.signer(which, actor);
      return {
        ...inner,
        sign: async (bytes) => {
          if (broken) throw new Error("the module is gone");
          return inner.sign(bytes);
        },
      };
    };
    const hl = await openLedger({
      policy: { labeller: LABELLER },
      storage: memoryStorage(),
      keys,
      genesis: w.genesis,
      now: () => w.clock.now,
    });
    const me = await hl.ensureSubject(MRN);
    await hl.record(me, observation("bp-1"));
    await hl.consent(me, treatmentOnly(w.patient), { signer: w.patient });
    const size = hl.chain.size;
    broken = true;
    await expect(hl.request(w.b, { patient: MRN, purposes: ["TREAT"] })).rejects.toThrow("gone");
    expect(hl.chain.size).toBe(size);
    broken = false;
    expect((await hl.request(w.b, { patient: MRN, purposes: ["TREAT"] })).count).toBe(1);
  });

  it("loses no access entry when later work fails", async () => {
    const { w } = await setUp();
    w.traps.after = async () => {
      w.traps.before = undefined;
      throw new StorageError("ERR_STORAGE_FAILED", "connection lost");
    };
    await expect(w.ask()).rejects.toMatchObject({ code: "ERR_STORAGE_FAILED" });
    const again = await w.again();
    const audit = await readable(again.audit(await again.ensureSubject(MRN)));
    expect(audit).toHaveLength(1);
    expect(audit[0]!.records[0]).toMatchObject({ type: "Observation", released: true });
  });

  it("keeps the access entry when a blob cannot be read afterwards", async () => {
    const inner = memoryStorage();
    let broken = false;
    const flaky = {
      ...inner,
      blobs: {
        ...inner.blobs,
        getMany: async (cids: Parameters<typeof inner.blobs.getMany>[0]) => {
          if (broken) throw new StorageError("ERR_STORAGE_FAILED", "disk error");
          return inner.blobs.getMany(cids);
        },
      },
    };
    const w = await ward({ inner: flaky });
    await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    await w.ask();
    w.traps.after = async () => void (broken = true);
    // Never "nothing was written": that he asked stands on the ledger.
    await expect(w.ask()).rejects.toMatchObject({ code: "ERR_STORAGE_AMBIGUOUS" });
    broken = false;
    expect(await w.audit()).toHaveLength(2);
  });

  it("discloses nothing while a consent on the ledger does not open", async () => {
    const { w, other } = await setUp();
    const filed = await other.hl.consent(other.me, revoking(w.patient), { signer: w.patient });
    const { height, transaction, entry } = filed.place;
    const { block } = await other.hl.chain.readBlock(height);
    const { body } = decodeEntry(block.transactions[transaction]!.entries[entry]!) as SubjectEntry;
    // The header of its envelope is lost, as by an incomplete backup.
    await w.storage.blobs!.delete([body]);
    await expect(w.ask()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
  });

  it("unites the duties of everything that is released", async () => {
    const w = await ward({ policy: { supportedObligations: ["A", "B"] } });
    const rule = (id: string, types: string[], obligations: string[]) => ({
      id,
      effect: "permit" as const,
      combine: "deny-overrides" as const,
      when: { data: { types } },
      obligations,
    });
    await w.permit({
      root: {
        ...rule("root", ["Observation", "Condition"], ["A"]),
        rules: [rule("o", ["Observation"], ["A"]), rule("c", ["Condition"], ["B"])],
      },
    });
    await w.hl.record(w.me, observation("bp-1"));
    await w.hl.record(w.me, alcoholDependence("c-1"));
    const answer = await w.ask();
    expect(answer.count).toBe(2);
    expect(answer.decision.obligations).toEqual(["A", "B"]);
  });

  it("breaks the glass only for a declaration, however the purpose is written", async () => {
    const w = await ward();
    await w.permit({
      root: rootRule("permit", { purposes: ["BTG"] }),
    });
    await w.hl.record(w.me, observation("bp-1"));
    for (const purpose of ["BTG", "http://terminology.hl7.org/CodeSystem/v3-ActReason|BTG"]) {
      expect((await w.ask(w.b, { purposes: [purpose] })).count).toBe(0);
      const declaration = { reason: "unconscious", until: w.clock.now + 60_000 };
      const answer = await w.ask(w.b, { purposes: [purpose], declaration });
      expect(answer.count).toBe(1);
      expect(answer.decision.obligations).toEqual(["notify-patient", "review"]);
    }
  });

  it("answers who asks about somebody unknown as about somebody of whom there is nothing", async () => {
    const w = await ward();
    const shape = (answer: Awaited<ReturnType<typeof w.ask>>) => {
      return { ...answer.decision, count: answer.count, access: answer.access.length };
    };
    // The first block is shorter, having none before it.
    await w.ask();
    const before = w.hl.chain.size;
    const known = await w.ask();
    const between = w.hl.chain.size;
    const unknown = await w.ask(w.b, { patient: { ...MRN, value: "nobody" } });
    expect(shape(unknown)).toEqual(shape(known));
    expect(w.hl.chain.size - between).toBe(between - before);
    const bytes = (await w.hl.chain.readBlock(before)).bytes.length;
    expect((await w.hl.chain.readBlock(between)).bytes.length).toBe(bytes);
    const asked = [];
    for await (const access of w.hl.audit(null)) asked.push(access);
    expect(asked).toMatchObject([{ requester: w.b.signer.actor, purposes: ["TREAT"] }]);
    expect(await w.audit()).toHaveLength(2);
  });

  it("says the same with and without a record that is withheld", async () => {
    const answers = [];
    for (const withheld of [false, true]) {
      const w = await ward();
      await w.permit();
      await w.hl.record(w.me, observation("bp-1"));
      const sealed = withheld ? alcoholDependence("c-1") : observation("bp-2");
      const of = withheld ? w.me : await w.hl.ensureSubject({ ...MRN, value: "other" });
      await w.hl.record(of, sealed);
      const answer = await w.ask();
      const { snapshot: _snapshot, basedOn, ...decision } = answer.decision;
      const items = (await opened(answer)).map(({ text }) => bytesToUtf8(text!));
      answers.push({ items, decision, basedOn: basedOn.map(String), count: answer.count });
      const silent = await w.ask(w.b, { query: { types: ["Condition"] } });
      answers.push({ nothing: silent.decision, count: silent.count });
    }
    expect(JSON.stringify(answers[2])).toBe(JSON.stringify(answers[0]));
    expect(JSON.stringify(answers[3])).toBe(JSON.stringify(answers[1]));
  });

  it("refuses alike for whatever reason, which stands in the audit", async () => {
    const told: unknown[] = [];
    const outcomes: string[] = [];
    const refused = async (w: Ward, what: Parameters<Ward["ask"]>[1] = {}) => {
      const { count, decision } = await w.ask(w.b, what);
      told.push({ count, decision });
      const [record] = (await w.audit()).at(-1)?.records ?? [];
      outcomes.push(record?.decision.outcome ?? "nothing");
    };
    const w = await ward();
    await refused(w);
    const { id } = await w.hl.record(w.me, alcoholDependence("c-1"));
    await refused(w);
    await w.permit();
    await refused(w);
    await w.hl.relabel(id, null);
    await refused(w);
    await refused(w, { patient: { ...MRN, value: "nobody" } });
    expect(outcomes.slice(0, 4)).toEqual(["nothing", "not-applicable", "deny", "indeterminate"]);
    for (const one of told) expect(one).toEqual(told[0]);
    expect(told[0]).toMatchObject({
      count: 0,
      decision: { outcome: "deny", reasons: [], basedOn: [], setAside: [], breakGlass: null },
    });
    expect((await w.audit()).at(-1)!.records[0]!.decision.reasons).not.toEqual([]);
  });

  it("releases to several requesters at once, each its own", async () => {
    const { w } = await setUp();
    const c = requesterOf(w.institute);
    const answers = await Promise.all([
      w.ask(),
      w.ask(),
      w.ask(c, { purposes: ["HRESCH"] }),
      w.ask(),
    ]);
    expect(answers.map(({ count }) => count)).toEqual([1, 1, 0, 1]);
    expect(await Promise.all(answers.map(async (one) => (await opened(one)).length))).toEqual([
      1, 1, 0, 1,
    ]);
    expect(await w.audit()).toHaveLength(4);
  });
});
