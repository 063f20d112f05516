import { describe, expect, it } from "vitest";
import { toClaimResponse, toExplanationOfBenefit } from "../../../src/fhir/claims/index.ts";
import { CLAIMS, decide, OPTIONS } from "./eobs.ts";

type Any = Record<string, any>;
const write = (claim: object, type: keyof typeof CLAIMS = "Professional") =>
  toExplanationOfBenefit(decide(CLAIMS[type] as never), {
    claim: JSON.stringify(claim),
    ...OPTIONS,
  }) as Any;
const amounts = (list: Any[]): Any =>
  Object.fromEntries(
    list
      .filter(({ amount }) => amount !== undefined)
      .map(({ category, reason, amount }) => [(reason ?? category).coding[0].code, amount.value]),
  );
const changed = (type: keyof typeof CLAIMS, change: (claim: Any) => void): object => {
  const claim = structuredClone(CLAIMS[type]) as Any;
  change(claim);
  return claim;
};

describe("toExplanationOfBenefit", () => {
  it("tells amounts to the cent", () => {
    const eob = write(CLAIMS.Professional);
    // 100.10 charged, 80 % of it allowed: 80.08; 20 deductible, 20 % of 60.08 are 12.016.
    const first = {
      submitted: 100.1,
      eligible: 80.08,
      deductible: 20,
      coinsurance: 12.02,
      discount: 20.02,
      memberliability: 32.02,
      benefit: 48.06,
      paidtoprovider: 48.06,
      ...{ 1: 20, 2: 12.02, 45: 20.02 },
    };
    expect(amounts(eob["item"][0].adjudication)).toEqual(first);
    // 200.20: 160.16 allowed, 20 % of it 32.032.
    expect(amounts(eob["total"])).toEqual({
      submitted: 300.3,
      eligible: 240.24,
      deductible: 20,
      coinsurance: 44.05,
      discount: 60.06,
      memberliability: 64.05,
      benefit: 176.19,
      paidtoprovider: 176.19,
    });
    expect(eob["payment"]).toMatchObject({ amount: { value: 176.19, currency: "USD" } });
    expect(eob["meta"].profile).toEqual([
      "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Professional-NonClinician|2.2.0",
    ]);
    expect(eob["billablePeriod"]).toEqual({ start: "2026-03-02", end: "2026-03-02" });
  });

  it.each<[string, keyof typeof CLAIMS, (claim: Any) => void]>([
    ["Claim.type", "Professional", (claim) => (claim["type"] = { text: "x" })],
    ["Claim.diagnosis", "Professional", (claim) => delete claim["diagnosis"]],
    ["Claim.diagnosis[0].type", "Professional", (claim) => delete claim["diagnosis"][0].type],
    [
      "Claim.diagnosis[0].type[0]",
      "Professional",
      (claim) => (claim["diagnosis"][0].type[0] = { text: "x" }),
    ],
    [
      "Claim.diagnosis[0].diagnosisCodeableConcept",
      "Professional",
      (claim) => (claim["diagnosis"][0].diagnosisCodeableConcept.coding[0].system = "urn:x"),
    ],
    [
      "Claim.item[1].locationCodeableConcept",
      "Professional",
      (claim) => delete claim["item"][1].locationCodeableConcept,
    ],
    [
      "Claim.item[0].productOrService",
      "Oral",
      (claim) => (claim["item"][0].productOrService.coding[0].system = "urn:x"),
    ],
    [
      "Claim.item[0].modifier[0]",
      "Professional",
      (claim) => (claim["item"][0].modifier[0].coding[0].system = "urn:x"),
    ],
    ["Claim.item[0].servicedDate", "Pharmacy", (claim) => delete claim["item"][0].servicedDate],
    ["Claim.supportingInfo", "Pharmacy", (claim) => claim["supportingInfo"].pop()],
    ["Claim.subType", "Inpatient", (claim) => delete claim["subType"]],
    ["Claim.item[0].revenue", "Inpatient", (claim) => delete claim["item"][0].revenue],
    ["Claim.supportingInfo", "Inpatient", (claim) => delete claim["supportingInfo"]],
    [
      "Claim.careTeam[0].role",
      "Outpatient",
      (claim) => (claim["careTeam"][0].role = { text: "x" }),
    ],
  ])("refuses a Claim whose %s the profile cannot use: %s", (element, type, change) => {
    expect(() => write(changed(type, change), type)).toThrow(
      expect.objectContaining({
        code: "ERR_INPUT_UNSUPPORTED",
        message: expect.stringMatching(new RegExp(`^${element.replace(/[[\].]/g, "\\$&")} `)),
      }),
    );
  });

  it("refuses a Claim with other lines", () => {
    for (const change of [
      (claim: Any) => claim["item"].pop(),
      (claim: Any) => (claim["item"][0].sequence = 9),
    ]) {
      expect(() => write(changed("Professional", change))).toThrow(
        expect.objectContaining({ code: "ERR_INPUT_INVALID" }),
      );
    }
  });
});

describe("toClaimResponse", () => {
  it("answers a Claim, with the reasons in words", () => {
    const response = toClaimResponse(decide(CLAIMS.Professional as never, { coverage: [] }), {
      claim: JSON.stringify(CLAIMS.Professional),
      request: "Claim/c1",
      insurer: "Organization/payer",
      created: "2026-03-20T09:00:00Z",
    }) as Any;
    expect(amounts(response["item"][0].adjudication)).toEqual({
      submitted: 100.1,
      eligible: 0,
      noncovered: 100.1,
      memberliability: 100.1,
      benefit: 0,
      paidtoprovider: 0,
      31: 100.1,
    });
    expect(response["payment"].type.coding[0].code).toBe("denied");
    expect(response["processNote"][0]).toEqual({
      number: 1,
      type: "display",
      text:
        "Line 1 is denied: 100.10 USD charged, 0.00 USD paid, 100.10 USD owed by the patient. " +
        "100.10 USD (PR-31): not a member on 2026-03-02 to 2026-03-02.",
    });
    expect(response["item"][0].noteNumber).toEqual([1]);
  });
});
