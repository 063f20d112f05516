import { describe, expect, it } from "vitest";
import { fromConsent, toConsent } from "../../../src/fhir/index.ts";
import { signAttestation, type AttestedFact } from "../../../src/ledger/disclosure/attestation.ts";
import { observation } from "../../support/hospital.ts";
import { ward } from "../../support/ward.ts";

// The whole path: an R5 Consent as text that names a role, an attested role, what is released.

const SNOMED = "http://snomed.info/sct";
const OWN = "urn:oid:1.2.3.4";
const NAMES = "urn:healthledger:name";

const consent = (decision: "permit" | "deny", system: string, code: string): string =>
  JSON.stringify({
    resourceType: "Consent",
    id: "c1",
    identifier: [{ system: "urn:example:consents", value: "c1" }],
    status: "active",
    category: [{ coding: [{ system: "http://loinc.org", code: "59284-0" }] }],
    subject: { reference: "Patient/p1" },
    date: "2022-01-01",
    policyBasis: { url: "urn:example:policy" },
    decision: decision === "permit" ? "deny" : "permit",
    provision: [{ actor: [{ role: { coding: [{ system, code }] } }] }],
  });

/** How many of one record are released to whom a role is attested, under what is written again too. */
async function released(text: string, role?: string): Promise<number> {
  const first = fromConsent(text, {
    dialect: "r5",
    reading: "exception",
    capacity: "self",
  }).directive;
  const again = toConsent(first, { version: "r5", patient: "Patient/p1" }).resource;
  const counts: number[] = [];
  for (const one of [text, JSON.stringify(again)]) {
    const { directive } = fromConsent(one, {
      dialect: "r5",
      reading: "exception",
      capacity: "self",
    });
    const w = await ward();
    await w.hl.record(w.me, observation("o"));
    const witness = { user: "clerk-7", form: "paper" as const, takenAt: w.clock.now };
    await w.hl.consent(w.me, directive, { witness });
    const fact = {
      ledger: w.hl.id,
      requester: w.b.signer.actor,
      ...{ user: "dr-lee", role, from: w.clock.now - 1000, to: w.clock.now + 3_600_000 },
    } as AttestedFact;
    const attestations = role === undefined ? [] : [await signAttestation(fact, w.c.signer)];
    counts.push((await w.ask(w.b, { user: "dr-lee", attestations })).count);
  }
  expect(counts[1]).toBe(counts[0]);
  return counts[0]!;
}

describe("a role that a FHIR Consent names by code", () => {
  it.each([
    ["of the same system", `${SNOMED}|17561000`, 1],
    ["of another system", `${OWN}|17561000`, 0],
    ["of no system", "17561000", 0],
    ["of another code", `${SNOMED}|224571005`, 0],
    ["of nobody", undefined, 0],
  ])("is permitted by an attested role: %s", async (_, role, count) => {
    expect(await released(consent("permit", SNOMED, "17561000"), role)).toBe(count);
  });

  it.each([
    ["of the same system", `${SNOMED}|17561000`, 0],
    // it may be the same role by another name
    ["of another system", `${OWN}|17561000`, 0],
    ["of no system", "17561000", 0],
    ["of another code", `${SNOMED}|224571005`, 1],
  ])("is refused by an attested role: %s", async (_, role, count) => {
    expect(await released(consent("deny", SNOMED, "17561000"), role)).toBe(count);
  });

  it("is a bare name where the Consent says that it is one", async () => {
    expect(await released(consent("permit", NAMES, "nurse"), "nurse")).toBe(1);
    expect(await released(consent("permit", NAMES, "nurse"), `${SNOMED}|nurse`)).toBe(0);
    expect(await released(consent("permit", NAMES, `${OWN}|nurse`), `${OWN}|nurse`)).toBe(1);
  });

  it("is written as itself, and never as a part in the disclosure", () => {
    const written = (id: string): unknown => {
      const { directive } = fromConsent(consent("permit", NAMES, id), {
        dialect: "r5",
        reading: "exception",
        capacity: "self",
      });
      const { resource } = toConsent(directive, { version: "r5", patient: "Patient/p1" });
      return /"actor":\[\{"role":\{"coding":\[(\{[^}]*\})/.exec(JSON.stringify(resource))![1];
    };
    expect(written(`${OWN}|nurse`)).toBe(`{"system":"${OWN}","code":"nurse"}`);
    expect(written("nurse")).toBe(`{"system":"${NAMES}","code":"nurse"}`);
    const part = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType|AUT";
    expect(written(part)).toBe(`{"system":"${NAMES}","code":"${part}"}`);
  });
});
