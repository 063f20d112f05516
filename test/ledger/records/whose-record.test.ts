import { describe, expect, it } from "vitest";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const A = "https://a.example/fhir/";
type Entry = { readonly fullUrl?: string; readonly resource?: object; readonly request?: object };

const patient = (id: string, identifier: object): Entry => ({
  fullUrl: `${A}Patient/${id}`,
  resource: { resourceType: "Patient", id, identifier: [identifier] },
});
const seen = (id: string, more: object = {}) => ({
  ...(JSON.parse(observation(id)) as object),
  ...more,
});
const bundleOf = (entry: readonly Entry[], type = "collection"): string =>
  JSON.stringify({ resourceType: "Bundle", type, entry });

/** Ids of what the patient's permit of treatment releases. */
async function released(w: Ward): Promise<unknown[]> {
  const all = treatmentOnly(w.patient).root!.rules![0]!;
  const { rules: _, ...root } = all;
  await w.hl.consent(w.me, treatmentOnly(w.patient, { root }), { signer: w.patient });
  const answer = await w.hl.request(w.b, { patient: MRN, purposes: ["TREAT"] });
  return (await opened(answer)).map(({ resource }) => resource!["id"]).sort();
}

describe("whose record it is", () => {
  it("does not depend on blanks around a number or its system", async () => {
    const w = await ward();
    const padded = { system: ` ${MRN.system}`, value: `${MRN.value} ` };
    const subject = { identifier: { system: MRN.system, value: `\t${MRN.value}` } };
    const { subjects } = await w.hl.recordBundle(
      null,
      bundleOf([
        patient("p1", padded),
        { fullUrl: `${A}Observation/o`, resource: seen("o") },
        { fullUrl: `${A}Observation/logical`, resource: seen("logical", { subject }) },
      ]),
    );
    expect(subjects.map(({ identifier }) => identifier)).toEqual([MRN]);
    expect(await released(w)).toEqual(["logical", "o", "p1"]);
  });

  it.each<[string, object]>([
    ["a member no more", { member: [{ entity: { reference: "Patient/p1" }, inactive: true }] }],
    [
      "a member for some time",
      { member: [{ entity: { reference: "Patient/p1" }, period: { end: "2010" } }] },
    ],
    [
      "one of forty, the others not being listed",
      { quantity: 40, member: [{ entity: { reference: "Patient/p1" } }] },
    ],
  ])("is not told by a Group of which somebody is %s", async (_, of) => {
    const group = { resourceType: "Group", id: "g", type: "person", actual: true, ...of };
    const about = { subject: { reference: "Group/g" } };
    const within = { subject: { reference: "#g" }, contained: [group] };
    const w = await ward();
    const { skipped } = await w.hl.recordBundle(
      null,
      bundleOf([
        patient("p1", MRN),
        { fullUrl: `${A}Group/g`, resource: group },
        { fullUrl: `${A}Observation/o`, resource: seen("o", about) },
        { fullUrl: `${A}Observation/contained`, resource: seen("contained", within) },
      ]),
    );
    expect(skipped.map(({ index }) => index)).toEqual([1, 2, 3]);
    expect(await released(w)).toEqual(["p1"]);
  });

  it("is nobody's under what Dutch, German and Italian forms write for none", async () => {
    const values = ["onbekend", "n.v.t.", "geen", "ohne", "sconosciuto"];
    const w = await ward();
    const { subjects } = await w.hl.recordBundle(
      null,
      bundleOf(values.map((value, i) => patient(`x${i}`, { system: MRN.system, value }))),
    );
    expect(subjects).toEqual([]);
  });
});

describe("a history without addresses", () => {
  it("leaves standing what its types and ids tell, and nothing that was deleted", async () => {
    const put = (id: string, versionId: string): Entry => ({
      resource: seen(id, { meta: { versionId } }),
      request: { method: "PUT", url: `Observation/${id}` },
    });
    const w = await ward();
    const { resource } = patient("p1", MRN);
    const { recorded, skipped } = await w.hl.recordBundle(
      null,
      bundleOf(
        [
          { request: { method: "DELETE", url: "Observation/gone" } },
          put("gone", "1"),
          put("o", "2"),
          put("o", "1"),
          { resource: resource!, request: { method: "PUT", url: "Patient/p1" } },
        ],
        "history",
      ),
    );
    expect(recorded.map(({ index }) => index)).toEqual([2, 4]);
    expect(skipped.map(({ index }) => index)).toEqual([1, 3]);
    expect(await released(w)).toEqual(["o", "p1"]);
  });
});
