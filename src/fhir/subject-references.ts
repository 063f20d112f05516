import { isCurrentIdentifier, type PatientIdentifier } from "./identifier.ts";
import { isPlaceholder } from "./placeholder.ts";
import {
  type FhirReference,
  type FhirResource,
  isObject,
  referenceOf,
  valuesAt,
} from "./resource.ts";

/** Elements that name a patient even by a mere identifier. */
const NAMES_PATIENT: ReadonlySet<string> = new Set([
  "patient",
  "subject",
  "beneficiary",
  "individual",
  "candidate",
]);

/** Elements that may name a person by words only. */
const NAMES_SOMEBODY: ReadonlySet<string> = new Set([
  ...NAMES_PATIENT,
  "member.entity",
  "link.target",
]);

/** Types of persons who are not patients, but may be what a resource is about. */
const PERSONS: ReadonlySet<string> = new Set([
  "Practitioner",
  "PractitionerRole",
  "RelatedPerson",
  "Person",
]);

/** Whether a resource is about a person who is not a patient, by the type at an element. */
export function isAboutOther(path: string, type: string | undefined): boolean {
  return NAMES_PATIENT.has(path) && type !== undefined && PERSONS.has(type);
}

/** A reference, and the path of its element. */
export interface ReferenceAt {
  readonly path: string;
  readonly reference: FhirReference | undefined;
}

/**
 * The references at all of some paths; `undefined` for one that names a person only by words, or
 * only by a number that is not in use or means "not known".
 */
export function referencesAt(
  resource: FhirResource,
  paths: readonly string[],
  now: number | undefined,
): readonly ReferenceAt[] {
  const references: ReferenceAt[] = [];
  for (const path of paths) {
    for (const value of valuesAt(resource, path)) {
      const reference = referenceOf(value);
      if (reference === undefined) {
        if (NAMES_SOMEBODY.has(path)) references.push({ path, reference });
        continue;
      }
      const names = identifierOf(reference);
      const isNobody = names !== undefined && !isInUse(value, names.value, now);
      const { identifier: _, ...rest } = reference;
      if (isNobody) {
        references.push({ path, reference: reference.reference === undefined ? undefined : rest });
        continue;
      }
      const bare = reference.reference === undefined && reference.type === undefined;
      const isPatient = bare && NAMES_PATIENT.has(path);
      references.push({
        path,
        reference: isPatient ? { ...reference, type: "Patient" } : reference,
      });
    }
  }
  return references;
}

function isInUse(reference: unknown, value: string, now: number | undefined): boolean {
  const inner = isObject(reference) ? reference["reference"] : undefined;
  const { identifier } = (isObject(inner) ? inner : reference) as { identifier?: unknown };
  return !isPlaceholder(value) && isCurrentIdentifier(identifier, now);
}

/** The identifier in a reference, if it has both a system and a value. */
export function identifierOf({ identifier }: FhirReference): PatientIdentifier | undefined {
  const { system, value } = identifier ?? {};
  return system === undefined || value === undefined ? undefined : { system, value };
}
