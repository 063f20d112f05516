import { fromHex, toHex } from "../../bytes/hex.ts";
import type { BundleReading } from "../../fhir/bundle.ts";
import { nameAtServer, serverNameIn, type ServerName } from "../../fhir/source-name.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import type { FoldedRecord } from "./current-record.ts";
import { baseOf, type OnRecord } from "./sources.ts";
import type { BundleTools } from "./sent.ts";

/** Whom a source's name of a patient names. */
export type Named =
  | { readonly is: "nobody" }
  | { readonly is: "person"; readonly person: Subject }
  /**
   * Several persons who are not joined.
   *
   * @see isOfServers they are named alike by several servers, and of which the name is was not stated
   */
  | {
      readonly is: "unclear";
      readonly people: readonly Subject[];
      readonly isOfServers: boolean;
    };

/** How a patient of a bundle is named at its source. */
export interface PatientName {
  /** `"unclear"` if the bundle names patients of several servers by this id, and not of which this one is. */
  readonly name: ServerName | "unclear";
  /** Whether a Patient resource of the bundle bears it: its record says then whose name it is. */
  readonly isRecorded: boolean;
}

/** Finds persons by the names that a source gives to its patients, and names them. */
export interface PatientNames {
  /** The name of a patient of the bundle, by its position. */
  nameOf(place: number): PatientName | undefined;
  /** Whom a name names, as of when it was last looked up. */
  whoIs(name: ServerName): Promise<Named>;
  /**
   * The same; if the person's name is of no known server yet, files first that it is of the server of this
   * name. From then on an equal name at another server is another person's.
   */
  claim(name: ServerName): Promise<Named>;
  /** Those whose Patient of this name was deleted or retracted: by now it may be somebody else's. */
  formerly(name: ServerName): Promise<readonly Subject[]>;
  /** Makes somebody known by a name alone; durable before this resolves. */
  create(name: ServerName): Promise<Named>;
  /** Files that a name is a person's, unless that is on record; durable before this resolves. */
  add(person: Subject, name: ServerName): Promise<void>;
  /**
   * Files that the names of patients, by position, which are nobody's yet, are a person's, since a caller
   * says that the patients are. A Patient resource of the bundle is going to say it of itself.
   */
  addAll(person: Subject, places: Iterable<number>): Promise<void>;
}

/** A person among those who are named alike, and the servers whose name it is known to be. */
interface Bearer {
  readonly local: Uint8Array;
  readonly bases: Set<string>;
  /** Whether an entry says that the name is theirs at any one server. */
  readonly isBare: boolean;
}

/**
 * The persons whom a source calls by one id. A name without a server's URL may be the name at any one
 * server, and is that of the first which is filed of the person. Of two persons named at once the first on
 * the ledger counts.
 */
export function bearersOf({
  byPerson,
  claims,
}: Pick<OnRecord, "byPerson" | "claims">): readonly Bearer[] {
  const found = new Map<string, Bearer>();
  for (const { local, base } of claims) {
    const hex = toHex(local);
    const isTaken = [...found].some(
      ([other, { bases }]) =>
        other !== hex && (base === undefined || bases.size === 0 || bases.has(base)),
    );
    if (isTaken) continue;
    const own = found.get(hex) ?? { local, bases: new Set<string>(), isBare: base === undefined };
    found.set(hex, own);
    if (base !== undefined && !(own.isBare && own.bases.size > 0)) own.bases.add(base);
  }
  for (const [hex, records] of byPerson) {
    const living = records.filter(({ retracted }) => !retracted);
    if (living.length === 0) continue;
    const own = found.get(hex) ?? { local: fromHex(hex), bases: new Set<string>(), isBare: false };
    found.set(hex, own);
    for (const base of living.map(baseOf)) if (base !== undefined) own.bases.add(base);
  }
  return [...found.values()];
}

/** The persons whose records of a Patient with an id have all been ended, by the source or by the custodian. */
function formerBearersOf({ byPerson }: Pick<OnRecord, "byPerson">): readonly Bearer[] {
  return [...byPerson].flatMap(([hex, records]) => {
    const isEnded = ({ history }: FoldedRecord): boolean =>
      history.some(({ manifest: { op } }) => op === "retract");
    if (records.some(({ retracted }) => !retracted) || !records.some(isEnded)) return [];
    const bases = new Set(records.flatMap((one) => baseOf(one) ?? []));
    return [{ local: fromHex(hex), bases, isBare: false }];
  });
}

/** Whom of those who bear an id the name at a server means, if its URL is stated. */
export async function whoIsAmong(
  bearers: readonly Bearer[],
  base: string | undefined,
  subjects: Pick<Subjects, "areOne">,
): Promise<Named> {
  const exact = bearers.filter(({ bases }) => base === undefined || bases.has(base));
  const meant = exact.length > 0 ? exact : bearers.filter(({ bases }) => bases.size === 0);
  const [first, ...others] = meant.map(({ local }): Subject => ({ local: local.slice() }));
  if (first === undefined) return { is: "nobody" };
  const isOfServers = new Set(meant.flatMap(({ bases }) => [...bases])).size > 1;
  for (const other of others) {
    if (await subjects.areOne(first, other)) continue;
    return { is: "unclear", people: [first, ...others], isOfServers };
  }
  return { is: "person", person: first };
}

/** The names that a bundle's source has for the patients of the bundle, by their positions. */
export function patientNamesIn({
  type,
  patients,
  resources,
}: Pick<BundleReading, "type" | "patients" | "resources">): ReadonlyMap<number, PatientName> {
  const names = new Map<number, { name: ServerName; isRecorded: boolean }>();
  for (const one of resources) {
    const [place] = one.patients;
    if (one.resource.resourceType !== "Patient" || place === undefined) continue;
    const name = nameAtServer(one, type);
    if (name === undefined || name === "unclear") continue;
    const isRecorded = one.request === undefined || /^(?:PUT|POST)$/.test(one.request.method);
    const known = names.get(place);
    if (known?.name.base === undefined || !known.isRecorded) names.set(place, { name, isRecorded });
  }
  for (const [place, { resource, reference }] of patients.entries()) {
    const name = resource === undefined ? serverNameIn(reference) : undefined;
    if (name?.type === "Patient") names.set(place, { name, isRecorded: false });
  }
  const bases = new Map<string, Set<string>>();
  for (const { name } of names.values()) {
    const own = bases.get(name.id) ?? new Set();
    bases.set(name.id, name.base === undefined ? own : own.add(name.base));
  }
  return new Map(
    Array.from(names, ([place, { name, isRecorded }]) => {
      const [base, ...more] = name.base === undefined ? bases.get(name.id)! : [name.base];
      const whole = base === undefined ? name : { ...name, base };
      return [place, { name: more.length > 0 ? ("unclear" as const) : whole, isRecorded }];
    }),
  );
}

/** Looks up whom the names of a bundle's patients name. */
export async function openPatientNames(
  bundle: BundleReading,
  source: string,
  {
    catalogue,
    sources,
    subjects,
  }: Pick<BundleTools, "catalogue" | "sources"> & {
    readonly subjects: Pick<Subjects, "areOne" | "createNamed" | "addName">;
  },
): Promise<PatientNames> {
  const names = patientNamesIn(bundle);
  const assumed = bundle.patients.flatMap(({ assumed: one }) => serverNameIn(one) ?? []);
  const ids = [
    ...new Set(
      [...Array.from(names.values(), ({ name }) => name), ...assumed].flatMap((name) =>
        name === "unclear" ? [] : [name.id],
      ),
    ),
  ];
  const resourceOf = (id: string) => ({ source, type: "Patient", id });
  await catalogue.catchUp();
  const known = new Map<string, readonly Bearer[]>();
  const former = new Map<string, readonly Bearer[]>();
  const learn = (id: string, found: OnRecord): void => {
    known.set(id, bearersOf(found));
    former.set(id, formerBearersOf(found));
  };
  if (ids.length > 0) {
    const found = await sources.onRecord(ids.map(resourceOf));
    for (const [i, id] of ids.entries()) learn(id, found[i]!);
  }

  /** Looks up again who bears an id. */
  async function refresh({ id }: ServerName): Promise<void> {
    await catalogue.catchUp();
    const [found] = await sources.onRecord([resourceOf(id)]);
    learn(id, found!);
  }

  async function whoIs(name: ServerName): Promise<Named> {
    if (!known.has(name.id)) await refresh(name);
    return whoIsAmong(known.get(name.id)!, name.base, subjects);
  }

  async function claim(name: ServerName): Promise<Named> {
    const { id, base } = name;
    const found = await whoIs(name);
    if (found.is !== "person" || base === undefined) return found;
    const bearers = known.get(id)!;
    if (bearers.some(({ bases }) => bases.has(base))) return found;
    for (const { local, bases, isBare } of bearers) {
      if (bases.size > 0) continue;
      // After an entry that it is of one server, entries of two processes cannot make it one of two.
      if (!isBare) await subjects.addName({ local }, noteOf({ type: name.type, id }));
      await subjects.addName({ local }, noteOf(name));
    }
    // Another process may have filed another server first.
    await refresh(name);
    return whoIs(name);
  }

  const noteOf = ({ type, id, base }: ServerName) => ({
    ...{ name: source, type, id },
    ...(base === undefined ? {} : { base }),
  });

  return {
    nameOf: (place) => names.get(place),
    whoIs,
    claim,
    async formerly(name) {
      if (!former.has(name.id)) await refresh(name);
      const { base } = name;
      return former
        .get(name.id)!
        .filter(({ bases }) => base === undefined || bases.size === 0 || bases.has(base))
        .map(({ local }) => ({ local: local.slice() }));
    },
    async create(name) {
      await subjects.createNamed(noteOf(name));
      // Another process may have named somebody first.
      await refresh(name);
      return whoIs(name);
    },
    add,
    async addAll(person, places) {
      for (const place of places) {
        const { name, isRecorded } = names.get(place) ?? { name: "unclear", isRecorded: false };
        if (name === "unclear" || isRecorded || (await whoIs(name)).is !== "nobody") continue;
        await add(person, name);
      }
    },
  };

  async function add(person: Subject, name: ServerName): Promise<void> {
    const { id, base } = name;
    const hex = toHex(person.local);
    const own = (known.get(id) ?? []).find(({ local }) => toHex(local) === hex);
    const isKnown = base === undefined ? own !== undefined : own?.bases.has(base) === true;
    if (isKnown) return;
    await subjects.addName(person, noteOf(name));
    await refresh(name);
  }
}
