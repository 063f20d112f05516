/** FHIR's own consent actions, by hl7.org/fhir/codesystem-consent-action. */
export const CONSENT_ACTIONS: ReadonlySet<string> = new Set([
  "collect",
  "access",
  "use",
  "disclose",
  "correct",
]);
