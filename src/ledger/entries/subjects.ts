import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { InputError, RecordError } from "../../errors.ts";
import { isSameIdentifier } from "../../fhir/identifier.ts";
import type { Catalogue } from "./catalogue.ts";
import type { LedgerContext } from "../context.ts";
import { sealEntry, type Filing } from "./filing.ts";
import {
  encodeIdentifiers,
  MAX_IDENTIFIERS,
  MAX_IDENTIFIERS_TOGETHER,
  type PersonIdentifier,
  type StoredSubject,
} from "../index/rows.ts";
import type { Manifest, SourceNote } from "./manifest.ts";
import { isPool } from "./source-names.ts";
import { afterWriting } from "../../storage/settle.ts";
import { personName, type Turns } from "../turns.ts";

export type { PersonIdentifier, StoredSubject } from "../index/rows.ts";

/** A person as one custodian knows them. Holds no secret. */
export interface Subject {
  /** The custodian's random id of the person: 16 bytes, never in clear on the ledger. */
  readonly local: Uint8Array;
}

/** A person as this custodian knows them, with their secret. */
export type KnownPerson = Subject & StoredSubject;

/**
 * The identifier that a directive commits to if the person has none: made of the local id. Its system has a
 * character that no identifier of a caller has, so nobody is found by it.
 */
export const ownIdentifier = (local: Uint8Array): PersonIdentifier => ({
  system: "\0person",
  value: toHex(local),
});

/**
 * System of the names that two members agree on for a person. Such a name counts only if the member that it is for uses
 * it, so it never is an identifier of a person.
 */
export const ALIAS_SYSTEM = "urn:healthledger:alias";

/** Persons known here who may be one: only people can tell whether they are, and may then merge them. */
export interface MergeProposal {
  /**
   * The persons. A single one if whoever bears the identifier has other identifiers, which are nobody's yet
   * and conflict with that person's: `identify` makes them that person's, if they are.
   */
  readonly subjects: readonly Subject[];
  /**
   * What suggests it: an identifier that belongs to one of the persons, that their Patients are linked, or
   * that their source calls both by one id.
   */
  readonly because: PersonIdentifier | "Patient.link" | "Patient.id";
}

/** The outcome of giving a person more identifiers. */
export interface IdentifiedSubject {
  /** The identifiers that are now the person's, and were nobody's before. */
  readonly added: readonly PersonIdentifier[];
  /** Identifiers that belong to other persons, whose they remain. */
  readonly proposals: readonly MergeProposal[];
}

/** The custodian's map from persons to subject keys, a part of its index. */
export interface Subjects {
  /** @throws {StorageError} `ERR_STORAGE_CORRUPT` when the data that tells whether anybody has it is lost */
  find(identifier: PersonIdentifier): Promise<Subject | undefined>;
  /**
   * Finds the person, or files their identity, which is durable before this resolves. If two processes
   * create the same person at once, both get the one that was filed first.
   *
   * @param others - identifiers that a new person is known by too, unless somebody else has them by then
   */
  findOrCreate(
    identifier: PersonIdentifier,
    others?: readonly PersonIdentifier[],
  ): Promise<Subject>;
  /** Makes somebody known by a source's name only; durable before this resolves. */
  createNamed(name: SourceNote): Promise<void>;
  /** Files that a source's name is that of a known person; durable before this resolves. */
  addName(subject: Subject, name: SourceNote): Promise<void>;
  /** Gives a known person more identifiers; durable before this resolves. */
  identify(subject: Subject, identifiers: readonly PersonIdentifier[]): Promise<IdentifiedSubject>;
  /**
   * @returns the person's identifiers and key; the caller must wipe the key
   * @throws {InputError} `ERR_INPUT_UNKNOWN_SUBJECT` when the person was forgotten or never known
   */
  read(subject: Subject): Promise<StoredSubject>;
  /**
   * The same of a person, who comes first, and of those joined with them; the caller must wipe the keys.
   *
   * @throws as {@link read}
   */
  readJoined(subject: Subject): Promise<readonly KnownPerson[]>;
  /** The identifiers of a person and of those joined with them. Throws as {@link read} does. */
  identifiersOf(subject: Subject): Promise<readonly PersonIdentifier[]>;
  /** Whether two persons are the same, or joined. */
  areOne(one: Subject, other: Subject): Promise<boolean>;
  /**
   * @throws {InputError} `ERR_INPUT_UNKNOWN_SUBJECT` when nothing was ever filed about such a person here,
   *   so that an empty answer never means a wrong subject
   */
  assertKnown(subject: Subject): Promise<void>;
}

/** Opens the map of subjects. */
export function openSubjects(
  context: LedgerContext,
  options: { readonly catalogue: Catalogue; readonly filing: Filing; readonly turns: Turns },
): Subjects {
  const { random } = context;
  const { catalogue, filing, turns } = options;
  const creating = new Map<string, Promise<Subject>>();

  async function find(identifier: PersonIdentifier): Promise<Subject | undefined> {
    assertIdentifier(identifier);
    await catalogue.catchUp();
    const local = await catalogue.personWith(identifier);
    return local === undefined ? undefined : { local };
  }

  /** Files identifiers of a person, and the person's key with them. */
  async function file(
    local: Uint8Array,
    identity: StoredSubject,
    source?: SourceNote,
  ): Promise<void> {
    const named = source === undefined ? {} : { source };
    const manifest: Manifest = { v: 1, op: "identify", local, ...named };
    const sealed = await sealEntry(context, {
      kind: "link",
      manifest,
      parts: [
        { id: "content", bytes: encodeIdentifiers(identity.identifiers) },
        // In a part of its own: others may be allowed to read the content.
        { id: "key", bytes: identity.key },
      ],
    });
    catalogue.remember(sealed, identity);
    await filing.file([sealed]);
  }

  async function create(
    identifier: PersonIdentifier,
    others: readonly PersonIdentifier[],
  ): Promise<Subject> {
    const known = await find(identifier);
    if (known !== undefined) return known;
    const identifiers = distinct([identifier, ...others]).slice(0, MAX_IDENTIFIERS_TOGETHER);
    await file(random(16), { identifiers, key: random(32) });
    const filed = await afterWriting(() => find(identifier));
    if (filed !== undefined) return filed;
    throw new RecordError(
      "ERR_RECORD_CONFLICT",
      "another process forgot this person while they were made known: call again",
    );
  }

  /** Separates identifiers that nobody has from those that belong to others. */
  async function sortOut(subject: Subject, identifiers: readonly PersonIdentifier[]) {
    const free: PersonIdentifier[] = [];
    const proposals: MergeProposal[] = [];
    for (const one of identifiers) {
      const holder = await find(one);
      if (holder === undefined) free.push(one);
      else if (!(await areOne(holder, subject))) {
        proposals.push({ subjects: [subject, holder], because: one });
      }
    }
    return { free, proposals };
  }

  async function identify(
    subject: Subject,
    given: readonly PersonIdentifier[],
  ): Promise<IdentifiedSubject> {
    const known = await read(subject);
    try {
      const { free, proposals } = await sortOut(subject, given);
      if (free.length === 0) return { added: [], proposals };
      if (known.identifiers.length + free.length > MAX_IDENTIFIERS) {
        throw new InputError(
          "ERR_INPUT_TOO_LARGE",
          `a person has at most ${MAX_IDENTIFIERS} identifiers`,
        );
      }
      await file(subject.local, { identifiers: free, key: known.key.slice() });
      // Another process may have given one of them to somebody else first.
      const after = await afterWriting(() => sortOut(subject, free));
      const isTaken = (one: PersonIdentifier): boolean =>
        after.proposals.some(
          ({ because }) => typeof because === "object" && isSameIdentifier(because, one),
        );
      return {
        added: free.filter((one) => !isTaken(one)),
        proposals: [...proposals, ...after.proposals],
      };
    } finally {
      known.key.fill(0);
    }
  }

  async function areOne(one: Subject, other: Subject): Promise<boolean> {
    if (equalBytes(one.local, other.local)) return true;
    const joined = await catalogue.joinedWith(one.local);
    return joined.personsWith(one.local).some((local) => equalBytes(local, other.local));
  }

  async function readJoined(subject: Subject): Promise<readonly KnownPerson[]> {
    const first = await read(subject);
    const people: KnownPerson[] = [{ local: subject.local, ...first }];
    const joined = await catalogue.joinedWith(subject.local);
    for (const local of joined.personsWith(subject.local).slice(1)) {
      const known = await catalogue.subject(local);
      if (known !== undefined) people.push({ local, ...known });
    }
    return people;
  }

  async function read({ local }: Subject): Promise<StoredSubject> {
    const found = await catalogue.subject(local);
    if (found !== undefined) return found;
    throw unknownSubject();
  }

  return {
    find,
    read,
    readJoined,
    areOne,
    async identifiersOf(subject) {
      const people = await readJoined(subject);
      for (const { key } of people) key.fill(0);
      return people.flatMap(({ identifiers }) => identifiers);
    },
    createNamed: (name) => file(random(16), { identifiers: [], key: random(32) }, name),
    addName: (subject, name) =>
      turns.shared(personName(subject), async () => {
        const { key } = await read(subject);
        await file(subject.local, { identifiers: [], key }, name);
      }),
    async identify(subject, identifiers) {
      const given = checked(identifiers);
      return turns.shared(personName(subject), () => identify(subject, given));
    },
    findOrCreate(identifier, others = []) {
      assertIdentifier(identifier);
      const id = JSON.stringify([identifier.system, identifier.value]);
      let made = creating.get(id);
      if (made === undefined) {
        made = create(identifier, others).finally(() => creating.delete(id));
        creating.set(id, made);
      }
      return made;
    },
    async assertKnown({ local }) {
      await catalogue.catchUp();
      const isPerson = !isPool(context, local) && (await catalogue.knows(local));
      if (!isPerson) throw unknownSubject();
    },
  };
}

const unknownSubject = (): InputError =>
  new InputError("ERR_INPUT_UNKNOWN_SUBJECT", "this custodian knows no such subject");

/** Whether this is a well-formed identifier. */
export const isIdentifier = ({ system, value }: PersonIdentifier): boolean =>
  system !== ALIAS_SYSTEM &&
  [system, value].every((text) => typeof text === "string" && /^[^\0]{1,1024}$/.test(text));

function assertIdentifier(identifier: PersonIdentifier): void {
  if (isIdentifier(identifier)) return;
  throw new InputError(
    "ERR_INPUT_INVALID",
    "a person's identifier must have a system and a value, non-empty strings without U+0000, and is no alias",
  );
}

/** @throws {InputError} `ERR_INPUT_INVALID` unless it is a list of 1 to 64 identifiers */
function checked(identifiers: readonly PersonIdentifier[]): PersonIdentifier[] {
  const most = MAX_IDENTIFIERS_TOGETHER;
  if (!Array.isArray(identifiers) || identifiers.length === 0 || identifiers.length > most) {
    throw new InputError("ERR_INPUT_INVALID", `identify needs 1 to ${most} identifiers`);
  }
  for (const one of identifiers as readonly PersonIdentifier[]) assertIdentifier(one);
  return distinct(identifiers);
}

/** Copies without duplicates, in order. */
const distinct = (identifiers: readonly PersonIdentifier[]): PersonIdentifier[] =>
  identifiers
    .filter((one, at) => identifiers.findIndex((own) => isSameIdentifier(own, one)) === at)
    .map(({ system, value }) => ({ system, value }));
