import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { isSameIdentifier } from "../../fhir/identifier.ts";
import { stage, type IndexMemory } from "./memory.ts";
import type { IndexReader } from "./reader.ts";
import {
  decodeSubject,
  encodeSubject,
  MAX_IDENTIFIERS,
  type PersonIdentifier,
  type StoredSubject,
} from "./rows.ts";

/** Identities of the persons in the index. */
export interface IndexedPersons {
  /**
   * Makes a person's identifiers and key known, or adds identifiers to those of a known person, whose key
   * stays. An identifier that somebody else has stays theirs.
   */
  identify(local: Uint8Array, identity: StoredSubject): Promise<void>;
  personWith(identifier: PersonIdentifier): Promise<Uint8Array | undefined>;
  subject(local: Uint8Array): Promise<StoredSubject | undefined>;
  /** Forgets a person's identifiers and key. */
  forget(local: Uint8Array): Promise<void>;
}

/** @param memory - that of an index which is open whenever anything is called */
export function indexedPersons(memory: IndexMemory, { row }: IndexReader): IndexedPersons {
  const storedSubject = (local: Uint8Array): Promise<Uint8Array | undefined> =>
    row(memory.stored!.names.subject(local), `the row of a person (${toHex(local)})`);

  return {
    async identify(local: Uint8Array, { identifiers, key }: StoredSubject): Promise<void> {
      const { names } = memory.stored!;
      const stored = await storedSubject(local);
      const known = stored === undefined ? { identifiers: [], key } : decodeSubject(stored);
      const held = [...known.identifiers];
      for (const one of identifiers) {
        if (held.some((own) => isSameIdentifier(own, one))) continue;
        const name = names.identifier(one.system, one.value);
        // If two processes met a person at the same time, the one that filed first made them known.
        if ((await row(name, "the row of an identifier")) !== undefined) continue;
        if (held.length === MAX_IDENTIFIERS) break;
        stage(memory, name, local);
        held.push(one);
      }
      stage(memory, names.subject(local), encodeSubject({ identifiers: held, key: known.key }));
    },
    async personWith({ system, value }: PersonIdentifier): Promise<Uint8Array | undefined> {
      return row(memory.stored!.names.identifier(system, value), "the row of an identifier");
    },
    async subject(local: Uint8Array): Promise<StoredSubject | undefined> {
      const stored = await storedSubject(local);
      return stored === undefined ? undefined : decodeSubject(stored);
    },
    async forget(local: Uint8Array): Promise<void> {
      const { names } = memory.stored!;
      const name = names.subject(local);
      const stored = await storedSubject(local);
      if (stored === undefined) return;
      for (const { system, value } of decodeSubject(stored).identifiers) {
        const identifier = names.identifier(system, value);
        const holder = await row(identifier, "the row of an identifier");
        if (holder !== undefined && equalBytes(holder, local)) stage(memory, identifier, null);
      }
      stage(memory, name, null);
      memory.overlay.mustFlush = true;
    },
  };
}
