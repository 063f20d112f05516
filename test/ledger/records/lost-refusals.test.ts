import { describe, expect, it } from "vitest";
import type { Directive } from "../../../src/consent/model/model.ts";
import {
  bundleOf,
  medication,
  namesIn,
  patient,
  prescription,
  ZIDOVUDINE,
} from "../../support/drugs.ts";
import { rootRule } from "../../support/hospital.ts";
import { ward, type Ward } from "../../support/ward.ts";

type Json = Record<string, unknown>;

const SOURCE = { source: "ehr-1" } as const;
const all: Partial<Directive> = { root: rootRule("permit", {}) };
/** Permits everything but what some data filter names. */
const allBut = (data: object): Partial<Directive> => ({
  root: {
    ...rootRule("permit", {}),
    rules: [{ id: "refused", effect: "deny", combine: "deny-overrides", when: { data } }],
  },
});
const given = async (w: Ward, query: object = {}): Promise<readonly string[]> =>
  namesIn(await w.ask(w.b, { query }));

const composition: Json = {
  resourceType: "Composition",
  id: "c",
  status: "final",
  type: { coding: [{ system: "http://loinc.org", code: "8480-6" }] },
  subject: { reference: "Patient/p" },
  date: "2026-01-02",
};
const observation = (id: string, code = "8480-6"): Json => ({
  resourceType: "Observation",
  id,
  status: "final",
  code: { coding: [{ system: "http://loinc.org", code }] },
  subject: { reference: "Patient/p" },
  effectiveDateTime: "2025-11-03",
});
const bundle = (type: string, resources: readonly Json[], more: object = {}): Json => ({
  resourceType: "Bundle",
  id: "d",
  type,
  timestamp: "2026-01-02T03:04:05Z",
  identifier: { system: "urn:documents", value: "1" },
  entry: resources.map((resource) => ({
    fullUrl: `https://ehr.example/${resource["resourceType"] as string}/${resource["id"] as string}`,
    resource,
  })),
  ...more,
});
const document = (resources: readonly Json[], more: object = {}): string =>
  JSON.stringify(bundle("document", [composition, patient(), ...resources], more));

describe("a refused code of a drug", () => {
  it.each<readonly [string, unknown]>([
    ["its display only", { display: "Zidovudine 300 mg" }],
    ["an identifier without a type", { identifier: { system: "urn:drugs", value: "d" } }],
    ["an identifier without a system", { identifier: { value: "d" } }],
    ["its type only", { type: "Medication" }],
    ["an extension", { extension: [{ url: "urn:x", valueString: "Zidovudine" }] }],
    ["a display of another kind", { _display: { extension: [{ url: "urn:x" }] } }],
    ["nothing", {}],
    ["a number", { reference: 5 }],
    ["a bare string", "Medication/m"],
    ["a conditional reference that is too long", { reference: `Medication?a=${"x".repeat(5000)}` }],
    ["a URN that is too long", { reference: `urn:x:${"x".repeat(5000)}` }],
  ])("may be that of a drug that is named by %s", async (_, named) => {
    const w = await ward();
    await w.permit(all);
    const resources = [patient(), prescription("r", "", { medicationReference: named })];
    await w.hl.recordBundle(null, bundleOf(resources), SOURCE);
    expect(await given(w)).toEqual(["MedicationRequest/r", "Patient/p"]);
    await w.permit(allBut({ types: ["MedicationRequest"], codes: [ZIDOVUDINE] }));
    expect(await given(w)).toEqual(["Patient/p"]);
  });

  const refusal = allBut({ types: ["MedicationRequest"], codes: [ZIDOVUDINE] });
  const both = [medication("m", ZIDOVUDINE), prescription("r", "Medication/m")];
  it.each<readonly [string, (w: Ward) => Promise<unknown>]>([
    [
      "a Bundle with both",
      (w) => w.hl.record(w.me, JSON.stringify(bundle("collection", [patient(), ...both]))),
    ],
    [
      "Parameters with both",
      (w) => {
        const parameter = [{ name: "x", resource: bundle("collection", [patient(), ...both]) }];
        return w.hl.record(
          w.me,
          JSON.stringify({ resourceType: "Parameters", id: "d", parameter }),
        );
      },
    ],
    [
      "a Bundle without the drug",
      async (w) => {
        await w.hl.record(w.me, JSON.stringify(both[0]));
        const entry = [{ resource: both[1] }];
        const whole = bundle("collection", [], { entry });
        await w.hl.record(w.me, JSON.stringify(whole));
      },
    ],
  ])("holds for prescriptions in %s", async (_, send) => {
    const w = await ward();
    await w.permit(all);
    await send(w);
    const isWholeGiven = async () =>
      (await given(w)).some((name) => /^(?:Bundle|Parameters)\/d$/.test(name));
    expect(await isWholeGiven()).toBe(true);
    await w.permit(allBut({ types: ["Immunization"], codes: [ZIDOVUDINE] }));
    expect(await isWholeGiven()).toBe(true);
    await w.permit({ ...refusal, lineage: "drugs" });
    expect(await isWholeGiven()).toBe(false);
  });

  it("is not told of a withheld prescription since another one may mean the drug", async () => {
    const w = await ward();
    await w.permit(all);
    const old = prescription("r", "Medication/m", { authoredOn: "2011-01-01" });
    // Two servers with equal ids, neither of which is named.
    await w.hl.recordBundle(w.me, bundleOf([medication("m", ZIDOVUDINE), old]));
    await w.hl.recordBundle(w.me, bundleOf([medication("m"), prescription("s", "Medication/m")]));
    const everything = [
      ...["Medication/m", "Medication/m", "MedicationRequest/r", "MedicationRequest/s"],
    ];
    expect(await given(w)).toEqual(everything);
    await w.permit(allBut({ types: ["MedicationRequest"], period: { from: "2011", to: "2011" } }));
    expect(await given(w)).toEqual(["MedicationRequest/s"]);
  });
});

describe("a resource that has ended", () => {
  const atServer = (): Json => ({
    ...observation("o"),
    meta: { versionId: "1" },
  });
  const fromServer = (): string =>
    JSON.stringify({
      resourceType: "Bundle",
      type: "collection",
      entry: [patient(), atServer()].map((resource) => ({
        fullUrl: `https://ehr.example/${String(resource["resourceType"])}/${String(resource["id"])}`,
        resource,
      })),
    });

  it.each(["retracted", "erased"])(
    "keeps a document of another source back that has it from the same server: %s",
    async (how) => {
      const w = await ward();
      await w.permit(all);
      const { recorded } = await w.hl.recordBundle(null, fromServer(), SOURCE);
      await w.hl.recordBundle(null, document([atServer()]), { source: "hie" });
      const isWholeGiven = async () => (await given(w)).includes("Bundle/d");
      expect(await isWholeGiven()).toBe(true);
      const { id } = recorded.find(({ type }) => type === "Observation")!;
      if (how === "retracted") await w.hl.retract(id, "the wrong patient");
      else await w.hl.erase(w.me, { records: [id], reason: "asked" });
      expect(await isWholeGiven()).toBe(false);
    },
  );

  it("keeps no document back that has another server's of its id", async () => {
    const w = await ward();
    await w.permit(all);
    const { recorded } = await w.hl.recordBundle(
      null,
      fromServer().replaceAll("https://ehr.example/", "https://other.example/"),
      SOURCE,
    );
    await w.hl.recordBundle(null, document([atServer()]), { source: "hie" });
    await w.hl.retract(recorded.find(({ type }) => type === "Observation")!.id, "wrong");
    expect(await given(w)).toContain("Bundle/d");
  });

  it("keeps a newer document with it back, although another source has one of its id", async () => {
    const w = await ward();
    await w.permit(all);
    await w.hl.recordBundle(null, document([observation("o")]), SOURCE);
    const [found] = await w.hl.find({ ...SOURCE, type: "Observation", id: "o" });
    await w.hl.retract(found!.id, "wrong patient");
    await w.hl.record(w.me, JSON.stringify(observation("o", "2339-0")));
    const newer = document([observation("o")], { meta: { lastUpdated: "2026-05-05T00:00:00Z" } });
    await w.hl.recordBundle(null, newer, SOURCE);
    expect(await given(w)).toEqual(["Composition/c", "Observation/o", "Patient/p"]);
  });

  it("would not be found in a document with documents nine deep, which is no record but is listed", async () => {
    const w = await ward();
    let text = document([observation("o")], { id: "d0" });
    for (let at = 1; at <= 8; at++) {
      text = document([JSON.parse(text) as Json], { id: `d${at}` });
    }
    const said = await w.hl.recordBundle(null, text, SOURCE);
    const why = "it has more resources than can be described";
    expect(said.skipped).toEqual([{ type: "Bundle", index: -1, why }]);
    const known = await Promise.all(
      ["d7", "d8"].map((id) => w.hl.find({ ...SOURCE, type: "Bundle", id })),
    );
    expect(known.map(({ length }) => length)).toEqual([1, 0]);
  });

  // 4,096 resources of a Bundle are described.
  const many = Array.from({ length: 4200 }, (_, at) => observation(`o${at}`));
  it("keeps back a Bundle that has more resources than are described", async () => {
    const w = await ward();
    await w.permit(all);
    await w.hl.record(w.me, JSON.stringify(bundle("collection", [patient(), ...many])));
    const last = await w.hl.record(w.me, JSON.stringify(many.at(-1)));
    expect(await given(w, { types: ["Bundle"] })).toEqual(["Bundle/d"]);
    await w.hl.retract(last.id, "wrong patient");
    expect(await given(w, { types: ["Bundle"] })).toEqual([]);
  });
});
