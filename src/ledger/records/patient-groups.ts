import { formerIdentifiers, isSameIdentifier } from "../../fhir/identifier.ts";
import type { BundlePatient } from "../../fhir/patients.ts";
import { numberKey } from "../../fhir/patient-numbers.ts";
import type { ServerName } from "../../fhir/source-name.ts";
import { isIdentifier } from "../entries/subjects.ts";
import type { PersonIdentifier } from "../index/rows.ts";

/** Patients of a bundle who are the same person, by the numbers that they share and by their names. */
export interface PatientGroup {
  /** Position of the first. */
  readonly at: number;
  readonly places: number[];
  identifier: PersonIdentifier | undefined;
  readonly sure: Map<string, PersonIdentifier>;
  readonly doubtful: Map<string, PersonIdentifier>;
  /** Numbers that were theirs: they find a person, but never make one. */
  readonly former: Map<string, PersonIdentifier>;
  /** Whether some have one name at the source, and numbers of which they share none. */
  isContested: boolean;
}

/**
 * Joins patients who share a number certainly theirs, or a name at the bundle's source; the first of them
 * names the person.
 *
 * @param places - positions of the patients to join
 */
export function patientGroups(
  patients: readonly BundlePatient[],
  places: Iterable<number>,
  nameOf: (place: number) => ServerName | undefined,
): readonly PatientGroup[] {
  const groups = new Set<PatientGroup>();
  const byNumber = new Map<string, PatientGroup>();
  for (const place of places) {
    const own = groupOf(patients[place]!, place);
    const others = [...own.sure.keys()].flatMap((key) => byNumber.get(key) ?? []);
    const all = join(new Set([...others, own]), groups);
    for (const key of all.sure.keys()) byNumber.set(key, all);
  }
  const byName = new Map<string, PatientGroup>();
  const namesOf = (group: PatientGroup): readonly string[] =>
    group.places.flatMap((place) => nameOf(place) ?? []).map(keyOf);
  for (const group of [...groups]) {
    const names = namesOf(group);
    const others = new Set(names.flatMap((key) => byName.get(key) ?? []));
    const numbered = [...others, group].filter(({ sure }) => sure.size > 0);
    const isContested = [...others].some((one) => one.isContested) || numbered.length > 1;
    const all = join(new Set([...others, group]), groups);
    all.isContested = isContested;
    for (const key of others.size === 0 ? names : namesOf(all)) byName.set(key, all);
  }
  return [...groups];
}

const keyOf = ({ id, base = "" }: ServerName): string => `${id} ${base}`;

function groupOf(patient: BundlePatient, place: number): PatientGroup {
  const { resource, identifier, otherIdentifiers = [], doubtfulIdentifiers = [] } = patient;
  const former = resource === undefined ? [] : formerIdentifiers(resource);
  // One that cannot be filed, since it is too long, names nobody.
  const numbers = [...(identifier === undefined ? [] : [identifier]), ...otherIdentifiers].filter(
    isIdentifier,
  );
  const byKey = (some: readonly PersonIdentifier[]) =>
    new Map(some.filter(isIdentifier).map((one) => [numberKey(one), one]));
  return {
    at: place,
    places: [place],
    identifier: numbers[0],
    sure: byKey(numbers),
    doubtful: byKey(doubtfulIdentifiers),
    former: byKey(former),
    isContested: false,
  };
}

/** Makes several groups the first of them, among all groups. */
function join(some: ReadonlySet<PatientGroup>, groups: Set<PatientGroup>): PatientGroup {
  const [first, ...rest] = [...some].sort((one, other) => one.at - other.at);
  groups.add(first!);
  for (const one of rest) {
    groups.delete(one);
    for (const place of one.places) first!.places.push(place);
    first!.identifier ??= one.identifier;
    for (const [key, number] of one.sure) first!.sure.set(key, number);
    for (const [key, number] of one.doubtful) first!.doubtful.set(key, number);
    for (const [key, number] of one.former) first!.former.set(key, number);
  }
  return first!;
}

/** Whether there is a system in which both have numbers, and none in common. */
export function isContradicted(
  mine: readonly PersonIdentifier[],
  yours: readonly PersonIdentifier[],
): boolean {
  return mine.some(({ system }) => {
    const theirs = yours.filter((one) => one.system === system);
    const own = mine.filter((one) => one.system === system);
    return theirs.length > 0 && !own.some((one) => theirs.some((it) => isSameIdentifier(one, it)));
  });
}
