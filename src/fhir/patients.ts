import { atOnce, type Steps } from "../bytes/steps.ts";
import {
  contradicts,
  isSameIdentifier,
  type PatientIdentifier,
  patientIdentifiers,
  preferredIdentifier,
} from "./identifier.ts";
import { numberBook, type PatientNumbers } from "./patient-numbers.ts";
import { type Addressable, type Resolved, type ResolveIn, resolverSteps } from "./references.ts";
import { type FhirReference, type FhirResource, isObject, list, text } from "./resource.ts";
import { type SubjectElements, subjectElements } from "./subject-elements.ts";
import { identifierOf, isAboutOther, referencesAt } from "./subject-references.ts";

/** A patient whom resources of a bundle are about. */
export interface BundlePatient extends PatientNumbers {
  /** The Patient resource, if it is in the bundle. */
  readonly resource?: FhirResource;
  /** The patient's name in the bundle: the `fullUrl`, otherwise the reference. */
  readonly reference?: string;
  /**
   * Set if others refer to the Patient by the id that it has in the bundle, although the bundle creates it
   * under a new one: such a reference may mean another, whom the server knows by this id.
   */
  readonly assumed?: string;
  /** The identifier to file the patient under, if one is known. */
  readonly identifier?: PatientIdentifier;
}

/** Why it is unclear which patient a resource is about. */
export type PatientProblem =
  /** Its type requires a patient, and it names none. */
  | "no-patient"
  /**
   * Its reference to a patient is unresolved, ambiguous, or resolves to one with another number.
   */
  | "unresolved-patient"
  /** It is about several patients. */
  | "several-patients"
  /**
   * It names its patient, but another of its references, such as its encounter, leads to a
   * different one: whose it is cannot be decided.
   */
  | "other-patient"
  /**
   * Two Patient resources share an identifier. If they differ in other numbers, the identifier
   * identifies neither.
   */
  | "same-identifier"
  /** Two Patient resources with one name share no identifier: they are two persons. */
  | "same-name"
  /** A Patient is linked to other records of the person (`Patient.link`), which are not merged. */
  | "linked-patient";

interface Found {
  readonly patients: readonly number[];
  readonly unresolved: boolean;
  /** It names an unknown person: then it is not assigned to the known ones either. */
  readonly doubtful?: boolean;
}

/** Most references that are followed from resource to resource. */
const MAX_STEPS = 4;
const NOBODY: Found = { patients: [], unresolved: false };
const IN_DOUBT: Found = { patients: [], unresolved: true, doubtful: true };

/**
 * Finds the patients that each of a bundle's resources is about.
 *
 * @param now - the current time, in ms since 1970; without it, identifiers with a stated end count
 *   as expired
 */
export function resolvePatients(
  entries: readonly Addressable[],
  now: number | undefined,
): ResolvedPatients {
  return atOnce(patientSteps(entries, now));
}

/** The patients that a bundle's resources are about. */
export interface ResolvedPatients {
  readonly patients: readonly BundlePatient[];
  readonly about: readonly (readonly number[])[];
  readonly remarks: readonly { readonly at: number; readonly code: PatientProblem }[];
}

/** Resources between two points at which resolving can be interrupted. */
const PIECE = 256;

/** As {@link resolvePatients}, by steps. */
export function* patientSteps(
  entries: readonly Addressable[],
  now: number | undefined,
): Steps<ResolvedPatients> {
  const finder = createFinder(entries, now, yield* resolverSteps(entries, now));
  function* ofEach<T>(work: (entry: Addressable, at: number) => T): Steps<readonly T[]> {
    const results: T[] = [];
    for (const [at, entry] of entries.entries()) {
      if (at % PIECE === PIECE - 1) yield;
      results.push(work(entry, at));
    }
    return results;
  }
  yield* ofEach(finder.register);
  const found = yield* ofEach((_, at) => finder.follow(at, MAX_STEPS));
  const beside = yield* ofEach((entry, at) => finder.beside(entry, found[at]!));
  if (entries.length > PIECE) yield;
  return finder.assignPatients(found, beside);
}

interface Finder {
  /** Registers a resource if it is a Patient. */
  register(entry: Addressable, at: number): void;
  /** The patients that a resource is about. */
  follow(at: number, steps: number): Found;
  /** Other patients that its references lead to. */
  beside(entry: Addressable, found: Found): Found;
  assignPatients(found: readonly Found[], beside: readonly Found[]): ResolvedPatients;
}

function createFinder(
  entries: readonly Addressable[],
  now: number | undefined,
  resolve: ResolveIn,
): Finder {
  const patients: BundlePatient[] = [];
  const places = new Map<string, number>();
  const byResource = new Map<FhirResource, number>();
  const numbers = numberBook(now);

  const register = (keys: readonly string[], patient: BundlePatient): number => {
    let place: number | undefined;
    for (const key of keys) place ??= places.get(key);
    if (place === undefined) place = patients.push(patient) - 1;
    for (const key of keys) if (!places.has(key)) places.set(key, place);
    return place;
  };

  const remarks: { at: number; code: PatientProblem }[] = [];
  const registerEntry = (entry: Addressable, at: number): void => {
    if (entry.resource.resourceType !== "Patient") return;
    const patient = patientOf(entry, now);
    const named = nameKey(patient);
    const namesake = named.map((key) => places.get(key)).find((place) => place !== undefined);
    // two Patient resources stay separate, even with one identifier: merging them is not ours to do
    const isVersion = namesake !== undefined && isOnePerson(patients[namesake]!, patient, now);
    const place = isVersion ? namesake : register(namesake === undefined ? named : [], patient);
    if (namesake !== undefined && !isVersion) remarks.push({ at, code: "same-name" });
    if (isVersion && patients[place]!.identifier === undefined) patients[place] = patient;
    if (list(entry.resource["link"]).length > 0) remarks.push({ at, code: "linked-patient" });
    byResource.set(entry.resource, place);
    numbers.addResource(place, entry.resource);
    for (const key of identifierKey(patient)) {
      const other = places.get(key);
      if (other === undefined) places.set(key, place);
      if (other === undefined || other === place) continue;
      remarks.push({ at, code: "same-identifier" });
      if (!haveConflict(patients[other]!, patient, now)) continue;
      // one of them has a number of somebody else: the number identifies neither
      for (const one of [other, place]) {
        const { identifier: _, ...rest } = patients[one]!;
        patients[one] = rest;
      }
    }
  };

  const follow = (at: number, steps: number): Found => {
    const entry = entries[at]!;
    const own = byResource.get(entry.resource);
    if (own !== undefined) return { patients: [own], unresolved: false };
    const elements = subjectElements(entry.resource.resourceType);
    if (elements === undefined) return NOBODY;
    return isGroupInPart(entry.resource) ? IN_DOUBT : inside(entry, elements, steps);
  };

  const inside = (entry: Addressable, elements: SubjectElements, steps: number): Found => {
    const found = through(entry, elements.direct, true, steps);
    const beside = (): Found => through(entry, elements.indirect, false, steps);
    return found.patients.length > 0 || found.unresolved ? found : beside();
  };

  /** The patients that all references at some paths lead to. */
  const through = (
    entry: Addressable,
    paths: readonly string[],
    direct: boolean,
    steps: number,
  ): Found => {
    const all = new Set<number>();
    let unresolved = false;
    for (const { path, reference } of referencesAt(entry.resource, paths, now)) {
      const to = reference && resolve(reference, entry);
      if (reference === undefined || to === undefined) return IN_DOUBT;
      if (isAboutOther(path, typeOf(to))) return IN_DOUBT;
      const found = lead(to, reference, entry, direct, steps);
      if (found.doubtful === true) return IN_DOUBT;
      for (const patient of found.patients) all.add(patient);
      unresolved ||= found.unresolved;
    }
    return { patients: [...all], unresolved };
  };

  const typeOf = (to: Resolved): string | undefined => {
    if (to.kind === "entry") return entries[to.index]!.resource.resourceType;
    if (to.kind === "contained") return to.resource.resourceType;
    return to.kind === "external" ? to.type : undefined;
  };

  const lead = (
    to: Resolved,
    by: FhirReference,
    from: Addressable,
    direct: boolean,
    steps: number,
  ): Found => {
    if (to.kind === "ambiguous") return isNobody(by) ? NOBODY : IN_DOUBT;
    const named = identifierOf(by);
    if (to.kind === "entry") {
      if (steps === 0) return NOBODY;
      const { resource } = entries[to.index]!;
      if (isPatient(resource) && named && contradicts(resource, named)) return IN_DOUBT;
      const place = byResource.get(resource);
      if (named && place !== undefined) numbers.add(place, named);
      if (to.isAssumed && place !== undefined) {
        patients[place] = { ...patients[place]!, assumed: by.reference! };
      }
      const [first, ...others] = to.versions.map((version) => follow(version, steps - 1));
      const isSame = others.every(({ patients }) => isSameList(patients, first!.patients));
      return isSame ? first! : IN_DOUBT;
    }
    if (to.kind === "contained") {
      const { resource } = to;
      if (isPatient(resource)) {
        if (named && contradicts(resource, named)) return IN_DOUBT;
        // the id of a contained resource means nothing outside its container
        const { reference: _, ...patient } = patientOf({ resource }, now);
        const keys = identifierKey(patient);
        return { patients: [byResourceOf(resource, keys, patient)], unresolved: false };
      }
      if (isGroupInPart(resource)) return IN_DOUBT;
      const elements = subjectElements(resource.resourceType);
      if (elements === undefined || steps === 0 || resource === from.resource) return NOBODY;
      // references of a contained resource resolve as those of its container
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
      const place = elsewhere({
        ...(reference !== undefined && { reference }),
        ...(identifier && { identifier }),
      });
      return place === undefined ? IN_DOUBT : { patients: [place], unresolved: false };
    }
    if (type === "Patient") return IN_DOUBT;
    // a person or thing outside the bundle is not a patient; an unclear reference is a problem
    return { patients: [], unresolved: direct ? type === undefined || type === "Group" : false };
  };

  /** A patient outside the bundle; `undefined` if the facts about them conflict. */
  const elsewhere = (patient: BundlePatient): number | undefined => {
    const keys = [...nameKey(patient), ...identifierKey(patient)];
    const { identifier } = patient;
    const known = keys.map((key) => places.get(key)).filter((place) => place !== undefined);
    if (identifier !== undefined) {
      for (const place of known) {
        const { identifier: other } = patients[place]!;
        if (other === undefined) patients[place] = { ...patients[place]!, identifier };
        else if (other.system === identifier.system && other.value !== identifier.value) return;
      }
    }
    if (new Set(known).size > 1) return undefined;
    const place = register(keys, patient);
    if (identifier !== undefined) numbers.add(place, identifier);
    return place;
  };

  const byResourceOf = (
    resource: FhirResource,
    keys: readonly string[],
    patient: BundlePatient,
  ): number => {
    const place = byResource.get(resource) ?? register(keys, patient);
    byResource.set(resource, place);
    numbers.addResource(place, resource);
    return place;
  };

  const besideOf = (entry: Addressable, { patients: mine, unresolved }: Found): Found => {
    const elements = subjectElements(entry.resource.resourceType);
    const isPlain = mine.length === 1 && !unresolved;
    if (elements === undefined || !isPlain || byResource.has(entry.resource)) return NOBODY;
    return through(entry, elements.indirect, false, MAX_STEPS);
  };

  const assignPatients = (found: readonly Found[], beside: readonly Found[]): ResolvedPatients => {
    const assigned = numbers.assignNumbers();
    entries.forEach(({ resource }, at) => {
      const { patients: mine, unresolved } = found[at]!;
      const { patients: others, doubtful } = beside[at]!;
      const isOther = (other: number): boolean => !assigned.isSame(other, mine[0]!);
      if (unresolved) remarks.push({ at, code: "unresolved-patient" });
      else if (mine.length > 1) remarks.push({ at, code: "several-patients" });
      else if (mine.length === 0) {
        const isExpected = subjectElements(resource.resourceType)?.expected === true;
        if (isExpected) remarks.push({ at, code: "no-patient" });
      } else if (doubtful === true || others.some(isOther)) {
        remarks.push({ at, code: "other-patient" });
      }
    });
    return {
      patients: patients.map(({ identifier, ...rest }, place) => {
        const own =
          identifier === undefined || assigned.isStruck(identifier) ? undefined : identifier;
        return { ...rest, ...(own && { identifier: own }), ...assigned.of(place, own) };
      }),
      about: found.map((one) => one.patients),
      remarks,
    };
  };

  return { register: registerEntry, follow, beside: besideOf, assignPatients };
}

/** Whether two Patient resources of one name can be versions of one person's. */
function isOnePerson(one: BundlePatient, other: BundlePatient, now: number | undefined): boolean {
  const [mine, yours] = [one, other].map(({ resource }) => patientIdentifiers(resource!, { now }));
  if (mine!.some((id) => yours!.some((own) => isSameIdentifier(id, own)))) return true;
  const isUrl = one.reference?.includes(":") ?? false;
  return isUrl && (mine!.length === 0 || yours!.length === 0);
}

/** Whether two Patients have numbers of one system, and none in common. */
function haveConflict(one: BundlePatient, other: BundlePatient, now: number | undefined): boolean {
  const [mine, yours] = [one, other].map(({ resource }) =>
    resource === undefined ? [] : patientIdentifiers(resource, { now }),
  );
  return mine!.some(({ system }) => {
    const theirs = yours!.filter((own) => own.system === system);
    const own = mine!.filter((id) => id.system === system);
    return theirs.length > 0 && !own.some((id) => theirs.some((it) => isSameIdentifier(id, it)));
  });
}

const isSameList = (one: readonly number[], other: readonly number[]): boolean =>
  one.length === other.length && one.every((place) => other.includes(place));

/** Whether a reference states a type that is never about a patient. */
function isNobody({ reference = "", type }: FhirReference): boolean {
  const named = /^(?:.*\/)?([A-Z][A-Za-z]+)[/?]/.exec(reference)?.[1] ?? type;
  return named !== undefined && subjectElements(named) === undefined;
}

/** Whether a Group has members that it does not list, or lists former members. */
function isGroupInPart({ resourceType, member, quantity }: FhirResource): boolean {
  if (resourceType !== "Group") return false;
  const members = list(member);
  const isMember = (one: unknown): boolean =>
    isObject(one) && one["inactive"] !== true && one["period"] === undefined;
  if (quantity !== undefined && quantity !== members.length) return true;
  return !members.every(isMember);
}

const isPatient = ({ resourceType }: FhirResource): boolean => resourceType === "Patient";

function patientOf(
  { resource, fullUrl, request }: Addressable,
  now: number | undefined,
): BundlePatient {
  const id = text(resource["id"]);
  // a resource to be created gets another id
  const own = id === undefined || request?.method === "POST" ? undefined : `Patient/${id}`;
  const reference = fullUrl ?? own;
  const identifier = preferredIdentifier(resource, { now });
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
