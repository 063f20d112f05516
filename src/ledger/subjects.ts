import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectBytes, expectMap, expectString } from "../codec/shape.ts";
import { InputError } from "../errors.ts";
import type { StateChange } from "../storage/types.ts";
import type { LedgerContext } from "./context.ts";

/** A business identifier of a person, as in FHIR. */
export interface PersonIdentifier {
  readonly system: string;
  readonly value: string;
}

/** A person as one custodian knows him. Holds no secret. */
export interface Subject {
  /** The custodian's random id of the person: 16 bytes, never on the ledger in clear. */
  readonly local: Uint8Array;
}

/** What the vault keeps of a person. */
export interface StoredSubject {
  readonly identifiers: readonly PersonIdentifier[];
  /** 32 random bytes from which every tag is made; destroying it unlinks them for good. */
  readonly key: Uint8Array;
}

/** The custodian's map from persons to subject keys. */
export interface Subjects {
  find(identifier: PersonIdentifier): Promise<Subject | undefined>;
  /** Finds the person, or makes a subject for him, durably before this resolves. */
  findOrCreate(identifier: PersonIdentifier): Promise<Subject>;
  /** @throws {InputError} `ERR_INPUT_INVALID` when the person was forgotten or never known */
  read(subject: Subject): Promise<StoredSubject>;
  /**
   * The changes that destroy the subject key and everything that leads to it; none when that was
   * done before.
   */
  forget(subject: Subject): Promise<StateChange[]>;
}

/** Opens the map of subjects in the custodian's vault. */
export function openSubjects(context: LedgerContext): Subjects {
  const { vault, random } = context;
  const creating = new Map<string, Promise<Subject>>();
  const identifierName = ({ system, value }: PersonIdentifier): Uint8Array =>
    vault.name("identifier", system, value);
  const subjectName = (local: Uint8Array): Uint8Array => vault.name("subject", local);

  async function find(identifier: PersonIdentifier): Promise<Subject | undefined> {
    assertIdentifier(identifier);
    const local = await vault.get(identifierName(identifier));
    return local === undefined ? undefined : { local };
  }

  async function create(identifier: PersonIdentifier): Promise<Subject> {
    const early = await find(identifier);
    if (early !== undefined) return early;
    // Two processes that meet a person at once must not make two of him.
    return vault.exclusively(async () => {
      const known = await find(identifier);
      if (known !== undefined) return { result: known, changes: [] };
      const { system, value } = identifier;
      const local = random(16);
      const stored = { v: 1, identifiers: [{ system, value }], key: random(32) };
      const changes = [
        vault.put(subjectName(local), encode(stored)),
        vault.put(identifierName(identifier), local),
      ];
      stored.key.fill(0);
      return { result: { local }, changes };
    });
  }

  async function read({ local }: Subject): Promise<StoredSubject> {
    const bytes = await vault.get(subjectName(local));
    if (bytes === undefined) {
      throw new InputError("ERR_INPUT_INVALID", "this custodian knows no such subject");
    }
    const map = expectMap(decode(bytes), "subject", ["v", "identifiers", "key"]);
    return {
      identifiers: expectArray(map["identifiers"], "identifiers", 64).map((item) => {
        const fields = expectMap(item, "identifier", ["system", "value"]);
        return {
          system: expectString(fields["system"], "system"),
          value: expectString(fields["value"], "value"),
        };
      }),
      key: expectBytes(map["key"], "key", 32),
    };
  }

  return {
    find,
    findOrCreate(identifier) {
      const id = JSON.stringify([identifier.system, identifier.value]);
      let made = creating.get(id);
      if (made === undefined) {
        made = create(identifier).finally(() => creating.delete(id));
        creating.set(id, made);
      }
      return made;
    },
    read,
    async forget(subject) {
      if ((await vault.get(subjectName(subject.local))) === undefined) return [];
      const { identifiers } = await read(subject);
      return [
        vault.remove(subjectName(subject.local)),
        ...identifiers.map((identifier) => vault.remove(identifierName(identifier))),
      ];
    },
  };
}

function assertIdentifier({ system, value }: PersonIdentifier): void {
  for (const text of [system, value]) {
    if (typeof text !== "string" || !/^[^\0]{1,1024}$/.test(text)) {
      throw new InputError(
        "ERR_INPUT_INVALID",
        "a person is identified by a system and a value, non-empty strings without U+0000",
      );
    }
  }
}
