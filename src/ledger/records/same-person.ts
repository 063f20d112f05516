import { InputError } from "../../errors.ts";
import { isSameIdentifier, patientIdentifiers } from "../../fhir/identifier.ts";
import { type BundlePatient, patientSteps } from "../../fhir/patients.ts";
import type { Addressable } from "../../fhir/references.ts";
import { type FhirResource, isObject, list, text } from "../../fhir/resource.ts";
import { bySlices } from "../../loop/give-turn.ts";
import type { PersonIdentifier } from "../index/rows.ts";
import { isIdentifier, type Subject, type Subjects } from "../entries/subjects.ts";

/** Dependencies of the comparison. */
interface Comparison {
  readonly subjects: Pick<Subjects, "find" | "identifiersOf" | "areOne">;
  /** In ms since 1970: identifiers expire. */
  readonly now: number;
}

/**
 * Refuses patients of FHIR text who cannot be the person under whom it is to be filed: their
 * numbers include some from a system in which the person has one, but not the person's own; or they
 * share no number with the person and have one of another known person.
 *
 * @throws {InputError} `ERR_INPUT_OTHER_PERSON`
 */
export async function assertSamePerson(
  subject: Subject,
  patients: readonly BundlePatient[],
  { subjects, now }: Comparison,
): Promise<void> {
  const theirs = patients.map(({ resource, identifier, otherIdentifiers = [] }) => [
    ...(resource === undefined ? [] : patientIdentifiers(resource, { now })),
    ...(identifier === undefined ? [] : [identifier]),
    ...otherIdentifiers,
  ]);
  if (theirs.every((identifiers) => identifiers.length === 0)) return;
  const his = await subjects.identifiersOf(subject);
  if (theirs.some((identifiers) => isSomebodyElse(his, identifiers))) {
    throw new InputError(
      "ERR_INPUT_OTHER_PERSON",
      "the named patient has a different identifier in a system by which this person is known",
    );
  }
  for (const identifiers of theirs) {
    if (identifiers.some((one) => his.some((own) => isSameIdentifier(own, one)))) continue;
    for (const one of identifiers.filter(isIdentifier)) {
      const known = await subjects.find(one);
      if (known === undefined || (await subjects.areOne(known, subject))) continue;
      throw new InputError(
        "ERR_INPUT_OTHER_PERSON",
        "the named patient has an identifier by which another person is known",
      );
    }
  }
}

/**
 * Refuses a resource that names a person other than the one under whom it is to be filed, or
 * several persons; for a Bundle, every resource in it counts. A resource that names nobody, or only
 * by reference, is accepted.
 *
 * @throws {InputError} `ERR_INPUT_OTHER_PERSON`
 */
export async function assertAbout(
  subject: Subject,
  resource: FhirResource,
  comparison: Comparison,
): Promise<void> {
  const { patients, about } = await bySlices(patientSteps(entriesOf(resource), comparison.now));
  if (new Set(about.flat()).size > 1) {
    throw new InputError("ERR_INPUT_OTHER_PERSON", "the resource is about several patients");
  }
  await assertSamePerson(subject, patients, comparison);
}

/** The resource, or the resources of a Bundle that is filed as one, such as a document. */
function entriesOf(resource: FhirResource): readonly Addressable[] {
  if (resource.resourceType !== "Bundle") return [{ resource }];
  return list(resource["entry"]).flatMap((entry) => {
    const inner = isObject(entry) ? entry["resource"] : undefined;
    if (!isObject(entry) || !isObject(inner) || typeof inner["resourceType"] !== "string")
      return [];
    const fullUrl = text(entry["fullUrl"]);
    return [{ resource: inner as FhirResource, ...(fullUrl !== undefined && { fullUrl }) }];
  });
}

function isSomebodyElse(
  one: readonly PersonIdentifier[],
  other: readonly PersonIdentifier[],
): boolean {
  const pairs = one.flatMap((mine) => other.map((yours) => [mine, yours] as const));
  const ofOneSystem = pairs.filter(([mine, yours]) => mine.system === yours.system);
  return ofOneSystem.length > 0 && ofOneSystem.every(([a, b]) => a.value !== b.value);
}
