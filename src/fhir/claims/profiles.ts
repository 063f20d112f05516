import { type Element, field, listOf, optional, optionalText, unsupported } from "./element.ts";

const CARIN = "http://hl7.org/fhir/us/carin-bb/CodeSystem";
const CLAIM_TYPE = "http://terminology.hl7.org/CodeSystem/claim-type";
const DIAGNOSIS_TYPE = "http://terminology.hl7.org/CodeSystem/ex-diagnosistype";
const CARE_TEAM = "http://terminology.hl7.org/CodeSystem/claimcareteamrole";
const ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason";
const PLACES =
  "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set";
const REVENUE = "https://www.nubc.org/CodeSystem/RevenueCodes";
const NDC = "http://hl7.org/fhir/sid/ndc";
const ICD = ["http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-9-cm"];
const CPT = "http://www.ama-assn.org/go/cpt";
const HCPCS = "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets";
const CDT = "http://www.ada.org/cdt";
const HIPPS =
  "https://www.cms.gov/Medicare/Medicare-Fee-for-Service-Payment/ProspMedicareFeeSvcPmtGen/HIPPSCodes";

/** What a profile of CARIN Blue Button needs, beyond what every decision has. */
export interface ClaimProfile {
  readonly id: string;
  /** Code systems of services; `system#code` for a single code. */
  readonly services: readonly string[];
  readonly diagnosis: "required" | "optional" | "none";
  /** As `system#code`. */
  readonly diagnosisTypes: readonly string[];
  readonly careTeamRoles: readonly string[];
  /** Elements that each item must have; with a code system, of that. */
  readonly items: Readonly<Record<string, string | null>>;
  /** Categories of `supportingInfo` of which there must be one each. */
  readonly supportingInfo: readonly string[];
  /** Where it is said whether the claim was paid as in network. */
  readonly itemStatus: boolean;
  readonly headerStatus: boolean;
  readonly rendering: boolean;
}

const roles = (...codes: string[]): readonly string[] => [
  `${CARE_TEAM}#primary`,
  ...codes.map((code) => `${CARIN}/C4BBClaimCareTeamRole#${code}`),
];
const diagnosisTypes = (hl7: readonly string[], own: readonly string[]): readonly string[] => [
  ...hl7.map((code) => `${DIAGNOSIS_TYPE}#${code}`),
  ...own.map((code) => `${CARIN}/C4BBClaimDiagnosisType#${code}`),
];
const CLINICIANS = [
  ...roles("rendering", "purchasedservice", "referring"),
  `${CARE_TEAM}#supervisor`,
];
const INSTITUTION = {
  services: [CPT, HCPCS, HIPPS, `${ABSENT}#not-applicable`],
  diagnosis: "required",
  careTeamRoles: roles("attending", "referring", "operating", "otheroperating", "rendering"),
  itemStatus: false,
  headerStatus: true,
  rendering: false,
} as const;

const PROFILES: Readonly<Record<string, ClaimProfile>> = {
  professional: {
    id: "C4BB-ExplanationOfBenefit-Professional-NonClinician",
    services: [CPT, HCPCS],
    diagnosis: "required",
    diagnosisTypes: diagnosisTypes(["principal"], ["secondary"]),
    careTeamRoles: CLINICIANS,
    items: { locationCodeableConcept: PLACES },
    supportingInfo: [],
    itemStatus: true,
    headerStatus: false,
    rendering: false,
  },
  oral: {
    id: "C4BB-ExplanationOfBenefit-Oral",
    services: [CDT],
    diagnosis: "optional",
    diagnosisTypes: diagnosisTypes(["principal"], ["secondary"]),
    careTeamRoles: CLINICIANS,
    items: { locationCodeableConcept: PLACES },
    supportingInfo: [],
    itemStatus: true,
    headerStatus: true,
    rendering: true,
  },
  pharmacy: {
    id: "C4BB-ExplanationOfBenefit-Pharmacy",
    services: [NDC, `${CARIN}/C4BBCompoundLiteral#compound`],
    diagnosis: "none",
    diagnosisTypes: [],
    careTeamRoles: roles("prescribing"),
    items: { servicedDate: null },
    supportingInfo: ["dayssupply", "dawcode", "refillnum"],
    itemStatus: false,
    headerStatus: true,
    rendering: false,
  },
  inpatient: {
    ...INSTITUTION,
    id: "C4BB-ExplanationOfBenefit-Inpatient-Institutional",
    diagnosisTypes: diagnosisTypes(["principal", "admitting"], ["other", "externalcauseofinjury"]),
    items: { revenue: REVENUE },
    supportingInfo: ["admissionperiod"],
  },
  outpatient: {
    ...INSTITUTION,
    id: "C4BB-ExplanationOfBenefit-Outpatient-Institutional",
    diagnosisTypes: diagnosisTypes(
      ["principal"],
      ["other", "externalcauseofinjury", "patientreasonforvisit"],
    ),
    items: { servicedDate: null },
    supportingInfo: [],
  },
};

const codesOf = (concept: Element): readonly string[] =>
  listOf(concept, "coding").map(
    (coding) => `${optionalText(coding, "system") ?? ""}#${optionalText(coding, "code") ?? ""}`,
  );

/** The profile of a claim's type, and of the subtype of an institution's claim. */
export function profileOf(claim: Element): ClaimProfile {
  const type = field(claim, "type");
  const code = (of: Element, system: string): string | undefined =>
    codesOf(of)
      .find((one) => one.startsWith(`${system}#`))
      ?.slice(system.length + 1);
  const stated = code(type, CLAIM_TYPE);
  if (stated === "institutional") {
    const subType = field(claim, "subType");
    const kind = code(subType, `${CARIN}/C4BBInstitutionalClaimSubType`);
    if (kind !== "inpatient" && kind !== "outpatient") {
      throw unsupported(subType, "is neither inpatient nor outpatient");
    }
    return PROFILES[kind]!;
  }
  const name = stated === "vision" ? "professional" : stated;
  if (name === undefined || !["professional", "oral", "pharmacy"].includes(name)) {
    throw unsupported(type, "has no profile");
  }
  return PROFILES[name]!;
}

/**
 * Refuses a claim that lacks what its profile needs.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` naming the element
 */
export function checkNeeds(claim: Element, profile: ClaimProfile): void {
  const diagnoses = listOf(claim, "diagnosis");
  const path = `${claim.path}.diagnosis`;
  if (profile.diagnosis === "required" && diagnoses.length === 0) {
    throw unsupported({ path }, "is missing");
  }
  if (profile.diagnosis !== "none") diagnoses.forEach((one) => checkDiagnosis(one, profile));
  for (const member of listOf(claim, "careTeam")) {
    expectCode(field(member, "role"), profile.careTeamRoles);
  }
  for (const item of listOf(claim, "item")) checkItem(item, profile);
  const infos = listOf(claim, "supportingInfo").flatMap((one) => codesOf(field(one, "category")));
  for (const category of profile.supportingInfo) {
    const code = `${CARIN}/C4BBSupportingInfoType#${category}`;
    if (infos.filter((one) => one === code).length !== 1) {
      throw unsupported({ path: `${claim.path}.supportingInfo` }, `needs one ${category}`);
    }
  }
}

function checkDiagnosis(diagnosis: Element, { diagnosisTypes: types }: ClaimProfile): void {
  const stated = listOf(diagnosis, "type");
  if (stated.length !== 1) throw unsupported({ path: `${diagnosis.path}.type` }, "is not one");
  expectCode(stated[0]!, types);
  expectCode(field(diagnosis, "diagnosisCodeableConcept"), ICD);
}

function checkItem(item: Element, { items, services }: ClaimProfile): void {
  expectCode(field(item, "productOrService"), services);
  for (const modifier of listOf(item, "modifier")) expectCode(modifier, [CPT, HCPCS]);
  for (const [name, system] of Object.entries(items)) {
    const found = field(item, name);
    if (system !== null) expectCode(found, [system]);
  }
  const dated = optional(item, "servicedDate") ?? optional(item, "servicedPeriod");
  if (dated === undefined && !Object.hasOwn(items, "revenue")) {
    throw unsupported({ path: `${item.path}.serviced` }, "is missing");
  }
}

/** Checks that a concept has one of these codes, or any code of these systems. */
function expectCode(concept: Element, of: readonly string[]): void {
  const isOne = codesOf(concept).some((code) =>
    of.some((one) => code === one || (!one.includes("#") && code.startsWith(`${one}#`))),
  );
  if (!isOne) throw unsupported(concept, "has no code that the profile has");
}
