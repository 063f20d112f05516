import type { BundlePatient } from "../../fhir/patients.ts";
import { numberKey } from "../../fhir/patient-numbers.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import {
  isIdentifier,
  type PersonIdentifier,
  type Subject,
  type Subjects,
} from "../entries/subjects.ts";

/** Persons of a bundle, each filed under an identifier of theirs. */
export interface BundlePersons {
  readonly people: readonly { readonly identifier: PersonIdentifier; readonly subject: Subject }[];
  /** By position in the bundle's patients. */
  readonly byPatient: ReadonlyMap<number, Subject>;
  /**
   * Positions of patients who cannot be matched reliably to a known person or recognised as new.
   */
  readonly inDoubt: ReadonlySet<number>;
}

/** Patients of a bundle who are the same person, by the numbers that they share. */
interface Group {
  /** Position of the first. */
  readonly at: number;
  readonly places: number[];
  identifier: PersonIdentifier | undefined;
  readonly sure: Map<string, PersonIdentifier>;
  readonly doubtful: Map<string, PersonIdentifier>;
}

/** Persons of a bundle who are looked up together, and filed in one transaction if they are new. */
const PERSONS_TOGETHER = 64;

/**
 * Finds the persons of a bundle by all their numbers, or makes them known by the preferred one.
 *
 * A patient whose numbers belong to two persons, or who bears the number of a person without
 * certainly being that person, matches nobody: that person's refusals would not apply to what is
 * filed.
 */
export async function findPersons(
  patients: readonly BundlePatient[],
  { subjects, signal }: { readonly subjects: Subjects; readonly signal?: AbortSignal | undefined },
): Promise<BundlePersons> {
  const people: BundlePersons["people"][number][] = [];
  const byPatient = new Map<number, Subject>();
  const inDoubt = new Set<number>();
  const groups = groupsOf(patients);

  const lookUp = async (group: Group): Promise<void> => {
    const { identifier, places } = group;
    if (identifier === undefined) return;
    const known = new Map<string, { readonly person: Subject; readonly by: PersonIdentifier }>();
    let isSure = false;
    for (const [key, number] of new Map([...group.sure, ...group.doubtful])) {
      const person = isIdentifier(number) ? await subjects.find(number) : undefined;
      if (person === undefined) continue;
      isSure ||= group.sure.has(key);
      const name = person.local.join();
      if (!known.has(name)) known.set(name, { person, by: number });
    }
    const [only] = known.values();
    if (known.size > 1 || (only !== undefined && !isSure)) {
      for (const place of places) inDoubt.add(place);
      return;
    }
    const subject = only?.person ?? (await subjects.findOrCreate(identifier));
    people.push({ identifier: only === undefined ? identifier : only.by, subject });
    for (const place of places) byPatient.set(place, subject);
  };

  for (let at = 0; at < groups.length; at += PERSONS_TOGETHER) {
    // Together: everybody new is filed in one transaction.
    await Promise.all(groups.slice(at, at + PERSONS_TOGETHER).map(lookUp));
    await giveTurn();
    signal?.throwIfAborted();
  }
  return { people, byPatient, inDoubt };
}

/** Joins patients who share a number certainly theirs; the first of them names the person. */
function groupsOf(patients: readonly BundlePatient[]): readonly Group[] {
  const groups = new Set<Group>();
  const byNumber = new Map<string, Group>();
  patients.forEach(({ identifier, otherIdentifiers = [], doubtfulIdentifiers = [] }, place) => {
    const numbers = [...(identifier === undefined ? [] : [identifier]), ...otherIdentifiers];
    const own: Group = {
      at: place,
      places: [place],
      identifier,
      sure: new Map(numbers.map((one) => [numberKey(one), one])),
      doubtful: new Map(doubtfulIdentifiers.map((one) => [numberKey(one), one])),
    };
    const others = [...own.sure.keys()].flatMap((key) => byNumber.get(key) ?? []);
    const [first, ...rest] = [...new Set([...others, own])].sort((one, other) => one.at - other.at);
    groups.add(first!);
    for (const one of rest) {
      groups.delete(one);
      for (const place of one.places) first!.places.push(place);
      first!.identifier ??= one.identifier;
      for (const [key, number] of one.sure) first!.sure.set(key, number);
      for (const [key, number] of one.doubtful) first!.doubtful.set(key, number);
      for (const key of one.sure.keys()) byNumber.set(key, first!);
    }
    for (const key of own.sure.keys()) byNumber.set(key, first!);
  });
  return [...groups];
}
