import { describe, expect, it } from "vitest";
import type { DataFilter, Directive } from "../../../src/consent/model/model.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import {
  bundleOf,
  medication,
  namesIn,
  PARACETAMOL,
  patient,
  permitting,
  practitioner,
  prescription,
  refusing,
  ZIDOVUDINE,
} from "../../support/drugs.ts";
import { MRN, rootRule } from "../../support/hospital.ts";
import { ward, type Ward } from "../../support/ward.ts";

const OTHER = { system: "urn:oid:2.2.2", value: "7" };
const PRESCRIPTIONS = { query: { types: ["MedicationRequest"] } };
const released = async (w: Ward, what: object = PRESCRIPTIONS) => namesIn(await w.ask(w.b, what));
const nameOf = ({ type, index }: { readonly type: string; readonly index: number }) =>
  `${index} ${type}`;

/** How a prescription may name its drug, and the entries of the bundle, by hand from FHIR R4 2.36.4.1. */
const URL = "https://ehr.example/fhir";
const UUID = "urn:uuid:0e2dc1d9-0b5e-4b1b-9d47-5e2a2ab4a111";
const urlOf = (resource: object, method: string): string => {
  const { resourceType, id } = resource as { resourceType: string; id: string };
  return method === "PUT" ? `${resourceType}/${id}` : resourceType;
};
const entry = (resource: object, fullUrl?: string, method = "POST"): object => ({
  ...(fullUrl === undefined ? {} : { fullUrl }),
  request: { method, url: urlOf(resource, method) },
  resource,
});
const ordered = (id: string, drug: string, more: Record<string, unknown> = {}) =>
  prescription(id, drug, { subject: { identifier: MRN }, ...more });
const NAMED: readonly (readonly [string, (drug: object) => readonly object[]])[] = [
  ["by a urn:uuid", (drug) => [entry(ordered("r", UUID)), entry(drug, UUID)]],
  [
    "relative to its server",
    (drug) => [
      entry(ordered("r", "Medication/m"), `${URL}/MedicationRequest/r`, "PUT"),
      entry(drug, `${URL}/Medication/m`, "PUT"),
    ],
  ],
  [
    "by a URL with a version",
    (drug) => [
      entry(ordered("r", `${URL}/Medication/m/_history/3`)),
      entry(drug, `${URL}/Medication/m`, "PUT"),
    ],
  ],
  [
    "by an identifier, as a conditional reference",
    (drug) => [
      entry(ordered("r", "Medication?identifier=urn:drugs|d")),
      entry({ ...drug, identifier: [{ system: "urn:drugs", value: "d" }] }, UUID),
    ],
  ],
  [
    "by way of a contained resource",
    (drug) => [
      entry(
        ordered("r", "#c", {
          contained: [
            {
              resourceType: "Medication",
              id: "c",
              ingredient: [{ itemReference: { reference: UUID } }],
            },
          ],
        }),
      ),
      entry(drug, UUID),
    ],
  ],
  [
    "by an R5 CodeableReference",
    (drug) => [
      entry(
        ordered("r", "", {
          medicationReference: undefined,
          medication: { reference: { reference: UUID } },
        }),
      ),
      entry(drug, UUID),
    ],
  ],
];

describe("what names nobody, in a bundle without a source", () => {
  it.each(NAMED)("goes out with what names it %s", async (_, entriesWith) => {
    const w = await ward();
    await w.permit(permitting);
    const entries = [entry(patient(), undefined, "PUT"), ...entriesWith(medication("m"))];
    const bundle = { resourceType: "Bundle", type: "transaction", entry: entries };
    const said = await w.hl.recordBundle(null, JSON.stringify(bundle));
    expect(said.skipped).toEqual([]);
    expect(said.recorded.map(({ type }) => type).sort()).toEqual([
      "Medication",
      "MedicationRequest",
      "Patient",
    ]);
    expect(await released(w)).toEqual(["Medication/m", "MedicationRequest/r"]);
    const [access] = await w.audit();
    expect(access!.records.map(({ type }) => type).sort()).toEqual([
      "Medication",
      "MedicationRequest",
    ]);
    // The drug that is refused takes the prescription with it, and the other way round.
    await w.permit({ ...refusing(PARACETAMOL), lineage: "drugs" });
    expect(await released(w)).toEqual([]);
    expect(await released(w, {})).toEqual([]);
    // Sent again, everything is known.
    const again = await w.hl.recordBundle(null, JSON.stringify(bundle));
    expect([again.recorded, again.skipped, again.known.length]).toEqual([[], [], 3]);
  });

  it("serves each person whose resources lead to it, and nobody else", async () => {
    const w = await ward();
    const entries = [
      patient("p"),
      patient("q", OTHER),
      prescription("r", "Medication/m"),
      { ...prescription("s", "Medication/m"), subject: { reference: "Patient/q" } },
      medication("m", PARACETAMOL, { manufacturer: { reference: "Organization/o" } }),
      { resourceType: "Organization", id: "o" },
      medication("other"),
      practitioner("d"),
    ];
    const said = await w.hl.recordBundle(null, bundleOf(entries));
    expect(said.skipped.map(nameOf)).toEqual(["6 Medication", "7 Practitioner"]);
    expect(new Set(said.skipped.map(({ why }) => why))).toEqual(
      new Set(["it names nobody, and nothing about a known person refers to it"]),
    );
    for (const number of [said.subjects[0]!.subject, said.subjects[1]!.subject]) {
      const all = (await w.hl.records(number)).map(({ head }) => head.manifest.resource!.type);
      expect(all.sort()).toEqual(["Medication", "MedicationRequest", "Organization", "Patient"]);
    }
  });

  it("never pulls along what is about somebody else", async () => {
    const w = await ward();
    await w.permit(permitting);
    const hers = { ...prescription("s", "Medication/m"), subject: { reference: "Patient/q" } };
    const entries = [
      patient("p"),
      patient("q", OTHER),
      prescription("r", "Medication/m", {
        basedOn: [{ reference: "MedicationRequest/s" }],
        supportingInformation: [
          { reference: "List/l" },
          { reference: "BiologicallyDerivedProduct/b" },
        ],
      }),
      hers,
      medication("m"),
      // Names nobody as its subject, but lists what is somebody else's.
      { resourceType: "List", id: "l", entry: [{ item: { reference: "MedicationRequest/s" } }] },
      {
        resourceType: "BiologicallyDerivedProduct",
        id: "b",
        collection: { source: { reference: "Patient/q" } },
      },
    ];
    const said = await w.hl.recordBundle(null, bundleOf(entries));
    expect(said.skipped.map(nameOf)).toEqual(["5 List", "6 BiologicallyDerivedProduct"]);
    expect(await released(w, {})).toEqual(["Medication/m", "MedicationRequest/r", "Patient/p"]);
  });

  it("is filed for an explicit subject, whatever refers to it", async () => {
    const w = await ward();
    await w.permit(permitting);
    const entries = [
      prescription("r", "Medication/m"),
      medication("m"),
      practitioner("d"),
      { resourceType: "Observation", id: "o", status: "final", code: { coding: [PARACETAMOL] } },
      { resourceType: "Bundle", id: "b", type: "collection" },
      prescription("s", "Medication/m", { subject: { display: "somebody" } }),
    ];
    const said = await w.hl.recordBundle(w.me, bundleOf(entries));
    expect(said.recorded.map(nameOf)).toEqual([
      "0 MedicationRequest",
      "1 Medication",
      "2 Practitioner",
      "3 Observation",
    ]);
    expect(said.skipped.map(nameOf)).toEqual(["4 Bundle", "5 MedicationRequest"]);
    expect(await released(w)).toEqual(["Medication/m", "MedicationRequest/r"]);
    expect(bytesToUtf8(await w.hl.read(said.recorded[1]!.id))).toBe(
      JSON.stringify(medication("m")),
    );
  });
});

describe("a drug whose prescription is withheld", () => {
  const without = (data: DataFilter): Partial<Directive> => ({
    ...permitting,
    root: {
      ...permitting.root!,
      rules: [
        {
          ...permitting.root!.rules![0]!,
          rules: [{ ...rootRule("deny", { data }), id: "withheld" }],
        },
      ],
    },
  });
  const REFUSALS: readonly (readonly [string, DataFilter])[] = [
    ["by type", { types: ["MedicationRequest"] }],
    ["by name", { refs: [{ meaning: "instance", reference: "MedicationRequest/r" }] }],
  ];

  it.each(REFUSALS)("%s does not tell of it", async (_, data) => {
    const w = await ward();
    await w.permit(permitting);
    const organization = { resourceType: "Organization", id: "o" };
    const entries = [
      patient(),
      prescription("r", "Medication/m"),
      medication("m", PARACETAMOL, { manufacturer: { reference: "Organization/o" } }),
      organization,
    ];
    await w.hl.recordBundle(null, bundleOf(entries));
    const drug = { query: { types: ["Medication"] } };
    expect(await released(w, drug)).toEqual(["Medication/m", "Organization/o"]);
    await w.permit(without(data));
    for (const what of [drug, {}, { query: { types: ["Organization"] } }]) {
      expect((await released(w, what)).filter((name) => name !== "Patient/p")).toEqual([]);
    }
    // One whom nothing withholds brings it along again.
    await w.hl.recordBundle(
      null,
      bundleOf([patient(), prescription("s", "Medication/m"), entries[2]!, organization]),
    );
    const named = data.types === undefined ? ["Medication/m", "Organization/o"] : [];
    expect(await released(w, drug)).toEqual(named);
  });

  it("or erased, retracted or moved does not tell of it either", async () => {
    for (const end of ["erase", "retract", "move"] as const) {
      const w = await ward();
      await w.permit(permitting);
      const entries = [patient(), prescription("r", "Medication/m"), medication("m")];
      const { recorded } = await w.hl.recordBundle(null, bundleOf(entries));
      const { id } = recorded.find(({ type }) => type === "MedicationRequest")!;
      const other = await w.hl.ensureSubject(OTHER);
      if (end === "erase") await w.hl.erase(w.me, { records: [id], reason: "asked" });
      else if (end === "retract") await w.hl.retract(id, "wrong person");
      else await w.hl.reattribute(id, other, "wrong person");
      expect(await released(w, {})).toEqual(["Patient/p"]);
    }
  });

  it("is released by itself if the custodian filed it for the person", async () => {
    const w = await ward();
    await w.permit(permitting);
    await w.hl.record(w.me, JSON.stringify(medication("m")));
    expect(await released(w, {})).toEqual(["Medication/m"]);
  });

  it("goes round in circles without end", async () => {
    const w = await ward();
    await w.permit(permitting);
    const ring = Array.from({ length: 100 }, (_, i) =>
      medication(`m${i}`, PARACETAMOL, {
        ingredient: [1, 2, 7].map((step) => ({
          itemReference: { reference: `Medication/m${(i + step) % 100}` },
        })),
      }),
    );
    const entries = [patient(), prescription("r", "Medication/m0"), ...ring];
    const { recorded } = await w.hl.recordBundle(null, bundleOf(entries));
    const all = await released(w);
    expect(all).toHaveLength(101);
    await w.hl.retract(recorded.find(({ type }) => type === "MedicationRequest")!.id, "an error");
    expect(await released(w, {})).toEqual(["Patient/p"]);
  });
});

describe("a refused drug", () => {
  const setUp = async (...entries: readonly Record<string, unknown>[]): Promise<Ward> => {
    const w = await ward();
    await w.permit(refusing(ZIDOVUDINE));
    await w.hl.recordBundle(null, bundleOf([patient(), ...entries]));
    return w;
  };

  it("withholds its prescription, and nothing else", async () => {
    const w = await setUp(
      prescription("r", "Medication/m"),
      prescription("s", "Medication/n"),
      medication("m", ZIDOVUDINE),
      medication("n"),
    );
    expect(await released(w, {})).toEqual(["Medication/n", "MedicationRequest/s"]);
    expect(await released(w)).toEqual(["Medication/n", "MedicationRequest/s"]);
    const { records } = await w.hl.decide(w.me, {
      requester: w.b.signer.actor,
      purposes: ["TREAT"],
      query: { types: ["MedicationRequest"] },
    });
    expect(
      Object.fromEntries(
        records.map(({ record, decision }) => [
          record.head.manifest.resource!.id,
          decision.outcome,
        ]),
      ),
    ).toEqual({ r: "deny", s: "permit", n: "permit" });
  });

  it("withholds it by way of an ingredient", async () => {
    const w = await setUp(
      prescription("r", "Medication/m"),
      medication("m", PARACETAMOL, {
        ingredient: [{ itemReference: { reference: "Medication/i" } }],
      }),
      medication("i", ZIDOVUDINE),
    );
    expect(await released(w, {})).toEqual([]);
  });

  it("may be what a prescription names that is not here", async () => {
    const w = await setUp(prescription("r", "Medication/m"));
    expect(await released(w, {})).toEqual([]);
    const uuid = await setUp(prescription("r", "urn:uuid:0e2dc1d9-0b5e-4b1b-9d47-5e2a2ab4a111"));
    expect(await released(uuid, {})).toEqual([]);
  });

  it("is not a practitioner who is not here", async () => {
    const w = await setUp({
      ...prescription("r", ""),
      medicationReference: undefined,
      medicationCodeableConcept: { coding: [PARACETAMOL] },
      requester: { reference: "Practitioner/d" },
    });
    expect(await released(w)).toEqual(["MedicationRequest/r"]);
  });

  it("is looked for in every drug that a reference may mean", async () => {
    const w = await ward();
    await w.permit(refusing(ZIDOVUDINE));
    // Of two systems, each of which calls its drug by the same name.
    await w.hl.recordBundle(w.me, bundleOf([medication("m"), prescription("r", "Medication/m")]));
    expect(await released(w)).toEqual(["Medication/m", "MedicationRequest/r"]);
    await w.hl.recordBundle(w.me, bundleOf([medication("m", ZIDOVUDINE)]));
    expect(await released(w)).toEqual([]);
  });

  it("is refused by label as by code", async () => {
    const w = await ward();
    await w.permit();
    const PSY = { system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "PSY" };
    const stamp = { labeller: "clinic", version: "1" };
    const normal = {
      system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
      code: "N",
    };
    const record = (resource: object, codes: readonly { system: string; code: string }[]) =>
      w.hl.record(w.me, JSON.stringify(resource), { labels: { codes, stamp } });
    await record(prescription("r", "Medication/m"), [normal]);
    const drug = await record(medication("m"), [normal]);
    expect(await released(w)).toEqual(["Medication/m", "MedicationRequest/r"]);
    await w.hl.relabel(drug.id, { codes: [PSY], stamp });
    expect(await released(w)).toEqual([]);
  });
});
