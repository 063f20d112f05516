const list = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** Resources about who somebody is and where: their names and codes are their own, not health data. */
export const PEOPLE_AND_PLACES: ReadonlySet<string> = list(
  "Patient Person RelatedPerson Practitioner PractitionerRole Organization Location",
);

/** Elements that say who and where. */
const WHO = list(`actor assessor assigner asserter attester author authenticator authorReference
  beneficiary careManager collector contributor controller custodian destination dispenser enterer
  expressedBy facility generalPractitioner grantee grantor individual informationSource insurer
  interpreter issuer location manager managingOrganization manufacturer observer onBehalfOf operator
  orderer organization origin owner party patient payor performer policyHolder practitioner prescriber
  provider receiver recipient recorder referrer reporter requester requestor requestProvider responsible
  resultsInterpreter sender serviceProvider submitter subject subscriber supplier verifiedBy
  verifiedWith who`);

/** Elements that say in which encounter something was done, which is not why. */
const CONTEXT = list("encounter context episodeOfCare");
const ENCOUNTERS = list("Encounter EpisodeOfCare");

const RESTFUL = /(?:^|\/)([A-Z][A-Za-z]{1,63})\/[A-Za-z0-9\-.]{1,64}(?:\/_history\/[^/]+)?$/;
const CONDITIONAL = /^([A-Z][A-Za-z]{1,63})\?/;

const MEMBERS = list("reference type identifier display id extension");

/** Whether a value is a FHIR Reference: literal, logical, or only a name. */
export function isReference(value: Record<string, unknown>): boolean {
  if (typeof value["reference"] === "string" || value["_reference"] !== undefined) return true;
  const keys = Object.keys(value).filter((key) => !key.startsWith("_"));
  return (
    keys.every((key) => MEMBERS.has(key)) &&
    (value["identifier"] !== undefined || value["display"] !== undefined)
  );
}

/** The resource type that a literal reference names, where it does. */
export function typeInName(reference: string): string | undefined {
  return RESTFUL.exec(reference)?.[1] ?? CONDITIONAL.exec(reference)?.[1];
}

/** How a reference bears on what the resource that has it is about. */
export type Bearing =
  /** It says who or where, and its display is their name. */
  | "who"
  /** It points to something that adds nothing; what it displays is anybody's words. */
  | "aside"
  /** What it points to counts as the resource's own. */
  | "content";

/**
 * Judges by the element that a reference stands in, and by what it points to.
 *
 * @param type - of the resource that it points to, where that is known
 */
export function bearingOf(element: string, type: string | undefined): Bearing {
  const person = type === undefined ? WHO.has(element) : PEOPLE_AND_PLACES.has(type);
  if (person) return WHO.has(element) ? "who" : "aside";
  const encounter = type === undefined || ENCOUNTERS.has(type);
  return encounter && CONTEXT.has(element) ? "aside" : "content";
}
