import { describe, expect, it } from "vitest";
import { utf8ToBytes } from "../../../src/bytes/utf8.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const BASE = "https://a.example/fhir";
const CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

const patient = {
  fullUrl: "urn:uuid:11111111-1111-4111-8111-111111111111",
  resource: { resourceType: "Patient", id: "p", identifier: [MRN] },
};
const seen = (
  id: string,
  more: object = {},
  fullUrl: string | null = `${BASE}/Observation/${id}`,
) => ({
  ...(fullUrl !== null && { fullUrl }),
  resource: {
    ...(JSON.parse(observation(id)) as object),
    subject: { reference: patient.fullUrl },
    ...more,
  },
});
const { id: _id, ...nameless } = seen("x").resource as { id?: string };
const bundleOf = (...entry: object[]): string =>
  JSON.stringify({ resourceType: "Bundle", type: "collection", entry });

/** What is released of it all: the status of each record, by its id. */
async function released(w: Ward): Promise<string[]> {
  const root = { id: "all", effect: "permit", combine: "deny-overrides", when: {} } as const;
  const predecessors = (await w.hl.directives(w.me)).map(({ entry }) => entry);
  const directive = treatmentOnly(w.patient, { root, predecessors: predecessors.slice(-1) });
  await w.hl.consent(w.me, directive, { signer: w.patient });
  return (await opened(await w.ask()))
    .map(({ resource }) => `${resource!["id"]} ${resource!["status"]}`)
    .sort();
}

const brief = (list: readonly { index: number; as?: string }[]) =>
  list.map(({ index, as }) => (as === undefined ? index : `${index} ${as}`));

describe("recordBundle of what is known", () => {
  it("records the same bundle once, and says what was there", async () => {
    const w = await ward();
    const bundle = bundleOf(patient, seen("1"), seen("2", {}, "urn:uuid:2"), seen("3", {}, null), {
      resource: nameless,
    });
    const first = await w.hl.recordBundle(null, bundle);
    expect([brief(first.recorded), brief(first.known)]).toEqual([[0, 1, 2, 3, 4], []]);
    const progress: unknown[] = [];
    const again = await w.hl.recordBundle(null, bundle, {
      onProgress: (told) => progress.push(told),
    });
    expect(again.recorded).toEqual([]);
    expect(progress).toEqual([]);
    expect(brief(again.known)).toEqual([0, 1, 2, 3, 4].map((index) => `${index} recorded`));
    expect(again.known.map(({ id }) => id)).toEqual(first.recorded.map(({ id }) => id));
    expect(await w.hl.records(w.me)).toHaveLength(5);
    // by another spelling it is another text, but at one address one record
    const spelt = utf8ToBytes(bundle.replaceAll('"status":"final"', '"status": "final"'));
    const third = await w.hl.recordBundle(w.me, spelt);
    expect(brief(third.recorded)).toEqual([2, 3, 4, 1]);
    expect(third.recorded.at(-1)!.amends).toEqual(first.recorded[1]!.id);
    expect(brief(third.known)).toEqual(["0 recorded"]);
  });

  it("goes on after a break", async () => {
    const w = await ward();
    const half = bundleOf(patient, seen("1"), seen("2"));
    await w.hl.recordBundle(null, half);
    const { recorded, known } = await w.hl.recordBundle(
      null,
      bundleOf(seen("3"), patient, seen("2"), seen("1"), seen("4")),
    );
    expect([brief(recorded), brief(known)]).toEqual([
      [0, 4],
      ["1 recorded", "2 recorded", "3 recorded"],
    ]);
    expect(await w.hl.records(w.me)).toHaveLength(5);
  });

  it("corrects what stands at an address, and does not go back", async () => {
    const w = await ward();
    const one = seen("1", { meta: { versionId: "1" } });
    const two = seen("1", { meta: { versionId: "2" }, status: "entered-in-error" });
    await w.hl.recordBundle(null, bundleOf(patient, one, seen("2")));
    const { recorded } = await w.hl.recordBundle(null, bundleOf(patient, two));
    expect(brief(recorded)).toEqual([1]);
    expect(await released(w)).toEqual(["1 entered-in-error", "2 final", "p undefined"]);
    const back = await w.hl.recordBundle(
      null,
      bundleOf(patient, one, seen("1", { meta: { versionId: "1" }, status: "amended" })),
    );
    expect(back.recorded).toEqual([]);
    expect(brief(back.known)).toEqual(["0 recorded", "1 newer", "2 newer"]);
    expect(await released(w)).toEqual(["1 entered-in-error", "2 final", "p undefined"]);
  });

  it("takes one id on two servers, or in two bundles, for two records", async () => {
    const w = await ward();
    await w.hl.recordBundle(null, bundleOf(patient, seen("1"), seen("2", {}, "urn:uuid:o")));
    const { recorded, known } = await w.hl.recordBundle(
      null,
      bundleOf(
        patient,
        seen("1", {}, "https://b.example/fhir/Observation/1"),
        seen("2", { status: "amended" }, "urn:uuid:o"),
      ),
    );
    expect([brief(recorded), brief(known)]).toEqual([[1, 2], ["0 recorded"]]);
    expect(await released(w)).toEqual([
      "1 final",
      "1 final",
      "2 amended",
      "2 final",
      "p undefined",
    ]);
  });

  it("does not restore records that were retracted or moved", async () => {
    const w = await ward();
    const bundle = bundleOf(patient, seen("1"), seen("2"));
    const { recorded } = await w.hl.recordBundle(null, bundle);
    await w.hl.retract(recorded[1]!.id, "entered in error");
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    await w.hl.reattribute(recorded[2]!.id, other, "another person's");
    const changed = bundleOf(patient, seen("1", { status: "amended" }), seen("2"));
    for (const input of [bundle, changed]) {
      const again = await w.hl.recordBundle(null, input);
      expect(again.recorded).toEqual([]);
      expect(brief(again.known)).toEqual(["0 recorded", "1 ended", "2 ended"]);
    }
    expect(await released(w)).toEqual(["p undefined"]);
  });

  it("records anew what was erased", async () => {
    const w = await ward();
    const bundle = bundleOf(patient, seen("1"));
    const { recorded } = await w.hl.recordBundle(null, bundle);
    await w.hl.erase(w.me, { records: [recorded[1]!.id], reason: "asked" });
    const again = await w.hl.recordBundle(null, bundle);
    expect([brief(again.recorded), brief(again.known)]).toEqual([[1], ["0 recorded"]]);
  });

  it("keeps what is said about the same text since", async () => {
    const w = await ward();
    const bundle = bundleOf(patient, seen("1"));
    await w.hl.recordBundle(null, bundle);
    const meta = { security: [{ system: CONFIDENTIALITY, code: "R" }] };
    const restricted = JSON.stringify({ ...(JSON.parse(bundle) as object), meta });
    const { recorded } = await w.hl.recordBundle(null, restricted);
    expect(brief(recorded)).toContain(1);
    const record = (await w.hl.records(w.me)).find(
      ({ head }) => head.manifest.resource!.type === "Observation",
    );
    expect(record!.labels!.codes).toContainEqual({ system: CONFIDENTIALITY, code: "R" });
    expect(await w.hl.records(w.me)).toHaveLength(2);
  });

  it("records once what stands twice in one bundle", async () => {
    const w = await ward();
    const { recorded, skipped } = await w.hl.recordBundle(
      null,
      bundleOf(patient, seen("1"), seen("1"), { resource: nameless }, { resource: nameless }),
    );
    expect(brief(recorded)).toEqual([0, 1, 3, 4]);
    expect(skipped).toEqual([
      { type: "Observation", index: 2, why: "the same resource occurs earlier in the bundle" },
    ]);
  });
});
