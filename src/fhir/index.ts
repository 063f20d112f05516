export {
  type BundlePatient,
  type BundleProblem,
  type BundleReading,
  type BundleResource,
  readBundle,
  type ReadOptions,
  readResource,
  type ResourceText,
} from "./bundle.ts";
export { type ConsentResourceContext, toConsentResource } from "./consent-resource.ts";
export { type DatePrecision, type DateSpan, parseDate } from "./date.ts";
export { type ResourceField, splitFields } from "./fields.ts";
export {
  type PatientIdentifier,
  patientIdentifiers,
  preferredIdentifier,
  type PreferredIdentifierOptions,
} from "./identifier.ts";
export {
  type DescribedCode,
  type DescribedPeriod,
  describeResource,
  type ResourceDescription,
} from "./manifest.ts";
export type { PatientProblem } from "./patients.ts";
export type { FhirCoding, FhirReference, FhirResource } from "./resource.ts";
