import { describe, expect, it } from "vitest";
import type { EntryId } from "../../../src/codec/ids.ts";
import { fromConsent } from "../../../src/fhir/consent-in/from-consent.ts";
import type { FromConsentOptions } from "../../../src/fhir/consent-in/options.ts";
import { observation } from "../../support/hospital.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

/** A Consent of R4 as some server has it: every server counts from 1. */
const consent = (type: "permit" | "deny", more: object = {}): string =>
  JSON.stringify({
    resourceType: "Consent",
    id: "1",
    status: "active",
    scope: {
      coding: [
        { system: "http://terminology.hl7.org/CodeSystem/consentscope", code: "patient-privacy" },
      ],
    },
    category: [{ coding: [{ system: "http://loinc.org", code: "59284-0" }] }],
    patient: { reference: "Patient/p1" },
    dateTime: "2026-01-01",
    policy: [{ uri: "urn:example:policy" }],
    provision: { type, purpose: [{ system: ACT_REASON, code: "TREAT" }] },
    ...more,
  });
const ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const A: FromConsentOptions = { fullUrl: "https://a.example/fhir/Consent/1" };
const B: FromConsentOptions = { fullUrl: "https://b.example/fhir/Consent/1" };

async function file(w: Ward, text: string, options: FromConsentOptions): Promise<EntryId> {
  const { directive } = fromConsent(text, { dialect: "r4-typed", ...options });
  const witness = { user: "clerk-7", form: "paper" as const, takenAt: w.clock.now };
  return (await w.hl.consent(w.me, directive, { witness })).id;
}
const released = async (w: Ward): Promise<unknown[]> =>
  (await opened(await w.ask())).map(({ resource }) => resource!["id"]);

/** A patient who permits treatment at one place, and refuses it by server a's Consent. */
async function refusing(by: FromConsentOptions): Promise<{ w: Ward; refusal: EntryId }> {
  const w = await ward();
  await w.hl.record(w.me, observation("o"));
  await file(w, consent("permit"), { lineage: "admission" });
  expect(await released(w)).toEqual(["o"]);
  const refusal = await file(w, consent("deny"), by);
  expect(await released(w)).toEqual([]);
  return { w, refusal };
}

describe("a refusal by Consent/1 of one server", () => {
  it("outlasts the withdrawal of another server's Consent/1", async () => {
    const { w, refusal } = await refusing(A);
    const withdrawn = consent("permit", { status: "inactive" });
    await expect(file(w, withdrawn, {})).rejects.toMatchObject({ code: "ERR_INPUT_UNSUPPORTED" });
    await file(w, withdrawn, B);
    await file(w, withdrawn, { ...B, predecessors: [refusal] });
    await file(w, consent("permit"), { ...B, predecessors: [refusal] });
    await file(w, consent("permit", { status: "entered-in-error", dateTime: "2026-01-02" }), B);
    expect(await released(w)).toEqual([]);
    await file(w, withdrawn, { ...A, predecessors: [refusal] });
    expect(await released(w)).toEqual(["o"]);
  });

  it("is found by its address, however host and port are written", async () => {
    const { w, refusal } = await refusing(A);
    const fullUrl = "HTTPS://A.example:443/fhir/Consent/1";
    const withdrawn = consent("deny", { status: "inactive" });
    await file(w, withdrawn, { fullUrl, predecessors: [refusal] });
    expect(await released(w)).toEqual(["o"]);
  });
});

describe("a Consent's own identifier", () => {
  const identifier = [{ system: "urn:oid:1.2.3", value: "77" }];

  it("names it on every server, beside one that names nothing", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("o"));
    await file(w, consent("permit"), { lineage: "admission" });
    const refusal = await file(
      w,
      consent("deny", { identifier: [{ value: "x" }, ...identifier] }),
      {},
    );
    expect(await released(w)).toEqual([]);
    const withdrawn = consent("deny", { id: "other", status: "inactive", identifier });
    await file(w, withdrawn, { predecessors: [refusal] });
    expect(await released(w)).toEqual(["o"]);
  });
});

describe("the address of a Consent", () => {
  const read = (fullUrl: string) => fromConsent(consent("deny"), { dialect: "r4-typed", fullUrl });

  it.each([
    "Consent/1",
    "urn:uuid:4f6a1f0e-8a51-4c2c-9d3b-0c6f0a1f2b3c",
    "https://a.example/fhir/Patient/1",
    "https://a.example/fhir/Consent/1/_history/2",
    "https://a.example/fhir/Consent/1?x=y",
    "https://a.example/fhir/Consent/1#x",
  ])("is not %s", (fullUrl) => {
    expect(() => read(fullUrl)).toThrow(TypeError);
  });

  it("ends in the Consent's own id", () => {
    expect(() => read("https://a.example/fhir/Consent/2")).toThrow(
      /Consent\.id differs from the id/,
    );
    expect(read("https://a.example/fhir/Consent/1").directive.lineage).toBe(A.fullUrl);
  });
});
