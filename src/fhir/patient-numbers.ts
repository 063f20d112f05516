import { type PatientIdentifier, patientIdentifiers } from "./identifier.ts";
import type { FhirResource } from "./resource.ts";

/** Numbers of a patient in a bundle, besides the one to file them under. */
export interface PatientNumbers {
  /** The patient's other numbers in use: they may be known under any of them. */
  readonly otherIdentifiers?: readonly PatientIdentifier[];
  /**
   * Numbers that may not be the patient's: another patient of the bundle has them too, and the two
   * differ in other numbers.
   */
  readonly doubtfulIdentifiers?: readonly PatientIdentifier[];
}

/** Numbers of the patients of a bundle, by their positions. */
export interface NumberBook {
  /** Adds the numbers of a Patient resource. */
  addResource(place: number, resource: FhirResource): void;
  /** Adds a number by which a reference names a patient. */
  add(place: number, number: PatientIdentifier): void;
  /** Assigns the numbers, after all have been added. */
  assignNumbers(): AssignedNumbers;
}

export interface AssignedNumbers {
  /**
   * Whether two patients share a number, directly or through others, and no other number conflicts.
   */
  isSame(one: number, other: number): boolean;
  /** Whether a number identifies none of its bearers. */
  isStruck(number: PatientIdentifier): boolean;
  of(place: number, filedUnder: PatientIdentifier | undefined): PatientNumbers;
}

export const numberKey = ({ system, value }: PatientIdentifier): string =>
  JSON.stringify([system, value]);

type Numbers = Map<string, PatientIdentifier>;

/**
 * Creates a number book.
 *
 * @param now - in ms since 1970; without it, identifiers with a stated end count as expired
 */
export function numberBook(now: number | undefined): NumberBook {
  const current = new Map<number, Numbers>();
  const add = (place: number, number: PatientIdentifier): void => {
    const own: Numbers = current.get(place) ?? new Map();
    current.set(place, own.set(numberKey(number), number));
  };

  return {
    addResource(place, resource) {
      for (const one of patientIdentifiers(resource, { now })) add(place, one);
    },
    add,
    assignNumbers() {
      const { groupOf, members, bearers } = groupsOf(current);
      const struck = new Set<string>();
      const apart = new Set<number>();
      for (const [group, places] of members) {
        if (!haveConflict(places.map((place) => current.get(place)!))) continue;
        apart.add(group);
        for (const key of new Set(places.flatMap((place) => [...current.get(place)!.keys()]))) {
          if (bearers.get(key)!.length > 1) struck.add(key);
        }
      }
      return {
        isSame(one, other) {
          if (one === other) return true;
          const group = groupOf(one);
          return group === groupOf(other) && !apart.has(group);
        },
        isStruck: (number) => struck.has(numberKey(number)),
        of(place, filedUnder) {
          const main = filedUnder && numberKey(filedUnder);
          const mine = [...(current.get(place) ?? [])].filter(([key]) => key !== main);
          const others = mine.filter(([key]) => !struck.has(key));
          const doubtful = mine.filter(([key]) => struck.has(key));
          return {
            ...(others.length > 0 && { otherIdentifiers: others.map(([, one]) => one) }),
            ...(doubtful.length > 0 && { doubtfulIdentifiers: doubtful.map(([, one]) => one) }),
          };
        },
      };
    },
  };
}

/** Groups patients by the numbers that they share. */
function groupsOf(book: ReadonlyMap<number, Numbers>): {
  readonly groupOf: (place: number) => number;
  readonly members: ReadonlyMap<number, readonly number[]>;
  readonly bearers: ReadonlyMap<string, readonly number[]>;
} {
  const parents = new Map<number, number>();
  const groupOf = (place: number): number => {
    let at = place;
    for (let up = parents.get(at); up !== undefined; up = parents.get(at)) at = up;
    if (at !== place) parents.set(place, at);
    return at;
  };
  const bearers = new Map<string, number[]>();
  for (const [place, numbers] of book) {
    for (const key of numbers.keys()) {
      const others = bearers.get(key);
      if (others === undefined) bearers.set(key, [place]);
      else {
        others.push(place);
        const [one, other] = [groupOf(others[0]!), groupOf(place)];
        if (one !== other) parents.set(Math.max(one, other), Math.min(one, other));
      }
    }
  }
  const members = new Map<number, number[]>();
  for (const place of book.keys()) {
    const group = groupOf(place);
    const list = members.get(group);
    if (list === undefined) members.set(group, [place]);
    else list.push(place);
  }
  return { groupOf, members, bearers };
}

/** Whether two of the patients have numbers of one system, and none in common. */
function haveConflict(patients: readonly Numbers[]): boolean {
  // Compares equal sets once: a bundle may name one person in many ways.
  const bySystem = new Map<string, Map<string, ReadonlySet<string>>>();
  for (const numbers of patients) {
    const own = new Map<string, string[]>();
    for (const [key, { system }] of numbers) {
      const keys = own.get(system);
      if (keys === undefined) own.set(system, [key]);
      else keys.push(key);
    }
    for (const [system, keys] of own) {
      const sets = bySystem.get(system) ?? new Map<string, ReadonlySet<string>>();
      bySystem.set(system, sets.set(JSON.stringify(keys.sort()), new Set(keys)));
    }
  }
  return [...bySystem.values()].some((sets) => {
    const distinct = [...sets.values()];
    return distinct.some((one, at) =>
      distinct.slice(at + 1).some((other) => ![...one].some((key) => other.has(key))),
    );
  });
}
