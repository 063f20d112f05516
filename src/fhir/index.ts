export {
  type BundleDeletion,
  type BundlePatient,
  type BundleProblem,
  type BundleReading,
  type BundleResource,
  readBundle,
  type FhirReadOptions,
  readResource,
  type ResourceText,
} from "./bundle.ts";
export { type ConsentResourceContext, toConsentResource } from "./consent-resource.ts";
export { fromConsent } from "./consent-in/from-consent.ts";
export type {
  ConsentDialect,
  ConsentLoss,
  ConsentReading,
  FromConsentOptions,
  ImportedConsent,
} from "./consent-in/options.ts";
export {
  type ExportedConsent,
  toConsent,
  type ToConsentOptions,
} from "./consent-out/to-consent.ts";
export { type ExportedPermission, toPermission } from "./consent-out/to-permission.ts";
export { type DatePrecision, type DateSpan, parseDate } from "./date.ts";
export { type ResourceField, splitFields } from "./fields.ts";
export {
  type PatientIdentifier,
  patientIdentifiers,
  type PatientIdentifiersOptions,
  preferredIdentifier,
  type PreferredIdentifierOptions,
} from "./identifier.ts";
export {
  type DescribedCode,
  describeResource,
  type PartDescription,
  type ResourceDescription,
} from "./describe-resource.ts";
export type { PatientProblem } from "./patients.ts";
export type { DescribedPeriod } from "./period.ts";
export {
  type PcfImplicitPolicy,
  pcfImplicitPolicy,
  type PcfPolicyOptions,
} from "./pcf-policies.ts";
export type { FhirCoding, FhirReference, FhirResource } from "./resource.ts";
export type { StatedVersion } from "./version-order.ts";
export type { PastVersion } from "./versions.ts";
