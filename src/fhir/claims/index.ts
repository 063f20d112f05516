export { claimFromFhir, type ClaimFromFhir, type ClaimFromFhirOptions } from "./claim-from-fhir.ts";
export {
  toExplanationOfBenefit,
  type ExplanationOfBenefitOptions,
} from "./explanation-of-benefit.ts";
export type { FhirJson } from "./amounts-out.ts";
export { toClaimResponse, type ClaimResponseOptions } from "./claim-response.ts";
