import { toHex } from "../../bytes/hex.ts";
import { appendTo } from "../../bytes/lists.ts";
import { formerIdentifiers, isSameIdentifier } from "../../fhir/identifier.ts";
import type { BundlePatient } from "../../fhir/patients.ts";
import { numberKey } from "../../fhir/patient-numbers.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import { MAX_IDENTIFIERS, MAX_IDENTIFIERS_TOGETHER } from "../index/rows.ts";
import {
  isIdentifier,
  type MergeProposal,
  type PersonIdentifier,
  type Subject,
  type Subjects,
} from "../entries/subjects.ts";

import { proposeLinked } from "./linked-patients.ts";

/** Persons of a bundle, each filed under an identifier of theirs. */
export interface BundlePersons {
  readonly people: readonly { readonly identifier: PersonIdentifier; readonly subject: Subject }[];
  /** By position in the bundle's patients. */
  readonly byPatient: ReadonlyMap<number, Subject>;
  /**
   * Positions of patients who cannot be matched reliably to a known person or recognised as new.
   */
  readonly inDoubt: ReadonlySet<number>;
  readonly proposals: readonly MergeProposal[];
}

/** Patients of a bundle who are the same person, by the numbers that they share. */
interface Group {
  /** Position of the first. */
  readonly at: number;
  readonly places: number[];
  identifier: PersonIdentifier | undefined;
  readonly sure: Map<string, PersonIdentifier>;
  readonly doubtful: Map<string, PersonIdentifier>;
  /** Numbers that were theirs: they find a person, but never make one. */
  readonly former: Map<string, PersonIdentifier>;
}

/** A person known here, and the number by which they were found. */
interface FoundPerson {
  readonly person: Subject;
  readonly by: PersonIdentifier;
}

/** Persons of a bundle who are looked up together, and filed in one transaction if they are new. */
const PERSONS_TOGETHER = 64;

/** Dependencies of finding the persons of a bundle. */
export interface FindingPersons {
  readonly subjects: Subjects;
  readonly signal?: AbortSignal | undefined;
  /** The person who is on record under the name that a patient has at the bundle's source. */
  readonly onRecord?: ((patient: BundlePatient) => Promise<Subject | undefined>) | undefined;
}

/**
 * Finds the persons of a bundle by all their numbers, or makes them known by the preferred one. All numbers
 * that are certainly a person's find them from then on.
 *
 * A patient whose numbers belong to two persons, or who bears the number of a person without
 * certainly being that person, matches nobody: that person's refusals would not apply to what is
 * filed. Nor does a patient whose numbers are all new although the source's resource of that name is on
 * record of a person. A proposal to merge says so.
 */
export async function findPersons(
  patients: readonly BundlePatient[],
  { subjects, signal, onRecord }: FindingPersons,
): Promise<BundlePersons> {
  const people: BundlePersons["people"][number][] = [];
  const byPatient = new Map<number, Subject>();
  const inDoubt = new Set<number>();
  const proposals: MergeProposal[] = [];
  const groups = groupsOf(patients);

  /** The persons known here who have some of these numbers. */
  async function bearersOf(numbers: ReadonlyMap<string, PersonIdentifier>) {
    const known = new Map<string, FoundPerson>();
    for (const by of numbers.values()) {
      const person = isIdentifier(by) ? await subjects.find(by) : undefined;
      if (person !== undefined && !known.has(toHex(person.local))) {
        known.set(toHex(person.local), { person, by });
      }
    }
    return known;
  }

  /** Whether some of these persons are neither the same nor joined. */
  async function areSeveral(found: ReadonlyMap<string, FoundPerson>): Promise<boolean> {
    const [first, ...rest] = found.values();
    for (const { person } of rest) if (!(await subjects.areOne(first!.person, person))) return true;
    return false;
  }

  const propose = (found: Iterable<FoundPerson>, others: Iterable<FoundPerson> = []): void => {
    const [first, ...rest] = [...found, ...others];
    const { person, by } = first!;
    if (rest.length === 0) proposals.push({ subjects: [person], because: by });
    for (const other of rest) {
      proposals.push({ subjects: [person, other.person], because: other.by });
    }
  };

  const doubt = ({ places }: Group, found: Iterable<FoundPerson>): void => {
    for (const place of places) inDoubt.add(place);
    propose(found);
  };

  /** The person on record under the source's name of one of these patients. */
  async function holderOf(places: readonly number[]): Promise<Subject | undefined> {
    for (const place of places) {
      const holder = await onRecord?.(patients[place]!);
      if (holder !== undefined) return holder;
    }
    return undefined;
  }

  /** Whether these are more numbers than a person can have: then not all of them would find the person. */
  const areTooMany = ({ sure, doubtful, former }: Group): boolean =>
    sure.size + doubtful.size + former.size > MAX_IDENTIFIERS;

  const lookUp = async (group: Group): Promise<void> => {
    const { identifier, places } = group;
    if (areTooMany(group)) {
      for (const place of places) inDoubt.add(place);
      return;
    }
    let sure = await bearersOf(group.sure);
    const known = new Map([...sure, ...(await bearersOf(group.doubtful))]);
    if ((await areSeveral(known)) || (sure.size === 0) !== (known.size === 0)) {
      return doubt(group, known.values());
    }
    const former = await bearersOf(group.former);
    if (sure.size === 0) {
      if (former.size > 0) return doubt(group, former.values());
      if (identifier === undefined) return;
      const holder = await holderOf(places);
      if (holder !== undefined) return doubt(group, [{ person: holder, by: identifier }]);
      await subjects.findOrCreate(identifier, [...group.sure.values()].filter(isIdentifier));
      // Others may have been faster with some of the numbers.
      sure = await bearersOf(group.sure);
      if (await areSeveral(sure)) return doubt(group, sure.values());
    }
    const [{ person, by } = { person: undefined }] = sure.values();
    if (person === undefined) return;
    if (!(await addNumbers(group, person))) return doubt(group, sure.values());
    for (const other of former.values()) {
      if (!(await subjects.areOne(person, other.person))) propose([{ person, by }], [other]);
    }
    people.push({ identifier: by, subject: person });
    for (const place of places) byPatient.set(place, person);
  };

  /**
   * Makes all numbers of a group known as those of a person who has one of them.
   *
   * @returns whether the group is this person. It is not certain if they share none but a number that was
   *   added to the person's later, such as one for a family, and have different numbers of another system
   */
  async function addNumbers({ sure }: Group, person: Subject): Promise<boolean> {
    const identifiers = await subjects.identifiersOf(person);
    const own = new Map(identifiers.map((one) => [numberKey(one), one]));
    const [filedUnder] = own.keys();
    if (!sure.has(filedUnder!) && isContradicted([...own.values()], [...sure.values()])) {
      return false;
    }
    const fresh = [...sure].flatMap(([key, one]) => (own.has(key) ? [] : [one]));
    const valid = fresh.filter(isIdentifier);
    if (identifiers.length + valid.length > MAX_IDENTIFIERS) return false;
    let isTheirs = true;
    for (let at = 0; at < valid.length; at += MAX_IDENTIFIERS_TOGETHER) {
      const some = valid.slice(at, at + MAX_IDENTIFIERS_TOGETHER);
      const added = await subjects.identify(person, some);
      appendTo(proposals, added.proposals);
      isTheirs &&= added.proposals.length === 0;
    }
    return isTheirs;
  }

  for (let at = 0; at < groups.length; at += PERSONS_TOGETHER) {
    // Together: everybody new is filed in one transaction.
    await Promise.all(groups.slice(at, at + PERSONS_TOGETHER).map(lookUp));
    await giveTurn();
    signal?.throwIfAborted();
  }
  appendTo(proposals, await proposeLinked(patients, byPatient, subjects));
  return { people, byPatient, inDoubt, proposals };
}

/** Joins patients who share a number certainly theirs; the first of them names the person. */
function groupsOf(patients: readonly BundlePatient[]): readonly Group[] {
  const groups = new Set<Group>();
  const byNumber = new Map<string, Group>();
  patients.forEach((patient, place) => {
    const { resource, identifier, otherIdentifiers = [], doubtfulIdentifiers = [] } = patient;
    const former = resource === undefined ? [] : formerIdentifiers(resource);
    const numbers = [...(identifier === undefined ? [] : [identifier]), ...otherIdentifiers];
    const own: Group = {
      at: place,
      places: [place],
      identifier,
      sure: new Map(numbers.map((one) => [numberKey(one), one])),
      doubtful: new Map(doubtfulIdentifiers.map((one) => [numberKey(one), one])),
      former: new Map(former.map((one) => [numberKey(one), one])),
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
      for (const [key, number] of one.former) first!.former.set(key, number);
      for (const key of one.sure.keys()) byNumber.set(key, first!);
    }
    for (const key of own.sure.keys()) byNumber.set(key, first!);
  });
  return [...groups];
}

/** Whether there is a system in which both have numbers, and none in common. */
function isContradicted(
  mine: readonly PersonIdentifier[],
  yours: readonly PersonIdentifier[],
): boolean {
  return mine.some(({ system }) => {
    const theirs = yours.filter((one) => one.system === system);
    const own = mine.filter((one) => one.system === system);
    return theirs.length > 0 && !own.some((one) => theirs.some((it) => isSameIdentifier(one, it)));
  });
}
