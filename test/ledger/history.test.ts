import { describe, expect, it } from "vitest";
import { MRN, observation, treatmentOnly } from "../support/hospital.ts";
import { opened, ward } from "../support/ward.ts";

const base = "https://a.example/fhir/";
const version = (id: string, versionId: string, value: string, method = "PUT") => ({
  fullUrl: `${base}Observation/${id}`,
  resource: {
    ...(JSON.parse(observation(id)) as object),
    meta: { versionId },
    valueString: value,
    subject: { reference: "Patient/1" },
  },
  request: { method, url: `Observation/${id}` },
});

describe("recordBundle of a history", () => {
  it("records what stands, and neither older versions nor what was deleted", async () => {
    const w = await ward();
    const bundle = JSON.stringify({
      resourceType: "Bundle",
      type: "history",
      entry: [
        {
          fullUrl: `${base}Observation/gone`,
          request: { method: "DELETE", url: "Observation/gone" },
          response: { status: "204" },
        },
        version("a", "2", "corrected"),
        version("a", "1", "wrong", "POST"),
        version("gone", "1", "gone", "POST"),
        // some servers give back what was deleted
        version("gone too", "2", "gone", "DELETE"),
        {
          fullUrl: `${base}Patient/1`,
          resource: { resourceType: "Patient", id: "1", identifier: [MRN] },
          request: { method: "PUT", url: "Patient/1" },
        },
      ],
    });
    const { recorded, skipped } = await w.hl.recordBundle(null, bundle);
    expect(recorded.map(({ index }) => index)).toEqual([1, 5]);
    expect(skipped).toEqual([
      { type: "Observation", index: 2, why: "a newer version of it is in the bundle" },
      { type: "Observation", index: 3, why: "it was deleted" },
      { type: "Observation", index: 4, why: "the bundle asks to read, delete or patch it" },
    ]);
    const root = { id: "all", effect: "permit", combine: "deny-overrides", when: {} } as const;
    await w.hl.consent(w.me, treatmentOnly(w.patient, { root }), { signer: w.patient });
    const released = await opened(await w.ask());
    expect(released.map(({ resource }) => resource!["valueString"] ?? "patient").sort()).toEqual([
      "corrected",
      "patient",
    ]);
  });
});
