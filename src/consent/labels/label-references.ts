const list = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** Resources about people and places: their names and codes are not health data. */
export const PEOPLE_AND_PLACES: ReadonlySet<string> = list(
  "Patient Person RelatedPerson Practitioner PractitionerRole Organization Location",
);

/** Elements that say who or where. */
const WHO = list(`actor assessor assigner asserter attester author authenticator authorReference
  beneficiary careManager collector contributor controller custodian destination dispenser enterer
  expressedBy facility generalPractitioner grantee grantor individual informationSource insurer
  interpreter issuer location manager managingOrganization manufacturer observer onBehalfOf operator
  orderer organization origin owner party patient payor performer policyHolder practitioner prescriber
  provider receiver recipient recorder referrer reporter requester requestor requestProvider responsible
  resultsInterpreter sender serviceProvider submitter subject subscriber supplier verifiedBy
  verifiedWith who`);

/** Elements that name the encounter of an act, which is not its reason. */
const CONTEXT = list("encounter context episodeOfCare");
const ENCOUNTERS = list("Encounter EpisodeOfCare");

const RESTFUL = /(?:^|\/)([A-Z][A-Za-z]{1,63})\/[A-Za-z0-9\-.]{1,64}(?:\/_history\/[^/]+)?$/;
const CONDITIONAL = /^([A-Z][A-Za-z]{1,63})\?/;

const MEMBERS = list("reference type identifier display id extension");

/** Whether a value is a FHIR Reference: literal, logical, or only a name. */
export function isReference(value: Record<string, unknown>): boolean {
  if (typeof value["reference"] === "string" || value["_reference"] !== undefined) return true;
  if (value["identifier"] === undefined && value["display"] === undefined) return false;
  return Object.keys(value).every((key) => MEMBERS.has(key) || key.startsWith("_"));
}

/** The resource type that a literal reference names, if it names one. */
export function typeInName(reference: string): string | undefined {
  return RESTFUL.exec(reference)?.[1] ?? CONDITIONAL.exec(reference)?.[1];
}

/** How a reference bears on the resource that has it. */
export type Bearing =
  /** It says who or where, and its display is a name. */
  | "who"
  /** Its target adds nothing; its display may say anything. */
  | "aside"
  /** Its target counts as part of the resource. */
  | "content";

/**
 * Classifies a reference by the element that it is in and the type of its target.
 *
 * @param type - type of the target, if it is known
 */
export function bearingOf(element: string, type: string | undefined): Bearing {
  const person = type === undefined ? WHO.has(element) : PEOPLE_AND_PLACES.has(type);
  if (person) return WHO.has(element) ? "who" : "aside";
  const encounter = type === undefined || ENCOUNTERS.has(type);
  return encounter && CONTEXT.has(element) ? "aside" : "content";
}
