import { describe, expect, it } from "vitest";
import { fromConsent, toConsent } from "../../../src/fhir/index.ts";
import { permit, says } from "../../consent/support.ts";

const witness = {
  by: "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw",
  form: "oral",
  user: "clerk-7",
  takenAt: Date.UTC(2026, 0, 5, 10),
} as const;
const directive = says({ by: "Patient/1", root: permit({ purposes: ["TREAT"] }) });

describe("toConsent of a witnessed directive", () => {
  it("says in R5 by which organisation it was verified, how and when, and who did not sign", () => {
    const { resource, losses } = toConsent(directive, {
      version: "r5",
      patient: "Patient/1",
      witness,
    });
    expect(resource["verification"]).toEqual([
      {
        verified: true,
        verificationType: { text: "witnessed: given orally" },
        verifiedBy: { reference: witness.by, type: "Organization" },
        verificationDate: ["2026-01-05T10:00:00.000Z"],
      },
    ]);
    expect(losses.map(({ path }) => path)).toContain("witness");
    expect(JSON.stringify(resource)).not.toContain(witness.user);
  });

  it("says the same in R4, where by whom and how are R5's elements as extensions", () => {
    const { resource } = toConsent(directive, { version: "r4", patient: "Patient/1", witness });
    const element = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Consent.verification";
    expect(resource["verification"]).toEqual([
      {
        verified: true,
        extension: [
          {
            url: `${element}.verificationType`,
            valueCodeableConcept: { text: "witnessed: given orally" },
          },
          {
            url: `${element}.verifiedBy`,
            valueReference: { reference: witness.by, type: "Organization" },
          },
        ],
        verificationDate: "2026-01-05T10:00:00.000Z",
      },
    ]);
  });

  it.each(["r4", "r5"] as const)("is read again as the directive alone: %s", (version) => {
    const { resource, readAs } = toConsent(directive, { version, patient: "Patient/1", witness });
    const read = fromConsent(JSON.stringify(resource), { ...readAs, lineage: directive.lineage });
    expect(read.directive).toMatchObject({ grantor: directive.grantor, mode: "replace" });
    expect(read.losses.map(({ path }) => path)).toContain("Consent.verification");
    const bare = toConsent(directive, { version, patient: "Patient/1" }).resource;
    expect(bare).not.toHaveProperty("verification");
  });
});
