export { claimFromFhir, type ClaimFromFhir, type ClaimFromFhirOptions } from "./claim-from-fhir.ts";
