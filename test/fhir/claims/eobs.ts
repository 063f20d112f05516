import {
  adjudicate,
  type ClaimDecision,
  type ClaimFacts,
  createPlan,
  emptyAccumulators,
} from "../../../src/contract/claims/index.ts";
import { claimFromFhir, toExplanationOfBenefit } from "../../../src/fhir/claims/index.ts";
import type { Json } from "./fsh.ts";

const CARIN = "http://hl7.org/fhir/us/carin-bb/CodeSystem";
const HL7 = "http://terminology.hl7.org/CodeSystem";
const CPT = "http://www.ama-assn.org/go/cpt";
const coded = (system: string, code: string): Json => ({ coding: [{ system, code }] });
const usd = (value: number): Json => ({ value, currency: "USD" });
const info = (sequence: number, category: string, more: Json): Json => ({
  sequence,
  category: coded(`${CARIN}/C4BBSupportingInfoType`, category),
  ...more,
});
const office = {
  locationCodeableConcept: coded(
    "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set",
    "11",
  ),
};
const diagnosis = (type: Json): Json[] => [
  {
    sequence: 1,
    diagnosisCodeableConcept: coded("http://hl7.org/fhir/sid/icd-10-cm", "S06.0X1A"),
    type: [type],
  },
];
const principal = coded(`${HL7}/ex-diagnosistype`, "principal");
const items = (system: string, more: Json = {}): Json[] =>
  [1, 2].map((sequence) => ({
    sequence,
    productOrService: coded(system, `s${sequence}`),
    servicedDate: "2026-03-02",
    net: usd(100.1 * sequence),
    ...more,
  }));
const claimOf = (type: string, more: Json): Json => ({
  resourceType: "Claim",
  id: "c1",
  status: "active",
  use: "claim",
  type: coded(`${HL7}/claim-type`, type),
  patient: { reference: "Patient/ann" },
  provider: { reference: "Organization/clinic" },
  insurance: [{ sequence: 1, focal: true, coverage: { reference: "Coverage/a1" } }],
  ...more,
});
const institutional = (kind: string, more: Json): Json =>
  claimOf("institutional", {
    subType: coded(`${CARIN}/C4BBInstitutionalClaimSubType`, kind),
    item: items(CPT, { revenue: coded("https://www.nubc.org/CodeSystem/RevenueCodes", "0450") }),
    careTeam: [
      {
        sequence: 1,
        provider: { reference: "Practitioner/lee" },
        role: coded(`${CARIN}/C4BBClaimCareTeamRole`, "attending"),
      },
    ],
    ...more,
  });

/** A Claim of each type, with what its profile needs. */
export const CLAIMS = {
  Professional: claimOf("professional", {
    item: items(CPT, { ...office, modifier: [coded(CPT, "25")] }),
    diagnosis: diagnosis(principal),
  }),
  Oral: claimOf("oral", { item: items("http://www.ada.org/cdt", office) }),
  Pharmacy: claimOf("pharmacy", {
    item: items("http://hl7.org/fhir/sid/ndc"),
    supportingInfo: [
      info(1, "dayssupply", { valueQuantity: { value: 30 } }),
      info(2, "dawcode", {
        code: coded(`${HL7}/NCPDPDispensedAsWrittenOrProductSelectionCode`, "7"),
      }),
      info(3, "refillnum", { valueQuantity: { value: 0 } }),
    ],
  }),
  Inpatient: institutional("inpatient", {
    diagnosis: diagnosis(principal),
    supportingInfo: [
      info(1, "admissionperiod", { timingPeriod: { start: "2026-03-01", end: "2026-03-04" } }),
    ],
  }),
  Outpatient: institutional("outpatient", {
    diagnosis: diagnosis(coded(`${CARIN}/C4BBClaimDiagnosisType`, "patientreasonforvisit")),
  }),
} as const;

const coverage = JSON.stringify({
  resourceType: "Coverage",
  id: "a1",
  status: "active",
  beneficiary: { reference: "Patient/ann" },
  period: { start: "2026-01-01" },
});
const plan = createPlan({
  v: 1,
  currency: "USD",
  yearStarts: "01-01",
  networks: {
    in: {
      contracted: true,
      coinsurance: 2_000,
      unlisted: 8_000,
      deductible: { kind: "embedded", individual: 2_000 },
    },
    out: { contracted: false, coinsurance: 4_000, unlisted: 8_000 },
  },
  benefits: [],
  otherServices: "covered",
  coordination: "standard",
});

/** Decides a Claim on such facts. */
export function decide(claim: Json, facts: Partial<ClaimFacts> = {}): ClaimDecision {
  const read = claimFromFhir(JSON.stringify(claim), { coverage });
  return adjudicate(plan, read.claim, emptyAccumulators(["2026-01-01"]), {
    received: "2026-03-10",
    coverage: [read.coverage],
    network: "in",
    authorisations: [],
    standing: [],
    prior: [],
    ...facts,
  }).decision;
}

export const OPTIONS = {
  identifier: { system: "urn:payer", value: "EOB-7" },
  insurer: "Organization/payer",
  created: "2026-03-20T09:00:00Z",
  lastUpdated: "2026-03-20T09:00:00Z",
  inNetwork: ["in"],
};

const payer = {
  payer: "first",
  lines: [
    { sequence: 1, paid: 5_000, adjustments: [{ group: "PR", carc: "1", amount: 5_010 }] },
    { sequence: 2, paid: 20_020, adjustments: [] },
  ],
} as const;

/** Decisions that differ in what they adjust: paid, out of network in part, denied, after another payer. */
const VARIANTS: readonly Partial<ClaimFacts>[] = [
  {},
  { network: "out" },
  { lines: [{ sequence: 2, network: "out" }] },
  { coverage: [] },
  { prior: [payer] },
];

const of = (type: keyof typeof CLAIMS) => (): Json[] =>
  VARIANTS.map((facts) => ({
    ...toExplanationOfBenefit(decide(CLAIMS[type], facts), {
      claim: JSON.stringify(CLAIMS[type]),
      ...OPTIONS,
    }),
  }));

export const EOBS: Readonly<Record<keyof typeof CLAIMS, () => Json[]>> = {
  Professional: of("Professional"),
  Oral: of("Oral"),
  Pharmacy: of("Pharmacy"),
  Inpatient: of("Inpatient"),
  Outpatient: of("Outpatient"),
};
