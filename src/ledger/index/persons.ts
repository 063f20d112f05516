import { equalBytes } from "../../bytes/compare.ts";
import { toHex } from "../../bytes/hex.ts";
import { stage, type IndexMemory } from "./memory.ts";
import type { IndexReader } from "./reader.ts";
import { decodeSubject, encodeSubject, type PersonIdentifier, type StoredSubject } from "./rows.ts";

/** Identities of the persons in the index. */
export interface IndexedPersons {
  /** Makes a person's identifiers and key known. */
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
      for (const { system, value } of identifiers) {
        const name = names.identifier(system, value);
        // If two processes met a person at the same time, the one that filed first made them known.
        if ((await row(name, "the row of an identifier")) === undefined) stage(memory, name, local);
      }
      const name = names.subject(local);
      const stored = await storedSubject(local);
      const known = stored === undefined ? { identifiers: [], key } : decodeSubject(stored);
      const all = [...known.identifiers, ...identifiers];
      const distinct = new Map(all.map((one) => [JSON.stringify([one.system, one.value]), one]));
      stage(memory, name, encodeSubject({ identifiers: [...distinct.values()], key: known.key }));
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
