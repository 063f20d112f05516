import { describe, expect, it } from "vitest";
import {
  bundleOf,
  medication,
  namesIn,
  ndjson,
  patient,
  permitting,
  practitioner,
  prescription,
  refusing,
  ZIDOVUDINE,
} from "../../support/drugs.ts";
import type { Subject } from "../../../src/index.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { MRN } from "../../support/hospital.ts";
import { collect, ward, type Ward } from "../../support/ward.ts";

type Json = Record<string, unknown>;
const SOURCE = { source: "ehr-1" } as const;
const PRESCRIPTIONS = { query: { types: ["MedicationRequest"] } };
const released = async (w: Ward, what: object = PRESCRIPTIONS) => namesIn(await w.ask(w.b, what));

/** All orders of some things. */
function ordersOf<T>(list: readonly T[]): readonly (readonly T[])[] {
  if (list.length < 2) return [list];
  return list.flatMap((one, at) => ordersOf(list.toSpliced(at, 1)).map((rest) => [one, ...rest]));
}

const P = patient();
const R = prescription("r", "Medication/m", {
  requester: { reference: "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|npi-d" },
});
const M = medication("m", undefined, { manufacturer: { reference: "Organization/o" } });
const O = { resourceType: "Organization", id: "o" };
const D = practitioner("d");
const version = (versionId: string, lastUpdated?: string) =>
  medication("m", undefined, { meta: { versionId, lastUpdated } });

/** Two persons with a prescription each of one drug. */
async function shared() {
  const w = await ward();
  await w.permit(permitting);
  const OTHER = { system: "urn:oid:2.2.2", value: "7" };
  const hers = { ...prescription("s", "Medication/m"), subject: { reference: "Patient/q" } };
  const mine = prescription("r", "Medication/m");
  await w.hl.recordNdjson(ndjson([P, patient("q", OTHER), mine, hers, version("1")]), SOURCE);
  return { w, hers: (await w.hl.findSubject(OTHER))! };
}
const ALL = ["Medication/m", "MedicationRequest/r", "Organization/o", "Practitioner/d"];

describe("what names nobody, from a source", () => {
  it.each(
    ordersOf([R, M, O, D]).map((order) => [order.map(({ id }) => id).join(" "), order] as const),
  )("goes out with what refers to it, sent as %s", async (_, order) => {
    const w = await ward();
    await w.permit(permitting);
    await w.hl.recordNdjson(ndjson([P]), SOURCE);
    for (const one of order) {
      const said = await w.hl.recordNdjson(ndjson([one]), SOURCE);
      expect(said).toMatchObject({ recorded: 1, skipped: 0, known: 0 });
    }
    const own = async () =>
      (await w.hl.records(w.me))
        .filter(({ retracted }) => !retracted)
        .map(({ head }) => `${head.manifest.resource!.type}/${head.manifest.resource!.id}`)
        .sort();
    expect(await own()).toEqual([...ALL, "Patient/p"].sort());
    expect(await released(w)).toEqual(ALL);
    const again = await w.hl.recordNdjson(ndjson([...order, P]), SOURCE);
    expect(again).toMatchObject({ recorded: 0, known: 5, skipped: 0, copied: 0 });
    expect(await own()).toEqual([...ALL, "Patient/p"].sort());
  });

  it("is filed by a bundle as by lines", async () => {
    const w = await ward();
    await w.permit(permitting);
    const said = await w.hl.recordBundle(null, bundleOf([P, R, M, O, D]), SOURCE);
    expect(said.skipped).toEqual([]);
    expect(said.kept.map(({ resource, as }) => `${resource.type} ${as}`)).toEqual([
      "Medication created",
      "Organization created",
      "Practitioner created",
    ]);
    expect(said.copied).toHaveLength(3);
    expect(await released(w)).toEqual(ALL);
  });

  const ordered = async (drug: object, order: readonly number[]) => {
    const w = await ward();
    await w.permit(refusing(ZIDOVUDINE));
    const parts = [P, prescription("r", "Medication/m"), drug];
    for (const at of order) await w.hl.recordNdjson(ndjson([parts[at]! as Json]), SOURCE);
    return w;
  };
  it.each([[[0, 1, 2]], [[0, 2, 1]], [[2, 0, 1]]])(
    "withholds the prescription of a refused drug, sent in the order %j",
    async (order) => {
      expect(await released(await ordered(medication("m", ZIDOVUDINE), order))).toEqual([]);
      expect(await released(await ordered(medication("m"), order))).toEqual([
        "Medication/m",
        "MedicationRequest/r",
      ]);
    },
  );

  it("serves two persons, each with a copy of its own, and the newest when it goes out", async () => {
    const { w, hers } = await shared();
    const copies = async (subject: Subject): Promise<readonly (string | undefined)[]> =>
      (await w.hl.records(subject))
        .filter(
          ({ head, retracted }) => head.manifest.resource!.type === "Medication" && !retracted,
        )
        .map(({ head }) => head.manifest.resource!.versionId);
    expect([await copies(w.me), await copies(hers)]).toEqual([["1"], ["1"]]);
    // A newer version is kept, and filed for nobody until something needs it.
    const newer = await w.hl.recordNdjson(ndjson([version("2")]), SOURCE);
    expect(newer).toMatchObject({ amended: 1, copied: 0 });
    expect([await copies(w.me), await copies(hers)]).toEqual([["1"], ["1"]]);
    expect(await released(w)).toEqual(["Medication/m v2", "MedicationRequest/r"]);
    expect([await copies(w.me), await copies(hers)]).toEqual([["2"], ["1"]]);
    const again = { ...prescription("s2", "Medication/m"), subject: { reference: "Patient/q" } };
    expect(await w.hl.recordNdjson(ndjson([again]), SOURCE)).toMatchObject({ copied: 1 });
    expect([await copies(w.me), await copies(hers)]).toEqual([["2"], ["2"]]);
    const older = await w.hl.recordNdjson(ndjson([version("1")]), SOURCE);
    expect(older).toMatchObject({ older: 1, copied: 0 });
    expect((await w.hl.find({ ...SOURCE, type: "Medication", id: "m" })).length).toBe(2);
  });

  it("does not go out any more once its source deleted it, and comes back with a newer version", async () => {
    const { w, hers } = await shared();
    const at = "2026-05-01T00:00:00Z";
    const deletion = {
      resourceType: "Bundle",
      type: "transaction",
      timestamp: at,
      entry: [{ request: { method: "DELETE", url: "Medication/m" } }],
    };
    const said = await w.hl.recordBundle(null, JSON.stringify(deletion), SOURCE);
    expect(said.kept.map(({ as }) => as)).toEqual(["retracted"]);
    expect(await released(w)).toEqual(["MedicationRequest/r"]);
    expect(await released(w, { query: { types: ["Medication"] } })).toEqual([]);
    await w.hl.recordNdjson(ndjson([version("3", "2026-06-01T00:00:00Z")]), SOURCE);
    expect(await released(w)).toEqual(["Medication/m v3", "MedicationRequest/r"]);
    const living = (await w.hl.records(hers)).filter(({ retracted }) => !retracted);
    expect(living.map(({ head }) => head.manifest.resource!.type)).toContain("MedicationRequest");
  });

  it("is erased with one person, and stays with the other", async () => {
    const { w, hers } = await shared();
    await w.hl.erase(hers, { all: true, reason: "asked" });
    expect(await w.hl.records(hers)).toEqual([]);
    expect(
      (await w.hl.find({ ...SOURCE, type: "Medication", id: "m" })).map(({ subject }) => subject),
    ).toEqual([w.me]);
    expect(await released(w)).toEqual(["Medication/m v1", "MedicationRequest/r"]);
  });

  it("is released once where two persons are joined, and to each once they are parted", async () => {
    const { w, hers } = await shared();
    const link = await w.hl.merge(hers, w.me, { reason: "the same" });
    const all = ["Medication/m v1", "MedicationRequest/r", "MedicationRequest/s"];
    expect(await released(w)).toEqual(all);
    expect(await released(w, { query: { types: ["Medication"] } })).toEqual(["Medication/m v1"]);
    await w.hl.unmerge(link, { reason: "they are not" });
    expect(await released(w)).toEqual(["Medication/m v1", "MedicationRequest/r"]);
    const own = (await w.hl.records(hers)).filter(({ retracted }) => !retracted);
    expect(own.map(({ head }) => head.manifest.resource!.type).sort()).toEqual([
      "Medication",
      "MedicationRequest",
      "Patient",
    ]);
  });

  it("is listed while it serves nobody, and may be assigned", async () => {
    const w = await ward();
    await w.permit(permitting);
    await w.hl.recordNdjson(ndjson([P, M, D]), SOURCE);
    await w.hl.recordNdjson(ndjson([M]), { source: "ehr-2" });
    const listed = async (options = {}) =>
      (await collect(w.hl.unassigned(options)))
        .map((one) => `${one.source} ${one.type}/${one.id}`)
        .sort();
    const three = ["ehr-1 Medication/m", "ehr-1 Practitioner/d", "ehr-2 Medication/m"];
    expect(await listed()).toEqual(three);
    expect(await listed({ source: "ehr-2" })).toEqual(three.slice(2));
    const drug = { ...SOURCE, type: "Medication", id: "m" };
    const first = await w.hl.assign(drug, w.me);
    expect(await w.hl.assign(drug, w.me)).toEqual(first);
    expect(await listed()).toEqual(three.slice(1));
    // By itself: the custodian said that it is this person's.
    expect(await released(w, {})).toEqual(["Medication/m", "Patient/p"]);
    await expect(w.hl.assign({ ...drug, id: "n" }, w.me)).rejects.toMatchObject({
      code: "ERR_RECORD_NOT_FOUND",
    });
    const nobody = { local: new Uint8Array(16) };
    await expect(w.hl.assign(drug, nobody)).rejects.toMatchObject({
      code: "ERR_INPUT_UNKNOWN_SUBJECT",
    });
  });

  it("stays with a person whom it was assigned to when the prescription ends", async () => {
    const w = await ward();
    await w.permit(permitting);
    await w.hl.recordNdjson(
      ndjson([P, prescription("r", "Medication/m"), medication("m")]),
      SOURCE,
    );
    await w.hl.assign({ ...SOURCE, type: "Medication", id: "m" }, w.me);
    const [found] = await w.hl.find({ ...SOURCE, type: "MedicationRequest", id: "r" });
    await w.hl.retract(found!.id, "an error");
    expect(await released(w, {})).toEqual(["Medication/m", "Patient/p"]);
  });

  it("is never looked for at another source, or another server of the same", async () => {
    const w = await ward();
    await w.permit(permitting);
    const at = (base: string, one: Json) => ({
      fullUrl: `${base}/${String(one["resourceType"])}/${String(one["id"])}`,
    });
    await w.hl.recordNdjson(ndjson([medication("m")]), { source: "ehr-2" });
    await w.hl.recordBundle(
      null,
      bundleOf([medication("m")], (one) => at("https://two.example", one)),
      SOURCE,
    );
    const mine = { ...prescription("r", "Medication/m"), subject: { identifier: MRN } };
    const said = await w.hl.recordBundle(
      null,
      bundleOf([mine], (one) => at("https://one.example", one)),
      SOURCE,
    );
    expect(said.copied).toEqual([]);
    expect(await released(w)).toEqual(["MedicationRequest/r"]);
    await w.hl.recordBundle(
      null,
      bundleOf([medication("m", undefined, { meta: { versionId: "9" } })], (one) =>
        at("https://one.example", one),
      ),
      SOURCE,
    );
    expect(await released(w)).toEqual(["Medication/m v9", "MedicationRequest/r"]);
  });

  it("stays erased until something new refers to it", async () => {
    const { w } = await shared();
    const copy = (await w.hl.records(w.me)).find(
      ({ head }) => head.manifest.resource!.type === "Medication",
    )!;
    await w.hl.erase(w.me, { records: [copy.record], reason: "asked" });
    expect(await released(w)).toEqual(["MedicationRequest/r"]);
    await w.hl.recordNdjson(ndjson([version("2")]), SOURCE);
    expect(await released(w)).toEqual(["MedicationRequest/r"]);
    await w.hl.recordNdjson(ndjson([prescription("r3", "Medication/m")]), SOURCE);
    expect(await released(w)).toEqual([
      "Medication/m v2",
      "MedicationRequest/r",
      "MedicationRequest/r3",
    ]);
  });

  it("is withheld once a bundle labels what is kept, with what refers to it", async () => {
    const { w } = await shared();
    await w.permit();
    const labels = {
      security: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "PSY" }],
    };
    const bundle = { ...(JSON.parse(bundleOf([version("1")])) as Json), meta: labels };
    const said = await w.hl.recordBundle(null, JSON.stringify(bundle), SOURCE);
    expect(said.kept.map(({ as }) => as)).toEqual(["amended"]);
    await w.permit({ ...permitting, lineage: "all" });
    expect(await released(w)).toEqual([]);
    expect(await released(w, { query: { types: ["Medication"] } })).toEqual([]);
  });

  it("does not come back where the custodian retracted or moved it", async () => {
    const { w, hers } = await shared();
    const drugOf = async (subject: Subject) =>
      (await w.hl.records(subject)).find(
        ({ head, retracted }) => head.manifest.resource!.type === "Medication" && !retracted,
      );
    await w.hl.retract((await drugOf(w.me))!.record, "another drug");
    expect(await released(w)).toEqual(["MedicationRequest/r"]);
    await w.hl.recordNdjson(ndjson([version("2")]), SOURCE);
    expect(await released(w)).toEqual(["MedicationRequest/r"]);
    expect(await drugOf(w.me)).toBeUndefined();
    expect(await drugOf(hers)).toBeDefined();
  });

  it("is taken along by an explicit subject", async () => {
    const w = await ward();
    await w.permit(permitting);
    const said = await w.hl.recordBundle(w.me, bundleOf([M, O, D]), SOURCE);
    expect(said.skipped).toEqual([]);
    expect(said.copied).toHaveLength(3);
    expect(await released(w, {})).toEqual(["Medication/m", "Organization/o", "Practitioner/d"]);
    expect(await collect(w.hl.unassigned())).toEqual([]);
  });
});

describe("what names nobody and may have data about a patient", () => {
  const B = { resourceType: "Binary", id: "b", contentType: "text/plain", data: "aGVsbG8=" };
  const document = {
    resourceType: "DocumentReference",
    id: "x",
    status: "current",
    subject: { reference: "Patient/p" },
    content: [{ attachment: { url: "Binary/b" } }],
  };
  const documents = { query: { types: ["DocumentReference"] } };

  it("is not kept for everybody, and is filed for whom it serves", async () => {
    const w = await ward();
    await w.permit(permitting);
    const early = await w.hl.recordNdjson(ndjson([P, B]), SOURCE);
    expect(early).toMatchObject({ recorded: 1, skipped: 1 });
    expect(early.problems[0]!.why).toMatch(/may have data about somebody/);
    expect(await collect(w.hl.unassigned())).toEqual([]);
    expect(await w.hl.recordNdjson(ndjson([document]), SOURCE)).toMatchObject({ recorded: 1 });
    expect(await released(w, documents)).toEqual(["DocumentReference/x"]);
    expect(await w.hl.recordNdjson(ndjson([B]), SOURCE)).toMatchObject({ recorded: 1, skipped: 0 });
    expect(await w.hl.recordNdjson(ndjson([B]), SOURCE)).toMatchObject({ recorded: 0, known: 1 });
    expect(await released(w, documents)).toEqual(["Binary/b", "DocumentReference/x"]);
    const newer = { ...B, meta: { versionId: "2" } };
    expect(await w.hl.recordNdjson(ndjson([newer]), SOURCE)).toMatchObject({ amended: 1 });
    expect(await released(w, documents)).toEqual(["Binary/b v2", "DocumentReference/x"]);
    const gone = {
      resourceType: "Bundle",
      type: "transaction",
      entry: [{ request: { method: "DELETE", url: "Binary/b" } }],
    };
    const said = await w.hl.recordBundle(null, JSON.stringify(gone), SOURCE);
    expect([said.retracted.length, said.skipped]).toEqual([1, []]);
    expect(await released(w, documents)).toEqual(["DocumentReference/x"]);
  });
});

describe("what is kept for everybody", () => {
  it("is nobody's: no call about a person reaches it", async () => {
    const w = await ward();
    await w.hl.recordNdjson(ndjson([P, M]), SOURCE);
    expect(await w.hl.find({ ...SOURCE, type: "Medication", id: "m" })).toEqual([]);
    expect((await w.hl.records(w.me)).length).toBe(1);
  });

  it("is the same for a second process, and for a rebuilt index", async () => {
    const w = await ward();
    await w.permit(permitting);
    const other = await w.again();
    await w.hl.recordNdjson(ndjson([P, R]), SOURCE);
    await other.recordNdjson(ndjson([M, O]), SOURCE);
    await w.hl.recordNdjson(ndjson([D]), SOURCE);
    expect(await released(w)).toEqual(ALL);
    const rebuilt = await w.again({ repair: { index: true } });
    const again = await rebuilt.recordNdjson(ndjson([M, O, D, P, R]), SOURCE);
    expect(again).toMatchObject({ known: 5, recorded: 0, copied: 0 });
    expect(
      await namesIn(
        await rebuilt.request(w.b, { patient: MRN, purposes: ["TREAT"], ...PRESCRIPTIONS }),
      ),
    ).toEqual(ALL);
  });

  it("is filed once where two processes take it in at once", async () => {
    const w = await ward();
    await w.permit(permitting);
    const other = await w.again();
    await w.hl.recordNdjson(ndjson([P]), SOURCE);
    for (let round = 0; round < 5; round++) {
      const parts = [prescription(`r${round}`, `Medication/m${round}`), medication(`m${round}`)];
      await Promise.all([
        w.hl.recordNdjson(ndjson(round % 2 === 0 ? parts : [parts[0]!]), SOURCE),
        other.recordNdjson(ndjson(round % 2 === 0 ? parts : [parts[1]!]), SOURCE),
      ]);
    }
    const living = (await w.hl.records(w.me)).filter(({ retracted }) => !retracted);
    expect(living.map(({ head }) => head.manifest.resource!.id).sort()).toEqual([
      "m0",
      "m1",
      "m2",
      "m3",
      "m4",
      "p",
      "r0",
      "r1",
      "r2",
      "r3",
      "r4",
    ]);
    expect((await released(w)).length).toBe(10);
  });

  it("is never taken for what is not there once it is lost", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    await w.permit(permitting);
    await w.hl.recordNdjson(ndjson([P]), SOURCE);
    const before = new Set((await collect(inner.blobs.list())).map(String));
    const said = await w.hl.recordBundle(null, bundleOf([medication("m")]), SOURCE);
    expect(said.kept).toHaveLength(1);
    for (const cid of await collect(inner.blobs.list())) {
      if (!before.has(String(cid))) await inner.blobs.delete([cid]);
    }
    const hl = await w.again({ repair: { index: true } });
    expect(await hl.lost()).toHaveLength(1);
    const corrupt = { code: "ERR_STORAGE_CORRUPT" };
    await expect(hl.recordNdjson(ndjson([medication("m")]), SOURCE)).rejects.toMatchObject(corrupt);
    await expect(
      hl.recordNdjson(ndjson([prescription("r", "Medication/m")]), SOURCE),
    ).rejects.toMatchObject(corrupt);
    await expect(collect(hl.unassigned())).rejects.toMatchObject(corrupt);
    await expect(hl.assign({ ...SOURCE, type: "Medication", id: "m" }, w.me)).rejects.toMatchObject(
      corrupt,
    );
    // Nobody's own records rest on it.
    expect((await hl.records(w.me)).length).toBe(1);
  });

  it("may have had the identifier that a record asks for, once it is lost", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    await w.permit(permitting);
    const before = new Set((await collect(inner.blobs.list())).map(String));
    await w.hl.recordNdjson(ndjson([D]), SOURCE);
    const kept = (await collect(inner.blobs.list())).filter((cid) => !before.has(String(cid)));
    const named = { reference: "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|npi-d" };
    const sent = [P, prescription("r", "Medication/m", { requester: named })];
    expect((await w.hl.recordNdjson(ndjson(sent), SOURCE)).copied).toBe(1);
    await inner.blobs.delete(kept);
    const hl = await w.again({ repair: { index: true } });
    expect(await hl.lost()).toHaveLength(1);
    // Whether the copy is the newest cannot be told.
    const asked = { patient: MRN, purposes: ["TREAT"] };
    await expect(hl.request(w.b, asked)).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    // Nothing about somebody else rests on it.
    const nobody = { ...asked, patient: { ...MRN, value: "nobody" } };
    expect((await hl.request(w.b, nobody)).count).toBe(0);
  });
});
