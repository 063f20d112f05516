import { readdirSync } from "node:fs";
import { expect, it } from "vitest";
import { adjudicate, createPlan, emptyAccumulators } from "../../../src/contract/claims/index.ts";
import {
  claimFromFhir,
  type ClaimFromFhir,
  type ClaimFromFhirOptions,
} from "../../../src/fhir/claims/index.ts";
import { describeVectors, readVector } from "../../support/vectors.ts";

const plan = createPlan({
  v: 1,
  currency: "USD",
  yearStarts: "01-01",
  networks: { in: { contracted: true, coinsurance: 0, unlisted: 10_000 } },
  benefits: [],
  otherServices: "covered",
  coordination: "standard",
});

/** What the plan, which pays all, pays of a claim in cents, or the element for which it is refused. */
function outcome(json: string, options: ClaimFromFhirOptions): number | string {
  let read: ClaimFromFhir;
  try {
    read = claimFromFhir(json, options);
  } catch (error) {
    return /^\S+/.exec((error as Error).message)![0];
  }
  const years = [...new Set(read.claim.lines.map(({ from }) => `${from.slice(0, 4)}-01-01`))];
  const { decision } = adjudicate(plan, read.claim, emptyAccumulators(years), {
    received: read.claim.lines[0]!.to,
    coverage: [read.coverage],
    network: "in",
    authorisations: [],
    standing: [],
    prior: [],
  });
  return decision.total.paid;
}

/** A Coverage of whom a claim is about. */
const coverageOf = (json: string, id: string): string => {
  const { patient } = JSON.parse(json) as { patient: unknown };
  const period = { start: "1900-01-01" };
  const made = { resourceType: "Coverage", id, status: "active", beneficiary: patient, period };
  return JSON.stringify({
    ...made,
    identifier: [{ system: "http://www.jurisdiction.com/nationalplan", value: "123AB345" }],
  });
};

/** The Claims of a bundle. No amount of Synthea's has more digits than a double keeps. */
const claimsIn = (bundle: string): string[] =>
  (JSON.parse(bundle) as { entry: { resource: { resourceType: string } }[] }).entry
    .filter(({ resource }) => resource.resourceType === "Claim")
    .map(({ resource }) => JSON.stringify(resource));

describeVectors("the Claims of HL7's examples", "fhir-r4", (folder) => {
  const published = readVector("fhir-r4/Coverage-9876B1.json");
  const names = readdirSync(folder).filter((name) => name.startsWith("Claim-"));

  /** With the Coverage that HL7 publishes; with one of the claim's patient. Cents, by hand from the JSON. */
  const EXPECTED: Readonly<Record<string, readonly [number | string, number | string]>> = {
    "Claim-100150.json": ["Claim.patient", 13_557],
    "Claim-100151.json": ["Claim.patient", 134_057],
    // It contains a Coverage, without a period.
    "Claim-100152.json": ["Claim.insurance[0].coverage", "Claim.insurance[0].coverage"],
    "Claim-100153.json": ["Claim.use", "Claim.use"],
    "Claim-100154.json": ["Claim.insurance[0].coverage", 13_557],
    // The Coverage is named by an address that no id of a resource ends.
    "Claim-100155.json": ["Claim.insurance[0].coverage", "Claim.insurance[0].coverage"],
    "Claim-100156.json": ["Claim.patient", 225_500],
    "Claim-660150.json": ["Claim.patient", 8_000],
    "Claim-660151.json": ["Claim.patient", 21_400],
    "Claim-660152.json": ["Claim.patient", 23_540],
    "Claim-760150.json": ["Claim.patient", 6_000],
    "Claim-760151.json": ["Claim.patient", 9_000],
    "Claim-760152.json": ["Claim.patient", 15_500],
    "Claim-860150.json": ["Claim.patient", 7_500],
    "Claim-960150.json": ["Claim.patient", 12_500],
    "Claim-960151.json": ["Claim.patient", 12_500],
    "Claim-MED-00050.json": ["Claim.insurance[0].coverage", "Claim.insurance[0].coverage"],
  };

  it("are all in the table", () => expect(names.sort()).toEqual(Object.keys(EXPECTED).sort()));

  it.each(names)("%s", (name) => {
    const json = readVector(`fhir-r4/${name}`);
    const own = coverageOf(json, "9876B1");
    expect([outcome(json, { coverage: published }), outcome(json, { coverage: own })]).toEqual(
      EXPECTED[name],
    );
  });

  it("are decided by the Coverage that they contain, if it has a period", () => {
    const member = "ann";
    const medical = readVector("fhir-r4/Claim-MED-00050.json");
    expect(outcome(medical, { member })).toBe(1_250_000);
    expect(outcome(medical, {})).toBe("Claim.patient");
    const oral = readVector("fhir-r4/Claim-100152.json");
    expect(outcome(oral, { member })).toBe("Claim.contained[4].period");
  });
});

describeVectors("the Claims of Synthea", "synthea", (folder) => {
  const bundles = readdirSync(folder).filter((name) => name.endsWith(".json"));
  const claims = bundles.flatMap((name) => claimsIn(readVector(`synthea/${name}`)));

  it("are priced, or refused for the second item without an amount", () => {
    const counts = new Map<string, number>();
    for (const json of claims) {
      const options = { unpriced: "remainder", undated: "billable-period" } as const;
      const got = outcome(json, { ...options, coverage: coverageOf(json, "any") });
      const { total } = JSON.parse(json) as { total: { value: number } };
      if (typeof got === "number") expect(got).toBe(Math.round(total.value * 100));
      const key = typeof got === "number" ? "priced" : got.replace(/\d+/, "n");
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(claims.length).toBe(210);
    expect(Object.fromEntries(counts)).toEqual({ priced: 155, "Claim.item[n].net": 55 });
  });

  it("are refused where nobody says what undated and unpriced items mean", () => {
    for (const json of claims) {
      expect(outcome(json, { coverage: coverageOf(json, "any") })).toMatch(
        /^Claim\.item\[\d+\]\.(net|serviced)$/,
      );
    }
  });
});
