import { PEOPLE_AND_PLACES } from "../consent/labels/label-references.ts";
import { subjectElements } from "./subject-elements.ts";

const list = (types: string): ReadonlySet<string> => new Set(types.trim().split(/\s+/));

/** Types of persons: what refers to one of them names somebody. */
const PERSONS = list("Patient RelatedPerson Person");

/**
 * Types whose codes say what a resource is about that refers to one, such as the drug that is prescribed.
 */
const SAY_WHAT =
  list(`AdministrableProductDefinition BiologicallyDerivedProduct Device DeviceDefinition
  Ingredient ManufacturedItemDefinition Medication MedicationKnowledge MedicinalProduct
  MedicinalProductDefinition NutritionProduct PackagedProductDefinition Substance SubstanceDefinition
  SubstanceSpecification`);

/** Whether a reference to a resource of this type names a person. */
export const namesPerson = (type: string | undefined): boolean =>
  type !== undefined && PERSONS.has(type);

/** Whether a resource of this type may be about no patient without lacking anything. */
export const mayBeAboutNobody = (type: string): boolean => subjectElements(type)?.expected !== true;

/** Types of things and times of an organisation, which are named beside a patient as a rule. */
const THINGS = list("Device DeviceMetric Schedule Slot");

/**
 * Whether a resource of this type, if it names nobody, has no data about a patient. What is not of such a type,
 * such as a Binary or a List, may have.
 */
export const isImpersonal = (type: string): boolean =>
  subjectElements(type) === undefined || THINGS.has(type);

/**
 * Whether the codes of a resource of this type tell what a resource is about that refers to it; if its type
 * is not known, they may.
 */
export const saysWhat = (type: string | undefined): boolean =>
  type === undefined || SAY_WHAT.has(type);

/** Whether codes and labels of a resource of this type say nothing about the health of anybody. */
export const isPersonOrPlace = (type: string): boolean =>
  PEOPLE_AND_PLACES.has(type) || type === "HealthcareService" || type === "Endpoint";
