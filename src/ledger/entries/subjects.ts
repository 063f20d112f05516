import { InputError, RecordError } from "../../errors.ts";
import type { Catalogue } from "./catalogue.ts";
import type { LedgerContext } from "../context.ts";
import { sealEntry, type Filing } from "./filing.ts";
import { encodeIdentifiers, type PersonIdentifier, type StoredSubject } from "../index/rows.ts";
import type { Manifest } from "./manifest.ts";
import { afterWriting } from "../../storage/settle.ts";

export type { PersonIdentifier, StoredSubject } from "../index/rows.ts";

/** A person as one custodian knows them. Holds no secret. */
export interface Subject {
  /** The custodian's random id of the person: 16 bytes, never in clear on the ledger. */
  readonly local: Uint8Array;
}

/** The custodian's map from persons to subject keys, a part of its index. */
export interface Subjects {
  /** @throws {StorageError} `ERR_STORAGE_CORRUPT` when the data that tells whether anybody has it is lost */
  find(identifier: PersonIdentifier): Promise<Subject | undefined>;
  /**
   * Finds the person, or files their identity, which is durable before this resolves. If two processes
   * create the same person at once, both get the one that was filed first.
   */
  findOrCreate(identifier: PersonIdentifier): Promise<Subject>;
  /**
   * @returns the person's identifiers and key; the caller must wipe the key
   * @throws {InputError} `ERR_INPUT_UNKNOWN_SUBJECT` when the person was forgotten or never known
   */
  read(subject: Subject): Promise<StoredSubject>;
  /**
   * @throws {InputError} `ERR_INPUT_UNKNOWN_SUBJECT` when nothing was ever filed about such a person here,
   *   so that an empty answer never means a wrong subject
   */
  assertKnown(subject: Subject): Promise<void>;
}

/** Opens the map of subjects. */
export function openSubjects(
  context: LedgerContext,
  options: { readonly catalogue: Catalogue; readonly filing: Filing },
): Subjects {
  const { random } = context;
  const { catalogue } = options;
  const creating = new Map<string, Promise<Subject>>();

  async function find(identifier: PersonIdentifier): Promise<Subject | undefined> {
    assertIdentifier(identifier);
    await catalogue.catchUp();
    const local = await catalogue.personWith(identifier);
    return local === undefined ? undefined : { local };
  }

  async function create(identifier: PersonIdentifier): Promise<Subject> {
    const known = await find(identifier);
    if (known !== undefined) return known;
    const { system, value } = identifier;
    const manifest: Manifest = { v: 1, op: "identify", local: random(16) };
    const identity = { identifiers: [{ system, value }], key: random(32) };
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
    await options.filing.file([sealed]);
    const filed = await afterWriting(() => find(identifier));
    if (filed !== undefined) return filed;
    throw new RecordError(
      "ERR_RECORD_CONFLICT",
      "another process forgot this person while they were made known: call again",
    );
  }

  return {
    find,
    findOrCreate(identifier) {
      assertIdentifier(identifier);
      const id = JSON.stringify([identifier.system, identifier.value]);
      let made = creating.get(id);
      if (made === undefined) {
        made = create(identifier).finally(() => creating.delete(id));
        creating.set(id, made);
      }
      return made;
    },
    async read({ local }) {
      const found = await catalogue.subject(local);
      if (found !== undefined) return found;
      throw unknownSubject();
    },
    async assertKnown({ local }) {
      await catalogue.catchUp();
      if (!(await catalogue.knows(local))) throw unknownSubject();
    },
  };
}

const unknownSubject = (): InputError =>
  new InputError("ERR_INPUT_UNKNOWN_SUBJECT", "this custodian knows no such subject");

/** Whether this is a well-formed identifier. */
export const isIdentifier = ({ system, value }: PersonIdentifier): boolean =>
  [system, value].every((text) => typeof text === "string" && /^[^\0]{1,1024}$/.test(text));

function assertIdentifier(identifier: PersonIdentifier): void {
  if (isIdentifier(identifier)) return;
  throw new InputError(
    "ERR_INPUT_INVALID",
    "a person's identifier must have a system and a value, non-empty strings without U+0000",
  );
}
