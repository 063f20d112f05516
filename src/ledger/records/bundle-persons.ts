import { toHex } from "../../bytes/hex.ts";
import { appendTo } from "../../bytes/lists.ts";
import type { BundlePatient } from "../../fhir/patients.ts";
import { numberKey } from "../../fhir/patient-numbers.ts";
import { serverNameIn, type ServerName } from "../../fhir/source-name.ts";
import { giveTurn } from "../../loop/give-turn.ts";
import { afterWriting } from "../../storage/settle.ts";
import { MAX_IDENTIFIERS, MAX_IDENTIFIERS_TOGETHER } from "../index/rows.ts";
import { type PersonIdentifier, type Subject, type Subjects } from "../entries/subjects.ts";
import type { Proposals, Suggestion } from "../persons/proposals.ts";
import { proposeLinked } from "./linked-patients.ts";
import type { Named, PatientNames } from "./named-patients.ts";
import { isContradicted, patientGroups, type PatientGroup } from "./patient-groups.ts";

/** Persons of a bundle. */
export interface BundlePersons {
  /** Those found by their numbers, each with one of them. */
  readonly people: readonly { readonly identifier: PersonIdentifier; readonly subject: Subject }[];
  /** By position in the bundle's patients. */
  readonly byPatient: ReadonlyMap<number, Subject>;
  /**
   * Positions of patients who cannot be matched reliably to a known person or recognised as new, with the
   * reason.
   */
  readonly inDoubt: ReadonlyMap<number, string>;
  readonly proposals: readonly Suggestion[];
}

/** A person known here, and the number by which they were found. */
interface FoundPerson {
  readonly person: Subject;
  readonly by: PersonIdentifier;
}

type Unclear = Extract<Named, { readonly is: "unclear" }>;

const BY_NUMBERS = "its patient's numbers do not tell which person known here they are";
const BY_NAME = "its source's name for its patient is that of several persons known here";
const AT_SEVERAL = "its source has several servers with such a patient: it needs the server's URL";
const BY_BOTH = "its patient's numbers and name at the source are of different persons known here";

/** Persons of a bundle who are looked up together, and filed in one transaction if they are new. */
const PERSONS_TOGETHER = 64;

/** Dependencies of finding the persons of a bundle. */
export interface FindingPersons {
  readonly subjects: Subjects;
  readonly proposals: Pick<Proposals, "file" | "isOpenAbout">;
  readonly signal?: AbortSignal | undefined;
  /** How the bundle's source names its patients; without it, names are nobody's. */
  readonly names?: PatientNames | undefined;
}

/**
 * Finds the persons of a bundle by all their numbers and by their names at its source, or makes them known by
 * the preferred number, otherwise by the name. All numbers that are certainly a person's find them from
 * then on.
 *
 * A patient whose numbers belong to two persons, or who bears the number of a person without certainly being
 * that person, or whose number and name belong to two, matches nobody: that person's refusals would not apply
 * to what is filed. A proposal to merge says so.
 *
 * It is different where the name's person has no number at all, since nobody can ask for what is filed about
 * them. They get it all, and none of the numbers until people have decided whether the two are one.
 */
export async function findPersons(
  patients: readonly BundlePatient[],
  { subjects, proposals: decided, signal, names }: FindingPersons,
): Promise<BundlePersons> {
  const people: BundlePersons["people"][number][] = [];
  const byPatient = new Map<number, Subject>();
  const inDoubt = new Map<number, string>();
  const proposals: Suggestion[] = [];
  /** Groups whose numbers wait until it is filed what is proposed about their persons. */
  const waiting: { readonly group: PatientGroup; readonly person: Subject }[] = [];
  /** Whom the name of a patient names, among persons who are joined. */
  const ownOf = new Map<number, Subject>();

  const nameOf = (place: number): ServerName | undefined => {
    const name = names?.nameOf(place)?.name;
    return name === "unclear" ? undefined : name;
  };

  /** The persons known here who have some of these numbers. */
  async function bearersOf(numbers: ReadonlyMap<string, PersonIdentifier>) {
    const known = new Map<string, FoundPerson>();
    for (const by of numbers.values()) {
      const person = await subjects.find(by);
      if (person !== undefined && !known.has(toHex(person.local))) {
        known.set(toHex(person.local), { person, by });
      }
    }
    return known;
  }

  /** Whether each of these numbers is somebody's. */
  async function areKnown(numbers: ReadonlyMap<string, PersonIdentifier>): Promise<boolean> {
    for (const one of numbers.values()) if ((await subjects.find(one)) === undefined) return false;
    return true;
  }

  /** Whether some of these persons are neither the same nor joined. */
  async function areSeveral(found: Iterable<Subject>): Promise<boolean> {
    const [first, ...rest] = found;
    for (const person of rest) if (!(await subjects.areOne(first!, person))) return true;
    return false;
  }
  const severalAmong = (found: ReadonlyMap<string, FoundPerson>): Promise<boolean> =>
    areSeveral(Array.from(found.values(), ({ person }) => person));

  const propose = (person: Subject, others: Iterable<FoundPerson>): void => {
    for (const { person: other, by } of others) {
      proposals.push({ subjects: [person, other], because: by });
    }
  };

  const doubt = (
    { places, sure }: PatientGroup,
    found: Iterable<FoundPerson>,
    why = BY_NUMBERS,
  ): void => {
    for (const place of places) inDoubt.set(place, why);
    const [first, ...rest] = found;
    if (first === undefined) return;
    propose(first.person, rest);
    if (rest.length > 0) return;
    const numbers = [...sure.values()];
    proposals.push({ subjects: [first.person], because: first.by, numbers });
  };

  const settle = (places: Iterable<number>, person: Subject): void => {
    for (const place of places) byPatient.set(place, person);
  };

  /** Whether these are more numbers than a person can have: then not all of them would find the person. */
  const areTooMany = ({ sure, doubtful, former }: PatientGroup): boolean =>
    sure.size + doubtful.size + former.size > MAX_IDENTIFIERS;

  /**
   * Files of which servers the names of a group are, where that is new; whether they are still the person's. A
   * name without a server is that of the first server which comes.
   */
  async function claimNames(places: readonly number[], person: Subject): Promise<boolean> {
    for (const place of places.filter((one) => ownOf.has(one))) {
      const named = await names!.claim(nameOf(place)!);
      if (named.is === "person" && (await subjects.areOne(named.person, person))) continue;
      for (const one of places) ownOf.delete(one);
      return false;
    }
    return true;
  }

  /** Others than a person whose Patients of a group's names were deleted or retracted. */
  async function formersOf(places: readonly number[], person?: Subject): Promise<Subject[]> {
    const formers: Subject[] = [];
    for (const name of places.flatMap((place) => nameOf(place) ?? [])) {
      for (const one of await names!.formerly(name)) {
        if (person === undefined || !(await subjects.areOne(one, person))) formers.push(one);
      }
    }
    return formers;
  }

  /** Files that the names of a group are a person's, unless a Patient resource is going to say so. */
  async function addNames(places: readonly number[], person: Subject): Promise<void> {
    const recorded = new Set<string>();
    for (const place of places) {
      const name = nameOf(place);
      if (name !== undefined && names!.nameOf(place)!.isRecorded)
        recorded.add(JSON.stringify(name));
    }
    for (const place of places) {
      const name = nameOf(place);
      if (name === undefined || recorded.has(JSON.stringify(name))) continue;
      await names!.add(person, name);
    }
  }

  async function lookUp(group: PatientGroup): Promise<void> {
    const { places } = group;
    if (areTooMany(group)) return doubt(group, []);
    if (places.some((place) => names?.nameOf(place)?.name === "unclear")) {
      return doubt(group, [], AT_SEVERAL);
    }
    const holders: { readonly person: Subject; readonly places: number[] }[] = [];
    const others: number[] = [];
    for (const place of places) {
      const name = nameOf(place);
      const named = name === undefined ? undefined : await names!.whoIs(name);
      if (named?.is === "unclear") return doubtNames(group, named);
      if (named?.is !== "person") {
        others.push(place);
        continue;
      }
      ownOf.set(place, named.person);
      let known: (typeof holders)[number] | undefined;
      for (const one of holders) if (await subjects.areOne(one.person, named.person)) known = one;
      if (known === undefined) holders.push({ person: named.person, places: [place] });
      else known.places.push(place);
    }
    if (holders.length > 1) {
      // One after another: the first gets the numbers that they share.
      for (const some of [...holders.map((one) => one.places), others]) {
        for (const part of patientGroups(patients, some, nameOf)) await lookUp(part);
      }
      return;
    }
    const [holder] = holders;
    if (holder === undefined) return byNumbers(group);
    const identifiers = await subjects.identifiersOf(holder.person);
    return identifiers.length === 0
      ? withoutNumbers(group, holder.person)
      : byNumbers(group, holder.person);
  }

  function doubtNames({ places, sure }: PatientGroup, named: Unclear): void {
    for (const place of places) inDoubt.set(place, named.isOfServers ? AT_SEVERAL : BY_NAME);
    // That two servers use one id says nothing of whether their patients are one.
    if (named.isOfServers) return;
    const [because = "Patient.id" as const] = [...sure.values()];
    const [first, ...rest] = named.people;
    for (const other of rest) proposals.push({ subjects: [first!, other], because });
  }

  /** A group whose name is that of a person without any number. */
  async function withoutNumbers(group: PatientGroup, person: Subject): Promise<void> {
    const { sure, doubtful, former, places, isContested } = group;
    if (!(await claimNames(places, person))) return lookUp(group);
    if (!(await areAssumed(places, person))) return doubt(group, [], BY_BOTH);
    const known = await bearersOf(new Map([...sure, ...doubtful, ...former]));
    for (const place of places) byPatient.set(place, ownOf.get(place) ?? person);
    await addNames(places, person);
    propose(person, known.values());
    for (const other of sure.size === 0 ? [] : await formersOf(places, person)) {
      proposals.push({ subjects: [person, other], because: "Patient.id" });
    }
    const isDecided = known.size === 0 && !isContested && doubtful.size === 0;
    if (isDecided && sure.size > 0) waiting.push({ group, person });
  }

  /** Gives a person without numbers those of their Patient, unless it is open whether they are somebody else. */
  async function giveNumbers({ group, person }: (typeof waiting)[number]): Promise<void> {
    if (await decided.isOpenAbout(person)) return;
    // Another of the bundle, or another process, may have got one of them since.
    const others: FoundPerson[] = [];
    for (const one of (await bearersOf(group.sure)).values()) {
      if (!(await subjects.areOne(one.person, person))) others.push(one);
    }
    if (others.length > 0) return propose(person, others);
    if (await addNumbers(group, person)) return;
    for (const place of group.places) byPatient.delete(place);
    doubt(group, []);
  }

  /** Files what was proposed from a position on. */
  async function fileProposals(from = 0): Promise<void> {
    const fresh = proposals.slice(from);
    if (fresh.length > 0) await afterWriting(() => decided.file(fresh));
  }

  /** Does what is to be done with each; of those that have a key in common one after another. */
  async function bySome<T>(
    all: readonly T[],
    keysOf: (one: T) => Iterable<string>,
    work: (one: T) => Promise<void>,
  ): Promise<void> {
    for (let at = 0; at < all.length; at += PERSONS_TOGETHER) {
      const last = new Map<string, Promise<void>>();
      const inTurn = (one: T): Promise<void> => {
        const keys = [...keysOf(one)];
        const before = keys.flatMap((key) => last.get(key) ?? []);
        const mine = Promise.all(before).then(() => work(one));
        for (const key of keys) last.set(key, mine);
        return mine;
      };
      // Together: everybody new is filed in one transaction.
      await Promise.all(all.slice(at, at + PERSONS_TOGETHER).map(inTurn));
      await giveTurn();
      signal?.throwIfAborted();
    }
  }

  /** A group whose names are nobody's, or those of a person who has numbers. */
  async function byNumbers(group: PatientGroup, holder?: Subject): Promise<void> {
    const { identifier, places } = group;
    let sure = await bearersOf(group.sure);
    const known = new Map([...sure, ...(await bearersOf(group.doubtful))]);
    // Numbers that share nothing may be one person's, if they are all known.
    const isTwofold = group.isContested && !(await areKnown(group.sure));
    const isUncertain = (sure.size === 0) !== (known.size === 0);
    if (isTwofold || isUncertain || (await severalAmong(known)))
      return doubt(group, known.values());
    const [found] = sure.values();
    if (found !== undefined && holder !== undefined) {
      const isOther = !(await subjects.areOne(found.person, holder));
      if (isOther) return doubt(group, [{ person: holder, by: found.by }, found], BY_BOTH);
      if (!(await claimNames(places, holder))) return lookUp(group);
    } else if (found !== undefined) {
      const [person] = await formersOf(places, found.person);
      if (person !== undefined) return doubt(group, [{ person, by: found.by }, found], BY_BOTH);
    }
    if (!(await areAssumed(places, found?.person))) return doubt(group, known.values(), BY_BOTH);
    const former = await bearersOf(group.former);
    if (sure.size === 0) {
      if (former.size > 0) return doubt(group, former.values());
      if (identifier === undefined) return byName(group, holder);
      if (holder !== undefined) return doubt(group, [{ person: holder, by: identifier }]);
      if ((await formersOf(places)).length > 0) return byName(group, undefined);
      await subjects.findOrCreate(identifier, [...group.sure.values()]);
      // Others may have been faster with some of the numbers.
      sure = await bearersOf(group.sure);
      if (await severalAmong(sure)) return doubt(group, sure.values());
    }
    const [{ person, by } = { person: undefined }] = sure.values();
    if (person === undefined) return;
    if (!(await addNumbers(group, person))) return doubt(group, sure.values());
    for (const other of former.values()) {
      if (!(await subjects.areOne(person, other.person))) propose(person, [other]);
    }
    people.push({ identifier: by, subject: person });
    settle(places, person);
    await addNames(places, person);
  }

  /** A group without numbers that could find anybody. */
  async function byName(group: PatientGroup, holder: Subject | undefined): Promise<void> {
    const { places } = group;
    if (holder !== undefined) {
      if (!(await claimNames(places, holder))) return lookUp(group);
      settle(places, holder);
      return addNames(places, holder);
    }
    const name = places.map(nameOf).find((one) => one !== undefined);
    if (name === undefined) return;
    const { is } = await names!.create(name);
    // Another process may have named somebody first, who has numbers by now.
    if (is === "person") return lookUp(group);
    for (const place of places) inDoubt.set(place, BY_NAME);
  }

  /** Whether what refers to a Patient to be created by its id in the bundle can mean nobody else. */
  async function areAssumed(
    places: readonly number[],
    person: Subject | undefined,
  ): Promise<boolean> {
    for (const place of places) {
      const name = serverNameIn(patients[place]!.assumed);
      const named = name === undefined ? undefined : await names?.whoIs(name);
      if (named === undefined || named.is === "nobody") continue;
      if (named.is === "unclear" || person === undefined) return false;
      if (!(await subjects.areOne(named.person, person))) return false;
    }
    return true;
  }

  /**
   * Makes all numbers of a group known as those of a person who has one of them.
   *
   * @returns whether the group is this person. It is not certain if they share none but a number that was
   *   added to the person's later, such as one for a family, and have different numbers of another system
   */
  async function addNumbers({ sure }: PatientGroup, person: Subject): Promise<boolean> {
    const identifiers = await subjects.identifiersOf(person);
    const own = new Map(identifiers.map((one) => [numberKey(one), one]));
    const [filedUnder] = own.keys();
    if (!sure.has(filedUnder!) && isContradicted([...own.values()], [...sure.values()])) {
      return false;
    }
    const fresh = [...sure].flatMap(([key, one]) => (own.has(key) ? [] : [one]));
    if (identifiers.length + fresh.length > MAX_IDENTIFIERS) return false;
    let isTheirs = true;
    for (let at = 0; at < fresh.length; at += MAX_IDENTIFIERS_TOGETHER) {
      const some = fresh.slice(at, at + MAX_IDENTIFIERS_TOGETHER);
      const added = await subjects.identify(person, some);
      appendTo(proposals, added.proposals);
      isTheirs &&= added.proposals.length === 0;
    }
    return isTheirs;
  }

  // An id may be that of patients of several servers: the first counts as the one named without a server.
  const idsOf = ({ places }: PatientGroup) => places.flatMap((place) => nameOf(place)?.id ?? []);
  await bySome(patientGroups(patients, patients.keys(), nameOf), idsOf, lookUp);
  appendTo(proposals, await proposeLinked(patients, byPatient, { subjects, names }));
  // Before anybody gets numbers, and before anything is filed about them.
  await fileProposals();
  const filed = proposals.length;
  await bySome(waiting, ({ group }) => group.sure.keys(), giveNumbers);
  await fileProposals(filed);
  return { people, byPatient, inDoubt, proposals };
}
