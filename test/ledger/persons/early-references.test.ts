import { describe, expect, it } from "vitest";
import { memorySigner } from "../../../src/identity/signer.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import type { Subject } from "../../../src/ledger/entries/subjects.ts";
import { observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { collect, opened, ward, type Ward } from "../../support/ward.ts";

const A = { system: "urn:oid:1.1.1", value: "1" };
const B = { system: "urn:oid:2.2.2", value: "7" };
type Number = typeof A;
const reason = "the same papers";
const SOURCE = { source: "ehr-1" } as const;

const patient = (id: string, ...identifier: object[]): object => ({
  resourceType: "Patient",
  ...{ id, identifier },
});
const measured = (id: string, reference: string): object => ({
  ...(JSON.parse(observation(id)) as object),
  subject: { reference },
});

const feed = (hl: Ledger, ...lines: object[]) =>
  hl.recordNdjson(
    (async function* () {
      for (const line of lines) yield `${JSON.stringify(line)}\n`;
    })(),
    SOURCE,
  );

const named = (hl: Ledger, reference: string, source = "ehr-1"): Promise<Subject | undefined> =>
  hl.findSubject({ source, reference });

async function released(w: Ward, number: Number): Promise<unknown[]> {
  const answer = await w.hl.request(w.b, { patient: number, purposes: ["TREAT"] });
  return (await opened(answer)).map(({ resource }) => resource!["id"]).sort();
}

/** What somebody says with a key of their own: all for treatment, or nothing. */
async function says(hl: Ledger, subject: Subject, effect: "permit" | "deny", lineage = "privacy") {
  const key = memorySigner({ alg: "Ed25519", secret: bytesFor(`key ${subject.local.join()}`) });
  const root = {
    id: "all",
    effect,
    combine: "deny-overrides",
    when: { purposes: ["TREAT"] },
  } as const;
  await hl.consent(subject, treatmentOnly(key, { root, lineage }), { signer: key });
}

const open = (hl: Ledger) => collect(hl.proposals());

describe("a patient who is referred to before the Patient comes", () => {
  it("gets all that follows, and is found by the numbers of the Patient", async () => {
    const w = await ward();
    const done = await feed(
      w.hl,
      measured("o1", "Patient/123"),
      measured("o2", "Patient/123/_history/4"),
      measured("o3", "Patient/124"),
    );
    expect(done).toMatchObject({ recorded: 3, skipped: 0, subjects: 2 });
    const early = (await named(w.hl, "Patient/123"))!;
    expect(await w.hl.records(early)).toHaveLength(2);
    await feed(w.hl, patient("123", A, B));
    expect(await w.hl.findSubject(A)).toEqual(early);
    expect(await w.hl.findSubject(B)).toEqual(early);
    await says(w.hl, early, "permit");
    await feed(w.hl, measured("o4", "Patient/123"));
    for (const number of [A, B])
      expect(await released(w, number)).toEqual(["123", "o1", "o2", "o4"]);
    expect(await open(w.hl)).toEqual([]);
  });

  it("is one person for a file of which the Patient comes last", async () => {
    const w = await ward();
    const done = await feed(w.hl, measured("o1", "Patient/123"), patient("123", A));
    expect(done).toMatchObject({ recorded: 2, subjects: 1, skipped: 0 });
  });

  it("is known once, however often the file is sent", async () => {
    const w = await ward();
    const lines = [measured("o1", "Patient/123"), measured("o2", "Patient/124")];
    await feed(w.hl, ...lines);
    await w.hl.chain.refresh();
    const before = w.hl.chain.size;
    expect(await feed(w.hl, ...lines)).toMatchObject({ recorded: 0, known: 2 });
    await w.hl.chain.refresh();
    expect(w.hl.chain.size).toBe(before);
  });

  it("refuses before any number is known, and the refusal holds for every number that comes", async () => {
    const w = await ward();
    await feed(w.hl, measured("o1", "Patient/123"));
    await says(w.hl, (await named(w.hl, "Patient/123"))!, "deny");
    await feed(w.hl, patient("123", A, B));
    for (const number of [A, B]) expect(await released(w, number)).toEqual([]);
    const again = await w.again({ repair: { index: true } });
    const answer = await again.request(w.b, { patient: B, purposes: ["TREAT"] });
    expect(await opened(answer)).toEqual([]);
  });

  it("is another of each source", async () => {
    const w = await ward();
    await feed(w.hl, measured("o1", "Patient/123"));
    expect(await named(w.hl, "Patient/123", "ehr-2")).toBeUndefined();
  });

  it("is nobody's without a source, and the reason says so", async () => {
    const w = await ward();
    const bundle = JSON.stringify({
      resourceType: "Bundle",
      type: "collection",
      entry: [
        { resource: measured("o1", "Patient/123") },
        { resource: measured("o2", "urn:uuid:x") },
        { resource: patient("p") },
      ],
    });
    const { skipped } = await w.hl.recordBundle(null, bundle);
    expect(skipped.map(({ why }) => why)).toEqual([
      "its patient is named by a reference only, which names nobody without a source",
      "it cannot be told whom it is about",
      "its patient has no identifier that tells who they are",
    ]);
  });
});

describe("a Patient who comes with a number of somebody else", () => {
  async function conflict(...more: object[]) {
    const w = await ward();
    const owner = await w.hl.ensureSubject(A);
    await feed(w.hl, measured("o1", "Patient/123"));
    const early = (await named(w.hl, "Patient/123"))!;
    await feed(w.hl, patient("123", A, ...more));
    return { ...w, owner, early };
  }

  it("is filed about the person of the name, and proposed, once", async () => {
    const { hl, owner, early } = await conflict();
    expect(await hl.records(early)).toHaveLength(2);
    expect(await hl.records(owner)).toHaveLength(0);
    expect(await open(hl)).toMatchObject([{ subjects: [early, owner], because: A }]);
    await feed(hl, patient("123", A), measured("o2", "Patient/123"));
    expect(await hl.records(early)).toHaveLength(3);
    expect(await open(hl)).toHaveLength(1);
  });

  it("can be asked for by none of the numbers, until the two are merged", async () => {
    const w = await conflict(B);
    await says(w.hl, w.owner, "permit");
    await says(w.hl, w.early, "permit");
    expect(await released(w, A)).toEqual([]);
    expect(await w.hl.findSubject(B)).toBeUndefined();
    // Another version without the conflicting number does not open a way around it.
    await feed(w.hl, patient("123", B));
    expect(await w.hl.findSubject(B)).toBeUndefined();
    await w.hl.merge(w.early, w.owner, { reason });
    expect(await released(w, A)).toEqual(["123", "o1"]);
    expect(await open(w.hl)).toEqual([]);
    await feed(w.hl, patient("123", A, B));
    expect(await released(w, B)).toEqual(["123", "o1"]);
  });

  it.each(["owner", "early"] as const)(
    "is refused after the merge what the %s refused",
    async (who) => {
      const w = await conflict();
      await says(w.hl, w[who], "deny");
      await says(w.hl, w[who === "owner" ? "early" : "owner"], "permit", "other");
      await w.hl.merge(w.early, w.owner, { reason });
      expect(await released(w, A)).toEqual([]);
    },
  );

  it("stays proposed when the index is rebuilt", async () => {
    const w = await conflict();
    const again = await w.again({ repair: { index: true } });
    expect(await open(again)).toEqual(await open(w.hl));
  });
});

describe("a source's name of a patient", () => {
  it("finds nobody as an identifier, in whatever form", async () => {
    const w = await ward();
    await feed(w.hl, measured("o1", "Patient/123"));
    const early = (await named(w.hl, "Patient/123"))!;
    await says(w.hl, early, "permit");
    const local = Array.from(early.local, (byte) => byte.toString(16).padStart(2, "0")).join("");
    for (const system of ["ehr-1", "Patient", "person", "urn:ehr-1", "source"]) {
      for (const value of ["123", "Patient/123", local]) {
        expect(await w.hl.findSubject({ system, value })).toBeUndefined();
        expect(await released(w, { system, value })).toEqual([]);
      }
    }
    const own = { system: "\0person", value: local };
    await expect(w.hl.ensureSubject(own)).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    await expect(w.hl.findSubject(own)).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    await expect(w.hl.identify(w.me, [own])).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    await expect(released(w, own)).rejects.toThrow();
    await feed(w.hl, patient("9", own, A));
    expect((await w.hl.findSubject(A))!.local).not.toEqual(early.local);
  });

  it("is of one server, once the server is known", async () => {
    const w = await ward();
    await feed(w.hl, measured("o1", "Patient/123"));
    await feed(w.hl, measured("o2", "https://a.example/fhir/Patient/123"));
    await feed(w.hl, measured("o3", "https://b.example/fhir/Patient/123"));
    const [first, a, b] = await Promise.all([
      named(w.hl, "https://a.example/fhir/Patient/123"),
      named(w.hl, "https://a.example/fhir/Patient/123"),
      named(w.hl, "https://b.example/fhir/Patient/123"),
    ]);
    expect(first).toEqual(a);
    expect(b).not.toEqual(a);
    expect(await w.hl.records(a!)).toHaveLength(2);
    expect(await w.hl.records(b!)).toHaveLength(1);
    await expect(named(w.hl, "Patient/123")).rejects.toMatchObject({ code: "ERR_RECORD_CONFLICT" });
    const unclear = await feed(w.hl, measured("o4", "Patient/123"));
    expect(unclear.problems.map(({ why }) => why)).toEqual([
      "its source has several servers with such a patient: it needs the server's URL",
    ]);
    expect(await open(w.hl)).toEqual([]);
  });

  it("names one person for two processes at once", async () => {
    const w = await ward();
    const other = await w.again();
    const both = [w.hl, other];
    await Promise.all(both.map((hl, i) => feed(hl, measured(`o${i}`, "Patient/123"))));
    const person = (await named(w.hl, "Patient/123"))!;
    expect(await w.hl.records(person)).toHaveLength(2);
  });

  it.each([
    ["a reference", measured("o1", "Patient/123")],
    ["a Patient", patient("123", A)],
  ])(
    "after %s without a server is of one of two, which two processes send at once",
    async (_, first) => {
      const w = await ward();
      await feed(w.hl, first);
      const sent = (server: string, number: Number): string =>
        JSON.stringify({
          resourceType: "Bundle",
          type: "collection",
          entry: [
            {
              fullUrl: `https://${server}.example/fhir/Patient/123`,
              resource: patient("123", number),
            },
            {
              fullUrl: `https://${server}.example/fhir/Observation/${server}`,
              resource: measured(server, "Patient/123"),
            },
          ],
        });
      const other = await w.again();
      const C = { system: "urn:oid:1.1.1", value: "3" };
      const send = () =>
        Promise.all([
          w.hl.recordBundle(null, sent("a", A), SOURCE),
          other.recordBundle(null, sent("b", C), SOURCE),
        ]);
      await send();
      await send();
      const [one, two] = [(await w.hl.findSubject(A))!, (await w.hl.findSubject(C))!];
      expect(one.local).not.toEqual(two.local);
      await says(w.hl, one, "permit");
      await says(w.hl, two, "permit");
      const got = [await released(w, A), await released(w, C)];
      expect(got.map((ids) => ids.filter((id) => id === "a" || id === "b"))).toEqual([
        ["a"],
        ["b"],
      ]);
      expect(got.flat().filter((id) => id === "o1").length).toBeLessThan(2);
    },
  );

  it("does not go to a person whom the caller names, if it is another's", async () => {
    const w = await ward();
    await feed(w.hl, measured("o1", "Patient/123"));
    const bundle = JSON.stringify({
      resourceType: "Bundle",
      type: "collection",
      entry: [{ resource: measured("o2", "Patient/123") }],
    });
    const mine = () => w.hl.recordBundle(w.me, bundle, SOURCE);
    await expect(mine()).rejects.toMatchObject({ code: "ERR_INPUT_OTHER_PERSON" });
    await w.hl.merge((await named(w.hl, "Patient/123"))!, w.me, { reason });
    expect((await mine()).recorded).toHaveLength(1);
  });

  it("is that of the person whom the caller names, from then on", async () => {
    const w = await ward();
    const bundle = JSON.stringify({
      resourceType: "Bundle",
      type: "collection",
      entry: [{ resource: measured("o1", "Patient/123") }],
    });
    await w.hl.recordBundle(w.me, bundle, SOURCE);
    await says(w.hl, w.me, "deny");
    await feed(w.hl, measured("o1", "Patient/123"), measured("o2", "Patient/123"));
    await feed(w.hl, patient("123", B));
    expect(await released(w, B)).toEqual([]);
    expect(await named(w.hl, "Patient/123")).toEqual(w.me);
    expect(await w.hl.records(w.me)).toHaveLength(2);
  });

  it("is free again once the person is forgotten", async () => {
    const w = await ward();
    await feed(w.hl, measured("o1", "Patient/123"));
    const before = (await named(w.hl, "Patient/123"))!;
    await w.hl.erase(before, { all: true, reason, forgetSubject: true });
    expect(await named(w.hl, "Patient/123")).toBeUndefined();
    await feed(w.hl, measured("o2", "Patient/123"));
    expect(await named(w.hl, "Patient/123")).not.toEqual(before);
  });

  it("that is also another's, by a record that was moved, is nobody's until the two are joined", async () => {
    const w = await ward();
    await feed(w.hl, measured("o1", "Patient/123"), patient("123", A));
    await feed(w.hl, measured("o2", "Patient/124"), measured("o3", "Patient/123"));
    const early = (await named(w.hl, "Patient/124"))!;
    await feed(w.hl, patient("124", B));
    const [record] = await w.hl.find({ ...SOURCE, type: "Patient", id: "124" });
    await w.hl.reattribute(record!.id, w.me, "of the other");
    const unclear = await feed(w.hl, measured("o4", "Patient/124"));
    expect(unclear.problems.map(({ why }) => why)).toEqual([
      "its source's name for its patient is that of several persons known here",
    ]);
    expect(await open(w.hl)).toMatchObject([{ subjects: [early, w.me], because: "Patient.id" }]);
    await expect(named(w.hl, "Patient/124")).rejects.toMatchObject({ code: "ERR_RECORD_CONFLICT" });
    await w.hl.merge(early, w.me, { reason });
    expect(await feed(w.hl, measured("o4", "Patient/124"))).toMatchObject({ recorded: 1 });
  });
});

describe("a history of a Patient whose number changed", () => {
  const history = (...patients: object[]): string =>
    JSON.stringify({
      resourceType: "Bundle",
      type: "history",
      entry: [
        ...patients.map((resource, i) => ({
          request: { method: "PUT", url: "Patient/1" },
          resource: { ...resource, meta: { versionId: String(patients.length - i) } },
        })),
      ],
    });

  it("is filed about nobody, until both numbers are one person's", async () => {
    const w = await ward();
    const said = history(patient("1", B), patient("1", A));
    expect((await w.hl.recordBundle(null, said, SOURCE)).recorded).toEqual([]);
    const one = await w.hl.ensureSubject(A);
    const done = await w.hl.recordBundle(null, said, SOURCE);
    expect(done.recorded).toEqual([]);
    expect(await open(w.hl)).toMatchObject([{ subjects: [one], because: A }]);
    await w.hl.identify(one, [B]);
    const { recorded } = await w.hl.recordBundle(null, said, SOURCE);
    expect(recorded.map(({ subject }) => subject)).toEqual([one, one]);
  });
});

describe("proposals", () => {
  const linked = (id: string, other: string, ...numbers: object[]): object => ({
    ...patient(id, ...numbers),
    link: [{ other: { reference: `Patient/${other}` }, type: "seealso" }],
  });

  it("end when the two are joined, and come back when they are parted", async () => {
    const w = await ward();
    await feed(w.hl, linked("1", "2", A), patient("2", B));
    const [one, other] = [(await w.hl.findSubject(A))!, (await w.hl.findSubject(B))!];
    expect(await open(w.hl)).toMatchObject([{ subjects: [one, other], because: "Patient.link" }]);
    const link = await w.hl.merge(one, other, { reason });
    expect(await open(w.hl)).toEqual([]);
    await w.hl.unmerge(link, { reason });
    expect(await open(w.hl)).toHaveLength(1);
  });

  it("that are dismissed do not come back for the same reason, but for another", async () => {
    const w = await ward();
    await feed(w.hl, linked("1", "2", A), patient("2", B));
    const { id } = (await open(w.hl))[0]!;
    await w.hl.dismissProposal(id, { reason: "twins" });
    await feed(w.hl, linked("1", "2", A), patient("2", B));
    expect(await open(w.hl)).toEqual([]);
    expect(await open(await w.again({ repair: { index: true } }))).toEqual([]);
    await expect(w.hl.dismissProposal(id, { reason })).rejects.toMatchObject({
      code: "ERR_RECORD_NOT_FOUND",
    });
    const one = (await w.hl.findSubject(A))!;
    const { proposals } = await w.hl.identify(one, [B]);
    expect(await open(w.hl)).toMatchObject(proposals);
    expect(proposals).toHaveLength(1);
  });

  it("end when one of the two is forgotten, and the other is not", async () => {
    const w = await ward();
    await feed(w.hl, linked("1", "2", A), patient("2", B), measured("o", "Patient/2"));
    const [one, other] = [(await w.hl.findSubject(A))!, (await w.hl.findSubject(B))!];
    expect(await open(w.hl)).toHaveLength(1);
    await w.hl.erase(one, { all: true, reason, forgetSubject: true });
    expect(await open(w.hl)).toEqual([]);
    expect(await w.hl.findSubject(A)).toBeUndefined();
    expect(await w.hl.findSubject(B)).toEqual(other);
    expect(await w.hl.records(other)).toHaveLength(2);
    expect(await w.hl.lost()).toEqual([]);
  });

  it("about one person end once the numbers are somebody's", async () => {
    const w = await ward();
    await feed(w.hl, patient("1", A));
    const done = await feed(w.hl, patient("1", B));
    expect(done).toMatchObject({ recorded: 0, skipped: 1 });
    const one = (await w.hl.findSubject(A))!;
    expect(await open(w.hl)).toMatchObject([{ subjects: [one], because: B }]);
    await w.hl.identify(one, [B]);
    expect(await open(w.hl)).toEqual([]);
  });

  it("do not let a person without numbers get any while one is open", async () => {
    const w = await ward();
    const owner = await w.hl.ensureSubject(A);
    await feed(w.hl, measured("o1", "Patient/1"));
    await feed(w.hl, patient("1", A));
    await feed(w.hl, patient("1", B));
    expect(await w.hl.findSubject(B)).toBeUndefined();
    const { id } = (await open(w.hl))[0]!;
    await w.hl.dismissProposal(id, { reason: "a mistake of the registration desk" });
    await feed(w.hl, patient("1", B));
    expect(await w.hl.findSubject(B)).toEqual(await named(w.hl, "Patient/1"));
    expect(await w.hl.findSubject(A)).toEqual(owner);
  });
});
