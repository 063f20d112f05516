import { InputError } from "../../errors.ts";
import { isSameIdentifier, patientIdentifiers } from "../../fhir/identifier.ts";
import { entriesOf } from "../../fhir/inner-resources.ts";
import { type BundlePatient, patientSteps } from "../../fhir/patients.ts";
import type { Addressable } from "../../fhir/references.ts";
import { type FhirResource, isObject, list, text } from "../../fhir/resource.ts";
import { bySlices } from "../../loop/give-turn.ts";
import type { PersonIdentifier } from "../index/rows.ts";
import type { PatientNames } from "./named-patients.ts";
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
 * Refuses patients whom the bundle's source knows by a name that is another person's.
 *
 * @throws {InputError} `ERR_INPUT_OTHER_PERSON`
 */
export async function assertNamed(
  subject: Subject,
  places: Iterable<number>,
  { names, subjects }: { readonly names: PatientNames } & Pick<Comparison, "subjects">,
): Promise<void> {
  for (const place of places) {
    const name = names.nameOf(place)?.name;
    const named = name === undefined || name === "unclear" ? undefined : await names.whoIs(name);
    if (named?.is !== "person" || (await subjects.areOne(named.person, subject))) continue;
    throw new InputError(
      "ERR_INPUT_OTHER_PERSON",
      "the named patient is another person's by the source's name for them: merge the two, if they are one",
    );
  }
}

/**
 * Refuses a resource that names a person other than the one under whom it is to be filed, or
 * several persons; every resource in a Bundle or Parameters counts, at any
 * depth. A resource that names nobody, or only
 * by reference, is accepted.
 *
 * @throws {InputError} `ERR_INPUT_OTHER_PERSON`
 */
export async function assertAbout(
  subject: Subject,
  resource: FhirResource,
  comparison: Comparison,
): Promise<void> {
  for (const entries of scopesIn(resource)) {
    const { patients, about } = await bySlices(patientSteps(entries, comparison.now));
    if (new Set(about.flat()).size > 1) {
      throw new InputError("ERR_INPUT_OTHER_PERSON", "the resource is about several patients");
    }
    await assertSamePerson(subject, patients, comparison);
  }
}

/** The resource; or the resources of a Bundle or Parameters, and of each in it, that refer to each other. */
function* scopesIn(resource: FhirResource): Generator<readonly Addressable[]> {
  const { resourceType: type } = resource;
  if (type !== "Bundle" && type !== "Parameters") return yield [{ resource }];
  const entries = type === "Bundle" ? entriesOf(resource) : valuesIn(resource["parameter"]);
  yield entries;
  for (const { resource: inner } of entries) {
    if (inner.resourceType === "Bundle" || inner.resourceType === "Parameters") {
      yield* scopesIn(inner);
    }
  }
}

/** The resources that some parameters and their parts have as values. */
function valuesIn(parameters: unknown): readonly Addressable[] {
  return list(parameters).flatMap((one): readonly Addressable[] => {
    if (!isObject(one)) return [];
    const { resource, part } = one;
    const isOne = isObject(resource) && text(resource["resourceType"]) !== undefined;
    return [...(isOne ? [{ resource: resource as FhirResource }] : []), ...valuesIn(part)];
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
