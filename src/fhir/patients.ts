import { type PatientIdentifier, preferredIdentifier } from "./identifier.ts";
import { type Addressable, referenceResolver, type Resolved } from "./references.ts";
import { type FhirReference, type FhirResource, referenceOf, valuesAt } from "./resource.ts";
import { type SubjectElements, subjectElements } from "./subject-elements.ts";

/** A person that resources of a bundle are about. */
export interface BundlePatient {
  /** The Patient resource, where the bundle holds it. */
  readonly resource?: FhirResource;
  /** How the bundle names the patient: its `fullUrl`, else the reference to it. */
  readonly reference?: string;
  /** The identifier to file the patient under, where one is known. */
  readonly identifier?: PatientIdentifier;
}

/** Why it is not clear whom a resource is about. */
export type PatientProblem =
  /** A type that is about a patient names none. */
  | "no-patient"
  /** It names one in a way that leads nowhere. */
  | "unresolved-patient"
  /** It is about more than one. */
  | "several-patients"
  /** Two Patient resources carry one identifier. */
  | "same-identifier";

interface Found {
  readonly patients: readonly number[];
  readonly unresolved: boolean;
}

/** References that lead from resource to resource are followed this far. */
const MAX_STEPS = 4;
const NOBODY: Found = { patients: [], unresolved: false };

/** Finds out which patients each of a bundle's resources is about. */
export function resolvePatients(entries: readonly Addressable[]): {
  readonly patients: readonly BundlePatient[];
  readonly about: readonly (readonly number[])[];
  readonly remarks: readonly { readonly at: number; readonly code: PatientProblem }[];
} {
  const resolve = referenceResolver(entries);
  const patients: BundlePatient[] = [];
  const places = new Map<string, number>();
  const byResource = new Map<FhirResource, number>();

  const register = (keys: readonly string[], patient: BundlePatient): number => {
    let place: number | undefined;
    for (const key of keys) place ??= places.get(key);
    if (place === undefined) place = patients.push(patient) - 1;
    for (const key of keys) if (!places.has(key)) places.set(key, place);
    return place;
  };

  const remarks: { at: number; code: PatientProblem }[] = [];
  entries.forEach((entry, at) => {
    if (entry.resource.resourceType !== "Patient") return;
    const patient = patientOf(entry);
    // two Patient resources stay two, even under one identifier: joining them is not ours to do
    const place = register(nameKey(patient), patient);
    byResource.set(entry.resource, place);
    for (const key of identifierKey(patient)) {
      if (!places.has(key)) places.set(key, place);
      else if (places.get(key) !== place) remarks.push({ at, code: "same-identifier" });
    }
  });

  const follow = (at: number, steps: number): Found => {
    const entry = entries[at]!;
    const own = byResource.get(entry.resource);
    if (own !== undefined) return { patients: [own], unresolved: false };
    const elements = subjectElements(entry.resource.resourceType);
    return elements === undefined ? NOBODY : inside(entry, elements, steps);
  };

  const inside = (entry: Addressable, elements: SubjectElements, steps: number): Found => {
    for (const [paths, direct] of [
      [elements.direct, true],
      [elements.indirect, false],
    ] as const) {
      const all = new Set<number>();
      let unresolved = false;
      for (const reference of referencesAt(entry.resource, paths)) {
        const found = lead(resolve(reference, entry), entry, direct, steps);
        for (const patient of found.patients) all.add(patient);
        unresolved ||= found.unresolved;
      }
      if (all.size > 0 || unresolved) return { patients: [...all], unresolved };
    }
    return NOBODY;
  };

  const lead = (to: Resolved, from: Addressable, direct: boolean, steps: number): Found => {
    if (to.kind === "ambiguous") return { patients: [], unresolved: true };
    if (to.kind === "entry") return steps === 0 ? NOBODY : follow(to.index, steps - 1);
    if (to.kind === "contained") {
      const { resource } = to;
      if (resource.resourceType === "Patient") {
        // its id means nothing outside its container
        const { reference: _, ...patient } = patientOf({ resource });
        const keys = identifierKey(patient);
        return { patients: [byResourceOf(resource, keys, patient)], unresolved: false };
      }
      const elements = subjectElements(resource.resourceType);
      if (elements === undefined || steps === 0 || resource === from.resource) return NOBODY;
      // a contained resource's references are read as its container's
      const { fullUrl } = from;
      const contained = from.resource["contained"];
      return inside(
        { resource: { ...resource, contained }, ...(fullUrl !== undefined && { fullUrl }) },
        elements,
        steps - 1,
      );
    }
    const { type, reference, identifier } = to;
    if (type === "Patient" && (reference !== undefined || identifier !== undefined)) {
      const patient = {
        ...(reference !== undefined && { reference }),
        ...(identifier && { identifier }),
      };
      return {
        patients: [register([...nameKey(patient), ...identifierKey(patient)], patient)],
        unresolved: false,
      };
    }
    // somebody or something else, not in the bundle, is nobody; what cannot be told is a problem
    return { patients: [], unresolved: direct ? type === undefined || type === "Group" : false };
  };

  const byResourceOf = (
    resource: FhirResource,
    keys: readonly string[],
    patient: BundlePatient,
  ): number => {
    const place = byResource.get(resource) ?? register(keys, patient);
    byResource.set(resource, place);
    return place;
  };

  const about = entries.map(({ resource }, at) => {
    const found = follow(at, MAX_STEPS);
    if (found.unresolved) remarks.push({ at, code: "unresolved-patient" });
    else if (found.patients.length > 1) remarks.push({ at, code: "several-patients" });
    else if (found.patients.length === 0 && subjectElements(resource.resourceType)?.expected) {
      remarks.push({ at, code: "no-patient" });
    }
    return found.patients;
  });
  return { patients, about, remarks };
}

function patientOf({ resource, fullUrl }: Addressable): BundlePatient {
  const id = resource["id"];
  const reference = fullUrl ?? (typeof id === "string" ? `Patient/${id}` : undefined);
  const identifier = preferredIdentifier(resource);
  return {
    resource,
    ...(reference !== undefined && { reference }),
    ...(identifier && { identifier }),
  };
}

function nameKey({ reference }: BundlePatient): readonly string[] {
  return reference === undefined ? [] : [`reference ${reference}`];
}

function identifierKey({ identifier }: BundlePatient): readonly string[] {
  if (identifier === undefined) return [];
  return [`identifier ${JSON.stringify([identifier.system, identifier.value])}`];
}

/** Elements that lead to a patient when a mere identifier stands there. */
const NAMES_PATIENT: ReadonlySet<string> = new Set([
  "patient",
  "subject",
  "beneficiary",
  "individual",
  "candidate",
]);

/** The references of the first path that holds any: `subject` before `patient`. */
function referencesAt(resource: FhirResource, paths: readonly string[]): readonly FhirReference[] {
  for (const path of paths) {
    const references: FhirReference[] = [];
    for (const value of valuesAt(resource, path)) {
      const reference = referenceOf(value);
      if (reference === undefined) continue;
      const bare = reference.reference === undefined && reference.type === undefined;
      references.push(
        bare && NAMES_PATIENT.has(path) ? { ...reference, type: "Patient" } : reference,
      );
    }
    if (references.length > 0) return references;
  }
  return [];
}
