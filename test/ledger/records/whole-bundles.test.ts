import { describe, expect, it } from "vitest";
import { rootRule, MRN } from "../../support/hospital.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";
import type { Directive } from "../../../src/consent/model/model.ts";

const SOURCE = { source: "ehr-1" } as const;
const LOINC = "http://loinc.org";
const ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const OTHER = { system: MRN.system, value: "MRN-other" };

type Json = Record<string, unknown>;

const patient = (id = "p", identifier: object = MRN): Json => ({
  resourceType: "Patient",
  id,
  identifier: [identifier],
});
const observation = (id: string, more: object = {}): Json => ({
  resourceType: "Observation",
  id,
  status: "final",
  code: { coding: [{ system: LOINC, code: "8480-6" }] },
  subject: { reference: "Patient/p" },
  effectiveDateTime: "2025-11-03",
  ...more,
});
const alcohol = (id: string): Json => ({
  resourceType: "Condition",
  id,
  code: { coding: [{ system: "http://snomed.info/sct", code: "66590003" }] },
  subject: { reference: "Patient/p" },
});
const composition = (more: object = {}): Json => ({
  resourceType: "Composition",
  id: "c",
  status: "final",
  type: { coding: [{ system: LOINC, code: "8480-6" }] },
  subject: { reference: "Patient/p" },
  date: "2026-01-02",
  ...more,
});
const header: Json = {
  resourceType: "MessageHeader",
  id: "h",
  eventCoding: { system: "urn:events", code: "admit" },
  source: { endpoint: "urn:x" },
};
/** A compact JWS without its payload. */
const SIGNATURE = {
  type: [{ system: "urn:iso-astm:E1762-95:2013", code: "1.2.840.10065.1.12.1.1" }],
  when: "2026-01-02T03:04:05Z",
  who: { reference: "Practitioner/7" },
  sigFormat: "application/jose",
  data: btoa("eyJhbGciOiJFUzI1NiJ9..c2lnbmVk"),
};
/** A document, with an indentation and a decimal that only the exact text has. */
const document = (resources: readonly Json[], more: object = {}): string =>
  JSON.stringify(
    {
      resourceType: "Bundle",
      id: "d",
      identifier: {
        system: "urn:ietf:rfc:3986",
        value: "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
      },
      type: "document",
      timestamp: "2026-01-02T03:04:05Z",
      entry: resources.map((resource) => ({
        fullUrl: `https://ehr.example/${resource["resourceType"] as string}/${resource["id"] as string}`,
        resource,
      })),
      signature: SIGNATURE,
      ...more,
    },
    null,
    1,
  ).replace('"final"', '"final"  ');
const plain = (): string => document([composition(), patient(), observation("o")]);
const transaction = (...resources: readonly object[]): string =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "transaction",
    entry: resources.map((resource) => {
      const { resourceType, id } = resource as { resourceType: string; id: string };
      return { request: { method: "PUT", url: `${resourceType}/${id}` }, resource };
    }),
  });
const deleting = (url: string): string =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "transaction",
    entry: [{ request: { method: "DELETE", url } }],
  });

/** What hospital B is given, by type and in order, with its exact text. */
async function given(w: Ward): Promise<readonly (readonly [type: string, text: string])[]> {
  const items = await opened(await w.ask());
  return items.map(({ resource, text }) => [
    resource!.resourceType,
    new TextDecoder().decode(text),
  ]);
}
const typesGiven = async (w: Ward): Promise<readonly string[]> =>
  (await given(w)).map(([type]) => type).sort();
const isWholeGiven = async (w: Ward): Promise<boolean> => (await typesGiven(w)).includes("Bundle");

const all = (change: Partial<Directive> = {}): Partial<Directive> => ({
  root: rootRule("permit", {}),
  ...change,
});
/** Permits everything but what some data filter names. */
const allBut = (data: object): Partial<Directive> => ({
  root: {
    ...rootRule("permit", {}),
    rules: [{ id: "refused", effect: "deny", combine: "deny-overrides", when: { data } }],
  },
});

describe("a document", () => {
  it.each([
    ["as a bundle", (w: Ward, text: string) => w.hl.recordBundle(null, text, SOURCE)],
    ["about a person", (w: Ward, text: string) => w.hl.recordBundle(w.me, text)],
  ])("is released in its exact text beside its resources, recorded %s", async (_, send) => {
    const w = await ward();
    await w.permit(all());
    const said = await send(w, plain());
    expect(said.recorded.map(({ type, index }) => [type, index])).toEqual([
      ["Composition", 0],
      ["Patient", 1],
      ["Observation", 2],
      ["Bundle", -1],
    ]);
    expect(await typesGiven(w)).toEqual(["Bundle", "Composition", "Observation", "Patient"]);
    expect((await given(w)).find(([type]) => type === "Bundle")![1]).toBe(plain());
    const again = await send(w, plain());
    expect(again.recorded).toEqual([]);
    expect(again.known.map(({ as }) => as)).toEqual(Array(4).fill("recorded"));
  });

  it("is released as a line of NDJSON, and as a resource of a transaction", async () => {
    const w = await ward();
    await w.permit(all());
    const line = JSON.stringify(JSON.parse(plain()));
    expect(await w.hl.recordNdjson([line], SOURCE)).toMatchObject({ recorded: 4, skipped: 0 });
    const other = await ward();
    await other.permit(all());
    const within = transaction(patient(), JSON.parse(line) as Json);
    const said = await other.hl.recordBundle(null, within, SOURCE);
    expect(said.recorded.map(({ type, index }) => [type, index])).toEqual([
      ["Patient", 0],
      ["Composition", 1],
      ["Observation", 1],
      ["Bundle", 1],
    ]);
    for (const one of [w, other]) {
      expect((await given(one)).find(([type]) => type === "Bundle")![1]).toBe(line);
    }
    const [found] = await other.hl.find({ ...SOURCE, type: "Bundle", id: "d" });
    expect(found).toMatchObject({ ended: false });
  });

  it("is amended and deleted by its id, and known by its identifier without one", async () => {
    const w = await ward();
    await w.permit(all());
    await w.hl.recordBundle(null, plain(), SOURCE);
    const newer = document([composition(), patient(), observation("o")], {
      meta: { lastUpdated: "2026-02-02T00:00:00Z" },
    });
    const said = await w.hl.recordBundle(null, newer, SOURCE);
    expect(said.recorded.map(({ type, amends }) => [type, amends !== undefined])).toEqual([
      ["Bundle", true],
    ]);
    expect((await given(w)).filter(([type]) => type === "Bundle")).toEqual([["Bundle", newer]]);
    await w.hl.recordBundle(null, deleting("Bundle/d"), SOURCE);
    expect(await typesGiven(w)).toEqual(["Composition", "Observation", "Patient"]);

    const nameless = (more: object = {}): string =>
      document([composition(), patient(), observation("o")], { id: undefined, ...more });
    await w.hl.recordBundle(null, nameless(), SOURCE);
    const again = await w.hl.recordBundle(null, nameless({ language: "de" }), SOURCE);
    expect(again.recorded.map(({ type, amends }) => [type, amends !== undefined])).toEqual([
      ["Bundle", true],
    ]);
  });

  it.each([
    ["two patients", [composition(), patient(), patient("q", OTHER), observation("o")]],
    [
      "two patients, one of them in a document in it",
      [
        composition(),
        patient(),
        JSON.parse(
          document([composition({ subject: { reference: "Patient/q" } }), patient("q", OTHER)], {
            id: "inner",
          }),
        ) as Json,
      ],
    ],
  ])("about %s is not kept as a whole, and listed", async (_, resources) => {
    const w = await ward();
    await w.permit(all());
    const said = await w.hl.recordBundle(null, document(resources), SOURCE);
    expect(said.skipped).toContainEqual({
      type: "Bundle",
      index: -1,
      why: "it is about several patients",
    });
    expect(await isWholeGiven(w)).toBe(false);
  });

  it("in which somebody is not known is not kept as a whole, and listed", async () => {
    const w = await ward();
    const strange = observation("x", { subject: { display: "somebody" } });
    const text = document([composition(), patient(), strange]);
    const said = await w.hl.recordBundle(null, text, SOURCE);
    expect(said.skipped.map(({ type, index }) => [type, index])).toEqual([
      ["Observation", 2],
      ["Bundle", -1],
    ]);
  });

  it("about another person, inside a bundle, is refused before anything is written", async () => {
    const w = await ward();
    const inner = JSON.parse(document([composition(), patient("p", OTHER)])) as Json;
    for (const record of [
      () => w.hl.recordBundle(w.me, transaction(observation("o"), inner)),
      () => w.hl.record(w.me, document([composition(), patient(), inner])),
      () =>
        w.hl.record(
          w.me,
          JSON.stringify({
            resourceType: "Parameters",
            parameter: [{ name: "x", part: [{ name: "y", resource: inner }] }],
          }),
        ),
    ]) {
      await expect(record()).rejects.toMatchObject({ code: "ERR_INPUT_OTHER_PERSON" });
    }
    expect(await w.hl.records(w.me)).toEqual([]);
  });

  it("is a message as well", async () => {
    const w = await ward();
    await w.permit(all());
    const message = document([header, patient(), observation("o")], { type: "message" });
    await w.hl.recordBundle(null, message, SOURCE);
    expect((await given(w)).find(([type]) => type === "Bundle")![1]).toBe(message);
  });
});

/** A collection has no resources of its own on record if it is recorded by `record`. */
const HOW = {
  "a document of a source": (w: Ward, text: string) => w.hl.recordBundle(null, text, SOURCE),
  "a document without a source": (w: Ward, text: string) => w.hl.recordBundle(w.me, text),
  "a Bundle by itself": (w: Ward, text: string) => w.hl.record(w.me, text),
  "a document in a document": (w: Ward, text: string) =>
    w.hl.recordBundle(
      null,
      document([composition(), patient(), JSON.parse(text) as Json], { id: "outer" }),
      SOURCE,
    ),
  "a document in Parameters": (w: Ward, text: string) =>
    w.hl.record(
      w.me,
      JSON.stringify({
        resourceType: "Parameters",
        parameter: [{ name: "a", part: [{ name: "b", resource: JSON.parse(text) as Json }] }],
      }),
    ),
};

/** Refusals of one part of a document, and that part. */
const REFUSED: readonly (readonly [string, object, Json])[] = [
  ["its type", { types: ["Condition"] }, alcohol("x")],
  [
    "the type of a resource contained in it",
    { types: ["Medication"] },
    observation("x", {
      contained: [{ resourceType: "Medication", id: "m" }],
    }),
  ],
  ["its code", { codes: [{ system: "http://snomed.info/sct", code: "66590003" }] }, alcohol("x")],
  [
    "a code anywhere in it",
    { codes: [{ system: "urn:codes", code: "secret" }] },
    observation("x", {
      method: { coding: [{ system: "urn:codes", code: "secret" }] },
    }),
  ],
  ["its label", { labels: [{ system: ACT_CODE, code: "ETH" }] }, alcohol("x")],
  [
    "a label that its sender put on it",
    { labels: [{ system: ACT_CODE, code: "HIV" }] },
    observation("x", {
      meta: { security: [{ system: ACT_CODE, code: "HIV" }] },
    }),
  ],
  [
    "its period",
    { period: { from: "2011", to: "2011" } },
    observation("x", { effectiveDateTime: "2011-05-06" }),
  ],
  [
    "its author",
    { refs: [{ meaning: "authoredby", reference: "Practitioner/7" }] },
    observation("x", {
      performer: [{ reference: "Practitioner/7" }],
    }),
  ],
  ["its name", { refs: [{ meaning: "instance", reference: "Observation/x" }] }, observation("x")],
  [
    "what it refers to",
    { refs: [{ meaning: "dependents", reference: "Encounter/e" }] },
    observation("x", {
      encounter: { reference: "Encounter/e" },
    }),
  ],
];

describe("a refusal of a part of a document", () => {
  for (const [how, send] of Object.entries(HOW)) {
    it.each(REFUSED)(`withholds ${how}, by %s`, async (_, data, part) => {
      const w = await ward();
      await w.permit(all());
      const text = document([composition(), patient(), part]);
      await send(w, text);
      const whole = how.endsWith("Parameters") ? "Parameters" : "Bundle";
      expect(await typesGiven(w)).toContain(whole);
      await w.permit(allBut(data));
      expect(await typesGiven(w)).not.toContain(whole);
    });
  }

  it.each([
    ["another type", { types: ["Immunization"] }],
    ["another name", { refs: [{ meaning: "instance", reference: "Observation/y" }] }],
    ["another label", { labels: [{ system: ACT_CODE, code: "PSY" }] }],
  ])("withholds no document by %s", async (_, data) => {
    const w = await ward();
    await w.permit(allBut(data));
    await w.hl.recordBundle(null, plain(), SOURCE);
    expect(await isWholeGiven(w)).toBe(true);
  });

  it("is not outweighed by a permit that names the Bundle alone", async () => {
    const w = await ward();
    await w.hl.recordBundle(null, plain(), SOURCE);
    await w.permit({
      root: rootRule("permit", { data: { types: ["Bundle", "Observation"] } }),
      default: "none",
    });
    expect(await typesGiven(w)).toEqual(["Observation"]);
    const types = ["Bundle", "Observation", "Patient", "Composition"];
    const other = await ward();
    await other.hl.recordBundle(null, plain(), SOURCE);
    await other.permit({ root: rootRule("permit", { data: { types } }), default: "none" });
    expect(await isWholeGiven(other)).toBe(true);
  });

  it("decides alike before and after the record is known", async () => {
    const w = await ward();
    await w.hl.record(w.me, document([composition(), patient(), alcohol("x")]));
    await w.permit(allBut({ types: ["Condition"] }));
    const { records } = await w.hl.decide(w.me, {
      requester: w.b.signer.actor,
      purposes: ["TREAT"],
    });
    expect(records.map(({ decision }) => decision.outcome)).toEqual(["deny"]);
  });
});

describe("what happens to a part's own record", () => {
  const reason = "wrong patient";
  const partOf = async (w: Ward) => {
    const records = await w.hl.records(w.me);
    return records.find(({ head }) => head.manifest.resource!.id === "o")!.record;
  };
  const start = async (): Promise<Ward> => {
    const w = await ward();
    await w.permit();
    await w.hl.recordBundle(null, plain(), SOURCE);
    expect(await isWholeGiven(w)).toBe(true);
    return w;
  };

  it.each([
    ["retracted", async (w: Ward) => w.hl.retract(await partOf(w), reason)],
    [
      "deleted at its source",
      (w: Ward) => w.hl.recordBundle(null, deleting("Observation/o"), SOURCE),
    ],
    [
      "entered in error",
      (w: Ward) =>
        w.hl.recordBundle(
          null,
          transaction(
            patient(),
            observation("o", { status: "entered-in-error", meta: { versionId: "9" } }),
          ),
          SOURCE,
        ),
    ],
    [
      "moved to another person",
      async (w: Ward) => w.hl.reattribute(await partOf(w), await w.hl.ensureSubject(OTHER), reason),
    ],
    [
      "labelled as refused",
      async (w: Ward) =>
        w.hl.relabel(await partOf(w), { codes: [{ system: ACT_CODE, code: "PSY" }], stamp: null }),
    ],
  ])("withholds the document: %s", async (_, change) => {
    const w = await start();
    await change(w);
    expect(await typesGiven(w)).toEqual(["Composition", "Patient"]);
    // Nor does it come back by being sent again.
    await w.hl.recordBundle(null, plain(), SOURCE);
    expect(await typesGiven(w)).toEqual(["Composition", "Patient"]);
  });

  it("withholds a document that comes after it", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.recordBundle(null, transaction(patient(), observation("o")), SOURCE);
    await w.hl.retract(await partOf(w), reason);
    await w.hl.recordBundle(null, plain(), SOURCE);
    expect(await typesGiven(w)).toEqual(["Composition", "Patient"]);
  });

  it("keeps a document out whose part its source had deleted before", async () => {
    const w = await ward();
    await w.permit();
    const gone = JSON.stringify({
      resourceType: "Bundle",
      type: "history",
      entry: [
        {
          request: { method: "DELETE", url: "Observation/o" },
          response: { status: "204", etag: 'W/"5"', lastModified: "2026-03-01T00:00:00Z" },
        },
      ],
    });
    await w.hl.recordBundle(null, gone, SOURCE);
    const old = { meta: { versionId: "4", lastUpdated: "2026-02-01T00:00:00Z" } };
    const said = await w.hl.recordBundle(
      null,
      document([composition(), patient(), observation("o", old)]),
      SOURCE,
    );
    expect(said.skipped.map(({ type }) => type)).toEqual(["Observation", "Bundle"]);
    expect(await typesGiven(w)).toEqual(["Composition", "Patient"]);
  });

  it("lets a document go out that was sent once its source had the part again", async () => {
    const w = await start();
    await w.hl.recordBundle(null, deleting("Observation/o"), SOURCE);
    const back = observation("o", {
      meta: { versionId: "2", lastUpdated: "2027-01-01T00:00:00Z" },
    });
    await w.hl.recordBundle(null, transaction(patient(), back), SOURCE);
    expect(await isWholeGiven(w)).toBe(false);
    const next = document([composition(), patient(), back], { id: "next" });
    await w.hl.recordBundle(null, next, SOURCE);
    expect((await given(w)).filter(([type]) => type === "Bundle").map(([, text]) => text)).toEqual([
      next,
    ]);
  });

  it("erases the document with it, in every version, and a document around that", async () => {
    const w = await ward();
    await w.permit();
    const inner = JSON.parse(plain()) as Json;
    await w.hl.recordBundle(
      null,
      document([composition(), patient(), inner], { id: "outer" }),
      SOURCE,
    );
    // The newest version no longer has the part.
    await w.hl.recordBundle(null, document([composition(), patient()]), SOURCE);
    const before = await w.hl.records(w.me);
    expect(before.map(({ head }) => head.manifest.resource!.type).sort()).toEqual([
      ...["Bundle", "Bundle", "Composition", "Observation", "Patient"],
    ]);
    await w.hl.erase(w.me, { records: [await partOf(w)], reason: "asked" });
    const left = await w.hl.records(w.me);
    expect(left.map(({ head }) => head.manifest.resource!.type).sort()).toEqual([
      ...["Composition", "Patient"],
    ]);
    expect(await typesGiven(w)).toEqual(["Composition", "Patient"]);
  });

  it("does not erase the parts with the document, nor another server's document", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.recordBundle(null, plain(), SOURCE);
    const there = document([
      composition(),
      patient(),
      observation("o", { status: "amended" }),
    ]).replaceAll("https://ehr.example", "https://other.example");
    await w.hl.recordBundle(null, there, { source: "ehr-2" });
    const [here] = await w.hl.find({ ...SOURCE, type: "Observation", id: "o" });
    await w.hl.erase(w.me, { records: [here!.id], reason: "asked" });
    expect(await w.hl.find({ ...SOURCE, type: "Bundle", id: "d" })).toEqual([]);
    const [other] = await w.hl.find({ source: "ehr-2", type: "Bundle", id: "d" });
    expect(other).toMatchObject({ ended: false });
    await w.hl.erase(w.me, { records: [other!.id], reason: "asked" });
    expect(await w.hl.find({ source: "ehr-2", type: "Observation", id: "o" })).toHaveLength(1);
  });

  it("is refused to be erased while the document must be kept", async () => {
    const keep = { keepFor: 1000, rule: "a rule" };
    const w = await ward({ policy: { retention: { clinical: keep } } });
    await w.hl.recordBundle(null, transaction(patient(), observation("o")), SOURCE);
    w.clock.now += 999;
    await w.hl.recordBundle(null, plain(), SOURCE);
    w.clock.now += 500;
    const erasing = w.hl.erase(w.me, { records: [await partOf(w)], reason: "asked" });
    await expect(erasing).rejects.toMatchObject({ code: "ERR_INPUT_RETAINED" });
  });
});
